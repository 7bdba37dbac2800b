// Files whose writes are recorded, so that what a power failure leaves of them can be made.
//
// Owns: the record (writes, zeros, changes of size, flushes), and the images a failure at any point of it could leave. Must not know: formats,
// guests.
//
// What holds of a host's file system is assumed and no more: what was flushed is there. Of what came behind, each write is there, is not, or
// is there in part, sector by sector (512 bytes), in any order; a sector is whole. Sizes change in their order (a journal's). What a longer
// file has more reads as zeros until it is written, but for what a write behind its end (`extend`) made longer, which is there as well.

import Storage

/// Numbers that look random and repeat themselves (Steele, Lea and Flood's SplitMix64).
struct PowerCutRandom: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number below `limit`.
  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(max(limit, 1))) }
  /// Whether one of `limit` cases has come.
  mutating func one(in limit: Int) -> Bool { below(limit) == 0 }
}

/// Files and everything that was done to them, in its order.
final class PowerCutDisk {
  enum Operation {
    case write(offset: Int, bytes: [UInt8])
    case zero(offset: Int, count: Int)
    case setSize(Int)
    /// A write behind the end: a file is longer only when the data are there.
    case extend(offset: Int, bytes: [UInt8])
    case flush
    /// A flush is done that was begun before the operation of this number.
    case flushed(before: Int)
  }
  struct Entry {
    var file: Int
    var operation: Operation
  }

  private(set) var log: [Entry] = []
  private(set) var files: [RecordedStore] = []
  /// What the files held when the record began.
  private(set) var start: [[UInt8]] = []
  private var byName: [String: Int] = [:]
  fileprivate var patience = PowerCutRandom(seed: 5)

  /// Adds a file to the disk.
  @discardableResult func add(_ name: String, _ bytes: [UInt8]) -> RecordedStore {
    let store = RecordedStore(name, bytes, number: files.count, disk: self)
    byName[name] = files.count
    files.append(store)
    start.append(bytes)
    return store
  }

  subscript(name: String) -> RecordedStore? { byName[name].map { files[$0] } }

  fileprivate func record(_ file: Int, _ operation: Operation) {
    log.append(Entry(file: file, operation: operation))
  }

  /// Goes through the record from its beginning to its end, so that making an image costs only what was not flushed.
  struct Cursor {
    private let log: [Entry]
    /// What is there whatever happens, as of `position`.
    private var durable: [[UInt8]]
    /// What may be there: indices in the log.
    private var pending: [[Int]]
    private(set) var position = 0

    init(_ disk: PowerCutDisk) {
      log = disk.log
      durable = disk.start
      pending = Array(repeating: [], count: disk.start.count)
    }

    /// Goes on until the first `end` operations have been issued.
    mutating func advance(to end: Int) {
      while position < end {
        let entry = log[position]
        if case .flush = entry.operation {
          for index in pending[entry.file] {
            PowerCutDisk.apply(log[index].operation, to: &durable[entry.file])
          }
          pending[entry.file] = []
        } else if case .flushed(let before) = entry.operation {
          for index in pending[entry.file] where index < before {
            PowerCutDisk.apply(log[index].operation, to: &durable[entry.file])
          }
          pending[entry.file].removeAll { $0 < before }
        } else {
          pending[entry.file].append(position)
        }
        position += 1
      }
    }

    /// The files as a failure here could leave them.
    func images(_ random: inout PowerCutRandom) -> [[UInt8]] {
      var images = durable
      // Sometimes nothing is lost, sometimes everything, mostly something.
      let mood = random.below(8)
      for file in images.indices {
        if mood == 0 { continue }
        var sizes = pending[file].filter {
          switch log[$0].operation {
          case .setSize, .extend: true
          default: false
          }
        }
        if mood != 1 { sizes.removeLast(random.below(sizes.count + 1)) }
        var order = pending[file].filter {
          switch log[$0].operation {
          case .setSize, .extend: false
          default: true
          }
        }
        if mood != 1 { order.shuffle(using: &random) }
        // All sizes first: a write that would have come before the file grew is the same as one that is not there.
        var smallestBehind: [Int: Int] = [:]
        for index in sizes {
          PowerCutDisk.apply(log[index].operation, to: &images[file])
          if case .setSize(let size) = log[index].operation { smallestBehind[index] = size }
        }
        for index in order {
          // What was cut off later does not come back.
          let limit = smallestBehind.lazy.filter { $0.key > index }.map(\.value).min() ?? .max
          let fate = mood == 1 ? 0 : random.below(4)
          if fate == 1 { continue }
          PowerCutDisk.apply(
            log[index].operation, to: &images[file], limit: limit,
            torn: fate == 2 ? random.next() : nil)
        }
      }
      return images
    }
  }

