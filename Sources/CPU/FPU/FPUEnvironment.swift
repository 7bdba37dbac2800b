// Images of the x87 state in memory: environment (14 or 28 bytes), FSAVE (94 or 108 bytes), FXSAVE (512 bytes).
//
// Owns: the four environment formats, tag words, the FXSAVE layout. Must not know: arithmetic.
// Follows: Intel SDM volume 1, figures 8-9 to 8-12 and section 8.1.7 (tags); volume 2 (FLDENV, FSTENV, FSAVE, FRSTOR, FXSAVE).

extension CPU {
  // MARK: - Tags

  /// The full tag word.
  var fpuTagWord: UInt16 { fpu.pointee.tagWord }

  /// Only "empty" is kept of a tag word; the rest follows from the registers.
  private func setFPUTagWord(_ word: UInt16) {
    var empty: UInt8 = 0
    for index in UInt16(0)..<8 where word >> (2 * index) & 3 == 3 { empty |= 1 << UInt8(index) }
    fpu.pointee.empty = empty
  }

  // MARK: - The environment

  /// The seven words of an environment image, the unused upper halves of a 32-bit image being ones.
  private func environmentWords(wide: Bool) -> (
    UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32
  ) {
    let f = fpu.pointee
    let ones: UInt32 = 0xFFFF_0000
    let cw = ones | UInt32(f.cw)
    let sw = ones | UInt32(fpuStatusWord)
    let tw = ones | UInt32(fpuTagWord)
    if !realSegments {
      if wide {
        return (
          cw, sw, tw, f.fip, UInt32(f.fop & 0x7FF) << 16 | UInt32(f.fcs), f.fdp,
          ones | UInt32(f.fds)
        )
      }
      return (cw, sw, tw, f.fip, UInt32(f.fcs), f.fdp, UInt32(f.fds))
    }
    // Real and V86 mode: linear addresses, the opcode beside the instruction pointer's upper part.
    let fip = f.fip &+ UInt32(f.fcs) << 4
    let fdp = f.fdp &+ UInt32(f.fds) << 4
    let opcode = UInt32(f.fop & 0x7FF)
    if wide {
      return (
        cw, sw, tw, ones | fip & 0xFFFF, (fip >> 16) << 12 | opcode, ones | fdp & 0xFFFF,
        (fdp >> 16) << 12
      )
    }
    return (
      cw, sw, tw, fip & 0xFFFF, (fip >> 16 & 15) << 12 | opcode, fdp & 0xFFFF,
      (fdp >> 16 & 15) << 12
    )
  }

  private func writeEnvironment(_ i: Insn, _ offset: UInt32) throws(Fault) {
    let segment = Int(i.pointee.segment)
    let wide = i.pointee.isOperand32
    let words = environmentWords(wide: wide)
    if wide {
      try write(segment, offset, words.0)
      try write(segment, offset &+ 4, words.1)
      try write(segment, offset &+ 8, words.2)
      try write(segment, offset &+ 12, words.3)
      try write(segment, offset &+ 16, words.4)
      try write(segment, offset &+ 20, words.5)
      try write(segment, offset &+ 24, words.6)
    } else {
      try write(segment, offset, UInt16(truncatingIfNeeded: words.0))
      try write(segment, offset &+ 2, UInt16(truncatingIfNeeded: words.1))
      try write(segment, offset &+ 4, UInt16(truncatingIfNeeded: words.2))
      try write(segment, offset &+ 6, UInt16(truncatingIfNeeded: words.3))
      try write(segment, offset &+ 8, UInt16(truncatingIfNeeded: words.4))
      try write(segment, offset &+ 10, UInt16(truncatingIfNeeded: words.5))
      try write(segment, offset &+ 12, UInt16(truncatingIfNeeded: words.6))
    }
  }

  /// Reads one word of an image whose accessibility has been checked.
  private func environmentWord(_ i: Insn, _ offset: UInt32, _ n: UInt32) throws(Fault) -> UInt32 {
    let segment = Int(i.pointee.segment)
    if i.pointee.isOperand32 {
      let value: UInt32 = try read(segment, offset &+ 4 &* n)
      return value
    }
    let value: UInt16 = try read(segment, offset &+ 2 &* n)
    return UInt32(value)
  }

