// `commit`: what an overlay has goes into its base.
//
// Owns: the order: data into the base, to stable storage, then the overlay is emptied. Must not know: formats.

import Host
import Storage

public struct CommitResult: Codable, Equatable, Sendable {
  public var schema = "apus-image-commit"
  public var version = 1
  public var file: String
  public var base: String
  public var bytes: UInt64
  /// Whether the overlay has nothing of its own any more.
  public var isEmptied: Bool
  public var notes: [String]
}

extension ImageOperations {
  /// Writes what an overlay has into its base.
  /// - Parameter keepsOverlay: the overlay stays as it is.
  public static func commit(
    _ reference: ImageReference, keepsOverlay: Bool = false, _ job: ImageJob = ImageJob()
  ) throws -> CommitResult {
    // The base is written by its own opening, which locks it; from above it is only read, after it.
    let overlay = try DiskImage(reference, .writing, baseUse: .looking)
    defer { overlay.close() }
    guard let basePath = overlay.basePaths.first else {
      throw StorageError(path: overlay.path, reason: "stands alone: there is no base to commit to")
    }
    let facts = (overlay.device as? any DescribedDevice)?.imageFacts
    let format = facts?.baseFormat.flatMap { ImageFormats.named($0, in: DiskImage.formats)?.name }
    let base = try DiskImage(
      ImageReference(
        basePath, format: format, names: reference.names, keys: reference.keys), .writing)
    defer { base.close() }
    var result = CommitResult(
      file: overlay.path, base: basePath, bytes: 0, isEmptied: false, notes: [])
    if base.device.isReadOnly {
      throw StorageError(path: basePath, reason: "cannot be written")
    }
    // From the first byte on the base is not what the overlay's record says; over it the overlay shows the same all the time. So there is
    // no record until the work is done, and work that is cut off can be done again.
    (base.device as? any CommittedDevice)?.keepIdentifier()
    let hadRecord = BaseCheck.record(of: overlay.device, at: overlay.path) != nil
    if hadRecord { try BaseCheck.note(nil, of: overlay.device, at: overlay.path) }
    do {
      if base.byteCount < overlay.byteCount {
        let block = UInt64(base.device.blockSize)
        try base.device.resize(to: (overlay.byteCount + block - 1) / block)
      }
      result.bytes = try copyOwn(overlay.device, to: base.device, job)
      try base.flush()
    } catch {
      if hadRecord, (try? base.flush()) != nil {
        try? BaseCheck.note(
          BaseRecord(of: base.device, hash: nil), of: overlay.device, at: overlay.path)
      }
      throw error
    }
    if !keepsOverlay {
      if let device = overlay.device as? any EmptiableDevice {
        try device.makeEmpty()
        try overlay.flush()
        result.isEmptied = true
      } else {
        result.notes.append(
          "\(overlay.formatName) images cannot be emptied: the overlay keeps what the base now has, too"
        )
      }
    }
    // The base is another one than the overlay knew.
    if hadRecord {
      let meter = job.meter(total: base.byteCount)
      let hash = try BaseHashing.hash(base.device, meter)
      try BaseCheck.note(
        BaseRecord(of: base.device, hash: hash), of: overlay.device, at: overlay.path)
    }
    return result
  }

  /// Copies what the topmost layer has of its own.
  private static func copyOwn(
    _ overlay: any BlockDevice, to base: any BlockDevice, _ job: ImageJob
  ) throws -> UInt64 {
    let size = overlay.blockCount * UInt64(overlay.blockSize)
    let target = base.withBlocks(of: overlay.blockSize)
    let most = UInt64(ChunkPipeline.chunkSize / overlay.blockSize)
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: ChunkPipeline.chunkSize, alignment: 4096)
    defer { buffer.deallocate() }
    let meter = job.meter(total: size)
    var copied: UInt64 = 0
    var block: UInt64 = 0
    while block < overlay.blockCount {
      let found = try overlay.extent(at: block, limit: overlay.blockCount - block)
      let end = block + min(max(1, found.count), overlay.blockCount - block)
      // The base may be larger in a last block that is not whole in the overlay's size.
      let inside = min(end, target.blockCount)
      switch found.kind {
      case .absent: break
      case .zero:
        if inside > block {
          try target.discard(block: block, count: inside - block)
          copied += (inside - block) * UInt64(overlay.blockSize)
        }
      case .data:
        var at = block
        while at < inside {
          let count = min(most, inside - at)
          let part = UnsafeMutableRawBufferPointer(
            rebasing: buffer[..<(Int(count) * overlay.blockSize)])
          try overlay.read(block: at, into: part)
          try target.write(block: at, from: UnsafeRawBufferPointer(part))
          at += count
          copied += UInt64(part.count)
          try meter.update(at * UInt64(overlay.blockSize))
        }
      }
      block = end
      try meter.update(block * UInt64(overlay.blockSize))
    }
    try meter.update(size, isLast: true)
    return copied
  }
}
