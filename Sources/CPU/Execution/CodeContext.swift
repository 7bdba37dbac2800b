// What translated code relies on beside the bytes it was made of, and numbers for it.
//
// Owns: the contexts code is made for, and their numbers as tags carry them. Must not know: host code, or how the processor comes to its
// context.

/// What the processor is in, apart from how code is read: a code segment with D set may stand in any of them. Long mode is one more, whose
/// compatibility code is told by `DecodeMode`.
package enum ProcessorMode: UInt8 {
  case real, v86, protected
}

/// What else translated code relies on.
package struct CodeTraits: OptionSet, Hashable {
  package var rawValue: UInt32
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  /// SS has B set: the stack pointer has 32 bits.
  package static let bigStack = CodeTraits(rawValue: 1)
  package static let paged = CodeTraits(rawValue: 2)
  package static let a20Masked = CodeTraits(rawValue: 4)
  /// Memory may be reached through the window.
  package static let window = CodeTraits(rawValue: 8)
  /// EFLAGS.DF is set.
  package static let down = CodeTraits(rawValue: 16)
  /// System management mode: other translations, and other memory at A0000h.
  package static let management = CodeTraits(rawValue: 32)
}

/// What translated code relies on beside the bytes it was made of. Tags have its number only, so it may grow.
///
/// Two words, because it is made and compared at each change of privilege.
package struct CodeContext: Hashable {
  /// CS: the base in the lower half, the limit in the upper.
  private var code: UInt64 = 0
  /// From the lowest bit: traits (32 bits), mode, decode mode, flat segments, privilege level (8 each).
  private var state: UInt64 = 0

  /// Code segment.
  package var base: UInt32 {
    @inline(__always) get { UInt32(truncatingIfNeeded: code) }
    @inline(__always) set { code = code & ~0xFFFF_FFFF | UInt64(newValue) }
  }
  package var limit: UInt32 {
    @inline(__always) get { UInt32(truncatingIfNeeded: code >> 32) }
    @inline(__always) set { code = code & 0xFFFF_FFFF | UInt64(newValue) << 32 }
  }
  package var traits: CodeTraits {
    @inline(__always) get { CodeTraits(rawValue: UInt32(truncatingIfNeeded: state)) }
    @inline(__always) set { state = state & ~0xFFFF_FFFF | UInt64(newValue.rawValue) }
  }
  package var mode: ProcessorMode {
    @inline(__always) get { ProcessorMode(rawValue: byte(32)).unsafelyUnwrapped }
    @inline(__always) set { setByte(32, newValue.rawValue) }
  }
  package var decode: DecodeMode {
    @inline(__always) get { DecodeMode(rawValue: byte(40)).unsafelyUnwrapped }
    @inline(__always) set { setByte(40, newValue.rawValue) }
  }
  /// Bit by segment register: base 0, limit FFFFFFFFh, readable and writable (CS: readable).
  package var flat: UInt8 {
    @inline(__always) get { byte(48) }
    @inline(__always) set { setByte(48, newValue) }
  }
  /// Current privilege level.
  package var cpl: UInt8 {
    @inline(__always) get { byte(56) }
    @inline(__always) set { setByte(56, newValue) }
  }

  @inline(__always)
  private func byte(_ shift: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: state >> shift) }

  @inline(__always)
  private mutating func setByte(_ shift: UInt64, _ value: UInt8) {
    state = state & ~(0xFF << shift) | UInt64(value) << shift
  }

  package init() {}

  @inline(__always) package func has(_ trait: CodeTraits) -> Bool {
    traits.rawValue & trait.rawValue != 0
  }
  /// Where an EIP is.
  @inline(__always) package func linear(_ eip: UInt32) -> LinearAddress {
    LinearAddress(base &+ eip)
  }
  @inline(__always) package func isFlat(_ segment: Int) -> Bool {
    flat >> UInt8(segment & 7) & 1 != 0
  }
}

/// How `CPUState.codeTag` is put together: from the top, the epoch of the translation, the number of the context, and room for a linear
/// address, with which it is a key of lookups.
package enum CodeTag {
  static let contextShift: UInt64 = 32
  static let epochShift: UInt64 = 44
  /// Epochs begin anew at this one.
  static let epochs: UInt64 = 1 << 20
  /// The context's number.
  package static let contextMask: UInt64 = (1 << epochShift) - (1 << contextShift)
}

extension StatePointer {
  /// The key of code at a linear address in the present epoch and context. Translated code puts it together with one OR; addresses of
  /// more than 32 bits will have to be compared beside the tag, here and there.
  @inline(__always)
  func codeKey(_ linear: Linear) -> UInt64 { pointee.codeTag | UInt64(linear) }
}

/// Numbers for contexts.
struct CodeContexts {
  static let maximum = Int(CodeTag.contextMask >> CodeTag.contextShift) + 1
  private(set) var current = CodeContext()
  private(set) var number: UInt64 = 0
  /// How often numbers have begun anew. Translated code holds numbers: it must go then.
  private(set) var restarts = 0
  /// Numbers for contexts apart from the base of CS.
  private var families: [CodeContext: UInt32] = [:]
  /// The context before, to which handlers return.
  private var previous = CodeContext()
  private var previousNumber: UInt64 = 0
  private var numbers: [CodeContext: UInt64] = [CodeContext(): 0]
  private struct Recent {
    var context = CodeContext()
    /// 0 where there is none, otherwise 1 more than the number.
    var number: UInt32 = 0
  }
  /// Those used lately, by a hash.
  private let recent = UnsafeMutablePointer<Recent>.allocate(capacity: 64)

  init() { recent.initialize(repeating: Recent(), count: 64) }

  func deallocate() { recent.deallocate() }

  /// Makes a context the present one; false when there is no number left for it.
  @inline(__always)
  mutating func use(_ context: CodeContext) -> Bool {
    if context == current { return true }
    if context == previous {
      swap(&current, &previous)
      swap(&number, &previousNumber)
      return true
    }
    previous = current
    previousNumber = number
    return enter(context)
  }

  /// The number of a context that is not entered now, or nil when there is none left.
  mutating func number(of context: CodeContext) -> UInt64? {
    if let known = numbers[context] { return known }
    if numbers.count >= CodeContexts.maximum { return nil }
    let new = UInt64(numbers.count)
    numbers[context] = new
    return new
  }

  /// The number, from 1 to 4096, that a context shares with all that differ in the base of CS alone.
  mutating func family(of context: CodeContext) -> UInt32 {
    var bare = context
    bare.base = 0
    if let known = families[bare] { return known }
    let new = UInt32(families.count) + 1
    families[bare] = new
    return new
  }

  @inline(never)
  private mutating func enter(_ context: CodeContext) -> Bool {
    current = context
    let mixed =
      context.base >> 4 &+ context.traits.rawValue &* 5 &+ UInt32(context.mode.rawValue) &* 7
      &+ UInt32(context.cpl) &* 3
    let place = recent + Int((mixed ^ mixed >> 6 ^ UInt32(context.flat)) & 63)
    if place.pointee.number != 0 && place.pointee.context == context {
      number = UInt64(place.pointee.number &- 1)
      return true
    }
    if let known = numbers[context] {
      number = known
      place.pointee = Recent(context: context, number: UInt32(known) + 1)
      return true
    }
    if numbers.count >= CodeContexts.maximum {
      previous = context
      previousNumber = 0
      restarts += 1
      families = [:]
      numbers = [:]
      recent.update(repeating: Recent(), count: 64)
      number = 0
      numbers[context] = 0
      return false
    }
    number = UInt64(numbers.count)
    numbers[context] = number
    return true
  }
}
