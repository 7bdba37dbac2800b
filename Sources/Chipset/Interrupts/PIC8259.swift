// The two cascaded 8259A interrupt controllers of a PC/AT (Intel 8259A data sheet, 231468-003; ELCR as in the 82371SB).
//
// Owns: request latching, priority, masking, in-service state, the INTA cycles. Must not know: who requests, or how the CPU takes
// the interrupt.
//
//   20h/A0h  write, bit 4 set:  ICW1            read: IRR or ISR (OCW3), or the poll byte
//            write, bits 4-3 = 00: OCW2;  01: OCW3
//   21h/A1h  write: ICW2, ICW3, ICW4 after ICW1, else OCW1 (IMR)       read: IMR
//   4D0h/4D1h  ELCR: a set bit makes the input level-triggered (inputs 0, 1, 2, 8 and 13 cannot be)

import Bus
import State

/// One 8259A.
struct PIC8259 {
  /// The levels of IR0-IR7.
  var lines: UInt8 = 0
  /// The edge-sense latches; always a subset of `lines`, because a request that goes away before INTA is lost (data sheet, IR0-IR7).
  var latched: UInt8 = 0
  /// In-service register.
  var isr: UInt8 = 0
  /// Interrupt mask register.
  var imr: UInt8 = 0xFF
  /// ICW1 as written (LTIM, SNGL, IC4).
  var icw1: UInt8 = 0
  /// ICW2 bits 7-3: the base of the vectors.
  var base: UInt8 = 0
  var icw3: UInt8 = 0
  var icw4: UInt8 = 0
  /// The register that the next write to the odd port reaches: 2, 3, 4 for ICW2-4, 0 for OCW1.
  var icwStep: UInt8 = 0
  /// Whether a complete initialisation was seen; before it the chip requests nothing.
  var ready = false
  /// The input with the lowest priority (7 in fully nested mode).
  var lowest: UInt8 = 7
  var rotateOnAEOI = false
  var specialMask = false
  var readISR = false
  var poll = false
  var elcr: UInt8 = 0
  let isMaster: Bool

  init(isMaster: Bool) { self.isMaster = isMaster }

  /// Which inputs are level-triggered.
  var levelInputs: UInt8 { icw1 & 0x08 != 0 ? 0xFF : elcr }

  /// Interrupt request register.
  var irr: UInt8 { (latched & ~levelInputs) | (lines & levelInputs) }

  private var autoEOI: Bool { icw4 & 0x02 != 0 }

  mutating func setLine(_ n: UInt8, _ level: Bool) {
    let bit = UInt8(1) << (n & 7)
    if level {
      if lines & bit == 0 { latched |= bit }
      lines |= bit
    } else {
      lines &= ~bit
      latched &= ~bit
    }
  }

  /// The input that would be served now, or nil.
  var request: UInt8? {
    if !ready { return nil }
    let wanted = irr & ~imr
    if wanted == 0 { return nil }
    // In special mask mode a masked level in service does not hold back the others.
    let blocking = specialMask ? isr & ~imr : isr
    for i in UInt8(1)...8 {
      let n = (lowest &+ i) & 7
      let bit = UInt8(1) << n
      if blocking & bit != 0 {
        // Special fully nested: a slave in service may request again for its higher inputs.
        let nests = isMaster && icw4 & 0x10 != 0 && icw1 & 0x02 == 0 && icw3 & bit != 0
        return nests && wanted & bit != 0 ? n : nil
      }
      if wanted & bit != 0 && !(specialMask && isr & bit != 0) { return n }
    }
    return nil
  }

  /// What an INTA cycle (or the read after a poll command) does to the registers.
  mutating func take(_ n: UInt8) {
    let bit = UInt8(1) << (n & 7)
    latched &= ~bit
    if autoEOI {
      if rotateOnAEOI { lowest = n & 7 }
    } else {
      isr |= bit
    }
  }

  /// The second INTA: the vector. Without a request it is the default IR7, and nothing gets in service.
  mutating func acknowledge() -> (vector: UInt8, level: UInt8) {
    guard let n = request else { return (base | 7, 7) }
    take(n)
    return (base | n, n)
  }

