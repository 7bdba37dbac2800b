// CPUID.
//
// Owns: the leaves as registers. Must not know: what the features do (CPUModel has them as data).
// Follows: Intel SDM volume 2 (CPUID), AP-485.

extension CPU {
  /// CPUID.
  func executeCPUID() throws(Fault) {
    if !model.features.contains(.cpuid) { throw .ud }
    let last: UInt32 = model.cacheDescriptors == nil ? 1 : 2
    // A leaf above the last gives the last leaf's data.
    switch min(gpr32[Register.eax], last) {
    case 0:
      gpr32[Register.eax] = last
      gpr32[Register.ebx] = 0x756E_6547  // "Genu"
      gpr32[Register.edx] = 0x4965_6E69  // "ineI"
      gpr32[Register.ecx] = 0x6C65_746E  // "ntel"
    case 1:
      gpr32[Register.eax] = model.signature
      gpr32[Register.ebx] = 0
      gpr32[Register.ecx] = 0
      gpr32[Register.edx] = model.featureBits
      // APIC: goes away while the MSR disables it.
      if let base = msrs[MSR.apicBase], base & 0x800 == 0 { gpr32[Register.edx] &= ~(1 << 9) }
    default:
      let d = model.cacheDescriptors ?? []
      gpr32[Register.eax] = d.count > 0 ? d[0] : 0
      gpr32[Register.ebx] = d.count > 1 ? d[1] : 0
      gpr32[Register.ecx] = d.count > 2 ? d[2] : 0
      gpr32[Register.edx] = d.count > 3 ? d[3] : 0
    }
  }
}
