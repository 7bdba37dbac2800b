// An ATA hard disk: the commands of ATA/ATAPI-6 that a PIO disk has, and the older ones that BIOSes and systems use.
//
// Owns: the command set, addressing (CHS, LBA28, LBA48), transfers between image and PIO buffer.
// Must not know: ports, files. After: ATA/ATAPI-6 (T13 1410D) clause 8; ATA-1 (X3.221) for the obsolete commands.

import Bus
import State
import Storage

/// A hard disk for an `IDEChannel`.
public final class ATADisk: IDEDrive {
  /// What the DRQ blocks of the present command carry.
  private enum Transfer: UInt8 {
    case none, disk, identify, sectorBuffer
  }

  /// How the present command addresses sectors.
  private enum Addressing: UInt8 {
    case chs, lba28, lba48
  }

  enum PowerMode: UInt8 {
    case active, idle, standby, sleeping
  }

  /// The largest DRQ block of READ and WRITE MULTIPLE in sectors.
  static let largestMultiple = 16

  /// The contents, in sectors of 512 bytes.
  public let image: any BlockDevice
  /// The geometry the drive reports as its default.
  public let geometry: DiskGeometry
  /// The serial number it reports, up to 20 ASCII characters.
  public let serial: String
  let total: UInt64

  /// The translation in force (INITIALIZE DEVICE PARAMETERS changes it).
  private(set) var translation: DiskGeometry
  /// Sectors in a DRQ block of the MULTIPLE commands; 0 when they are disabled.
  private(set) var multiple = 0
  private(set) var power = PowerMode.active
  private(set) var writeCache = true
  private(set) var lookAhead = true
  /// Whether SRST returns settings to their defaults (SET FEATURES 66h and CCh).
  private var revertsOnReset = true
  private var sectorBuffer = [UInt8](repeating: 0, count: 512)

  // The command under way.
  private var transfer = Transfer.none
  private var addressing = Addressing.chs
  private var nextSector: UInt64 = 0
  private var sectorsLeft = 0
  private var blockSectors = 1
  /// The sectors in the window that the host is reading.
  private var windowSectors = 1
  /// What the error register holds when the command finishes; 0 for success.
  private var finalError: UInt8 = 0
  private var finalFault = false
  private var flushes = false

  // Latencies in virtual nanoseconds: those of a drive whose buffer has the data.
  private static let commandTime: UInt64 = 50_000
  private static let nextBlockTime: UInt64 = 20_000
  private static let shortTime: UInt64 = 10_000
  private static let writeTime: UInt64 = 40_000

  /// - Parameters:
  ///   - geometry: cylinders 1...65535, heads 1...16, sectors 1...255; anything else is replaced by the standard one.
  ///   - serial: shown by IDENTIFY DEVICE; two disks of a machine should differ.
  public init(image: any BlockDevice, geometry: DiskGeometry, serial: String = "AP00000001") {
    self.image = image.withBlocks(of: 512)
    total = min(self.image.blockCount, 1 << 48)
    let isSound =
      (1...65535).contains(geometry.cylinders) && (1...16).contains(geometry.heads)
      && (1...255).contains(geometry.sectors)
    self.geometry = isSound ? geometry : DiskGeometry.standard(sectorCount: total)
    translation = self.geometry
    self.serial = serial
    super.init()
  }

  // MARK: Commands

