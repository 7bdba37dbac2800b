// A guest that is told of each error and goes on, and what it may find on its disk then.
//
// Owns: for each sector, what it may hold now, and what it may hold if the program is killed now. Must not know: formats, files.

import Testing

@testable import Storage

/// A guest at work.
struct ToldGuest {
  /// What a read gives now: one value, or several where a write failed that may be there in part.
  private var live: [Set<UInt64>]
  /// What is in the files if the program is killed: what was flushed, and everything that was begun since.
  private var kept: [Set<UInt64>]
  private(set) var errors = 0
  private static let zero = GuestWitness.zero

  init(_ device: any BlockDevice) throws {
    live = try GuestWitness.hashes(of: device).map { [$0] }
    kept = live
  }

  private mutating func note(_ block: Int, _ values: [UInt64], _ isDone: Bool) {
    for (n, value) in values.enumerated() {
      let sector = block + n
      if isDone { live[sector] = [value] } else { live[sector].insert(value) }
      kept[sector].insert(value)
    }
  }

  /// Writes, zeros, discards, flushes as they come. An error is told, and that is all.
  mutating func work(_ device: any BlockDevice, steps: Int, _ random: inout PowerCutRandom) throws {
    let factor = device.blockSize / 512
    for _ in 0..<steps {
      let count = 1 + random.below(random.one(in: 3) ? 40 : 4)
      let block = random.below(max(1, Int(device.blockCount) - count))
      let size = min(count, Int(device.blockCount) - block)
      do {
        switch random.below(12) {
        case 0: try flush(device)
        case 1: _ = try device.settle()
        case 2, 3:
          let zeros = [UInt64](repeating: ToldGuest.zero, count: size * factor)
          let isDiscard = random.one(in: 2)
          do {
            if isDiscard {
              try device.discard(block: UInt64(block), count: UInt64(size))
            } else {
              try device.writeZeroes(block: UInt64(block), count: UInt64(size))
            }
          } catch {
            note(block * factor, zeros, false)
            throw error
          }
          note(block * factor, zeros, true)
        default:
          let bytes = QCOW2Maker.pattern(size * device.blockSize, random.next() & 0xFFFF_FFFF)
          let values = try GuestWitness.hashes(of: MemoryImage(bytes: bytes))
          do { try device.write(block: UInt64(block), bytes) } catch {
            note(block * factor, values, false)
            throw error
          }
          note(block * factor, values, true)
        }
      } catch let error as StorageError {
        if !error.lacksRoom { throw error }
        errors += 1
      }
    }
  }

  mutating func flush(_ device: any BlockDevice) throws {
    try device.flush()
    kept = live
  }

  /// What is wrong with what the device gives now.
  func complaint(_ device: any BlockDevice) throws -> String? {
    ToldGuest.complaint(try GuestWitness.hashes(of: device), live, kept)
  }

  /// What is wrong with what is in the files, when nothing of the program is left.
  func complaintWhenKilled(_ device: any BlockDevice) throws -> String? {
    ToldGuest.complaint(try GuestWitness.hashes(of: device), kept, kept)
  }

  private static func complaint(_ found: [UInt64], _ allowed: [Set<UInt64>], _ ever: [Set<UInt64>])
    -> String?
  {
    if found.count < allowed.count { return "the disk has \(found.count) sectors" }
    for (number, value) in found.prefix(allowed.count).enumerated()
    where !allowed[number].contains(value) {
      return "sector \(number) holds "
        + (ever[number].contains(value)
          ? "what it held before" : value == zero ? "zeros" : "what was not written there")
    }
    return nil
  }
}
