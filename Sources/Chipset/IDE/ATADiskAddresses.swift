// How the registers of an ATA disk name sectors: cylinder, head and sector, 28 bits, 48 bits.
//
// Owns: the way between registers and sector numbers. Must not know: commands, transfers.
// After: ATA/ATAPI-6 clauses 6.2 and 6.9; ATA-1 for CHS.

import Storage

extension ATADisk {
  /// The sector that the registers name and how it was named; nil when CHS values are outside the translation or the sector cannot be
  /// addressed.
  func target(extended: Bool) -> (sector: UInt64, addressing: Addressing)? {
    address(extended: extended).flatMap { $0.sector < accessible ? $0 : nil }
  }

  /// The same for sectors that need not be there.
  func address(extended: Bool) -> (sector: UInt64, addressing: Addressing)? {
    let l = UInt64(low & 0xFF)
    let m = UInt64(mid & 0xFF)
    let h = UInt64(high & 0xFF)
    if extended {
      let lower = l | m << 8 | h << 16
      let upper = UInt64(low >> 8) | UInt64(mid >> 8) << 8 | UInt64(high >> 8) << 16
      return (lower | upper << 24, .lba48)
    }
    if device & 0x40 != 0 {
      return (l | m << 8 | h << 16 | UInt64(device & 0x0F) << 24, .lba28)
    }
    let cylinder = Int(m | h << 8)
    let head = Int(device & 0x0F)
    let sector = Int(l)
    guard sector >= 1, sector <= translation.sectors, head < translation.heads,
      cylinder < max(translation.cylinders, 1)
    else { return nil }
    return (
      UInt64((cylinder * translation.heads + head) * translation.sectors + sector - 1), .chs
    )
  }

  /// Puts a sector's address into the registers, the way the command named it.
  func putAddress(_ sector: UInt64) {
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

  func putCount() {
    count =
      addressing == .lba48 ? UInt16(truncatingIfNeeded: sectorsLeft) : UInt16(sectorsLeft & 0xFF)
  }
}
