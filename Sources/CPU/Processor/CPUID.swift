// CPUID.
//
// Owns: the leaves as registers. Must not know: what the features do (CPUModel has them as data).
// Follows: Intel SDM volume 2 (CPUID), AP-485.

extension CPU {
  /// CPUID.
  func executeCPUID() throws(Fault) {
    if !model.features.contains(.cpuid) { throw .ud }
    let last: UInt32 = model.cacheDescriptors == nil ? 1 : 2
    if gpr32[Register.eax] >> 16 == 0x8000, !model.brand.isEmpty,
      gpr32[Register.eax] <= 0x8000_0004
    {
      return extendedCPUID(gpr32[Register.eax] & 0xF)
    }
    // A leaf above the last gives the last leaf's data.
    switch min(gpr32[Register.eax], last) {
    case 0:
      gpr32[Register.eax] = last
      gpr32[Register.ebx] = 0x756E_6547  // "Genu"
      gpr32[Register.edx] = 0x4965_6E69  // "ineI"
      gpr32[Register.ecx] = 0x6C65_746E  // "ntel"
    case 1:
      gpr32[Register.eax] = model.signature
      // The manual has the APIC ID from the Pentium 4 on; systems look at it in all that work together.
      gpr32[Register.ebx] = model.cpuidEBX | UInt32(number & 0xFF) << 24
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

  /// Leaves 80000000h-80000004h: the last leaf, no extended features, the brand string right-justified in 47 characters.
  private func extendedCPUID(_ leaf: UInt32) {
    var text = [UInt8](repeating: 0x20, count: max(0, 47 - model.brand.utf8.count))
    text += model.brand.utf8
    text += [UInt8](repeating: 0, count: max(1, 48 - text.count))
    for (n, register) in [Register.eax, Register.ebx, Register.ecx, Register.edx].enumerated() {
      var value: UInt32 = 0
      if leaf == 0 && n == 0 { value = 0x8000_0004 }
      if leaf >= 2 {
        let at = Int(leaf - 2) * 16 + n * 4
        for byte in text[at..<(at + 4)].reversed() { value = value << 8 | UInt32(byte) }
      }
      gpr32[register] = value
    }
  }
}
