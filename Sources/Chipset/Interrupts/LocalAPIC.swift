// The processor's local APIC (Intel SDM volume 3, chapter "Advanced Programmable Interrupt Controller", as the P6 family and the
// Pentium have it).
//
// Owns: vectors requested and in service, priorities, the local vector table, the timer, interrupts the processor sends itself.
// Must not know: what the 8259A does (its INTR is the input LINT0), how the CPU takes the interrupt, other processors (there are none).
//
//   020 ID        030 version   080 TPR      090 APR      0A0 PPR      0B0 EOI (write)   0D0 LDR     0E0 DFR     0F0 SVR
//   100-170 ISR   180-1F0 TMR   200-270 IRR  280 ESR      300 ICR low  310 ICR high      320 LVT timer
//   340 LVT performance (P6)    350 LVT LINT0   360 LVT LINT1   370 LVT error
//   380 initial count   390 current count   3E0 divide configuration
//
// The registers answer at FEE00000h only; a base that MSR 1Bh moves elsewhere leaves them unreachable.

import Bus
import State

/// A set of interrupt vectors as the ISR, TMR and IRR hold them.
struct VectorSet {
  private(set) var words = [UInt32](repeating: 0, count: 8)

  /// The highest vector in the set, or nil.
  var highest: UInt8? {
    for index in stride(from: 7, through: 0, by: -1) where words[index] != 0 {
      return UInt8(index * 32 + 31 - words[index].leadingZeroBitCount)
    }
    return nil
  }

  subscript(_ vector: UInt8) -> Bool {
    get { words[Int(vector >> 5)] & (1 << UInt32(vector & 31)) != 0 }
    set {
      let bit = UInt32(1) << UInt32(vector & 31)
      if newValue { words[Int(vector >> 5)] |= bit } else { words[Int(vector >> 5)] &= ~bit }
    }
  }

  func save(to writer: inout StateWriter) { for word in words { writer.write(word) } }

  mutating func restore(from reader: inout StateReader) throws(StateError) {
    for index in 0..<8 { words[index] = try reader.read() }
    // Vectors 0-15 are never accepted.
    words[0] &= 0xFFFF_0000
  }
}

/// The local APIC of the one processor.
public final class LocalAPIC: Device {
  public let stateName = "local-apic"

  /// Where the registers are.
  public static let baseAddress: UInt32 = 0xFEE0_0000
  /// Nanoseconds of one cycle of the bus clock that drives the timer: 100 MHz.
  public static let busPeriod: UInt64 = 10

  /// Delivery modes of the ICR, the LVT and the I/O APIC.
  enum Delivery {
    static let fixed: UInt32 = 0
    static let lowestPriority: UInt32 = 1
    static let nmi: UInt32 = 4
    static let extINT: UInt32 = 7
  }

  /// Bits of the ESR.
  private enum Errors {
    static let sendIllegalVector: UInt32 = 1 << 5
    static let receiveIllegalVector: UInt32 = 1 << 6
    static let illegalRegister: UInt32 = 1 << 7
  }

  private static let masked: UInt32 = 1 << 16
  private static let remoteIRR: UInt32 = 1 << 14
  private static let levelTriggered: UInt32 = 1 << 15
  private static let periodic: UInt32 = 1 << 17

  /// INTR to the processor.
  public let output = Signal()
  /// NMI to the processor (an edge).
  public var nmi: () -> Void = {}
  /// The vector of the 8259A, asked for when LINT0 is ExtINT.
  public var acknowledgeExternal: () -> UInt8 = { 0xFF }
  /// Told of the end of a level-triggered interrupt, for the I/O APIC.
  public var endOfInterrupt: (UInt8) -> Void = { _ in }

  private let clock: VirtualClock
  private let isP6: Bool
  private var timerEvent: EventID!

  private var globallyEnabled = true
  private var atBase = true
  private var id: UInt32 = 0
  private var tpr: UInt32 = 0
  private var ldr: UInt32 = 0
  private var dfr: UInt32 = 0xFFFF_FFFF
  private var svr: UInt32 = 0xFF
  private var esr: UInt32 = 0
  private var errors: UInt32 = 0
  private var icrLow: UInt32 = 0
  private var icrHigh: UInt32 = 0
  private var isr = VectorSet()
  private var tmr = VectorSet()
  private var irr = VectorSet()
  private var lvtTimer = masked
  private var lvtPerformance = masked
  private var lvtLINT = [masked, masked]
  private var lvtError = masked
  private var divide: UInt32 = 0
  private var initialCount: UInt32 = 0
  /// The count that was left at `timerBase`; 0 when the timer stands.
  private var timerCount: UInt32 = 0
  private var timerBase: UInt64 = 0
  private var lint = [false, false]

