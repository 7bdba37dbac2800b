// A processor's local APIC (Intel SDM volume 3, chapter "Advanced Programmable Interrupt Controller", as the Pentium, the P6 family and
// the Pentium 4 have it).
//
// Owns: vectors requested and in service, priorities, the local vector table, the timer.
// Must not know: what the 8259A does (its INTR is the input LINT0), how the CPU takes the interrupt, who gets what it sends
// (`LocalAPICs`), where its registers are.
//
//   020 ID        030 version   080 TPR      090 APR      0A0 PPR      0B0 EOI (write)   0C0 remote read
//   0D0 LDR       0E0 DFR       0F0 SVR
//   100-170 ISR   180-1F0 TMR   200-270 IRR  280 ESR      300 ICR low  310 ICR high      320 LVT timer
//   330 LVT thermal (Pentium 4) 340 LVT performance (P6)    350 LVT LINT0   360 LVT LINT1   370 LVT error
//   380 initial count   390 current count   3E0 divide configuration

import Bus
import State

/// The local APIC of a processor.
public final class LocalAPIC: Device {
  /// Whose it is.
  public enum Kind: Int, Comparable, Sendable {
    /// Four LVT entries, 4-bit IDs.
    case pentium
    /// Five LVT entries.
    case p6
    /// Six LVT entries, 8-bit IDs (xAPIC).
    case pentium4

    public static func < (a: Kind, b: Kind) -> Bool { a.rawValue < b.rawValue }
  }

  public let stateName: String
  public var stateVersion: UInt16 { 2 }

  /// Where the registers are after a reset.
  public static let baseAddress: UInt32 = 0xFEE0_0000
  /// Nanoseconds of one cycle of the bus clock that drives the timer: 100 MHz.
  public static let busPeriod: UInt64 = 10

  /// Delivery modes of the ICR, the LVT and the I/O APIC.
  enum Delivery {
    static let fixed: UInt32 = 0
    static let lowestPriority: UInt32 = 1
    static let smi: UInt32 = 2
    static let remoteRead: UInt32 = 3
    static let nmi: UInt32 = 4
    static let initialize: UInt32 = 5
    static let startUp: UInt32 = 6
    static let extINT: UInt32 = 7
  }

  /// Bits of the ESR.
  private enum Errors {
    /// Nobody took what was sent; the Pentium 4 does not tell it.
    static let sendAccept: UInt32 = 1 << 2
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
  /// NMI and SMI to the processor (edges).
  public var nmi: () -> Void = {}
  public var smi: () -> Void = {}
  /// The vector of the 8259A, asked for when LINT0 is ExtINT.
  public var acknowledgeExternal: () -> UInt8 = { 0xFF }
  /// An INIT message came for the processor.
  public var initReceived: () -> Void = {}
  /// A start-up message came, with the page where the processor begins if it waits for one.
  public var startReceived: (UInt8) -> Void = { _ in }
  /// Takes what is sent.
  unowned(unsafe) var messages: LocalAPICs?

  private let clock: VirtualClock
  let kind: Kind
  /// The processor's number, which is its ID after power-up.
  public let number: Int
  private var timerEvent: EventID!

  private(set) var globallyEnabled = true
  /// Where the registers are, as MSR 1Bh says.
  private(set) var base = UInt64(baseAddress)
  private(set) var id: UInt32 = 0
  private(set) var remoteRead: UInt32 = 0
  private(set) var tpr: UInt32 = 0
  private(set) var ldr: UInt32 = 0
  private(set) var dfr: UInt32 = 0xFFFF_FFFF
  private(set) var svr: UInt32 = 0xFF
  private(set) var esr: UInt32 = 0
  private var errors: UInt32 = 0
  private(set) var icrLow: UInt32 = 0
  private(set) var icrHigh: UInt32 = 0
  private(set) var isr = VectorSet()
  private(set) var tmr = VectorSet()
  private(set) var irr = VectorSet()
  private(set) var lvtTimer = masked
  private(set) var lvtThermal = masked
  private(set) var lvtPerformance = masked
  private(set) var lvtLINT = [masked, masked]
  private(set) var lvtError = masked
  private(set) var divide: UInt32 = 0
  private(set) var initialCount: UInt32 = 0
  /// The count that was left at `timerBase`; 0 when the timer stands.
  private var timerCount: UInt32 = 0
  private var timerBase: UInt64 = 0
  private var lint = [false, false]

