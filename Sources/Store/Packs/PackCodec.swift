// Objects made smaller.
//
// Owns: zstd's contexts, which are dear to make. Must not know: files, names.
// After: RFC 8878; the manual of zstd 1.4, "Explicit context".

import CZstd
import Storage

/// Compresses objects, in one thread.
final class PackCompressor {
  /// Level 1: pages are written while a guest waits.
  private static let level: Int32 = 1
  private let context: OpaquePointer

  /// nil: there is no memory for it.
  init?() {
    guard let context = ZSTD_createCCtx() else { return nil }
    self.context = context
  }

  deinit { ZSTD_freeCCtx(context) }

  /// - Parameter room: as long as three quarters of the contents; what does not fit there does not pay.
  /// - Returns: how many bytes it became; nil: it stays as it is.
  func compress(_ contents: UnsafeRawBufferPointer, into room: UnsafeMutableRawBufferPointer)
    -> Int?
  {
    let size = ZSTD_compressCCtx(
      context, room.baseAddress, room.count, contents.baseAddress, contents.count,
      PackCompressor.level)
    return ZSTD_isError(size) != 0 || size > room.count ? nil : size
  }
}

/// Decompresses objects, in any thread.
enum PackDecompressor {
  private final class Pool: @unchecked Sendable {
    let lock = StoreMutex()
    var free: [OpaquePointer] = []
  }
  private static let pool = Pool()
  private static let most = 8

  /// Fills the buffer exactly; false: the bytes are no frame of so much. What is in a frame never needs more memory than the buffer.
  static func decompress(
    _ frame: UnsafeRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer
  ) -> Bool {
    guard let context = pool.lock.locked({ pool.free.popLast() }) ?? ZSTD_createDCtx() else {
      return false
    }
    let size = ZSTD_decompressDCtx(
      context, buffer.baseAddress, buffer.count, frame.baseAddress, frame.count)
    let isKept = pool.lock.locked {
      if pool.free.count >= most { return false }
      pool.free.append(context)
      return true
    }
    if !isKept { ZSTD_freeDCtx(context) }
    return ZSTD_isError(size) == 0 && size == buffer.count
  }
}
