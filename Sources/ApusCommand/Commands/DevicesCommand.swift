// `apus devices`: what a machine can have, and what can be chosen of each.
//
// Owns: the words and the objects. Must not know: any particular device; each says it of itself.

import Bus
import Host
import Machine

/// The subcommand.
enum DevicesProgram {
  static let help = """
    OVERVIEW: Lists the devices that a machine can have, and what the boards have of them.

    USAGE: apus devices [DEVICE] [--json]

    With a name: its options. What stands behind 'by' is there by that option; a machine gets another one by --device DEVICE[,option=value...]; --board says what it is built on.
    Exit codes: 0, or 64 for a name that there is not.
    """

  static func main(_ arguments: [String]) -> Never {
    HostSignals.ignorePipe()
    let (arguments, json) = JSONTarget.taken(from: arguments)
    do {
      if arguments.contains(where: { ["-h", "--help"].contains($0) }) {
        ApusProgram.print(help)
        ApusProgram.finish(0)
      }
      if let option = arguments.first(where: {
        $0.hasPrefix("-") && $0 != "--json" && !$0.hasPrefix("--json-file=")
      }) {
        throw Failure.usage("unknown option '\(option)'")
      }
      let names = arguments.filter { !$0.hasPrefix("-") }
      if names.count > 1 { throw Failure.usage("one device at a time") }
      let types = try names.first.map { [try type($0)] } ?? PartCatalogue.all.types
      if let json {
        try json.deliver(object(types).text)
      } else {
        ApusProgram.print((names.isEmpty ? list() : describe(types[0])).joined(separator: "\n"))
      }
      ApusProgram.finish(0)
    } catch let failure as Failure {
      ApusProgram.fail(failure, command: "apus devices", json: json)
    } catch {
      ApusProgram.fail(.usage("\(error)"), command: "apus devices", json: json)
    }
  }

  private static func type(_ name: String) throws -> PartType {
    guard let type = PartCatalogue.all[name] else {
      throw Failure.usage("there is no device '\(name)'; apus devices lists them")
    }
    return type
  }

  /// How many of a kind a board has at most.
  private static func count(_ type: PartType, _ text: String) -> Int {
    let entries = (try? BoardDescription(name: "", text: text))?.entries ?? []
    return entries.filter {
      $0.part.prefix { $0 != "," } == type.name && ($0.conditions.isEmpty || type.isMultiple)
    }.count
  }

  /// The option by which a board gets parts of a kind that not every machine has of itself; nil: none.
  static func option(for type: PartType) -> String? {
    switch type.name {
    case "vga-std": "--vga std (the default of board isa)"
    case "cirrus": "--vga cirrus"
    case "processor": "--processors N"
    case "piix4-pm": "--acpi 1 or 2 (the default on board pc from the P6 on)"
    case "io-apic": "--processors N, or board pc from the P6 on"
    case "local-apic": "--cpu pentium and later"
    case "uart": "each --serial behind the second"
    case "floppy-drive": "--floppy-a, --floppy-b"
    case "disk-drive": "--disk, --hda to --hdd"
    case "cd-drive": "--cdrom"
    case "fw-cfg": "--acpi, --bios, --kernel or --fw-cfg"
    case "kernel-loader": "--kernel"
    case "debug-exit": "--exit-port"
    default: nil
    }
  }

  static func list() -> [String] {
    let width = (PartCatalogue.all.types.map(\.name.count).max() ?? 0) + 2
    var lines = PartCatalogue.all.types.map { type in
      type.name + String(repeating: " ", count: width - type.name.count) + type.summary
        + (type.isMultiple ? " (several)" : "")
        + (option(for: type).map { "; by \($0)" } ?? "")
    }
    lines.append("")
    lines.append("boards: " + BoardDescription.boards.keys.sorted().joined(separator: ", "))
    return lines
  }

  static func describe(_ type: PartType) -> [String] {
    var lines = ["\(type.name): \(type.summary)"]
    if !type.isMultiple { lines.append("a machine has at most one") }
    if let option = option(for: type) { lines.append("there by \(option)") }
    for option in type.allOptions {
      let standard = option.standard.isEmpty ? "" : "; \(option.standard) unless given"
      lines.append("  \(option.name)=  \(option.help) (\(option.values)\(standard))")
    }
    for (name, text) in BoardDescription.boards.sorted(by: { $0.key < $1.key }) {
      let count = count(type, text)
      if count > 0 { lines.append("board \(name) has \(count == 1 ? "one" : "up to \(count)")") }
    }
    return lines
  }

  static func object(_ types: [PartType]) -> JSON {
    .object([
      ("schema", .string("apus-devices")), ("version", .number(1)),
      (
        "devices",
        .array(
          types.map { type in
            .object([
              ("name", .string(type.name)), ("summary", .string(type.summary)),
              ("several", .bool(type.isMultiple)),
              ("by", option(for: type).map { .string($0) } ?? .null),
              (
                "options",
                .array(
                  type.allOptions.map { option in
                    .object([
                      ("name", .string(option.name)), ("help", .string(option.help)),
                      ("values", .string(option.values)), ("default", .string(option.standard)),
                    ])
                  })
              ),
              (
                "boards",
                .object(
                  BoardDescription.boards.sorted { $0.key < $1.key }.map {
                    ($0.key, .number(UInt64(count(type, $0.value))))
                  })
              ),
            ])
          })
      ),
    ])
  }
}
