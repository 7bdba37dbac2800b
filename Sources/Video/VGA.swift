// The VGA: its parts put together behind the I/O ports.
//
// Owns: the parts' registers, the general registers, plane memory and what is derived from them for fast access.
// Must not know: windows, the CPU. Follows the IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem".
//
//   3C2  write: Miscellaneous Output (0 colour addresses, 1 RAM enable, 3-2 clock, 5 page, 7-6 sync); read: Input Status 0
//   3CC  read: Miscellaneous Output       3C3  bit 0: subsystem enable      46E8  bit 3: the same on adapters
//   3CA  read: Feature Control            3xA  write: Feature Control; read: Input Status 1
//   3B4/3B5/3BA answer when Miscellaneous Output bit 0 is 0, 3D4/3D5/3DA when it is 1.
//   The other ports are listed with their parts.

import Bus
import State

/// An IBM VGA, with 256 KiB or with what adapters had beyond it.
///
/// Its ports are said in `part`; accesses of more than a byte are taken apart here.
/// Memory at A0000-BFFFF goes through `aperture`, which calls `readMemory` and `writeMemory`.
public final class VGA: Device, Registers {
  public let stateName = "vga"

  /// Bytes of an IBM VGA's memory.
  public static let memorySize = 0x40000

  let clock: VirtualClock
  let video: VideoMemory

  var sequencer = Sequencer()
  var crtc = CRTController()
  var graphics = GraphicsController()
  var attribute = AttributeController()
  var dac = VideoDAC()
  /// Miscellaneous Output.
  var miscOutput: UInt8 = 0
  /// Feature Control (bit 3 is all there is).
  var featureControl: UInt8 = 0
  /// Port 3C3 bit 0, port 46E8 bit 3.
  var subsystemEnabled = true
  var adapterEnabled = true
  /// When the vertical interrupt was last armed by setting CR11 bit 4, in virtual nanoseconds.
  var interruptArmed: UInt64 = 0

  /// The extensions of a Cirrus chip, where there are any.
  private(set) var cirrus: CirrusChip?
  /// The same without reference counting, which would take longer than all the rest of an access to a port.
  private var chip: Unmanaged<CirrusChip>?
  /// Puts registers that are more than memory at A0000h in front of `aperture`, or takes them away.
  var setOverlay: (Bool) -> Void = { _ in }
  private var hasOverlay = false
  /// Bochs' display interface, where there is one.
  var display: BochsDisplay?
  /// What of the memory is seen elsewhere than at A0000h, or nil: where it is now.
  private var linearAddress: UInt64?
  /// Whether plain bytes were told of for it.
  private var isLinearDirect = false
  /// Where at A0000h what is told of as plain bytes begins in memory.
  private var directStart: Int?

  /// The four planes, one 32-bit cell for the four bytes of a plane address, plane 0 lowest; `cell(_:)` tells which.
  let memory: UnsafeMutablePointer<UInt32>
  /// Of a cell's number.
  let cellMask: UInt32
  /// What the last read left in the four latches.
  var latch: UInt32 = 0

  /// Changes whenever something that can be seen may have changed. Blinking is not included.
  public var frameGeneration: UInt64 { generation }
  // Hot stored properties stay internal: accesses to public ones are checked for exclusivity at run time.
  var generation: UInt64 = 0

  /// Told when addresses begin or cease to be plain bytes, which they only do when somebody is told: from then on the host may, or must
  /// not, reach these without asking.
  public var directChanged: ((VGADirectRange) -> Void)? {
    didSet { updateMemoryMode() }
  }
  /// Has the next write to each page of plain bytes marked again in `VGADirectRange.written`.
  public var watchWrites: () -> Void = {}
  /// The 64 KiB from A0000 are plain bytes at `linearMemory`, and changes to them do not count in `frameGeneration`.
  public private(set) var isDirect = false

