// What an encrypted disk's key is in, apart from the disk: for those who keep its contents elsewhere, encrypted by that key.
//
// Owns: cutting headers out, as containers without a disk. Must not know: who keeps them.
//
// Whoever loses an encrypted image loses the key with it, whatever the passphrase is: the header has it. So its copy belongs to each backup.

/// The header of an encrypted disk with its key slots, as a LUKS container of its own whose disk is a few sectors of noise.
public struct KeyContainer: Equatable, Sendable {
  /// 32 hexadecimal digits, the same for as long as the disk has the same key, whatever its passphrases are.
  public var name: String
  public var bytes: [UInt8]

  /// - Parameter start: where the header is in the store.
  init(_ container: LUKSContainer, _ store: any ByteStore, at start: UInt64, count: UInt64)
    throws(StorageError)
  {
    var hash = SHA256()
    hash.add(container.proof)
    name = hash.finish().prefix(16).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    guard container.payloadOffset <= 256 << 20, count <= 256 << 20, start + count <= store.size
    else {
      throw StorageError(
        path: store.name, reason: "its header is too long to be kept with what it encrypts")
    }
    var bytes = [UInt8](
      repeating: 0, count: Int(max(count, container.payloadOffset)) + 16 * container.sectorSize)
    let result: Result<Void, StorageError> = bytes.withUnsafeMutableBytes { buffer in
      do throws(StorageError) {
        return .success(
          try store.read(
            at: start, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(count)])))
      } catch { return .failure(error) }
    }
    try result.get()
    self.bytes = bytes
  }
}

extension BlockDevice {
  /// Those of all encrypted layers, from the top down.
  public func keyContainers() throws(StorageError) -> [KeyContainer] {
    var found: [KeyContainer] = []
    var next: (any BlockDevice)? = self
    var depth = 0
    while let layer = next, depth < 64 {
      depth += 1
      var own = layer.whole
      // Neither has blocks of its own.
      if let queued = own as? QueuedDevice { own = queued.device.whole }
      if let undo = own as? UndoDevice { own = undo.device.whole }
      if let container = try (own as? any EncryptedDevice)?.keyContainer() {
        found.append(container)
      }
      next = own.base
    }
    return found
  }
}

extension EncryptedDevice {
  public func keyContainer() throws(StorageError) -> KeyContainer? { nil }
}
