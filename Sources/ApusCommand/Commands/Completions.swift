// Completions for shells.
//
// Owns: what may stand at a place of a command line, and the few lines that make a shell ask for it. Must not know: what options do.
//
// The scripts ask the program itself (`apus completions --for WORD...`), so that they know what it knows. The answer's first line says whether
// names of files are possible, too; the others are words.

import ArgumentParser
import Benchmark
import Bus
import Host
import Machine
import Translator

/// `apus completions SHELL`.
enum CompletionProgram {
  static let shells = ["bash", "zsh", "fish"]

  static func main(_ arguments: [String]) -> Never {
    HostSignals.ignorePipe()
    if arguments.first == "--for" {
      let answer = answer(Array(arguments.dropFirst()))
      ApusProgram.print(([answer.files ? "files" : "words"] + answer.words).joined(separator: "\n"))
      ApusProgram.finish(0)
    }
    if arguments.contains(where: { ["-h", "--help"].contains($0) }) {
      ApusProgram.print(
        "USAGE: apus completions bash|zsh|fish    (.ci/setup --install installs them)")
      ApusProgram.finish(0)
    }
    guard arguments.count == 1, let script = script(arguments[0]) else {
      ApusProgram.fail(
        .usage("bash, zsh or fish is wanted"), command: "apus completions", json: nil)
    }
    ApusProgram.print(script)
    ApusProgram.finish(0)
  }

