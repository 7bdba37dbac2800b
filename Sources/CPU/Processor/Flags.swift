// Arithmetic flags, kept lazily.
//
// Owns: the representation. An operation stores its result, sign-extended to 32 bits, in `flagResult`, and its carries in `flagAux`:
//   bit 31  CF            (carry out of the top bit)
//   bit 30  CF ^ OF       (carry into the top bit)
//   bit 3   AF
//   bit 0   SF is result bit 31 xor this
//   bits 8-15  PF is the parity of result byte 0 xor this byte
// ZF is `flagResult == 0`. Every combination of flags can be represented.
// Must not know: which instruction sets which flags (the handlers do).
// Follows: Intel SDM volume 1, section 3.4.3.

extension UnsafeMutablePointer<CPUState> {
  @inline(__always) var cf: Bool { Int32(bitPattern: pointee.flagAux) < 0 }
  @inline(__always) var carryBit: UInt32 { pointee.flagAux >> 31 }
  @inline(__always) var zf: Bool { pointee.flagResult == 0 }
  @inline(__always) var sf: Bool { (pointee.flagResult >> 31) ^ (pointee.flagAux & 1) != 0 }
  @inline(__always) var of: Bool {
    ((pointee.flagAux >> 30) ^ (pointee.flagAux >> 31)) & 1 != 0
  }
  @inline(__always) var af: Bool { pointee.flagAux & 8 != 0 }
  @inline(__always) var pf: Bool {
    UInt8(truncatingIfNeeded: pointee.flagResult ^ (pointee.flagAux >> 8)).nonzeroBitCount & 1
      == 0
  }

  /// Sets or clears CF, leaving the other flags.
  @inline(__always) func setCF(_ carry: Bool) {
    // CF ^ OF must follow CF so that OF stays.
    let old = pointee.flagAux
    if (old >> 31 != 0) != carry { pointee.flagAux = old ^ 0xC000_0000 }
  }

  // MARK: - Results of operations

  /// Carries of a + b (+ c) = r, bit for bit.
  @inline(__always)
  static func addCarries<T: FixedWidthInteger>(_ a: T, _ b: T, _ r: T) -> T {
    (a & b) | ((a | b) & ~r)
  }

  /// Borrows of a - b (- c) = r.
  @inline(__always)
  static func subCarries<T: FixedWidthInteger>(_ a: T, _ b: T, _ r: T) -> T {
    (~a & b) | ((~a | b) & r)
  }

  /// Stores result and carries of an addition or subtraction of any size.
  @inline(__always)
  func setFlags<T: FixedWidthInteger & UnsignedInteger>(_ r: T, carries: T) {
    let shift = UInt32(32 - T.bitWidth)
    let c = UInt32(truncatingIfNeeded: carries)
    pointee.flagResult = UInt32(
      bitPattern: Int32(bitPattern: UInt32(truncatingIfNeeded: r) &<< shift) &>> Int32(shift))
    pointee.flagAux = ((c &<< shift) & 0xC000_0000) | (c & 8)
  }

  /// Stores a logical result: CF, OF and AF cleared.
  @inline(__always)
  func setLogicFlags<T: FixedWidthInteger & UnsignedInteger>(_ r: T) {
    let shift = UInt32(32 - T.bitWidth)
    pointee.flagResult = UInt32(
      bitPattern: Int32(bitPattern: UInt32(truncatingIfNeeded: r) &<< shift) &>> Int32(shift))
    pointee.flagAux = 0
  }

  /// Stores SF, ZF, PF of `r` and the given CF, OF, AF.
  @inline(__always)
  func setFlags<T: FixedWidthInteger & UnsignedInteger>(_ r: T, cf: Bool, of: Bool, af: Bool) {
    setLogicFlags(r)
    pointee.flagAux =
      (cf ? 0x8000_0000 : 0) | (cf != of ? 0x4000_0000 : 0) | (af ? 8 : 0)
  }

