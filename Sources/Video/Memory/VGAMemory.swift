// Plane memory as the host reaches it at A0000-BFFFF.
//
// Owns: address mapping (planar, odd/even, chain 4), the latches, write modes 0-3 and read modes 0-1.
// Must not know: what the memory shows. Follows the IBM PS/2 Hardware Interface Technical Reference.
//
// Layout: each plane address has a 32-bit cell with the bytes of the four planes, so that one operation serves all four. A chain-4
// access at offset n goes to plane n & 3 at plane address n & ~3, and the CRT controller's doubleword mode counts plane addresses in
// fours; so the cells are ordered by the plane address rotated right by two, and mode 13h's memory becomes plain linear bytes.

import Bus

/// How a write is carried out.
enum WritePath: UInt8 {
  /// Nothing answers.
  case disabled
  /// Chain 4, all planes, no manipulation: plain memory.
  case linear
  /// Odd/even, planes 0 and 1 writable, no manipulation: text.
  case text
  /// Everything else.
  case planes
  /// As a Cirrus chip has it.
  case extended
}

/// How a read is carried out.
enum ReadPath: UInt8 {
  /// Nothing answers.
  case disabled
  /// Chain 4, read mode 0: plain memory.
  case linear
  /// Read mode 0.
  case planes
  /// Read mode 1.
  case compare
  /// As a Cirrus chip has it.
  case extended
}

/// How offsets become plane addresses.
enum Addressing: UInt8 {
  case planar
  /// The lowest bit selects odd or even planes and stays in the address.
  case oddEven
  /// The lowest bit selects odd or even planes and is replaced in the address.
  case chainedOddEven
  case chain4
}

extension VGA {
  /// The four bits of a register as four bytes of all ones or zeros.
  @inline(__always)
  static func expand(_ nibble: UInt8) -> UInt32 {
    let n = UInt32(nibble)
    return ((n & 1) | (n & 2) << 7 | (n & 4) << 14 | (n & 8) << 21) &* 0xFF
  }

  /// The index in `memory` of a plane address (lower 16 bits are used).
  @inline(__always)
  static func cell(_ address: UInt32) -> Int {
    Int(truncatingIfNeeded: (address >> 2 & 0x3FFF) | (address & 3) << 14)
  }

  /// The same for a plane address of more than 16 bits.
  @inline(__always)
  static func wideCell(_ address: UInt32) -> Int { cell(address) | Int(address & ~0xFFFF) }

  /// The index in `memory` of a plane address in the bank.
  @inline(__always)
  func banked(_ address: UInt32) -> Int {
    let a = address &+ bankOffset
    return Int((a & ~0xFFFF | a >> 2 & 0x3FFF | (a & 3) << 14) & cellMask)
  }

  func updateMemoryMode() {
    deriveMemoryMode()
    updateDirect()
  }

