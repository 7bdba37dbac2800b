// What is kept of a machine with encrypted disks: nobody else reads it either.
//
// Owns: by which keys states and recordings are sealed and opened. Must not know: how (`SealedFile` does), the command line.
// The memory of a guest has parts of its disks in it, and what it knows of their keys.

import Host
import Storage

extension Machine {
  /// The keys of all encrypted images in the drives, each once.
  public var volumeKeys: [VolumeKey] {
    var keys: [VolumeKey] = []
    for disk in (hardDisks + floppyDisks + [flashDisk]).compactMap({ $0 }) {
      for key in disk.original.volumeKeys where !keys.contains(where: { $0 === key }) {
        keys.append(key)
      }
    }
    return keys
  }

  /// The state as a file has it: sealed where a disk is encrypted.
  /// - Parameter file: its name for messages.
  public func stateFile(named file: String) throws(StorageError) -> [UInt8] {
    let keys = volumeKeys
    let state = saveState()
    return keys.isEmpty ? state : try SealedFile.seal(state, keys, for: file)
  }

  /// A file of this machine as it was before it was sealed, if it was.
  public func opened(_ bytes: [UInt8], named file: String) throws(StorageError) -> [UInt8] {
    try SealedFile.isSealed(bytes) ? SealedFile.open(bytes, volumeKeys, for: file) : bytes
  }

  /// Where a recording of this machine goes: sealed where a disk is encrypted.
  public func recordingTarget(_ path: String) throws -> RecordingWriter.Target {
    let keys = volumeKeys
    let file = try RecordingWriter.Target.file(path)
    if keys.isEmpty { return file }
    func host(_ body: () throws(StorageError) -> Void) throws(HostError) {
      do throws(StorageError) { try body() } catch { throw HostError(error.reason) }
    }
    let writer = try SealedWriter(keys, for: path) { (bytes) throws(StorageError) in
      do throws(HostError) { try file.append(Array(bytes)) } catch {
        throw StorageError(path: path, reason: error.reason)
      }
    }
    return RecordingWriter.Target(
      append: { (bytes) throws(HostError) in
        // Each piece can be read when the rest never comes.
        try host { () throws(StorageError) in
          try writer.write(bytes)
          try writer.flush()
        }
      },
      close: { () throws(HostError) in
        try host { () throws(StorageError) in try writer.finish() }
        try file.close()
      }, discard: file.discard)
  }
}
