// What the keys of encrypted backups are in: a copy of the disks' headers beside the contents.
//
// Owns: the files. Must not know: passphrases, how headers look.
//
// FOLDER/keys/NUMBER.luks: a container without a disk, for each key. With it and the passphrase the backups can be read when the images are
// gone. It is as secret as the header of the image is: the passphrase protects it.

import Host
import Storage

extension BackupFolder {
  private static func keyFolder(_ folder: String) -> String { folder + "/keys" }

  /// The files of a folder that have its keys.
  public static func keyFiles(in folder: String) -> [String] {
    let keys = keyFolder(folder)
    return HostFiles.names(in: keys).filter { $0.hasSuffix(".luks") }.sorted().map {
      keys + "/" + $0
    }
  }

  /// Keeps what keys are in, as it is now: another passphrase is one here from the next backup on.
  func keep(_ containers: [KeyContainer]) throws(StorageError) {
    if containers.isEmpty { return }
    let keys = BackupFolder.keyFolder(folder)
    do throws(HostError) {
      try HostFiles.makeFolder(keys, isPrivate: true)
      for container in containers {
        let path = keys + "/" + container.name + ".luks"
        if let old = try? HostFiles.read(path, limit: 1 << 30), old == container.bytes { continue }
        try HostFiles.writeAtomically(path, container.bytes)
        HostFiles.syncFolder(of: path)
      }
    } catch { throw StorageError(path: keys, reason: error.reason) }
    HostFiles.syncFolder(of: keys)
  }
}
