// Model-specific registers, the time-stamp counter, performance counters, SYSENTER and SYSEXIT.
//
// Owns: which MSRs a model has and what reading and writing them does. Must not know: caches (their MSRs are storage), the local APIC (it hears of writes to its base).
// Follows: Intel SDM volume 4 (MSRs of the Pentium and the P6 family), volume 2 (RDMSR, WRMSR, RDTSC, RDPMC, SYSENTER, SYSEXIT).

/// Numbers of MSRs.
enum MSR {
  static let p5MachineCheckAddress: UInt32 = 0x00
  static let p5MachineCheckType: UInt32 = 0x01
  static let timeStampCounter: UInt32 = 0x10
  static let apicBase: UInt32 = 0x1B
  static let powerOnConfiguration: UInt32 = 0x2A
  static let microcodeUpdate: UInt32 = 0x79
  static let microcodeSignature: UInt32 = 0x8B
  static let performanceCounter0: UInt32 = 0xC1
  static let mtrrCapabilities: UInt32 = 0xFE
  static let sysenterCS: UInt32 = 0x174
  static let sysenterESP: UInt32 = 0x175
  static let sysenterEIP: UInt32 = 0x176
  static let machineCheckCapabilities: UInt32 = 0x179
  static let debugControl: UInt32 = 0x1D9
  static let pageAttributes: UInt32 = 0x277
  static let mtrrDefault: UInt32 = 0x2FF
}

extension CPU {
  /// MSRs after reset. What is in `msrs` exists; everything else faults.
  func resetMSRs() {
    guard model.features.contains(.msr) else { return }
    if !model.features.contains(.p6) {
      // Pentium: machine check address and type, test registers, performance events.
      for number in [0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E] {
        msrs[UInt32(number)] = 0
      }
      for number in 0x11...0x13 { msrs[UInt32(number)] = 0 }
      return
    }
    msrs[MSR.p5MachineCheckAddress] = 0
    msrs[MSR.p5MachineCheckType] = 0
    msrs[0x17] = 0  // platform ID
    // Local APIC enabled; bit 8 tells the bootstrap processor.
    msrs[MSR.apicBase] = number == 0 ? 0xFEE0_0900 : 0xFEE0_0800
    msrs[MSR.powerOnConfiguration] = 0
    msrs[0x33] = 0  // TEST_CTL
    msrs[MSR.microcodeUpdate] = 0
    for number in UInt32(0x88)...0x8B { msrs[number] = 0 }
    msrs[MSR.performanceCounter0] = 0
    msrs[0xC2] = 0
    msrs[MSR.mtrrCapabilities] = 0x508  // 8 variable ranges, fixed ranges, write combining
    for number in UInt32(0x116)...0x11E { msrs[number] = 0 }  // BBL_CR_*
    msrs[0x11E] = 0
    msrs[MSR.machineCheckCapabilities] = 5  // five banks
    msrs[0x17A] = 0
    msrs[0x17B] = 0
    msrs[0x186] = 0
    msrs[0x187] = 0
    msrs[MSR.debugControl] = 0
    for number in UInt32(0x1DB)...0x1DE { msrs[number] = 0 }
    msrs[0x1E0] = 0
    for number in UInt32(0x200)...0x20F { msrs[number] = 0 }
    for number: UInt32 in [
      0x250, 0x258, 0x259, 0x268, 0x269, 0x26A, 0x26B, 0x26C, 0x26D, 0x26E, 0x26F,
    ] {
      msrs[number] = 0
    }
    msrs[MSR.pageAttributes] = 0x0007_0406_0007_0406
    msrs[MSR.mtrrDefault] = 0
    for number in UInt32(0x400)...0x413 { msrs[number] = 0 }
    // Pentium 4: IA32_MISC_ENABLE with fast strings.
    if model.features.contains(.sse2) { msrs[0x1A0] = 1 }
  }

  /// The time-stamp counter: virtual time in clocks of the processor, whatever the rate of instructions is.
  public var timeStampCounter: UInt64 {
    let (high, low) = (instructionCount &- s.pointee.tscBaseCount).multipliedFullWidth(
      by: s.pointee.tscScale)
    return s.pointee.tscBase &+ (high << 32 | low >> 32)
  }

  /// Sets the counter as of now.
  private func setTimeStampCounter(_ value: UInt64) {
    s.pointee.tscBase = value
    s.pointee.tscBaseCount = instructionCount
  }

  /// From now on so many clocks of the processor go by with each retired instruction.
  /// - Parameters:
  ///   - hertz: of the processor (`CPUModel.hertz`), below 2^32.
  ///   - rate: instructions a second, at least 1,000.
  public func setTimeStampRate(hertz: UInt64, instructionsPerSecond rate: UInt64) {
    setTimeStampCounter(timeStampCounter)
    s.pointee.tscScale = (hertz << 32) / rate
  }

