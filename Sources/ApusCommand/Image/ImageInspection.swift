// `apus image info, check, repair, compare, map, formats, schema`.
//
// Owns: the options and the words. Must not know: formats.

import ArgumentParser
import Host
import Images
import Storage

struct ImageInfoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info", abstract: "Tells what an image is.")
  @OptionGroup var options: ImageReferenceOptions
  @Flag(help: "Those below it, too.")
  var backingChain = false
  @Argument(help: ArgumentHelp("The image.", valueName: "file"))
  var file: String

  func run() throws {
    let result = try ImageOperations.info(options.reference(file), chain: backingChain)
    try ImageProgram.deliver(
      result, Array(result.images.map(ImageInfoCommand.lines).joined(separator: [""])))
  }

  static func lines(_ info: ImageInfo) -> [String] {
    var lines = [
      "image: \(info.file)", "format: \(info.format)",
      "virtual size: \(ImageSize.text(info.virtualSize)) (\(info.virtualSize) bytes)",
      "size on host: \(ImageSize.text(info.sizeOnHost))",
    ]
    if info.sectorSize != 512 { lines.append("block size: \(info.sectorSize)") }
    if let size = info.clusterSize { lines.append("cluster size: \(size)") }
    if let base = info.base {
      lines.append("base: \(base)" + (info.baseFormat.map { " (\($0))" } ?? ""))
    }
    if let record = info.baseRecord { lines.append("noted of the base: \(record)") }
    if let secret = info.encryption {
      lines.append("encrypted: \(secret.format), \(secret.cipher), key of \(secret.keyBits) bits")
      lines.append("UUID: \(secret.uuid)")
      lines += secret.slots.map { "key slot \($0.number): \($0.derivation)" }
    } else if info.isEncrypted {
      lines.append("encrypted: yes")
    }
    if info.isDirty { lines.append("closed cleanly: no") }
    lines += info.otherFiles.map { "further file: \($0)" }
    lines += info.facts.map { "\($0.name): \($0.value)" }
    lines += info.snapshots.map {
      "snapshot: \($0.id) \($0.name), \(ImageSize.text($0.virtualSize))"
    }
    lines += info.notes.map { "note: \($0)" }
    lines += info.warnings.map { "warning: \($0)" }
    return lines
  }
}

struct ImageCheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Looks whether an image contradicts itself.",
    discussion:
      "Exit codes: 0 clean, 1 the check failed, 2 corrupt, 3 only leaks, 63 the format cannot be checked."
  )
  @OptionGroup var options: ImageReferenceOptions
  @Option(
    name: .short,
    help: ArgumentHelp("Mend: leaks, or all (as apus image repair does).", valueName: "what"))
  var repair: String?
  @Argument(help: ArgumentHelp("The image.", valueName: "file"))
  var file: String

  func run() throws {
    var what = ImageRepair.none
    if let repair {
      guard let found = ImageRepair(rawValue: repair), found != .none else {
        throw Failure.usage("-r \(repair): leaks or all")
      }
      what = found
    }
    try ImageCheckCommand.run(options.reference(file), what)
  }

  static func run(_ reference: ImageReference, _ repair: ImageRepair) throws {
    let result = try ImageOperations.check(reference, repair)
    try ImageProgram.deliver(result, lines(result))
    if result.exitCode != 0 { throw ExitCode(result.exitCode) }
  }

  private static func lines(_ result: CheckResult) -> [String] {
    if !result.isSupported { return ["\(result.format) images cannot be checked"] }
    var lines = result.findings.map { finding in
      (finding.isRepaired ? "mended: " : "") + "\(finding.severity)"
        + (finding.offset.map { " at offset \($0)" } ?? "") + ": \(finding.text)"
    }
    let all = result.leaks + result.corruptions + result.unreadables
    if all > result.findings.count { lines.append("... and \(all - result.findings.count) more") }
    lines.append(
      all == 0
        ? "no errors were found"
        : "\(result.corruptions) corruptions, \(result.leaks) leaks, \(result.unreadables) unreadable, "
          + "\(result.repaired) mended")
    if result.totalUnits > 0 {
      lines.append(
        "\(result.allocatedUnits) of \(result.totalUnits) units allocated, "
          + "\(result.compressedUnits) compressed; the image ends at \(result.imageEnd)")
    }
    return lines
  }
}

struct ImageRepairCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "repair", abstract: "Mends what check finds, and tells what it did.",
    discussion: "Exit codes as check's.")
  @OptionGroup var options: ImageReferenceOptions
  @Flag(help: "Only room that nobody uses is given back.")
  var leaks = false
  @Argument(help: ArgumentHelp("The image.", valueName: "file"))
  var file: String

  func run() throws {
    try ImageCheckCommand.run(options.reference(file), leaks ? .leaks : .all)
  }
}

