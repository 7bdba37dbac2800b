// Orders of accesses that lead into devices: commands with their parameters, as drivers give them, with one thing or another wrong.
//
// Owns: what a command looks like. Must not know: what a device does with it.
// Follows: ATA/ATAPI-4, SFF-8020i, SFF-8038i, 82077AA, 8237A, 8042, MC146818, 8254, 8259A, 16550A and VGA data sheets, the Plug and Play
// ISA Specification 1.0a, QEMU's fw_cfg.

extension FuzzMaker {
  /// An order for a device; empty when there is none for it.
  mutating func sequence(_ name: String) -> [FuzzAccess] {
    switch name {
    case "ide0": return random.oneIn(3) ? atapi(0x1F0, 0x3F6, 0xC000) : ata(0x1F0, 0x3F6, 0xC000)
    case "ide1": return random.oneIn(2) ? atapi(0x170, 0x376, 0xC008) : ata(0x170, 0x376, 0xC008)
    case "piix-ide":
      return random.oneIn(3)
        ? moveBAR() : ata(random.oneIn(2) ? 0x1F0 : 0x170, 0x3F6, random.oneIn(2) ? 0xC000 : 0xC008)
    case "fdc": return floppy()
    case "dma": return dma(random.upTo(8))
    case "i8042": return keyboard()
    case "cmos", "cmos-upper": return clock()
    case "pit", "port61": return timer()
    case "pic": return interrupts()
    case "vga": return video()
    case "fw-cfg": return firmware()
    case "isapnp", "pnp-uart", "pnp-uart2": return plugAndPlay()
    case "i440fx": return bridge()
    case "piix3": return configuration(0x08)
    case "local-apic", "io-apic": return apic()
    case "memory-map": return hasPCI && random.oneIn(3) ? bridge() : []
    default: return name.hasPrefix("com") ? serial() : []
    }
  }

  private mutating func pick(_ list: [UInt32]) -> UInt32 { list[random.below(list.count)] }

  // MARK: Disks

  private mutating func waitForIDE(_ control: UInt32) -> [FuzzAccess] {
    // Commands take a millisecond of virtual time; often enough they do not get it.
    random.oneIn(3)
      ? rest() + [.in(control)] : random.oneIn(2) ? [.delay(random.upTo(3000))] : []
  }

  private mutating func ata(_ base: UInt32, _ control: UInt32, _ master: UInt32) -> [FuzzAccess] {
    let command =
      random.oneIn(4)
      ? random.byte()
      : pick([
        0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0x40, 0xC4, 0xC5, 0xC6, 0xC8, 0xCA, 0xEC,
        0xEF, 0xE7, 0xEA, 0xF8, 0xF9, 0x27, 0x37, 0xB0, 0x06, 0x91, 0x10, 0x70, 0x08, 0xE0, 0xE6,
        0xA1, 0xA0, 0xC0, 0x42, 0xB1, 0xF5,
      ])
    var list: [FuzzAccess] = [.out(base + 6, pick([0xA0, 0xE0, 0xB0, 0xF0]) | random.upTo(2))]
    for _ in 0..<(random.oneIn(3) ? 2 : 1) {
      for register in 1...5 as ClosedRange<UInt32> where !random.oneIn(8) {
        let value =
          register == 2
          ? random.upTo(5)
          : register == 1
            ? pick([0, 2, 3, 0x42, 0xAA, 0x55, 0xCC, 0x03, 0x82, 0xD0, 0xD8, 0xDA, 0x01, 0x06])
            : register == 4 && command == 0xB0
              ? 0x4F
              : register == 5 && command == 0xB0
                ? 0xC2
                : register == 3 ? random.upTo(64) : random.upTo(random.oneIn(6) ? 256 : 2)
        list.append(.out(base + register, value))
      }
    }
    if random.oneIn(12) { list.append(.out(control, pick([0, 2, 4, 6, 0x80, 0x08]))) }
    list.append(.out(base + 7, command))
    list += waitForIDE(control)
    list += transfer(base, control, master)
    return list
  }