  /// - Parameter isP6: the P6 family's (five LVT entries); otherwise the Pentium's with four.
  public init(clock: VirtualClock, isP6: Bool = true) {
    self.clock = clock
    self.isP6 = isP6
    timerEvent = clock.register("local-apic-timer") { [unowned self] in timerExpired() }
    reset(.power)
  }

  // MARK: - Enabling

  private var softwareEnabled: Bool { svr & 0x100 != 0 }

  /// IA32_APIC_BASE (MSR 1Bh) was written: bit 11 enables, bits 12-35 are the base. Enabling gives the state after power-up.
  public func setBase(_ value: UInt64) {
    let enabled = value & 0x800 != 0
    atBase = value & 0xF_FFFF_F000 == UInt64(LocalAPIC.baseAddress)
    if enabled != globallyEnabled {
      globallyEnabled = enabled
      resetRegisters()
    }
    update()
  }

  /// The registers after power-up. LINT0 and LINT1 are what firmware leaves for systems that know nothing of the APIC (virtual
  /// wire): ExtINT and NMI.
  private func resetRegisters() {
    tpr = 0
    ldr = 0
    dfr = 0xFFFF_FFFF
    svr = 0xFF
    esr = 0
    errors = 0
    icrLow = 0
    icrHigh = 0
    isr = VectorSet()
    tmr = VectorSet()
    irr = VectorSet()
    lvtTimer = LocalAPIC.masked
    lvtPerformance = LocalAPIC.masked
    lvtLINT = [Delivery.extINT << 8, Delivery.nmi << 8]
    lvtError = LocalAPIC.masked
    divide = 0
    initialCount = 0
    timerCount = 0
    timerBase = 0
    clock.cancel(timerEvent)
  }

  /// The inputs belong to their drivers and stay what they are.
  public func reset(_ kind: ResetKind) {
    globallyEnabled = true
    atBase = true
    id = 0
    resetRegisters()
    update()
  }

  /// INIT of its processor: as after power-up, but for its ID, and where and whether it is (IA32_APIC_BASE). SDM volume 3, 11.4.7.3.
  public func initialize() {
    resetRegisters()
    update()
  }

  /// Whether an interrupt request of the 8259A would become an NMI, which also wakes a processor that halted with IF clear.
  public var turnsRequestsIntoNMI: Bool {
    globallyEnabled && lvtLINT[0] & LocalAPIC.masked == 0
      && lvtLINT[0] >> 8 & 7 == Delivery.nmi
  }

  // MARK: - Inputs

  /// The level of LINT0 (the 8259A's INTR) or LINT1 (NMI).
  /// - Parameter pin: 0 or 1.
  public func setLINT(_ pin: Int, _ level: Bool) {
    let pin = pin & 1
    if lint[pin] == level { return }
    lint[pin] = level
    if !globallyEnabled {
      if pin == 1 && level { nmi() }
    } else {
      let entry = lvtLINT[pin]
      if level && entry & LocalAPIC.masked == 0 {
        switch entry >> 8 & 7 {
        case Delivery.fixed: acceptLINT(pin)
        case Delivery.nmi: nmi()
        default: break  // ExtINT follows the level; SMI and INIT go nowhere
        }
      }
    }
    update()
  }

  /// Requests the vector of a LINT pin in fixed mode. Only LINT0 can be level-triggered.
  private func acceptLINT(_ pin: Int) {
    let level = pin == 0 && lvtLINT[0] & LocalAPIC.levelTriggered != 0
    if level {
      if lvtLINT[0] & LocalAPIC.remoteIRR != 0 { return }
      lvtLINT[0] |= LocalAPIC.remoteIRR
    }
    accept(vector: UInt8(truncatingIfNeeded: lvtLINT[pin]), level: level)
  }

  private func acceptsLevelAgain() {
    let entry = lvtLINT[0]
    if lint[0], globallyEnabled, entry & LocalAPIC.masked == 0, entry >> 8 & 7 == Delivery.fixed,
      entry & LocalAPIC.levelTriggered != 0
    {
      acceptLINT(0)
    }
  }

