// `apus image create, convert, dd, resize`.
//
// Owns: the options and the words. Must not know: formats.

import ArgumentParser
import Host
import Images
import Storage

/// What new images can be told.
struct NewImageOptions: ParsableArguments {
  @Option(
    name: .customShort("o"),
    help: ArgumentHelp("Options of the format, NAME=VALUE,...; repeatable.", valueName: "options"))
  var options: [String] = []
  @Option(help: ArgumentHelp("thin, thick-lazy or thick-eager.", valueName: "way"))
  var provisioning: String?
  @Option(help: ArgumentHelp("Bytes in a sector of the disk.", valueName: "bytes"))
  var sectorSize = 512
  @Flag(help: "A file of the new image's name is replaced.")
  var force = false
  @Option(
    help: ArgumentHelp(
      "When the hash of a base's contents is noted: now, quick (if it is small), never.",
      valueName: "when"))
  var baseHash = "quick"

  func way() throws -> Provisioning? {
    guard let provisioning else { return nil }
    guard let way = Provisioning(rawValue: provisioning) else {
      let all = Provisioning.allCases.map(\.rawValue).joined(separator: ", ")
      throw Failure.usage("--provisioning \(provisioning): \(all)")
    }
    return way
  }

  func hash() throws -> CreateRequest.BaseHash {
    guard let hash = CreateRequest.BaseHash(rawValue: baseHash) else {
      throw Failure.usage("--base-hash \(baseHash): now, quick or never")
    }
    return hash
  }
}

struct ImageCreateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "create", abstract: "Makes an image.",
    discussion: """
      With -b it stands over another image, of which it shows what was never written to it; the base's size, time and contents are noted, \
      and one that changed since is refused. Nothing has the image's name before it is whole.
      """)
  @OptionGroup var new: NewImageOptions
  @OptionGroup var progress: ImageProgressOptions
  @OptionGroup var keys: ImageKeyOptions
  @OptionGroup var newKey: NewKeyOptions
  @Option(name: .customShort("f"), help: ArgumentHelp("The format.", valueName: "format"))
  var format = "raw"
  @Option(
    name: .customShort("b"), help: ArgumentHelp("The base, seen from the image.", valueName: "base")
  )
  var base: String?
  @Option(
    name: .customShort("F"),
    help: ArgumentHelp("The base's format. (default: found out)", valueName: "format"))
  var baseFormat: String?
  @Argument(help: ArgumentHelp("The image.", valueName: "file"))
  var file: String
  @Argument(
    help: ArgumentHelp("The disk's size, as in 10G. (default: the base's)", valueName: "size"))
  var size: String?

  func run() throws {
    var request = CreateRequest(file, format: format)
    request.byteCount = try size.map { try ImageOperations.size($0, "size") }
    request.base = base.map { BaseWish($0, format: baseFormat) }
    request.options = try ImageOptionText.parse(new.options)
    if let text = request.options.removeValue(forKey: "size"), request.byteCount == nil {
      request.byteCount = try ImageOperations.size(text, "-o size=")
    }
    request.provisioning = try new.way()
    request.sectorSize = new.sectorSize
    request.replaces = new.force
    request.baseHash = try new.hash()
    request.keys = keys.keys()
    request.newKey = try newKey.source(keys)
    let result = try ImageOperations.create(request, ImageProgram.job(progress))
    let line =
      "\(result.file): \(result.format), \(ImageSize.text(result.virtualSize))"
      + (result.base.map { " over '\($0)'" } ?? "")
    try ImageProgram.deliver(result, progress.quiet ? [] : [line] + result.notes)
  }
}

