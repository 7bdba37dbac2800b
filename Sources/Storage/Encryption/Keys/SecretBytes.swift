// Memory for passphrases and keys.
//
// Owns: pages that are not swapped, not dumped, and wiped when nobody needs them any more; that this process leaves no core dump from the
// first of them on. Must not know: what is in them.
// After: mlock(2), madvise(2), explicit_bzero(3), prctl(2) PR_SET_DUMPABLE, core(5).

import Host

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Bytes that nobody else should see. They are wiped with the object.
public final class SecretBytes: @unchecked Sendable {
  public let count: Int
  /// Where they are, for as long as the object is there: who uses it keeps the object by `withExtendedLifetime`, as Swift lets go of it after
  /// its last mention.
  let pointer: UnsafeMutableRawPointer
  private let room: Int

  /// So many zeros.
  public init(count: Int) {
    CoreDumps.forbid()
    self.count = max(0, count)
    let page = max(4096, Int(sysconf(Int32(_SC_PAGESIZE))))
    room = (max(1, self.count) + page - 1) / page * page
    #if canImport(Darwin)
      let anonymous = MAP_ANON
    #else
      let anonymous = MAP_ANONYMOUS
    #endif
    guard
      let pages = mmap(nil, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | anonymous, -1, 0),
      pages != MAP_FAILED
    else { fatalError("no memory for a key") }
    pointer = pages
    // Without the right to lock so much the pages may be swapped; nothing can be done about it.
    _ = mlock(pages, room)
    #if os(Linux)
      // MADV_DONTDUMP.
      _ = madvise(pages, room, 16)
    #endif
  }

  /// A copy; what it is copied from is the caller's to wipe.
  public convenience init(_ bytes: some Collection<UInt8>) {
    self.init(count: bytes.count)
    for (n, byte) in bytes.enumerated() {
      pointer.storeBytes(of: byte, toByteOffset: n, as: UInt8.self)
    }
  }

  /// The first bytes of others.
  convenience init(copying other: SecretBytes, count: Int) {
    let count = min(count, other.count)
    self.init(count: count)
    pointer.copyMemory(from: other.pointer, byteCount: count)
  }

  deinit {
    SecretBytes.wipe(pointer, room)
    _ = munlock(pointer, room)
    munmap(pointer, room)
  }

  /// The bytes.
  var buffer: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: pointer, count: count)
  }

  /// What may be seen: salts, digests, names.
  var copy: [UInt8] { Array(buffer) }

  /// Whether the last byte is a line feed.
  var endsWithLineFeed: Bool { count > 0 && buffer[count - 1] == 10 }

  /// Makes bytes zeros in a way that no compiler leaves out.
  static func wipe(_ pointer: UnsafeMutableRawPointer, _ count: Int) {
    #if canImport(Darwin)
      memset_s(pointer, count, 0, count)
    #else
      explicit_bzero(pointer, count)
    #endif
  }
}

/// Whether the system writes this process's memory into a file when it crashes.
enum CoreDumps {
  /// Not any more. A debugger of the same user cannot attach either; root's can.
  static func forbid() { _ = once }

  private static let once: Void = {
    var limit = rlimit()
    #if canImport(Glibc)
      let core = __rlimit_resource_t(UInt32(RLIMIT_CORE.rawValue))
    #else
      let core = RLIMIT_CORE
    #endif
    if getrlimit(core, &limit) == 0 {
      limit.rlim_cur = 0
      _ = setrlimit(core, &limit)
    }
    #if os(Linux)
      // Dumps that go to a program (systemd-coredump) do not ask for the limit. PR_SET_DUMPABLE is 4.
      typealias Control = @convention(c) (Int32, UInt, UInt, UInt, UInt) -> Int32
      _ = RuntimeLibrary.system("prctl", Control.self)?(4, 0, 0, 0, 0)
    #endif
  }()
}
