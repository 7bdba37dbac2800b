// Bulk access to physical memory: bus masters, loaders, debuggers.
//
// Owns: copies over pages of any kind. Must not know: A20 or paging; addresses are physical.

extension PhysicalMemory {
  /// Copies from physical memory without side effects: devices and unmapped pages read as FFh.
  public func peek(_ address: UInt32, count: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xFF, count: count)
    for i in 0..<count {
      let a = address &+ UInt32(truncatingIfNeeded: i)
      if let host = readPointer(page: a >> 12) {
        bytes[i] = host.load(fromByteOffset: Int(a & 0xFFF), as: UInt8.self)
      }
    }
    return bytes
  }

  /// Copies out of memory as a bus master.
  public func copyOut(_ address: UInt32, into buffer: UnsafeMutableRawBufferPointer) {
    var done = 0
    while done < buffer.count {
      let a = address &+ UInt32(truncatingIfNeeded: done)
      let n = min(buffer.count - done, Int(0x1000 - (a & 0xFFF)))
      let target = buffer.baseAddress! + done
      if !shadow.isSMRAM(a >> 12), let host = readPointer(page: a >> 12) {
        target.copyMemory(from: host + Int(a & 0xFFF), byteCount: n)
      } else {
        target.initializeMemory(as: UInt8.self, repeating: 0xFF, count: n)
      }
      done += n
    }
  }

  /// Copies into RAM as a bus master; anything but RAM ignores it. Decoded code that is overwritten is dropped.
  public func copyIn(_ address: UInt32, from buffer: UnsafeRawBufferPointer) {
    for watch in busMasterWatches { watch.body(address, buffer) }
    copy(to: address, from: buffer) { writesRAM(page: $0) && !shadow.isSMRAM($0) }
  }

  /// The same for a debugger, which nobody is told of and which changes what it sees: RAM that reads see, write-protected or not.
  public func poke(_ address: UInt32, from buffer: UnsafeRawBufferPointer) {
    copy(to: address, from: buffer) { readsRAM(page: $0) }
  }

  /// Copies to the RAM of those pages that `takes` lets through.
  @inline(__always)
  private func copy(
    to address: UInt32, from buffer: UnsafeRawBufferPointer, _ takes: (UInt32) -> Bool
  ) {
    var done = 0
    while done < buffer.count {
      let a = address &+ UInt32(truncatingIfNeeded: done)
      let n = min(buffer.count - done, Int(0x1000 - (a & 0xFFF)))
      let page = a >> 12
      if takes(page) {
        if hasCode(page: page) {
          let mask = PhysicalMemory.granuleMask(offset: a & 0xFFF, count: UInt32(n))
          let new = UnsafeRawBufferPointer(start: buffer.baseAddress! + done, count: n)
          let old = UnsafeRawBufferPointer(start: ram + Int(a), count: n)
          if codeGranules[Int(page)] & mask != 0, !old.elementsEqual(new) {
            codeWritten(page, a & 0xFFF, UInt32(n))
          }
        }
        dirty[Int(page)] = 0xFF
        (ram + Int(a)).copyMemory(from: buffer.baseAddress! + done, byteCount: n)
      }
      done += n
    }
  }

  /// Forgets all RAM contents (power cycle).
  public func discardRAM() {
    for page in 0..<ramSize >> 12 where hasCode(page: page) { codeWritten(page, 0, 0x1000) }
    dirtyRegion.base.initializeMemory(as: UInt8.self, repeating: 0xFF, count: Int(ramSize >> 12))
    ramRegion.discard()
  }
}
