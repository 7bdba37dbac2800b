// A file whose bytes are what a machine's memory begins with.
//
// Owns: the open file, and what happens when somebody cuts it off while it is mapped. Must not know: what the bytes mean.
// Follows: mmap(2) (MAP_PRIVATE), sigaction(2) (SIGBUS).

import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A part of a file that memory is a private copy of: pages are read when they are touched, and copied when they are written.
public final class MemorySource: Sendable {
  /// The file's name, for messages.
  public let path: String
  /// Where the part begins; a multiple of the host's page size.
  public let offset: Int
  /// Its length in bytes.
  public let count: Int
  let descriptor: Int32

  /// - Parameters:
  ///   - offset: a multiple of 65536.
  ///   - count: bytes; the file has them.
  /// - Throws: `HostError` when the file cannot be opened, or ends before.
  public init(path: String, offset: Int, count: Int) throws(HostError) {
    precondition(offset & 0xFFFF == 0 && count > 0)
    let file = open(HostPath.system(path), O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw HostError("\(path): \(String(cString: strerror(errno)))") }
    var status = stat()
    guard fstat(file, &status) == 0, Int(status.st_size) >= offset + count else {
      close(file)
      throw HostError("\(path): ends before byte \(offset + count)")
    }
    self.path = path
    self.offset = offset
    self.count = count
    descriptor = file
  }

  deinit { close(descriptor) }

  /// A path that leads to the open file whatever becomes of its name; where the host has none, its name.
  public var openPath: String {
    #if os(Linux)
      "/proc/self/fd/\(descriptor)"
    #else
      path
    #endif
  }

  /// Calls `body` with ascending ranges, from the part's start, outside of which the file has holes.
  func forEachDataRange(_ body: (Range<Int>) -> Void) {
    #if os(Linux)
      var at = offset
      while at < offset + count {
        // lseek's SEEK_DATA and SEEK_HOLE. Others may use the same open file: only what it returns counts.
        let start = lseek(descriptor, off_t(at), 3)
        if start < 0 {
          if errno != ENXIO { body(at - offset..<count) }
          return
        }
        if Int(start) >= offset + count { return }
        let end = lseek(descriptor, start, 4)
        if end <= start { return body(Int(start) - offset..<count) }
        body(Int(start) - offset..<min(Int(end) - offset, count))
        at = Int(end)
      }
    #else
      body(0..<count)
    #endif
  }
}

/// What is said when a mapped file's end is gone: nothing can go on without it, and nobody should have to guess why.
enum MappedFiles {
  private struct Place {
    var base: UInt = 0
    var size: UInt = 0
    var text: UnsafeMutablePointer<CChar>?
  }
  private static let most = 1024
  private static let lock = Mutex(())
  /// Never freed, since a handler may look at any time.
  private nonisolated(unsafe) static let places: UnsafeMutablePointer<Place> = {
    let places = UnsafeMutablePointer<Place>.allocate(capacity: most)
    places.initialize(repeating: Place(), count: most)
    return places
  }()

  static func add(_ base: UnsafeMutableRawPointer, _ count: Int, _ path: String) {
    CodeFaults.prepare()
    lock.withLock { _ in
      for n in 0..<most where places[n].size == 0 {
        places[n].text = strdup("apus: \(path): was cut off while a machine ran from it\n")
        places[n].base = UInt(bitPattern: base)
        places[n].size = UInt(count)
        return
      }
    }
  }

  static func remove(_ base: UnsafeMutableRawPointer) {
    lock.withLock { _ in
      for n in 0..<most where places[n].base == UInt(bitPattern: base) && places[n].size != 0 {
        places[n].size = 0
        free(places[n].text)
        places[n].text = nil
      }
    }
  }

  /// For the fault handler: ends the process with a word where it was such a file.
  static func handle(_ address: UInt) {
    for n in 0..<most where places[n].size != 0 && address &- places[n].base < places[n].size {
      if let text = places[n].text { _ = write(2, text, strlen(text)) }
      _exit(74)
    }
  }
}