  // Derived from the registers by `updateMemoryMode`; see VGAMemory.swift.
  var windowStart: UInt32 = 0
  var windowSize: UInt32 = 0
  var writePath = WritePath.planes
  var readPath = ReadPath.planes
  var writeAddressing = Addressing.planar
  var readAddressing = Addressing.planar
  var addressMask: UInt32 = 0xFFFF
  /// What is added to plane addresses.
  var bankOffset: UInt32 = 0
  /// The byte of memory that is seen at A0000 while memory is linear.
  var linearStart = 0
  var mapMask: UInt32 = 0
  var bitMask: UInt32 = 0
  var setReset: UInt32 = 0
  var enabledSetReset: UInt32 = 0
  var setResetEnable: UInt32 = 0
  var colourCompare: UInt32 = 0
  var colourCare: UInt32 = 0
  var rotate: UInt32 = 0
  var function: UInt8 = 0
  var writeMode: UInt8 = 0
  var readPlaneShift: UInt32 = 0
  // Derived by `updateTiming`; see VGATiming.swift.
  var timing = VGATiming()
  /// What changed while the beam drew the last frames.
  var raster = RasterLog()

  /// The memory as the bus has it, and where, once it is on a board.
  public private(set) lazy var aperture = Aperture(self)
  public internal(set) var mapping: MappingID?
  var overlayMapping: MappingID?

  /// - Parameters:
  ///   - clock: the machine's clock, which retrace and blinking follow.
  ///   - memorySize: bytes, a power of two from 256 KiB to 32 MiB.
  ///   - extensions: what it has beyond an IBM VGA.
  public init(
    clock: VirtualClock, memorySize: Int = VGA.memorySize, extensions: VGAExtensions = .none
  ) {
    self.clock = clock
    video = VideoMemory(size: memorySize)
    memory = video.base.bindMemory(to: UInt32.self, capacity: memorySize / 4)
    cellMask = UInt32(memorySize / 4 - 1)
    switch extensions {
    case .none: break
    case .displayInterface: display = BochsDisplay(memorySize: memorySize)
    case .cirrus:
      let cirrus = CirrusChip(self)
      self.cirrus = cirrus
      chip = .passUnretained(cirrus)
    }
    updateDerived()
  }

  /// Bytes of video memory.
  public var videoMemorySize: Int { video.size }

  public func reset(_ kind: ResetKind) {
    sequencer = Sequencer()
    crtc = CRTController()
    graphics = GraphicsController()
    attribute = AttributeController()
    miscOutput = 0
    featureControl = 0
    subsystemEnabled = true
    adapterEnabled = true
    interruptArmed = 0
    latch = 0
    if display != nil { display = BochsDisplay(memorySize: video.size) }
    if kind == .power {
      dac = VideoDAC()
      video.clear()
    }
    dac.isWide = false
    cirrus?.reset()
    startOver()
  }

  func updateDerived() {
    updateMemoryMode()
    updateTiming()
    generation &+= 1
  }

  /// The same after power-on, reset and restoring, when nothing of the frames before counts.
  func startOver() {
    raster = RasterLog()
    video.noteAll()
    watchWrites()
    updateDerived()
  }

  // MARK: Plain bytes

  /// Says where all of the memory is seen from byte 0 on; nil: nowhere.
  public func setLinearAddress(_ address: UInt64?) {
    if address == linearAddress { return }
    linearAddress = address
    // What was mapped there went with it.
    isLinearDirect = false
    updateDirect()
  }

  /// What it is told by, when nothing stands between the host and the bytes.
  func updateDirect() {
    let needsOverlay = cirrus?.isPacked ?? false
    if needsOverlay != hasOverlay {
      hasOverlay = needsOverlay
      // What stood there as plain bytes is seen no more, or something else before it.
      if directStart != nil { tellDirect(nil) }
      setOverlay(needsOverlay)
    }
    guard directChanged != nil else { return }
    let start =
      isLinear && windowStart == 0 && linearStart + 0x10000 <= video.size ? linearStart : nil
    if start != directStart { tellDirect(start) }
    let isOpen = linearAddress != nil && (cirrus?.isLinearPlain ?? true)
    if isOpen != isLinearDirect, let address = linearAddress {
      isLinearDirect = isOpen
      directChanged?(
        VGADirectRange(
          slot: 1, address: address, count: UInt64(video.size),
          bytes: isOpen ? video.base : nil, written: isOpen ? video.written : nil))
    }
  }