  public init(clock: VirtualClock, kind: Kind = .p6, number: Int = 0) {
    (self.clock, self.kind, self.number) = (clock, kind, number)
    let suffix = number == 0 ? "" : String(number)
    stateName = "local-apic" + suffix
    timerEvent = clock.register("local-apic-timer" + suffix) { [unowned self] in timerExpired() }
    reset(.power)
  }

  // MARK: - Enabling

  private var softwareEnabled: Bool { svr & 0x100 != 0 }

  /// IA32_APIC_BASE (MSR 1Bh) was written: bit 11 enables, bits 12-35 are the base. Enabling gives the state after power-up, the ID too.
  public func setBase(_ value: UInt64) {
    let enabled = value & 0x800 != 0
    base = value & 0xF_FFFF_F000
    if enabled != globallyEnabled {
      globallyEnabled = enabled
      if enabled { id = UInt32(number) << 24 }
      resetRegisters()
    }
    update()
    messages?.baseChanged(self)
  }

  /// The registers after power-up. LINT0 and LINT1 of the first processor are what firmware leaves for systems that know nothing of
  /// the APIC (virtual wire): ExtINT and NMI.
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
    remoteRead = 0
    lvtThermal = LocalAPIC.masked
    lvtPerformance = LocalAPIC.masked
    lvtLINT =
      number == 0
      ? [Delivery.extINT << 8, Delivery.nmi << 8] : [LocalAPIC.masked, LocalAPIC.masked]
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
    base = UInt64(LocalAPIC.baseAddress)
    id = UInt32(number) << 24
    resetRegisters()
    update()
    messages?.baseChanged(self)
  }

  /// INIT of its processor: as after power-up, but for its ID, and where and whether it is (IA32_APIC_BASE). SDM volume 3, 11.4.7.3.
  public func initialize() {
    resetRegisters()
    update()
  }