  /// Moves data by port or by bus master.
  private mutating func transfer(_ base: UInt32, _ control: UInt32, _ master: UInt32)
    -> [FuzzAccess]
  {
    switch random.below(6) {
    case 0, 1: return [FuzzAccess(.insWord, base, count: random.oneIn(4) ? random.upTo(600) : 256)]
    case 2:
      return [FuzzAccess(random.oneIn(2) ? .outsWord : .outsDword, base, count: random.upTo(300))]
    case 3,
      4 where hasPCI:
      let table = random.oneIn(8) ? transferAddress() : FuzzWorld.buffer + random.upTo(0x200) & ~3
      var list: [FuzzAccess] = [
        .out(master + 4, table, width: 4), .out(master + 2, 6),
        .out(master, pick([1, 9, 8, 0, 9, 1])),
      ]
      list += waitForIDE(control)
      list += [.in(master + 2), .in(base + 7), .out(master, pick([0, 0, 0, 8, 9]))]
      return list
    default: return [.in(base + 7), .in(base, width: 2), .in(control)]
    }
  }

  private mutating func atapi(_ base: UInt32, _ control: UInt32, _ master: UInt32) -> [FuzzAccess] {
    let command: UInt32 =
      random.oneIn(4)
      ? random.byte()
      : pick([
        0x00, 0x03, 0x12, 0x1A, 0x1B, 0x1E, 0x25, 0x28, 0x2B, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47,
        0x48, 0x4A, 0x4B, 0x4E, 0x51, 0x52, 0x55, 0x5A, 0xA5, 0xA8, 0xAD, 0xB9, 0xBA, 0xBB, 0xBD,
        0xBE, 0x15, 0xDA,
      ])
    var packet: [UInt32] = [command]
    for n in 1..<12 {
      let value: UInt32
      switch n {
      case 1: value = random.oneIn(2) ? 0 : random.byte()
      case 2...3: value = random.oneIn(6) ? random.byte() : 0
      case 4, 6, 7: value = random.oneIn(4) ? random.byte() : random.upTo(3)
      case 9: value = pick([0, 0x10, 0xF8, 0xFF, 0x11, 0x02])
      default: value = random.oneIn(2) ? random.byte() : random.upTo(60)
      }
      packet.append(value)
    }
    let limit = pick([0xFFFE, 2048, 2352, 12, 1, 0, 0xFFFF, 511])
    var list: [FuzzAccess] = [
      .out(base + 6, pick([0xA0, 0xB0])), .out(base + 1, random.upTo(4)),
      .out(base + 4, limit & 0xFF), .out(base + 5, limit >> 8), .out(base + 7, 0xA0),
    ]
    list += waitForIDE(control)
    for n in stride(from: 0, to: random.oneIn(10) ? 8 : 12, by: 2) {
      list.append(.out(base, packet[n] | packet[n + 1] << 8, width: 2))
    }
    list += waitForIDE(control)
    list += transfer(base, control, master)
    if random.oneIn(2) { list += transfer(base, control, master) }
    return list
  }

