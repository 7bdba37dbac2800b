// An ATA hard disk: the commands of ATA/ATAPI-6 that drivers use, and the older ones that BIOSes and systems use.
//
// Owns: the command set and the disk's settings. How data move is in ATADiskTransfers.swift, addresses in ATADiskAddresses.swift, what
// IDENTIFY DEVICE and SMART tell in files of their own. Must not know: ports, files, who moves data by DMA.
// After: ATA/ATAPI-6 (T13 1410D) clause 8; ATA/ATAPI-7 for the FUA commands; ATA8-ACS for TRIM; ATA-1 (X3.221) for the obsolete ones.

import Bus
import State
import Storage

/// A hard disk for an `IDEChannel`.
public final class ATADisk: IDEDrive {
  /// What the DRQ blocks of the present command carry.
  enum Transfer: UInt8 {
    case none, disk, identify, sectorBuffer, smart, trim
  }

  /// How the present command addresses sectors.
  enum Addressing: UInt8 {
    case chs, lba28, lba48
  }

  enum PowerMode: UInt8 {
    case active, idle, standby, sleeping
  }

  /// The largest DRQ block of READ and WRITE MULTIPLE in sectors.
  static let largestMultiple = 16
  /// Blocks of ranges that one TRIM takes: 64 ranges, what drivers send, are at most 2 GiB at once.
  static let largestTrim = 1

  /// The contents, in sectors of 512 bytes.
  public let image: any BlockDevice
  /// The geometry the drive reports as its default.
  public let geometry: DiskGeometry
  /// The serial number it reports, up to 20 ASCII characters.
  public let serial: String
  /// How many sectors there are (the native maximum).
  let total: UInt64

  // Settings.
  /// The translation in force (INITIALIZE DEVICE PARAMETERS changes it).
  var translation: DiskGeometry
  /// How many sectors can be addressed (SET MAX ADDRESS), and how many after the next hardware reset.
  var accessible: UInt64
  var accessibleAfterReset: UInt64
  /// Sectors in a DRQ block of the MULTIPLE commands; 0 when they are disabled.
  var multiple = 0
  var power = PowerMode.active
  var writeCache = true
  var lookAhead = true
  /// The transfer mode of SET FEATURES 03h that DMA would use.
  var dmaMode = ATADisk.defaultMode
  /// Whether SRST returns settings to their defaults (SET FEATURES 66h and CCh).
  var revertsOnReset = true
  var smart = ATASMART()
  var sectorBuffer = [UInt8](repeating: 0, count: 512)

  // The command under way.
  var transfer = Transfer.none
  var addressing = Addressing.chs
  var nextSector: UInt64 = 0
  var sectorsLeft = 0
  var blockSectors = 1
  /// The sectors in the window that is being read.
  var windowSectors = 1
  var usesDMA = false
  var isWriting = false
  /// What the error register holds when the command finishes; 0 for success.
  var finalError: UInt8 = 0
  var finalFault = false
  /// How far a TRIM has come that the host made wait. Not part of the state: what is trimmed twice is still zeros.
  var trimmed = 0
  /// The command ends when what was written is with the host's storage.
  var flushes = false
  /// The command before was READ NATIVE MAX ADDRESS (1) or its EXT (2): a SET MAX may follow.
  var nativeMaxRead: UInt8 = 0

  // Times in virtual nanoseconds: those of a drive whose buffer has the data. A command that moves sectors takes `latency`, too.
  static let commandTime: UInt64 = 50_000
  static let nextBlockTime: UInt64 = 20_000
  static let shortTime: UInt64 = 10_000
  static let writeTime: UInt64 = 40_000

  /// Multiword DMA mode 2, which every bus master of the time can do.
  static let defaultMode: UInt8 = 0x22

