// The BitBLT engine: registers, start, data that goes through the processor.
//
// Owns: what GR20 to GR35 ask for, when an operation starts, how long it is busy, transfers. Must not know: pixels (Blit.swift).
// Follows: Cirrus Logic CL-GD5446 Technical Reference Manual, GR20 to GR39 and "Memory-Mapped I/O".
//
// An operation has done its work when it is started; for the guest it takes its time, by the virtual clock.

import State

/// A BitBLT with the processor at one end.
struct BlitTransfer {
  var blit: Blit
  /// Bytes of a row.
  let limit: Int
  /// The row that comes next.
  var row = 0
  /// What the processor has given of it, or is going to get.
  var bytes: [UInt8] = []
  /// How much of `bytes` it has got.
  var taken = 0

  init(blit: Blit, row: Int = 0, bytes: [UInt8] = [], taken: Int = 0) {
    (self.blit, self.row, self.bytes, self.taken) = (blit, row, bytes, taken)
    limit = blit.systemRow
  }
}

extension CirrusChip {
  private enum Control {
    static let busy: UInt8 = 0x01
    static let start: UInt8 = 0x02
    static let reset: UInt8 = 0x04
    static let progress: UInt8 = 0x08
    static let automatic: UInt8 = 0x80
  }

  /// GR31.
  func readStatus() -> UInt8 {
    let isBusy = transfer != nil || clock.now < busyUntil
    let kept = gr[0x31] & (Control.automatic | Control.reset)
    return isBusy ? kept | Control.busy | Control.start | Control.progress : kept
  }

  /// Writes one of the registers that are more than eight bits of memory.
  func writeBlitter(_ n: Int, _ value: UInt8) {
    switch n {
    case 0x21, 0x25, 0x27: gr[n] = value & 0x1F
    case 0x23: gr[n] = value & 0x07
    case 0x2A, 0x2E:
      gr[n] = value & 0x3F
      if n == 0x2A, gr[0x31] & Control.automatic != 0 { start() }
    case 0x31:
      let old = gr[0x31]
      gr[0x31] = value & (Control.automatic | Control.reset)
      if old & Control.reset != 0, value & Control.reset == 0 {
        abandon()
      } else if value & Control.start != 0, transfer == nil, clock.now >= busyUntil {
        start()
      }
    default: gr[n] = value
    }
  }

  /// What the registers ask for now.
  var requested: Blit {
    func number(_ n: Int, _ count: Int) -> Int {
      (0..<count).reduce(0) { $0 | Int(gr[n + $1]) << (8 * $1) }
    }
    func colour(_ first: Int) -> UInt32 {
      UInt32(gr[first]) | UInt32(gr[0x10 + first]) << 8 | UInt32(gr[0x12 + first]) << 16
        | UInt32(gr[0x14 + first]) << 24
    }
    return Blit(
      width: number(0x20, 2) + 1, height: number(0x22, 2) + 1, targetPitch: number(0x24, 2),
      sourcePitch: number(0x26, 2), target: number(0x28, 3), source: number(0x2C, 3),
      mode: BlitMode(rawValue: gr[0x30]), extensions: BlitExtensions(rawValue: gr[0x33]),
      pixel: Int(gr[0x30] >> 4 & 3) + 1, operation: RasterOperation(rawValue: gr[0x32]),
      skip: gr[0x2F], foreground: colour(1), background: colour(0),
      key: UInt16(gr[0x34]) | UInt16(gr[0x35]) << 8)
  }

  func start() {
    let blit = requested
    if !blit.isSolid, !blit.mode.isDisjoint(with: [.fromSystem, .toSystem]) {
      transfer = BlitTransfer(blit: blit)
      if blit.mode.contains(.toSystem) { fetchRow() }
      vga.updateMemoryMode()
      return
    }
    blit.run(memory)
    vga.generation &+= 1
    // 10 GB/s are written, as a processor of today does it; what is read takes as long again. The chip's own 200 MB/s would have
    // guests wait for what is done already.
    let bytes = UInt64(blit.width * blit.height)
    busyUntil = clock.now &+ 500 &+ bytes / (blit.isSolid ? 10 : 5)
  }

  private func abandon() {
    busyUntil = 0
    end()
  }

  private func end() {
    if transfer == nil { return }
    transfer = nil
    vga.updateMemoryMode()
  }

  /// Whether what the processor writes to memory goes to the engine, or what it reads comes from it.
  var takesWrites: Bool { transfer.map { !$0.blit.mode.contains(.toSystem) } ?? false }
  var givesReads: Bool { transfer.map { $0.blit.mode.contains(.toSystem) } ?? false }

  /// Takes bytes of a source.
  func take(_ value: UInt32, _ width: Int) {
    for n in 0..<width {
      // In place: a copy of the array for each byte would be one.
      transfer?.bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(8 * n)))
      let isFull = transfer.map { $0.bytes.count >= $0.limit } ?? false
      guard isFull, let t = transfer else { continue }
      t.blit.run(memory, row: t.row, from: t.bytes)
      vga.generation &+= 1
      if t.row + 1 >= t.blit.height || t.blit.mode.contains(.pattern) { return end() }
      transfer = BlitTransfer(blit: t.blit, row: t.row + 1)
      transfer?.bytes.reserveCapacity(t.limit)
    }
  }

  private func fetchRow() {
    guard var t = transfer else { return }
    let start = t.blit.source + t.row * t.blit.sourcePitch
    t.bytes = (0..<t.blit.systemRow).map { memory[start + $0] }
    t.taken = 0
    transfer = t
  }

  /// Gives bytes of a destination.
  func give(_ width: Int) -> UInt32 {
    var value: UInt32 = 0
    for n in 0..<width {
      guard let t = transfer, t.taken < t.bytes.count else { break }
      value |= UInt32(t.bytes[t.taken]) << UInt32(8 * n)
      transfer?.taken += 1
      if t.taken + 1 < t.bytes.count { continue }
      transfer?.row += 1
      if t.row + 1 >= t.blit.height { end() } else { fetchRow() }
    }
    return value
  }

  // MARK: Registers in memory

  /// The number of the register at an offset of the 256 bytes, or nil.
  private static func register(_ offset: Int) -> Int? {
    switch offset {
    case 0x00: 0
    case 0x01...0x03: 0x10 + 2 * (offset - 1)
    case 0x04: 1
    case 0x05...0x07: 0x11 + 2 * (offset - 5)
    case 0x08...0x0F: 0x20 + offset - 8
    case 0x10...0x12: 0x28 + offset - 0x10
    case 0x14...0x16: 0x2C + offset - 0x14
    case 0x17: 0x2F
    case 0x18: 0x30
    case 0x1A: 0x32
    case 0x1B: 0x33
    case 0x1C, 0x1D: 0x34 + offset - 0x1C
    case 0x20, 0x21: 0x38 + offset - 0x20
    case 0x40: 0x31
    default: nil
    }
  }

  func readRegisters(_ offset: Int, _ width: Int) -> UInt32 {
    var value: UInt32 = 0
    for n in 0..<width {
      let register = CirrusChip.register((offset + n) & 0xFF)
      let byte = register.map { $0 == 0x31 ? readStatus() : gr[$0] } ?? 0xFF
      value |= UInt32(byte) << UInt32(8 * n)
    }
    return value
  }

  func writeRegisters(_ offset: Int, _ value: UInt32, _ width: Int) {
    for n in 0..<width {
      guard let register = CirrusChip.register((offset + n) & 0xFF) else { continue }
      writeBlitter(register, UInt8(truncatingIfNeeded: value >> UInt32(8 * n)))
    }
  }
}
