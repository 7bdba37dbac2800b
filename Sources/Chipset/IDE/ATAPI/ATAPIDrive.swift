// A CD/DVD drive on an IDE channel: how commands, data and their ends pass between host and drive.
//
// Owns: the PACKET protocol and its byte counts, the ATA commands that a packet device has, sense data and unit attention, tray and lock.
// Must not know: ports, files, what a single packet command does (the files beside this one).
// After: ATA/ATAPI-6 (T13 1410D) clauses 8 (commands, 8.22 DEVICE RESET, 8.23 PACKET), 9.8 (protocol), 9.10 (signature); SFF-8020i rev. 2.6 for
// what drivers of its time expect: status after resets, the interrupt reason, format bits in byte 9 of READ TOC.
//
//   interrupt reason (sector count)   C/D 0, I/O 1   1 packet wanted, 2 data to the host, 0 data from the host, 3 the command is over
//   byte count (LBA mid, high)        at the command the most a DRQ block may have, at each DRQ block what it has
//   error                             sense key 7-4, ABRT 2
//
// A packet device shows 00h as its status after a reset, DRDY clear, until the first command; that and the signature EB14h tell it from a disk.

import Bus
import State
import Storage

/// What a command that failed has to say.
struct ATAPISense: Equatable {
  var key: UInt8
  var code: UInt8
  var qualifier: UInt8
  /// The sector concerned.
  var information: UInt32?

  init(_ key: UInt8, _ code: UInt8, _ qualifier: UInt8 = 0, at information: UInt32? = nil) {
    (self.key, self.code, self.qualifier, self.information) = (key, code, qualifier, information)
  }

  static let none = ATAPISense(0, 0)
  static let unrecovered = ATAPISense(3, 0x11)
  static let invalidCommand = ATAPISense(5, 0x20)
  static let outOfRange = ATAPISense(5, 0x21)
  static let invalidField = ATAPISense(5, 0x24)
  static let invalidParameter = ATAPISense(5, 0x26)
  static let parameterLength = ATAPISense(5, 0x1A)
  static let savingNotSupported = ATAPISense(5, 0x39)
  static let incompatibleMedium = ATAPISense(5, 0x30, 0x02)
  static let removalPrevented = ATAPISense(5, 0x53, 0x02)
  static let wrongTrackMode = ATAPISense(5, 0x64)
  static let mediumChanged = ATAPISense(6, 0x28)
  static let wasReset = ATAPISense(6, 0x29)
}

/// How long the drive takes, in virtual nanoseconds.
enum ATAPITiming {
  // A command that moves data of the medium takes `IDEDrive.latency`.
  /// From one DRQ block to the next.
  static let nextBlock: UInt64 = 20_000
  /// A command that is answered by the drive's processor.
  static let short: UInt64 = 30_000
  /// From PACKET to the request for the packet: IDENTIFY PACKET DEVICE promises 50 microseconds.
  static let packet: UInt64 = 5_000
}

/// A CD/DVD drive for an `IDEChannel`.
public final class ATAPIDrive: IDEDrive {
  /// What the present command waits for.
  enum Step: UInt8 {
    case none
    /// Busy, then the packet is asked for.
    case packetDue
    /// The host writes the packet.
    case packet
    /// Busy, then the command is carried out.
    case command
    /// Data go to the host.
    case dataIn
    /// The host writes a command's parameters.
    case dataOut
    /// IDENTIFY PACKET DEVICE: data without an interrupt at the end.
    case identify
    /// Busy, then the command is over.
    case ending
  }

  /// What GET EVENT STATUS NOTIFICATION has to tell.
  enum MediaEvent: UInt8 {
    case none = 0
    case ejectRequest = 1
    case newMedium = 2
    case removal = 3
  }

  enum PowerMode: UInt8 {
    case active, idle, standby, sleeping
  }

