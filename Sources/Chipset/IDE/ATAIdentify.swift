// The answer to IDENTIFY DEVICE.
//
// Owns: the 256 words. Must not know: commands. After: ATA/ATAPI-6 clause 8.15; ATA-1 for the words that have become obsolete
// but that BIOSes and older systems read (1, 3-6, 20-22, 54-58).

extension ATADisk {
  /// The 512 bytes of IDENTIFY DEVICE.
  func identifyData() -> [UInt8] {
    var words = [UInt16](repeating: 0, count: 256)
    words[0] = 0x0040  // fixed disk
    words[1] = UInt16(truncatingIfNeeded: min(geometry.cylinders, 16383))
    words[3] = UInt16(truncatingIfNeeded: geometry.heads)
    words[4] = UInt16(truncatingIfNeeded: geometry.sectors * 512)
    words[5] = 512
    words[6] = UInt16(truncatingIfNeeded: geometry.sectors)
    put(serial, into: &words, at: 10, count: 10)
    words[20] = 3  // buffered, with look-ahead
    words[21] = UInt16(IDEDrive.capacity / 512)
    words[22] = 4
    put("1.0", into: &words, at: 23, count: 4)
    put("Apus disk", into: &words, at: 27, count: 20)
    words[47] = 0x8000 | UInt16(ATADisk.largestMultiple)
    words[48] = 1  // 32-bit data port
    words[49] = 0x0B00  // IORDY, LBA, DMA
    words[50] = 0x4000
    words[51] = 0x0200
    words[52] = 0x0200
    words[53] = 0x0007  // words 54-58, 64-70 and 88 are valid
    words[54] = UInt16(truncatingIfNeeded: translation.cylinders)
    words[55] = UInt16(truncatingIfNeeded: translation.heads)
    words[56] = UInt16(truncatingIfNeeded: translation.sectors)
    let current = min(
      UInt64(translation.cylinders * translation.heads * translation.sectors), accessible)
    put(current, into: &words, at: 57, count: 2)
    words[59] = multiple == 0 ? 0 : 0x0100 | UInt16(multiple)
    put(min(accessible, 0x0FFF_FFFF), into: &words, at: 60, count: 2)
    words[62] = 0x0007 | selected(0x10)  // single word DMA modes 0 to 2
    words[63] = 0x0007 | selected(0x20)  // multiword DMA modes 0 to 2
    words[64] = 0x0003  // PIO modes 3 and 4
    words[65] = 120  // nanoseconds of a multiword DMA cycle: at least, recommended
    words[66] = 120
    words[67] = 120
    words[68] = 120
    words[69] = 0x4020  // what was trimmed reads as zeros
    // Linux discards only on disks of ATA/ATAPI-7 and later.
    words[80] = 0x00FC  // ATA-2 to ATA/ATAPI-7
    // Supported: NOP, READ BUFFER, WRITE BUFFER, host protected area, look-ahead, write cache, power management, SMART;
    // FLUSH CACHE (EXT), LBA48; FUA, SMART self-test and error log. The same again: in force.
    words[82] = 0x7469
    words[83] = 0x7400
    words[84] = 0x4043
    words[85] =
      0x7408 | (writeCache ? 0x20 : 0) | (lookAhead ? 0x40 : 0) | (smart.isEnabled ? 1 : 0)
    words[86] = 0x3400
    words[87] = 0x4043
    words[88] = 0x003F | selected(0x40)  // Ultra DMA modes 0 to 5
    // A cable of 80 wires; what the hardware reset found.
    words[93] = index == 0 ? 0x6009 : 0x6900
    put(accessible, into: &words, at: 100, count: 4)
    words[105] = UInt16(ATADisk.largestTrim)  // blocks of ranges of one TRIM
    words[169] = 0x0001  // TRIM

    var bytes: [UInt8] = []
    bytes.reserveCapacity(512)
    for word in words {
      bytes.append(UInt8(word & 0xFF))
      bytes.append(UInt8(word >> 8))
    }
    // The integrity word: a signature, and what makes the sum of all bytes zero.
    bytes[510] = 0xA5
    bytes[511] = 0 &- bytes[0..<511].reduce(0, &+)
    return bytes
  }

  /// The bit in the high byte of a word of DMA modes that tells which of them is selected.
  private func selected(_ kind: UInt8) -> UInt16 {
    dmaMode & 0xF0 == kind ? 0x0100 << UInt16(dmaMode & 0x07) : 0
  }

  /// ATA strings: padded with spaces, the first character in the high byte of a word.
  private func put(_ text: String, into words: inout [UInt16], at first: Int, count: Int) {
    var characters = text.utf8.prefix(count * 2).map { (0x20...0x7E).contains($0) ? $0 : 0x3F }
    characters += [UInt8](repeating: 0x20, count: count * 2 - characters.count)
    for i in 0..<count {
      words[first + i] = UInt16(characters[2 * i]) << 8 | UInt16(characters[2 * i + 1])
    }
  }

  private func put(_ value: UInt64, into words: inout [UInt16], at first: Int, count: Int) {
    for i in 0..<count { words[first + i] = UInt16(truncatingIfNeeded: value >> UInt64(16 * i)) }
  }
}
