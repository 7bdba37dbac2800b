// One access as the guest program makes it, and the random numbers it is made of.
//
// Owns: the form of the table that the program (TestROMs/fuzz/program.asm) works off. Must not know: devices.

/// What the guest program does; the numbers are those of the program's table.
enum FuzzOperation: UInt32 {
  case inByte = 1
  case inWord, inDword, outByte, outWord, outDword
  case insByte, insWord, insDword, outsByte, outsWord, outsDword
  case loadByte, loadWord, loadDword, storeByte, storeWord, storeDword
  case delay, sleep, copyFrom, copyTo, modify, wide, mask, unmask, execute, writeMSR
  case inImmediate, outImmediate, inImmediateDword, moveWithin, sse
}

/// An entry of the table.
struct FuzzAccess {
  static let size = 16

  var operation: FuzzOperation
  /// A port, a physical address, or the number of an MSR is in `count`.
  var address: UInt32 = 0
  var value: UInt32 = 0
  /// Of a string instruction, or of turns in a delay.
  var count: UInt32 = 0

  init(_ operation: FuzzOperation, _ address: UInt32 = 0, _ value: UInt32 = 0, count: UInt32 = 0) {
    (self.operation, self.address, self.value, self.count) = (operation, address, value, count)
  }

  /// OUT of 1, 2 or 4 bytes.
  static func out(_ port: UInt32, _ value: UInt32, width: Int = 1) -> FuzzAccess {
    FuzzAccess(width == 1 ? .outByte : width == 2 ? .outWord : .outDword, port & 0xFFFF, value)
  }
  /// IN of 1, 2 or 4 bytes.
  static func `in`(_ port: UInt32, width: Int = 1) -> FuzzAccess {
    FuzzAccess(width == 1 ? .inByte : width == 2 ? .inWord : .inDword, port & 0xFFFF)
  }
  /// Stores 32 bits.
  static func store(_ address: UInt32, _ value: UInt32) -> FuzzAccess {
    FuzzAccess(.storeDword, address, value)
  }
  static func delay(_ turns: UInt32) -> FuzzAccess { FuzzAccess(.delay, count: turns) }

  var words: [UInt32] { [operation.rawValue, address, value, count] }
}

/// Random numbers that are the same everywhere (SplitMix64).
struct FuzzRandom {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
  mutating func word() -> UInt32 { UInt32(truncatingIfNeeded: next() >> 32) }
  /// 0 to `n` - 1.
  mutating func below(_ n: Int) -> Int { Int(next() >> 33) % n }
  mutating func upTo(_ n: UInt32) -> UInt32 { UInt32(below(Int(n))) }
  mutating func oneIn(_ n: Int) -> Bool { below(n) == 0 }
  mutating func one<T>(of list: [T]) -> T { list[below(list.count)] }

  /// A value as registers like them: ends, single bits, small numbers, anything.
  mutating func value() -> UInt32 {
    switch below(8) {
    case 0: 0
    case 1: UInt32.max
    case 2: 1 << upTo(32)
    case 3: upTo(16)
    case 4: (0x0101_0101 as UInt32) &* upTo(256)
    default: word()
    }
  }
  mutating func byte() -> UInt32 { value() & 0xFF }
  mutating func width() -> Int { below(8) < 5 ? 1 : oneIn(2) ? 2 : 4 }
}
