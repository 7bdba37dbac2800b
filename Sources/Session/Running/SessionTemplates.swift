// Templates of a session's machine, while it runs.
//
// Owns: the way to them from any thread but the machine's. Must not know: the form of a template, who asks.

import Machine
import Snapshots
import Storage

extension Session {
  /// Makes a template of the machine, which goes on meanwhile but for a moment. Not on the machine's thread, which it would hold up.
  /// - Parameters:
  ///   - path: the new file.
  ///   - name: a snapshot of it; nil: as it is now.
  ///   - replaces: a file of that name is replaced.
  /// - Throws: nothing of the file is left.
  public func makeTemplate(
    at path: String, of name: String? = nil, replacing replaces: Bool = false
  ) throws(StorageError) -> TemplateHeader {
    let opened = machine.configuration
    if !machine.volumeKeys.isEmpty {
      throw refuseTemplate(
        "a disk is encrypted, and a template would have what is in it for everybody")
    }
    if (opened.disks + opened.floppies).contains(where: { $0?.device.persistence == .overlay }) {
      throw refuseTemplate("what a run with --snapshot has on its disks is in none of its files")
    }
    let tree = try tree()
    let record: SnapshotRecord
    if let name {
      record = try tree.snapshot(name)
    } else {
      let names = Set(tree.snapshots.map(\.name))
      var number = 1
      while names.contains("template-\(number)") { number += 1 }
      var wish = SnapshotWish("template-\(number)")
      wish.isTemporary = true
      record = try takeSnapshot(wish).0
    }
    defer { if name == nil { _ = try? deleteSnapshots([record.id]) } }
    let known = tree.disks
    var disks: [(TemplateHeader.Disk, any BlockDevice)] = []
    for index in tree.attachedNumbers {
      let disk = known[index]
      guard disk.drive.hasPrefix("medium-disk"), let number = Int(disk.drive.dropFirst(11)),
        opened.disks.indices.contains(number), let image = opened.disks[number],
        case .disk(let physical, let translated) = image.medium
      else {
        throw refuseTemplate(
          "a template has hard disks, and this machine has \(disk.drive.dropFirst(7)), too")
      }
      let source = try tree.source(index, of: record)
      disks.append(
        (
          TemplateHeader.Disk(
            drive: disk.drive, name: image.name, physical: physical, translated: translated,
            byteCount: source.blockCount * UInt64(source.blockSize)), source
        ))
    }
    return try tree.makeTemplate(of: record, disks: disks, to: path, replacing: replaces)
  }

  private func refuseTemplate(_ reason: String) -> StorageError {
    var error = StorageError(path: "template", reason: reason)
    error.isUsage = true
    return error
  }
}