  mutating func write(even value: UInt8) {
    if value & 0x10 != 0 {
      // ICW1: the edge-sense circuit is reset, so inputs that are high must fall first.
      icw1 = value
      latched = 0
      isr = 0
      imr = 0
      lowest = 7
      rotateOnAEOI = false
      specialMask = false
      readISR = false
      poll = false
      if value & 0x01 == 0 { icw4 = 0 }
      icwStep = 2
      ready = false
    } else if value & 0x08 != 0 {
      if value & 0x40 != 0 { specialMask = value & 0x20 != 0 }
      if value & 0x04 != 0 {
        poll = true
      } else if value & 0x02 != 0 {
        readISR = value & 0x01 != 0
      }
    } else {
      writeOCW2(value)
    }
  }

  private mutating func writeOCW2(_ value: UInt8) {
    let named = value & 7
    switch value >> 5 {
    case 0b000: rotateOnAEOI = false
    case 0b100: rotateOnAEOI = true
    case 0b001: _ = nonSpecificEOI()
    case 0b101: if let n = nonSpecificEOI() { lowest = n }
    case 0b011: isr &= ~(1 << named)
    case 0b111:
      isr &= ~(1 << named)
      lowest = named
    case 0b110: lowest = named
    default: break
    }
  }

  /// Ends the level of the highest priority in service; in special mask mode masked levels are left alone.
  private mutating func nonSpecificEOI() -> UInt8? {
    let candidates = specialMask ? isr & ~imr : isr
    for i in UInt8(1)...8 {
      let n = (lowest &+ i) & 7
      if candidates & (1 << n) != 0 {
        isr &= ~(1 << n)
        return n
      }
    }
    return nil
  }

  mutating func write(odd value: UInt8) {
    switch icwStep {
    case 2:
      base = value & 0xF8
      icwStep = icw1 & 0x02 == 0 ? 3 : icw1 & 0x01 != 0 ? 4 : 0
    case 3:
      icw3 = value
      icwStep = icw1 & 0x01 != 0 ? 4 : 0
    case 4:
      icw4 = value
      icwStep = 0
    default:
      imr = value
      return
    }
    if icwStep == 0 { ready = true }
  }

  mutating func read(odd: Bool) -> UInt8 {
    if poll {
      // Either RD pulse after a poll command is an INTA.
      poll = false
      guard let n = request else { return 0 }
      take(n)
      return 0x80 | n
    }
    return odd ? imr : readISR ? isr : irr
  }

  func save(to writer: inout StateWriter) {
    for byte in [lines, latched, isr, imr, icw1, base, icw3, icw4, icwStep, lowest, elcr] {
      writer.write(byte)
    }
    for flag in [ready, rotateOnAEOI, specialMask, readISR, poll] { writer.write(flag) }
  }

  mutating func restore(from reader: inout StateReader) throws(StateError) {
    lines = try reader.read()
    latched = try reader.read(UInt8.self) & lines
    isr = try reader.read()
    imr = try reader.read()
    icw1 = try reader.read()
    base = try reader.read(UInt8.self) & 0xF8
    icw3 = try reader.read()
    icw4 = try reader.read()
    icwStep = try reader.read(in: 0...4)
    lowest = try reader.read(in: 0...7)
    elcr = try reader.read(UInt8.self) & (isMaster ? 0xF8 : 0xDE)
    ready = try reader.readBool()
    rotateOnAEOI = try reader.readBool()
    specialMask = try reader.readBool()
    readISR = try reader.readBool()
    poll = try reader.readBool()
  }
}

/// The master and slave 8259A of a PC/AT with their edge/level registers.
public final class PIC8259Pair: Device, Registers {
  public let stateName = "pic"

  /// INTR to the CPU. It follows the priority logic: it falls again when the request is masked or goes away.
  public let output = Signal()

  private var master = PIC8259(isMaster: true)
  private var slave = PIC8259(isMaster: false)
  private let inputs: [Signal]
  /// Told of each change of a request line, for a second controller on the same lines.
  public var lineChanged: (Int, Bool) -> Void = { _, _ in }

  public init() {
    inputs = (0..<16).map { _ in Signal() }
    for n in 0..<16 where n != 2 {
      inputs[n].connect { [unowned self] level in setLine(n, level) }
    }
  }