  private func tellDirect(_ start: Int?) {
    directStart = start
    isDirect = start != nil
    generation &+= 1
    directChanged?(
      VGADirectRange(
        slot: 0, mapping: hasOverlay ? overlayMapping : mapping, address: 0xA0000, count: 0x10000,
        bytes: start.map { video.base + $0 },
        written: start.map { video.written + $0 / VideoMemory.pageSize }))
  }

  /// Whether what is seen may change without counting in `frameGeneration`.
  public var changesUnannounced: Bool { isDirect || linearPicture != nil }

  /// Whether the ports and memory answer.
  public var isEnabled: Bool { subsystemEnabled && adapterEnabled }

  // MARK: Ports

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    var value: UInt32 = 0
    for i in 0..<min(max(width, 1), 4) {
      value |= UInt32(readByte(VGA.port(offset) &+ UInt16(i))) << UInt32(8 * i)
    }
    return value
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    for i in 0..<min(max(width, 1), 4) {
      writeByte(VGA.port(offset) &+ UInt16(i), UInt8(truncatingIfNeeded: value >> UInt32(8 * i)))
    }
  }

  /// Offsets count from 3B0h; 30h is the enable register of adapters, 46E8h.
  private static func port(_ offset: UInt32) -> UInt16 {
    offset == 0x30 ? 0x46E8 : 0x3B0 &+ UInt16(truncatingIfNeeded: offset)
  }

  /// 3D0h or 3B0h: where the CRT controller and the status register answer now.
  private var colourBase: UInt16 { miscOutput & 1 != 0 ? 0x3D0 : 0x3B0 }

  private func readByte(_ port: UInt16) -> UInt8 {
    if port == 0x3C3 { return subsystemEnabled ? 1 : 0 }
    if !isEnabled { return 0xFF }
    if let chip, let value = chip._withUnsafeGuaranteedRef({ $0.read(port) }) { return value }
    switch port {
    case 0x3C0: return attribute.indexPort
    case 0x3C1: return attribute.read()
    case 0x3C2: return inputStatus0()
    case 0x3C4: return sequencer.index
    case 0x3C5: return sequencer.read()
    case 0x3C6: return dac.mask
    case 0x3C7: return dac.reading ? 3 : 0
    case 0x3C8: return dac.address
    case 0x3C9: return dac.readData()
    case 0x3CA: return featureControl
    case 0x3CC: return miscOutput
    case 0x3CE: return graphics.index
    case 0x3CF: return graphics.read()
    case 0x3B4, 0x3D4: return port & 0x3F0 == colourBase ? crtc.index : 0xFF
    case 0x3B5, 0x3D5: return port & 0x3F0 == colourBase ? readCRTC() : 0xFF
    case 0x3BA, 0x3DA:
      if port & 0x3F0 != colourBase { return 0xFF }
      attribute.expectsData = false
      return inputStatus1()
    default: return 0xFF
    }
  }

  private func readCRTC() -> UInt8 {
    switch crtc.index {
    case 0x22: return UInt8(truncatingIfNeeded: latch >> readPlaneShift)
    case 0x24: return attribute.expectsData ? 0x80 : 0
    case 0x26: return attribute.indexPort
    default: return cirrus?.readCRTC(crtc.index) ?? crtc.read()
    }
  }

  private func writeByte(_ port: UInt16, _ value: UInt8) {
    if port == 0x3C3 || port == 0x46E8 {
      if port == 0x3C3 {
        subsystemEnabled = value & 1 != 0
      } else {
        adapterEnabled = value & 8 != 0
      }
      updateDerived()
      return
    }
    if !isEnabled { return }
    if let chip, chip._withUnsafeGuaranteedRef({ $0.write(port, value) }) { return }
    switch port {
    case 0x3C0: writeAttribute(value)
    case 0x3C2:
      if value != miscOutput {
        miscOutput = value
        updateDerived()
      }
    case 0x3C4: sequencer.index = value & 7
    case 0x3C5:
      let old = sequencer.read()
      if sequencer.write(value) {
        if sequencer.index == 2 {
          updateMemoryMode()
        } else {
          updateDerived()
          noteChange(.sequencer(sequencer.index), UInt32(old), UInt32(sequencer.read()))
        }
      }
    case 0x3C6:
      if value != dac.mask {
        noteChange(.mask, UInt32(dac.mask), UInt32(value))
        dac.mask = value
        generation &+= 1
      }
    case 0x3C7: dac.beginReading(value)
    case 0x3C8: dac.beginWriting(value)
    case 0x3C9:
      let index = dac.address
      let old = dac.component == 2 ? dac.packed(index) : 0
      if dac.writeData(value) {
        generation &+= 1
        noteChange(.colour(index), old, dac.packed(index))
      }
    case 0x3CE: graphics.index = value & 0x0F
    case 0x3CF:
      let old = graphics.read()
      if graphics.write(value) {
        updateMemoryMode()
        let index = graphics.index
        if index == 5 || index == 6 { generation &+= 1 }
        // The other bits of these two decide about the host's accesses.
        let seen: UInt8 = index == 5 ? 0x60 : index == 6 ? 0x01 : 0
        let new = graphics.read()
        if (old ^ new) & seen != 0 { noteChange(.graphics(index), UInt32(old), UInt32(new)) }
      }
    case 0x3B4, 0x3D4: if port & 0x3F0 == colourBase { crtc.index = value & 0x3F }
    case 0x3B5, 0x3D5: if port & 0x3F0 == colourBase { writeCRTC(value) }
    case 0x3BA, 0x3DA: if port & 0x3F0 == colourBase { featureControl = value & 8 }
    default: break
    }
  }

  private func writeAttribute(_ value: UInt8) {
    let isData = attribute.expectsData
    let old = isData ? attribute.read() : attribute.displayEnabled ? 1 : 0
    if !attribute.write(value) { return }
    generation &+= 1
    if isData {
      noteChange(.attribute(attribute.index), UInt32(old), UInt32(attribute.read()))
    } else {
      noteChange(.paletteSource, UInt32(old), attribute.displayEnabled ? 1 : 0)
    }
  }

  private func writeCRTC(_ value: UInt8) {
    let index = crtc.index
    if let cirrus, cirrus.writeCRTC(index, value) { return }
    let old = crtc.read()
    let armed = crtc.registers[0x11] & 0x10 != 0
    if !crtc.write(value) { return }
    if index == 0x11, !armed, value & 0x10 != 0 { interruptArmed = clock.now }
    updateTiming()
    generation &+= 1
    // Cursor, start address and retrace are not followed line by line.
    if (0x0A...0x11).contains(index) { return }
    noteChange(.crtc(index), UInt32(old), UInt32(crtc.read()))
  }
}

/// What an adapter has beyond an IBM VGA.
public enum VGAExtensions: Sendable {
  case none
  /// Bochs' display interface.
  case displayInterface
  /// A CL-GD5446's registers.
  case cirrus
}

/// Addresses that are plain bytes, or are no longer.
public struct VGADirectRange {
  /// 0: at A0000h; 1: the linear memory.
  public var slot: Int
  /// What is mapped there, where that is known.
  public var mapping: MappingID?
  public var address: UInt64
  public var count: UInt64
  /// Where the first byte is; nil: accesses have to be asked for.
  public var bytes: UnsafeMutableRawPointer?
  /// For each page of them a byte, to be FFh from its first write on.
  public var written: UnsafeMutablePointer<UInt8>?
}
