// Transcendental functions on an FXSAVE image, for translated code.
//
// Owns: taking operands from the image, leaving results and the environment that follows. Must not know: translated code.
// Follows: Intel SDM volume 1, sections 8.1.10 (32-bit environment image) and 10.5 (FXSAVE image).

/// An instruction that portable software carries out while the guest's x87 registers are in the host's unit.
package enum HostTranscendental: Int {
  case f2xm1, fsin, fcos, fpatan, fyl2x, fyl2xp1, fsincos, fptan

  /// The function of an instruction.
  package init?(_ op: Op) {
    switch op {
    case .f2xm1: self = .f2xm1
    case .fyl2x: self = .fyl2x
    case .fptan: self = .fptan
    case .fpatan: self = .fpatan
    case .fyl2xp1: self = .fyl2xp1
    case .fsincos: self = .fsincos
    case .fsin: self = .fsin
    case .fcos: self = .fcos
    default: return nil
    }
  }

  /// What becomes of the stack.
  package enum Shape: Int, CaseIterable {
    /// ST(0) is replaced; ST(1) and ST(0) become one; a second result is pushed.
    case one, pair, push
  }

  package var shape: Shape {
    switch self {
    case .f2xm1, .fsin, .fcos: .one
    case .fpatan, .fyl2x, .fyl2xp1: .pair
    case .fsincos, .fptan: .push
    }
  }

  /// Whether C2 tells of an operand out of range.
  var clearsC2: Bool {
    switch self {
    case .fsin, .fcos, .fsincos, .fptan: true
    default: false
    }
  }
}

/// The software's side.
package enum HostFunctions {
  /// Where it leaves results behind the image of 512 bytes, which other things follow.
  package static let firstResult = 544
  package static let secondResult = 560
  package static let environment = 576

  /// Computes a function by number from an FXSAVE image. 0: refused; 1: the results are what they are; 2: the environment is to be
  /// loaded after them.
  package static let compute: @convention(c) (UnsafeMutableRawPointer, UInt32) -> UInt32 = {
    image, number in
    guard let function = HostTranscendental(rawValue: Int(number)) else { return 0 }
    let control = image.load(as: UInt16.self)
    let status = image.load(fromByteOffset: 2, as: UInt16.self)
    var full = UInt32(image.load(fromByteOffset: 4, as: UInt8.self))
    let top = UInt32(status >> 11 & 7)
    func isEmpty(_ n: UInt32) -> Bool { full >> ((top &+ n) & 7) & 1 == 0 }
    func st(_ n: Int) -> Float80Bits {
      Float80Bits(
        signExponent: image.load(fromByteOffset: 40 + 16 * n, as: UInt16.self),
        significand: image.load(fromByteOffset: 32 + 16 * n, as: UInt64.self))
    }
    if isEmpty(0) { return 0 }
    var unit = SoftFloat80(control: control)
    var second: Float80Bits?
    let first: Float80Bits
    var newTop = top
    switch function.shape {
    case .one:
      let result: Float80Bits?
      switch function {
      case .f2xm1: result = unit.exponentialMinusOne(st(0))
      case .fsin: result = unit.sine(st(0))
      default: result = unit.cosine(st(0))
      }
      guard let result else { return 0 }
      first = result
    case .pair:
      if isEmpty(1) { return 0 }
      switch function {
      case .fpatan: first = unit.arctangent(y: st(1), x: st(0))
      case .fyl2x: first = unit.logarithm(y: st(1), x: st(0))
      default: first = unit.logarithmOnePlus(y: st(1), x: st(0))
      }
      full &= ~(1 << top)
      newTop = (top &+ 1) & 7
    case .push:
      if !isEmpty(7) { return 0 }
      if function == .fsincos {
        guard let (sine, cosine) = unit.sineAndCosine(st(0)) else { return 0 }
        first = sine
        second = cosine
      } else {
        guard let (tangent, pushed) = unit.tangent(st(0)) else { return 0 }
        first = tangent
        second = pushed
      }
      newTop = (top &+ 7) & 7
      full |= 1 << newTop
    }
    if unit.flags & ~(FPUStatus.pe | FPUStatus.c1) != 0 { return 0 }
    store(first, image + firstResult)
    if let second { store(second, image + secondResult) }
    let plain = status & ~FPUStatus.c1
    var new = plain | unit.flags
    if function.clearsC2 { new &= ~FPUStatus.c2 }
    if new == plain { return 1 }
    let environment = image + HostFunctions.environment
    environment.initializeMemory(as: UInt8.self, repeating: 0, count: 28)
    environment.storeBytes(of: control, as: UInt16.self)
    environment.storeBytes(
      of: new & 0xC7FF | UInt16(newTop) << 11, toByteOffset: 4, as: UInt16.self)
    var tags: UInt16 = 0
    for n in 0..<8 where full >> UInt32(n) & 1 == 0 { tags |= 3 << UInt16(2 * n) }
    environment.storeBytes(of: tags, toByteOffset: 8, as: UInt16.self)
    return 2
  }

  @inline(__always)
  private static func store(_ value: Float80Bits, _ place: UnsafeMutableRawPointer) {
    place.storeBytes(of: value.significand, as: UInt64.self)
    place.storeBytes(of: value.signExponent, toByteOffset: 8, as: UInt16.self)
  }
}
