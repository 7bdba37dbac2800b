// `rebase`: another base for an overlay, or none.
//
// Owns: that the disk shows the same before and after (safe), or that only the name changes (unsafe); the order of the two steps. Must not
// know: formats.

import Host
import Storage

public struct RebaseResult: Codable, Equatable, Sendable {
  public var schema = "apus-image-rebase"
  public var version = 1
  public var file: String
  public var base: String?
  /// Bytes that were written into the overlay, as the new base shows something else.
  public var bytes: UInt64
  public var notes: [String]
}

/// What is to become of an overlay.
public struct RebaseRequest: Sendable {
  public var image: ImageReference
  /// The new base; nil: none, the image then has everything itself.
  public var base: BaseWish?
  /// Only the name changes: the user says that the new base shows what the old one did.
  public var isUnsafe = false
  /// The base stays, and counts as what it is now.
  public var accepts = false

  public init(_ image: ImageReference) { self.image = image }
}

extension ImageOperations {
  /// Gives an overlay another base.
  public static func rebase(_ request: RebaseRequest, _ job: ImageJob = ImageJob()) throws
    -> RebaseResult
  {
    if request.accepts { return try acceptBase(request.image, job) }
    var reference = request.image
    // Whoever changes only the name need not have the old base any more.
    if request.isUnsafe { reference.checksBase = false }
    var wish = CreateRequest(reference.path)
    wish.base = request.base
    wish.names = .anywhere
    wish.keys = reference.keys
    let (newBase, name) = try UnfinishedImage.base(wish)
    let path = reference.path
    var result = RebaseResult(file: path, base: name, bytes: 0, notes: [])
    if let newBase, let note = UnfinishedImage.noteOfFolder(newBase, for: path) {
      result.notes.append(note)
    }
    if !request.isUnsafe {
      let image = try DiskImage(reference, .writing)
      defer { image.close() }
      guard let format = image.format else {
        throw StorageError(path: path, reason: "has no base to be changed")
      }
      _ = try rebasable(format, path)
      if image.device.base == nil && newBase != nil {
        throw StorageError(
          path: path, reason: "stands alone; over a base it would show the same without using it")
      }
      result.bytes = try keepContents(image, newBase, job)
      try image.flush()
    }
    // No device has the store open, whose notes of the old name could come after the new one.
    let store = try ImageFiles.store(path, .writing)
    let context = ImageFiles.context(
      for: path, .writing, names: reference.names, kind: .disk, formats: DiskImage.formats)
    let format =
      if let name = reference.format {
        try DiskImage.format(name, for: path)
      } else {
        try ImageFormats.format(of: store, context)
      }
    try finishRebase(format, store, context, newBase, name)
    store.close()
    try noteNewBase(reference, newBase, job)
    return result
  }

  private static func rebasable(_ format: any ImageFormat, _ path: String) throws
    -> any RebasableFormat
  {
    guard let format = format as? any RebasableFormat else {
      throw StorageError(
        path: path, reason: "\(format.name) images cannot be given another base; convert them")
    }
    return format
  }

  private static func finishRebase(
    _ format: any ImageFormat, _ store: any ByteStore, _ context: ImageContext,
    _ base: DiskImage?, _ name: String?
  ) throws {
    let format = try rebasable(format, store.name)
    let new = base.flatMap { base in
      name.map { NewBase(name: $0, formatName: base.formatName, contents: base.contents) }
    }
    try format.setBase(store, new, context)
    try store.flush()
  }

  /// What is to be noted of the new base.
  private static func noteNewBase(
    _ reference: ImageReference, _ base: DiskImage?, _ job: ImageJob
  ) throws {
    base?.close()
    var reference = reference
    reference.checksBase = false
    reference.names = .anywhere
    let image = try DiskImage(reference, .writing)
    defer { image.close() }
    let hadRecord = BaseCheck.record(of: image.device, at: image.path) != nil
    guard let below = image.device.base?.whole else {
      if hadRecord { try BaseCheck.note(nil, of: image.device, at: image.path) }
      return
    }
    let size = image.basePaths.reduce(UInt64(0)) { $0 &+ (HostFiles.facts($1)?.allocated ?? 0) }
    // A hash of what is encrypted would tell who guesses whether the guess is right.
    let hash =
      size <= 1 << 30 && below.volumeKeys.isEmpty
      ? try BaseHashing.hash(
        below, job.meter(total: below.blockCount * UInt64(below.blockSize))) : nil
    try BaseCheck.note(BaseRecord(of: below, hash: hash), of: image.device, at: image.path)
  }