  /// Condition code `cc` (0 O, 1 NO, 2 B, ... 15 NLE).
  @inline(__always)
  func condition(_ cc: Int) -> Bool {
    let value: Bool
    switch cc >> 1 & 7 {
    case 0: value = of
    case 1: value = cf
    case 2: value = zf
    case 3: value = cf || zf
    case 4: value = sf
    case 5: value = pf
    case 6: value = sf != of
    default: value = zf || sf != of
    }
    return value != (cc & 1 != 0)
  }
}

extension CPU {
  @inline(__always) var cf: Bool { s.cf }
  @inline(__always) var carryBit: UInt32 { s.carryBit }
  @inline(__always) var zf: Bool { s.zf }
  @inline(__always) var sf: Bool { s.sf }
  @inline(__always) var of: Bool { s.of }
  @inline(__always) var af: Bool { s.af }
  @inline(__always) var pf: Bool { s.pf }
  @inline(__always) func condition(_ cc: Int) -> Bool { s.condition(cc) }

  /// Stores a logical result: CF, OF and AF cleared.
  @inline(__always)
  func setLogicFlags<T: FixedWidthInteger & UnsignedInteger>(_ r: T) { s.setLogicFlags(r) }

  /// Stores SF, ZF, PF of `r` and the given CF, OF, AF.
  @inline(__always)
  func setFlags<T: FixedWidthInteger & UnsignedInteger>(_ r: T, cf: Bool, of: Bool, af: Bool) {
    s.setFlags(r, cf: cf, of: of, af: af)
  }

  /// The six arithmetic flags at their EFLAGS positions.
  var arithmeticFlags: UInt32 {
    (cf ? EFLAGS.cf : 0) | (pf ? EFLAGS.pf : 0) | (af ? EFLAGS.af : 0) | (zf ? EFLAGS.zf : 0)
      | (sf ? EFLAGS.sf : 0) | (of ? EFLAGS.of : 0)
  }

  /// Sets all six arithmetic flags from their EFLAGS positions.
  func setArithmeticFlags(_ f: UInt32) {
    let zero = f & EFLAGS.zf != 0
    let result: UInt32 = zero ? 0 : 1
    var aux: UInt32 = 0
    let carry = f & EFLAGS.cf != 0
    let overflow = f & EFLAGS.of != 0
    if carry { aux |= 1 << 31 }
    if carry != overflow { aux |= 1 << 30 }
    if f & EFLAGS.af != 0 { aux |= 8 }
    if f & EFLAGS.sf != 0 { aux |= 1 }
    // Result 0 has even parity, result 1 odd; flip where the wanted PF differs.
    if (f & EFLAGS.pf != 0) != zero { aux |= 1 << 8 }
    s.pointee.flagResult = result
    s.pointee.flagAux = aux
  }

  @inline(__always) func setCF(_ carry: Bool) { s.setCF(carry) }

  /// Sets ZF alone.
  func setZF(_ zero: Bool) {
    if zf != zero { setArithmeticFlags((arithmeticFlags & ~EFLAGS.zf) | (zero ? EFLAGS.zf : 0)) }
  }

  /// The complete EFLAGS image.
  public var eflags: UInt32 { (s.pointee.eflags & ~EFLAGS.arithmetic) | arithmeticFlags | 2 }

  /// Replaces all of EFLAGS without any privilege rule; `updateMode` is called when a bit that matters to the engine changed.
  public func setEFLAGS(_ value: UInt32) {
    setArithmeticFlags(value)
    let old = s.pointee.eflags
    let new = (value & ~EFLAGS.arithmetic & 0x003F_7FD7) | 2
    s.pointee.eflags = new
    if (old ^ new) & EFLAGS.df != 0 { contextChanged() }
    if (old ^ new) & (EFLAGS.vm | EFLAGS.ac | EFLAGS.tf | EFLAGS.rf) != 0 { updateMode() }
  }
}

extension EFLAGS {
  /// The bits a model has.
  static func implemented(by model: CPUModel) -> UInt32 {
    var mask: UInt32 = 0x7FD5 | rf | vm
    if model.features.contains(.i486) { mask |= ac }
    if model.features.contains(.cpuid) { mask |= id }
    if model.features.contains(.vme) { mask |= vif | vip }
    return mask
  }
}
