// `apus image`: everything that is done with images without a machine.
//
// Owns: the entry, errors and exit codes, the progress bar, Ctrl-C. Must not know: how anything is done; the module Images does it.

import ArgumentParser
import Host
import Images
import Storage

/// The subcommand's own entry.
enum ImageProgram {
  static func main(_ arguments: [String]) -> Never {
    HostSignals.ignorePipe()
    let (words, json) = JSONTarget.taken(from: arguments)
    target = json
    if let word = words.first(where: { !$0.hasPrefix("-") }),
      !(["help"] + commandNames).contains(word), let near = near(word)
    {
      ApusProgram.fail(
        .usage("there is no command '\(word)'; did you mean '\(near)'?"), command: "apus image",
        json: json)
    }
    do {
      var command = try ImageCommand.parseAsRoot(
        prepared(words.filter { $0 != "--json" && !$0.hasPrefix("--json-file=") }))
      try command.run()
      ApusProgram.finish(0)
    } catch let exit as ExitCode {
      ApusProgram.finish(exit.rawValue)
    } catch let failure as Failure {
      ApusProgram.fail(failure, command: "apus image", json: json)
    } catch let error as ImageUsageError {
      ApusProgram.fail(.usage("\(error)"), command: "apus image", json: json)
    } catch let error as StorageError where error.isUsage {
      ApusProgram.fail(.usage("\(error)"), command: "apus image", json: json)
    } catch let error as StorageError {
      fail(error, json)
    } catch is ImageCancelled {
      ApusProgram.say([
        words.first { !$0.hasPrefix("-") } == "commit"
          ? "apus image: cancelled; the overlay shows what it did: commit it again"
          : "apus image: cancelled; nothing is left of it but what --resume goes on with"
      ])
      ApusProgram.finish(130)
    } catch {
      ApusProgram.endParsing(
        text: ImageCommand.fullMessage(for: error),
        isSuccess: ImageCommand.exitCode(for: error).isSuccess, command: "apus image", json: json)
    }
  }

  private static let commandNames = ImageCommand.configuration.subcommands.compactMap {
    $0.configuration.commandName
  }

  /// The command that was meant, perhaps.
  static func near(_ word: String) -> String? {
    let others = [
      "list": "ls", "dir": "ls", "copy": "convert", "new": "create", "delete": "rm", "del": "rm",
      "amend": "rebase", "cat": "get", "extract": "get", "add": "put", "diff": "compare",
      "benchmark": "bench", "mkfs": "format", "fix": "repair", "measure": "info",
    ]
    if let other = others[word.lowercased()] { return other }
    return NearWord.of(word, in: commandNames)
  }

  /// Where the object of --json goes; set once, before anything runs.
  nonisolated(unsafe) static var target: JSONTarget?

  /// What images refuse, with qemu-img's code for a failure; `compare` has another.
  static func fail(_ error: StorageError, _ json: JSONTarget?, code: Int32 = 1) -> Never {
    ApusProgram.say(["apus image: \(error)"])
    json?.deliver(
      error: JSON.object([
        ("schema", .string("apus-error")), ("version", .number(1)), ("kind", .string("host")),
        ("message", .string("\(error)")), ("file", .string(error.path)),
        ("exitCode", .signed(Int(code))),
      ]).text, about: error.path)
    ApusProgram.finish(code)
  }

  /// "-1G" behind resize is a size and no option, as in "resize a.img -1G"; dd's words are its own.
  static func prepared(_ words: [String]) -> [String] {
    guard words.first == "resize", !words.contains("--"),
      let index = words.firstIndex(where: {
        $0.hasPrefix("-") && $0.dropFirst().first?.isNumber == true
      })
    else { return words }
    var rest = words
    let size = rest.remove(at: index)
    // What is no option stands behind, in its order.
    let valued = ["-f", "--key-file", "--key-ring"]
    let plain = rest.indices.filter {
      $0 > 0 && !rest[$0].hasPrefix("-") && !valued.contains(rest[$0 - 1])
    }
    guard let last = plain.last else { return words }
    let file = rest.remove(at: last)
    return rest + ["--", file, size]
  }