  /// An interrupt from the bus: from the processor itself or from the I/O APIC.
  /// - Parameters:
  ///   - delivery: the delivery mode, 0-7; SMI, INIT and start-up go nowhere.
  ///   - level: whether it is level-triggered, so that EOI reports its end.
  func receive(delivery: UInt32, vector: UInt8, level: Bool) {
    if !globallyEnabled { return }
    switch delivery {
    case Delivery.fixed, Delivery.lowestPriority:
      // While the APIC is disabled by software only NMI and the like are taken.
      if softwareEnabled { accept(vector: vector, level: level) }
    case Delivery.nmi: nmi()
    default: break
    }
    update()
  }

  /// Whether a message is for this APIC.
  func isAddressed(destination: UInt8, logical: Bool) -> Bool {
    if !logical { return destination == 0xFF || UInt32(destination) & 0xF == id >> 24 }
    let own = UInt8(truncatingIfNeeded: ldr >> 24)
    if dfr >> 28 == 0xF { return destination & own != 0 }
    // Cluster model: the high half names the cluster, Fh all of them.
    return (destination >> 4 == 0xF || destination >> 4 == own >> 4)
      && destination & own & 0xF != 0
  }

  private func accept(vector: UInt8, level: Bool) {
    if vector < 16 {
      raise(Errors.receiveIllegalVector)
      return
    }
    irr[vector] = true
    tmr[vector] = level
  }

  private func raise(_ error: UInt32) {
    errors |= error
    let vector = UInt8(truncatingIfNeeded: lvtError)
    // An illegal vector here must not raise an error again.
    if lvtError & LocalAPIC.masked == 0, vector >= 16 { accept(vector: vector, level: false) }
  }

  // MARK: - Priority and acknowledge

  /// Processor priority register.
  private var ppr: UInt32 {
    let service = UInt32(isr.highest ?? 0)
    return tpr >> 4 >= service >> 4 ? tpr : service & 0xF0
  }

  /// Arbitration priority register.
  private var apr: UInt32 {
    let service = UInt32(isr.highest ?? 0) >> 4
    let request = UInt32(irr.highest ?? 0) >> 4
    let task = tpr >> 4
    return task >= request && task > service ? tpr : max(task & service, request) << 4
  }

  /// The vector that would be dispensed now.
  private var pending: UInt8? {
    guard globallyEnabled, let vector = irr.highest, UInt32(vector >> 4) > ppr >> 4 else {
      return nil
    }
    return vector
  }

  /// Whether the 8259A's request passes.
  private var externalPending: Bool {
    guard lint[0] else { return false }
    if !globallyEnabled { return true }
    return lvtLINT[0] & LocalAPIC.masked == 0 && lvtLINT[0] >> 8 & 7 == Delivery.extINT
  }

  private func update() { output.set(pending != nil || externalPending) }

  /// The interrupt acknowledge: the vector of the highest request, which gets in service; then the 8259A's; the spurious vector
  /// when the request has gone.
  public func acknowledge() -> UInt8 {
    if let vector = pending {
      irr[vector] = false
      isr[vector] = true
      update()
      return vector
    }
    if externalPending || !softwareEnabled {
      let vector = acknowledgeExternal()
      update()
      return vector
    }
    return UInt8(truncatingIfNeeded: svr)
  }

  private func writeEOI() {
    guard let vector = isr.highest else { return }
    isr[vector] = false
    if tmr[vector] {
      let entry = lvtLINT[0]
      if entry & LocalAPIC.remoteIRR != 0 && UInt8(truncatingIfNeeded: entry) == vector {
        lvtLINT[0] &= ~LocalAPIC.remoteIRR
        acceptsLevelAgain()
      }
      endOfInterrupt(vector)
    }
  }

  // MARK: - Timer

  /// Nanoseconds of one count: bits 3, 1 and 0 of the divide configuration are 2, 4 ... 128, and 1.
  private var tick: UInt64 {
    let code = (divide & 3) | (divide >> 1 & 4)
    return LocalAPIC.busPeriod << UInt64((code &+ 1) & 7)
  }

  private var currentCount: UInt32 {
    if timerCount == 0 { return 0 }
    let passed = (clock.now &- timerBase) / tick
    return passed >= UInt64(timerCount) ? 0 : timerCount &- UInt32(passed)
  }

  private func startTimer(_ count: UInt32) {
    timerCount = count
    timerBase = clock.now
    scheduleTimer()
  }

  private func scheduleTimer() {
    if timerCount == 0 {
      clock.cancel(timerEvent)
    } else {
      clock.schedule(timerEvent, at: timerBase &+ UInt64(timerCount) &* tick)
    }
  }

