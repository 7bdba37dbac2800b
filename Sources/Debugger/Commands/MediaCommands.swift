// Disks in the console: what is in the floppy drives, another disk while the machine stands still.
//
// Owns: media eject insert. Must not know: controllers, image formats.

import Machine

extension Debugger {
  static var mediaCommands: [Command] {
    [
      Command("media disks", "", "files", "What is in the floppy drives.") { d, _ in d.media() },
      Command(
        "eject", "A|B", "files",
        "Take the disk out of a floppy drive; what the guest wrote to it is flushed."
      ) { d, a in
        try d.change(try Debugger.floppyDrive(a), to: nil)
      },
      Command(
        "insert", "A|B FILE[:ro]", "files",
        """
        Put a disk into a floppy drive, in place of the one that may be in it.
        The guest sees the change line, as with a real drive. :ro closes the disk's write-protect tab.
        """
      ) { d, a in
        let (name, rest) = Debugger.split(a)
        let drive = try Debugger.floppyDrive(name)
        let (path, isProtected) = FloppyChoice.parts(of: Debugger.unquoted(rest))
        if path.isEmpty { throw DebuggerError("a file is missing") }
        return try d.change(drive, to: FloppyChoice(path: path, isProtected: isProtected))
      },
    ]
  }

  private static func floppyDrive(_ text: String) throws -> Int {
    switch Debugger.trim(text).lowercased() {
    case "a", "a:", "0": return 0
    case "b", "b:", "1": return 1
    default: throw DebuggerError("a drive is A or B")
    }
  }

  private func change(_ drive: Int, to choice: FloppyChoice?) throws -> View {
    do { try machine.changeFloppy(drive: drive, to: choice) } catch {
      throw DebuggerError("\(error)")
    }
    return media()
  }

  private func media() -> View {
    let drives = machine.floppyDrives
    let lines = drives.enumerated().map { index, drive -> String in
      let name = index == 0 ? "A" : "B"
      if drive.type == .none { return "\(name): no drive" }
      guard let disk = drive.disk else { return "\(name): no disk" }
      return
        "\(name): \(disk) (\(drive.format ?? "?")\(drive.isProtected ? ", write-protected" : ""))"
    }
    return View(
      lines,
      json: .array(
        drives.enumerated().map { index, drive in
          .object([
            ("drive", .string(index == 0 ? "A" : "B")),
            ("present", .bool(drive.type != .none)),
            ("disk", drive.disk.map { .string($0) } ?? .null),
            ("format", drive.format.map { .string($0) } ?? .null),
            ("writeProtected", .bool(drive.isProtected)),
          ])
        }))
  }
}