  /// What a request of the 8259A would become, of that which does not ask for IF.
  var forcedByLINT: ForcedRequests {
    guard globallyEnabled, lvtLINT[0] & LocalAPIC.masked == 0 else { return [] }
    let requests = ForcedRequests(delivery: lvtLINT[0] >> 8 & 7)
    // INIT by a pin goes nowhere (`setLINT`).
    return requests.subtracting(.initialize)
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
        case Delivery.smi: smi()
        default: break  // ExtINT follows the level; INIT goes nowhere
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

  /// A message: from a processor or from the I/O APIC.
  /// - Parameters:
  ///   - delivery: the delivery mode, 0-7.
  ///   - level: whether it is level-triggered, so that EOI reports its end.
  func receive(delivery: UInt32, vector: UInt8, level: Bool) {
    if !globallyEnabled { return }
    switch delivery {
    case Delivery.fixed, Delivery.lowestPriority:
      // While the APIC is disabled by software only NMI and the like are taken.
      if softwareEnabled { accept(vector: vector, level: level) }
    case Delivery.nmi: nmi()
    case Delivery.smi: smi()
    // In system management mode the processor holds it, and the APIC with it: whoever passes it on calls `initialize` in time.
    case Delivery.initialize: initReceived()
    case Delivery.startUp: startReceived(vector)
    default: break  // ExtINT is the 8259A's request, which comes by LINT0
    }
    update()
  }

  /// Whether a message is for this APIC.
  func isAddressed(destination: UInt8, logical: Bool) -> Bool {
    if !globallyEnabled { return false }
    if !logical {
      let own = UInt8(id >> 24)
      if kind == .pentium4 { return destination == 0xFF || destination == own }
      return destination & 0xF == 0xF || destination & 0xF == own
    }
    let own = UInt8(truncatingIfNeeded: ldr >> 24)
    if dfr >> 28 == 0xF { return destination & own != 0 }
    // Cluster model: the high half names the cluster, Fh all of them.
    return (destination >> 4 == 0xF || destination >> 4 == own >> 4)
      && destination & own & 0xF != 0
  }

  /// Whether it takes part in choosing who gets an interrupt with lowest priority.
  var acceptsFixed: Bool { globallyEnabled && softwareEnabled }

  /// Whether it has this interrupt already and must have it again: the focus processor.
  func isFocus(of vector: UInt8) -> Bool {
    svr & 0x200 == 0 && (irr[vector] || isr[vector])
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
  var ppr: UInt32 {
    let service = UInt32(isr.highest ?? 0)
    return tpr >> 4 >= service >> 4 ? tpr : service & 0xF0
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
      messages?.endOfInterrupt(vector)
    }
  }

  // MARK: - Timer

  /// Nanoseconds of one count: bits 3, 1 and 0 of the divide configuration are 2, 4 ... 128, and 1.
  private var tick: UInt64 {
    let code = (divide & 3) | (divide >> 1 & 4)
    return LocalAPIC.busPeriod << UInt64((code &+ 1) & 7)
  }

  var currentCount: UInt32 {
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
    if !globallyEnabled { return UInt32.max }
    if offset & 0xF != 0 { return 0 }
    let index = Int(offset >> 4 & 7)
    switch offset & 0xFF0 {
    case 0x020: return id
    case 0x030: return version
    case 0x080: return tpr
    case 0x090: return apr
    case 0x0A0: return ppr
    case 0x0B0: return 0
    case 0x0C0 where kind < .pentium4: return remoteRead
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
    case 0x330 where kind == .pentium4: return lvtThermal
    case 0x340 where kind >= .p6: return lvtPerformance
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
    if !globallyEnabled || offset & 0xF != 0 { return }
    switch offset & 0xFF0 {
    case 0x020: id = value & (kind == .pentium4 ? 0xFF00_0000 : 0x0F00_0000)
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
    case 0x310: icrHigh = value & (kind >= .p6 ? 0xFF00_0000 : 0x0F00_0000)
    case 0x320: lvtTimer = masking(value & 0x0003_00FF)
    case 0x330 where kind == .pentium4: lvtThermal = masking(value & 0x0001_07FF)
    case 0x340 where kind >= .p6: lvtPerformance = masking(value & 0x0001_07FF)
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
      lvtThermal |= LocalAPIC.masked
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

  /// Sends a message.
  private func writeICR(_ value: UInt32) {
    icrLow = value & 0x000C_CFFF
    let delivery = value >> 8 & 7
    let vector = UInt8(truncatingIfNeeded: value)
    let fixed = delivery == Delivery.fixed || delivery == Delivery.lowestPriority
    if fixed && vector < 16 {
      raise(Errors.sendIllegalVector)
      return
    }
    // INIT level de-assert: from here on arbitration IDs are as the IDs; nobody starts anew.
    if delivery == Delivery.initialize && value & 0xC000 == 0x8000 { return }
    let receivers: LocalAPICs.Receivers
    switch value >> 18 & 3 {
    case 0:
      receivers = .addressed(
        UInt8(truncatingIfNeeded: icrHigh >> 24), logical: value & 0x800 != 0)
    case 1: receivers = .own(self)
    case 2: receivers = .all
    default: receivers = .others(self)
    }
    let bus = messages ?? LocalAPICs(alone: self)
    if delivery == Delivery.remoteRead && kind < .pentium4 {
      readRemotely(bus.members(of: receivers).first, vector)
      return
    }
    let taken = bus.send(delivery: delivery, vector: vector, level: false, to: receivers)
    if !taken && kind < .pentium4 { raise(Errors.sendAccept) }
  }

  /// Reads a register of another APIC; bits 16 and 17 of the ICR tell how that went.
  private func readRemotely(_ other: LocalAPIC?, _ register: UInt8) {
    if let other {
      remoteRead = other.read(UInt32(register) << 4)
      icrLow |= 2 << 16
    } else {
      raise(Errors.sendAccept)
    }
  }

  // MARK: - State

  public func save(to writer: inout StateWriter) {
    for flag in [globallyEnabled, lint[0], lint[1]] { writer.write(flag) }
    writer.write(base)
    for word in [
      remoteRead, lvtThermal,
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
    if version < 2 {
      base = try reader.readBool() ? UInt64(LocalAPIC.baseAddress) : 0
      lint = [try reader.readBool(), try reader.readBool()]
      (remoteRead, lvtThermal) = (0, LocalAPIC.masked)
    } else {
      lint = [try reader.readBool(), try reader.readBool()]
      base = try reader.read(UInt64.self) & 0xF_FFFF_F000
      remoteRead = try reader.read()
      lvtThermal = try reader.read()
    }
    id = try reader.read(UInt32.self) & 0xFF00_0000
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
    messages?.baseChanged(self)
  }
}
