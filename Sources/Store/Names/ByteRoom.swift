// Memory for bytes on their way, and numbers in them.
//
// Owns: the memory, little-endian fields. Must not know: formats.

/// Some memory, which goes with the object: who hands its pointers on keeps the object by `withExtendedLifetime`, as Swift lets go of it after
/// its last mention. It is not cleared.
final class ByteRoom: @unchecked Sendable {
  let pointer: UnsafeMutableRawPointer
  let count: Int

  init(count: Int) {
    self.count = count
    // A page's alignment lets the kernel copy as it likes.
    pointer = .allocate(byteCount: max(1, count), alignment: count >= 4096 ? 4096 : 16)
  }

  convenience init(_ bytes: [UInt8]) {
    self.init(count: bytes.count)
    pointer.copyMemory(from: bytes, byteCount: bytes.count)
  }

  deinit { pointer.deallocate() }

  var buffer: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: pointer, count: count)
  }

  /// Some of the bytes; they are inside.
  func slice(_ at: Int, _ count: Int) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: pointer + at, count: count)
  }

  func bytes(_ at: Int, _ count: Int) -> [UInt8] { Array(slice(at, count)) }

  func clear() { pointer.initializeMemory(as: UInt8.self, repeating: 0, count: count) }

  /// A number; it is inside.
  func little<Number: FixedWidthInteger>(_ at: Int, as: Number.Type = Number.self) -> Number {
    Number(littleEndian: pointer.loadUnaligned(fromByteOffset: at, as: Number.self))
  }

  func setLittle<Number: FixedWidthInteger>(_ at: Int, _ value: Number) {
    pointer.storeBytes(of: value.littleEndian, toByteOffset: at, as: Number.self)
  }

  func set(_ at: Int, _ bytes: [UInt8]) {
    (pointer + at).copyMemory(from: bytes, byteCount: bytes.count)
  }

  func starts(with signature: [UInt8]) -> Bool {
    count >= signature.count && slice(0, signature.count).elementsEqual(signature)
  }
}

extension UnsafeMutableRawBufferPointer {
  /// The same bytes for those who only read.
  var reading: UnsafeRawBufferPointer { UnsafeRawBufferPointer(self) }
}