  override func execute(_ command: UInt8) {
    // Only a reset wakes a sleeping drive.
    if power == .sleeping { return }
    error = 0
    finalError = 0
    finalFault = false
    flushes = false
    transfer = .none
    phase = .idle
    position = 0
    windowEnd = 0
    validEnd = 0
    status = ATAStatus.ready | ATAStatus.seekComplete

    switch command {
    case 0x10...0x1F:  // RECALIBRATE
      mid = 0
      high = 0
      finish()
    case 0x20, 0x21: startRead(extended: false, multiple: false)
    case 0x24: startRead(extended: true, multiple: false)
    case 0xC4: startRead(extended: false, multiple: true)
    case 0x29: startRead(extended: true, multiple: true)
    case 0x30, 0x31, 0x3C: startWrite(extended: false, multiple: false)
    case 0x34: startWrite(extended: true, multiple: false)
    case 0xC5: startWrite(extended: false, multiple: true)
    case 0x39: startWrite(extended: true, multiple: true)
    case 0x40, 0x41: verify(extended: false)
    case 0x42: verify(extended: true)
    case 0x70...0x7F:  // SEEK
      finish(error: target(extended: false) == nil ? ATAError.idNotFound : 0)
    case 0x91: initializeParameters()
    case 0xC6: setMultiple()
    case 0xF8: readNativeMax(extended: false)
    case 0x27: readNativeMax(extended: true)
    case 0xE0, 0x94, 0xE2, 0x96: changePower(.standby)
    case 0xE1, 0x95, 0xE3, 0x97: changePower(.idle)
    case 0xE6, 0x99: changePower(.sleeping)
    case 0xE5, 0x98:  // CHECK POWER MODE
      count = power == .standby ? 0x00 : power == .idle ? 0x80 : 0xFF
      finish()
    case 0xE7, 0xEA:  // FLUSH CACHE
      flushes = true
      finish(after: ATADisk.commandTime)
    case 0xE4: startPIO(.sectorBuffer)  // READ BUFFER
    case 0xE8:  // WRITE BUFFER
      transfer = .sectorBuffer
      sectorsLeft = 1
      blockSectors = 1
      openWriteWindow()
    case 0xEC: startPIO(.identify)
    case 0xEF: finish(error: setFeatures() ? 0 : ATAError.aborted)
    default:
      // NOP, DEVICE RESET, the packet, DMA, SMART, security and HPA sets: a disk without them aborts.
      if command == 0xA1 || command == 0xA0 || command == 0x08 { putSignature() }
      finish(error: ATAError.aborted)
    }
  }

  private func setFeatures() -> Bool {
    switch UInt8(truncatingIfNeeded: features) {
    case 0x02: writeCache = true
    case 0x82: writeCache = false
    case 0xAA: lookAhead = true
    case 0x55: lookAhead = false
    case 0x66: revertsOnReset = false
    case 0xCC: revertsOnReset = true
    case 0x03:
      // PIO default modes, and PIO flow-control modes 0 to 4.
      let mode = UInt8(truncatingIfNeeded: count)
      return mode <= 1 || (0x08...0x0C).contains(mode)
    default: return false
    }
    return true
  }

  private func initializeParameters() {
    let sectors = Int(count & 0xFF)
    let heads = Int(device & 0x0F) + 1
    if sectors == 0 { return finish(error: ATAError.aborted) }
    let cylinders = Int(min(total / UInt64(heads * sectors), 65535))
    translation = DiskGeometry(cylinders: cylinders, heads: heads, sectors: sectors)
    finish()
  }

  private func setMultiple() {
    let sectors = Int(count & 0xFF)
    let isSupported = sectors <= ATADisk.largestMultiple && sectors & (sectors - 1) == 0
    multiple = isSupported ? sectors : 0
    finish(error: isSupported ? 0 : ATAError.aborted)
  }

  private func readNativeMax(extended: Bool) {
    guard total > 0, extended || device & 0x40 != 0 else {
      return finish(error: ATAError.aborted)
    }
    addressing = extended ? .lba48 : .lba28
    putAddress(extended ? total - 1 : min(total - 1, 0x0FFF_FFFF))
    finish()
  }

  private func changePower(_ mode: PowerMode) {
    power = mode
    finish()
  }

  // MARK: Addresses

