// Operands of x87, MMX and SSE for comparison with the host's processor: every kind of number, edges often.
//
// Owns: random values of each format, register states, images of states in memory. Must not know: instructions, who runs them.
// Follows: Intel SDM volume 1, sections 4.8 (encodings of floating point), 8.1 (x87 state), 10.2 (MXCSR), 10.5 (FXSAVE image).

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import CPU

  extension CaseRandom {
    /// A fraction of `bits` bits: random, of few bits, or near the ends.
    private mutating func fraction(_ bits: UInt64) -> UInt64 {
      let mask: UInt64 = bits == 64 ? .max : (1 << bits) &- 1
      switch below(8) {
      case 0: return 0
      case 1: return mask &- UInt64(below(4))
      case 2: return UInt64(below(4))
      case 3: return (1 << UInt64(below(Int(bits))) | 1 << UInt64(below(Int(bits)))) & mask
      case 4: return next() << UInt64(below(Int(bits))) & mask
      case 5: return (UInt64.max << UInt64(below(Int(bits)))) & mask
      default: return next() & mask
      }
    }

    /// A number of IEEE 754 format: sign, exponent of `exponentBits`, fraction of `fractionBits`.
    private mutating func ieee(_ exponentBits: UInt64, _ fractionBits: UInt64) -> UInt64 {
      let most = (1 << exponentBits) - 1
      let bias = most >> 1
      let sign: UInt64 = oneIn(2) ? 1 << (exponentBits + fractionBits) : 0
      let quiet: UInt64 = 1 << (fractionBits - 1)
      func number(_ exponent: Int, _ fraction: UInt64) -> UInt64 {
        sign | UInt64(max(0, min(most, exponent))) << fractionBits | fraction
      }
      switch below(24) {
      case 0: return sign
      case 1: return number(most, 0)
      case 2: return number(most, fraction(fractionBits) | quiet)
      case 3: return number(most, fraction(fractionBits) & ~quiet | 1)
      case 4, 5: return number(0, fraction(fractionBits))
      case 6: return number(1 + below(3), fraction(fractionBits))
      case 7: return number(most - 1 - below(3), fraction(fractionBits))
      case 8: return number(1 + below(most - 2), fraction(fractionBits))
      // Around the ends of integer formats.
      case 9, 10:
        return number(bias + [7, 8, 15, 16, 31, 32, 62, 63][below(8)], fraction(fractionBits))
      case 11: return number(bias - below(Int(fractionBits) + 4), fraction(fractionBits))
      default: return number(bias - 12 + below(24), fraction(fractionBits))
      }
    }

    mutating func float32() -> UInt32 { UInt32(truncatingIfNeeded: ieee(8, 23)) }
    mutating func float64() -> UInt64 { ieee(11, 52) }

    /// Any encoding of 80 bits, special and unsupported ones often.
    mutating func float80() -> Float80Bits {
      let sign: UInt16 = oneIn(2) ? 0x8000 : 0
      let integer: UInt64 = 1 << 63
      func make(_ exponent: Int, _ significand: UInt64) -> Float80Bits {
        Float80Bits(signExponent: sign | UInt16(exponent & 0x7FFF), significand: significand)
      }
      switch below(26) {
      case 0: return make(0, 0)
      case 1: return make(0x7FFF, integer)
      case 2: return make(0x7FFF, integer | 1 << 62 | fraction(62))
      case 3: return make(0x7FFF, integer | fraction(62) | 1)
      // Denormals, pseudo-denormals, unnormals, pseudo-NaNs and pseudo-infinities.
      case 4: return make(0, fraction(63))
      case 5: return make(0, integer | fraction(63))
      case 6: return make(oneIn(2) ? 0x7FFF : 1 + below(0x7FFE), fraction(63))
      case 7: return make(0x3FFF, integer)
      case 8: return make(1 + below(80), integer | fraction(63))
      case 9: return make(0x7FFE - below(80), integer | fraction(63))
      case 10, 11: return make(1 + below(0x7FFE), integer | fraction(63))
      // Integers and halves.
      case 12:
        return make(0x3FFF + below(65), integer | fraction(63) & (UInt64.max << UInt64(below(64))))
      // The limits of single and double numbers.
      case 13: return make(0x3FFF - 126 - below(28), integer | fraction(63))
      case 14: return make(0x3FFF + 126 + below(3), integer | fraction(63))
      case 15: return make(0x3FFF - 1022 - below(56), integer | fraction(63))
      case 16: return make(0x3FFF + 1022 + below(3), integer | fraction(63))
      default: return make(0x3FFF - 70 + below(140), integer | fraction(63))
      }
    }

    /// A 64-bit integer, edges often.
    mutating func edge64() -> UInt64 {
      switch below(6) {
      case 0: return UInt64(bitPattern: Int64(Int32(bitPattern: edge())))
      case 1: return (1 << UInt64(below(64))) &- UInt64(below(3))
      case 2: return UInt64(edge())
      case 3: return UInt64(edge()) << 32 | UInt64(edge())
      default: return next()
      }
    }

    /// 18 decimal digits with sign in 10 bytes; sometimes digits that are none.
    private mutating func decimal() -> [UInt8] {
      var bytes = [UInt8](repeating: 0, count: 10)
      let digits = below(19)
      for n in 0..<digits {
        let digit = UInt8(oneIn(40) ? below(16) : below(10))
        bytes[n / 2] |= n & 1 == 0 ? digit : digit << 4
      }
      bytes[9] = oneIn(2) ? 0x80 : 0
      if oneIn(20) { bytes[9] |= UInt8(below(128)) }
      if oneIn(30) { bytes = [0, 0, 0, 0, 0, 0, 0, 0xC0, 0xFF, 0xFF] }
      return bytes
    }

    /// What lies at a memory operand: sixteen bytes of numbers of one format.
    mutating func operandBytes(_ kind: Int? = nil) -> [UInt8] {
      var bytes: [UInt8] = []
      func put<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
      }
      switch kind ?? below(6) {
      case 0: for _ in 0..<4 { put(float32()) }
      case 1: for _ in 0..<2 { put(float64()) }
      case 2:
        let value = float80()
        put(value.significand)
        put(value.signExponent)
        put(UInt16(truncatingIfNeeded: next()))
        put(UInt32(truncatingIfNeeded: next()))
      case 3:
        bytes = decimal()
        for _ in 10..<16 { bytes.append(UInt8(truncatingIfNeeded: next())) }
      case 4: for _ in 0..<4 { put(edge()) }
      default: for _ in 0..<2 { put(edge64()) }
      }
      return bytes
    }

    mutating func xmm(_ kind: Int? = nil) -> XMMBits {
      let bytes = operandBytes(kind ?? [0, 0, 1, 1, 4, 5][below(6)])
      return bytes.withUnsafeBytes {
        XMMBits(
          $0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
      }
    }

    /// MXCSR: mostly all masked, every rounding, flags and modes.
    mutating func mxcsr() -> UInt32 {
      var value: UInt32 = 0x1F80
      if oneIn(3) { value &= ~(UInt32(below(64)) << 7) }
      if oneIn(2) { value |= UInt32(below(4)) << 13 }
      if oneIn(4) { value |= 0x8000 }
      if oneIn(4) { value |= 0x40 }
      if oneIn(3) { value |= UInt32(below(64)) }
      return value
    }

    /// A control word: mostly all masked, every rounding and precision.
    mutating func controlWord() -> UInt16 {
      var value: UInt16 = 0x7F
      if oneIn(3) { value &= ~UInt16(below(64)) }
      value |= UInt16([3, 3, 3, 0, 2, 1][below(6)]) << 8
      value |= UInt16(below(4)) << 10
      if oneIn(8) { value |= 0x1000 }
      return value
    }

    /// Every register of x87, MMX and SSE.
    mutating func fpuState() -> FPUState {
      var state = FPUState()
      state.cw = controlWord()
      state.top = UInt8(below(8))
      switch below(8) {
      case 0: state.empty = UInt8(truncatingIfNeeded: next())
      case 1: state.empty = oneIn(2) ? 0xFF : 0
      default: state.empty = 1 << ((state.top &+ 7) & 7)
      }
      state.sw = UInt16(truncatingIfNeeded: next()) & 0x4700
      if oneIn(4) { state.sw |= UInt16(below(128)) & (oneIn(4) ? 0x7F : state.cw & 0x3F | 0x40) }
      if state.sw & ~state.cw & 0x3F != 0 { state.sw |= 0x8080 }
      let like = oneIn(3)
      for n in 0..<8 {
        var value = oneIn(12) ? mmxRegister() : float80()
        if like && n == 1 {
          // Neighbours of ST(0).
          let other = state[st: 0]
          value.signExponent =
            value.signExponent & 0x8000 | (other.signExponent & 0x7FFF &+ UInt16(below(5)) &- 2)
            & 0x7FFF
          if oneIn(2) { value.significand = other.significand &+ UInt64(below(3)) &- 1 }
        }
        state[st: n] = value
        state[xmm: n] = xmm()
      }
      state.fop = UInt16(below(0x800))
      state.fip = edge()
      state.fdp = edge()
      state.fcs = UInt16(truncatingIfNeeded: edge())
      state.fds = UInt16(truncatingIfNeeded: edge())
      state.mxcsr = mxcsr()
      return state
    }

    private mutating func mmxRegister() -> Float80Bits {
      Float80Bits(signExponent: 0xFFFF, significand: edge64())
    }

    /// Registers as MMX instructions find them.
    mutating func mmxState() -> FPUState {
      var state = fpuState()
      for n in 0..<8 {
        var value = mmxRegister()
        if oneIn(4) { value.signExponent = UInt16(truncatingIfNeeded: next()) }
        if oneIn(4) {
          let bytes = operandBytes(oneIn(2) ? 0 : 1)
          value.significand = bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
        }
        state[physical: n] = value
      }
      return state
    }

    /// An environment, with FRSTOR's registers behind it.
    mutating func environmentImage(wide: Bool) -> [UInt8] {
      let state = fpuState()
      var bytes: [UInt8] = []
      func put(_ value: UInt16) {
        bytes.append(UInt8(truncatingIfNeeded: value))
        bytes.append(UInt8(truncatingIfNeeded: value >> 8))
      }
      for word in [state.cw, state.statusWord, oneIn(2) ? state.tagWord : UInt16(below(0x10000))] {
        put(word)
        if wide { put(UInt16(truncatingIfNeeded: edge())) }
      }
      while bytes.count < (wide ? 28 : 14) { put(UInt16(truncatingIfNeeded: edge())) }
      for n in 0..<8 {
        let value = state[st: n]
        for part in 0..<4 {
          put(UInt16(truncatingIfNeeded: value.significand >> UInt64(16 * part)))
        }
        put(value.signExponent)
      }
      return bytes
    }

    /// A 512-byte image for FXRSTOR.
    mutating func extendedImage() -> [UInt8] {
      var state = fpuState()
      if oneIn(8) { state.mxcsr |= edge() }
      var bytes = [UInt8](repeating: UInt8(oneIn(2) ? 0 : below(256)), count: 512)
      bytes.withUnsafeMutableBytes { state.store(extended: $0.baseAddress.unsafelyUnwrapped) }
      return bytes
    }
  }

  extension FPUState {
    /// Writes the 32-bit form of the FXSAVE image.
    func store(extended image: UnsafeMutableRawPointer) {
      image.storeBytes(of: cw, toByteOffset: 0, as: UInt16.self)
      image.storeBytes(of: statusWord, toByteOffset: 2, as: UInt16.self)
      image.storeBytes(of: UInt16(~empty), toByteOffset: 4, as: UInt16.self)
      image.storeBytes(of: fop & 0x7FF, toByteOffset: 6, as: UInt16.self)
      image.storeBytes(of: fip, toByteOffset: 8, as: UInt32.self)
      image.storeBytes(of: UInt32(fcs), toByteOffset: 12, as: UInt32.self)
      image.storeBytes(of: fdp, toByteOffset: 16, as: UInt32.self)
      image.storeBytes(of: UInt32(fds), toByteOffset: 20, as: UInt32.self)
      image.storeBytes(of: mxcsr, toByteOffset: 24, as: UInt32.self)
      for n in 0..<8 {
        let value = self[st: n]
        image.storeBytes(of: value.significand, toByteOffset: 32 + 16 * n, as: UInt64.self)
        image.storeBytes(of: UInt64(value.signExponent), toByteOffset: 40 + 16 * n, as: UInt64.self)
        image.storeBytes(of: self[xmm: n].low, toByteOffset: 160 + 16 * n, as: UInt64.self)
        image.storeBytes(of: self[xmm: n].high, toByteOffset: 168 + 16 * n, as: UInt64.self)
      }
    }

    /// Reads the 64-bit form, which has no selectors.
    init(frame image: UnsafeRawPointer) {
      self.init()
      cw = image.load(as: UInt16.self)
      statusWord = image.load(fromByteOffset: 2, as: UInt16.self)
      empty = ~image.load(fromByteOffset: 4, as: UInt8.self)
      fop = image.load(fromByteOffset: 6, as: UInt16.self)
      fip = image.load(fromByteOffset: 8, as: UInt32.self)
      fdp = image.load(fromByteOffset: 16, as: UInt32.self)
      mxcsr = image.load(fromByteOffset: 24, as: UInt32.self)
      for n in 0..<8 {
        self[st: n] = Float80Bits(
          signExponent: image.load(fromByteOffset: 40 + 16 * n, as: UInt16.self),
          significand: image.load(fromByteOffset: 32 + 16 * n, as: UInt64.self))
        self[xmm: n] = XMMBits(
          image.load(fromByteOffset: 160 + 16 * n, as: UInt64.self),
          image.load(fromByteOffset: 168 + 16 * n, as: UInt64.self))
      }
    }
  }
#endif
