// A device's blocks as the bytes of an image: a format inside another.
//
// Owns: the arithmetic. Must not know: formats.

/// The bytes of a block device. Its size is the device's.
public final class DeviceStore: ByteStore {
  private let device: any BlockDevice

  public init(_ device: any BlockDevice) { self.device = device }

  public var name: String { device.name }
  public var size: UInt64 { device.byteCount }
  public var isWritable: Bool { !device.isReadOnly }
  public var zeroesCheaply: Bool { device.capabilities.contains(.zeroesCheaply) }

  private func check(_ offset: UInt64, _ count: UInt64) throws(StorageError) {
    if offset > size || count > size - offset {
      throw StorageError(path: name, offset: offset, reason: "ends here, at \(size) bytes")
    }
  }

  /// The blocks around bytes.
  private func blocks(_ offset: UInt64, _ count: Int) -> (first: UInt64, bytes: Int, skipped: Int) {
    let size = UInt64(device.blockSize)
    let first = offset / size
    let end = (offset + UInt64(count) + size - 1) / size
    return (first, Int(end - first) * device.blockSize, Int(offset - first * size))
  }

  public func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    try check(offset, UInt64(buffer.count))
    if buffer.count == 0 { return }
    let range = blocks(offset, buffer.count)
    if range.bytes == buffer.count { return try device.read(block: range.first, into: buffer) }
    let whole = try device.bytes(at: offset, count: buffer.count)
    buffer.copyBytes(from: whole)
  }

  public func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try check(offset, UInt64(buffer.count))
    if buffer.count == 0 { return }
    let range = blocks(offset, buffer.count)
    if range.bytes == buffer.count { return try device.write(block: range.first, from: buffer) }
    let start = range.first * UInt64(device.blockSize)
    var whole = try device.bytes(at: start, count: range.bytes)
    whole += repeatElement(0, count: range.bytes - whole.count)
    whole.replaceSubrange(range.skipped..<range.skipped + buffer.count, with: buffer)
    try device.write(block: range.first, whole)
  }

  public func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try check(offset, count)
    let size = UInt64(device.blockSize)
    let (first, last) = ((offset + size - 1) / size, (offset + count) / size)
    if first >= last { return try writeZeros(at: offset, count: count) }
    try writeZeros(at: offset, count: first * size - offset)
    if releasing {
      try device.discard(block: first, count: last - first)
    } else {
      try device.writeZeroes(block: first, count: last - first)
    }
    try writeZeros(at: last * size, count: offset + count - last * size)
  }

  public func setSize(_ size: UInt64) throws(StorageError) {
    if size != self.size {
      throw StorageError(path: name, reason: "cannot become longer or shorter")
    }
  }

  public func flush() throws(StorageError) { try device.flush() }

  public func nextData(from offset: UInt64) -> UInt64 {
    if offset >= size { return .max }
    let block = device.nextData(from: offset / UInt64(device.blockSize))
    return block >= device.blockCount ? .max : max(offset, block * UInt64(device.blockSize))
  }

  public func mark() -> FileMark { device.mark() }
  public func change(since mark: FileMark) -> String? { device.change(since: mark) }
  public var displacement: String? { device.displacement }
  public func unlock() { device.unlock() }
  public func lockAgain(exclusive: Bool) throws(StorageError) { try device.lockAgain() }
  public func close() { device.close() }
}
