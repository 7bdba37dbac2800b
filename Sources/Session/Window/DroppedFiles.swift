// Files that were dropped on a window: which drive each is for, and why some are for none.
//
// Owns: telling floppies, CDs and everything else apart, the words for what cannot be used. Must not know: windows, which drives there are.

import Host
import Machine
import Storage

/// Dropped files by what they are.
struct DroppedFiles: Equatable {
  /// Floppy images, in the order they were dropped.
  private(set) var floppies: [String] = []
  /// CDs, in the order they were dropped.
  private(set) var discs: [String] = []
  /// What goes nowhere, with the reason, in words.
  private(set) var refused: [String] = []

  /// Looks at the files. None is written or kept open.
  init(_ paths: [String]) {
    // A sheet and the files it names are one disc.
    var parts: [String] = []
    for path in paths where DroppedFiles.suffix(path) == "cue" {
      if let image = try? ImageOpener.open(path: path, kind: .cd, looksOnly: true) {
        parts += image.device.layers.dropFirst().compactMap(\.file)
      }
    }
    for path in paths where !parts.contains(where: { HostFiles.isSame($0, path) }) {
      do throws(StorageError) { try sort(path) } catch {
        refused.append("\(DroppedFiles.name(path)): \(error.reason)")
      }
    }
  }

  private mutating func sort(_ path: String) throws(StorageError) {
    let name = DroppedFiles.name(path)
    if HostFiles.isDirectory(path) {
      refused.append("\(name): is a folder; only image files go into drives")
      return
    }
    let suffix = DroppedFiles.suffix(path)
    if ["iso", "cue"].contains(suffix) {
      // What is both a CD and a bootable disk was dropped for what its name says.
      _ = try ImageOpener.open(path: path, kind: .cd, looksOnly: true)
      discs.append(path)
      return
    }
    if suffix == "bin" {
      // The tracks are told by the sheet beside it; a raw dump that begins with audio tells nothing.
      let stem = path.dropLast(4)
      for sheet in [stem + ".cue", stem + ".CUE"].map(String.init) where HostFiles.exists(sheet) {
        if let image = try? ImageOpener.open(path: sheet, kind: .cd, looksOnly: true),
          image.device.layers.contains(where: { HostFiles.isSame($0.file ?? "", path) })
        {
          if !discs.contains(where: { HostFiles.isSame($0, sheet) }) { discs.append(sheet) }
          return
        }
      }
    }
    switch try ImageOpener.open(path: path, looksOnly: true).medium {
    case .floppy: floppies.append(path)
    case .cd: discs.append(path)
    case .disk, .flash:
      refused.append(
        "\(name): is no floppy and no CD (as a hard disk it goes in with the command line: --disk)")
    }
  }

  /// A file's name without its folder.
  static func name(_ path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
  }

  private static func suffix(_ path: String) -> String {
    let name = name(path)
    return name.lastIndex(of: ".").map { name[name.index(after: $0)...].lowercased() } ?? ""
  }
}

extension MachineWindow {
  /// Puts dropped files into drives: the first of each kind now, the others take turns with it from now on.
  /// - Parameter second: into drive B, or the second CD drive where there is one.
  func drop(_ paths: [String], second: Bool) {
    let files = DroppedFiles(paths)
    if let first = files.refused.first {
      let more = files.refused.count - 1
      tellUser(first + (more > 0 ? " (and \(more) more)" : ""))
    }
    if let first = files.floppies.first {
      let drive = second ? 1 : 0
      if files.floppies.count > 1 { setDisks(drive, files.floppies) }
      request(.insert(drive: drive, path: first))
    }
    if let first = files.discs.first {
      inputQueue.requestTask { [weak self] in
        let drive = second && $0.cdDriveStatus.count > 1 ? 1 : 0
        self?.drop($0, first, of: files.discs, drive)
      }
    }
  }

  /// On the machine's thread.
  private func drop(_ machine: Machine, _ disc: String, of discs: [String], _ drive: Int) {
    let change = MachineInput.cd(drive: drive, disc: FloppyChoice(path: disc, isProtected: true))
    guard machine.isHeld(change) else {
      if discs.count > 1 { setDisks(MachineWindow.cdList + drive, discs) }
      inputQueue.post(change)
      return
    }
    // It is not put in, but neither forgotten.
    inputQueue.post(.cd(drive: drive, disc: nil))
    setDisks(MachineWindow.cdList + drive, discs, next: 0)
    tellUser(
      "Ctrl+Alt+B puts \(DroppedFiles.name(disc)) in when the guest has let go"
        + (drive == chosenCDDrive ? "" : " (Ctrl+Alt+K first)"))
  }
}