  /// - Parameters:
  ///   - geometry: cylinders 1...65535, heads 1...16, sectors 1...255; anything else is replaced by the standard one.
  ///   - serial: shown by IDENTIFY DEVICE; two disks of a machine should differ.
  public init(image: any BlockDevice, geometry: DiskGeometry, serial: String = "AP00000001") {
    self.image = image.withBlocks(of: 512)
    total = min(self.image.blockCount, 1 << 48)
    accessible = total
    accessibleAfterReset = total
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
    usesDMA = false
    isWriting = false
    phase = .idle
    position = 0
    windowEnd = 0
    validEnd = 0
    status = ATAStatus.ready | ATAStatus.seekComplete
    let mayFollow = nativeMaxRead
    nativeMaxRead = 0

    switch command {
    case 0x06: startTrim()
    case 0x10...0x1F:  // RECALIBRATE
      mid = 0
      high = 0
      finish()
    case 0x20, 0x21: startRead()
    case 0x24: startRead(extended: true)
    case 0x25: startRead(extended: true, dma: true)
    case 0x29: startRead(extended: true, multiple: true)
    case 0xC4: startRead(multiple: true)
    case 0xC8, 0xC9: startRead(dma: true)
    case 0x30, 0x31, 0x3C: startWrite()
    case 0x34: startWrite(extended: true)
    case 0x35: startWrite(extended: true, dma: true)
    case 0x39: startWrite(extended: true, multiple: true)
    case 0x3D: startWrite(extended: true, dma: true, forced: true)  // WRITE DMA FUA EXT
    case 0xC5: startWrite(multiple: true)
    case 0xCA, 0xCB: startWrite(dma: true)
    case 0xCE: startWrite(extended: true, multiple: true, forced: true)  // WRITE MULTIPLE FUA EXT
    case 0x40, 0x41: verify(extended: false)
    case 0x42: verify(extended: true)
    case 0x70...0x7F:  // SEEK
      finish(error: target(extended: false) == nil ? ATAError.idNotFound : 0)
    case 0x91: initializeParameters()
    case 0xB0: executeSMART()
    case 0xC6: setMultiple()
    case 0xF8: readNativeMax(extended: false)
    case 0x27: readNativeMax(extended: true)
    case 0xF9: setMax(extended: false, allowed: mayFollow == 1)
    case 0x37: setMax(extended: true, allowed: mayFollow == 2)
    case 0xE0, 0x94, 0xE2, 0x96: changePower(.standby)
    case 0xE1, 0x95, 0xE3, 0x97: changePower(.idle)
    case 0xE6, 0x99: changePower(.sleeping)
    case 0xE5, 0x98:  // CHECK POWER MODE
      count = power == .standby ? 0x00 : power == .idle ? 0x80 : 0xFF
      finish()
    case 0xE7, 0xEA:  // FLUSH CACHE
      flushes = true
      image.prepare(.flush)
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
      // NOP, DEVICE RESET, the packet, queued, security, overlay and long commands: a disk without them aborts.
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
    case 0x03: return setTransferMode(UInt8(truncatingIfNeeded: count))
    default: return false
    }
    return true
  }

  /// The default of PIO, flow control modes 0 to 4, single word DMA 0 to 2, multiword 0 to 2, Ultra DMA 0 to 5.
  private func setTransferMode(_ mode: UInt8) -> Bool {
    switch mode {
    case 0x00, 0x01, 0x08...0x0C: return true
    case 0x10...0x12, 0x20...0x22, 0x40...0x45:
      dmaMode = mode
      return true
    default: return false
    }
  }

  private func initializeParameters() {
    let sectors = Int(count & 0xFF)
    let heads = Int(device & 0x0F) + 1
    if sectors == 0 { return finish(error: ATAError.aborted) }
    let cylinders = Int(min(accessible / UInt64(heads * sectors), 65535))
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
    nativeMaxRead = extended ? 2 : 1
    finish()
  }

  /// SET MAX ADDRESS; the passwords of its security extension there are not. The last sector that can be addressed is until the next
  /// hardware reset, or for good with bit 0 of the count: for as long as the drive is in this machine.
  private func setMax(extended: Bool, allowed: Bool) {
    guard allowed, extended || (features & 0xFF == 0 && device & 0x40 != 0),
      let last = address(extended: extended)?.sector, last < total
    else { return finish(error: ATAError.aborted) }
    accessible = last + 1
    if count & 1 != 0 { accessibleAfterReset = accessible }
    finish()
  }

  private func changePower(_ mode: PowerMode) {
    power = mode
    finish()
  }

