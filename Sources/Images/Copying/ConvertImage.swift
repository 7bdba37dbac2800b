// `convert`: a disk into a new image, or into one that is there.
//
// Owns: what is asked for, the order of things, the journal's times. Must not know: formats, the command line.

import Host
import Storage

/// What is to be converted into what.
public struct ConvertRequest: Sendable {
  public var source: ImageReference
  public var target: String
  /// The target's format.
  public var format = "raw"
  public var options: [String: String] = [:]
  public var provisioning: Provisioning?
  public var sectorSize = 512
  /// The target stands over this base, and has only what differs.
  public var base: BaseWish?
  public var compresses = false
  /// Zeros of at least so many bytes become holes; 0: everything is written.
  public var sparseSize = 4096
  /// The target exists, and is as large at least.
  public var intoExisting = false
  /// A file of the target's name is replaced.
  public var replaces = false
  /// Work that was cut off is continued, and can be.
  public var resumes = false
  /// The new image is on stable storage when the work is done; otherwise when the host likes.
  public var syncs = true
  /// Only these bytes of the disk; nil: all.
  public var region: Range<UInt64>?
  /// How many threads read; nil: as the host has processors.
  public var readers: Int?
  public var baseHash = CreateRequest.BaseHash.quick
  /// Where the passphrase of the target comes from, if it is encrypted.
  public var newKey: (any KeySource)?

  public init(_ source: ImageReference, to target: String, format: String = "raw") {
    self.source = source
    self.target = target
    self.format = format
  }
}

/// What was done.
public struct ConvertResult: Codable, Equatable, Sendable {
  public var schema = "apus-image-convert"
  public var version = 1
  public var source: String
  public var target: String
  public var format: String
  public var virtualSize: UInt64
  /// Bytes that were written as data, and those that were left out or made zeros.
  public var dataBytes: UInt64
  public var zeroBytes: UInt64
  /// Of the data, what was compressed, and into how many bytes.
  public var compressedFrom: UInt64
  public var compressedTo: UInt64
  /// Where earlier work was continued.
  public var resumedAt: UInt64?
  public var seconds: Double
  public var cpuSeconds: Double
  public var notes: [String]
}

extension ImageOperations {
  /// Converts an image.
  public static func convert(_ request: ConvertRequest, _ job: ImageJob = ImageJob()) throws
    -> ConvertResult
  {
    try Conversion(request, job).run()
  }
}

/// One conversion.
private final class Conversion {
  private let request: ConvertRequest
  private let job: ImageJob
  private let start = HostClock.nanoseconds()
  private let cpuStart = HostClock.processNanoseconds()
  private var result: ConvertResult
  private let source: CopySource
  private let openingTime: UInt64

  init(_ request: ConvertRequest, _ job: ImageJob) throws {
    self.request = request
    self.job = job
    if HostFiles.exists(request.target), HostFiles.isSame(request.source.path, request.target) {
      throw ImageUsageError("\(request.target): source and target are the same file")
    }
    if request.intoExisting && (request.resumes || request.base != nil) {
      throw ImageUsageError("-n takes neither --resume nor a base: the target is there already")
    }
    if !request.syncs && (request.intoExisting || request.resumes) {
      throw ImageUsageError(
        "-t unsafe: only for a new image that is made at once, without -n and --resume")
    }
    if request.sparseSize < 0 || request.sparseSize % 512 != 0 || request.sparseSize > 2 << 20 {
      throw ImageUsageError(
        "-S \(request.sparseSize): multiples of 512 up to 2M, or 0 for no holes")
    }
    source = try CopySource(request.source, region: request.region)
    if let below = (source.image.basePaths + source.image.partPaths).first(where: {
      HostFiles.exists(request.target) && HostFiles.isSame($0, request.target)
    }) {
      throw ImageUsageError(
        "\(request.target): '\(request.source.path)' is made of '\(below)', which is the same file")
    }
    openingTime = HostClock.nanoseconds() - start
    result = ConvertResult(
      source: request.source.path, target: request.target, format: request.format,
      virtualSize: source.device.blockCount * 512, dataBytes: 0, zeroBytes: 0, compressedFrom: 0,
      compressedTo: 0, seconds: 0, cpuSeconds: 0, notes: [])
  }

  func run() throws -> ConvertResult {
    if request.intoExisting {
      try intoExisting()
    } else {
      try intoNew()
    }
    source.close()
    result.seconds = Double(HostClock.nanoseconds() - start) / 1e9
    result.cpuSeconds = Double(HostClock.processNanoseconds() - cpuStart) / 1e9
    return result
  }