  private func deriveMemoryMode() {
    let g = graphics.registers
    switch graphics.memoryMap {
    case 0: (windowStart, windowSize) = (0, 0x20000)
    case 1: (windowStart, windowSize) = (0, 0x10000)
    case 2: (windowStart, windowSize) = (0x10000, 0x8000)
    default: (windowStart, windowSize) = (0x18000, 0x8000)
    }
    addressMask = sequencer.extendedMemory ? 0xFFFF : 0x3FFF
    mapMask = VGA.expand(sequencer.registers[2])
    setReset = VGA.expand(g[0])
    setResetEnable = VGA.expand(g[1])
    enabledSetReset = setReset & setResetEnable
    colourCompare = VGA.expand(g[2])
    colourCare = VGA.expand(g[7])
    rotate = UInt32(g[3] & 7)
    function = g[3] >> 3 & 3
    readPlaneShift = UInt32(g[4] & 3) * 8
    writeMode = g[5] & 3
    bitMask = UInt32(g[8]) &* 0x0101_0101
    bankOffset = 0
    linearStart = 0
    if let display, display.isEnabled {
      if display.depth == 4 {
        bankOffset = UInt32(display.bankStart)
      } else {
        linearStart = display.bankStart & (video.size - 1)
      }
    }

    if let cirrus {
      if cirrus.isPacked {
        (windowStart, windowSize) = (0, 0x10000)
        linearStart = cirrus.bankStart(0) & (video.size - 1)
        let isOn = isEnabled && miscOutput & 2 != 0
        let isPlain = cirrus.isWindowPlain
        writePath = !isOn ? .disabled : isPlain ? .linear : .extended
        readPath = !isOn ? .disabled : isPlain ? .linear : .extended
        return
      }
      bankOffset = UInt32(cirrus.bankStart(0))
      linearStart = cirrus.bankStart(0) << 2 & (video.size - 1)
    }

    let oddEven: Addressing = graphics.chainOddEven ? .chainedOddEven : .oddEven
    if sequencer.chain4 {
      writeAddressing = .chain4
      readAddressing = .chain4
    } else {
      writeAddressing = sequencer.oddEvenWrites ? oddEven : .planar
      readAddressing = graphics.oddEvenReads ? oddEven : .planar
    }

    guard isEnabled, miscOutput & 2 != 0 else {
      writePath = .disabled
      readPath = .disabled
      return
    }
    let plain =
      writeMode == 0 && g[3] & 0x1F == 0 && g[8] == 0xFF && setResetEnable == 0
    writePath = .planes
    if plain, writeAddressing == .chain4, sequencer.registers[2] == 0x0F, addressMask == 0xFFFF {
      writePath = .linear
    } else if plain, writeAddressing == .chainedOddEven, sequencer.registers[2] & 3 == 3,
      graphics.memoryMap >= 2
    {
      // Writing planes 2 and 3 as well is left to the general path.
      writePath = sequencer.registers[2] == 3 ? .text : .planes
    }
    if g[5] & 8 != 0 {
      readPath = .compare
    } else {
      readPath = readAddressing == .chain4 && addressMask == 0xFFFF ? .linear : .planes
    }
  }

  /// Whether host accesses are at present the same as accesses to plain bytes at `linearMemory` (latches aside).
  public var isLinear: Bool { writePath == .linear && readPath == .linear }

  /// The bytes behind A0000 while `isLinear`.
  public var linearMemory: UnsafeMutableRawPointer { video.base + linearStart }

  // MARK: Host access

