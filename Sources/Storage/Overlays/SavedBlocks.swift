// The contents of devices in saved states.
//
// Owns: the two layouts. Must not know: machines, drives, which device it is.
//
//   an overlay: blocks of the device (u64), how many entries (u64); for each, ascending: a block's number (u64), what it holds, or as
//               eight bytes how many blocks from it on hold zeros (u64)
//   memory:     all bytes
//
// Bytes are counted (u32).

import State

/// The entries of an overlay. They follow from what blocks hold, not from how that came there, so that equal contents are equal states.
struct SavedBlocks {
  private var entries: [(range: Range<UInt64>, isZero: Bool)] = []

  /// Adds a block that holds something; ascending.
  mutating func add(_ block: UInt64) { entries.append((block..<block + 1, false)) }

  /// Adds blocks that hold zeros.
  mutating func add(zeroes range: Range<UInt64>) {
    if let last = entries.last, last.isZero, last.range.upperBound == range.lowerBound {
      entries[entries.count - 1].range = last.range.lowerBound..<range.upperBound
    } else {
      entries.append((range, true))
    }
  }

  func write(
    to writer: inout StateWriter, blockCount: UInt64,
    _ contents: (UInt64) -> UnsafeRawBufferPointer
  ) {
    writer.write(blockCount)
    writer.write(UInt64(entries.count))
    for (range, isZero) in entries {
      writer.write(range.lowerBound)
      if isZero {
        writer.write(UInt32(8))
        writer.write(UInt64(range.count))
      } else {
        writer.write(raw: contents(range.lowerBound))
      }
    }
  }

  /// Whether a block holds zeros; its bytes are a multiple of eight.
  static func isZero(_ bytes: UnsafeRawPointer, _ count: Int) -> Bool {
    for at in stride(from: 0, to: count, by: 8)
    where bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self) != 0 { return false }
    return true
  }
}

extension BlockDevice {
  /// Writes what is in memory, read through the device.
  func saveByBlocks(to writer: inout StateWriter) {
    switch persistence {
    case .file: break
    case .overlay: saveWrittenBlocks(to: &writer)
    case .memory:
      // What is in memory can be read.
      var bytes = [UInt8](repeating: 0, count: Int(blockCount) * blockSize)
      bytes.withUnsafeMutableBytes { try? read(block: 0, into: $0) }
      writer.write(bytes: bytes)
    }
  }

  private func saveWrittenBlocks(to writer: inout StateWriter) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: blockSize, alignment: 64)
    defer { buffer.deallocate() }
    func contents(_ block: UInt64) -> UnsafeRawBufferPointer {
      if (try? read(block: block, into: buffer)) == nil {
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
      }
      return UnsafeRawBufferPointer(buffer)
    }
    var blocks = SavedBlocks()
    for block in writtenBlocks {
      if let bytes = contents(block).baseAddress, !SavedBlocks.isZero(bytes, blockSize) {
        blocks.add(block)
      } else {
        blocks.add(zeroes: block..<block + 1)
      }
    }
    blocks.write(to: &writer, blockCount: blockCount, contents)
  }

  /// Reads what `saveByBlocks` wrote.
  func restoreByBlocks(from reader: inout StateReader) throws(StateError) {
    switch persistence {
    case .file: break
    case .overlay:
      try restoreWrittenBlocks(from: &reader, mayHold: { _ in forgetAll() })
    case .memory: try restoreAllBlocks(from: &reader)
    }
  }

  /// Reads the blocks that an overlay had, into any device of its size.
  /// - Parameters:
  ///   - mayHold: asked once whether so many blocks may be written.
  ///   - put: takes a block; writes it when not given.
  ///   - zero: takes blocks of zeros; writes them when not given.
  public func restoreWrittenBlocks(
    from reader: inout StateReader, mayHold: (UInt64) throws(StateError) -> Void,
    put: ((UInt64, [UInt8]) -> Void)? = nil, zero: ((Range<UInt64>) -> Void)? = nil
  ) throws(StateError) {
    let size = try reader.read(UInt64.self)
    if size != blockCount {
      throw reader.error("a snapshot of \(size) sectors, but the image has \(blockCount)")
    }
    let count = try reader.read(in: 0...blockCount)
    try mayHold(count)
    var next: UInt64 = 0
    for _ in 0..<count {
      let block = try reader.read(UInt64.self)
      if block < next || block >= blockCount {
        throw reader.error("sector \(block) out of order or range")
      }
      let bytes = try reader.readBytes()
      if bytes.count == 8 {
        let length = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        if length == 0 || length > blockCount - block {
          throw reader.error("\(length) sectors of zeros from \(block) on")
        }
        if let zero {
          zero(block..<block + length)
        } else {
          do throws(StorageError) { try writeZeroes(block: block, count: length) } catch {
            throw reader.error("\(error)")
          }
        }
        next = block + length
        continue
      }
      if bytes.count != blockSize {
        throw reader.error("\(bytes.count) bytes where \(blockSize) are expected")
      }
      if let put {
        put(block, bytes)
      } else {
        do throws(StorageError) { try write(block: block, bytes) } catch {
          throw reader.error("\(error)")
        }
      }
      next = block + 1
    }
  }

  /// Reads all contents of a device of this size.
  public func restoreAllBlocks(from reader: inout StateReader) throws(StateError) {
    try restore(0, count: Int(blockCount) * blockSize, from: &reader)
  }

  private func restore(_ block: UInt64, count: Int, from reader: inout StateReader)
    throws(StateError)
  {
    let bytes = try reader.readBytes(count: count)
    do throws(StorageError) { try write(block: block, bytes) } catch {
      throw reader.error("\(error)")
    }
  }
}
