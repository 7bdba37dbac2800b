// How data move between an ATA disk's image and its windows, by PIO and by DMA.
//
// Owns: DRQ blocks, windows for DMA, what a command with data does when it goes wrong in the middle, its times.
// Must not know: which command it was, who moves the windows.
// After: ATA/ATAPI-6 clauses 9.5 and 9.6 (PIO), 9.7 (DMA).
//
// A window for DMA is as large as the buffer, and there is no interrupt before the last one is done. A command with sectors takes
// `latency`: reading before the first window, writing behind the last one. Drivers of the time lose data when a drive is done before
// they have looked away.

import Storage

extension ATADisk {
  /// Reads address and count from the registers; ends the command when they are impossible.
  private func beginTransfer(extended: Bool, multiple isMultiple: Bool = false, dma: Bool = false)
    -> Bool
  {
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
    blockSectors = dma ? IDEDrive.capacity / 512 : isMultiple ? multiple : 1
    usesDMA = dma
    return true
  }

  // MARK: Reading

  func startRead(extended: Bool = false, multiple: Bool = false, dma: Bool = false) {
    guard beginTransfer(extended: extended, multiple: multiple, dma: dma) else { return }
    phase = .readPending
    prepareRead()
    wait(latency)
  }

  /// Lets the host's disk begin with what will be read next.
  private func prepareRead() {
    let count = mostSectors
    if count > 0 { image.prepare(.read(block: nextSector, count: UInt64(count))) }
  }

  /// How many sectors the buffer takes next.
  private var mostSectors: Int {
    if nextSector >= accessible { return 0 }
    return Int(
      min(
        UInt64(max(sectorsLeft, 1)), UInt64(IDEDrive.capacity / 512), accessible - nextSector))
  }

  /// A block that is not on the disk.
  func startPIO(_ kind: Transfer) {
    transfer = kind
    sectorsLeft = 1
    blockSectors = 1
    phase = .readPending
    wait(ATADisk.shortTime)
  }

  func openReadWindow() {
    switch transfer {
    case .disk:
      if position >= validEnd && !fill() { return }
      windowEnd = min(position + min(blockSectors, sectorsLeft) * 512, validEnd)
      windowSectors = max((windowEnd - position) / 512, 1)
    case .identify: openReadWindow(identifyData())
    case .smart:
      openReadWindow(
        smart.data(UInt8(truncatingIfNeeded: features), log: UInt8(truncatingIfNeeded: low)))
    case .sectorBuffer, .trim, .none: openReadWindow(sectorBuffer)
    }
    status = ATAStatus.ready | ATAStatus.seekComplete | ATAStatus.dataRequest
    if usesDMA {
      phase = .dmaReading
      requestDMA()
    } else {
      phase = .reading
      raiseInterrupt()
    }
  }

  /// - Parameter data: 512 bytes.
  private func openReadWindow(_ data: [UInt8]) {
    data.withUnsafeBytes { buffer.copyMemory(from: $0.baseAddress!, byteCount: min($0.count, 512)) }
    position = 0
    windowEnd = 512
    validEnd = 512
  }

  /// Fills the buffer from the image; ends the command when not even the next sector can be had.
  private func fill() -> Bool {
    position = 0
    validEnd = 0
    windowEnd = 0
    let most = mostSectors
    if most == 0 {
      end(error: ATAError.idNotFound)
      return false
    }
    if !image.isReady(for: .read(block: nextSector, count: UInt64(most))) {
      channel?.hold(self)
      return false
    }
    // When a host error hides in a long piece, only the sector that has it may fail.
    for sectors in most > 1 ? [most, 1] : [1] {
      do throws(StorageError) {
        try image.read(
          block: nextSector,
          into: UnsafeMutableRawBufferPointer(start: buffer, count: sectors * 512))
        validEnd = sectors * 512
        return true
      } catch {
        if error.asksAgain {
          channel?.hold(self)
          return false
        }
      }
    }
    end(error: ATAError.uncorrectable)
    return false
  }

  func readWindowDone() {
    guard transfer == .disk else { return endQuietly() }
    advance(by: windowSectors)
    if sectorsLeft > 0 {
      phase = .readPending
      if position >= validEnd { prepareRead() }
      wait(ATADisk.nextBlockTime)
    } else if usesDMA {
      finish()
    } else {
      endQuietly()
    }
  }

  private func advance(by sectors: Int) {
    nextSector &+= UInt64(sectors)
    sectorsLeft = max(sectorsLeft - sectors, 0)
  }

  /// The last data were read by PIO: the command is over without another interrupt.
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