  /// The sector that the registers name and how it was named; nil when CHS values are outside the translation.
  private func target(extended: Bool) -> (sector: UInt64, addressing: Addressing)? {
    let l = UInt64(low & 0xFF)
    let m = UInt64(mid & 0xFF)
    let h = UInt64(high & 0xFF)
    if extended {
      let lower = l | m << 8 | h << 16
      let upper = UInt64(low >> 8) | UInt64(mid >> 8) << 8 | UInt64(high >> 8) << 16
      return checked(lower | upper << 24, .lba48)
    }
    if device & 0x40 != 0 {
      return checked(l | m << 8 | h << 16 | UInt64(device & 0x0F) << 24, .lba28)
    }
    let cylinder = Int(m | h << 8)
    let head = Int(device & 0x0F)
    let sector = Int(l)
    guard sector >= 1, sector <= translation.sectors, head < translation.heads,
      cylinder < max(translation.cylinders, 1)
    else { return nil }
    return checked(
      UInt64((cylinder * translation.heads + head) * translation.sectors + sector - 1), .chs)
  }

  private func checked(_ sector: UInt64, _ how: Addressing) -> (UInt64, Addressing)? {
    sector < total ? (sector, how) : nil
  }

  /// Puts a sector's address into the registers, the way the command named it.
  private func putAddress(_ sector: UInt64) {
    switch addressing {
    case .lba48:
      low = UInt16(sector & 0xFF) | UInt16(sector >> 24 & 0xFF) << 8
      mid = UInt16(sector >> 8 & 0xFF) | UInt16(sector >> 32 & 0xFF) << 8
      high = UInt16(sector >> 16 & 0xFF) | UInt16(sector >> 40 & 0xFF) << 8
    case .lba28:
      low = UInt16(sector & 0xFF)
      mid = UInt16(sector >> 8 & 0xFF)
      high = UInt16(sector >> 16 & 0xFF)
      device = device & 0xF0 | UInt8(sector >> 24 & 0x0F)
    case .chs:
      let perTrack = UInt64(max(translation.sectors, 1))
      let heads = UInt64(max(translation.heads, 1))
      let track = sector / perTrack
      low = UInt16(truncatingIfNeeded: sector % perTrack + 1)
      mid = UInt16((track / heads) & 0xFF)
      high = UInt16((track / heads) >> 8 & 0xFF)
      device = device & 0xF0 | UInt8(track % heads & 0x0F)
    }
  }

  private func putCount() {
    count =
      addressing == .lba48 ? UInt16(truncatingIfNeeded: sectorsLeft) : UInt16(sectorsLeft & 0xFF)
  }

  /// Reads address and count from the registers; ends the command when they are impossible.
  private func beginTransfer(extended: Bool, multiple isMultiple: Bool) -> Bool {
    if isMultiple && multiple == 0 {
      finish(error: ATAError.aborted)
      return false
    }
    guard let target = target(extended: extended) else {
      finish(error: ATAError.idNotFound, after: ATADisk.commandTime)
      return false
    }
    power = .active
    transfer = .disk
    addressing = target.addressing
    nextSector = target.sector
    sectorsLeft = extended ? (count == 0 ? 65536 : Int(count)) : Int((count &- 1) & 0xFF) + 1
    blockSectors = isMultiple ? multiple : 1
    return true
  }

  // MARK: Reading

  private func startRead(extended: Bool, multiple: Bool) {
    guard beginTransfer(extended: extended, multiple: multiple) else { return }
    phase = .readPending
    wait(ATADisk.commandTime)
  }

  private func startPIO(_ kind: Transfer) {
    transfer = kind
    sectorsLeft = 1
    blockSectors = 1
    phase = .readPending
    wait(ATADisk.shortTime)
  }

  private func openReadWindow() {
    if transfer == .disk {
      if position >= validEnd && !fill() { return }
      windowEnd = min(position + min(blockSectors, sectorsLeft) * 512, validEnd)
      windowSectors = max((windowEnd - position) / 512, 1)
    } else {
      let data = transfer == .identify ? identifyData() : sectorBuffer
      data.withUnsafeBytes { buffer.copyMemory(from: $0.baseAddress!, byteCount: 512) }
      position = 0
      windowEnd = 512
      validEnd = 512
    }
    phase = .reading
    status = ATAStatus.ready | ATAStatus.seekComplete | ATAStatus.dataRequest
    raiseInterrupt()
  }

