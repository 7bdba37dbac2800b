// Stores that somebody has changed on purpose: refused in words, never a crash.
//
// APUS_MUTATIONS says how many cases there are (1000000 is a thorough run).

import Storage
import Testing

@testable import Store

@Suite struct HostileStoreTests {
  private struct Base {
    var folders: Set<String>
    var files: [String: [UInt8]]
    var root: StoreRoot
    var packs: [String]
  }

  /// A small store that has everything: objects of all kinds, what died, a list.
  private static func make() throws -> Base {
    let disk = MemoryFiles()
    disk.records = false
    var random = StoreRandom(40)
    let store = try ContentStore(creating: "/s", keys: nil, files: disk)
    var names: [ContentName] = []
    for compress in [false, true] {
      let batch = store.begin(compress: compress)
      for size in [1, 30, 200, 4096] {
        names.append(try batch.add(random.bytes(size)))
        names.append(try batch.add(random.text(size)))
      }
      let list = try ContentList(
        count: 600, names.enumerated().map { (slot: UInt64($0.offset * 33), name: $0.element) },
        into: batch)
      names.insert(list.name, at: 0)
      try store.publish(batch, payload: names.flatMap(\.bytes))
    }
    var marks = ContentMarks()
    try marks.insert(try ContentList(names[0], in: store), in: store)
    try store.sweep(Array(marks.live.subtracting(names.suffix(3))))
    try store.publish(nil, payload: names.flatMap(\.bytes))
    let files = Dictionary(uniqueKeysWithValues: disk.paths.map { ($0, disk[$0]!) })
    let root = try StoreRoot.read(try disk.open("/s/root", writable: false), nil).root
    return Base(
      folders: disk.allFolders, files: files, root: root,
      packs: files.keys.filter { $0.hasSuffix(".pack") }.sorted())
  }

  private static let interesting: [UInt64] = [
    0, 1, 2, 16, 47, 48, 49, 4095, 4096, 4097, 1 << 24, 1 << 24 + 1, 1 << 28, 1 << 31, 1 << 32,
    1 << 63, .max, .max - 1, UInt64(Int64.max),
  ]

  private static func mutate(_ bytes: inout [UInt8], _ random: inout StoreRandom) {
    for _ in 0...random.below(3) {
      if bytes.isEmpty { return }
      // Heads and ends have more to say than what is between them.
      let zone = random.below(4)
      let at =
        zone == 0
        ? random.below(min(bytes.count, 200))
        : zone == 1 ? max(0, bytes.count - 1 - random.below(1200)) : random.below(bytes.count)
      switch random.below(8) {
      case 0: bytes.removeLast(random.below(bytes.count))
      case 1: bytes += random.bytes(random.below(200))
      case 2: bytes[at] = UInt8(truncatingIfNeeded: random.next())
      case 3: bytes[at] ^= 1 << UInt8(random.below(8))
      case 4:
        let from = random.below(bytes.count)
        let count = min(48, bytes.count - max(at, from))
        if count > 0 { bytes.replaceSubrange(at..<at + count, with: bytes[from..<from + count]) }
      default:
        let value = interesting[random.below(interesting.count)]
        let place = random.one(in: 2) ? at & ~7 : at & ~3
        for n in 0..<(random.one(in: 2) ? 8 : 4) where place + n < bytes.count {
          bytes[place + n] = UInt8(truncatingIfNeeded: value >> UInt64(n * 8))
        }
      }
    }
  }

  /// Makes the checksums of a changed pack right, where it has a place for them.
  private static func mend(_ pack: inout [UInt8], _ identity: inout PackIdentity) {
    guard pack.count >= 160 else { return }
    let room = ByteRoom(pack)
    let footer = pack.count - 64
    let (at, length): (UInt64, UInt64) = (room.little(footer + 16), room.little(footer + 24))
    identity.size = UInt64(pack.count)
    identity.count = Int(room.little(footer + 8, as: UInt32.self))
    guard at <= UInt64(footer), length <= UInt64(footer) - at else { return }
    let part = Array(pack[..<96]) + pack[Int(at)..<Int(at + length)] + pack[footer..<footer + 32]
    identity.checksum = part.withUnsafeBytes { Naming.digest($0) }
    pack.replaceSubrange(footer + 32..<footer + 64, with: identity.checksum.bytes)
  }

  /// Does with a store whatever can be done.
  private static func use(_ disk: MemoryFiles, writable: Bool) -> Bool {
    guard let store = try? ContentStore(opening: "/s", writable: writable, keys: nil, files: disk)
    else { return false }
    let names = store.payload.names
    var good: [ContentName] = []
    for name in names.prefix(40) {
      if (try? store.bytes(name)) != nil { good.append(name) }
      _ = store.place(name)
      guard let list = try? ContentList(name, in: store) else { continue }
      var marks = ContentMarks()
      try? marks.insert(list, in: store)
      try? list.forEach(in: store) { _, _ in }
    }
    _ = store.verify()
    if writable {
      _ = try? store.sweep(live: Set(good), asOf: store.sequence)
      let batch = store.begin()
      _ = try? batch.add([1, 2, 3])
      try? store.publish(batch, payload: [])
      for name in good where (try? store.bytes(name)) == nil {
        Issue.record("a sweep removed what lives")
      }
    }
    return true
  }