  /// Does an operation, or the part of it that is in the sectors a pattern has.
  private static func apply(
    _ operation: Operation, to bytes: inout [UInt8], limit: Int = .max, torn: UInt64? = nil
  ) {
    func sectors(_ offset: Int, _ count: Int, _ body: (Range<Int>) -> Void) {
      let end = min(offset + count, bytes.count, limit)
      if torn == nil {
        if offset < end { body(offset..<end) }
        return
      }
      var place = offset
      var number = 0
      // A prefix, a suffix, or any sectors.
      let pieces = (offset + count + 511) / 512 - offset / 512
      let edge = Int(torn! >> 8 & 0xFFFF) % (pieces + 1)
      while place < end {
        let next = min((place / 512 + 1) * 512, end)
        let isThere =
          switch torn! & 3 {
          case 0: number < edge
          case 1: number >= edge
          default: (torn! >> 24) >> UInt64(number % 40) & 1 != 0
          }
        if isThere { body(place..<next) }
        place = next
        number += 1
      }
    }
    switch operation {
    case .write(let offset, let data):
      sectors(offset, data.count) { range in
        bytes.replaceSubrange(
          range, with: data[range.lowerBound - offset..<range.upperBound - offset])
      }
    case .zero(let offset, let count):
      sectors(offset, count) { range in
        bytes.replaceSubrange(range, with: repeatElement(0, count: range.count))
      }
    case .setSize(let size):
      if size < bytes.count {
        bytes.removeLast(bytes.count - size)
      } else {
        bytes += repeatElement(0, count: size - bytes.count)
      }
    case .extend(let offset, let data):
      bytes += repeatElement(0, count: max(0, offset + data.count - bytes.count))
      bytes.replaceSubrange(offset..<offset + data.count, with: data)
    case .flush, .flushed: break
    }
  }
}

/// One of the files.
final class RecordedStore: ByteStore {
  let name: String
  private(set) var bytes: [UInt8]
  private let number: Int
  private unowned let disk: PowerCutDisk

  fileprivate init(_ name: String, _ bytes: [UInt8], number: Int, disk: PowerCutDisk) {
    self.name = name
    self.bytes = bytes
    self.number = number
    self.disk = disk
  }

  var size: UInt64 { UInt64(bytes.count) }
  let isWritable = true
  let zeroesCheaply = true

  private func check(_ offset: UInt64, _ count: UInt64) throws(StorageError) {
    if offset > size || count > size - offset {
      throw StorageError(path: name, offset: offset, reason: "ends here, at \(size) bytes")
    }
  }

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try check(offset, UInt64(buffer.count))
    bytes.withUnsafeBytes {
      buffer.copyMemory(
        from: UnsafeRawBufferPointer(rebasing: $0[Int(offset)..<Int(offset) + buffer.count]))
    }
  }

  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try check(offset, UInt64(buffer.count))
    if buffer.isEmpty { return }
    bytes.withUnsafeMutableBytes {
      UnsafeMutableRawBufferPointer(rebasing: $0[Int(offset)..<Int(offset) + buffer.count])
        .copyMemory(from: buffer)
    }
    disk.record(number, .write(offset: Int(offset), bytes: Array(buffer)))
  }

  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try check(offset, count)
    bytes.replaceSubrange(
      Int(offset)..<Int(offset + count), with: repeatElement(0, count: Int(count)))
    disk.record(number, .zero(offset: Int(offset), count: Int(count)))
  }

  func setSize(_ size: UInt64) throws(StorageError) {
    let size = Int(size)
    if size < bytes.count {
      bytes.removeLast(bytes.count - size)
    } else {
      bytes += repeatElement(0, count: size - bytes.count)
    }
    disk.record(number, .setSize(size))
  }

  func extend(at offset: UInt64, _ data: [UInt8]) throws(StorageError) {
    bytes += repeatElement(0, count: max(0, Int(offset) + data.count - bytes.count))
    bytes.replaceSubrange(Int(offset)..<Int(offset) + data.count, with: data)
    disk.record(number, .extend(offset: Int(offset), bytes: data))
  }

  func flush() throws(StorageError) { disk.record(number, .flush) }
  func beginFlush() throws(StorageError) -> UInt64 { UInt64(disk.log.count) }

  /// It takes a while, as it likes.
  func hasFlushed(_ flush: UInt64) throws(StorageError) -> Bool {
    if disk.patience.one(in: 2) { return false }
    disk.record(number, .flushed(before: Int(flush)))
    return true
  }
}
