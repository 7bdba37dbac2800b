// Data transfers of the 82077AA: read, write, format, verify, scan and READ ID, by DMA or through the FIFO.
//
// Owns: the execution phase sector by sector and the status it ends with. Must not know: ports.
// After: Intel 82077AA data sheet, "Data transfer commands", tables of the result phase and of ST0-ST2.
//
// The image has one ID field for each sector: the track's number, the head, 1..., size code 2. Time goes by in slots: a
// revolution has as many as the track has sectors. An ID that is not found costs two revolutions.

import Storage

/// The bits of ST1 and ST2 that occur.
private enum ST1 {
  static let endOfCylinder: UInt8 = 0x80
  static let dataError: UInt8 = 0x20
  static let overrun: UInt8 = 0x10
  static let noData: UInt8 = 0x04
  static let notWritable: UInt8 = 0x02
  static let missingMark: UInt8 = 0x01
}

private enum ST2 {
  static let controlMark: UInt8 = 0x40
  static let dataError: UInt8 = 0x20
  static let wrongCylinder: UInt8 = 0x10
  static let scanEqual: UInt8 = 0x08
  static let scanNotSatisfied: UInt8 = 0x04
}

/// A command in its execution phase.
struct FloppyTransfer {
  enum Operation: UInt8 {
    case none, read, readDeleted, readTrack, write, writeDeleted, format, verify
    case scanEqual, scanLow, scanHigh, readID

    /// Whether data go from the medium to the host.
    var readsMedium: Bool { self == .read || self == .readDeleted || self == .readTrack }
    var writesMedium: Bool { self == .write || self == .writeDeleted || self == .format }
    var scans: Bool { self == .scanEqual || self == .scanLow || self == .scanHigh }
  }

  enum Stage: UInt8 {
    /// The event brings the next sector under the head.
    case sector
    /// The event ends the command with the status that was collected.
    case failing
    /// The host moves bytes through the FIFO; the event renews the interrupt.
    case hostData
  }

  var operation = Operation.none
  var stage = Stage.sector
  var unit = 0
  var head = 0
  var multiTrack = false
  var skip = false
  var mfm = true
  // The command's ID; it advances from sector to sector.
  var c: UInt8 = 0
  var h: UInt8 = 0
  var r: UInt8 = 0
  var n: UInt8 = 0
  var eot: UInt8 = 0
  /// DTL, the step of scans, the sector count of VERIFY with EC; the fill byte of FORMAT.
  var dtl: UInt8 = 0
  /// VERIFY with EC: stops after `remaining` sectors.
  var counts = false
  /// Sectors still to come (FORMAT, READ TRACK, VERIFY).
  var remaining = 0
  /// The physical sector READ TRACK is at.
  var slot = 0
  var st0: UInt8 = 0
  var st1: UInt8 = 0
  var st2: UInt8 = 0
  /// The present sector is the last because of its data address mark.
  var stopsHere = false
  var terminalCount = false
  /// The sector on the image under the head.
  var imageSector = 0
  var bytes = [UInt8](repeating: 0, count: 512)
  /// The next byte for PIO, and how many there are.
  var position = 0
  var count = 0
}

extension FloppyController {
  /// Reads the parameters of the command and starts its execution phase.
  func startTransfer() {
    let code = command[0]
    var t = FloppyTransfer()
    t.unit = Int(command[1] & 0x03)
    t.head = Int(command[1] >> 2 & 1)
    t.mfm = code & 0x40 != 0
    t.skip = code & 0x20 != 0
    t.multiTrack = code & 0x80 != 0
    switch code & 0x1F {
    case 0x02: t.operation = .readTrack
    case 0x05: t.operation = .write
    case 0x06: t.operation = .read
    case 0x09: t.operation = .writeDeleted
    case 0x0A: t.operation = .readID
    case 0x0C: t.operation = .readDeleted
    case 0x0D: t.operation = .format
    case 0x11: t.operation = .scanEqual
    case 0x16: t.operation = .verify
    case 0x19: t.operation = .scanLow
    default: t.operation = .scanHigh
    }
    if t.operation == .format {
      t.n = command[2]
      t.remaining = Int(command[3])
      t.dtl = command[5]
    } else if command.count == 9 {
      t.c = command[2]
      t.h = command[3]
      t.r = command[4]
      t.n = command[5]
      t.eot = command[6]
      t.dtl = command[8]
      lastEOT = t.eot
      if t.operation == .readTrack {
        t.multiTrack = false
        t.remaining = Int(t.eot)
      }
      if t.operation == .verify && command[1] & 0x80 != 0 {
        t.counts = true
        t.remaining = Int(t.dtl)
      }
    }
    phase = .execution
    command = []
    transfer = t

    if t.operation.writesMedium, drive(t.unit)?.isWriteProtected == true {
      return finishTransfer(abnormal: true, st1: ST1.notWritable)
    }
    var delay = slotTime
    // CONFIGURE's EIS: seek to C first.
    if configuration & 0x40 != 0, t.operation != .readID, t.operation != .format, t.c != pcn[t.unit]
    {
      delay += stepTime(abs(Int(t.c) - Int(pcn[t.unit])))
      moveHead(t.unit, to: t.c)
      transfer.st0 |= 0x20
    }
    prepareSector()
    clock.schedule(transferEvent, after: delay)
  }

