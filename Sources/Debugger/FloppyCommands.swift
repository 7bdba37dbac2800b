// Disks in the floppy drives, from the console.
//
// Owns: the commands `floppy` and `eject`. Must not know: how images are opened.

import Chipset
import Machine

extension Debugger {
  static var floppyCommands: [Command] {
    [
      Command(
        "floppy insert", "[a|b] [FILE]", "files",
        """
        Put another disk into drive A (or B), or list what is in them.
        A recording notes it like a key; going back in time puts the former disk back.
        """
      ) { d, a in try d.floppy(a) },
      Command("eject", "[a|b]", "files", "Take the disk out of drive A (or B).") { d, a in
        let (drive, rest) = Debugger.drive(a)
        if !rest.isEmpty { throw DebuggerError("a or b is wanted") }
        try d.change(FloppyChange(drive: drive, path: nil))
        return d.floppies()
      },
    ]
  }

  /// A drive's letter at the start of the arguments, and what follows.
  private static func drive(_ arguments: String) -> (Int, String) {
    let (first, rest) = firstWord(arguments)
    switch first.lowercased() {
    case "a", "a:": return (0, rest)
    case "b", "b:": return (1, rest)
    default: return (0, arguments)
    }
  }

  private func floppy(_ arguments: String) throws(DebuggerError) -> View {
    let (drive, rest) = Debugger.drive(arguments)
    let path = Debugger.unquoted(Debugger.trim(rest))
    if !path.isEmpty { try change(FloppyChange(drive: drive, path: path)) }
    return floppies()
  }

  private func change(_ change: FloppyChange) throws(DebuggerError) {
    let before = machine.notice
    defer { machine.notice = before }
    var refusal: String?
    machine.notice = { refusal = $0 }
    machine.act(.floppy(change))
    if machine.floppyName(change.drive) != change.path {
      throw DebuggerError(refusal ?? "the disk was not changed")
    }
  }

  private func floppies() -> View {
    let names = [0, 1].map { machine.floppyName($0) }
    return View(
      zip(["A", "B"], names).map { "\($0): \($1 ?? "empty")" },
      json: .object([
        ("a", names[0].map { .string($0) } ?? .null), ("b", names[1].map { .string($0) } ?? .null),
      ]))
  }
}
