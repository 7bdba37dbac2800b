// Disks in the console: what is in the floppy and CD drives, another disk while the machine stands still.
//
// Owns: media eject insert. Must not know: controllers, image formats.

import Machine

extension Debugger {
  static var mediaCommands: [Command] {
    [
      Command("media disks", "", "files", "What is in the floppy and CD drives.") { d, _ in
        d.media()
      },
      Command(
        "eject", "A|B|CD", "files",
        """
        Take the disk out of a drive; what the guest wrote to it is flushed.
        CD is the first CD drive, CD2 the second. Where the guest has locked the tray it is asked to let go, as by the drive's button.
        """
      ) { d, a in
        if let drive = Debugger.cdDrive(a) { return try d.changeCD(drive, to: nil) }
        return try d.change(try Debugger.floppyDrive(a), to: nil)
      },
      Command(
        "insert", "A|B|CD FILE[:ro]", "files",
        """
        Put a disk into a drive, in place of the one that may be in it.
        The guest sees the change line, as with a real drive. :ro closes the disk's write-protect tab.
        """
      ) { d, a in
        let (name, rest) = Debugger.split(a)
        let (path, isProtected) = FloppyChoice.parts(of: Debugger.unquoted(rest))
        if path.isEmpty { throw DebuggerError("a file is missing") }
        if let drive = Debugger.cdDrive(name) {
          return try d.changeCD(drive, to: FloppyChoice(path: path, isProtected: true))
        }
        let drive = try Debugger.floppyDrive(name)
        return try d.change(drive, to: FloppyChoice(path: path, isProtected: isProtected))
      },
    ]
  }

  private static func floppyDrive(_ text: String) throws -> Int {
    switch Debugger.trim(text).lowercased() {
    case "a", "a:", "0": return 0
    case "b", "b:", "1": return 1
    default: throw DebuggerError("a drive is A, B or CD")
    }
  }

  /// The CD drive that a name means; nil: it is no CD drive's.
  private static func cdDrive(_ text: String) -> Int? {
    switch Debugger.trim(text).lowercased() {
    case "cd", "cd:", "cd1": 0
    case "cd2": 1
    case "cd3": 2
    case "cd4": 3
    default: nil
    }
  }

  private func changeCD(_ drive: Int, to choice: FloppyChoice?) throws -> View {
    do { try machine.changeCD(drive: drive, to: choice) } catch {
      throw DebuggerError("\(error)")
    }
    return media()
  }

  private func change(_ drive: Int, to choice: FloppyChoice?) throws -> View {
    do { try machine.changeFloppy(drive: drive, to: choice) } catch {
      throw DebuggerError("\(error)")
    }
    return media()
  }

  private func media() -> View {
    let drives = machine.floppyDrives
    let discs = machine.cdDriveStatus
    let discLines = discs.enumerated().map { n, drive -> String in
      let state =
        (drive.isTrayOpen ? ", tray open" : "") + (drive.isLocked ? ", locked by the guest" : "")
      return "CD\(n == 0 ? "" : "\(n + 1)"): \(drive.disc ?? "no disc") (\(drive.place)\(state))"
    }
    let lines = drives.enumerated().map { index, drive -> String in
      let name = index == 0 ? "A" : "B"
      if drive.type == .none { return "\(name): no drive" }
      guard let disk = drive.disk else { return "\(name): no disk" }
      return
        "\(name): \(disk) (\(drive.format ?? "?")\(drive.isProtected ? ", write-protected" : ""))"
    }
    return View(
      lines + discLines,
      json: .array(
        drives.enumerated().map { index, drive in
          .object([
            ("drive", .string(index == 0 ? "A" : "B")),
            ("present", .bool(drive.type != .none)),
            ("disk", drive.disk.map { .string($0) } ?? .null),
            ("format", drive.format.map { .string($0) } ?? .null),
            ("writeProtected", .bool(drive.isProtected)),
          ])
        }
          + discs.enumerated().map { n, drive in
            .object([
              ("drive", .string(n == 0 ? "CD" : "CD\(n + 1)")), ("present", .bool(true)),
              ("disk", drive.disc.map { .string($0) } ?? .null),
              ("place", .string(drive.place)), ("trayOpen", .bool(drive.isTrayOpen)),
              ("locked", .bool(drive.isLocked)), ("writeProtected", .bool(true)),
            ])
          }))
  }
}