  /// Lets the host's disk begin with the sector that comes next.
  private func prepareSector() {
    guard transfer.operation.readsMedium || transfer.operation == .verify,
      let drive = drive(transfer.unit), let format = drive.medium?.format,
      let track = drive.mediumTrack
    else { return }
    let sector =
      transfer.operation == .readTrack ? transfer.slot % format.sectors + 1 : Int(transfer.r)
    if let place = drive.imageSector(track: track, head: transfer.head, sector: sector) {
      drive.medium?.image.prepare(.read(block: UInt64(place), count: 1))
    }
  }

  /// One revolution in virtual nanoseconds: 360 rpm in 1.2 MB drives, otherwise 300.
  private var revolutionTime: UInt64 {
    (drive(transfer.unit)?.type == .fiveInch1200 ? 166_666_667 : 200_000_000)
      / timing.rotationSpeedup
  }

  private var slotTime: UInt64 {
    let sectors = drive(transfer.unit)?.medium?.format.sectors ?? 18
    return revolutionTime / UInt64(max(sectors, 1))
  }

  /// The event of the execution phase.
  func transferDue() {
    guard phase == .execution else { return }
    switch transfer.stage {
    case .failing: finishTransfer(abnormal: true)
    case .hostData: setInterrupt(true)
    case .sector: sectorDue()
    }
  }

  private func fail(st1: UInt8 = 0, st2: UInt8 = 0) {
    transfer.st1 |= st1
    transfer.st2 |= st2
    transfer.stage = .failing
    clock.schedule(transferEvent, after: 2 * revolutionTime)
  }

  private func nextSlot() {
    transfer.stage = .sector
    prepareSector()
    clock.schedule(transferEvent, after: slotTime)
  }

  /// The track that can be read under the head, nil where no address mark is found: no disk, another data rate, FM, nothing
  /// recorded there.
  private func readableTrack() -> (drive: FloppyDrive, track: Int)? {
    guard let drive = drive(transfer.unit), let format = drive.medium?.format,
      let track = drive.mediumTrack, drive.rateCode == rate, transfer.mfm,
      format.recordedSectors(cylinder: track, head: transfer.head) > 0
    else { return nil }
    return (drive, track)
  }

  private func sectorDue() {
    guard let (drive, track) = readableTrack(), let format = drive.medium?.format else {
      return fail(st1: ST1.missingMark)
    }
    switch transfer.operation {
    case .readID:
      // Where nothing is recorded any more the next ID is the track's first.
      let passing = Int(clock.now / max(slotTime, 1) % UInt64(format.sectors))
      let recorded = format.recordedSectors(cylinder: track, head: transfer.head)
      let slot = passing < recorded ? passing : 0
      transfer.c = UInt8(truncatingIfNeeded: track)
      transfer.h = UInt8(transfer.head)
      transfer.r = UInt8(slot + 1)
      transfer.n = 2
      return finishTransfer(abnormal: false)
    case .format:
      if transfer.remaining == 0 { return finishTransfer(abnormal: false) }
      return takeHostData(4)
    case .readTrack:
      if transfer.remaining == 0 { return sectorDone() }
      // Sectors come in their physical order; a differing ID is only reported.
      let sector = transfer.slot % format.sectors + 1
      if Int(transfer.c) != track || Int(transfer.h) != transfer.head || Int(transfer.r) != sector
        || transfer.n != 2
      {
        transfer.st1 |= ST1.noData
      }
      return deliver(drive, track, sector)
    default: break
    }

    guard Int(transfer.c) == track else {
      return fail(st1: ST1.noData, st2: ST2.wrongCylinder)
    }
    guard Int(transfer.h) == transfer.head, transfer.n == 2,
      let place = drive.imageSector(track: track, head: transfer.head, sector: Int(transfer.r))
    else { return fail(st1: ST1.noData) }
    transfer.imageSector = place

    switch transfer.operation {
    case .write, .writeDeleted: takeHostData(512)
    default:
      let isDeleted = drive.deletedMarks.contains(place)
      if isDeleted != (transfer.operation == .readDeleted) {
        transfer.st2 |= ST2.controlMark
        if transfer.skip { return sectorDone() }
        transfer.stopsHere = true
      }
      if transfer.operation.scans {
        takeHostData(512)
      } else {
        deliver(drive, track, Int(transfer.r))
      }
    }
  }