  private mutating func floppy() -> [FuzzAccess] {
    let command: UInt32 =
      random.oneIn(5)
      ? random.byte()
      : pick([
        0x03, 0x04, 0x07, 0x08, 0x0A, 0x0E, 0x0F, 0x10, 0x12, 0x13, 0x14, 0x94, 0x33, 0x2E, 0x45,
        0xC5, 0xE6, 0x46, 0x66, 0x42, 0x4D, 0x49, 0x8F, 0xCF, 0x16, 0xD1, 0xD9, 0xDD, 0x4E,
      ])
    let unit = random.upTo(random.oneIn(5) ? 8 : 2)
    var list: [FuzzAccess] = [
      .out(0x3F2, pick([0x1C, 0x2D, 0x3C, 0x3D, 0x14, 0x0C, 0x00]) | unit & 1),
      .out(0x3F7, random.upTo(4)),
    ]
    if random.oneIn(2) { list += dma(2) }
    list.append(.out(0x3F5, command))
    let parameters: [UInt32] = [
      unit, random.oneIn(4) ? random.byte() : random.upTo(3), unit >> 2,
      random.upTo(20), random.oneIn(5) ? random.byte() : 2,
      random.oneIn(5) ? random.byte() : 18, pick([0x1B, 0x54, 0, 0xFF]), 0xFF,
    ]
    for value in parameters.prefix(random.below(9)) { list.append(.out(0x3F5, value)) }
    if random.oneIn(2) { list += rest() }
    for _ in 0..<random.below(10) { list += [.in(0x3F4), .in(0x3F5)] }
    return list
  }

  private mutating func dma(_ channel: UInt32) -> [FuzzAccess] {
    let pages: [UInt32] = [0x87, 0x83, 0x81, 0x82, 0x8F, 0x8B, 0x89, 0x8A]
    let n = channel & 3
    let isWide = channel >= 4
    let address = isWide ? 0xC0 + n * 4 : n * 2
    let count = isWide ? 0xC2 + n * 4 : n * 2 + 1
    let (mask, mode, clear): (UInt32, UInt32, UInt32) =
      isWide ? (0xD4, 0xD6, 0xD8) : (0x0A, 0x0B, 0x0C)
    let to = transferAddress()
    let length = random.oneIn(3) ? random.word() : 0x1FF
    return [
      .out(mask, n | 4), .out(clear, 0),
      .out(mode, random.oneIn(3) ? random.byte() : 0x44 | n | random.upTo(3) << 2),
      .out(address, to & 0xFF), .out(address, to >> 8 & 0xFF),
      .out(pages[Int(channel)], to >> 16 & 0xFF), .out(count, length & 0xFF),
      .out(count, length >> 8 & 0xFF), .out(mask, n),
    ]
  }

  // MARK: Input, time, interrupts

  private mutating func keyboard() -> [FuzzAccess] {
    var command =
      random.oneIn(3)
      ? random.byte()
      : pick([
        0x20, 0x60, 0xA7, 0xA8, 0xA9, 0xAA, 0xAB, 0xAD, 0xAE, 0xC0, 0xD0, 0xD1, 0xD2, 0xD3, 0xD4,
        0xE0,
      ])
    // A reset of the processor is worth trying, but not all the time.
    if command >= 0xF0 && !random.oneIn(30) { command = 0xD4 }
    var list: [FuzzAccess] = [.out(0x64, command)]
    if !random.oneIn(3) {
      var value =
        random.oneIn(2)
        ? random.byte() : pick([0xF4, 0xF5, 0xF2, 0xF3, 0xED, 0xEE, 0xF0, 0xFF, 0xE8, 0xE9, 0xEB])
      if command == 0xD1 { value |= 1 }
      list.append(.out(0x60, value))
    }
    if random.oneIn(2) { list.append(.delay(random.upTo(2000))) }
    for _ in 0..<random.below(4) { list += [.in(0x64), .in(0x60)] }
    return list
  }

  private mutating func clock() -> [FuzzAccess] {
    let register = random.oneIn(3) ? random.byte() : random.upTo(0x10)
    return [
      .out(0x70, register),
      random.oneIn(2) ? .in(0x71) : .out(0x71, register == 0x0F ? 0 : random.byte()),
    ]
  }

  private mutating func timer() -> [FuzzAccess] {
    let channel = random.upTo(3)
    var list: [FuzzAccess] = [
      .out(0x43, channel << 6 | random.upTo(64)), .out(0x40 + channel, random.byte()),
      .out(0x40 + channel, random.oneIn(2) ? 0 : random.byte()),
    ]
    if random.oneIn(3) { list.append(.out(0x61, random.byte())) }
    if random.oneIn(3) { list += [.out(0x43, 0xC0 | random.upTo(64)), .in(0x40 + channel)] }
    return list
  }

