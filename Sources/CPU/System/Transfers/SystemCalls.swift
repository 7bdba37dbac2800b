// SYSENTER and SYSEXIT.
//
// Owns: what they check and change: flat segments by the MSRs, no descriptor is looked at, nothing is pushed.
// Must not know: the MSRs' numbers (MSR.swift).
// Follows: Intel SDM volume 2 (SYSENTER, SYSEXIT), volume 3 section 5.8.7.

extension CPU {
  /// SYSENTER.
  func executeSYSENTER() throws(Fault) {
    try commit(.any, try planSYSENTER(from: currentLinear))
  }

  /// SYSEXIT.
  func executeSYSEXIT() throws(Fault) {
    try commit(.any, try planSYSEXIT(from: currentLinear))
  }

  @_transparent
  func planSYSENTER(from: UInt32) throws(Fault)
    -> TransferPlan
  {
    let cs = try systemCallSelector()
    var plan = plan(cs, .flat(access: 0x9B), eip: s.pointee.sysenterEIP, cpl: 0, from: from)
    plan.loadStack(cs &+ 8, .flat(access: 0x93))
    plan.esp = s.pointee.sysenterESP
    plan.flagMask = EFLAGS.vm | EFLAGS.if | EFLAGS.rf
    return plan
  }

  @_transparent
  func planSYSEXIT(from: UInt32) throws(Fault)
    -> TransferPlan
  {
    let cs = try systemCallSelector()
    try requireCPL0()
    var plan = plan(cs &+ 16, .flat(access: 0xFB), eip: gpr32[Register.edx], cpl: 3, from: from)
    plan.loadStack((cs &+ 24) | 3, .flat(access: 0xF3))
    plan.esp = gpr32[Register.ecx]
    return plan
  }

  /// IA32_SYSENTER_CS, from which all four selectors follow.
  @_transparent
  private func systemCallSelector() throws(Fault) -> UInt16 {
    if !model.features.contains(.sep) { throw .ud }
    let cs = UInt16(truncatingIfNeeded: s.pointee.sysenterCS & 0xFFFC)
    if !protectedMode || cs == 0 { throw .gp(0) }
    return cs
  }
}

extension Descriptor {
  /// A 32-bit segment with base 0 and limit FFFFFFFFh.
  @_transparent
  static func flat(access: UInt64) -> Descriptor {
    Descriptor(0x00CF_0000_0000_FFFF | access << 40)
  }
}
