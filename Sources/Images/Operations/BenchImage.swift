// `bench`: how fast an image is read and written.
//
// Owns: the accesses and their measurement. Must not know: formats.

import Host
import Storage

/// How an image is accessed.
public enum BenchKind: String, CaseIterable, Codable, Sendable {
  case sequentialRead = "sequential-read"
  case randomRead = "random-read"
  case sequentialWrite = "sequential-write"
  case randomWrite = "random-write"
}

public struct BenchRequest: Sendable {
  public var image: ImageReference
  public var kinds: [BenchKind] = [.sequentialRead, .randomRead]
  /// Bytes of one access in sequence, and at random.
  public var sequentialSize = 1 << 20
  public var randomSize = 4096
  /// Bytes of all accesses of a kind; nil: the disk's, at most a GiB (a sixteenth of it at random).
  public var byteCount: UInt64?
  /// As many accesses of a kind; nil: as `byteCount` says.
  public var count: UInt64?
  /// Where those in sequence begin, and from one's beginning to the next one's; behind the disk's end they begin anew.
  public var offset: UInt64 = 0
  public var step: UInt64?
  /// What is written; nil: numbers of which none is zero.
  public var pattern: UInt8?
  /// A flush after so many writes; nil: one at the end.
  public var flushInterval: UInt64?
  public init(_ image: ImageReference) { self.image = image }
}

public struct BenchMeasurement: Codable, Equatable, Sendable {
  public var kind: BenchKind
  public var accessSize: Int
  public var bytes: UInt64
  public var seconds: Double
  public var cpuSeconds: Double
  public var megabytesPerSecond: Double
  public var accessesPerSecond: Double
}

public struct BenchImageResult: Codable, Equatable, Sendable {
  public var schema = "apus-image-bench"
  public var version = 1
  public var file: String
  public var format: String
  public var openSeconds: Double
  public var measurements: [BenchMeasurement]
}

extension ImageOperations {
  /// Measures accesses. Those that write overwrite the disk with numbers: what it held is lost.
  public static func bench(_ request: BenchRequest, _ job: ImageJob = ImageJob()) throws
    -> BenchImageResult
  {
    let writes = request.kinds.contains { $0 == .sequentialWrite || $0 == .randomWrite }
    let start = HostClock.nanoseconds()
    let image = try DiskImage(request.image, writes ? .writing : .reading)
    defer { image.close() }
    let device = image.device
    if device.blockCount == 0 {
      throw StorageError(path: image.path, reason: "has 0 bytes: there is nothing to be measured")
    }
    var result = BenchImageResult(
      file: image.path, format: image.formatName,
      openSeconds: Double(HostClock.nanoseconds() - start) / 1e9, measurements: [])
    for kind in request.kinds {
      result.measurements.append(try measure(kind, device, request, job))
    }
    return result
  }

  private static func measure(
    _ kind: BenchKind, _ device: any BlockDevice, _ request: BenchRequest, _ job: ImageJob
  ) throws -> BenchMeasurement {
    let isRandom = kind == .randomRead || kind == .randomWrite
    let isWrite = kind == .sequentialWrite || kind == .randomWrite
    let block = device.blockSize
    let disk = device.blockCount * UInt64(block)
    let wanted = isRandom ? request.randomSize : request.sequentialSize
    let size = Int(min(UInt64(max(block, wanted / block * block)), disk))
    let most = request.byteCount ?? min(disk, isRandom ? 1 << 26 : 1 << 30)
    let count = max(1, request.count ?? most / UInt64(size))
    let places = max(1, disk / UInt64(size))
    let step = isRandom ? UInt64(size) : request.step ?? UInt64(size)
    let offset = isRandom ? 0 : request.offset
    let isPlain = step == UInt64(size) && offset == 0
    if step % UInt64(block) != 0 || offset % UInt64(block) != 0 {
      throw ImageUsageError("offsets and steps are multiples of \(block) on this disk")
    }
    if offset > disk - UInt64(size) {
      throw ImageUsageError("offset \(offset): the disk has \(disk) bytes")
    }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 4096)
    defer { buffer.deallocate() }
    for word in 0..<size / 8 {
      if let pattern = request.pattern {
        buffer.initializeMemory(as: UInt8.self, repeating: pattern)
        break
      }
      buffer.storeBytes(
        of: UInt64(word) &* 0x9E37_79B9_7F4A_7C15 | 1, toByteOffset: word * 8, as: UInt64.self)
    }
    let meter = job.meter(total: count * UInt64(size))
    var seed: UInt64 = 0x2545_F491_4F6C_DD1D
    let (start, cpu) = (HostClock.nanoseconds(), HostClock.processNanoseconds())
    for number in 0..<count {
      var place = number % places
      if isRandom {
        seed ^= seed << 13
        seed ^= seed >> 7
        seed ^= seed << 17
        place = seed % places
      }
      var first = place * UInt64(size / block)
      if !isRandom && !isPlain {
        // What would reach over the end begins at the beginning.
        let room = disk - UInt64(size) + 1
        first = (offset &+ number &* step) % room / UInt64(block)
      }
      if isWrite {
        try device.write(block: first, from: UnsafeRawBufferPointer(buffer))
        if let interval = request.flushInterval, interval > 0, (number + 1) % interval == 0 {
          try device.flush()
        }
      } else {
        try device.read(block: first, into: buffer)
      }
      if number % 64 == 0 { try meter.update(number * UInt64(size)) }
    }
    if isWrite { try device.flush() }
    let seconds = max(1e-9, Double(HostClock.nanoseconds() - start) / 1e9)
    let cpuSeconds = Double(HostClock.processNanoseconds() - cpu) / 1e9
    let bytes = count * UInt64(size)
    try meter.update(bytes, isLast: true)
    return BenchMeasurement(
      kind: kind, accessSize: size, bytes: bytes, seconds: seconds, cpuSeconds: cpuSeconds,
      megabytesPerSecond: Double(bytes) / seconds / 1e6,
      accessesPerSecond: Double(count) / seconds)
  }
}