struct ImageConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert", abstract: "Copies a disk into a new image of another format.",
    discussion: """
      Holes and zeros stay holes. With --resume work that was cut off is continued where its journal, beside the target, says.
      """)
  @OptionGroup var options: ImageReferenceOptions
  @OptionGroup var new: NewImageOptions
  @OptionGroup var newKey: NewKeyOptions
  @OptionGroup var progress: ImageProgressOptions
  @Option(
    name: .customShort("O"),
    help: ArgumentHelp(
      "The target's format. (default: raw; with -n found out)", valueName: "format"))
  var targetFormat: String?
  @Option(
    name: .customShort("B"),
    help: ArgumentHelp(
      "The target stands over this base and keeps only what differs.", valueName: "base"))
  var base: String?
  @Option(
    name: .customShort("F"), help: ArgumentHelp("The base's format.", valueName: "format"))
  var baseFormat: String?
  @Flag(name: .short, help: "Compress.")
  var compress = false
  @Option(
    name: .customShort("S"),
    help: ArgumentHelp("Zeros of this size become holes; 0: none do.", valueName: "size"))
  var sparseSize = "4k"
  @Flag(name: .customShort("n"), help: "The target exists already, and stays what it is.")
  var existing = false
  @Option(
    name: .customShort("m"),
    help: ArgumentHelp("Threads that read. (default: as there are processors)", valueName: "n"))
  var threads: Int?
  @Option(
    name: .customShort("t"),
    help: ArgumentHelp(
      "The host's cache: writeback (the new image is on stable storage when it is done) or unsafe (the host writes it when it likes).",
      valueName: "cache"))
  var cache = "writeback"
  @Flag(help: "Go on with work that was cut off, and keep a journal.")
  var resume = false
  @Argument(help: ArgumentHelp("The image.", valueName: "source"))
  var source: String
  @Argument(help: ArgumentHelp("The new one.", valueName: "target"))
  var target: String

  func run() throws {
    var request = ConvertRequest(
      options.reference(source), to: target, format: targetFormat ?? (existing ? "" : "raw"))
    request.options = try ImageOptionText.parse(new.options)
    request.provisioning = try new.way()
    request.sectorSize = new.sectorSize
    request.replaces = new.force
    request.baseHash = try new.hash()
    request.base = base.map { BaseWish($0, format: baseFormat) }
    request.compresses = compress
    guard let size = Int(exactly: try ImageOperations.size(sparseSize, "-S")) else {
      throw Failure.usage("-S \(sparseSize): at most 2M")
    }
    request.sparseSize = size
    request.intoExisting = existing
    request.resumes = resume
    guard ["writeback", "unsafe"].contains(cache) else {
      throw Failure.usage("-t \(cache): writeback or unsafe")
    }
    request.syncs = cache != "unsafe"
    request.newKey = try newKey.source(options.keys)
    request.readers = threads
    let result = try ImageOperations.convert(request, ImageProgram.job(progress))
    try ImageProgram.deliver(result, progress.quiet ? [] : ImageConvertCommand.lines(result))
  }

  static func lines(_ result: ConvertResult) -> [String] {
    let rate = result.seconds > 0 ? UInt64(Double(result.virtualSize) / result.seconds) : 0
    var lines = [
      "\(result.target): \(result.format), \(ImageSize.text(result.virtualSize)), of which "
        + "\(ImageSize.text(result.dataBytes)) are data; \(ImageSize.text(rate))/s"
    ]
    if result.compressedFrom > 0 {
      lines.append(
        "\(ImageSize.text(result.compressedFrom)) were compressed to "
          + ImageSize.text(result.compressedTo))
    }
    if let place = result.resumedAt { lines.append("continued at \(ImageSize.text(place))") }
    return lines + result.notes
  }
}

struct ImageCopyBlocksCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dd", abstract: "Copies a part of a disk into a new image.",
    discussion: "WORDS are if=FILE of=FILE bs=SIZE count=BLOCKS skip=BLOCKS (iskip= is the same).")
  @OptionGroup var options: ImageReferenceOptions
  @OptionGroup var newKey: NewKeyOptions
  @OptionGroup var progress: ImageProgressOptions
  @Option(
    name: .customShort("O"), help: ArgumentHelp("The new image's format.", valueName: "format"))
  var targetFormat = "raw"
  @Flag(help: "A file of the new image's name is replaced.")
  var force = false
  @Argument(help: ArgumentHelp("As dd has them.", valueName: "words"))
  var words: [String]

  func run() throws {
    let result = try ImageOperations.copyBlocks(
      try CopyBlocksRequest(words), format: options.format, outputFormat: targetFormat,
      replaces: force, names: options.names,
      keys: options.keys.keys(), newKey: try newKey.source(options.keys),
      ImageProgram.job(progress))
    try ImageProgram.deliver(result, progress.quiet ? [] : ImageConvertCommand.lines(result))
  }
}

struct ImageResizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resize", abstract: "Gives a disk another size.")
  @OptionGroup var options: ImageReferenceOptions
  @Flag(help: "It may become smaller; what is cut off is lost.")
  var shrink = false
  @Argument(help: ArgumentHelp("The image.", valueName: "file"))
  var file: String
  @Argument(help: ArgumentHelp("10G, +1G or -1G.", valueName: "size"))
  var size: String

  func run() throws {
    guard let change = SizeChange(size) else {
      throw Failure.usage("resize \(size): a size as in 10G, +512M, -1G")
    }
    let result = try ImageOperations.resize(options.reference(file), change, shrinks: shrink)
    try ImageProgram.deliver(
      result,
      [
        "\(result.file): \(ImageSize.text(result.sizeBefore)) became \(ImageSize.text(result.virtualSize))"
      ]
    )
  }
}
