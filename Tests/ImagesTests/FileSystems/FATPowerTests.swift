// Files on FAT after a power failure: every write and flush is recorded, and the disk is looked at as it would be after any of them, with
// what was not flushed there, missing, or there in part.

import Foundation
import Testing

@testable import Images
@testable import Storage

/// A store that notes what is written, sector by sector, and where it was flushed.
private final class RecordingStore: ByteStore {
  enum Event {
    case write(UInt64, [UInt8])
    case flush
  }
  private(set) var bytes: [UInt8]
  private(set) var events: [Event] = []
  let name = "disk"
  let isWritable = true
  var size: UInt64 { UInt64(bytes.count) }

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    guard Int(offset) + buffer.count <= bytes.count else {
      throw StorageError(path: name, offset: offset, reason: "ends")
    }
    buffer.copyBytes(from: bytes[Int(offset)..<Int(offset) + buffer.count])
  }
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    bytes.replaceSubrange(Int(offset)..<Int(offset) + buffer.count, with: buffer)
    // Sectors are whole or not there; several of one write can be torn.
    var at = 0
    while at < buffer.count {
      let place = Int(offset) + at
      let count = min(buffer.count - at, 512 - place % 512)
      events.append(.write(UInt64(place), Array(buffer[at..<at + count])))
      at += count
    }
  }
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try write(at: offset, [UInt8](repeating: 0, count: Int(count)))
  }
  func setSize(_ size: UInt64) throws(StorageError) {}
  func flush() throws(StorageError) { events.append(.flush) }
}

/// A disk with some sectors changed.
private final class PatchedStore: ByteStore {
  private let disk: [UInt8]
  /// Changes by their places; none goes across a sector's end, and later ones lie above.
  private var patches: [UInt64: [(offset: UInt64, bytes: [UInt8])]] = [:]
  let name = "disk"
  let isWritable = false
  var size: UInt64 { UInt64(disk.count) }

  init(_ disk: [UInt8]) { self.disk = disk }

  func put(_ offset: UInt64, _ bytes: [UInt8]) {
    patches[offset / 512, default: []].append((offset, bytes))
  }

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    guard Int(offset) + buffer.count <= disk.count else {
      throw StorageError(path: name, offset: offset, reason: "ends")
    }
    disk.withUnsafeBytes {
      buffer.copyMemory(
        from: UnsafeRawBufferPointer(rebasing: $0[Int(offset)..<Int(offset) + buffer.count]))
    }
    if buffer.count == 0 { return }
    let end = offset + UInt64(buffer.count)
    for sector in offset / 512...(end - 1) / 512 {
      for patch in patches[sector] ?? [] {
        for (n, byte) in patch.bytes.enumerated() {
          let place = patch.offset + UInt64(n)
          if place >= offset && place < end { buffer[Int(place - offset)] = byte }
        }
      }
    }
  }
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {}
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {}
  func setSize(_ size: UInt64) throws(StorageError) {}
  func flush() throws(StorageError) {}
}

extension WorkOnImages {
  @Suite struct FATPowerTests {
    private func contents(_ volume: FATVolume) throws -> [String: [UInt8]] {
      var found: [String: [UInt8]] = [:]
      // Two files with a cluster in common, circles and the like are errors here.
      for item in try FATWalk(volume, keepsItems: true).items where !item.entry.isFolder {
        var bytes: [UInt8] = []
        try volume.read(item.entry, path: item.path) { bytes += $0 }
        found[item.path] = bytes
      }
      return found
    }

    @Test(arguments: [(FATKind.fat12, 1_474_560), (.fat16, 5 << 20), (.fat32, 34 << 20)])
    func noOtherFileIsLost(kind: FATKind, size: Int) throws {
      let blank = MemoryStore([UInt8](repeating: 0, count: size))
      var wish = FATWish()
      wish.kind = kind
      wish.clusterSize = kind == .fat12 ? nil : 512
      wish.floppy = FloppyFormat.ofSize(UInt64(size))
      try FATFormatter.format(blank, wish)
      let store = RecordingStore(blank.bytes)
      let volume = try FATVolume(store)
      #expect(volume.layout.kind == kind)
      let time = FATTime(localSeconds: 1_000_000_000)
      var model: [String: [UInt8]] = [:]
      func put(_ path: String, _ bytes: [UInt8]) throws {
        var at = 0
        try volume.write(path, size: UInt64(bytes.count), time: time) { buffer in
          buffer.copyBytes(from: bytes[at..<at + buffer.count])
          at += buffer.count
        }
        model[path] = bytes
      }
      try volume.makeFolder("folder", time: time)
      for n in 0..<20 {
        try put("folder/Kept file number \(n)", randomDisk(1500 + n * 100, seed: UInt64(n)))
      }
      var numbers = Numbers(state: 12345)
      var cuts = 0
      for step in 0..<24 {
        let before = model
        let start = store.bytes
        let first = store.events.count
        let path = "folder/A long name \(numbers.next() % 12)"
        if model[path] != nil, step % 3 == 0 {
          try volume.remove(path)
          model[path] = nil
        } else {
          try put(path, randomDisk(Int(numbers.next() % 4000), seed: numbers.next()))
        }
        try volume.finish()
        let events = Array(store.events[first...])
        for cut in 0...events.count {
          // What was flushed is there; of what came after, nothing, everything, or some.
          let safe = events[..<cut].lastIndex { if case .flush = $0 { true } else { false } } ?? 0
          for way in 0..<3 {
            let disk = PatchedStore(start)
            for (n, event) in events[..<cut].enumerated() {
              guard case .write(let offset, let bytes) = event else { continue }
              if n > safe, way == 0 || way == 1 && numbers.next() & 1 == 0 { continue }
              disk.put(offset, bytes)
            }
            cuts += 1
            let after: [String: [UInt8]]
            do {
              after = try contents(FATVolume(disk))
            } catch {
              Issue.record("step \(step), cut \(cut) of \(events.count): \(error)")
              return
            }
            for (name, bytes) in before where name != path {
              guard let found = after[name], same(found, bytes) else {
                Issue.record("step \(step), cut \(cut): '\(name)' is lost")
                return
              }
            }
            let now = after[path]
            #expect(
              now.map { same($0, before[path] ?? []) || same($0, model[path] ?? []) }
                ?? (before[path] == nil || model[path] == nil),
              "step \(step), cut \(cut): '\(path)' is neither the old one nor the new one")
          }
        }
      }
      #expect(cuts > 700)
    }
  }
}
