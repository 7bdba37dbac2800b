// From "they differ" to the first instruction that makes them differ.
//
// Owns: replays of a part of the run with the same input, cut ever finer; the last step, in which the block at fault is translated one
// instruction longer each time. Must not know: what engines do.
//
// Where a run is cut, the rest of a block is interpreted. A difference that comes from one block therefore shows at the first count
// that lets the whole block run.

import CPU

/// What differs between the engines, and where it began.
public struct LockstepDifference {
  /// Registers by name: interpreter, translator.
  public var registers: [CPUComparison.Difference] = []
  /// Sections of the machine's state.
  public var sections: [String] = []
  /// Bytes of RAM: address, interpreter, translator.
  public var memory: [(UInt64, UInt8, UInt8)] = []
  public var notes: [String] = []
  /// Both were equal after this many instructions, and differed after `last`.
  public var first: UInt64 = 0
  public var last: UInt64 = 0
  /// The registers when both were equal, and the code that ran.
  public var before = ""
  public var code: [String] = []
  /// Guest and host code of the block.
  public var block = ""

  /// Everything in words.
  public var text: String {
    var lines = [
      last == first + 1
        ? "the engines differ after instruction \(last)"
        : "the engines differ within instructions \(first + 1) to \(last)"
    ]
    lines += notes
    lines += code
    if !registers.isEmpty {
      lines.append("               interpreter          translator")
      for r in registers {
        let name = r.name + String(repeating: " ", count: max(1, 15 - r.name.count))
        let value = r.first + String(repeating: " ", count: max(1, 21 - r.first.count))
        lines.append(name + value + r.second)
      }
    }
    for (address, a, b) in memory.prefix(16) {
      lines.append("[\(hexText(address))]: \(hexText(UInt64(a))), \(hexText(UInt64(b)))")
    }
    if memory.count > 16 { lines.append("and more of memory") }
    let other = sections.filter { $0 != "cpu" }
    if !other.isEmpty { lines.append("devices that differ: \(other.joined(separator: ", "))") }
    if !before.isEmpty { lines += ["before:", before] }
    if !block.isEmpty { lines += ["the block:", block] }
    return lines.joined(separator: "\n")
  }
}

/// Narrows a difference down.
struct LockstepSearch {
  private let lockstep: Lockstep
  private let end: UInt64
  private var found: LockstepDifference

  /// Where replays begin.
  private struct Origin {
    var state: [UInt8]?
    var at: UInt64
    var threshold: UInt32?
  }

  init(_ lockstep: Lockstep, _ end: UInt64, _ difference: LockstepDifference) {
    self.lockstep = lockstep
    self.end = end
    found = difference
    found.first = lockstep.checkpointAt
    found.last = max(lockstep.machine.instructionCount, lockstep.checkpointAt)
  }

  /// The difference as near to its cause as possible.
  func result() -> LockstepDifference {
    var search = self
    do { try search.narrow() } catch {
      search.found.notes.append("the search was given up: \(error)")
    }
    return search.found
  }

  /// Replays up to each of `stops` in turn.
  /// - Returns: the pair, and the index of the first stop at which the machines differ.
  private func replay(
    _ origin: Origin, _ stops: [UInt64], compareFrom: Int, blockLimit: Int = 0
  ) throws -> (LockstepPair, Int?, LockstepDifference?) {
    let pair = try LockstepPair(
      lockstep.configuration, state: origin.state, threshold: origin.threshold,
      blockLimit: blockLimit)
    var inputs = lockstep.given.filter { $0.instruction >= origin.at }[...]
    func give(_ at: UInt64) {
      while let next = inputs.first, next.instruction <= at {
        pair.reference.take(next.input)
        pair.subject.take(next.input)
        inputs = inputs.dropFirst()
      }
    }
    for (n, stop) in stops.enumerated() {
      while true {
        give(pair.reference.instructionCount)
        let target = min(stop, inputs.first?.instruction ?? stop)
        let (why, difference) = pair.run(until: target, thorough: n >= compareFrom)
        if let difference, n >= compareFrom || why != .instructionLimit {
          return (pair, n, difference)
        }
        if target == stop || why != .instructionLimit { break }
      }
    }
    return (pair, nil, nil)
  }

  private func slices(from start: UInt64, to end: UInt64, _ size: UInt64) -> [UInt64] {
    var stops: [UInt64] = []
    var at = start
    while at < end {
      at = min((at / size &+ 1) &* size, end)
      stops.append(at)
    }
    return stops
  }