  private func intoExisting() throws {
    // The target's own passphrase first; images below it may have the source's.
    let keys =
      request.newKey.map {
        DiskKeys(
          [$0] + (request.source.keys?.sources ?? []),
          limits: request.source.keys?.limits ?? KeyLimits())
      } ?? request.source.keys
    let target = try DiskImage(
      ImageReference(
        request.target, format: request.format == "" ? nil : request.format,
        names: request.source.names, keys: keys), .writing)
    result.format = target.formatName
    if target.byteCount < result.virtualSize {
      throw StorageError(
        path: request.target,
        reason: "has \(target.byteCount) bytes, too few for the source's \(result.virtualSize)")
    }
    try copy(to: target.device, isZero: false, from: 0, journal: nil)
    try target.flush()
    target.close()
  }

  private func intoNew() throws {
    var wish = CreateRequest(request.target, format: request.format)
    wish.byteCount = source.byteCount
    wish.base = request.base
    wish.options = request.options
    wish.provisioning = request.provisioning
    wish.sectorSize = request.sectorSize
    wish.replaces = request.replaces
    wish.keys = request.source.keys
    wish.newKey = request.newKey
    var journal = request.resumes ? ConvertJournal(request, source.image) : nil
    let suffix = request.resumes ? ConvertJournal.suffix : nil
    var from: UInt64 = 0
    if let journal, let done = journal.resumable(for: request.target) {
      from = min(done, result.virtualSize)
    }
    var files = NewImageFiles(
      replaces: request.replaces, suffix: suffix, keepsUnfinished: request.resumes,
      syncs: request.syncs)
    var image: UnfinishedImage
    var contents: ImageContents
    do {
      image = try UnfinishedImage(wish, files: files, resuming: from > 0)
      contents = try image.open()
      if from > 0 {
        try checkBegun(contents.device, from)
        result.resumedAt = from
      }
    } catch {
      // What is left of earlier work is of no use, or of another's.
      guard request.resumes, !(error is ImageUsageError),
        HostFiles.exists(files.place(of: request.target))
      else { throw error }
      files.close()
      from = 0
      files = NewImageFiles(replaces: request.replaces, suffix: suffix, keepsUnfinished: true)
      image = try UnfinishedImage(wish, files: files)
      contents = try image.open()
    }
    result.notes += image.notes
    result.format = image.format.name
    journal?.done = from
    try copy(
      to: contents.device, isZero: image.base == nil && image.format.newImagesAreZeros, from: from,
      journal: journal,
      base: image.base)
    let noted = try image.noteBase(contents.device, request.baseHash, job)
    try contents.device.finish()
    try image.finish(files, noted)
    if request.resumes { ConvertJournal.remove(for: request.target) }
    contents.device.close()
    image.base?.close()
  }

  /// Looks at some places of what is said to be done: a file that others put there, with the right numbers, is not gone on with.
  private func checkBegun(_ target: any BlockDevice, _ done: UInt64) throws {
    let count: UInt64 = 65536
    let most = min(done, target.blockCount * UInt64(target.blockSize))
    for n in 0..<16 as Range<UInt64> where most >= count {
      let offset = (most - count) / 512 * n / 15 * 512
      // What cannot be read of the source is not the target's fault.
      guard let wanted = try? source.device.bytes(at: offset, count: Int(count)) else { continue }
      if try target.bytes(at: offset, count: wanted.count) != wanted {
        throw StorageError(
          path: request.target, offset: offset, reason: "what was begun is not the source's")
      }
    }
  }

  /// Where the base of the target is read, by each reader.
  private func baseReader(_ base: DiskImage?) throws -> CopySource? {
    guard let base else { return nil }
    return try CopySource(
      ImageReference(
        base.path, format: request.base?.format, names: .anywhere, keys: request.source.keys),
      checksBase: false)
  }