struct ImageCompareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare", abstract: "Tells whether two images hold the same.",
    discussion: "Exit codes: 0 equal, 1 different, 2 something failed.")
  @OptionGroup var options: ImageReferenceOptions
  @OptionGroup var progress: ImageProgressOptions
  @Option(
    name: .customShort("F"),
    help: ArgumentHelp("The second image's format. (default: found out)", valueName: "format"))
  var secondFormat: String?
  @Flag(name: .short, help: "The sizes, and what has room, have to be the same as well.")
  var strict = false
  @Argument(help: ArgumentHelp("An image.", valueName: "file"))
  var first: String
  @Argument(help: ArgumentHelp("Another one.", valueName: "other"))
  var second: String

  func run() throws {
    let result: CompareResult
    do {
      var other = options.reference(second)
      other.format = secondFormat
      result = try ImageOperations.compare(
        options.reference(first), other, isStrict: strict, ImageProgram.job(progress))
    } catch let error as StorageError {
      ImageProgram.fail(error, ImageProgram.target, code: 2)
    }
    let place = result.offset.map { " at offset \($0)" } ?? ""
    try ImageProgram.deliver(
      result, result.isEqual ? ["the images are the same"] : [(result.difference ?? "") + place])
    if !result.isEqual { throw ExitCode(1) }
  }
}

struct ImageMapCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "map", abstract: "Tells where the blocks of a disk are.")
  @OptionGroup var options: ImageReferenceOptions
  @Option(name: .shortAndLong, help: ArgumentHelp("The first byte.", valueName: "offset"))
  var startOffset: String?
  @Option(name: .shortAndLong, help: ArgumentHelp("As many bytes.", valueName: "length"))
  var maxLength: String?
  @Argument(help: ArgumentHelp("The image.", valueName: "file"))
  var file: String

  func run() throws {
    let start = try startOffset.map { try ImageOperations.size($0, "--start-offset") } ?? 0
    let length = try maxLength.map { try ImageOperations.size($0, "--max-length") }
    let result = try ImageOperations.map(
      options.reference(file, prompts: false), start: start, length: length)
    try ImageProgram.deliver(result, ImageMapCommand.lines(result))
  }

  private static func lines(_ result: MapResult) -> [String] {
    func column(_ text: String, _ width: Int) -> String {
      text + String(repeating: " ", count: max(1, width - text.count))
    }
    let head = column("start", 16) + column("length", 16) + column("what", 12) + "where"
    return [head]
      + result.entries.map { entry in
        let what =
          entry.zero
          ? (entry.present ? "zeros" : "absent") : entry.compressed ? "compressed" : "data"
        let place = entry.offset.map { "0x" + String($0, radix: 16) } ?? ""
        return column("0x" + String(entry.start, radix: 16), 16)
          + column("0x" + String(entry.length, radix: 16), 16) + column(what, 12)
          + [place, entry.file ?? (entry.depth > 0 ? "base \(entry.depth)" : "")].filter {
            !$0.isEmpty
          }.joined(separator: " ")
      }
  }
}

struct ImageFormatsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "formats", abstract: "Lists the formats with their limits and options.")
  @Argument(help: ArgumentHelp("Only this one.", valueName: "format"))
  var name: String?

  func run() throws {
    let result = try ImageOperations.formats(name)
    try ImageProgram.deliver(result, result.formats.flatMap(ImageFormatsCommand.lines))
  }

  private static func lines(_ format: FormatsResult.Format) -> [String] {
    let can = [
      format.creates ? "read and made" : "read", format.resizes ? "resized" : nil,
      format.checks ? "checked" : nil, format.compresses ? "compressed" : nil,
      format.snapshots ? "snapshots" : nil,
    ]
    var lines = [format.name + ": " + can.compactMap { $0 }.joined(separator: ", ")]
    if let largest = format.largest {
      lines.append(
        "  \(ImageSize.most(largest)) in steps of \(format.granularity ?? 1) bytes; "
          + "sectors of \((format.sectorSizes ?? []).map(String.init).joined(separator: ", ")); "
          + (format.provisionings ?? []).joined(separator: ", ")
          + (format.hasBases ? "; over a base" : ""))
    }
    return lines
      + format.options.map {
        "  -o \($0.name)=  \($0.help) (\($0.values); \($0.standard) unless given)"
      }
  }
}

struct ImageSchemaCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schema", abstract: "Prints the JSON Schema of what --json prints.")
  func run() throws { ApusProgram.print(ImageSchema.text) }
}