  private mutating func interrupts() -> [FuzzAccess] {
    let base: UInt32 = random.oneIn(2) ? 0x20 : 0xA0
    switch random.below(4) {
    case 0:
      return [
        .out(base, 0x10 | random.byte() & 0x1F), .out(base + 1, random.byte()),
        .out(base + 1, random.byte()), .out(base + 1, random.byte()),
      ]
    case 1: return [.out(base, 0x0A | random.upTo(2)), .in(base)]
    case 2:
      return [
        .out(base, pick([0x0C, 0x68, 0x48, 0x20, 0xA0, 0xE0, 0xC3, 0x80])), .in(base),
        .out(0x4D0 + random.upTo(2), random.byte()),
      ]
    default: return [.out(base + 1, random.byte())]
    }
  }

  private mutating func apic() -> [FuzzAccess] {
    switch random.below(6) {
    case 0:
      return [.store(0xFEC0_0000, random.byte() & 0x3F), .store(0xFEC0_0010, random.value())]
    case 1: return [.store(0xFEE0_0300, random.value()), .store(0xFEE0_0310, random.value())]
    case 2:
      return [
        .store(0xFEE0_00F0, 0x100 | random.byte()),
        .store(0xFEE0_0320 + random.upTo(6) * 0x10, random.value()),
        .store(0xFEE0_03E0, random.value()), .store(0xFEE0_0380, random.value()),
      ]
    case 3 where random.oneIn(20):
      return [
        FuzzAccess(
          .writeMSR, 0, random.oneIn(2) ? 0xFEE0_0900 : address32() & 0xFFFF_F900, count: 0x1B)
      ]
    default:
      let register = random.upTo(64) << 4
      return [
        random.oneIn(2)
          ? FuzzAccess(.loadDword, 0xFEE0_0000 + register)
          : .store(0xFEE0_0000 + register, random.value())
      ]
    }
  }

  private mutating func serial() -> [FuzzAccess] {
    let base = target.ports.first?.lowerBound ?? 0x3F8
    return [
      .out(base + 3, pick([0x80, 0x03, 0x83, 0xFF])), .out(base, random.byte()),
      .out(base + 1, random.oneIn(2) ? 0 : random.byte()), .out(base + 3, random.byte() & 0x7F),
      .out(base + 2, random.byte()), .out(base + 4, random.byte()), .out(base + 1, random.byte()),
      .out(base, random.byte()), .in(base + 2), .in(base + 5), .in(base),
    ]
  }

  // MARK: Pictures

  private mutating func video() -> [FuzzAccess] {
    switch random.below(5) {
    case 0:
      return [.out(0x3D4, random.upTo(32) | random.byte() << 8, width: 2)]
    case 1: return [.out(0x3C4, random.upTo(6) | random.byte() << 8, width: 2)]
    case 2: return [.out(0x3CE, random.upTo(10) | random.byte() << 8, width: 2)]
    case 3:
      return [.in(0x3DA), .out(0x3C0, random.upTo(0x40)), .out(0x3C0, random.byte())]
    default:
      return [.out(0x3C2, random.byte()), .out(0x3C8, random.byte()), .out(0x3C9, random.byte())]
    }
  }

  // MARK: Board

