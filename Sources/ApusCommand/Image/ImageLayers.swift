// `apus image commit, rebase, snapshot, bench`.
//
// Owns: the options and the words. Must not know: formats.

import ArgumentParser
import Host
import Images
import Storage

struct ImageCommitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "commit", abstract: "Writes what an overlay has into its base.")
  @OptionGroup var options: ImageReferenceOptions
  @OptionGroup var progress: ImageProgressOptions
  @Flag(name: .customShort("d"), help: "The overlay is not emptied.")
  var keep = false
  @Argument(help: ArgumentHelp("The overlay.", valueName: "file"))
  var file: String

  func run() throws {
    let result = try ImageOperations.commit(
      options.reference(file), keepsOverlay: keep, ImageProgram.job(progress))
    try ImageProgram.deliver(
      result,
      progress.quiet
        ? [] : ["\(ImageSize.text(result.bytes)) went into '\(result.base)'"] + result.notes)
  }
}

struct ImageRebaseCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rebase", abstract: "Gives an overlay another base; the disk shows the same.",
    discussion: """
      -b "" leaves it without one. With -u only the name changes: for a base that was moved. --accept takes the base as it is now, when it \
      changed since and that is meant.
      """)
  @OptionGroup var options: ImageReferenceOptions
  @OptionGroup var progress: ImageProgressOptions
  @Option(
    name: .customShort("b"),
    help: ArgumentHelp("The new base, seen from the image.", valueName: "base"))
  var base: String?
  @Option(name: .customShort("F"), help: ArgumentHelp("Its format.", valueName: "format"))
  var baseFormat: String?
  @Flag(name: .customShort("u"), help: "Only the name changes.")
  var unsafe = false
  @Flag(help: "The base stays, and counts as what it is now.")
  var accept = false
  @Argument(help: ArgumentHelp("The overlay.", valueName: "file"))
  var file: String

  func run() throws {
    if accept == (base != nil) {
      throw Failure.usage("rebase needs -b BASE (-b \"\" for none), or --accept")
    }
    var request = RebaseRequest(options.reference(file))
    request.base = base.flatMap { $0.isEmpty ? nil : BaseWish($0, format: baseFormat) }
    request.isUnsafe = unsafe
    request.accepts = accept
    let result = try ImageOperations.rebase(request, ImageProgram.job(progress))
    let line =
      "\(result.file): " + (result.base.map { "over '\($0)'" } ?? "stands alone")
      + (result.bytes > 0 ? ", \(ImageSize.text(result.bytes)) were copied into it" : "")
    try ImageProgram.deliver(result, progress.quiet ? [] : [line] + result.notes)
  }
}

struct ImageSnapshotCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "snapshot", abstract: "States of a disk that its image keeps.")
  @OptionGroup var options: ImageReferenceOptions
  @Flag(name: .customShort("l"), help: "List them (the default).")
  var list = false
  @Option(name: .customShort("c"), help: ArgumentHelp("Make one.", valueName: "name"))
  var create: String?
  @Option(
    name: .customShort("a"),
    help: ArgumentHelp("Go back to one; what was written since is lost.", valueName: "name"))
  var apply: String?
  @Option(name: .customShort("d"), help: ArgumentHelp("Delete one.", valueName: "name"))
  var delete: String?
  @Argument(help: ArgumentHelp("The image.", valueName: "file"))
  var file: String

  func run() throws {
    let actions: [SnapshotAction] =
      [
        list ? .list : nil, create.map { .create($0) }, apply.map { .apply($0) },
        delete.map { .delete($0) },
      ].compactMap { $0 }
    if actions.count > 1 { throw Failure.usage("one of -l, -c, -a and -d at a time") }
    let action = actions.first ?? .list
    let result = try ImageOperations.snapshot(options.reference(file), action)
    func column(_ text: String, _ width: Int) -> String {
      text + String(repeating: " ", count: max(2, width - text.count))
    }
    let width = (result.snapshots.map(\.name.count).max() ?? 0) + 2
    var lines = result.snapshots.map {
      column($0.id, 6) + column($0.name, max(width, 6)) + column(ImageSize.text($0.virtualSize), 12)
        + FATTime(localSeconds: HostClock.localSeconds(atUTC: Int64(clamping: $0.time))).description
        + ($0.stateSize > 0 ? "  with a machine's state" : "")
    }
    if !lines.isEmpty {
      lines.insert(
        column("id", 6) + column("name", max(width, 6)) + column("disk", 12) + "made", at: 0)
    }
    try ImageProgram.deliver(result, action == .list && lines.isEmpty ? ["no snapshots"] : lines)
  }
}

struct ImageBenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measures how fast an image is read, and written.",
    discussion: "With --write the disk is overwritten: what it held is lost.")
  @OptionGroup var options: ImageReferenceOptions
  @OptionGroup var progress: ImageProgressOptions
  @Flag(name: .shortAndLong, help: "Write as well, before reading.")
  var write = false
  @Option(help: ArgumentHelp("Bytes of all accesses of a kind.", valueName: "size"))
  var total: String?
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Accesses of a kind, in place of --total.", valueName: "n"))
  var count: UInt64?
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("Where those in sequence begin.", valueName: "offset"))
  var offset: String?
  @Option(
    name: [.customShort("S"), .customLong("step-size")],
    help: ArgumentHelp(
      "From the beginning of one in sequence to that of the next. (default: its size)",
      valueName: "size"))
  var step: String?
  @Option(help: ArgumentHelp("Write this byte.", valueName: "0-255"))
  var pattern: UInt8?
  @Option(help: ArgumentHelp("Flush after so many writes. (default: at the end)", valueName: "n"))
  var flushInterval: UInt64?
  @Option(
    name: .shortAndLong, help: ArgumentHelp("Bytes of an access in sequence.", valueName: "size"))
  var size = "1M"
  @Option(help: ArgumentHelp("Bytes of an access at random.", valueName: "size"))
  var randomSize = "4k"
  @Argument(help: ArgumentHelp("The image.", valueName: "file"))
  var file: String

  func run() throws {
    var request = BenchRequest(options.reference(file))
    if write { request.kinds = [.sequentialWrite, .sequentialRead, .randomWrite, .randomRead] }
    request.byteCount = try total.map { try ImageOperations.size($0, "--total") }
    request.count = count
    request.offset = try offset.map { try ImageOperations.size($0, "--offset") } ?? 0
    request.step = try step.map { try ImageOperations.size($0, "--step-size") }
    request.pattern = pattern
    request.flushInterval = flushInterval
    if !write && (pattern != nil || flushInterval != nil) {
      throw Failure.usage("--pattern and --flush-interval go with --write")
    }
    for (text, name, path) in [
      (size, "--size", \BenchRequest.sequentialSize),
      (randomSize, "--random-size", \BenchRequest.randomSize),
    ] {
      let bytes = try ImageOperations.size(text, name)
      if bytes < 512 || bytes > 64 << 20 { throw Failure.usage("\(name) \(text): 512 to 64M") }
      request[keyPath: path] = Int(bytes)
    }
    let result = try ImageOperations.bench(request, ImageProgram.job(progress))
    let lines = result.measurements.map { one in
      "\(one.kind.rawValue): \(Int(one.megabytesPerSecond.rounded())) MB/s, "
        + "\(Int(one.accessesPerSecond.rounded())) accesses/s, "
        + "\(Int((one.cpuSeconds * 1000).rounded())) ms of processor time"
    }
    try ImageProgram.deliver(
      result,
      ["\(result.file): \(result.format), opened in \(Int(result.openSeconds * 1e6)) us"] + lines)
  }
}
