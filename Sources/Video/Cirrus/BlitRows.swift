// Rows of a BitBLT in memory.
//
// Owns: writing them, over the end of memory and over their own source too. Must not know: registers.
// What is written is what writing byte after byte (pixel after pixel where a colour is left out) would give.

/// Writes a blit's rows.
struct BlitRows {
  private let memory: VideoMemory
  private let b: Blit

  init(_ memory: VideoMemory, _ blit: Blit) { (self.memory, b) = (memory, blit) }

  // MARK: Rows that were made

  func fillSolid() {
    let row = b.colourRow(b.foreground)
    for y in 0..<b.height { apply(row, nil, y) }
  }

  /// - Parameter phase: the line of the pattern that comes first.
  func pattern(_ bytes: [UInt8], phase: Int) {
    let lines = (0..<min(8, b.height)).map { n -> (row: [UInt8], mask: [UInt8]?) in
      let y = (phase + n) & 7
      if !b.mode.contains(.expands) { return (b.patternRow(bytes, y), nil) }
      let bits = bytes[y]
      return b.expandedRow { bits & (0x80 >> UInt8($0 & 7)) != 0 }
    }
    for y in 0..<b.height { apply(lines[y & 7].row, lines[y & 7].mask, y) }
  }

  func expand(_ bits: [UInt8], row y: Int) {
    let line = b.expandedRow { b.bit(bits, $0) }
    apply(line.row, line.mask, y)
  }

  /// A row of colours from the system.
  func give(_ bytes: [UInt8], row y: Int) {
    if hasKey {
      keyed(to: b.target &+ y &* b.targetPitch) { bytes[$0] }
    } else {
      apply(bytes, nil, y)
    }
  }

  private func apply(_ row: [UInt8], _ mask: [UInt8]?, _ y: Int) {
    guard let operation = b.operation else { return }
    let range = b.written
    let (start, count) = (b.target &+ y &* b.targetPitch &+ range.lowerBound, range.count)
    if count == 0 { return }
    let place = start & (memory.size - 1)
    memory.note(place, count)
    if place + count > memory.size {
      for n in 0..<count {
        let at = range.lowerBound + n
        let old = memory[place + n]
        let new = operation.apply(row[at], old)
        memory[place + n] = mask.map { old & ~$0[at] | new & $0[at] } ?? new
      }
      return
    }
    row.withUnsafeBytes { row in
      let source = row.baseAddress.unsafelyUnwrapped + range.lowerBound
      let target = memory.base + place
      guard let mask else { return operation.row(target, source, count) }
      withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { new in
        let new = new.baseAddress.unsafelyUnwrapped
        new.copyMemory(from: target, byteCount: count)
        operation.row(new, source, count)
        mask.withUnsafeBytes { mask in
          for n in 0..<count {
            let m = mask[range.lowerBound + n]
            let old = target.load(fromByteOffset: n, as: UInt8.self)
            target.storeBytes(
              of: old & ~m | new.load(fromByteOffset: n, as: UInt8.self) & m, toByteOffset: n,
              as: UInt8.self)
          }
        }
      }
    }
  }

  // MARK: Copies

  /// Whether a colour is left out; there are none of more than two bytes.
  private var hasKey: Bool { b.mode.contains(.transparent) && b.pixel <= 2 }

  func copy() {
    guard let operation = b.operation, b.width > 0 else { return }
    let isBackwards = b.mode.contains(.backwards)
    for y in 0..<b.height {
      var (target, source) = (y &* b.targetPitch, y &* b.sourcePitch)
      if isBackwards {
        target = b.target &- target &- (b.width - 1)
        source = b.source &- source &- (b.width - 1)
      } else {
        target = b.target &+ target
        source = b.source &+ source
      }
      if hasKey {
        keyed(to: target) { memory[source &+ $0] }
      } else {
        row(operation, target & (memory.size - 1), source & (memory.size - 1), isBackwards)
      }
    }
  }

  private func row(
    _ operation: RasterOperation, _ target: Int, _ source: Int, _ isBackwards: Bool
  ) {
    let count = b.width
    memory.note(target, count)
    // How far what is read lies behind what is written.
    let distance = isBackwards ? source - target : target - source
    let readsWritten = distance > 0 && distance < count
    if target + count > memory.size || source + count > memory.size
      || readsWritten && (isBackwards || distance < 8)
    {
      for n in 0..<count {
        let at = isBackwards ? count - 1 - n : n
        memory[target + at] = operation.apply(memory[source + at], memory[target + at])
      }
      return
    }
    let (to, from) = (memory.base + target, UnsafeRawPointer(memory.base) + source)
    if readsWritten {
      // Eight bytes at a time are far enough apart.
      if operation != .s { return operation.row(to, from, count) }
      var n = 0
      while n + 8 <= count {
        to.storeBytes(
          of: from.loadUnaligned(fromByteOffset: n, as: UInt64.self), toByteOffset: n,
          as: UInt64.self)
        n += 8
      }
      while n < count {
        to.storeBytes(
          of: from.load(fromByteOffset: n, as: UInt8.self), toByteOffset: n, as: UInt8.self)
        n += 1
      }
    } else if operation == .s || target + count <= source || source + count <= target
      || !isBackwards
    {
      operation.row(to, from, count)
    } else {
      // Downwards over a source below it: as if that had been read before.
      withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { line in
        line.copyMemory(from: UnsafeRawBufferPointer(start: from, count: count))
        operation.row(to, line.baseAddress.unsafelyUnwrapped, count)
      }
    }
  }

  /// A row of pixels, those aside that would become the key's colour.
  private func keyed(to target: Int, _ source: (Int) -> UInt8) {
    guard let operation = b.operation else { return }
    memory.note(target, b.width)
    let pixels = b.width / b.pixel
    let isBackwards = b.mode.contains(.backwards)
    for n in 0..<pixels {
      let at = (isBackwards ? pixels - 1 - n : n) * b.pixel
      let low = operation.apply(source(at), memory[target &+ at])
      if b.pixel == 1 {
        if low != UInt8(truncatingIfNeeded: b.key) { memory[target &+ at] = low }
        continue
      }
      let high = operation.apply(source(at + 1), memory[target &+ at &+ 1])
      if UInt16(high) << 8 | UInt16(low) != b.key {
        memory[target &+ at] = low
        memory[target &+ at &+ 1] = high
      }
    }
  }
}