  /// The base as it is now is what the overlay stands over.
  private static func acceptBase(_ reference: ImageReference, _ job: ImageJob) throws
    -> RebaseResult
  {
    var reference = reference
    reference.checksBase = false
    let image = try DiskImage(reference, .writing)
    defer { image.close() }
    guard let base = image.device.base?.whole else {
      throw StorageError(path: image.path, reason: "stands alone: there is no base to accept")
    }
    let hash =
      base.volumeKeys.isEmpty
      ? try BaseHashing.hash(base, job.meter(total: base.blockCount * UInt64(base.blockSize))) : nil
    try BaseCheck.note(BaseRecord(of: base, hash: hash), of: image.device, at: image.path)
    return RebaseResult(file: image.path, base: image.basePaths.first, bytes: 0, notes: [])
  }

  /// Writes into the overlay what shows from the old base and not from the new one.
  private static func keepContents(_ image: DiskImage, _ newBase: DiskImage?, _ job: ImageJob)
    throws -> UInt64
  {
    let device = image.device
    (device as? any RebasedDevice)?.zeroesAreOwn = true
    defer { (device as? any RebasedDevice)?.zeroesAreOwn = false }
    let size = UInt64(device.blockSize)
    let new = newBase?.device.withBlocks(of: device.blockSize)
    let newShown = new.map { ShownExtents($0) }
    let shown = ShownExtents(device)
    let most = UInt64(ChunkPipeline.chunkSize / device.blockSize)
    let buffers = (0..<2).map { _ in
      UnsafeMutableRawBufferPointer.allocate(
        byteCount: ChunkPipeline.chunkSize, alignment: 4096)
    }
    defer { for buffer in buffers { buffer.deallocate() } }
    let meter = job.meter(total: image.byteCount)
    var written: UInt64 = 0
    var block: UInt64 = 0
    while block < device.blockCount {
      let own = try device.extent(at: block, limit: device.blockCount - block)
      let end = block + min(max(1, own.count), device.blockCount - block)
      if own.kind != .absent {
        block = end
        continue
      }
      while block < end {
        // What is zeros in both needs not be read.
        let run = try shown.run(at: block, limit: end - block)
        var count = min(run.count, end - block)
        if run.isZero {
          if let newShown, block < newShown.layers[0].blockCount {
            let other = try newShown.run(at: block, limit: count)
            count = min(count, other.count)
            if !other.isZero {
              try device.writeZeroes(block: block, count: count)
              written += count * size
            }
          }
        } else {
          count = min(count, most)
          let bytes = Int(count * size)
          let old = UnsafeMutableRawBufferPointer(rebasing: buffers[0][..<bytes])
          let next = UnsafeMutableRawBufferPointer(rebasing: buffers[1][..<bytes])
          try device.read(block: block, into: old)
          if let new {
            try BaseReading.read(new, at: block * size, into: next)
          } else {
            next.initializeMemory(as: UInt8.self, repeating: 0)
          }
          let runs = DifferentRuns.find(
            UnsafeRawBufferPointer(old), UnsafeRawBufferPointer(next),
            unit: max(device.blockSize, 65536))
          for part in runs {
            try device.write(
              block: block + UInt64(part.start) / size,
              from: UnsafeRawBufferPointer(rebasing: old[part.start..<part.start + part.count]))
            written += UInt64(part.count)
          }
        }
        block += count
        try meter.update(block * size)
      }
    }
    try meter.update(image.byteCount, isLast: true)
    return written
  }
}
