// `apus image ls, get, put, mkdir, rm, format`: files in images, without a machine.
//
// Owns: the options and the words. Must not know: file systems.

import ArgumentParser
import Host
import Images
import Storage

private let imageWords = "IMAGE is a file, or FILE:N for partition N of its disk."

struct ImageListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ls", abstract: "Lists files in an image.", discussion: imageWords)
  @OptionGroup var options: ImageReferenceOptions
  @Flag(name: .shortAndLong, help: "What is in folders, too.")
  var recursive = false
  @Flag(name: .short, help: "Sizes, times and attributes.")
  var long = false
  @Flag(name: .short, help: "Folders themselves, not what is in them.")
  var directory = false
  @Argument(help: ArgumentHelp("The image.", valueName: "image"))
  var image: String
  @Argument(help: ArgumentHelp("Files and folders; * and ? are possible.", valueName: "path"))
  var paths: [String] = []

  func run() throws {
    let result = try ImageOperations.list(
      options.volume(image), paths, isRecursive: recursive, namesFolders: directory)
    let width = result.entries.map { String($0.size).count }.max() ?? 0
    let lines = result.entries.map { entry in
      let name = entry.path + (entry.kind == "folder" ? "/" : "")
      if !long { return name }
      let size = String(entry.size)
      return entry.attributes + " " + String(repeating: " ", count: width - size.count) + size
        + "  "
        + entry.time + "  " + name
    }
    if let note = result.note { ApusProgram.say(["apus image: \(result.file): \(note)"]) }
    try ImageProgram.deliver(result, lines)
  }
}

struct ImageGetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "get", abstract: "Copies files out of an image.", discussion: imageWords)
  @OptionGroup var options: ImageReferenceOptions
  @OptionGroup var progress: ImageProgressOptions
  @Flag(name: .shortAndLong, help: "Folders with what is in them.")
  var recursive = false
  @Flag(help: "Files of the same names are replaced.")
  var force = false
  @Option(
    name: .customShort("o"),
    help: ArgumentHelp("A folder, or the one file's name. (default: here)", valueName: "target"))
  var output: String?
  @Argument(help: ArgumentHelp("The image.", valueName: "image"))
  var image: String
  @Argument(help: ArgumentHelp("Files and folders; * and ? are possible.", valueName: "path"))
  var paths: [String]

  func run() throws {
    let result = try ImageOperations.get(
      options.volume(image), paths, to: output, isRecursive: recursive, replaces: force,
      ImageProgram.job(progress))
    try ImageProgram.deliver(result, progress.quiet ? [] : result.entries.map(\.path))
  }
}

struct ImagePutCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "put", abstract: "Copies files into an image.", discussion: imageWords)
  @OptionGroup var options: ImageReferenceOptions
  @OptionGroup var progress: ImageProgressOptions
  @Flag(name: .shortAndLong, help: "Folders with what is in them.")
  var recursive = false
  @Flag(help: "Files of the same names are replaced.")
  var force = false
  @Option(
    name: .customShort("o"),
    help: ArgumentHelp(
      "Where in the image: 'DIR/' puts the files into a folder, made if there is none; 'DIR' does so if it is one; otherwise the one file gets that name. (default: the root)",
      valueName: "target"))
  var output = "/"
  @Argument(help: ArgumentHelp("The image.", valueName: "image"))
  var image: String
  @Argument(help: ArgumentHelp("Files of the host.", valueName: "file"))
  var files: [String]

  func run() throws {
    let result = try ImageOperations.put(
      options.volume(image), files, to: output, isRecursive: recursive, replaces: force,
      ImageProgram.job(progress))
    try ImageProgram.deliver(result, progress.quiet ? [] : result.entries.map(\.path))
  }
}

struct ImageMakeFolderCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mkdir", abstract: "Makes folders in an image.", discussion: imageWords)
  @OptionGroup var options: ImageReferenceOptions
  @Flag(name: .short, help: "Those above them, too, and none that is there is an error.")
  var parents = false
  @Argument(help: ArgumentHelp("The image.", valueName: "image"))
  var image: String
  @Argument(help: ArgumentHelp("Folders.", valueName: "path"))
  var paths: [String]

  func run() throws {
    let result = try ImageOperations.makeFolders(
      options.volume(image), paths, makesParents: parents)
    try ImageProgram.deliver(result, [])
  }
}

struct ImageRemoveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rm", abstract: "Removes files in an image.", discussion: imageWords)
  @OptionGroup var options: ImageReferenceOptions
  @Flag(name: .shortAndLong, help: "Folders with what is in them.")
  var recursive = false
  @Argument(help: ArgumentHelp("The image.", valueName: "image"))
  var image: String
  @Argument(help: ArgumentHelp("Files and folders; * and ? are possible.", valueName: "path"))
  var paths: [String]

  func run() throws {
    let result = try ImageOperations.remove(options.volume(image), paths, isRecursive: recursive)
    try ImageProgram.deliver(result, [])
  }
}

struct ImageFormatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "format", abstract: "Makes an empty FAT file system.",
    discussion: imageWords
      + " A floppy's size gets a floppy's file system, any other disk a table with one partition.")
  @OptionGroup var options: ImageReferenceOptions
  @Option(help: ArgumentHelp("12, 16 or 32. (default: by size)", valueName: "bits"))
  var fat: Int?
  @Option(name: .shortAndLong, help: ArgumentHelp("The volume's label.", valueName: "text"))
  var label: String?
  @Option(help: ArgumentHelp("Bytes in a cluster.", valueName: "bytes"))
  var clusterSize: String?
  @Flag(help: "The file system is the whole disk, without a partition table.")
  var noPartitions = false
  @Flag(help: "What is there is lost.")
  var force = false
  @Argument(help: ArgumentHelp("The image.", valueName: "image"))
  var image: String

  func run() throws {
    var request = FormatRequest(options.volume(image))
    if let fat {
      guard let kind = FATKind(rawValue: fat) else {
        throw Failure.usage("--fat \(fat): 12, 16 or 32")
      }
      request.kind = kind
    }
    request.label = label
    request.clusterSize = try clusterSize.map {
      Int(clamping: try ImageOperations.size($0, "--cluster-size"))
    }
    request.isSuperfloppy = noPartitions ? true : nil
    request.replaces = force
    let result = try ImageOperations.format(request)
    try ImageProgram.deliver(result, [])
  }
}
