// How the host's cache takes part in accesses to an image file.
//
// Owns: the ways and their names, which accesses go past the cache. Must not know: files, formats.

/// What the host keeps in its memory, and when what is written is on the disk. The names are those of QEMU's `cache=`.
public enum HostCache: String, CaseIterable, Sendable {
  /// The host's cache takes writes; a flush brings them to the disk.
  case writeback
  /// Each write is on the disk when it is done.
  case writethrough
  /// What is aligned goes past the host's cache.
  case none
  /// The host writes when it likes; flushes are not waited for. For what can be made again.
  case unsafe

  /// What accesses past the cache are aligned to: no disk has larger sectors.
  static let alignment = 4096

  /// Whether an access can go past the cache.
  static func isAligned(_ offset: UInt64, _ buffer: UnsafeRawBufferPointer) -> Bool {
    let address = UInt64(UInt(bitPattern: buffer.baseAddress))
    return (offset | address | UInt64(buffer.count)) & UInt64(alignment - 1) == 0
  }
}