  private func readEnvironment(_ i: Insn, _ offset: UInt32) throws(Fault) {
    let cw = UInt16(truncatingIfNeeded: try environmentWord(i, offset, 0))
    let sw = UInt16(truncatingIfNeeded: try environmentWord(i, offset, 1))
    let tw = UInt16(truncatingIfNeeded: try environmentWord(i, offset, 2))
    let ip = try environmentWord(i, offset, 3)
    let selectorIP = try environmentWord(i, offset, 4)
    let dp = try environmentWord(i, offset, 5)
    let selectorDP = try environmentWord(i, offset, 6)
    let wide = i.pointee.isOperand32
    if realSegments {
      fpu.pointee.fcs = 0
      fpu.pointee.fds = 0
      fpu.pointee.fop = UInt16(selectorIP & 0x7FF)
      let mask: UInt32 = wide ? 0xFFFF : 15
      fpu.pointee.fip = ip & 0xFFFF | (selectorIP >> 12 & mask) << 16
      fpu.pointee.fdp = dp & 0xFFFF | (selectorDP >> 12 & mask) << 16
    } else {
      fpu.pointee.fip = ip
      fpu.pointee.fcs = UInt16(truncatingIfNeeded: selectorIP)
      fpu.pointee.fdp = dp
      fpu.pointee.fds = UInt16(truncatingIfNeeded: selectorDP)
      // The 16-bit protected format has no opcode.
      fpu.pointee.fop = wide ? UInt16(selectorIP >> 16 & 0x7FF) : 0
    }
    setFPUTagWord(tw)
    restoreFPUWords(cw, sw)
  }

  /// Loads control and status word together: the summary bits follow from both.
  private func restoreFPUWords(_ cw: UInt16, _ sw: UInt16) {
    let pending = fpu.pointee.sw & (FPUStatus.es | FPUStatus.busy)
    setFPUStatusWord(sw & ~(FPUStatus.es | FPUStatus.busy) | pending)
    setFPUControlWord(cw)
  }

  /// FNSTENV.
  func storeEnvironment(_ i: Insn) throws(Fault) {
    let offset = effectiveAddress(i)
    try checkWritable(i, offset, i.pointee.isOperand32 ? 28 : 14)
    try writeEnvironment(i, offset)
    fpu.pointee.cw |= FPUStatus.exceptions
    updateFPUSummary()
  }

  /// FLDENV.
  func loadEnvironment(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    let offset = effectiveAddress(i)
    try checkReadable(i, offset, i.pointee.isOperand32 ? 28 : 14)
    try readEnvironment(i, offset)
  }

  // MARK: - FSAVE, FRSTOR

  /// FNSAVE.
  func saveState(_ i: Insn) throws(Fault) {
    let offset = effectiveAddress(i)
    let size: UInt32 = i.pointee.isOperand32 ? 28 : 14
    try checkWritable(i, offset, size &+ 80)
    try writeEnvironment(i, offset)
    let segment = Int(i.pointee.segment)
    for n in 0..<8 {
      let value = st(n)
      let place = offset &+ size &+ UInt32(10 &* n)
      // By words: the image need not be aligned to more than its environment.
      for part in UInt32(0)..<4 {
        try write(
          segment, place &+ 2 &* part,
          UInt16(truncatingIfNeeded: value.significand >> UInt64(16 &* part)))
      }
      try write(segment, place &+ 8, value.signExponent)
    }
    initializeFPU()
  }

  /// FRSTOR.
  func restoreState(_ i: Insn) throws(Fault) {
    try checkFPUPending()
    let offset = effectiveAddress(i)
    let size: UInt32 = i.pointee.isOperand32 ? 28 : 14
    try checkReadable(i, offset, size &+ 80)
    try readEnvironment(i, offset)
    let segment = Int(i.pointee.segment)
    for n in 0..<8 {
      let place = offset &+ size &+ UInt32(10 &* n)
      var significand: UInt64 = 0
      for part in UInt32(0)..<4 {
        let word: UInt16 = try read(segment, place &+ 2 &* part)
        significand |= UInt64(word) << UInt64(16 &* part)
      }
      let signExponent: UInt16 = try read(segment, place &+ 8)
      fpuRegisters[fpuIndex(n)] = Float80Bits(signExponent: signExponent, significand: significand)
    }
  }

  /// Checks a whole image before anything of it is written.
  private func checkWritable(_ i: Insn, _ offset: UInt32, _ size: UInt32) throws(Fault) {
    let linear = try linearForWrite(Int(i.pointee.segment), offset, size)
    try checkImageAlignment(i, linear)
    try probeWrite(linear, size, userAccess)
  }