  /// RDMSR by number.
  /// - Throws: #GP(0) for an MSR the model lacks.
  func readMSR(_ number: UInt32) throws(Fault) -> UInt64 {
    switch number {
    case MSR.timeStampCounter where model.features.contains(.tsc):
      return timeStampCounter
    case MSR.sysenterCS where model.features.contains(.sep): return UInt64(s.pointee.sysenterCS)
    case MSR.sysenterESP where model.features.contains(.sep): return UInt64(s.pointee.sysenterESP)
    case MSR.sysenterEIP where model.features.contains(.sep): return UInt64(s.pointee.sysenterEIP)
    default:
      guard let value = msrs[number] else { throw .gp(0) }
      return value
    }
  }

  /// WRMSR by number.
  /// - Throws: #GP(0) for an MSR the model lacks, one that is read-only, or reserved bits.
  func writeMSR(_ number: UInt32, _ value: UInt64) throws(Fault) {
    let low = UInt32(truncatingIfNeeded: value)
    switch number {
    case MSR.timeStampCounter where model.features.contains(.tsc):
      // The P6 family writes the low half only and clears the rest.
      let new = model.features.contains(.p6) ? UInt64(low) : value
      setTimeStampCounter(new)
      timeStampsWritten = true
    case MSR.sysenterCS where model.features.contains(.sep): s.pointee.sysenterCS = low
    case MSR.sysenterESP where model.features.contains(.sep): s.pointee.sysenterESP = low
    case MSR.sysenterEIP where model.features.contains(.sep): s.pointee.sysenterEIP = low
    default:
      guard let old = msrs[number] else { throw .gp(0) }
      switch number {
      case MSR.mtrrCapabilities, MSR.machineCheckCapabilities: throw .gp(0)
      case MSR.apicBase:
        // The BSP bit is fixed.
        if value & 0xFFFF_FFF0_0000_06FF != 0 { throw .gp(0) }
        let new = (value & 0xF_FFFF_F800) | (old & 0x100)
        msrs[number] = new
        bus.apicBaseWritten(new)
      case MSR.microcodeUpdate: break
      case MSR.mtrrDefault:
        if value & ~0xCFF != 0 || !CPU.isMemoryType(value & 0xFF) { throw .gp(0) }
        msrs[number] = value
      case 0x200...0x20F:
        if number & 1 == 0 {
          if value & 0xFFFF_FFF0_0000_0F00 != 0 || !CPU.isMemoryType(value & 0xFF) { throw .gp(0) }
        } else if value & 0xFFFF_FFF0_0000_07FF != 0 {
          throw .gp(0)
        }
        msrs[number] = value
      case 0x250, 0x258, 0x259, 0x268...0x26F:
        for n in UInt64(0)..<8 where !CPU.isMemoryType(value >> (8 &* n) & 0xFF) { throw .gp(0) }
        msrs[number] = value
      case MSR.pageAttributes:
        // UC- (7) is a type of pages only.
        for n in UInt64(0)..<8 {
          let type = value >> (8 &* n) & 0xFF
          if type != 7 && !CPU.isMemoryType(type) { throw .gp(0) }
        }
        msrs[number] = value
      case 0xC1, 0xC2:
        // 40-bit counters; a write sign-extends bit 31.
        msrs[number] = UInt64(bitPattern: Int64(Int32(bitPattern: low))) & 0xFF_FFFF_FFFF
      default: msrs[number] = value
      }
    }
  }

  /// UC, WC, WT, WP or WB.
  private static func isMemoryType(_ type: UInt64) -> Bool {
    type <= 6 && type != 2 && type != 3
  }

  /// RDMSR.
  func executeRDMSR() throws(Fault) {
    if !model.features.contains(.msr) { throw .ud }
    try requireCPL0()
    let number = gpr32[Register.ecx]
    let value = try readMSR(number)
    putEDXEAX(value)
    if debugEvents.contains(.msr) { noteDebug(.msr(number: number, isWrite: false, value: value)) }
  }

  /// WRMSR.
  func executeWRMSR() throws(Fault) {
    if !model.features.contains(.msr) { throw .ud }
    try requireCPL0()
    let number = gpr32[Register.ecx]
    let value = UInt64(gpr32[Register.edx]) << 32 | UInt64(gpr32[Register.eax])
    try writeMSR(number, value)
    if debugEvents.contains(.msr) { noteDebug(.msr(number: number, isWrite: true, value: value)) }
  }

  /// RDTSC.
  func executeRDTSC() throws(Fault) {
    if !model.features.contains(.tsc) { throw .ud }
    if s.pointee.cr4 & CR4.tsd != 0 { try requireCPL0() }
    putEDXEAX(timeStampCounter)
  }

  /// RDPMC: two counters, which count nothing.
  func executeRDPMC() throws(Fault) {
    if !model.features.contains(.rdpmc) { throw .ud }
    if s.pointee.cr4 & CR4.pce == 0 { try requireCPL0() }
    let number = gpr32[Register.ecx]
    if number > 1 { throw .gp(0) }
    putEDXEAX(msrs[MSR.performanceCounter0 &+ number] ?? 0)
  }

  private func putEDXEAX(_ value: UInt64) {
    gpr32[Register.eax] = UInt32(truncatingIfNeeded: value)
    gpr32[Register.edx] = UInt32(truncatingIfNeeded: value >> 32)
  }
}