  /// Reads `width` (1, 2 or 4) bytes.
  /// - Parameter offset: from A0000, 0 to 1FFFF. What is not mapped reads as ones.
  public func readMemory(_ offset: UInt32, width: UInt32) -> UInt32 {
    let local = offset &- windowStart
    if readPath == .linear, local < windowSize, windowSize &- local >= width {
      // The latches hold what the last of the byte cycles fetched, except where the host may reach these bytes without asking here.
      let place = (linearStart &+ Int(local)) & (video.size &- 1)
      if !isDirect { latch = memory[((place &+ Int(width &- 1)) & (video.size &- 1)) >> 2] }
      let bytes = UnsafeRawPointer(memory) + place
      switch width {
      case 1: return UInt32(bytes.load(as: UInt8.self))
      case 2: return UInt32(UInt16(littleEndian: bytes.loadUnaligned(as: UInt16.self)))
      default: return UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))
      }
    }
    if let cirrus, cirrus.isPacked {
      return readPath == .disabled ? UInt32.max : cirrus.readWindow(Int(offset), Int(width))
    }
    var value = UInt32(readByte(local))
    if width > 1 { value |= UInt32(readByte(local &+ 1)) << 8 }
    if width > 2 {
      value |= UInt32(readByte(local &+ 2)) << 16 | UInt32(readByte(local &+ 3)) << 24
    }
    return value
  }

  /// Writes the low `width` (1, 2 or 4) bytes of `value`.
  /// - Parameter offset: from A0000, 0 to 1FFFF. What is not mapped ignores writes.
  public func writeMemory(_ offset: UInt32, _ value: UInt32, width: UInt32) {
    generation &+= 1
    let local = offset &- windowStart
    if local < windowSize, windowSize &- local >= width {
      if writePath == .linear {
        let place = (linearStart &+ Int(local)) & (video.size &- 1)
        video.note(place, Int(width))
        let bytes = UnsafeMutableRawPointer(memory) + place
        switch width {
        case 1: bytes.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
        case 2:
          bytes.storeBytes(of: UInt16(truncatingIfNeeded: value).littleEndian, as: UInt16.self)
        default: bytes.storeBytes(of: value.littleEndian, as: UInt32.self)
        }
        return
      }
      if writePath == .text, local & 1 == 0, width > 1 {
        storeText(local, value)
        if width > 2 { storeText(local &+ 2, value >> 16) }
        return
      }
    }
    if let cirrus, cirrus.isPacked {
      if writePath != .disabled { cirrus.writeWindow(Int(offset), value, Int(width)) }
      return
    }
    writeByte(local, UInt8(truncatingIfNeeded: value))
    if width > 1 { writeByte(local &+ 1, UInt8(truncatingIfNeeded: value >> 8)) }
    if width > 2 {
      writeByte(local &+ 2, UInt8(truncatingIfNeeded: value >> 16))
      writeByte(local &+ 3, UInt8(truncatingIfNeeded: value >> 24))
    }
  }

  /// A character and its attribute in one go.
  @inline(__always)
  private func storeText(_ local: UInt32, _ value: UInt32) {
    let cell = banked(local & addressMask)
    memory[cell] = memory[cell] & 0xFFFF_0000 | value & 0xFFFF
    mark(cell)
  }

  /// A cell is or was written.
  @inline(__always)
  private func mark(_ cell: Int) { video.written[cell >> 10] = 0xFF }

  private func readByte(_ local: UInt32) -> UInt8 {
    guard local < windowSize, readPath != .disabled else { return 0xFF }
    var shift = readPlaneShift
    let cell: Int
    switch readAddressing {
    case .planar: cell = banked(local & addressMask)
    case .oddEven:
      shift = shift & 16 | (local & 1) << 3
      cell = banked(local & addressMask)
    case .chainedOddEven:
      shift = shift & 16 | (local & 1) << 3
      cell = banked(chained(local))
    case .chain4:
      shift = (local & 3) << 3
      cell = chain4Cell(local)
    }
    let data = memory[cell]
    latch = data
    if readPath != .compare { return UInt8(truncatingIfNeeded: data >> shift) }
    // A bit is 1 where every plane that is cared about agrees with the colour.
    let differs = (data ^ colourCompare) & colourCare
    let folded = differs | differs >> 16
    return ~UInt8(truncatingIfNeeded: folded | folded >> 8)
  }

  /// The lowest address bit is replaced by A16 in the 128 KiB window, and by 0 (the page all BIOS modes select) elsewhere.
  @inline(__always)
  private func chained(_ local: UInt32) -> UInt32 {
    ((local & ~1) | local >> 16 & 1) & addressMask
  }

  @inline(__always)
  private func chain4Cell(_ local: UInt32) -> Int {
    Int(((local >> 2 & addressMask) &+ UInt32(truncatingIfNeeded: linearStart >> 2)) & cellMask)
  }

  private func writeByte(_ local: UInt32, _ data: UInt8) {
    guard local < windowSize, writePath != .disabled else { return }
    var planes = mapMask
    let cell: Int
    switch writeAddressing {
    case .planar: cell = banked(local & addressMask)
    case .oddEven:
      planes &= local & 1 == 0 ? 0x00FF_00FF : 0xFF00_FF00
      cell = banked(local & addressMask)
    case .chainedOddEven:
      planes &= local & 1 == 0 ? 0x00FF_00FF : 0xFF00_FF00
      cell = banked(chained(local))
    case .chain4:
      planes &= 0xFF << ((local & 3) << 3)
      cell = chain4Cell(local)
    }
    mark(cell)
    let source: UInt32
    var mask = bitMask
    switch writeMode {
    case 0:
      source = rotated(data) &* 0x0101_0101 & ~setResetEnable | enabledSetReset
    case 1:
      memory[cell] = memory[cell] & ~planes | latch & planes
      return
    case 2:
      source = VGA.expand(data & 0x0F)
    default:
      source = setReset
      mask &= rotated(data) &* 0x0101_0101
    }
    let result: UInt32
    switch function {
    case 0: result = source
    case 1: result = source & latch
    case 2: result = source | latch
    default: result = source ^ latch
    }
    let masked = result & mask | latch & ~mask
    memory[cell] = memory[cell] & ~planes | masked & planes
  }

  @inline(__always)
  private func rotated(_ data: UInt8) -> UInt32 {
    let twice = UInt32(data) << 8 | UInt32(data)
    return twice >> rotate & 0xFF
  }

  /// Writes plane memory directly, for tests and debuggers.
  /// - Parameters: plane 0 to 3, plane address 0 to FFFF (both masked).
  public func setPlaneByte(_ plane: Int, _ address: Int, _ value: UInt8) {
    let cell = VGA.cell(UInt32(truncatingIfNeeded: address))
    let shift = UInt32(plane & 3) * 8
    memory[cell] = memory[cell] & ~(0xFF << shift) | UInt32(value) << shift
    mark(cell)
    generation &+= 1
  }

  /// Reads plane memory without touching the latches, for tests and debuggers.
  /// - Parameters: plane 0 to 3, plane address 0 to FFFF (both masked).
  public func planeByte(_ plane: Int, _ address: Int) -> UInt8 {
    let cell = VGA.cell(UInt32(truncatingIfNeeded: address))
    return UInt8(truncatingIfNeeded: memory[cell] >> (UInt32(plane & 3) * 8))
  }

  // MARK: Memory-mapped access from the CPU

  /// `readMemory` for the bus. First what cannot be plain bytes, and so comes this way each time: bytes of planes.
  @inline(__always)
  fileprivate func read(_ offset: UInt32, _ width: Int) -> UInt32 {
    if width == 1, readPath == .planes { return UInt32(readByte(offset &- windowStart)) }
    return readMemory(offset, width: UInt32(truncatingIfNeeded: width))
  }

  /// `writeMemory` for the bus.
  @inline(__always)
  fileprivate func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {
    guard width == 1, writePath == .planes else {
      return writeMemory(offset, value, width: UInt32(truncatingIfNeeded: width))
    }
    generation &+= 1
    writeByte(offset &- windowStart, UInt8(truncatingIfNeeded: value))
  }

  /// The memory at A0000-BFFFF as the bus has it.
  public final class Aperture: RegisterFile {
    /// Without reference counting; it belongs to it.
    private let vga: Unmanaged<VGA>
    init(_ vga: VGA) { self.vga = .passUnretained(vga) }
    public override func read(_ offset: UInt32, _ width: Int) -> UInt32 {
      vga._withUnsafeGuaranteedRef { $0.read(offset, width) }
    }
    public override func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {
      vga._withUnsafeGuaranteedRef { $0.write(offset, value, width) }
    }
  }
}

/// The window at A0000h of a chip whose registers can be in it.
final class OverlayFile: RegisterFile {
  /// Without reference counting: both are the board's.
  private unowned(unsafe) let vga: VGA
  init(_ vga: VGA) { self.vga = vga }
  override func read(_ offset: UInt32, _ width: Int) -> UInt32 { vga.read(offset, width) }
  override func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {
    vga.write(offset, value, width)
  }
}
