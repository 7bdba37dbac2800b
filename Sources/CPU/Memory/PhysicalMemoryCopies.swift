// Bulk access to physical memory: bus masters, loaders, debuggers; and short ways to one word.
//
// Owns: copies over pages of any kind, which pages hold anything, reads for page walks and of devices that are only looked at. Must not
// know: A20 or paging; addresses are physical.

import Bus

extension PhysicalMemory {
  /// The part of `left` bytes at an address that lies in one page, and the page; nil beyond what any page is.
  @inline(__always)
  private static func piece(_ address: UInt64, _ left: Int) -> (page: UInt32?, count: Int) {
    let page = address >> 12
    return (
      page < UInt64(pageLimit) ? UInt32(truncatingIfNeeded: page) : nil,
      min(left, Int(0x1000 - (address & 0xFFF)))
    )
  }

  /// Copies from physical memory without side effects: devices and unmapped pages read as FFh.
  public func peek(_ address: some BinaryInteger, count: Int) -> [UInt8] {
    let address = UInt64(truncatingIfNeeded: address)
    var bytes = [UInt8](repeating: 0xFF, count: count)
    bytes.withUnsafeMutableBytes { bytes in
      var done = 0
      while done < count {
        let a = address &+ UInt64(done)
        let (page, n) = PhysicalMemory.piece(a, count - done)
        if let page, let host = readPointer(page: page) {
          (bytes.baseAddress! + done).copyMemory(from: host + Int(a & 0xFFF), byteCount: n)
        }
        done += n
      }
    }
    return bytes
  }

  /// Copies out of memory as a bus master.
  public func copyOut(_ address: some BinaryInteger, into buffer: UnsafeMutableRawBufferPointer) {
    copyOut(at: UInt64(truncatingIfNeeded: address), into: buffer)
  }

  /// Copies into RAM or video memory as a bus master; anything else ignores it. Decoded code that is overwritten is dropped.
  public func copyIn(_ address: some BinaryInteger, from buffer: UnsafeRawBufferPointer) {
    copyIn(at: UInt64(truncatingIfNeeded: address), from: buffer)
  }

  func copyOut(at address: UInt64, into buffer: UnsafeMutableRawBufferPointer) {
    var done = 0
    while done < buffer.count {
      let a = address &+ UInt64(done)
      let (page, n) = PhysicalMemory.piece(a, buffer.count - done)
      let target = buffer.baseAddress! + done
      if let page, ShadowPages.isVideo(page) {
        readVideo(a, UnsafeMutableRawBufferPointer(start: target, count: n))
      } else if let page, let host = readPointer(page: page) {
        target.copyMemory(from: host + Int(a & 0xFFF), byteCount: n)
      } else {
        target.initializeMemory(as: UInt8.self, repeating: 0xFF, count: n)
      }
      done += n
    }
  }

  func copyIn(at address: UInt64, from buffer: UnsafeRawBufferPointer) {
    for watch in busMasterWatches { watch.body(address, buffer) }
    copy(to: address, from: buffer, reachesVideo: true) { writesRAM(page: $0) }
  }

  /// The same for a debugger, which nobody is told of and which changes what it sees: RAM that reads see, write-protected or not.
  func poke(_ address: UInt64, from buffer: UnsafeRawBufferPointer) {
    copy(to: address, from: buffer) { readsRAM(page: $0) }
  }

  /// Copies to the RAM of those pages that `takes` lets through.
  @inline(__always)
  private func copy(
    to address: UInt64, from buffer: UnsafeRawBufferPointer, reachesVideo: Bool = false,
    _ takes: (UInt32) -> Bool
  ) {
    var done = 0
    while done < buffer.count {
      let a = address &+ UInt64(done)
      let (page, n) = PhysicalMemory.piece(a, buffer.count - done)
      if let page, reachesVideo, ShadowPages.isVideo(page) {
        writeVideo(
          a, UnsafeRawBufferPointer(start: buffer.baseAddress! + done, count: n))
      } else if let page, takes(page) {
        if hasCode(page: page) {
          let offset = UInt32(a & 0xFFF)
          let mask = PhysicalMemory.granuleMask(offset: offset, count: UInt32(n))
          let new = UnsafeRawBufferPointer(start: buffer.baseAddress! + done, count: n)
          let old = UnsafeRawBufferPointer(start: ram + Int(a), count: n)
          if codeGranules[Int(page)] & mask != 0, !old.elementsEqual(new) {
            codeWritten(page, offset, UInt32(n))
          }
        }
        dirty[Int(page)] = 0xFF
        (ram + Int(a)).copyMemory(from: buffer.baseAddress! + done, byteCount: n)
      }
      done += n
    }
  }

