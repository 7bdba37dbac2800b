// The display interface of Bochs' and QEMU's adapters (DISPI): modes by size and depth.
//
// Owns: its index and its sixteen-bit registers, what they make of values that are out of range. Must not know: memory's contents, ports.
// Follows: the interface as Bochs documents it (VBE_DISPI, versions B0C0h to B0C5h) and Linux' bochs driver uses it.
//
//   1CE  index       1CF  data (sixteen bits each; with PCI also in memory, a register each two bytes)
//   0  version   1, 2  width and height   3  bits a pixel (4, 8, 15, 16, 24, 32)
//   4  enable: 0 on, 1 registers 1 to 3 tell the largest values, 5 eight-bit DAC, 6 linear memory, 7 memory is not cleared
//   5  bank of 64 KiB at A0000   6, 7  width and height in memory   8, 9  where the picture begins   A  memory, in 64 KiB

/// The registers of the interface.
struct BochsDisplay {
  enum Index {
    static let version = 0
    static let width = 1
    static let height = 2
    static let depth = 3
    static let enable = 4
    static let bank = 5
    static let virtualWidth = 6
    static let virtualHeight = 7
    static let x = 8
    static let y = 9
    static let memory = 10
  }
  static let count = 11
  static let newestVersion: UInt16 = 0xB0C5
  /// The largest width, height and depth.
  static let limits: (UInt16, UInt16, UInt16) = (2560, 1600, 32)

  /// Bytes of video memory.
  let memorySize: Int
  var index: UInt16 = 0
  var registers: [UInt16]

  init(memorySize: Int) {
    self.memorySize = memorySize
    registers = [UInt16](repeating: 0, count: BochsDisplay.count)
    registers[Index.version] = BochsDisplay.newestVersion
    registers[Index.memory] = UInt16(memorySize >> 16)
    registers[Index.depth] = 8
  }

  var isEnabled: Bool { registers[Index.enable] & 0x01 != 0 }
  var isLinear: Bool { registers[Index.enable] & 0x40 != 0 }
  var hasWideDAC: Bool { registers[Index.enable] & 0x20 != 0 }
  var keepsMemory: Bool { registers[Index.enable] & 0x80 != 0 }
  var width: Int { Int(registers[Index.width]) }
  var height: Int { Int(registers[Index.height]) }
  var depth: Int { Int(registers[Index.depth]) }
  /// Bits that a pixel takes in memory.
  var bitsInMemory: Int { depth == 15 ? 16 : depth }
  /// Bytes between the beginnings of lines; of four-bit pixels those of one plane.
  var pitch: Int {
    let width = Int(registers[Index.virtualWidth])
    return depth == 4 ? width / 8 : width * bitsInMemory / 8
  }
  /// The byte of memory (of a plane, with four-bit pixels) where the picture begins.
  var start: Int {
    let x = Int(registers[Index.x])
    return Int(registers[Index.y]) * pitch + (depth == 4 ? x / 8 : x * bitsInMemory / 8)
  }
  /// The byte of memory that is seen at A0000, of a plane with four-bit pixels.
  var bankStart: Int { isEnabled ? Int(registers[Index.bank]) << 16 : 0 }

  /// Reads the register of a number; those that do not exist read as 0.
  func read(_ n: Int) -> UInt16 {
    guard n < BochsDisplay.count else { return 0 }
    if registers[Index.enable] & 0x02 != 0 {
      switch n {
      case Index.width: return BochsDisplay.limits.0
      case Index.height: return BochsDisplay.limits.1
      case Index.depth: return BochsDisplay.limits.2
      default: break
      }
    }
    return registers[n]
  }

  /// What a write is followed by.
  enum Effect {
    case none
    case changed
    /// A mode begins: registers of the VGA take part, and memory is cleared unless it is to be kept.
    case begins
  }

  mutating func write(_ n: Int, _ value: UInt16) -> Effect {
    switch n {
    case Index.version:
      if (0xB0C0...BochsDisplay.newestVersion).contains(value) { registers[n] = value }
      return .none
    case Index.width, Index.height, Index.depth, Index.virtualWidth, Index.x, Index.y:
      registers[n] = value
      if isEnabled { settle() }
      return isEnabled ? .changed : .none
    case Index.bank:
      let banks = max(1, (depth == 4 ? memorySize / 4 : memorySize) >> 16)
      registers[n] = value % UInt16(banks)
      return .changed
    case Index.enable:
      let was = isEnabled
      registers[n] = value
      if !isEnabled { registers[Index.bank] = 0 }
      if was || !isEnabled { return .changed }
      registers[Index.virtualWidth] = 0
      registers[Index.x] = 0
      registers[Index.y] = 0
      registers[Index.bank] = 0
      settle()
      return .begins
    default: return .none
    }
  }

  /// Brings all registers into their ranges, and so that no line but the last that are shown ends outside of memory.
  private mutating func settle() {
    func clamp(_ n: Int, _ range: ClosedRange<UInt16>) {
      registers[n] = min(max(registers[n], range.lowerBound), range.upperBound)
    }
    if ![4, 8, 15, 16, 24, 32].contains(depth) { registers[Index.depth] = 8 }
    registers[Index.width] &= ~7
    clamp(Index.width, 8...BochsDisplay.limits.0)
    clamp(Index.height, 1...BochsDisplay.limits.1)
    let memory = memorySize
    // Four-bit pixels of all planes take half a byte, too.
    func lineBytes(_ width: Int) -> Int { max(1, width * bitsInMemory / 8) }
    if lineBytes(width) * height > memory {
      registers[Index.height] = UInt16(max(1, memory / lineBytes(width)))
    }
    registers[Index.virtualWidth] &= ~7
    let widest = min(memory / max(1, height) * 8 / bitsInMemory & ~7, 0xFFF8)
    clamp(Index.virtualWidth, registers[Index.width]...max(registers[Index.width], UInt16(widest)))
    let lines = memory / lineBytes(Int(registers[Index.virtualWidth]))
    registers[Index.virtualHeight] = UInt16(min(lines, 0xFFFF))
    clamp(Index.y, 0...UInt16(max(0, min(lines, 0xFFFF) - height)))
    // Lines may begin behind the virtual width: the next one's pixels follow.
    let above =
      (Int(registers[Index.y]) + height - 1) * lineBytes(Int(registers[Index.virtualWidth]))
    let right = max(0, memory - above - lineBytes(width)) * 8 / bitsInMemory
    clamp(Index.x, 0...UInt16(min(right, 0xFFFF)))
  }

  /// After a state was read.
  mutating func sanitize() {
    let (version, memory) = (registers[Index.version], UInt16(memorySize >> 16))
    if !(0xB0C0...BochsDisplay.newestVersion).contains(version) {
      registers[Index.version] = BochsDisplay.newestVersion
    }
    registers[Index.memory] = memory
    let banks = max(1, (depth == 4 ? memorySize / 4 : memorySize) >> 16)
    registers[Index.bank] %= UInt16(banks)
    if isEnabled { settle() }
  }
}
