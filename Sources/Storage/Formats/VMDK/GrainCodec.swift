// Compressed grains.
//
// Owns: one grain in a buffer, compressed and back. Must not know: where it is in the file. After: RFC 1950, by zlib.

import CZlib

enum GrainCodec {
  /// Inflates into a buffer; what is not there is zeros. Nothing grows beyond the buffer.
  /// - Returns: false when the data are damaged, or more than the buffer.
  static func inflate(_ data: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer)
    -> Bool
  {
    var length = uLongf(buffer.count)
    let result = uncompress(
      buffer.baseAddress!.assumingMemoryBound(to: UInt8.self), &length,
      data.baseAddress?.assumingMemoryBound(to: UInt8.self), uLong(data.count))
    guard result == Z_OK else { return false }
    UnsafeMutableRawBufferPointer(rebasing: buffer[Int(length)...]).initializeMemory(
      as: UInt8.self, repeating: 0)
    return true
  }

  /// Deflates; nil when there is no memory for it.
  static func deflate(_ data: UnsafeRawBufferPointer) -> [UInt8]? {
    var length = compressBound(uLong(data.count))
    var result = [UInt8](repeating: 0, count: Int(length))
    let code = result.withUnsafeMutableBufferPointer {
      compress2(
        $0.baseAddress!, &length, data.baseAddress!.assumingMemoryBound(to: UInt8.self),
        uLong(data.count), Z_DEFAULT_COMPRESSION)
    }
    guard code == Z_OK else { return nil }
    result.removeLast(result.count - Int(length))
    return result
  }
}
