// Memory of a CL-GD5446 as the host reaches it.
//
// Owns: banks, pixels an address, write modes 4 and 5, byte orders, what goes to the BitBLT engine. Must not know: what memory shows.
// Follows: Cirrus Logic CL-GD5446 Technical Reference Manual, GR9 to GRB, SR17, "Memory Apertures".
//
// Linear memory takes 32 MB: 0 as it is, 4 MB with the bytes of words, 8 MB of doublewords exchanged, from 16 MB on data of BitBLTs.

extension CirrusChip {
  private var hasTwoBanks: Bool { gr[0x0B] & 0x01 != 0 }
  private var hasEightPixels: Bool { gr[0x0B] & 0x02 != 0 }
  private var hasWriteModes: Bool { gr[0x0B] & 0x04 != 0 }
  private var hasLatches: Bool { gr[0x0B] & 0x08 != 0 }
  private var hasSixteen: Bool { gr[0x0B] & 0x14 == 0x14 }
  private var hasRegistersInMemory: Bool { sr[0x17] & 0x04 != 0 }
  var hasRegistersAtB8000: Bool { sr[0x17] & 0x44 == 0x04 }
  private var hasRegistersInLinear: Bool { sr[0x17] & 0x44 == 0x44 }

  /// Where a bank begins, in bytes of packed memory or in plane addresses.
  func bankStart(_ n: Int) -> Int {
    let bank = Int(hasTwoBanks ? gr[0x09 + n] : gr[0x09])
    return bank << (gr[0x0B] & 0x20 != 0 ? 14 : 12)
  }

  private var writeMode: UInt8 { vga.graphics.registers[5] & 3 | gr[5] & 4 }
  /// What an address means, and what is written there, is as it is on other adapters.
  private var isPlain: Bool {
    !hasEightPixels && !hasSixteen && !(hasWriteModes && (4...5).contains(writeMode))
  }
  /// The 64 KiB at A0000h are plain bytes from `bankStart(0)` on.
  var isWindowPlain: Bool {
    isPacked && isPlain && transfer == nil
      && (!hasTwoBanks || bankStart(1) == bankStart(0))
      && (bankStart(0) & (memory.size - 1)) + 0x10000 <= memory.size
  }
  /// Linear memory is plain bytes.
  var isLinearPlain: Bool { isPlain && transfer == nil && !hasRegistersInLinear }

  // MARK: A0000h

  /// - Parameter local: from A0000h, to BFFFFh.
  func readWindow(_ local: Int, _ width: Int) -> UInt32 {
    if local & 0x1FF00 == 0x18000, hasRegistersAtB8000 { return readRegisters(local & 0xFF, width) }
    if givesReads { return give(width) }
    if takesWrites { return UInt32.max >> UInt32(32 - 8 * width) }
    var value: UInt32 = 0
    for n in 0..<width { value |= UInt32(readByte(place(local + n))) << UInt32(8 * n) }
    return value
  }

  func writeWindow(_ local: Int, _ value: UInt32, _ width: Int) {
    if local & 0x1FF00 == 0x18000, hasRegistersAtB8000 {
      return writeRegisters(local & 0xFF, value, width)
    }
    if takesWrites { return take(value, width) }
    for n in 0..<width {
      writeByte(place(local + n), UInt8(truncatingIfNeeded: value >> UInt32(8 * n)))
    }
  }

  /// The address in the bank, before it is scaled; nil: nothing is there.
  private func place(_ local: Int) -> Int? {
    if local >= 0x10000 { return nil }
    if !hasTwoBanks { return local << scale + bankStart(0) }
    return (local & 0x7FFF) << scale + bankStart(local >> 15)
  }

  private var scale: Int { hasSixteen ? 4 : hasEightPixels ? 3 : 0 }

  private func readByte(_ place: Int?) -> UInt8 {
    guard let place else { return 0xFF }
    if hasLatches {
      latches = (0..<8).reduce(0) { $0 | UInt64(memory[place + $1]) << UInt64(8 * $1) }
    }
    return memory[place]
  }

  private func writeByte(_ place: Int?, _ value: UInt8) {
    guard let place else { return }
    vga.generation &+= 1
    if hasWriteModes, (4...5).contains(writeMode) { return writePixels(place, value) }
    if hasLatches, writeMode == 1 {
      memory.note(place, 8)
      for n in 0..<8 { memory[place + n] = UInt8(truncatingIfNeeded: latches >> UInt64(8 * n)) }
      return
    }
    memory.note(place, 1)
    memory[place] = value
  }

  /// Eight pixels of a byte's bits, of one byte each or of two: ones in the foreground colour; zeros are left, or in mode 5 in the
  /// background colour.
  private func writePixels(_ place: Int, _ value: UInt8) {
    let bytes = hasSixteen ? 2 : 1
    memory.note(place, 8 * bytes)
    for n in 0..<8 {
      let isSet = value & (0x80 >> UInt8(n)) != 0
      if !isSet && writeMode == 4 { continue }
      let at = place + n * bytes
      memory[at] = isSet ? gr[1] : gr[0]
      if bytes == 2 { memory[at + 1] = isSet ? gr[0x11] : gr[0x10] }
    }
  }

  // MARK: Linear

  func readLinear(_ offset: Int, _ width: Int) -> UInt32 {
    if givesReads { return give(width) }
    if takesWrites || offset >= 0x100_0000 { return UInt32.max >> UInt32(32 - 8 * width) }
    if isRegister(offset) { return readRegisters(offset & 0xFF, width) }
    var value: UInt32 = 0
    for n in 0..<width {
      value |= UInt32(readByte((exchanged(offset + n) & 0x3F_FFFF) << scale)) << UInt32(8 * n)
    }
    return value
  }

  func writeLinear(_ offset: Int, _ value: UInt32, _ width: Int) {
    if takesWrites { return take(value, width) }
    if offset >= 0x100_0000 { return }
    if isRegister(offset) { return writeRegisters(offset & 0xFF, value, width) }
    for n in 0..<width {
      writeByte(
        (exchanged(offset + n) & 0x3F_FFFF) << scale,
        UInt8(truncatingIfNeeded: value >> UInt32(8 * n)))
    }
  }

  /// Byte orders by where it is reached.
  private func exchanged(_ offset: Int) -> Int {
    switch offset >> 22 & 3 {
    case 1: offset ^ 1
    case 2: offset ^ 3
    default: offset
    }
  }

  /// The last 256 bytes of memory.
  private func isRegister(_ offset: Int) -> Bool {
    hasRegistersInLinear && (offset | 0xFF) & (memory.size - 1) == memory.size - 1
  }
}