  /// The shell of `--generate-completion-script SHELL`, as other programs have it.
  static func shell(in arguments: [String]) -> String? {
    let name = "--generate-completion-script"
    if let index = arguments.firstIndex(of: name) {
      return index + 1 < arguments.count ? arguments[index + 1] : ""
    }
    return arguments.first { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
  }

  // MARK: Answers

  /// Values that have names.
  private static let values: [String: [String]] = [
    "--cpu": ["386", "486", "pentium", "pentium-mmx", "pentium2", "pentium3", "pentium4"],
    "--engine": ["translator", "interpreter", "lockstep"], "--fpu": ["software", "host"],
    "--boot": ["a", "c", "d", "n", "acdn", "cad", "dca", "menu"], "--speed": ["max", "realtime"],
    "--cpu-speed": ["auto", "max"], "--cdrom-at": ["hda", "hdb", "hdc", "hdd"],
    "--change": ["a=", "b=", "cd=", "cd2="],
    "--rtc": ["host", "localtime", "utc"],
    "--serial": ["stdio", "pty", "null", "file:", "tcp:", "unix:"], "--gdb": ["tcp:", "unix:"],
    "--on-triple-fault": ["reset", "stop"], "--code-page": ["437", "850"],
    "--acpi": ACPIRevision.allCases.map(\.rawValue), "--press": ["power", "reset"],
    "--vga": DisplayAdapter.allCases.map(\.rawValue),
    "--vram": ["1", "2", "4", "8", "16", "32"],
    "--board": BoardDescription.boards.keys.sorted(),
    "--device": PartCatalogue.all.types.map(\.name),
    "--translator-disable": TranslatorOptions.named.map(\.name),
    "--against": ["qemu", "bochs", "native", "none"],
  ]
  private static let fileValues: Set<String> = ["file", "folder", "path", "file@address"]

  /// What may stand in place of the last of `words`, which follow the program's name.
  static func answer(_ words: [String]) -> (words: [String], files: Bool) {
    let current = words.last ?? ""
    var before = Array(words.dropLast())
    var context = ""
    var first: [String] = []
    var help = ""
    if let word = before.first, Apus.subcommands.contains(word) {
      context = word
      before.removeFirst()
    }
    switch context {
    case "conform":
      if before.isEmpty { first = ConformProgram.parts }
      help = ConformProgram.help(for: before.first)
    case "image":
      let commands = ImageCommand.configuration.subcommands
      let names = commands.map { $0.configuration.commandName ?? "" }
      if let n = names.firstIndex(of: before.first ?? "") {
        help = ImageCommand.helpMessage(for: commands[n])
      } else if before.isEmpty {
        first = names
      }
    case "snapshot":
      let commands = SnapshotCommand.configuration.subcommands
      let names = commands.map { $0.configuration.commandName ?? "" }
      if let n = names.firstIndex(of: before.first ?? "") {
        help = SnapshotCommand.helpMessage(for: commands[n])
      } else if before.isEmpty {
        first = names
      }
    case "template":
      let commands = TemplateCommand.configuration.subcommands
      let names = commands.map { $0.configuration.commandName ?? "" }
      if let n = names.firstIndex(of: before.first ?? "") {
        help = TemplateCommand.helpMessage(for: commands[n])
      } else if before.isEmpty {
        first = names + ["start"]
      }
    case "fork": help = ForkCommand.helpMessage()
    case "migrate":
      let commands = MigrateCommand.configuration.subcommands
      let names = commands.map { $0.configuration.commandName ?? "" }
      if let n = names.firstIndex(of: before.first ?? "") {
        help = MigrateCommand.helpMessage(for: commands[n])
      } else if before.isEmpty {
        first = names
      }
    case "backup":
      let commands = BackupCommand.configuration.subcommands
      let names = commands.map { $0.configuration.commandName ?? "" }
      if let n = names.firstIndex(of: before.first ?? "") {
        help = BackupCommand.helpMessage(for: commands[n])
      } else if before.isEmpty {
        first = names
      }
    case "store":
      let commands = StoreCommand.configuration.subcommands
      let names = commands.map { $0.configuration.commandName ?? "" }
      if let n = names.firstIndex(of: before.first ?? "") {
        help = StoreCommand.helpMessage(for: commands[n])
      } else if before.isEmpty {
        first = names
      }
    case "bench":
      help = BenchCommand.helpMessage()
      first = ["start"] + Kernel.all.map(\.name)
    case "schema":
      let names = Schemas.all.map(\.name)
      return (
        matching(current.isEmpty ? names : names + names.map { "apus-" + $0 }, current), false
      )
    case "completions": return (matching(shells, current), false)
    case "devices":
      let names = before.contains { !$0.hasPrefix("-") } ? [] : PartCatalogue.all.types.map(\.name)
      return (matching(current.hasPrefix("-") ? ["--help", "--json"] : names, current), false)
    default:
      help = ApusOptions.helpMessage(includeHidden: true)
      if context.isEmpty && before.isEmpty { first = Apus.subcommands }
    }
    let options = options(in: help)
    if let last = before.last, let value = options[last] ?? nil {
      let name = last.hasPrefix("--") ? last : "-" + last
      return (matching(values[name] ?? [], current), fileValues.contains(value))
    }
    if current.hasPrefix("-") { return (matching(options.keys.sorted(), current), false) }
    return (matching(first, current), context != "bench")
  }

  private static func matching(_ words: [String], _ start: String) -> [String] {
    words.filter { $0.hasPrefix(start) }
  }

  /// The options of a help text with the names of their values; nil: they have none.
  static func options(in help: String) -> [String: String?] {
    var found: [String: String?] = [:]
    for line in help.split(separator: "\n") where line.hasPrefix("  -") {
      var names: [String] = []
      var value: String?
      for word in line.split(separator: " ") {
        if word.hasPrefix("-") {
          // `--a/--no-a` are two.
          names += word.split(separator: "/").map { String($0.prefix { $0 != "," }) }
          if !word.hasSuffix(",") { continue }
        } else {
          if word.hasPrefix("<") { value = String(word.dropFirst().prefix { $0 != ">" }) }
          break
        }
      }
      for name in names { found.updateValue(value, forKey: name) }
    }
    return found
  }

  // MARK: Scripts

  /// The script of a shell, or nil.
  static func script(_ shell: String) -> String? {
    switch shell {
    case "bash":
      """
      _apus() {
        local IFS=$'\\n' answer
        answer=($(apus completions --for "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
        COMPREPLY=("${answer[@]:1}")
        if [ "${answer[0]}" = files ]; then
          compopt -o filenames 2>/dev/null
          COMPREPLY+=($(compgen -f -- "$2"))
        elif [ "${#COMPREPLY[@]}" = 1 ]; then
          case ${COMPREPLY[0]} in *:) compopt -o nospace 2>/dev/null ;; esac
        fi
      }
      complete -F _apus apus
      """
    case "zsh":
      """
      #compdef apus
      _apus() {
        local -a answer
        answer=("${(@f)$(apus completions --for "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
        (( ${#answer} > 1 )) && compadd -- "${(@)answer[2,-1]}"
        [[ ${answer[1]} = files ]] && _files
      }
      if [ "$funcstack[1]" = "_apus" ]; then _apus "$@"; else compdef _apus apus; fi
      """
    case "fish":
      """
      function __apus_complete
          set -l words (commandline -opc) (commandline -ct)
          set -l answer (apus completions --for $words[2..-1] 2>/dev/null)
          printf '%s\\n' $answer[2..-1]
          if test "$answer[1]" = files
              __fish_complete_path (commandline -ct)
          end
      end
      complete -c apus -f -a '(__apus_complete)'
      """
    default: nil
    }
  }
}
