// The 82077AA floppy disk controller: registers, phases, interrupts, reset.
//
// Owns: the port interface and the life of a command from its first byte to its last result byte. The commands are in
// `FloppyCommands`, data transfers in `FloppyTransfer`, the saved state in `FloppyState`. Must not know: files, the 8237.
// After: Intel 82077AA data sheet.
//
//   3F0h SRA  (r)   status register A            3F4h MSR (r) / DSR (w)  main status / data rate select
//   3F1h SRB  (r)   status register B            3F5h FIFO (rw)          data
//   3F2h DOR  (rw)  digital output register      3F7h DIR (r) / CCR (w)  digital input / configuration control
//   3F3h TDR  (rw)  tape drive register
//
// SRA and SRB answer as in PS/2 mode, DIR as in AT mode (only bit 7 is driven). 3F6h belongs to the IDE channel.

import Bus
import State
import Storage

/// What the floppy controller needs of the DMA controller.
public protocol FloppyDMA: AnyObject {
  /// Moves bytes from the controller to memory.
  /// - Returns: how many were taken (fewer when the channel is masked or its count ended), and whether terminal count came
  ///   with the last of them.
  func dmaTransferToMemory(channel: Int, from bytes: UnsafeRawBufferPointer)
    -> (count: Int, terminalCount: Bool)
  /// Moves bytes from memory to the controller; returns like `dmaTransferToMemory`.
  func dmaTransferFromMemory(channel: Int, into bytes: UnsafeMutableRawBufferPointer)
    -> (count: Int, terminalCount: Bool)
}

/// How much faster than real ones the drives are. Mechanical waits only cost time; their order of magnitude stays.
public struct FloppyTiming: Sendable {
  /// Rotation, and with it data transfer, is this many times faster (1...1000).
  public var rotationSpeedup: UInt64
  /// Steps are this many times faster (1...1000).
  public var seekSpeedup: UInt64

  public init(rotationSpeedup: UInt64 = 8, seekSpeedup: UInt64 = 4) {
    self.rotationSpeedup = min(max(rotationSpeedup, 1), 1000)
    self.seekSpeedup = min(max(seekSpeedup, 1), 1000)
  }
}

/// An 82077AA with two drives.
public final class FloppyController: Device, Registers {
  enum Phase: UInt8 {
    case command, execution, result
  }

  public let stateName: String
  /// The first of the eight ports.
  public let basePort: UInt16
  /// The 8237 channel.
  public let dmaChannel = 2

  let clock: VirtualClock
  let irq: Signal
  unowned let dma: any FloppyDMA
  let timing: FloppyTiming
  let drives: [FloppyDrive]
  var transferEvent: EventID!
  var resetEvent: EventID!
  var seekEvents: [EventID] = []

  // Registers.
  var dor: UInt8 = 0
  var tdr: UInt8 = 0
  var dsr: UInt8 = 2
  /// The data rate code from DSR or CCR, whichever was written last.
  var rate: UInt8 = 2
  /// Held in reset by DOR, or coming out of it.
  var inReset = true

  // Parameters that commands set.
  var stepAndUnload: UInt8 = 0
  var loadAndMode: UInt8 = 0
  var configuration: UInt8 = 0x20
  var precompensationTrack: UInt8 = 0
  var perpendicular: UInt8 = 0
  var locked = false
  var lastEOT: UInt8 = 0

  // The command under way.
  var phase = Phase.command
  var command: [UInt8] = []
  var result: [UInt8] = []
  var resultPosition = 0
  var transfer = FloppyTransfer()

  // Interrupts and seeks.
  var interrupt = false
  /// Present cylinder numbers.
  var pcn: [UInt8] = [0, 0, 0, 0]
  /// Drives that are seeking or whose seek has not been sensed (MSR bits 3-0).
  var seekBusy: UInt8 = 0
  /// Drives whose seek has ended and has not been sensed.
  var seekEnded: UInt8 = 0
  var seekStatus: [UInt8] = [0, 0, 0, 0]
  var seekTarget: [UInt8] = [0, 0, 0, 0]
  /// Bit n: the seek of drive n is a RECALIBRATE.
  var recalibrating: UInt8 = 0
  /// Drives whose status after a reset has not been sensed.
  var resetStatus: UInt8 = 0