  // MARK: To the host

  private func deliver(_ drive: FloppyDrive, _ track: Int, _ sector: Int) {
    let place = drive.imageSector(track: track, head: transfer.head, sector: sector)
    if let place, let image = drive.medium?.image,
      !image.isReady(for: .read(block: UInt64(place), count: 1))
    {
      return clock.hold(transferEvent)
    }
    guard let place, readImage(drive, place) else {
      return finishTransfer(abnormal: true, st1: ST1.dataError, st2: ST2.dataError)
    }
    if transfer.operation == .verify { return sectorDone() }
    if usesPIO { return openHostWindow(512) }
    guard dor & 0x08 != 0 else { return finishTransfer(abnormal: true, st1: ST1.overrun) }
    let bytes = transfer.bytes
    let (count, end) = bytes.withUnsafeBytes {
      dma.dmaTransferToMemory(channel: dmaChannel, from: $0)
    }
    transfer.terminalCount = end
    if count < 512 && !end { return finishTransfer(abnormal: true, st1: ST1.overrun) }
    sectorDone()
  }

  private func readImage(_ drive: FloppyDrive, _ place: Int) -> Bool {
    guard let image = drive.medium?.image else { return false }
    return transfer.bytes.withUnsafeMutableBytes { buffer in
      do throws(StorageError) {
        try image.read(block: UInt64(place), into: buffer)
        return true
      } catch { return false }
    }
  }

  /// The host may move `count` bytes through the FIFO.
  private func openHostWindow(_ count: Int) {
    transfer.position = 0
    transfer.count = count
    transfer.stage = .hostData
    setInterrupt(true)
  }

  /// A byte's time on the disk at 500 kbit/s.
  private var byteTime: UInt64 { 16_000 / timing.rotationSpeedup }

  func readTransferByte() -> UInt8 {
    guard transfer.stage == .hostData, transfer.operation.readsMedium,
      transfer.position < transfer.count, transfer.position < 512
    else { return 0 }
    let value = transfer.bytes[transfer.position]
    hostMovedByte()
    if transfer.position == transfer.count { sectorDone() }
    return value
  }

  func writeTransferByte(_ value: UInt8) {
    guard transfer.stage == .hostData, !transfer.operation.readsMedium,
      transfer.position < transfer.count, transfer.position < 512
    else { return }
    transfer.bytes[transfer.position] = value
    hostMovedByte()
    if transfer.position == transfer.count { useHostData() }
  }

  private func hostMovedByte() {
    setInterrupt(false)
    transfer.position += 1
    if transfer.position < transfer.count {
      clock.schedule(transferEvent, after: byteTime)
    } else {
      clock.cancel(transferEvent)
    }
  }

  // MARK: From the host

  private func takeHostData(_ count: Int) {
    if usesPIO { return openHostWindow(count) }
    guard dor & 0x08 != 0 else { return finishTransfer(abnormal: true, st1: ST1.overrun) }
    var bytes = [UInt8](repeating: 0, count: 512)
    let (moved, end) = bytes.withUnsafeMutableBytes {
      dma.dmaTransferFromMemory(
        channel: dmaChannel, into: UnsafeMutableRawBufferPointer(rebasing: $0[..<count]))
    }
    transfer.bytes = bytes
    transfer.terminalCount = end
    // After TC the rest of a sector is written as zeros.
    if moved < count && (!end || count == 4) {
      return finishTransfer(abnormal: true, st1: ST1.overrun)
    }
    transfer.count = moved
    useHostData()
  }

  private func useHostData() {
    // The disk may have been taken out while the host wrote its bytes.
    guard let (drive, track) = readableTrack() else { return fail(st1: ST1.missingMark) }
    if transfer.operation == .format { return formatSector(drive, track) }
    if transfer.operation.scans { return scanSector(drive) }
    guard writeImage(drive, transfer.imageSector) else {
      return finishTransfer(abnormal: true, st1: ST1.dataError, st2: ST2.dataError)
    }
    if transfer.operation == .writeDeleted {
      drive.deletedMarks.insert(transfer.imageSector)
    } else {
      drive.deletedMarks.remove(transfer.imageSector)
    }
    sectorDone()
  }

  private func writeImage(_ drive: FloppyDrive, _ place: Int) -> Bool {
    guard let medium = drive.medium, place < medium.format.sectorCount else { return false }
    return transfer.bytes.withUnsafeBytes { buffer in
      do throws(StorageError) {
        try medium.image.write(block: UInt64(place), from: buffer)
        return true
      } catch { return false }
    }
  }

