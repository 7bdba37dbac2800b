// Compressed clusters: what zlib and zstd do with them.
//
// Owns: packing and unpacking one cluster in memory. Must not know: tables, stores.
// After: QEMU, docs/interop/qcow2.txt, "compression_type"; RFC 1951 (deflate without a header, window of 2^12 bytes); RFC 8878 (zstd).

import CZlib
import CZstd

struct QCOW2Compression: Sendable {
  let isZstd: Bool
  let clusterSize: Int
  /// What QEMU's reader has room for.
  private static let windowBits: Int32 = -12

  init(_ type: Int, _ layout: QCOW2Layout) {
    isZstd = type == 1
    clusterSize = layout.clusterSize
  }

  /// Fills `memory`, a cluster, from packed bytes, behind which others may be.
  /// - Returns: whether they held exactly that much, or more.
  func unpack(_ packed: [UInt8], into memory: UnsafeMutableRawBufferPointer) -> Bool {
    isZstd ? unpackZstd(packed, memory) : inflate(packed, memory)
  }

  private func inflate(_ packed: [UInt8], _ memory: UnsafeMutableRawBufferPointer) -> Bool {
    var stream = z_stream()
    // The largest window, as writers other than QEMU may have used one.
    guard
      inflateInit2_(
        &stream, -15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
    else { return false }
    defer { inflateEnd(&stream) }
    return packed.withUnsafeBufferPointer { input in
      stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
      stream.avail_in = UInt32(input.count)
      stream.next_out = memory.baseAddress!.assumingMemoryBound(to: UInt8.self)
      stream.avail_out = UInt32(memory.count)
      let result = CZlib.inflate(&stream, Z_FINISH)
      // What is more than a cluster is of no use; what is less is an error.
      return (result == Z_STREAM_END || result == Z_BUF_ERROR || result == Z_OK)
        && stream.avail_out == 0
    }
  }

  /// A cluster's data may be several frames, the last of which need not be complete.
  private func unpackZstd(_ packed: [UInt8], _ memory: UnsafeMutableRawBufferPointer) -> Bool {
    guard let context = ZSTD_createDCtx() else { return false }
    defer { ZSTD_freeDCtx(context) }
    // No frame of a cluster needs a larger window; one that says so would take memory without bound.
    _ = ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 27)
    return packed.withUnsafeBytes { input in
      var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
      var target = ZSTD_outBuffer(dst: memory.baseAddress, size: memory.count, pos: 0)
      while target.pos < target.size {
        let (read, written) = (source.pos, target.pos)
        let result = ZSTD_decompressStream(context, &target, &source)
        if ZSTD_isError(result) != 0 { return false }
        if source.pos == read && target.pos == written { return false }
      }
      return true
    }
  }

  /// A cluster's contents, packed; nil when that takes no less room. On any thread.
  func pack(_ contents: UnsafeRawBufferPointer) -> [UInt8]? {
    isZstd ? packZstd(contents) : deflate(contents)
  }

  private func deflate(_ contents: UnsafeRawBufferPointer) -> [UInt8]? {
    var stream = z_stream()
    guard
      deflateInit2_(
        &stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, QCOW2Compression.windowBits, 9,
        Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
    else { return nil }
    defer { deflateEnd(&stream) }
    var failed = false
    let packed = [UInt8](unsafeUninitializedCapacity: clusterSize) { output, count in
      stream.next_in = UnsafeMutablePointer(
        mutating: contents.baseAddress!.assumingMemoryBound(to: UInt8.self))
      stream.avail_in = UInt32(contents.count)
      stream.next_out = output.baseAddress
      stream.avail_out = UInt32(clusterSize - 1)
      failed = CZlib.deflate(&stream, Z_FINISH) != Z_STREAM_END
      count = clusterSize - 1 - Int(stream.avail_out)
    }
    return failed ? nil : packed
  }

  private func packZstd(_ contents: UnsafeRawBufferPointer) -> [UInt8]? {
    var failed = false
    let packed = [UInt8](unsafeUninitializedCapacity: clusterSize) { output, count in
      let result = ZSTD_compress(
        output.baseAddress, clusterSize - 1, contents.baseAddress, contents.count, 3)
      failed = ZSTD_isError(result) != 0
      count = failed ? 0 : result
    }
    return failed ? nil : packed
  }
}