  // MARK: - Whole pages

  /// Calls `body` with ascending runs of RAM pages outside of which all are zeros and the host has no memory.
  public func forEachUsedRun(_ body: (Range<Int>) -> Void) {
    ramRegion.forEachUsedRange { bytes in
      let run = bytes.lowerBound >> 12..<min((bytes.upperBound + 0xFFF) >> 12, pageCount)
      // Between the end of the lower part and 4 GiB is no RAM, and none is used.
      for part in [0..<Int(lowPages), 1 << 20..<max(pageCount, 1 << 20)] {
        let clamped = run.clamped(to: part)
        if !clamped.isEmpty { body(clamped) }
      }
    }
  }

  /// Calls `body` with every page of `forEachUsedRun`.
  public func forEachUsedPage(_ body: (Int) -> Void) {
    forEachUsedRun { for page in $0 { body(page) } }
  }

  /// Whether RAM has a page of this number.
  public func hasPage(_ number: Int) -> Bool {
    number >= 0 && number < pageCount && isRAMPage(UInt32(number))
  }

  /// The contents of a RAM page, as RAM, whatever is mapped above it. Only for reading.
  public func page(_ number: Int) -> UnsafeRawBufferPointer {
    precondition(hasPage(number))
    return UnsafeRawBufferPointer(start: ram + number << 12, count: 4096)
  }

  /// Replaces the contents of a RAM page; decoded code in it is dropped.
  /// - Parameter contents: 4096 bytes, or nil for zeros.
  public func setPage(_ number: Int, _ contents: UnsafeRawPointer?) {
    precondition(hasPage(number))
    if codeGranules[number] != 0 { codeWritten(UInt32(number), 0, 0x1000) }
    dirty[number] = 0xFF
    if let contents {
      (ram + number << 12).copyMemory(from: contents, byteCount: 4096)
    } else {
      (ram + number << 12).initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
    }
  }

  /// Makes RAM what its source holds; of a machine that has not run.
  /// - Returns: false where it has none.
  public func revertToSource() -> Bool {
    guard ramRegion.revert() else { return false }
    dirty.update(repeating: 0xFF, count: pageCount)
    return true
  }

  /// Forgets all RAM contents (power cycle).
  public func discardRAM() {
    forEachUsedPage { page in
      if codeGranules[page] != 0 { codeWritten(UInt32(page), 0, 0x1000) }
      dirty[page] = 0xFF
    }
    ramRegion.discard()
  }

  /// Reads an entry of a table of pages, which mostly is in RAM: 4 bytes in one page.
  @inline(__always)
  func readEntry(_ address: Physical) -> UInt32 {
    if kinds[Int(UInt32(truncatingIfNeeded: address >> 12) & 0xFFFFFF)] & Kind.mask == Kind.ram {
      return (ram + Int(address)).loadUnaligned(as: UInt32.self)
    }
    return read(address, width: 4)
  }

  /// What a device gives where reading it is no more than looking (`Registers.plainRead`); counts an access then.
  @inline(__always)
  func plainRead(_ address: Physical, width: UInt32) -> UInt32? {
    guard kinds[Int(address >> 12 & 0xFFFFFF)] & Kind.mask == Kind.mmio, let lastRegion,
      address &- lastRegion.start < lastRegion.length,
      let value = lastRegion.plainRead(address, width)
    else { return nil }
    deviceAccesses &+= 1
    return value
  }

  /// The granule mask that `count` bytes at `offset` of a page cover.
  @inline(__always) static func granuleMask(offset: UInt32, count: UInt32) -> UInt64 {
    let first = UInt64(offset >> 6)
    let last = UInt64((offset &+ count &- 1) >> 6)
    return (UInt64.max &<< first) & (UInt64.max &>> (63 &- last))
  }

  /// Whether RAM has this page, whatever is seen there.
  @inline(__always) func isRAMPage(_ page: UInt32) -> Bool {
    page < lowPages || (page >= 1 << 20 && page < pageCount)
  }

  /// The device at an address when it is no more than memory and keeps its bytes to itself; counts an access.
  @inline(__always)
  func deviceMemory(at address: Physical) -> UnsafePointer<DeviceRegion>? {
    guard kinds[Int(address >> 12 & 0xFFFFFF)] & Kind.mask == Kind.mmio,
      address &- memoryRegion.pointee.start < memoryRegion.pointee.length
    else { return nil }
    deviceAccesses &+= 1
    return UnsafePointer(memoryRegion)
  }
}