  private mutating func firmware() -> [FuzzAccess] {
    let item =
      random.oneIn(3)
      ? random.value() : pick([0, 1, 3, 5, 0x0D, 0x0E, 0x19, 0x20, 0x21, 0x22, 0x8002])
    if random.oneIn(3) {
      return [
        .out(0x510, item, width: 2),
        FuzzAccess(.insByte, 0x511, count: random.upTo(random.oneIn(6) ? 5000 : 64)),
      ]
    }
    let at = FuzzWorld.buffer + 0x8000 + random.upTo(0x100) * 16
    let control =
      (random.oneIn(4) ? random.value() : pick([2, 4, 8, 0x0A, 0x0C, 0x10, 0x1A, 0x18])) | item
      << 16
    let length = random.oneIn(8) ? random.value() : random.upTo(0x400)
    let high = random.oneIn(10) ? random.value() : 0
    let place = random.oneIn(30) ? transferAddress() : at
    return [
      .store(at, control.byteSwapped), .store(at + 4, length.byteSwapped),
      .store(at + 8, high.byteSwapped), .store(at + 12, transferAddress().byteSwapped),
      .out(0x514, (random.oneIn(20) ? random.value() : 0).byteSwapped, width: 4),
      .out(0x518, place.byteSwapped, width: 4), FuzzAccess(.loadDword, at),
    ]
  }

  private mutating func plugAndPlay() -> [FuzzAccess] {
    var list: [FuzzAccess] = []
    if random.oneIn(4) {
      // The initiation key, now and then with an error in it.
      list += [.out(0x279, 0), .out(0x279, 0)]
      var key: UInt32 = 0x6A
      for _ in 0..<32 {
        list.append(.out(0x279, random.oneIn(200) ? random.byte() : key))
        key = key >> 1 | ((key ^ key >> 1) & 1) << 7
      }
    }
    let readPort: UInt32 = 0x203 | random.upTo(0x80) << 2
    for _ in 0..<(1 + random.below(6)) {
      switch random.below(6) {
      case 0: list += [.out(0x279, 3), .out(0xA79, random.upTo(4))]
      case 1: list += [.out(0x279, 0), .out(0xA79, readPort >> 2)]
      case 2: list += [FuzzAccess.out(0x279, 1)] + [FuzzAccess](repeating: .in(readPort), count: 72)
      case 3:
        list += [.out(0x279, pick([4, 5, 6, 7])), .out(0xA79, random.upTo(3)), .in(readPort)]
      case 4:
        list += [
          .out(0x279, pick([0x30, 0x31, 0x60, 0x61, 0x70, 0x71, 0x74])),
          .out(0xA79, random.byte()), .in(readPort),
        ]
      default: list += [.out(0x279, 2), .out(0xA79, random.upTo(8))]
      }
    }
    return list
  }

  private mutating func moveBAR() -> [FuzzAccess] {
    let address = 0x8000_0900 as UInt32
    return [
      .out(0xCF8, address | 0x04, width: 4), .out(0xCFC, random.upTo(8), width: 2),
      .out(0xCF8, address | 0x20, width: 4), .out(0xCFC, address32(), width: 4),
      .out(0xCF8, address | 0x40, width: 4),
      .out(0xCFC, random.oneIn(2) ? 0x8000_8000 : random.value(), width: 4),
      .out(0xCF8, address | 0x04, width: 4),
      .out(0xCFC, random.oneIn(3) ? random.upTo(8) : 5, width: 2),
    ]
  }

  private mutating func bridge() -> [FuzzAccess] {
    let register = random.oneIn(4) ? 0x72 : 0x58 + random.upTo(8)
    var list: [FuzzAccess] = [
      .out(0xCF8, 0x8000_0000 | register & 0xFC, width: 4),
      .out(
        0xCFC + register & 3,
        random.oneIn(3) ? random.byte() : pick([0, 0x33, 0x11, 0x22, 0x4A, 0x0A])),
    ]
    let at = 0xA_0000 + random.upTo(0x6_0000)
    list += [.store(at, random.word()), FuzzAccess(.loadDword, at)]
    // Code there: a return, made and called.
    if random.oneIn(3) { list += [FuzzAccess(.storeByte, at, 0xC3), FuzzAccess(.loadByte, at)] }
    if random.oneIn(20) { list.append(FuzzAccess(.execute, at)) }
    return list
  }
}