  private func executeSMART() {
    guard mid & 0xFF == 0x4F, high & 0xFF == 0xC2 else { return finish(error: ATAError.aborted) }
    let log = UInt8(truncatingIfNeeded: low)
    switch smart.execute(
      UInt8(truncatingIfNeeded: features), low: log, count: UInt8(truncatingIfNeeded: count))
    {
    case .aborted: finish(error: ATAError.aborted)
    case .done: finish()
    case .data: startPIO(.smart)
    }
  }

  // MARK: Ends

  func wait(_ time: UInt64) {
    status = ATAStatus.busy | ATAStatus.ready | ATAStatus.seekComplete
    channel?.schedule(self, after: time)
  }

  /// Ends a command without data after a while, with an interrupt.
  func finish(error: UInt8 = 0, after time: UInt64 = shortTime) {
    finalError = error
    phase = .finishing
    wait(time)
  }

  /// Ends the command now, with an interrupt.
  func end(error code: UInt8) {
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

  /// Brings what was written to the host's storage, if the command wants it.
  /// - Returns: whether it is done with; otherwise the event comes again.
  private func flushIfWanted() -> Bool {
    guard flushes else { return true }
    if !image.isReady(for: .flush) {
      channel?.hold(self)
      return false
    }
    do throws(StorageError) { try image.flush() } catch {
      if error.asksAgain {
        image.prepare(.flush)
        channel?.hold(self)
        return false
      }
      finalFault = true
      finalError = ATAError.aborted
    }
    flushes = false
    return true
  }

  override func eventDue() {
    switch phase {
    case .readPending: if isWriting { openWriteWindow() } else { openReadWindow() }
    case .writePending: storeWindow()
    case .finishing:
      if flushIfWanted() { end(error: finalError) }
    case .idle, .reading, .writing, .resetting, .dmaReading, .dmaWriting: break
    }
  }

  override func windowRead() { readWindowDone() }
  override func windowWritten() { writeWindowDone() }

  override func resetSettings(hardware: Bool) {
    transfer = .none
    power = .active
    nativeMaxRead = 0
    if hardware {
      revertsOnReset = true
      sectorBuffer = [UInt8](repeating: 0, count: 512)
      accessible = accessibleAfterReset
    }
    if hardware || revertsOnReset {
      multiple = 0
      translation = geometry
      writeCache = true
      lookAhead = true
      dmaMode = ATADisk.defaultMode
    }
  }

  // MARK: State

  override func inspectCommandSet() -> [Field] {
    [
      .count("sectors", total), .count("accessible", accessible), .text("transfer", "\(transfer)"),
      .text("addressing", "\(addressing)"), .count("next sector", nextSector),
      .count("sectors left", sectorsLeft), .count("block", blockSectors), .flag("DMA", usesDMA),
      .register("DMA mode", dmaMode), .flag("SMART", smart.isEnabled),
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
    for flag in [usesDMA, isWriting] { writer.write(flag) }
    for byte in [dmaMode, nativeMaxRead] { writer.write(byte) }
    writer.write(accessible)
    writer.write(accessibleAfterReset)
    smart.save(to: &writer)
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
    let largest = UInt8(IDEDrive.capacity / 512)
    blockSectors = Int(try reader.read(in: UInt8(1)...largest))
    windowSectors = Int(try reader.read(in: UInt8(1)...largest))
    finalError = try reader.read()
    guard savedVersion >= 2 else { return restoreDefaults() }
    usesDMA = try reader.readBool()
    isWriting = try reader.readBool()
    dmaMode = try reader.read(in: UInt8(0)...0x45)
    nativeMaxRead = try reader.read(in: UInt8(0)...2)
    accessible = try reader.read(in: 0...total)
    accessibleAfterReset = try reader.read(in: 0...total)
    try smart.restore(from: &reader)
  }

  /// What disks had before there was DMA.
  private func restoreDefaults() {
    usesDMA = false
    isWriting = phase == .writePending || phase == .writing
    dmaMode = ATADisk.defaultMode
    nativeMaxRead = 0
    accessible = total
    accessibleAfterReset = total
    smart = ATASMART()
  }
}