  /// One sector of FORMAT TRACK. An image cannot hold another layout than its own: asking for one is an equipment check.
  private func formatSector(_ drive: FloppyDrive, _ track: Int) {
    transfer.c = transfer.bytes[0]
    transfer.h = transfer.bytes[1]
    transfer.r = transfer.bytes[2]
    let size = transfer.bytes[3]
    guard transfer.n == 2, size == 2, Int(transfer.c) == track, Int(transfer.h) == transfer.head,
      let place = drive.imageSector(track: track, head: transfer.head, sector: Int(transfer.r))
    else {
      transfer.st0 |= 0x10
      return finishTransfer(abnormal: true)
    }
    transfer.bytes = [UInt8](repeating: transfer.dtl, count: 512)
    guard writeImage(drive, place) else {
      transfer.st0 |= 0x10
      return finishTransfer(abnormal: true)
    }
    drive.deletedMarks.remove(place)
    transfer.remaining -= 1
    if transfer.remaining <= 0 || transfer.terminalCount {
      return finishTransfer(abnormal: false)
    }
    nextSlot()
  }

  /// Compares the host's bytes with the sector; FFh on either side matches anything, the first other difference decides.
  private func scanSector(_ drive: FloppyDrive) {
    let host = transfer.bytes
    guard readImage(drive, transfer.imageSector) else {
      return finishTransfer(abnormal: true, st1: ST1.dataError, st2: ST2.dataError)
    }
    var order = 0
    for i in 0..<512 where order == 0 && host[i] != 0xFF && transfer.bytes[i] != 0xFF {
      order = transfer.bytes[i] < host[i] ? -1 : transfer.bytes[i] > host[i] ? 1 : 0
    }
    transfer.st2 &= ~(ST2.scanEqual | ST2.scanNotSatisfied)
    let isSatisfied =
      switch transfer.operation {
      case .scanLow: order <= 0
      case .scanHigh: order >= 0
      default: order == 0
      }
    if isSatisfied {
      if order == 0 { transfer.st2 |= ST2.scanEqual }
      return finishTransfer(abnormal: false)
    }
    transfer.st2 |= ST2.scanNotSatisfied
    if transfer.terminalCount || transfer.stopsHere { return finishTransfer(abnormal: false) }
    // STP: every sector, or every other one.
    let next = Int(transfer.r) + (transfer.dtl == 2 ? 2 : 1)
    if next > Int(transfer.eot) {
      if transfer.multiTrack && transfer.head == 0 {
        transfer.r = transfer.eot
        advanceID()
      } else {
        return finishTransfer(abnormal: false)
      }
    } else {
      transfer.r = UInt8(next)
    }
    nextSlot()
  }

  // MARK: From sector to sector

  /// The ID that follows, as the result phase reports it.
  private func advanceID() {
    if transfer.r != transfer.eot {
      transfer.r &+= 1
      return
    }
    transfer.r = 1
    if transfer.multiTrack {
      transfer.h ^= 1
      if transfer.head == 0 {
        transfer.head = 1
        return
      }
      transfer.head = 0
    }
    transfer.c &+= 1
  }

  private func sectorDone() {
    if transfer.operation == .readTrack {
      transfer.slot += 1
      transfer.r &+= 1
      transfer.remaining -= 1
      if transfer.terminalCount { return finishTransfer(abnormal: false) }
      if transfer.remaining <= 0 {
        return finishTransfer(abnormal: true, st1: ST1.endOfCylinder)
      }
      return nextSlot()
    }
    let isLast = transfer.r == transfer.eot && !(transfer.multiTrack && transfer.head == 0)
    let endHead = transfer.head
    advanceID()
    if transfer.counts { transfer.remaining -= 1 }
    if transfer.terminalCount || transfer.stopsHere || (transfer.counts && transfer.remaining <= 0)
    {
      if isLast { transfer.head = endHead }
      return finishTransfer(abnormal: false)
    }
    if isLast {
      transfer.head = endHead
      // VERIFY without a count ends here as it should; everything else wanted to go on.
      if transfer.operation == .verify && !transfer.counts {
        return finishTransfer(abnormal: false)
      }
      return finishTransfer(abnormal: true, st1: ST1.endOfCylinder)
    }
    nextSlot()
  }

  /// Ends the execution phase: ST0, ST1, ST2, C, H, R, N and the interrupt.
  private func finishTransfer(abnormal: Bool, st1: UInt8 = 0, st2: UInt8 = 0) {
    clock.cancel(transferEvent)
    let t = transfer
    let st0 = t.st0 | (abnormal ? 0x40 : 0) | UInt8(t.head & 1) << 2 | UInt8(t.unit & 3)
    transfer.stage = .sector
    respond([st0, t.st1 | st1, t.st2 | st2, t.c, t.h, t.r, t.n])
    setInterrupt(true)
  }
}
