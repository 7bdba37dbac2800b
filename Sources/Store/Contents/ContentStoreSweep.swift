// Giving back the room of what nobody needs any more.
//
// Owns: which packs go, which are copied, which get holes; the order that is safe to be stopped in. Must not know: who needs what.
//
// First copies of what lives are on stable storage; then a root that lists them, and says what died; and only then files are removed and holes
// made. Stopped before the root, the copies are leftovers; behind it, the old files are, and holes that are not there yet are made by the next
// sweep of another opening.

import Storage

extension ContentStore {
  /// Packs of less than this are put together when there are many.
  private static let small: UInt64 = 1 << 20
  private static let manySmall = 16

  /// What is done with the packs.
  private struct Plan {
    /// Nothing in them lives.
    var gone: [Pack] = []
    /// What lives in them is little, and is copied.
    var copied: [Pack] = []
    /// They stay, and something in them is dead now.
    var dead: [UInt64: DeadObjects] = [:]
    var holed: [Pack] = []
  }

  /// Removes what does not live. It may run in another thread while others read, add and publish.
  /// - Parameters:
  ///   - live: all names that the payload leads to. What open batches found in the store lives too.
  ///   - sequence: the store's when its payload was looked at.
  ///   - discardsLost: packs that cannot be used are not listed any more, and removed. Otherwise they stay as they are.
  /// - Returns: bytes of room that the host got back.
  /// - Throws: when something was published since (`asksAgain`), or another sweep goes on.
  @discardableResult public func sweep(
    live: Set<ContentName>, asOf sequence: UInt64, discardsLost: Bool = false
  ) throws(StorageError) -> UInt64 {
    try writing.locked { () throws(StorageError) in try checkWritable() }
    let (packs, keeps) = try state.locked { () throws(StorageError) in
      if sweepKeeps != nil { throw StorageError(path: folder, reason: "is being swept already") }
      if sequence != sequenceNow {
        var error = StorageError(
          path: folder, reason: "something was published since it was looked at what lives")
        error.asksAgain = true
        throw error
      }
      let keeps = pins.values.reduce(into: live) { $0.formUnion($1) }
      sweepKeeps = keeps
      return (self.packs, keeps)
    }
    defer { state.locked { sweepKeeps = nil } }
    var plan = ContentStore.plan(packs, keeps)
    let new = NewPacks(self)
    // Without room for copies there are holes instead.
    if !copy(&plan, keeps, into: new) { new.discard() }
    let final = plan
    return try writing.locked { () throws(StorageError) in
      do throws(StorageError) {
        return try finish(final, new, discardsLost)
      } catch {
        if broken == nil { new.discard() } else { new.keep() }
        throw error
      }
    }
  }

  private static func plan(_ packs: [Pack], _ keeps: Set<ContentName>) -> Plan {
    var plan = Plan()
    var small: [Pack] = []
    for pack in packs {
      var dead = pack.dead
      var living: UInt64 = 0
      for index in 0..<pack.table.count where !dead.contains(index) {
        if keeps.contains(pack.table.name(index)) {
          living += UInt64(pack.table.entry(index).stored)
        } else {
          dead.insert(index)
        }
      }
      if dead.count == pack.table.count {
        plan.gone.append(pack)
        continue
      }
      if dead.count > pack.dead.count { plan.dead[pack.identity.number] = dead }
      if living * 2 < pack.table.tableOffset - UInt64(PackLayout.headerSize) {
        plan.copied.append(pack)
      } else if pack.identity.size < ContentStore.small {
        small.append(pack)
      } else if dead.count > 0 && (dead.count > pack.dead.count || !pack.isPunched) {
        plan.holed.append(pack)
      }
    }
    if small.count >= manySmall {
      plan.copied += small
    } else {
      plan.holed += small.filter { pack in
        plan.dead[pack.identity.number] != nil || (pack.dead.count > 0 && !pack.isPunched)
      }
    }
    return plan
  }

  /// Copies what lives in the packs that are to be copied. Those in which something is damaged stay: there it may be mended, and copies are
  /// what they are named after.
  /// - Returns: false: nothing was copied, as it could not be written.
  private func copy(_ plan: inout Plan, _ keeps: Set<ContentName>, into new: NewPacks) -> Bool {
    var stays: [Pack] = []
    packs: for pack in plan.copied {
      for index in 0..<pack.table.count where !pack.dead.contains(index) {
        let name = pack.table.name(index)
        if !keeps.contains(name) { continue }
        guard let kept = try? pack.readToCopy(index) else {
          stays.append(pack)
          continue packs
        }
        defer { withExtendedLifetime(kept) {} }
        let entry = pack.table.entry(index)
        do throws(StorageError) {
          try new.current().add(
            name, kept.buffer.reading, isCompressed: entry.isCompressed, length: entry.length)
        } catch {
          plan.holed += plan.copied
          plan.copied = []
          return false
        }
      }
    }
    plan.copied.removeAll { pack in stays.contains { $0 === pack } }
    plan.holed += stays
    return true
  }

  /// Under `writing`.
  private func finish(_ plan: Plan, _ new: NewPacks, _ discardsLost: Bool) throws(StorageError)
    -> UInt64
  {
    try checkWritable()
    let removed = plan.gone + plan.copied
    let numbers = Set(removed.map(\.identity.number))
    let lostNow = discardsLost ? state.locked { lost } : []
    let before = (removed + plan.holed).reduce(0) { $0 + $1.allocated }
    var after: UInt64 = 0
    if !removed.isEmpty || !plan.dead.isEmpty || !lostNow.isEmpty || !new.isEmpty {
      let copies = try new.finish()
      let old = currentRoot()
      var root = old
      let lostNumbers = Set(lostNow.map(\.listed.identity.number))
      root.packs.removeAll {
        numbers.contains($0.identity.number) || lostNumbers.contains($0.identity.number)
      }
      for at in root.packs.indices {
        if let dead = plan.dead[root.packs[at].identity.number] {
          root.packs[at].dead.formUnion(dead)
        }
      }
      root.packs += copies.map { ListedPack(identity: $0.identity, dead: $0.dead) }
      root.packs.sort { $0.identity.number < $1.identity.number }
      root.sequence += 1
      root.nextPack = state.locked { nextPack }
      try commit(root, insteadOf: old)
      new.keep()
      replace(numbers, plan.dead, copies, lostNumbers, root.sequence)
      after += copies.reduce(0) { $0 + $1.allocated }
    }
    // From here on nothing can go wrong but that room is not given back.
    for pack in removed { try? files.remove(pack.path) }
    for pack in lostNow { try? files.remove(path(of: pack.listed.identity.number)) }
    for pack in plan.holed {
      try? pack.punch()
      after += pack.allocated
    }
    return before - min(before, after)
  }

  /// Makes the packs that are left the store's. The index is made beside the old one, so that nobody waits for it.
  private func replace(
    _ removed: Set<UInt64>, _ dead: [UInt64: DeadObjects], _ copies: [Pack],
    _ lostNumbers: Set<UInt64>, _ sequence: UInt64
  ) {
    var left = state.locked { packs }.filter { !removed.contains($0.identity.number) }
    for pack in left {
      if let dead = dead[pack.identity.number] { pack.dead.formUnion(dead) }
    }
    left += copies
    let new = ContentIndex(
      capacity: left.reduce(0) { $0 + $1.table.count - $1.dead.count })
    for pack in left { new.insertAll(pack) }
    state.locked {
      packs = left
      index = new
      sequenceNow = sequence
      lost.removeAll { lostNumbers.contains($0.listed.identity.number) }
    }
  }
}