  private func checkReadable(_ i: Insn, _ offset: UInt32, _ size: UInt32) throws(Fault) {
    let linear = try linearForRead(Int(i.pointee.segment), offset, size)
    try checkImageAlignment(i, linear)
    try probeRead(linear, size, userAccess)
  }

  private func checkImageAlignment(_ i: Insn, _ linear: UInt32) throws(Fault) {
    if alignmentChecked && linear & (i.pointee.isOperand32 ? 3 : 1) != 0 { throw .ac }
  }

  // MARK: - FXSAVE, FXRSTOR

  /// FXSAVE.
  func saveExtended(_ i: Insn) throws(Fault) {
    try checkFPU()
    let offset = effectiveAddress(i)
    let linear = try linearForWrite(Int(i.pointee.segment), offset, 512)
    if linear & 15 != 0 { throw .gp(0) }
    try probeWrite(linear, 512, userAccess)
    try saveExtended(Int(i.pointee.segment), offset)
  }

  /// FXRSTOR.
  func restoreExtended(_ i: Insn) throws(Fault) {
    try checkFPU()
    let offset = effectiveAddress(i)
    let linear = try linearForRead(Int(i.pointee.segment), offset, 512)
    if linear & 15 != 0 { throw .gp(0) }
    try probeRead(linear, 512, userAccess)
    try restoreExtended(Int(i.pointee.segment), offset)
  }

  /// Writes the image; what is reserved on processors without SSE is left as it is.
  private func saveExtended(_ segment: Int, _ offset: UInt32) throws(Fault) {
    let f = fpu.pointee
    try write(segment, offset, f.cw)
    try write(segment, offset &+ 2, fpuStatusWord)
    // One bit for each register: in use. The byte above is reserved.
    try write(segment, offset &+ 4, UInt16(~f.empty))
    try write(segment, offset &+ 6, f.fop & 0x7FF)
    try write(segment, offset &+ 8, f.fip)
    try write(segment, offset &+ 12, UInt32(f.fcs))
    try write(segment, offset &+ 16, f.fdp)
    try write(segment, offset &+ 20, UInt32(f.fds))
    if model.features.contains(.sse) {
      try write(segment, offset &+ 24, f.mxcsr)
      try write(segment, offset &+ 28, mxcsrMask)
    }
    for n in 0..<8 {
      let value = st(n)
      let place = offset &+ 32 &+ UInt32(16 &* n)
      try write(segment, place, value.significand)
      try write(segment, place &+ 8, UInt64(value.signExponent))
    }
    if imageHasXMM {
      for n in 0..<8 {
        let place = offset &+ 160 &+ UInt32(16 &* n)
        try write(segment, place, xmm[n].low)
        try write(segment, place &+ 8, xmm[n].high)
      }
    }
  }

  /// Whether FXSAVE and FXRSTOR handle the XMM registers.
  private var imageHasXMM: Bool {
    model.features.contains(.sse) && s.pointee.cr4 & CR4.osfxsr != 0
  }

  private func restoreExtended(_ segment: Int, _ offset: UInt32) throws(Fault) {
    if model.features.contains(.sse) {
      let mxcsr: UInt32 = try read(segment, offset &+ 24)
      if mxcsr & ~mxcsrMask != 0 { throw .gp(0) }
      fpu.pointee.mxcsr = mxcsr
    }
    let cw: UInt16 = try read(segment, offset)
    let sw: UInt16 = try read(segment, offset &+ 2)
    let tags: UInt8 = try read(segment, offset &+ 4)
    let fop: UInt16 = try read(segment, offset &+ 6)
    fpu.pointee.fip = try read(segment, offset &+ 8)
    fpu.pointee.fcs = try read(segment, offset &+ 12)
    fpu.pointee.fdp = try read(segment, offset &+ 16)
    fpu.pointee.fds = try read(segment, offset &+ 20)
    fpu.pointee.fop = fop & 0x7FF
    fpu.pointee.empty = ~tags
    restoreFPUWords(cw, sw)
    for n in 0..<8 {
      let place = offset &+ 32 &+ UInt32(16 &* n)
      let significand: UInt64 = try read(segment, place)
      let signExponent: UInt16 = try read(segment, place &+ 8)
      fpuRegisters[fpuIndex(n)] = Float80Bits(signExponent: signExponent, significand: significand)
    }
    if imageHasXMM {
      for n in 0..<8 {
        let place = offset &+ 160 &+ UInt32(16 &* n)
        let low: UInt64 = try read(segment, place)
        xmm[n] = XMMBits(low, try read(segment, place &+ 8))
      }
    }
  }
}
