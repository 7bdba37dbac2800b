// Passphrases from the host's key ring.
//
// Owns: looking up a key of the type "user" by its description. Must not know: who put it there (`keyctl padd user NAME @u`).
// After: keyrings(7), request_key(2), keyctl(2) KEYCTL_READ.

import Host

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A key of the kernel's key ring.
public final class KeyRingKey: KeySource {
  public let description: String

  public init(_ description: String) { self.description = description }

  public var name: String { "the key '\(description)' of the key ring" }

  public func passphrase(for file: String, isNew: Bool) throws(StorageError) -> SecretBytes {
    func refuse(_ reason: String) -> StorageError {
      StorageError(path: file, reason: "\(name) \(reason)")
    }
    #if os(Linux)
      // The C library has no functions for these; syscall's arguments vary in number, which Swift does not call.
      typealias Call = @convention(c) (Int, UInt, UInt, UInt, UInt, UInt) -> Int
      guard let call = RuntimeLibrary.system("syscall", Call.self) else {
        throw refuse("cannot be asked for: there are no system calls")
      }
      #if arch(x86_64)
        let (requestKey, keyControl) = (249, 250)
      #else
        let (requestKey, keyControl) = (218, 219)
      #endif
      let type = Array("user".utf8CString)
      let words = Array(description.utf8CString)
      let number = type.withUnsafeBufferPointer { type in
        words.withUnsafeBufferPointer { words in
          call(
            requestKey, UInt(bitPattern: type.baseAddress), UInt(bitPattern: words.baseAddress), 0,
            0, 0)
        }
      }
      if number < 0 {
        switch errno {
        case ENOKEY:
          throw refuse("is not there (keyctl padd user '\(description)' @u puts it there)")
        case EKEYEXPIRED, EKEYREVOKED, EKEYREJECTED: throw refuse("is no longer valid")
        case ENOSYS: throw refuse("cannot be: the kernel has no key rings")
        default: throw refuse("cannot be found: \(String(cString: strerror(errno)))")
        }
      }
      // KEYCTL_READ is 11; it says how many bytes there are, more than the room where that is too small.
      var room = SecretBytes(count: 4096)
      for _ in 0..<3 {
        let count = call(
          keyControl, 11, UInt(bitPattern: number), UInt(bitPattern: room.pointer),
          UInt(room.count), 0)
        if count < 0 { throw refuse("cannot be read: \(String(cString: strerror(errno)))") }
        if count <= room.count {
          if count == 0 { throw refuse("is empty") }
          return SecretBytes(copying: room, count: count)
        }
        if count > 1 << 20 { break }
        room = SecretBytes(count: count)
      }
      throw refuse("is too long")
    #else
      throw refuse("cannot be: only Linux has such key rings")
    #endif
  }
}