  private mutating func narrow() throws {
    var origin = Origin(state: lockstep.checkpoint, at: lockstep.checkpointAt, threshold: 1)
    lockstep.progress("a difference; looking for its beginning from \(origin.at) on")
    var stops = slices(from: origin.at, to: found.last, lockstep.slice ?? Lockstep.usualSlice)
    var (_, index, difference) = try replay(origin, stops, compareFrom: 0)
    if index == nil {
      lockstep.progress("not seen again; once more from the very beginning")
      origin = Origin(state: lockstep.origin, at: lockstep.originAt, threshold: nil)
      stops = slices(from: origin.at, to: found.last, lockstep.slice ?? Lockstep.usualSlice)
      let known = stops.firstIndex { $0 > lockstep.checkpointAt } ?? 0
      (_, index, difference) = try replay(origin, stops, compareFrom: known)
    }
    guard let index, let difference else {
      found.notes.append("it does not happen again when the run is repeated")
      return
    }
    var cuts = Array(stops[..<index])
    var low = cuts.last ?? origin.at
    var high = stops[index]
    take(difference, low, high)

    // A state right before makes the rest quick, unless it depends on what was translated earlier.
    if !cuts.isEmpty {
      let (pair, _, _) = try replay(origin, cuts, compareFrom: cuts.count)
      let near = Origin(state: pair.reference.saveState(), at: low, threshold: 1)
      if case (_, .some, .some(let again)) = try replay(near, [high], compareFrom: 0) {
        origin = near
        cuts = []
        take(again, low, high)
      }
    }
    while high - low > 48 {
      let step = max(1, (high - low + 31) / 32)
      var fine: [UInt64] = []
      var at = low
      while at < high {
        at = min(at + step, high)
        fine.append(at)
      }
      let (_, n, difference) = try replay(origin, cuts + fine, compareFrom: cuts.count)
      guard let n, let difference, n >= cuts.count else { break }
      high = fine[n - cuts.count]
      if n > cuts.count {
        low = fine[n - cuts.count - 1]
        cuts.append(low)
      }
      take(difference, low, high)
      lockstep.progress("within \(low + 1) to \(high)")
    }
    // The first count at which it shows.
    var (bottom, top) = (low, high)
    while top - bottom > 1 {
      let middle = bottom + (top - bottom) / 2
      let (_, n, difference) = try replay(origin, cuts + [middle], compareFrom: cuts.count)
      if n != nil, let difference {
        top = middle
        take(difference, bottom, top)
      } else {
        bottom = middle
      }
    }
    try describe(origin, cuts, top)
  }

  private mutating func take(_ difference: LockstepDifference, _ low: UInt64, _ high: UInt64) {
    found.registers = difference.registers
    found.memory = difference.memory
    found.sections = difference.sections
    found.first = low
    found.last = high
  }

  /// The block that ends with instruction `last`, and the instruction in it.
  private mutating func describe(_ origin: Origin, _ cuts: [UInt64], _ last: UInt64) throws {
    let (whole, _, difference) = try replay(origin, cuts + [last], compareFrom: cuts.count)
    if let difference { take(difference, found.first, last) }
    // Where the last block began, by the interpreter.
    guard let start = whole.reference.running.snapshot().path.last else { return }
    var entry = last
    var pair = whole
    for back in 1...UInt64(BlockCache.maximumCount + 1) where last >= origin.at + back {
      let (candidate, _, _) = try replay(origin, cuts + [last - back], compareFrom: Int.max)
      if candidate.reference.linearEIP == start {
        (entry, pair) = (last - back, candidate)
        break
      }
    }
    found.first = min(found.first, entry)
    found.before = pair.reference.running.report()
    found.block = whole.subject.blockText(linear: start) ?? ""
    guard entry < last else { return }
    found.first = entry
    found.code = pair.reference.codeText(count: Int(last - entry))
    // The same with the block cut after one, two, ... instructions.
    let near = Origin(state: pair.reference.saveState(), at: entry, threshold: 1)
    for count in 1...Int(last - entry) {
      let stop = entry + UInt64(count)
      let (_, n, difference) = try replay(near, [stop], compareFrom: 0, blockLimit: count)
      guard n != nil, let difference else { continue }
      take(difference, stop - 1, stop)
      let (before, _, _) = try replay(near, [stop - 1], compareFrom: Int.max, blockLimit: count)
      found.before = before.reference.running.report()
      found.code = before.reference.codeText(count: 1)
      return
    }
    found.notes.append("only the whole block shows it")
  }
}

extension Machine {
  /// The linear address of the next instruction.
  var linearEIP: UInt32 { cpu[segment: SegmentRegister.cs].base &+ cpu.currentEIP }

  /// The next instructions as text.
  func codeText(count: Int) -> [String] {
    let disassembler = Disassembler(model: cpu.model)
    let cs = cpu[segment: SegmentRegister.cs]
    var eip = cpu.currentEIP
    var lines: [String] = []
    for _ in 0..<count {
      let bytes = cpu.peekBytes(cs.base &+ eip, count: 15)
      guard let (text, length) = disassembler.text(bytes, mode: cs.decodeMode, eip: eip) else {
        break
      }
      let code = bytes.prefix(length).map { hexDigits(UInt32($0), 2) }.joined(separator: " ")
      lines.append("\(hexDigits(UInt32(cs.selector), 4)):\(hexDigits(eip, 8))  \(text)   (\(code))")
      eip &+= UInt32(length)
    }
    return lines
  }
}

/// A number as hexadecimal digits.
func hexDigits(_ value: UInt32, _ count: Int) -> String {
  let text = String(value, radix: 16, uppercase: true)
  return String(repeating: "0", count: max(0, count - text.count)) + text
}