  private func timerExpired() {
    if timerCount == 0 { return }
    if lvtTimer & LocalAPIC.periodic != 0 && initialCount != 0 {
      timerBase = timerBase &+ UInt64(timerCount) &* tick
      timerCount = initialCount
      // A period shorter than an instruction: what was missed is one interrupt.
      let period = UInt64(initialCount) &* tick
      let late = clock.now &- timerBase
      if late >= period && clock.now > timerBase {
        timerBase = timerBase &+ late / period &* period
      }
      scheduleTimer()
    } else {
      timerCount = 0
    }
    if lvtTimer & LocalAPIC.masked == 0 {
      accept(vector: UInt8(truncatingIfNeeded: lvtTimer), level: false)
      update()
    }
  }

  // MARK: - Registers

  /// Reads a register.
  /// - Parameter offset: 0 to FFFh; accesses are 32 bits wide on 16-byte boundaries, anything else there reads as zero.
  public func read(_ offset: UInt32) -> UInt32 {
    if !globallyEnabled || !atBase { return UInt32.max }
    if offset & 0xF != 0 { return 0 }
    let index = Int(offset >> 4 & 7)
    switch offset & 0xFF0 {
    case 0x020: return id
    case 0x030: return isP6 ? 0x0004_0011 : 0x0003_0010
    case 0x080: return tpr
    case 0x090: return apr
    case 0x0A0: return ppr
    case 0x0B0: return 0
    case 0x0D0: return ldr
    case 0x0E0: return dfr
    case 0x0F0: return svr
    case 0x100...0x170: return isr.words[index]
    case 0x180...0x1F0: return tmr.words[index]
    case 0x200...0x270: return irr.words[index]
    case 0x280: return esr
    case 0x300: return icrLow
    case 0x310: return icrHigh
    case 0x320: return lvtTimer
    case 0x340 where isP6: return lvtPerformance
    case 0x350: return lvtLINT[0]
    case 0x360: return lvtLINT[1]
    case 0x370: return lvtError
    case 0x380: return initialCount
    case 0x390: return currentCount
    case 0x3E0: return divide
    default:
      raise(Errors.illegalRegister)
      update()
      return 0
    }
  }

  /// Writes a register, 32 bits; anything but a 16-byte boundary is ignored.
  public func write(_ offset: UInt32, _ value: UInt32) {
    if !globallyEnabled || !atBase || offset & 0xF != 0 { return }
    switch offset & 0xFF0 {
    case 0x020: id = value & 0x0F00_0000
    case 0x080: tpr = value & 0xFF
    case 0x0B0: writeEOI()
    case 0x0D0: ldr = value & 0xFF00_0000
    case 0x0E0: dfr = value | 0x0FFF_FFFF
    case 0x0F0: writeSVR(value)
    case 0x280:
      // A write passes the errors gathered since the last one on to the register.
      esr = errors
      errors = 0
    case 0x300: writeICR(value)
    case 0x310: icrHigh = value & (isP6 ? 0xFF00_0000 : 0x0F00_0000)
    case 0x320: lvtTimer = masking(value & 0x0003_00FF)
    case 0x340 where isP6: lvtPerformance = masking(value & 0x0001_07FF)
    case 0x350: writeLINT(0, value)
    case 0x360: writeLINT(1, value)
    case 0x370: lvtError = masking(value & 0x0001_00FF)
    case 0x380:
      initialCount = value
      startTimer(value)
    case 0x3E0:
      // The count goes on from where it is at the new rate.
      let left = currentCount
      divide = value & 0xB
      startTimer(left)
    case 0x030, 0x090, 0x0A0, 0x100...0x270, 0x390: break  // read-only
    default: raise(Errors.illegalRegister)
    }
    update()
  }

  /// While the APIC is disabled by software every mask bit stays set.
  private func masking(_ value: UInt32) -> UInt32 {
    softwareEnabled ? value : value | LocalAPIC.masked
  }

  private func writeSVR(_ value: UInt32) {
    let wasEnabled = softwareEnabled
    svr = (value & 0x3FF) | 0xF
    if wasEnabled && !softwareEnabled {
      lvtTimer |= LocalAPIC.masked
      lvtPerformance |= LocalAPIC.masked
      lvtLINT[0] |= LocalAPIC.masked
      lvtLINT[1] |= LocalAPIC.masked
      lvtError |= LocalAPIC.masked
    }
  }

  private func writeLINT(_ pin: Int, _ value: UInt32) {
    let kept = lvtLINT[pin] & LocalAPIC.remoteIRR
    lvtLINT[pin] = masking(value & 0x0001_A7FF) | kept
    if value & LocalAPIC.levelTriggered == 0 || value >> 8 & 7 != Delivery.fixed {
      lvtLINT[pin] &= ~LocalAPIC.remoteIRR
    }
    if pin == 0 { acceptsLevelAgain() }
  }