  /// - Parameters:
  ///   - irq: IRQ 6.
  ///   - drives: the types of drives A and B.
  public init(
    clock: VirtualClock, irq: Signal, dma: any FloppyDMA,
    drives: [FloppyDriveType] = [.threeInch1440, .none], timing: FloppyTiming = FloppyTiming(),
    name: String = "fdc", basePort: UInt16 = 0x3F0
  ) {
    self.clock = clock
    self.irq = irq
    self.dma = dma
    self.timing = timing
    self.basePort = basePort
    stateName = name
    self.drives = (0..<2).map { FloppyDrive(type: $0 < drives.count ? drives[$0] : .none) }
    transferEvent = clock.register("\(name).transfer") { [unowned self] in self.transferDue() }
    resetEvent = clock.register("\(name).reset") { [unowned self] in self.resetDue() }
    for unit in 0..<4 {
      seekEvents.append(
        clock.register("\(name).seek\(unit)") { [unowned self] in self.seekDue(unit) })
    }
  }

  // MARK: Drives

  /// Connects a drive of a type, or none. To be done before the machine runs.
  public func attach(drive index: Int, _ type: FloppyDriveType) { drive(index)?.type = type }

  /// The type of a drive (0: A, 1: B).
  public func driveType(_ index: Int) -> FloppyDriveType { drive(index)?.type ?? .none }

  /// The disk in a drive, if any.
  public func medium(in index: Int) -> FloppyMedium? { drive(index)?.medium }

  /// Puts a disk into a drive, or takes it out with nil. The guest sees the change line.
  /// - Throws: when the disk does not fit the drive.
  public func insert(drive index: Int, medium: FloppyMedium?) throws(StorageError) {
    guard let drive = drive(index) else {
      throw StorageError(path: "floppy", reason: "there is no drive \(index)")
    }
    if let medium {
      let format = medium.format
      if !drive.type.accepts(format) {
        throw StorageError(
          path: "floppy drive \(index == 0 ? "A" : "B")",
          reason: drive.type == .none
            ? "there is no such drive" : "a \(format.name) disk does not fit this drive")
      }
      if medium.image.sectorCount < UInt64(format.sectorCount) {
        throw StorageError(
          path: "floppy drive \(index == 0 ? "A" : "B")",
          reason: "the image is shorter than a \(format.name) disk")
      }
    }
    drive.medium = medium
    drive.changed = true
    drive.deletedMarks = []
  }

  func drive(_ unit: Int) -> FloppyDrive? { unit >= 0 && unit < drives.count ? drives[unit] : nil }

  // MARK: Interrupt line

  func setInterrupt(_ level: Bool) {
    interrupt = level
    updateInterruptLine()
  }

  /// DMAGATE# (DOR bit 3) also gates the interrupt output.
  var interruptLevel: Bool { interrupt && dor & 0x08 != 0 }

  func updateInterruptLine() { irq.set(interruptLevel) }

