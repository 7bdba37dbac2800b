// Passphrases from files.
//
// Owns: reading a file's bytes, all of them, as cryptsetup's --key-file does: a line feed at the end counts. Must not know: what opens by them.
// After: cryptsetup(8), "--key-file"; 8 MiB are the most.

import Host

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file; "-" is standard input, to its end.
public final class KeyFile: KeySource, @unchecked Sendable {
  public let path: String
  /// Read once: standard input cannot be read again, and a file may change.
  private var known: SecretBytes?
  private let lock = HostCondition()

  private static let most = 8 << 20

  public init(_ path: String) { self.path = path }

  public var name: String { path == "-" ? "what standard input has" : "the key file '\(path)'" }

  public func passphrase(for file: String, isNew: Bool) throws(StorageError) -> SecretBytes {
    try lock.locked { () throws(StorageError) in
      if let known { return known }
      let bytes = try read()
      if bytes.count == 0 { throw StorageError(path: path, reason: "the key file is empty") }
      known = bytes
      return bytes
    }
  }

  private func read() throws(StorageError) -> SecretBytes {
    func refuse(_ what: String) -> StorageError {
      StorageError(path: path, reason: "the key file \(what)")
    }
    let descriptor = path == "-" ? 0 : open(HostPath.system(path), O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw refuse("cannot be opened: \(String(cString: strerror(errno)))") }
    defer { if path != "-" { close(descriptor) } }
    // Grown by copying, each piece wiped when it is too small: nobody else's memory ever holds it.
    var room = SecretBytes(count: 4096)
    var count = 0
    while true {
      if count == room.count {
        if count >= KeyFile.most { throw refuse("has more than \(KeyFile.most >> 20) MiB") }
        let larger = SecretBytes(count: min(KeyFile.most, room.count * 8))
        larger.pointer.copyMemory(from: room.pointer, byteCount: count)
        room = larger
      }
      let got = systemRead(descriptor, room.pointer + count, room.count - count)
      if got < 0 {
        if errno == EINTR { continue }
        throw refuse("cannot be read: \(String(cString: strerror(errno)))")
      }
      if got == 0 { break }
      count += got
    }
    return SecretBytes(copying: room, count: count)
  }
}

/// The system's, which a method of the same name would hide.
private func systemRead(_ descriptor: Int32, _ room: UnsafeMutableRawPointer, _ count: Int) -> Int {
  read(descriptor, room, count)
}