  /// Sends an interrupt. Only this processor is there to receive it.
  private func writeICR(_ value: UInt32) {
    icrLow = value & 0x000C_CFFF
    let delivery = value >> 8 & 7
    let vector = UInt8(truncatingIfNeeded: value)
    let fixed = delivery == Delivery.fixed || delivery == Delivery.lowestPriority
    if fixed && vector < 16 {
      raise(Errors.sendIllegalVector)
      return
    }
    let own: Bool
    switch value >> 18 & 3 {
    case 0:
      own = isAddressed(
        destination: UInt8(truncatingIfNeeded: icrHigh >> 24), logical: value & 0x800 != 0)
    case 1, 2: own = true
    default: own = false
    }
    if own { receive(delivery: delivery, vector: vector, level: false) }
  }

  // MARK: - State

  public func save(to writer: inout StateWriter) {
    for flag in [globallyEnabled, atBase, lint[0], lint[1]] { writer.write(flag) }
    for word in [
      id, tpr, ldr, dfr, svr, esr, errors, icrLow, icrHigh, lvtTimer, lvtPerformance, lvtLINT[0],
      lvtLINT[1], lvtError, divide, initialCount, timerCount,
    ] {
      writer.write(word)
    }
    writer.write(timerBase)
    isr.save(to: &writer)
    tmr.save(to: &writer)
    irr.save(to: &writer)
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    globallyEnabled = try reader.readBool()
    atBase = try reader.readBool()
    lint = [try reader.readBool(), try reader.readBool()]
    id = try reader.read(UInt32.self) & 0x0F00_0000
    tpr = try reader.read(UInt32.self) & 0xFF
    ldr = try reader.read(UInt32.self) & 0xFF00_0000
    dfr = try reader.read(UInt32.self) | 0x0FFF_FFFF
    svr = (try reader.read(UInt32.self) & 0x3FF) | 0xF
    esr = try reader.read()
    errors = try reader.read()
    icrLow = try reader.read()
    icrHigh = try reader.read()
    lvtTimer = try reader.read()
    lvtPerformance = try reader.read()
    lvtLINT = [try reader.read(), try reader.read()]
    lvtError = try reader.read()
    divide = try reader.read(UInt32.self) & 0xB
    initialCount = try reader.read()
    timerCount = try reader.read()
    timerBase = try reader.read()
    try isr.restore(from: &reader)
    try tmr.restore(from: &reader)
    try irr.restore(from: &reader)
    output.restore(level: pending != nil || externalPending)
  }
}

// MARK: - Memory mapping

extension LocalAPIC: Registers {
  public func read(at offset: UInt32, width: Int) -> UInt32 {
    read(offset & 0xFFC) >> (8 &* (offset & 3)) & (UInt32.max >> UInt32(32 &- 8 &* width))
  }

  /// Writes: only aligned 32-bit writes reach a register.
  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    if width != 4 { return }
    write(offset & 0xFFF, value)
  }
}

extension LocalAPIC {
  public static let part = PartType(
    "local-apic", "the local APIC of a Pentium and its successors",
    options: [PartOption("p6", .flag, "no", "as in the Pentium Pro and later")]
  ) { board, values in
    let apic = LocalAPIC(clock: board.clock, isP6: values.flag("p6"))
    _ = board.memory.map(
      .of(apic), at: PhysicalAddress(UInt64(baseAddress)), count: 0x1000, isMemory: false,
      priority: 0)
    try board.add(apic)
  }
}

extension LocalAPIC {
  public func inspect() -> [Field] {
    func set(_ name: String, _ vectors: VectorSet) -> Field {
      .text(
        name,
        vectors.words.reversed().map { String($0, radix: 16, uppercase: true) }.joined(
          separator: "."))
    }
    return [
      .flag("enabled", globallyEnabled), .flag("at its base", atBase), .register("id", id),
      .register("tpr", tpr), .register("ldr", ldr), .register("dfr", dfr), .register("svr", svr),
      .register("esr", esr), .register("icr low", icrLow), .register("icr high", icrHigh),
      .register("lvt timer", lvtTimer), .register("lvt performance", lvtPerformance),
      .register("lvt lint0", lvtLINT[0]), .register("lvt lint1", lvtLINT[1]),
      .register("lvt error", lvtError), .register("divide", divide),
      .register("initial count", initialCount), .register("current count", currentCount),
      set("isr", isr), set("tmr", tmr), set("irr", irr), .flag("output", output.level),
    ]
  }
}
