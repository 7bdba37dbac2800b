// What is wrong with a command line as a whole, before its values are looked at.
//
// Owns: options that were given twice, names that are empty. Must not know: what options mean.

extension ArgumentScan {
  /// Options that may be given again; by their names without dashes.
  private static let repeatable: Set<String> = [
    "floppy-a", "fda", "floppy-b", "fdb", "disk", "translator-disable", "rom", "initrd", "serial",
    "type", "type-serial", "change", "press", "cdrom", "cdrom-at", "cdrom-next", "expect",
    "expect-line",
    "expect-regex",
    "expect-gone", "within",
    "command", "script",
    "dump-block", "device", "fw-cfg", "fw_cfg",
  ]
  /// Options whose value is a file.
  private static let files: Set<String> = [
    "floppy-a", "fda", "floppy-b", "fdb", "disk", "hda", "hdb", "hdc", "hdd", "cdrom", "cdrom-next",
    "bios", "flash", "vga-bios",
    "kernel", "initrd", "debug-console", "screenshot", "save-state", "load-state", "record",
    "replay", "script", "json-file",
  ]

  /// - Throws: `Failure` for a value that would be dropped without a word, or a file without a name.
  func check() throws {
    var seen: [String: String] = [:]
    for word in words {
      switch word {
      case .positional(""):
        throw Failure.usage("an image's name is empty (two quotes, or a variable without a value)")
      case .option(let typed, let value?):
        let name = String(typed.drop { $0 == "-" })
        // What `JSONTarget` makes of --json=FILE.
        let typed = name == "json-file" ? "--json" : typed
        if ArgumentScan.files.contains(name), value.isEmpty {
          throw Failure.usage("\(typed): the file's name is empty")
        }
        if ArgumentScan.repeatable.contains(name) { continue }
        // The only option of which the short form is another word.
        let canonical = name == "m" ? "memory" : name
        if let other = seen[canonical] {
          throw Failure.usage(
            other == typed
              ? "\(typed) is given twice, but there is only one value for it"
              : "\(other) and \(typed) are the same, and there is only one value for it")
        }
        seen[canonical] = typed
      default: break
      }
    }
  }
}

/// The same for commands whose options only the parser knows, which takes the last of several values without a word.
enum OptionsTwice {
  /// - Parameter help: the command's; options that may be given again say "repeatable" there.
  /// - Throws: `Failure` for a value that would be dropped.
  static func check(_ arguments: [String], help: String) throws {
    let options = CompletionProgram.options(in: help)
    let repeatable = repeatable(in: help)
    var seen: Set<String> = []
    var index = 0
    while index < arguments.count, arguments[index] != "--" {
      let word = arguments[index]
      index += 1
      let name = String(word.prefix { $0 != "=" })
      guard let value = options[name], value != nil else { continue }
      if name == word { index += 1 }
      if repeatable.contains(name) { continue }
      if !seen.insert(name).inserted {
        throw Failure.usage("\(name) is given twice, but there is only one value for it")
      }
    }
  }

  private static func repeatable(in help: String) -> Set<String> {
    var found: Set<String> = []
    var name = ""
    for line in help.split(separator: "\n") {
      if line.hasPrefix("  -") {
        name = String(line.dropFirst(2).prefix { $0 != " " && $0 != "," })
      } else if !line.hasPrefix("   ") {
        name = ""
      }
      if line.contains("epeatable") { found.insert(name) }
    }
    return found
  }
}