  /// The disc in the tray, or nil.
  public internal(set) var disc: CDImage?
  /// Whether the tray is open: nothing can be read.
  public internal(set) var isTrayOpen = false
  /// Whether the guest has locked the tray.
  public internal(set) var isLocked = false
  /// The serial number it reports, up to 20 ASCII characters.
  let serial: String
  /// Told of what the host cannot read; the guest sees a medium error.
  public var refused: (StorageError) -> Void = { _ in }
  /// Told of a sector whose reading failed for the guest.
  public var reported: (Int) -> Void = { _ in }
  /// Whether the run that is repeated had an error at this sector, here and now.
  public var repeated: (Int) -> Bool = { _ in false }

  var step = Step.none
  var packet = [UInt8](repeating: 0, count: 12)
  /// The most bytes in a DRQ block.
  var byteLimit = 0xFFFE
  /// The data of the present command go by DMA: the one difference to PIO is who moves a window.
  var usesDMA = false
  /// The transfer mode of SET FEATURES 03h that DMA would use: multiword mode 2, which every bus master of the time can do.
  var dmaMode: UInt8 = 0x22
  /// Sectors that are still to be put into the buffer.
  var nextSector = 0
  /// As `nextSector`: the disc was exchanged while a command read it.
  static let goneSector = Int(UInt32.max)
  var sectorsLeft = 0
  /// What READ CD wants of each: expected type, bytes 9 and 10 of the packet; nil: user data of 2048 bytes.
  var selection: ATAPISelection?
  /// Bytes of a sector as they are transferred.
  var sectorBytes = 0
  var sense = ATAPISense.none
  var power = PowerMode.active
  /// What is to be told once.
  var resetAttention = true
  var changeAttention = false
  var mediaEvent = MediaEvent.none
  /// The last sector that was read, for READ SUB-CHANNEL.
  var head = 0
  var audio = ATAPIAudio()
  var modes = ATAPIModes()
  /// What the error register holds when an ATA command ends.
  private var finalError: UInt8 = 0

  /// - Parameter serial: shown by IDENTIFY PACKET DEVICE.
  public init(disc: CDImage? = nil, serial: String = "AP0000CD01") {
    self.disc = disc
    self.serial = serial
    super.init()
    status = 0
  }

  override var signature: UInt16 { 0xEB14 }
  override var statusAfterReset: UInt8 { 0 }

  // MARK: The medium

  /// The disc that can be read now.
  var medium: CDImage? { isTrayOpen ? nil : disc }

  /// Somebody puts a disc in and closes the tray, or takes it out with nil and leaves the tray open. The lock is for who asks to respect.
  public func change(to new: CDImage?) {
    let was = medium
    disc = new
    isTrayOpen = new == nil
    mediumMoved(was)
  }

  /// The button of a drive whose tray is locked: the guest is asked to let go of the disc.
  public func requestEject() { mediaEvent = .ejectRequest }

  /// The medium came, went or was exchanged.
  func mediumMoved(_ was: CDImage?) {
    if was === medium { return }
    audio.stop()
    head = 0
    // What is left of a read was asked of the disc that is gone.
    if sectorsLeft > 0 { nextSector = ATAPIDrive.goneSector }
    changeAttention = medium != nil
    mediaEvent = medium == nil ? .removal : .newMedium
  }

  // MARK: ATA commands

  override func execute(_ command: UInt8) {
    if command == 0x08 { return deviceReset() }
    // Only a reset wakes a sleeping drive.
    if power == .sleeping { return }
    error = 0
    finalError = 0
    beginIdle()
    switch command {
    case 0xA0: startPacket()
    case 0xA1:
      step = .identify
      phase = .readPending
      wait(ATAPITiming.short)
    case 0xEC, 0x20, 0x21, 0x24, 0x29, 0xC4:
      // IDENTIFY DEVICE and the read commands: no disk is here, but this.
      putSignature()
      finish(error: ATAError.aborted)
    case 0xEF: finish(error: setFeatures() ? 0 : ATAError.aborted)
    case 0xE0, 0x94, 0xE2, 0x96: changePower(.standby)
    case 0xE1, 0x95, 0xE3, 0x97: changePower(.idle)
    case 0xE6, 0x99: changePower(.sleeping)
    case 0xE5, 0x98:  // CHECK POWER MODE
      count = power == .standby ? 0x00 : power == .idle ? 0x80 : 0xFF
      finish()
    case 0xE7: finish()  // FLUSH CACHE
    default: finish(error: ATAError.aborted)
    }
  }

