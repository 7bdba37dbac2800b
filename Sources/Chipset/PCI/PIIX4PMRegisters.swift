// The registers of the PIIX4's power management (82371AB, Intel 290562; ACPI specification 1.0, 4.7).
//
// Owns: what they hold, what reads and writes do, the timer, when the system control interrupt is asserted. Must not know: where the ports
// are, who presses buttons.
//
//   00h PMSTS   word, ones clear: 0 timer overflow, 4 bus master, 5 global, 8 power button, 10 clock, 11 override, 15 resume
//   02h PMEN    word: 0 timer overflow, 5 global, 8 power button, 10 clock
//   04h PMCNTRL word: 0 SCI_EN, 1 BRLD_EN_BM, 2 GBL_RLS (reads 0), 12-10 SUS_TYP, 13 SUS_EN (reads 0)
//   08h PMTMR   dword, read only: 24 bits
//   0Ch GPSTS   word, ones clear        0Eh GPEN  word: 11 lid, 10 ring, 9 general purpose input, 8 USB, 0 thermal; nothing sets a status
//   10h PCNTRL  dword, 14h and 15h PLVL2 and PLVL3 (a read stops nothing), kept
//   18h GLBSTS  word, ones clear: 3 BIOS, 5 APM       1Ch DEVSTS  dword, 0       20h GLBEN  word, kept
//   28h GLBCTL  dword: 0 SMI_EN, 1 BIOS_RLS (reads 0), 16 EOS and others, kept        2Ch DEVCTL  dword, kept
//   30h GPIREG  3 bytes, read only      34h GPOREG  dword, kept
//   B2h APMC, B3h APMS  bytes

import Bus
import State

/// What the registers hold.
struct PIIX4PMState {
  /// Bits of PMSTS and PMEN.
  enum Status {
    static let timer: UInt16 = 1 << 0
    static let global: UInt16 = 1 << 5
    static let button: UInt16 = 1 << 8
    static let clock: UInt16 = 1 << 10
    /// Those that a written one clears, without the timer's, which is made of the time.
    static let latched: UInt16 = 0x8D30
    static let enables: UInt16 = 0x0521
  }
  /// Bits of PMCNTRL.
  enum Control {
    static let sciEnable: UInt16 = 1 << 0
    static let globalRelease: UInt16 = 1 << 2
    static let kept: UInt16 = 0x1C03
    static let sleepEnable: UInt16 = 1 << 13
    /// SUS_TYP of the state that is left by the power button alone.
    static let softOff: UInt16 = 0
  }
  enum General {
    static let all: UInt16 = 0x0F01
  }
  enum Global {
    static let bios: UInt16 = 1 << 3
    static let apm: UInt16 = 1 << 5
    /// In GLBCTL.
    static let smiEnable: UInt32 = 1 << 0
    static let biosRelease: UInt32 = 1 << 1
  }

  /// PMSTS without the timer's bit.
  var status: UInt16 = 0
  var enable: UInt16 = 0
  var control: UInt16 = 0
  var generalEnable: UInt16 = 0
  var processor: UInt32 = 0
  var globalStatus: UInt16 = 0
  var globalEnable: UInt16 = 0
  var globalControl: UInt32 = 0
  var deviceControl: UInt32 = 0
  var outputs: UInt32 = 0x7FFF_BFFF
  /// APMC and APMS.
  var apm: (UInt8, UInt8) = (0, 0)
  /// When the timer was 0, in virtual nanoseconds.
  var origin: UInt64 = 0
  /// The upper bits of the timer, all of them, when its status was cleared last.
  var turns: UInt64 = 0

  func save(to writer: inout StateWriter) {
    for word in [status, enable, control, generalEnable, globalStatus, globalEnable] {
      writer.write(word)
    }
    for dword in [processor, globalControl, deviceControl, outputs] { writer.write(dword) }
    writer.write(apm.0)
    writer.write(apm.1)
    writer.write(origin)
    writer.write(turns)
  }

  mutating func restore(from reader: inout StateReader) throws(StateError) {
    status = try reader.read(UInt16.self) & Status.latched
    enable = try reader.read(UInt16.self) & Status.enables
    control = try reader.read(UInt16.self) & Control.kept
    generalEnable = try reader.read(UInt16.self) & General.all
    globalStatus = try reader.read()
    globalEnable = try reader.read()
    processor = try reader.read()
    globalControl = try reader.read(UInt32.self) & ~Global.biosRelease
    deviceControl = try reader.read()
    outputs = try reader.read()
    apm.0 = try reader.read()
    apm.1 = try reader.read()
    origin = try reader.read()
    turns = try reader.read()
  }

  func inspect(timer: UInt32, overflowed: Bool) -> [Field] {
    [
      .register("pmsts", status | (overflowed ? Status.timer : 0)), .register("pmen", enable),
      .register("pmcntrl", control), .register("pmtmr", timer), .register("gpen", generalEnable),
      .register("glbsts", globalStatus), .register("glben", globalEnable),
      .register("glbctl", globalControl), .register("apmc", apm.0), .register("apms", apm.1),
    ]
  }
}

extension PIIX4PM {
  /// The offset of port B2h.
  static let apmPorts: UInt32 = 0x100

  // MARK: The timer

  /// Periods of the timer since it was 0.
  private var ticks: UInt64 {
    let (high, low) = (clock.now &- state.origin).multipliedFullWidth(by: PIIX4PM.timerHertz)
    return UInt64(1_000_000_000).dividingFullWidth((high, low)).quotient
  }

  /// PMTMR.
  var timer: UInt32 { UInt32(truncatingIfNeeded: ticks) & (1 << UInt32(PIIX4PM.timerBits) - 1) }

  /// How often the timer's upper bit has changed.
  private var turns: UInt64 { ticks >> (PIIX4PM.timerBits - 1) }

