// What translated code relies on beside the bytes it was made of, and numbers for it.
//
// Owns: the contexts code is made for, and their numbers as tags carry them. Must not know: host code, or how the processor comes to its
// context.

/// What translated code relies on beside the bytes it was made of.
package struct CodeContext: Hashable {
  /// Code segment.
  package var base: UInt32 = 0
  package var limit: UInt32 = 0
  /// Bit by segment register: base 0, limit FFFFFFFFh, readable and writable (CS: readable).
  package var flat: UInt8 = 0
  package var bits: UInt8 = 0
  /// Current privilege level.
  package var cpl: UInt8 = 0

  package static let big: UInt8 = 1
  package static let v86: UInt8 = 2
  package static let bigStack: UInt8 = 4
  package static let paged: UInt8 = 8
  package static let a20Masked: UInt8 = 16
  /// Memory may be reached through the window.
  package static let window: UInt8 = 32
  /// EFLAGS.DF is set.
  package static let down: UInt8 = 64
  /// CR0.PE is set.
  package static let protected: UInt8 = 128

  package init() {}

  @inline(__always) package func has(_ bit: UInt8) -> Bool { bits & bit != 0 }
  @inline(__always) package func isFlat(_ segment: Int) -> Bool {
    flat >> UInt8(segment & 7) & 1 != 0
  }
}

/// Numbers for contexts.
struct CodeContexts {
  static let maximum = 1 << 12
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
    var segment: UInt64 = 0
    var rest: UInt32 = 0
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
    let segment = UInt64(context.limit) << 32 | UInt64(context.base)
    let rest = UInt32(context.flat) << 16 | UInt32(context.bits) << 8 | UInt32(context.cpl)
    let mixed = context.base >> 4 &+ UInt32(context.bits) &* 5 &+ UInt32(context.cpl) &* 3
    let place = recent + Int((mixed ^ mixed >> 6 ^ UInt32(context.flat)) & 63)
    if place.pointee.segment == segment && place.pointee.rest == rest && place.pointee.number != 0 {
      number = UInt64(place.pointee.number &- 1)
      return true
    }
    if let known = numbers[context] {
      number = known
      place.pointee = Recent(segment: segment, rest: rest, number: UInt32(known) + 1)
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
