// Which parts of a file are taken.
//
// Owns: finding two blocks that lie in the same place, where the last one ends, what nobody uses. Must not know: any format.

/// The places of blocks of one size in a file. What is kept is a bit a block, or four bytes a block where blocks lie at odd places.
struct SpaceMap {
  /// Bytes of a block.
  let unit: UInt64
  /// Where blocks may begin.
  let start: UInt64
  /// Behind the last block that was noted, at least `start`.
  private(set) var end: UInt64
  private(set) var count: UInt64 = 0
  private var taken: [UInt64] = []
  /// How far behind a multiple of `unit` blocks begin, if that is the same for all.
  private var phase: UInt64?
  /// Otherwise, for each unit: 0 or 1 more than that, in sectors.
  private var phases: [UInt32] = []

  init(unit: UInt64, start: UInt64) {
    self.unit = unit
    self.start = start
    end = start
  }

  /// Notes a block; the caller knows that it lies in the file and begins with a sector at or behind `start`.
  /// - Returns: false when it overlaps one that was noted before; it is not noted then.
  mutating func take(_ offset: UInt64) -> Bool {
    let place = offset - start
    let (number, rest) = (Int(place / unit), place % unit)
    if phases.isEmpty {
      if phase == nil { phase = rest }
      if phase == rest {
        let (word, bit) = (number / 64, UInt64(1) << UInt64(number % 64))
        if word >= taken.count {
          taken += repeatElement(0, count: max(word + 1 - taken.count, taken.count / 4))
        }
        if taken[word] & bit != 0 { return false }
        taken[word] |= bit
        note(offset)
        return true
      }
      spread()
    }
    let own = UInt32(rest / 512) + 1
    if number + 1 >= phases.count {
      phases += repeatElement(0, count: max(number + 2 - phases.count, phases.count / 4))
    }
    if phases[number] != 0 { return false }
    if number > 0, phases[number - 1] > own { return false }
    if phases[number + 1] != 0, phases[number + 1] < own { return false }
    phases[number] = own
    note(offset)
    return true
  }

  /// There is something up to this place that is not noted.
  mutating func reach(_ place: UInt64) { end = max(end, place) }

  private mutating func note(_ offset: UInt64) {
    count += 1
    end = max(end, offset + unit)
  }

  /// From bits to places.
  private mutating func spread() {
    let own = UInt32((phase ?? 0) / 512) + 1
    phases = [UInt32](repeating: 0, count: taken.count * 64 + 1)
    for (n, word) in taken.enumerated() where word != 0 {
      for bit in 0..<64 where word >> UInt64(bit) & 1 != 0 { phases[n * 64 + bit] = own }
    }
    taken = []
  }

  /// Units between `start` and `end` that nobody uses, ascending; only where all blocks lie at multiples of `unit`.
  func free(limit: Int) -> [UInt64] {
    var found: [UInt64] = []
    guard phases.isEmpty, (phase ?? 0) == 0 else { return found }
    let last = min((end - start) / unit, UInt64(taken.count) * 64)
    var number: UInt64 = 0
    while number < last, found.count < limit {
      let word = taken[Int(number / 64)]
      if word == .max {
        number = (number / 64 + 1) * 64
        continue
      }
      if word >> (number % 64) & 1 == 0 { found.append(number) }
      number += 1
    }
    return found
  }
}