  /// - Parameter forced: the command ends when the data are with the host's storage.
  func startWrite(
    extended: Bool = false, multiple: Bool = false, dma: Bool = false, forced: Bool = false
  ) {
    if image.isReadOnly {
      return finish(error: ATAError.writeProtected | ATAError.aborted)
    }
    guard beginTransfer(extended: extended, multiple: multiple, dma: dma) else { return }
    isWriting = true
    flushes = forced
    if dma {
      phase = .readPending
      wait(ATADisk.shortTime)
    } else {
      // The first block is asked for without an interrupt.
      openWriteWindow()
    }
  }

  func openWriteWindow() {
    position = 0
    windowEnd = min(blockSectors, max(sectorsLeft, 1)) * 512
    validEnd = 0
    clearWindow()
    status = ATAStatus.ready | ATAStatus.seekComplete | ATAStatus.dataRequest
    phase = usesDMA ? .dmaWriting : .writing
    if usesDMA { requestDMA() }
  }

  func writeWindowDone() {
    phase = .writePending
    let isLast = transfer == .disk && windowEnd / 512 >= sectorsLeft
    wait(isLast ? latency : ATADisk.writeTime)
  }

  func storeWindow() {
    if transfer == .trim { return trim() }
    if transfer != .disk {
      sectorBuffer = Array(UnsafeRawBufferPointer(start: buffer, count: 512))
      sectorsLeft = 0
      return end(error: 0)
    }
    let sectors = min(windowEnd / 512, sectorsLeft)
    let inside =
      nextSector < accessible ? Int(min(UInt64(sectors), accessible - nextSector)) : 0
    if inside > 0 {
      if !image.isReady(for: .write(block: nextSector, count: UInt64(inside))) {
        channel?.hold(self)
        return
      }
      do throws(StorageError) {
        try image.write(
          block: nextSector, from: UnsafeRawBufferPointer(start: buffer, count: inside * 512))
      } catch {
        if error.asksAgain {
          channel?.hold(self)
          return
        }
        finalFault = true
        return end(error: ATAError.aborted)
      }
      advance(by: inside)
    }
    if inside < sectors { return end(error: ATAError.idNotFound) }
    if sectorsLeft == 0 {
      if flushes {
        // The command ends when that is done.
        image.prepare(.flush)
        phase = .finishing
        return eventDue()
      }
      return end(error: finalError)
    }
    openWriteWindow()
    if !usesDMA { raiseInterrupt() }
  }

  // MARK: Trimming

  /// DATA SET MANAGEMENT with TRIM: blocks of 64 ranges come by DMA, as many as the buffer holds.
  func startTrim() {
    let blocks = Int(count)
    guard features & 0xFF == 1, (1...ATADisk.largestTrim).contains(blocks)
    else { return finish(error: ATAError.aborted) }
    if image.isReadOnly { return finish(error: ATAError.writeProtected | ATAError.aborted) }
    power = .active
    transfer = .trim
    sectorsLeft = blocks
    blockSectors = blocks
    trimmed = 0
    usesDMA = true
    isWriting = true
    phase = .readPending
    wait(ATADisk.shortTime)
  }

  /// Nobody needs the sectors any more: they are zeros. A range is a sector's number in 48 bits and a count in 16.
  private func trim() {
    // Where the host made it wait, it goes on: nothing happens twice.
    for offset in stride(from: trimmed, to: min(windowEnd, IDEDrive.capacity) & ~7, by: 8) {
      trimmed = offset
      let entry = UInt64(littleEndian: buffer.load(fromByteOffset: offset, as: UInt64.self))
      let first = entry & 0xFFFF_FFFF_FFFF
      let count = entry >> 48
      if count == 0 { continue }
      // ACS-2, 7.10.5: an invalid range aborts the command; those before it may have been trimmed.
      if first >= accessible || count > accessible - first {
        return end(error: ATAError.aborted)
      }
      do throws(StorageError) { try image.discard(block: first, count: count) } catch {
        if error.asksAgain {
          channel?.hold(self)
          return
        }
        finalFault = true
        return end(error: ATAError.aborted)
      }
    }
    end(error: 0)
  }

  // MARK: Verifying

  func verify(extended: Bool) {
    guard beginTransfer(extended: extended) else { return }
    let inside = min(UInt64(sectorsLeft), accessible - nextSector)
    advance(by: Int(inside))
    finish(
      error: sectorsLeft > 0 ? ATAError.idNotFound : 0,
      after: ATADisk.commandTime + inside * 1_000)
  }
}