  // MARK: Ports

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    var value: UInt32 = 0
    for i in 0..<min(max(width, 1), 4) {
      value |= UInt32(readRegister(offset &+ UInt32(i))) << UInt32(8 * i)
    }
    return value
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    for i in 0..<min(max(width, 1), 4) {
      writeRegister(
        offset &+ UInt32(i), UInt8(truncatingIfNeeded: value >> UInt32(8 * i)))
    }
  }

  private func readRegister(_ register: UInt32) -> UInt8 {
    switch register {
    case 0: return statusA
    case 1:
      // SRB: bits 7 and 6 are set; drive select 0, motors 1 and 0.
      return 0xC0 | (dor & 0x01) << 5 | dor >> 4 & 0x03
    case 2: return dor
    case 3: return tdr
    case 4: return mainStatus
    case 5: return readData()
    case 7:
      // The drive is selected only while its motor is on; the line of an unselected drive is inactive.
      let unit = dor & 0x03
      guard dor & (0x10 << unit) != 0, let drive = drive(Int(unit)) else { return 0 }
      return drive.changeLine ? 0x80 : 0
    default: return 0xFF
    }
  }

  private func writeRegister(_ register: UInt32, _ value: UInt8) {
    switch register {
    case 2: writeDOR(value)
    case 3: tdr = value & 0x03
    case 4:
      dsr = value & 0x7F
      rate = value & 0x03
      if value & 0x80 != 0 && dor & 0x04 != 0 {
        softwareReset()
        clock.schedule(resetEvent, after: FloppyController.resetTime)
      }
    case 5: writeData(value)
    case 7: rate = value & 0x03
    default: break
    }
  }

  /// SRA in PS/2 mode: interrupt pending, no second drive, track 0 (active low), head, write protect (active low).
  private var statusA: UInt8 {
    let selected = drive(Int(dor & 0x03))
    var value: UInt8 = 0x04
    if interrupt { value |= 0x80 }
    if drives[1].type == .none { value |= 0x40 }
    if selected.map({ $0.type == .none || $0.track != 0 }) ?? true { value |= 0x10 }
    if transfer.head != 0 { value |= 0x08 }
    if !(selected?.isWriteProtected ?? false) { value |= 0x02 }
    return value
  }

  private var mainStatus: UInt8 {
    if inReset { return 0 }
    switch phase {
    case .command: return 0x80 | seekBusy | (command.isEmpty ? 0 : 0x10)
    case .result: return 0xD0 | seekBusy
    case .execution:
      var value: UInt8 = 0x10 | seekBusy
      if usesPIO {
        value |= 0x20
        if transfer.stage == .hostData { value |= transfer.operation.readsMedium ? 0xC0 : 0x80 }
      }
      return value
    }
  }

  /// SPECIFY's ND bit: data go through the FIFO, not by DMA.
  var usesPIO: Bool { loadAndMode & 0x01 != 0 }

  // MARK: Reset

  /// How long the controller needs after a reset.
  static let resetTime: UInt64 = 100_000

  private func writeDOR(_ value: UInt8) {
    let old = dor
    dor = value
    if value & 0x04 == 0 && old & 0x04 != 0 {
      softwareReset()
    } else if value & 0x04 != 0 && old & 0x04 == 0 {
      clock.schedule(resetEvent, after: FloppyController.resetTime)
    }
    updateInterruptLine()
  }

  /// DOR, DSR and what LOCK protects survive; SPECIFY's values and the drives' positions too.
  private func softwareReset() {
    inReset = true
    clock.cancel(transferEvent)
    clock.cancel(resetEvent)
    for event in seekEvents { clock.cancel(event) }
    phase = .command
    command = []
    result = []
    resultPosition = 0
    transfer = FloppyTransfer()
    seekBusy = 0
    seekEnded = 0
    recalibrating = 0
    resetStatus = 0
    perpendicular &= 0x3C
    if !locked {
      configuration = 0x20
      precompensationTrack = 0
    }
    setInterrupt(false)
  }

  /// Out of reset: polling finds all four drives' ready lines changed.
  private func resetDue() {
    guard dor & 0x04 != 0 else { return }
    inReset = false
    if configuration & 0x10 == 0 {
      resetStatus = 0x0F
      setInterrupt(true)
    }
  }

  public func reset(_ kind: ResetKind) {
    dor = 0
    tdr = 0
    dsr = 2
    rate = 2
    locked = false
    stepAndUnload = 0
    loadAndMode = 0
    perpendicular = 0
    lastEOT = 0
    pcn = [0, 0, 0, 0]
    softwareReset()
  }

  // MARK: The FIFO

  private func readData() -> UInt8 {
    if inReset { return 0 }
    switch phase {
    case .command: return 0
    case .execution: return usesPIO ? readTransferByte() : 0
    case .result:
      // The first result byte read ends the interrupt of the command.
      if resultPosition == 0 && resultEndsInterrupt { setInterrupt(false) }
      guard resultPosition < result.count else {
        enterCommandPhase()
        return 0
      }
      let value = result[resultPosition]
      resultPosition += 1
      if resultPosition == result.count { enterCommandPhase() }
      return value
    }
  }

  /// Results of seven bytes follow an execution phase, which ended with an interrupt.
  private var resultEndsInterrupt: Bool { result.count == 7 }

  private func writeData(_ value: UInt8) {
    if inReset { return }
    switch phase {
    case .result: break
    case .execution: if usesPIO { writeTransferByte(value) }
    case .command:
      command.append(value)
      let length = FloppyController.commandLength(command[0])
      if length == 0 {
        respond([0x80])
      } else if command.count >= length {
        execute()
      }
    }
  }

  func enterCommandPhase() {
    phase = .command
    command = []
    result = []
    resultPosition = 0
  }

  /// Enters the result phase.
  func respond(_ bytes: [UInt8]) {
    phase = .result
    command = []
    result = bytes
    resultPosition = 0
  }
}

extension FloppyController {
  /// Offsets: the ports from 3F0h on; 6 is not its own.
  public static let part = PartType("fdc", "82077AA floppy controller") { board, _ in
    let controller = FloppyController(
      clock: board.clock, irq: try board.interrupt(6, for: "fdc"),
      dma: try board.need(offer: (any FloppyDMA).self, for: "fdc"),
      drives: [])
    try board.claim(controller, at: 0x3F0...0x3F5, owner: controller.stateName)
    try board.claim(controller, at: 0x3F7...0x3F7, offset: 7, owner: controller.stateName)
    try board.add(controller)
  }
}