  /// Fills the buffer from the image; ends the command when not even the next sector can be had.
  private func fill() -> Bool {
    position = 0
    validEnd = 0
    windowEnd = 0
    if nextSector >= total {
      end(error: ATAError.idNotFound)
      return false
    }
    let most = min(UInt64(max(sectorsLeft, 1)), UInt64(IDEDrive.capacity / 512), total - nextSector)
    // When a host error hides in a long piece, only the sector that has it may fail.
    for sectors in most > 1 ? [Int(most), 1] : [1] {
      do throws(StorageError) {
        try image.read(
          block: nextSector,
          into: UnsafeMutableRawBufferPointer(start: buffer, count: sectors * 512))
        validEnd = sectors * 512
        return true
      } catch {}
    }
    end(error: ATAError.uncorrectable)
    return false
  }

  override func windowRead() {
    guard transfer == .disk else { return endQuietly() }
    advance(by: windowSectors)
    if sectorsLeft == 0 { return endQuietly() }
    phase = .readPending
    wait(ATADisk.nextBlockTime)
  }

  private func advance(by sectors: Int) {
    nextSector &+= UInt64(sectors)
    sectorsLeft = max(sectorsLeft - sectors, 0)
  }

  /// The last data were read: the command is over without another interrupt.
  private func endQuietly() {
    if transfer == .disk && nextSector > 0 {
      putAddress(nextSector - 1)
      putCount()
    }
    transfer = .none
    phase = .idle
    status = ATAStatus.ready | ATAStatus.seekComplete
  }

  // MARK: Writing

  private func startWrite(extended: Bool, multiple: Bool) {
    if image.isReadOnly {
      return finish(error: ATAError.writeProtected | ATAError.aborted)
    }
    guard beginTransfer(extended: extended, multiple: multiple) else { return }
    // The first block is asked for without an interrupt.
    openWriteWindow()
  }

  private func openWriteWindow() {
    position = 0
    windowEnd = min(blockSectors, max(sectorsLeft, 1)) * 512
    validEnd = 0
    phase = .writing
    status = ATAStatus.ready | ATAStatus.seekComplete | ATAStatus.dataRequest
  }

  override func windowWritten() {
    phase = .writePending
    wait(ATADisk.writeTime)
  }

  private func storeWindow() {
    if transfer != .disk {
      sectorBuffer = Array(UnsafeRawBufferPointer(start: buffer, count: 512))
      sectorsLeft = 0
      return end(error: 0)
    }
    let sectors = min(windowEnd / 512, sectorsLeft)
    let inside = nextSector < total ? Int(min(UInt64(sectors), total - nextSector)) : 0
    if inside > 0 {
      do throws(StorageError) {
        try image.write(
          block: nextSector, from: UnsafeRawBufferPointer(start: buffer, count: inside * 512))
      } catch {
        finalFault = true
        return end(error: ATAError.aborted)
      }
      advance(by: inside)
    }
    if inside < sectors { return end(error: ATAError.idNotFound) }
    if sectorsLeft == 0 { return end(error: 0) }
    openWriteWindow()
    raiseInterrupt()
  }

  // MARK: Verifying

  private func verify(extended: Bool) {
    guard beginTransfer(extended: extended, multiple: false) else { return }
    let inside = min(UInt64(sectorsLeft), total - nextSector)
    advance(by: Int(inside))
    finish(
      error: sectorsLeft > 0 ? ATAError.idNotFound : 0,
      after: ATADisk.commandTime + inside * 1_000)
  }

  // MARK: Ends

  private func wait(_ time: UInt64) {
    status = ATAStatus.busy | ATAStatus.ready | ATAStatus.seekComplete
    channel?.schedule(self, after: time)
  }

  /// Ends a command without data after a while, with an interrupt.
  private func finish(error: UInt8 = 0, after time: UInt64 = shortTime) {
    finalError = error
    phase = .finishing
    wait(time)
  }