  /// TMROF_STS.
  var hasOverflowed: Bool { turns != state.turns }

  /// When the upper bit changes next, in virtual nanoseconds.
  private var nextOverflow: UInt64 {
    let (high, low) = ((turns &+ 1) << (PIIX4PM.timerBits - 1)).multipliedFullWidth(
      by: 1_000_000_000)
    guard high < PIIX4PM.timerHertz else { return VirtualClock.never }
    let (quotient, remainder) = PIIX4PM.timerHertz.dividingFullWidth((high, low))
    let (time, overflows) = state.origin.addingReportingOverflow(
      quotient &+ (remainder == 0 ? 0 : 1))
    return overflows ? VirtualClock.never : time
  }

  /// PMSTS.
  private var status: UInt16 {
    state.status | (hasOverflowed ? PIIX4PMState.Status.timer : 0)
  }

  /// The interrupt is as status and enables say, and looked at again when the timer overflows.
  func follow() {
    let status = self.status
    sci.set(isControlled && status & state.enable & PIIX4PMState.Status.enables != 0)
    if state.enable & ~status & PIIX4PMState.Status.timer != 0 {
      clock.schedule(overflow, at: nextOverflow)
    } else {
      clock.cancel(overflow)
    }
  }

  // MARK: Reads

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    // Guests that keep time by it read nothing else.
    if offset == 8 && width == 4 { return timer }
    if offset >= PIIX4PM.apmPorts {
      return UInt32(offset == PIIX4PM.apmPorts ? state.apm.0 : state.apm.1)
    }
    var value: UInt32 = 0
    for n in 0..<UInt32(width) { value |= byte(offset &+ n) << (8 * n) }
    return value
  }

  private func byte(_ offset: UInt32) -> UInt32 {
    let register: UInt32
    switch offset & ~3 {
    case 0x00: register = UInt32(status) | UInt32(state.enable) << 16
    case 0x04: register = UInt32(state.control)
    case 0x08: register = timer
    case 0x0C: register = UInt32(state.generalEnable) << 16
    case 0x10: register = state.processor
    case 0x18: register = UInt32(state.globalStatus)
    case 0x20: register = UInt32(state.globalEnable)
    case 0x28: register = state.globalControl
    case 0x2C: register = state.deviceControl
    // Inputs that nothing drives are pulled up.
    case 0x30: register = 0x00FF_FFFF
    case 0x34: register = state.outputs
    default: register = 0
    }
    return register >> (8 * (offset & 3)) & 0xFF
  }

  // MARK: Writes

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    if offset >= PIIX4PM.apmPorts {
      writeAPM(offset, UInt8(truncatingIfNeeded: value))
    } else {
      for n in 0..<UInt32(width) { writeByte(offset &+ n, value >> (8 * n) & 0xFF) }
    }
    follow()
  }

  private func writeAPM(_ offset: UInt32, _ value: UInt8) {
    guard offset == PIIX4PM.apmPorts else {
      state.apm.1 = value
      return
    }
    state.apm.0 = value
    state.globalStatus |= PIIX4PMState.Global.apm
    // A handler of system management mode would do this.
    switch value {
    case PIIX4PM.acpiEnable: state.control |= PIIX4PMState.Control.sciEnable
    case PIIX4PM.acpiDisable: state.control &= ~PIIX4PMState.Control.sciEnable
    default: break
    }
    if apmAssertsSMI, state.globalControl & PIIX4PMState.Global.smiEnable != 0 { smi.raised() }
  }

  private func writeByte(_ offset: UInt32, _ byte: UInt32) {
    let shift = 8 * (offset & 3)
    let (bits, mask) = (byte << shift, UInt32(0xFF) << shift)
    let upperBits = UInt16(truncatingIfNeeded: bits >> 16)
    let upperMask = UInt16(truncatingIfNeeded: mask >> 16)
    let (lowBits, lowMask) = (
      UInt16(truncatingIfNeeded: bits), UInt16(truncatingIfNeeded: mask)
    )
    switch offset & ~3 {
    case 0x00:
      state.status &= ~(lowBits & PIIX4PMState.Status.latched)
      if lowBits & PIIX4PMState.Status.timer != 0 { state.turns = turns }
      state.enable =
        state.enable & ~upperMask | upperBits & upperMask & PIIX4PMState.Status.enables
    case 0x04: writeControl(lowBits, lowMask)
    case 0x0C:
      state.generalEnable =
        state.generalEnable & ~upperMask | upperBits & upperMask & PIIX4PMState.General.all
    case 0x10: state.processor = state.processor & ~mask | bits
    case 0x18: state.globalStatus &= ~lowBits
    case 0x20: state.globalEnable = state.globalEnable & ~lowMask | lowBits
    case 0x28:
      state.globalControl = (state.globalControl & ~mask | bits) & ~PIIX4PMState.Global.biosRelease
      if bits & PIIX4PMState.Global.biosRelease != 0 {
        state.status |= PIIX4PMState.Status.global
      }
    case 0x2C: state.deviceControl = state.deviceControl & ~mask | bits
    case 0x34: state.outputs = state.outputs & ~mask | bits
    default: break
    }
  }

  /// Of all sleep types only the one that turns the machine off is there.
  private func writeControl(_ bits: UInt16, _ mask: UInt16) {
    state.control = state.control & ~mask | bits & mask & PIIX4PMState.Control.kept
    if bits & PIIX4PMState.Control.globalRelease != 0 {
      state.globalStatus |= PIIX4PMState.Global.bios
    }
    if bits & PIIX4PMState.Control.sleepEnable != 0,
      state.control >> 10 & 7 == PIIX4PMState.Control.softOff
    {
      powerOff()
    }
  }
}