  /// Delivers a result, to programs or to people.
  static func deliver(_ result: some Encodable, _ lines: @autoclosure () -> [String]) throws {
    if let target {
      try target.deliver(try JSONText.encode(result))
    } else {
      for line in lines() { ApusProgram.print(ApusProgram.harmless(line)) }
    }
  }

  /// A job that shows its progress on a terminal, and ends when somebody asks for that.
  static func job(_ options: ImageProgressOptions) -> ImageJob {
    let shows = options.progress || (HostTerminal.isTerminal(2) && !options.quiet)
    let job = shows ? ImageJob { ImageProgressBar.show($0) } : ImageJob()
    try? HostSignals.onEnd { _ in job.cancel() }
    return job
  }
}

/// The bar on standard error.
enum ImageProgressBar {
  private static let width = 30

  static func show(_ progress: ImageProgress) {
    let full = Int((progress.share * Double(width)).rounded(.down))
    let bar = String(repeating: "#", count: full) + String(repeating: ".", count: width - full)
    let isDone = progress.done >= progress.total
    // The rest of a longer line before is wiped out.
    HostFiles.print(
      Array("\r[\(bar)] \(progress.text)\u{1B}[K\(isDone ? "\n" : "")".utf8), toError: true)
  }
}

struct ImageCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus image",
    abstract: "Makes, inspects, converts and mends disk images, and files in them.",
    discussion: """
      Exit codes: 0, 1 something failed, 64 bad usage; check also 2 corrupt, 3 leaks only, 63 the format cannot be checked; compare 1 \
      different, 2 something failed; 130 ended by Ctrl-C. Options mean what qemu-img's mean where they have its names. --json prints an \
      object (apus image schema).
      """,
    subcommands: [
      ImageInfoCommand.self, ImageCreateCommand.self, ImageConvertCommand.self,
      ImageResizeCommand.self, ImageCheckCommand.self, ImageRepairCommand.self,
      ImageCompareCommand.self, ImageMapCommand.self, ImageCommitCommand.self,
      ImageRebaseCommand.self, ImageSnapshotCommand.self, ImageBenchCommand.self,
      ImageCopyBlocksCommand.self, ImageListCommand.self, ImageGetCommand.self,
      ImagePutCommand.self, ImageMakeFolderCommand.self, ImageRemoveCommand.self,
      ImageFormatCommand.self, ImageFormatsCommand.self, ImageSchemaCommand.self,
    ])
}

/// Which image is meant.
struct ImageReferenceOptions: ParsableArguments {
  @Option(
    name: .customShort("f"),
    help: ArgumentHelp("The image's format. (default: found out)", valueName: "format"))
  var format: String?
  @Flag(help: "The image may name files anywhere as its bases and parts, not only beside it.")
  var trustNames = false
  @Option(
    help: ArgumentHelp(
      "A folder, or nbd://HOST, in which images below may lie, too; repeatable.", valueName: "path")
  )
  var allowBases: [String] = []

  var names: ImageFiles.Names {
    trustNames ? .anywhere : allowBases.isEmpty ? .beside : .allowed(allowBases)
  }

  @OptionGroup var keys: ImageKeyOptions

  /// - Parameter prompts: somebody at the terminal is asked for the key of an encrypted image.
  func reference(_ path: String, _ format: String? = nil, prompts: Bool = true) -> ImageReference {
    ImageReference(
      path, format: format ?? self.format, names: names,
      keys: keys.keys(prompts: prompts))
  }

  func volume(_ text: String) -> VolumeReference {
    VolumeReference(
      text, format: format, names: names, keys: keys.keys())
  }
}

struct ImageProgressOptions: ParsableArguments {
  @Flag(name: .shortAndLong, help: "Show progress also where standard error is no terminal.")
  var progress = false
  @Flag(name: .shortAndLong, help: "Say nothing but errors.")
  var quiet = false
}

extension ImageOperations {
  /// A size, or what is wrong with it.
  static func size(_ text: String, _ option: String) throws -> UInt64 {
    guard let size = ImageSize.parse(text) else {
      throw Failure.usage("\(option) \(text): a size as in 512, 64k, 1.5G")
    }
    return size
  }
}