  private func copy(
    to target: any BlockDevice, isZero: Bool, from: UInt64, journal: ConvertJournal?,
    base: DiskImage? = nil
  ) throws {
    let compressing = request.compresses ? target as? any CompressingDevice : nil
    if request.compresses && compressing == nil {
      throw ImageUsageError("\(request.target): \(result.format) images are not compressed")
    }
    if request.compresses, (target as? any EncryptedDevice)?.volumeKey != nil {
      throw ImageUsageError("\(request.target): encrypted images are not compressed")
    }
    let block = UInt64(target.blockSize)
    var unit = max(UInt64(max(request.sparseSize, 512)), block)
    let packUnit = compressing.map { Int($0.compressionUnit) * target.blockSize }
    if let packUnit { unit = max(unit, UInt64(packUnit)) }
    if UInt64(ChunkPipeline.chunkSize) % unit != 0 { unit = UInt64(ChunkPipeline.chunkSize) }
    let writesZeros = request.sparseSize == 0
    var scan = PieceScan(
      source.device, from: from, unit: max(unit, 65536), readsEverything: writesZeros)
    let readers = try (0..<readerCount()).map { number in
      try reader(
        unit: Int(unit), block: block, packUnit: packUnit, compressor: compressing?.compressor,
        base: try baseReader(base), keepsZeros: writesZeros)
    }
    let below = base.map { ShownExtents($0.device.withBlocks(of: 512)) }
    let pipeline = try ChunkPipeline(readers: readers)
    defer { pipeline.stop() }
    let meter = job.meter(total: result.virtualSize)
    var journal = journal
    var marked = (offset: from, time: HostClock.nanoseconds())
    let next = { try scan.next() }
    var reached = from
    // Whoever ends it, or whatever does, it goes on there the next time.
    defer {
      if reached > marked.offset, reached < result.virtualSize, var journal,
        (try? target.flush()) != nil
      {
        journal.done = reached
        try? journal.write(for: request.target)
      }
    }
    try pipeline.run(next: next) { chunk in
      try put(chunk, to: target, compressing, isZero: isZero, below: below)
      let done = chunk.offset + chunk.count
      reached = done
      try meter.update(done)
      let now = HostClock.nanoseconds()
      if journal != nil, done - marked.offset >= 1 << 30 || now - marked.time > 5_000_000_000 {
        try target.flush()
        journal?.done = done
        try journal?.write(for: request.target)
        marked = (done, now)
      }
    }
    try meter.update(result.virtualSize, isLast: true)
  }

  /// As many threads as help: what takes long to open is opened once.
  private func readerCount() -> Int {
    if let readers = request.readers { return min(max(readers, 1), 16) }
    return openingTime > 200_000_000 ? 1 : min(4, HostThread.processorCount)
  }

  private func reader(
    unit: Int, block: UInt64, packUnit: Int?, compressor: ((UnsafeRawBufferPointer) -> [UInt8]?)?,
    base: CopySource?, keepsZeros: Bool
  ) throws -> ChunkPipeline.Reader {
    let source = try CopySource(request.source, region: request.region, checksBase: false)
    return { chunk in
      let size = source.device.blockCount * 512
      let inside = Int(min(chunk.count, size - chunk.offset))
      try source.device.read(
        block: chunk.offset / 512,
        into: UnsafeMutableRawBufferPointer(rebasing: chunk.buffer[..<inside]))
      // The last sectors may not fill a block of the target.
      let whole = (inside + Int(block) - 1) / Int(block) * Int(block)
      UnsafeMutableRawBufferPointer(rebasing: chunk.buffer[inside..<whole]).initializeMemory(
        as: UInt8.self, repeating: 0)
      let bytes = UnsafeRawBufferPointer(rebasing: chunk.buffer[..<whole])
      if keepsZeros {
        chunk.runs = [Chunk.Run(start: 0, count: whole, isZero: false)]
      } else if let base {
        let below = UnsafeMutableRawBufferPointer(rebasing: chunk.second[..<bytes.count])
        try BaseReading.read(base.device, at: chunk.offset, into: below)
        chunk.runs = DifferentRuns.find(bytes, UnsafeRawBufferPointer(below), unit: unit)
      } else if let packUnit, let compressor {
        chunk.runs = ZeroRuns.compress(bytes, unit: packUnit, compressor)
      } else {
        chunk.runs = ZeroRuns.find(bytes, unit: unit)
      }
    }
  }

  private func put(
    _ chunk: Chunk, to target: any BlockDevice, _ compressing: (any CompressingDevice)?,
    isZero: Bool, below: ShownExtents?
  ) throws {
    let block = UInt64(target.blockSize)
    if chunk.isZero, let below {
      result.zeroBytes += chunk.count
      return try BaseReading.hide(below, chunk.offset, chunk.count, in: target)
    }
    if chunk.isZero {
      result.zeroBytes += chunk.count
      if isZero { return }
      return try target.discard(
        block: chunk.offset / block, count: (chunk.count + block - 1) / block)
    }
    for run in chunk.runs {
      let first = (chunk.offset + UInt64(run.start)) / block
      if run.isZero {
        result.zeroBytes += UInt64(run.count)
        if isZero { continue }
        try target.discard(block: first, count: UInt64(run.count) / block)
      } else if let compressed = run.compressed, let compressing {
        result.dataBytes += UInt64(run.count)
        result.compressedFrom += UInt64(run.count)
        result.compressedTo += UInt64(compressed.count)
        try compressing.writeCompressed(block: first, compressed)
      } else {
        result.dataBytes += UInt64(run.count)
        let part = chunk.buffer[run.start..<run.start + run.count]
        try target.write(block: first, from: UnsafeRawBufferPointer(rebasing: part))
      }
    }
  }
}