  /// Ends the command now, with an interrupt.
  private func end(error code: UInt8) {
    error = code
    status = ATAStatus.ready | ATAStatus.seekComplete
    if code != 0 { status |= ATAStatus.error }
    if finalFault { status |= ATAStatus.fault }
    if transfer == .disk {
      putAddress(code == 0 && nextSector > 0 ? nextSector - 1 : nextSector)
      putCount()
    }
    transfer = .none
    phase = .idle
    raiseInterrupt()
  }

  override func eventDue() {
    switch phase {
    case .readPending: openReadWindow()
    case .writePending: storeWindow()
    case .finishing:
      if flushes {
        do throws(StorageError) { try image.flush() } catch {
          finalFault = true
          finalError = ATAError.aborted
        }
        flushes = false
      }
      end(error: finalError)
    case .idle, .reading, .writing, .resetting, .dmaReading, .dmaWriting: break
    }
  }

  override func resetSettings(hardware: Bool) {
    transfer = .none
    power = .active
    if hardware {
      revertsOnReset = true
      sectorBuffer = [UInt8](repeating: 0, count: 512)
    }
    if hardware || revertsOnReset {
      multiple = 0
      translation = geometry
      writeCache = true
      lookAhead = true
    }
  }

  // MARK: State

  override func inspectCommandSet() -> [Field] {
    [
      .count("sectors", total), .text("transfer", "\(transfer)"),
      .text("addressing", "\(addressing)"), .count("next sector", nextSector),
      .count("sectors left", sectorsLeft), .count("block", blockSectors),
    ]
  }

  override func saveCommandSet(to writer: inout StateWriter) {
    writer.write(total)
    writer.write(UInt16(translation.cylinders))
    writer.write(UInt8(translation.heads))
    writer.write(UInt8(translation.sectors))
    writer.write(UInt8(multiple))
    writer.write(power.rawValue)
    for flag in [writeCache, lookAhead, revertsOnReset, finalFault, flushes] { writer.write(flag) }
    writer.write(bytes: sectorBuffer)
    writer.write(transfer.rawValue)
    writer.write(addressing.rawValue)
    writer.write(nextSector)
    writer.write(UInt32(sectorsLeft))
    writer.write(UInt8(blockSectors))
    writer.write(UInt8(windowSectors))
    writer.write(finalError)
  }

  override func restoreCommandSet(from reader: inout StateReader) throws(StateError) {
    let size = try reader.read(UInt64.self)
    if size != total {
      throw reader.error("the state has a disk of \(size) sectors, the image has \(total)")
    }
    translation.cylinders = Int(try reader.read(UInt16.self))
    translation.heads = Int(try reader.read(in: UInt8(1)...16))
    translation.sectors = Int(try reader.read(in: UInt8(1)...255))
    let newMultiple = Int(try reader.read(in: UInt8(0)...UInt8(ATADisk.largestMultiple)))
    if newMultiple & (newMultiple - 1) != 0 { throw reader.error("a multiple of \(newMultiple)") }
    multiple = newMultiple
    guard let newPower = PowerMode(rawValue: try reader.read()) else {
      throw reader.error("no such power mode")
    }
    power = newPower
    writeCache = try reader.readBool()
    lookAhead = try reader.readBool()
    revertsOnReset = try reader.readBool()
    finalFault = try reader.readBool()
    flushes = try reader.readBool()
    sectorBuffer = try reader.readBytes(count: 512)
    guard let newTransfer = Transfer(rawValue: try reader.read()),
      let newAddressing = Addressing(rawValue: try reader.read())
    else { throw reader.error("no such transfer") }
    transfer = newTransfer
    addressing = newAddressing
    nextSector = try reader.read(in: 0...(1 << 48))
    sectorsLeft = Int(try reader.read(in: UInt32(0)...65536))
    blockSectors = Int(try reader.read(in: UInt8(1)...UInt8(ATADisk.largestMultiple)))
    windowSectors = Int(try reader.read(in: UInt8(1)...UInt8(ATADisk.largestMultiple)))
    finalError = try reader.read()
  }
}