  @Test func changedRootsAndPacksNeverCrash() throws {
    let base = try Self.make()
    let count = TestCounts.of("APUS_MUTATIONS", normally: 16_000)
    var opened = 0
    for seed in 0..<count {
      var random = StoreRandom(UInt64(seed) &+ 77)
      var files = base.files
      if random.one(in: 2) {
        var bytes = files["/s/root"]!
        let isMended = !random.one(in: 5)
        if isMended { bytes.removeLast(32) }
        Self.mutate(&bytes, &random)
        if isMended { bytes += bytes.withUnsafeBytes { Naming.digest($0) }.bytes }
        files["/s/root"] = bytes
      } else {
        let n = random.below(base.packs.count)
        var bytes = files[base.packs[n]]!
        Self.mutate(&bytes, &random)
        if !random.one(in: 5) {
          var root = base.root
          Self.mend(&bytes, &root.packs[n].identity)
          root.packs[n].dead = DeadObjects(limit: root.packs[n].identity.count)
          if let room = try? root.encode(nil, for: "/s/root") {
            files["/s/root"] = room.bytes(0, room.count)
          }
        }
        files[base.packs[n]] = bytes
      }
      let disk = MemoryFiles(folders: base.folders, names: files)
      disk.records = false
      if Self.use(disk, writable: random.one(in: 3)) { opened += 1 }
    }
    // Checksums are not all that is tried.
    #expect(opened > count / 10 && opened < count)
  }

  @Test func changedListsNeverCrash() throws {
    var random = StoreRandom(41)
    let disk = MemoryFiles()
    disk.records = false
    let store = try ContentStore(creating: "/s", keys: nil, files: disk)
    let first = store.begin()
    let entries = (0..<1500).map {
      (slot: UInt64($0 * 3), name: ContentName((UInt64($0), 1, 2, 3)))
    }
    let list = try ContentList(count: 5000, entries, into: first)
    try store.publish(first, payload: [])
    let bytes = try store.bytes(list.name)
    let chunk = try store.bytes(list.chunks[0])
    let count = TestCounts.of("APUS_MUTATIONS", normally: 16_000) / 4
    let batch = store.begin()
    var names: [ContentName] = []
    for _ in 0..<count {
      var changed = bytes
      Self.mutate(&changed, &random)
      // A list in place of a chunk, and the other way round.
      if random.one(in: 4), changed.count >= 56 {
        changed.replaceSubrange(24..<56, with: list.name.bytes)
      }
      if random.one(in: 50) { changed = chunk }
      if let name = try? batch.add(changed), name != .zero { names.append(name) }
    }
    try store.publish(batch, payload: [])
    var opened = 0
    for name in names {
      guard let other = try? ContentList(name, in: store) else { continue }
      opened += 1
      if !opened.isMultiple(of: 20) && count <= 16_000 { continue }
      try? other.forEach(in: store) { _, _ in }
      try? other.difference(from: list, in: store) { _, _, _ in }
      var marks = ContentMarks()
      try? marks.insert(other, in: store)
      _ = try? ContentListReader(other, in: store).name(other.count &- 1)
      let next = store.begin()
      _ = try? other.changing([(slot: UInt64(3), name: name)], count: 700, into: next)
    }
    #expect(opened > 0 && opened < names.count)
  }

  /// A frame that says it has more in it than its object, or is made of very many small parts.
  @Test func framesThatGrowAreRefused() throws {
    var random = StoreRandom(42)
    let disk = MemoryFiles()
    let store = try ContentStore(creating: "/s", keys: nil, files: disk)
    let batch = store.begin(compress: true)
    let name = try batch.add([UInt8](repeating: 7, count: 16 << 20))
    _ = try batch.add(random.bytes(10))
    try store.publish(batch, payload: name.bytes)
    var files = Dictionary(uniqueKeysWithValues: disk.paths.map { ($0, disk[$0]!) })
    let path = "/s/packs/0000000000000001.pack"
    var root = try StoreRoot.read(try disk.open("/s/root", writable: false), nil).root
    // The table says that it is 8 KiB.
    let table = files[path]!.count - 64 - 96
    files[path]!.replaceSubrange(table + 44..<table + 48, with: [0, 0x20, 0, 0])
    Self.mend(&files[path]!, &root.packs[0].identity)
    let encoded = try root.encode(nil, for: "/s/root")
    files["/s/root"] = encoded.bytes(0, encoded.count)
    let other = try ContentStore(
      opening: "/s", writable: false, keys: nil,
      files: MemoryFiles(folders: disk.allFolders, names: files))
    #expect(other.length(of: name) == 8192)
    do throws(StorageError) {
      _ = try other.bytes(name)
      Issue.record("it is read")
    } catch { #expect(error.reason.contains("zstd") && error.offset != nil) }
    #expect(other.verify().count == 1)
  }
}