  /// Offsets: 0-1 the master, 2-3 the slave, 4-5 ELCR.
  public static let part = PartType("pic", "two 8259A interrupt controllers") { board, _ in
    let pic = PIC8259Pair()
    for (ports, offset): (ClosedRange<UInt16>, UInt32) in [
      (0x20...0x21, 0), (0xA0...0xA1, 2), (0x4D0...0x4D1, 4),
    ] {
      try board.claim(pic, at: ports, offset: offset, owner: pic.stateName)
    }
    board.connectInterrupts((0..<16).map { pic.irq($0) })
    try board.add(pic)
  }

  /// The request line IRQ 0-15. IRQ 2 is taken by the cascade; as on an AT, asking for it gives IRQ 9.
  ///
  /// Drive it with `set(true)` until the handler serves the device: as on the chip, a request that falls before it was
  /// acknowledged is gone, so `pulse()` requests nothing.
  public func irq(_ n: Int) -> Signal {
    precondition((0...15).contains(n))
    return inputs[n == 2 ? 9 : n]
  }

  private func setLine(_ n: Int, _ level: Bool) {
    if n < 8 {
      master.setLine(UInt8(n), level)
    } else {
      slave.setLine(UInt8(n - 8), level)
    }
    update()
    lineChanged(n, level)
  }

  private func update() {
    master.setLine(2, slave.request != nil)
    output.set(master.request != nil)
  }

  /// Both INTA cycles: the vector, with the request moved in service. Without any request the default IR7 of the chip that
  /// was asked (a spurious interrupt).
  public func acknowledge() -> UInt8 {
    var (vector, level) = master.acknowledge()
    if level == 2 && master.icw1 & 0x02 == 0 && master.icw3 & 0x04 != 0 {
      vector = slave.acknowledge().vector
      // The slave's INT falls with its INTA; a further request of it is a new edge for the master.
      master.setLine(2, false)
    }
    update()
    return vector
  }

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    let value: UInt8
    switch offset {
    case 0, 1: value = master.read(odd: offset != 0)
    case 2, 3:
      let polled = slave.poll
      value = slave.read(odd: offset & 1 != 0)
      if polled { master.setLine(2, false) }
    case 4: return UInt32(master.elcr)
    case 5: return UInt32(slave.elcr)
    default: return 0xFF
    }
    update()
    return UInt32(value)
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    let byte = UInt8(truncatingIfNeeded: value)
    switch offset {
    case 0: master.write(even: byte)
    case 1: master.write(odd: byte)
    case 2: slave.write(even: byte)
    case 3: slave.write(odd: byte)
    case 4: master.elcr = byte & 0xF8
    case 5: slave.elcr = byte & 0xDE
    default: break
    }
    update()
  }

  /// The registers of both chips, for a debugger.
  public var registers: [(irr: UInt8, isr: UInt8, imr: UInt8, base: UInt8)] {
    [master, slave].map { ($0.irr, $0.isr, $0.imr, $0.base) }
  }

  public func reset(_ kind: ResetKind) {
    // The inputs belong to their drivers and stay what they are.
    for isMaster in [true, false] {
      var fresh = PIC8259(isMaster: isMaster)
      fresh.lines = isMaster ? master.lines & ~0x04 : slave.lines
      if isMaster { master = fresh } else { slave = fresh }
    }
    update()
  }

  public func save(to writer: inout StateWriter) {
    master.save(to: &writer)
    slave.save(to: &writer)
    writer.write(output.level)
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    try master.restore(from: &reader)
    try slave.restore(from: &reader)
    output.restore(level: try reader.readBool())
  }
}

extension PIC8259Pair {
  public func inspect() -> [Field] {
    [("master", master), ("slave", slave)].map { name, chip in
      .group(
        name,
        [
          .register("irr", chip.irr), .register("isr", chip.isr), .register("imr", chip.imr),
          .register("vectors", chip.base), .register("icw1", chip.icw1),
          .register("icw3", chip.icw3), .register("icw4", chip.icw4), .flag("ready", chip.ready),
          .register("lines", chip.lines), .register("elcr", chip.elcr),
          .count("lowest priority", chip.lowest), .flag("special mask", chip.specialMask),
          .flag("reads isr", chip.readISR), .flag("polled", chip.poll),
        ])
    } + [.flag("intr", output.level)]
  }
}