  /// DEVICE RESET: also while the drive is busy. No interrupt; settings, sense and the medium stay.
  private func deviceReset() {
    channel?.cancel(self)
    beginIdle()
    interruptPending = false
    power = .active
    let selection = device & 0x10
    putSignature()
    device = selection
    status = 0
    channel?.updateInterrupt()
  }

  private func beginIdle() {
    step = .none
    phase = .idle
    position = 0
    windowEnd = 0
    validEnd = 0
    sectorsLeft = 0
    status = ATAStatus.ready | ATAStatus.seekComplete
  }

  private func changePower(_ mode: PowerMode) {
    power = mode
    finish()
  }

  private func setFeatures() -> Bool {
    switch UInt8(truncatingIfNeeded: features) {
    case 0x03: return setTransferMode(UInt8(truncatingIfNeeded: count))
    // Release and SERVICE interrupts are those of overlapped commands, which it has not; reverting to defaults it has.
    case 0x66, 0xCC: return true
    default: return false
    }
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

  // MARK: The packet protocol

  private func startPacket() {
    // Overlapped commands are not supported.
    if features & 2 != 0 { return finish(error: ATAError.aborted) }
    usesDMA = features & 1 != 0
    power = .active
    let limit = Int(mid & 0xFF) | Int(high & 0xFF) << 8
    // Word 125 of IDENTIFY PACKET DEVICE says what 0 means; FFFFh is taken as FFFEh.
    byteLimit = limit == 0 || limit == 0xFFFF ? 0xFFFE : limit
    step = .packetDue
    phase = .writePending
    wait(ATAPITiming.packet)
  }

  private func openPacketWindow() {
    step = .packet
    count = 1
    openWindow(phase: .writing, bytes: 12)
    status = ATAStatus.ready | ATAStatus.seekComplete | ATAStatus.dataRequest
  }

  private func openWindow(phase: Phase, bytes: Int) {
    position = 0
    windowEnd = bytes
    validEnd = 0
    clearWindow()
    self.phase = phase
  }

  override func windowWritten() {
    if step == .packet {
      packet = Array(UnsafeRawBufferPointer(start: buffer, count: 12))
      step = .command
      phase = .writePending
      prepareCommand()
      return wait(latency(of: packet[0]))
    }
    phase = .writePending
    wait(ATAPITiming.short)
  }

  override func eventDue() {
    if step == .command || step == .dataIn && position >= validEnd,
      medium?.isReady() == false
    {
      channel?.hold(self)
      return
    }
    switch step {
    case .packetDue: openPacketWindow()
    case .command:
      phase = .idle
      perform()
    case .dataIn: openReadWindow()
    case .dataOut:
      phase = .idle
      takeParameters(Array(UnsafeRawBufferPointer(start: buffer, count: windowEnd)))
    case .identify:
      let data = identifyPacketData()
      openWindow(phase: .reading, bytes: 512)
      data.withUnsafeBytes { buffer.copyMemory(from: $0.baseAddress!, byteCount: 512) }
      validEnd = 512
      status = ATAStatus.ready | ATAStatus.seekComplete | ATAStatus.dataRequest
      raiseInterrupt()
    case .ending: end(error: finalError)
    case .none, .packet: break
    }
  }

  // MARK: Data to the host

  /// Answers a command: as much as the host has room for.
  func reply(_ bytes: [UInt8], allocation: Int) {
    let length = min(bytes.count, allocation, IDEDrive.capacity)
    if length <= 0 { return complete() }
    bytes.withUnsafeBytes { buffer.copyMemory(from: $0.baseAddress!, byteCount: length) }
    position = 0
    validEnd = length
    sectorsLeft = 0
    sectorBytes = 0
    step = .dataIn
    openReadWindow()
  }

  /// Sends sectors.
  func send(from first: Int, count: Int, bytes: Int, _ wanted: ATAPISelection?) {
    nextSector = first
    sectorsLeft = count
    selection = wanted
    sectorBytes = bytes
    position = 0
    validEnd = 0
    step = .dataIn
    audio.stop()
    openReadWindow()
  }

  func openReadWindow() {
    if position >= validEnd {
      if sectorsLeft <= 0 { return complete() }
      if let failure = fill() { return fail(failure) }
      if validEnd == 0 {
        // Sectors of which nothing is wanted: the guest's time goes on between them.
        if sectorsLeft <= 0 { return complete() }
        phase = .readPending
        return wait(ATAPITiming.nextBlock)
      }
    }
    count = 2
    status = ATAStatus.ready | ATAStatus.seekComplete | ATAStatus.dataRequest
    if usesDMA {
      // All that is there, and no interrupt before the end.
      windowEnd = validEnd
      phase = .dmaReading
      return requestDMA()
    }
    let size = blockSize(validEnd - position)
    windowEnd = position + size
    mid = UInt16(size & 0xFF)
    high = UInt16(size >> 8 & 0xFF)
    phase = .reading
    raiseInterrupt()
  }

  /// The bytes of the next DRQ block: whole sectors where the limit has room for one. Only the last may be odd.
  private func blockSize(_ available: Int) -> Int {
    if available <= byteLimit { return available }
    if sectorBytes > 0 && byteLimit >= sectorBytes && sectorBytes & 1 == 0 {
      return byteLimit / sectorBytes * sectorBytes
    }
    return max(2, byteLimit & ~1)
  }

  override func windowRead() {
    if step == .identify {
      beginIdle()
      return
    }
    if position < validEnd || sectorsLeft > 0 {
      phase = .readPending
      if position >= validEnd { prepareSectors(nextSector, sectorsLeft) }
      return wait(ATAPITiming.nextBlock)
    }
    finish()
  }

  // MARK: Data from the host

  /// Asks for a command's parameters.
  func demand(_ bytes: Int) {
    if bytes <= 0 { return takeParameters([]) }
    let size = min(bytes, max(2, byteLimit & ~1))
    openWindow(phase: usesDMA ? .dmaWriting : .writing, bytes: usesDMA ? bytes : size)
    step = .dataOut
    mid = UInt16(size & 0xFF)
    high = UInt16(size >> 8 & 0xFF)
    count = 0
    status = ATAStatus.ready | ATAStatus.seekComplete | ATAStatus.dataRequest
    if usesDMA { return requestDMA() }
    raiseInterrupt()
  }

  // MARK: Ends

  private func wait(_ time: UInt64) {
    status = ATAStatus.busy | ATAStatus.ready | ATAStatus.seekComplete
    channel?.schedule(self, after: time)
  }

  /// Ends an ATA command, or a packet command whose data are read, after a while.
  private func finish(error: UInt8 = 0) {
    finalError = error
    if step == .dataIn { count = 3 }
    step = .ending
    phase = .finishing
    wait(ATAPITiming.short)
  }

  private func end(error code: UInt8) {
    beginIdle()
    error = code
    if code != 0 { status |= ATAStatus.error }
    raiseInterrupt()
  }

  /// Ends a packet command.
  func complete() {
    count = 3
    end(error: 0)
  }

  /// Ends a packet command with CHECK CONDITION.
  func fail(_ sense: ATAPISense) {
    self.sense = sense
    count = 3
    end(error: sense.key << 4 | (sense.key == 5 ? ATAError.aborted : 0))
  }

  // MARK: Resets and state

  override func resetSettings(hardware: Bool) {
    step = .none
    sectorsLeft = 0
    power = .active
    if hardware {
      isLocked = false
      sense = .none
      resetAttention = true
      modes = ATAPIModes()
      audio.stop()
      dmaMode = 0x22
    }
  }

  override func inspectCommandSet() -> [Field] { fields }
  override func saveCommandSet(to writer: inout StateWriter) {
    writer.write(finalError)
    saveATAPI(to: &writer)
  }
  override func restoreCommandSet(from reader: inout StateReader) throws(StateError) {
    finalError = try reader.read()
    try restoreATAPI(from: &reader)
  }
}
