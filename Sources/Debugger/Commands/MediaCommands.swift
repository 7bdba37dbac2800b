// Disks in the console: what is in the floppy and CD drives, another disk while the machine stands still.
//
// Owns: media eject insert (change). Must not know: controllers, image formats.

import Machine

extension Debugger {
  static var mediaCommands: [Command] {
    [
      Command("media disks", "", "files", "What is in the floppy and CD drives.") { d, _ in
        d.media()
      },
      Command(
        "eject", "A|B|CD|CD2 [-f]", "files",
        """
        Take the disk out of a drive; what the guest wrote to it is flushed.
        CD is the first CD drive, CD2 the second (to CD4). Where the guest has locked the tray it is asked to let go, as by the drive's button; -f
        (or !CD) takes the disc all the same.
        """
      ) { d, a in
        let (name, rest, forced) = try Debugger.drive(a)
        if !rest.isEmpty { throw DebuggerError("eject takes a drive and nothing else") }
        if let drive = Debugger.cdDrive(name) { return try d.changeCD(drive, to: nil, forced) }
        return try d.change(try Debugger.floppyDrive(name, forced), to: nil)
      },
      Command(
        "insert change", "A|B|CD|CD2 [-f] FILE[:ro]", "files",
        """
        Put a disk into a drive, in place of the one that may be in it.
        CD is the first CD drive, CD2 the second (to CD4). The guest sees the change line, as with a real drive. :ro closes the disk's write-protect tab. Where the guest has locked a CD
        drive's tray it is asked to let go, and the disc is not put in; -f (or !CD) does it all the same.
        """
      ) { d, a in
        let (name, rest, forced) = try Debugger.drive(a)
        let (path, isProtected) = FloppyChoice.parts(of: Debugger.unquoted(rest))
        if path.isEmpty {
          throw DebuggerError(
            "a file is missing (eject \(name.isEmpty ? "A" : name) takes a disk out)")
        }
        if let drive = Debugger.cdDrive(name) {
          return try d.changeCD(drive, to: FloppyChoice(path: path, isProtected: true), forced)
        }
        let drive = try Debugger.floppyDrive(name, forced)
        return try d.change(drive, to: FloppyChoice(path: path, isProtected: isProtected))
      },
    ]
  }

  /// A drive with `-f` before or behind it, or `!`, and what follows.
  private static func drive(_ text: String) throws -> (name: String, rest: String, forced: Bool) {
    var forced = false
    var (name, rest) = firstWord(text)
    if name == "-f" {
      forced = true
      (name, rest) = firstWord(rest)
    }
    if name.hasPrefix("!") {
      forced = true
      name.removeFirst()
    }
    let (next, behind) = firstWord(rest)
    if next == "-f" {
      forced = true
      rest = behind
    }
    return (name, rest, forced)
  }

  private static func floppyDrive(_ text: String, _ forced: Bool) throws -> Int {
    let drive: Int
    switch Debugger.trim(text).lowercased() {
    case "a", "a:", "0": drive = 0
    case "b", "b:", "1": drive = 1
    default: throw DebuggerError("a drive is A, B or CD (CD2 the second CD drive)")
    }
    if forced { throw DebuggerError("only the tray of a CD drive can be locked, and forced") }
    return drive
  }

  /// The CD drive that a name means; nil: it is no CD drive's.
  static func cdDrive(_ text: String) -> Int? {
    switch Debugger.trim(text).lowercased() {
    case "cd", "cd:", "cd1": 0
    case "cd2": 1
    case "cd3": 2
    case "cd4": 3
    default: nil
    }
  }

  private func changeCD(_ drive: Int, to choice: FloppyChoice?, _ forced: Bool) throws -> View {
    let isDone: Bool
    do throws(MediaError) {
      isDone = try machine.changeCD(drive: drive, to: choice, forced: forced)
    } catch {
      throw DebuggerError("\(error)")
    }
    if isDone { return media() }
    let name = Debugger.cdName(drive)
    throw DebuggerError(
      "the guest has locked the tray and was asked to let go of the disc; nothing else was done ("
        + (choice.map { "insert -f \(name) \($0.path)" } ?? "eject -f \(name)")
        + " does it all the same)")
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
      return "\(Debugger.cdName(n)): \(drive.disc ?? "no disc") (\(drive.place)\(state))"
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
