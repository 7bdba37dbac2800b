// Where each object is, by its name.
//
// Owns: a hash table in memory with eight bytes for an object. Must not know: files.
//
// Names are not in it: a slot has 20 bits of the name, and where in which pack's table the whole of it stands. Where to look first is a product
// of the name and a random number (Dietzfelbinger and others 1997, multiply-shift): a guest that looks for pages whose names begin alike does
// not make its host slow.

/// A hash table of objects. It is changed by one thread while no other looks.
final class ContentIndex {
  private var slots: UnsafeMutablePointer<UInt64>
  private var mask: Int
  /// 64 less the bits of a slot's number.
  private var shift: Int
  private let factor = UInt64.random(in: 0...UInt64.max) | 1
  private(set) var count = 0
  private var tables: [PackTable] = []
  private var bases: [UnsafeRawPointer] = []
  private static let entryBits: UInt64 = 24
  private static let packBits: UInt64 = 20

  /// - Parameter capacity: how many objects there will be, about.
  init(capacity: Int) {
    var size = 1024
    while size < capacity * 2 { size *= 2 }
    slots = .allocate(capacity: size)
    slots.initialize(repeating: 0, count: size)
    mask = size - 1
    shift = 64 - size.trailingZeroBitCount
  }

  deinit { slots.deallocate() }

  /// Notes a pack.
  /// - Returns: its number in this index.
  func add(_ table: PackTable) -> Int {
    tables.append(table)
    bases.append(table.base)
    return tables.count - 1
  }

  /// Where to look first.
  @inline(__always)
  private func start(_ name: ContentName) -> Int {
    Int(truncatingIfNeeded: (name.words.0 &* factor) >> UInt64(shift))
  }

  /// Where an object is: the pack's number in this index, and its own in the pack.
  @inline(__always)
  func find(_ name: ContentName) -> (pack: Int, entry: Int)? {
    let tag = name.words.0 >> 44
    var at = start(name)
    while true {
      let slot = slots[at]
      if slot == 0 { return nil }
      if slot >> 44 == tag, self.name(slot) == name { return ContentIndex.place(slot) }
      at = (at &+ 1) & mask
    }
  }

  /// Notes an object.
  /// - Parameter replaces: where there is one of that name, this one takes its place.
  /// - Returns: false: there was one of that name, and it is still there.
  func insert(_ name: ContentName, pack: Int, entry: Int, replaces: Bool = false) -> Bool {
    if (count + 1) * 3 > (mask + 1) * 2 { grow() }
    let tag = name.words.0 >> 44
    // The pack's number is one more, so that no slot in use is 0.
    let slot = tag << 44 | UInt64(entry) << ContentIndex.packBits | UInt64(pack + 1)
    var at = start(name)
    while slots[at] != 0 {
      if slots[at] >> 44 == tag, self.name(slots[at]) == name {
        if replaces { slots[at] = slot }
        return replaces
      }
      at = (at &+ 1) & mask
    }
    slots[at] = slot
    count += 1
    return true
  }

  /// Notes all objects of a pack but those that died; those that are there already die here.
  /// - Parameter replaces: whether those that are there already of some name count for nothing.
  func insertAll(_ pack: Pack, replaces: (ContentName) -> Bool = { _ in false }) {
    let number = add(pack.table)
    for entry in 0..<pack.table.count where !pack.dead.contains(entry) {
      let name = pack.table.name(entry)
      if !insert(name, pack: number, entry: entry, replaces: replaces(name)) {
        pack.dead.insert(entry)
      }
    }
  }

  @inline(__always)
  private static func place(_ slot: UInt64) -> (pack: Int, entry: Int) {
    (
      Int(slot & (1 << packBits - 1)) - 1, Int(slot >> packBits & (1 << entryBits - 1))
    )
  }

  @inline(__always)
  private func name(_ slot: UInt64) -> ContentName {
    let (pack, entry) = ContentIndex.place(slot)
    return ContentName(bases[pack] + entry &* PackLayout.entrySize)
  }

  private func grow() {
    let (old, oldSize) = (slots, mask + 1)
    slots = .allocate(capacity: oldSize * 2)
    slots.initialize(repeating: 0, count: oldSize * 2)
    mask = oldSize * 2 - 1
    shift -= 1
    for index in 0..<oldSize where old[index] != 0 {
      var at = start(name(old[index]))
      while slots[at] != 0 { at = (at &+ 1) & mask }
      slots[at] = old[index]
    }
    old.deallocate()
  }
}
