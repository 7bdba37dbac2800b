// Expectations of the screen: what has appeared since.
//
// Owns: when each character on the screen appeared, whatever moved it since. Must not know: steps, serial ports.
//
// Characters have the number of their writing (`TextWatch`). Text has appeared when one of its characters did. Three things are no
// appearance: text that the guest moves within video memory takes its numbers along; what it draws anew from a buffer of its own a few rows
// further is recognised by the rows it was on before; the echo of what was typed has no number.

import Bus
import CPU
import Chipset
import Machine
import Video

/// Looks for expectations on a machine's screen.
final class ScreenExpectations {
  let watch: TextWatch
  private unowned let machine: Machine
  private var echo = EchoFilter()
  /// The screen at the last examination, with the numbers of then.
  private var last: TextScreenCells?
  private var lastStamps: [UInt64] = []
  private var lastSequence: UInt64 = 0
  private var generation: UInt64?
  private var cells: TextScreenCells?
  /// Counts what `examine` found to be another screen.
  private(set) var version = 0

  /// From now on, what the guest writes is followed.
  init(_ machine: Machine, typed: TypedEcho) {
    self.machine = machine
    let vga = machine.vga
    watch = TextWatch(vga)
    watch.isMuted = { [unowned machine] in machine.isMuted }
    watch.isEcho = { [unowned self] place, code, number in
      guard !typed.isEmpty else { return false }
      return echo.take(place, code, stamp: number, of: typed) { [unowned self] in
        if watch.stamp($0) == 0 { watch.setStamp($0, $1) }
      }
    }
    exchange(watch.registers)
    if let cells = TextScreen.cells(of: vga) { watch.update(cells) }
  }

  /// Follows no longer. Not from within a write.
  func end() { exchange(nil) }

  private func exchange(_ file: RegisterFile?) {
    if let mapping = machine.vga.mapping { machine.memory.exchangeRegisters(mapping, file) }
  }

  /// Brings the numbers up to date.
  /// - Returns: whether there is text that may be looked at.
  func examine() -> Bool {
    if generation == machine.vga.frameGeneration, watch.sequence == lastSequence {
      return cells != nil
    }
    generation = machine.vga.frameGeneration
    version += 1
    cells = TextScreen.cells(of: machine.vga)
    guard let cells else {
      last = nil
      return false
    }
    if cells.places.count > 1 { echo.stride = cells.places[1] - cells.places[0] }
    if cells.rows > 1 { echo.row = cells.places[cells.columns] - cells.places[0] }
    watch.update(cells)
    if !watch.hasCopied { carryOver(cells) }
    last = cells
    lastStamps = cells.places.map { watch.stamp($0) }
    lastSequence = watch.sequence
    watch.noteExamined()
    return true
  }

  /// Rows that a guest has drawn anew, all by the same number of rows from where they were, keep their numbers.
  private func carryOver(_ cells: TextScreenCells) {
    guard let last, last.columns == cells.columns, last.places == cells.places, cells.rows > 1
    else { return }
    let columns = cells.columns
    func row(_ cells: TextScreenCells, _ n: Int) -> ArraySlice<UInt8> {
      cells.codes[n * columns..<(n + 1) * columns]
    }
    // Rows that are written anew, and not blanked before: a cleared screen is printed on, not moved.
    let drawn = (0..<cells.rows).filter { n in
      let now = row(cells, n)
      guard now != row(last, n), now.contains(where: { $0 != 0x20 }) else { return false }
      return !(n * columns..<(n + 1) * columns).contains {
        cells.codes[$0] != 0x20 && watch.wasBlanked(cells.places[$0], after: lastSequence)
      }
        && (n * columns..<(n + 1) * columns).contains {
          watch.stamp(cells.places[$0]) > lastSequence
        }
    }
    if drawn.count < 2 { return }
    var best: (shift: Int, rows: [Int]) = (0, [])
    for shift in 1 - cells.rows..<cells.rows where shift != 0 {
      let rows = drawn.filter { n in
        let source = n + shift
        // The row it was on is another one now.
        return source >= 0 && source < cells.rows && row(cells, n) == row(last, source)
          && row(cells, source) != row(last, source)
      }
      if rows.count > best.rows.count { best = (shift, rows) }
    }
    if best.rows.count < 2 { return }
    for n in best.rows {
      for column in 0..<columns {
        watch.setStamp(
          cells.places[n * columns + column], lastStamps[(n + best.shift) * columns + column])
      }
    }
  }

  /// The number of the newest character of the earliest text that has appeared after `mark`, or nil.
  /// - Parameter settled: a whole line counts only when it has not changed after this number.
  func appeared(_ matcher: Matcher, after mark: UInt64, settled: UInt64) -> UInt64? {
    guard let cells else { return nil }
    var earliest: UInt64?
    for range in matcher.places(cells) {
      var newest: UInt64 = 0
      for n in range where cells.codes[n] != 0x20 {
        newest = max(newest, watch.stamp(cells.places[n]))
      }
      guard newest > mark else { continue }
      if matcher.expectation.kind == .line, newest > settled { continue }
      earliest = min(earliest ?? UInt64.max, newest)
    }
    return earliest
  }

  /// Whether it is not on the screen.
  func isGone(_ matcher: Matcher) -> Bool {
    guard let cells else { return true }
    return matcher.places(cells).isEmpty
  }
}
