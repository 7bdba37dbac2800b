// Makes tables of accesses: at random within what a device has, and in orders that lead into it.
//
// Owns: the mixture. Must not know: machines, comparing; what leads into particular devices (FuzzSequences*.swift).

/// Makes the tables for one device.
struct FuzzMaker {
  let target: FuzzTarget
  /// Of the whole machine.
  let others: [FuzzTarget]
  let hasPCI: Bool
  var random: FuzzRandom
  /// What memory is to hold before.
  var pages: [(UInt32, [UInt8])] = []

  init(_ target: FuzzTarget, _ others: [FuzzTarget], hasPCI: Bool, seed: UInt64) {
    (self.target, self.others, self.hasPCI) = (target, others, hasPCI)
    random = FuzzRandom(seed)
  }

  /// A table of about so many accesses.
  mutating func table(_ count: Int) -> [FuzzAccess] {
    var table = random.oneIn(3) ? [] : preparation()
    // Where transfers lead.
    pages.append((FuzzWorld.buffer, regions(64)))
    while table.count < count {
      switch random.below(32) {
      case 0: table += surroundings()
      case 1: table.append(.delay(random.upTo(random.oneIn(20) ? 20_000 : 300)))
      case 2: table.append(FuzzAccess(random.oneIn(3) ? .mask : .unmask))
      case 3 where random.oneIn(4): table += rest()
      case 4 where random.oneIn(2): table += anywhere(random.one(of: others))
      case 5...17:
        let order = sequence(target.name)
        table += order.isEmpty ? anywhere(target) : order
      default: table += anywhere(target)
      }
    }
    return Array(table.prefix(FuzzWorld.most))
  }

  /// The numbers of the ports in instructions.
  mutating func immediates() -> [UInt8] {
    let low = target.ports.filter { $0.lowerBound < 256 }
    return (0..<3).map { _ in
      guard !low.isEmpty else { return UInt8(random.byte()) }
      let range = random.one(of: low)
      return UInt8(truncatingIfNeeded: range.lowerBound + random.upTo(UInt32(range.count)))
    }
  }

  /// Time for a device to finish: most often in a loop, as HLT where no interrupt comes would last to the end of the table.
  mutating func rest() -> [FuzzAccess] {
    random.oneIn(600)
      ? [FuzzAccess(.sleep)] : [FuzzAccess(.unmask), .delay(500 + random.upTo(3000))]
  }

  // MARK: At random

  /// An access somewhere in what a device has, or just beside it.
  mutating func anywhere(_ target: FuzzTarget) -> [FuzzAccess] {
    let kinds = [target.ports.isEmpty, target.memory.isEmpty, target.functions.isEmpty]
    switch kinds.indices.filter({ !kinds[$0] }).randomOne(&random) {
    case 0: return [port(in: random.one(of: target.ports))]
    case 1: return [memory(in: random.one(of: target.memory))]
    case 2: return configuration(random.one(of: target.functions))
    default: return [.delay(10)]
    }
  }

  mutating func place(in range: ClosedRange<UInt32>) -> UInt32 {
    let length = UInt64(range.upperBound - range.lowerBound) + 1
    var at = range.lowerBound &+ UInt32(truncatingIfNeeded: random.next() % length)
    if length > 0x1000 && random.oneIn(2) { at = range.lowerBound &+ at & 0xFFF }
    return random.oneIn(12) ? at &+ random.upTo(9) &- 4 : at
  }

  mutating func port(in range: ClosedRange<UInt32>) -> FuzzAccess {
    let port = place(in: range) & 0xFFFF
    switch random.below(40) {
    case 0:
      let operation = random.one(of: [FuzzOperation.insByte, .insWord, .insDword])
      return FuzzAccess(operation, port, count: random.upTo(random.oneIn(4) ? 700 : 20))
    case 1:
      let operation = random.one(of: [FuzzOperation.outsByte, .outsWord, .outsDword])
      return FuzzAccess(operation, port, count: random.upTo(random.oneIn(4) ? 700 : 20))
    case 2: return FuzzAccess(random.oneIn(2) ? .inImmediate : .inImmediateDword)
    case 3: return FuzzAccess(.outImmediate, 0, random.value())
    default:
      let width = random.width()
      return random.oneIn(2)
        ? .in(port, width: width) : .out(port, random.value(), width: width)
    }
  }

  mutating func memory(in range: ClosedRange<UInt32>) -> FuzzAccess {
    let at = place(in: range)
    switch random.below(24) {
    case 0: return FuzzAccess(.copyFrom, at, count: random.upTo(64))
    case 1: return FuzzAccess(.copyTo, at, random.value(), count: random.upTo(64))
    case 2: return FuzzAccess(.modify, at, random.value(), count: random.word())
    case 3: return FuzzAccess(.wide, at)
    case 4: return FuzzAccess(.sse, at)
    case 5: return FuzzAccess(.moveWithin, at, place(in: range), count: random.upTo(200))
    case 6 where random.oneIn(30): return FuzzAccess(.execute, at)
    case 7...14:
      return FuzzAccess(random.one(of: [.loadByte, .loadWord, .loadDword]), at)
    default:
      let operation = random.one(of: [FuzzOperation.storeByte, .storeWord, .storeDword])
      return FuzzAccess(operation, at, random.value())
    }
  }

  /// An access to configuration space, aligned and not.
  mutating func configuration(_ function: UInt32) -> [FuzzAccess] {
    let offset: UInt32 =
      random.oneIn(2)
      ? random.one(of: [
        0x04, 0x10, 0x14, 0x18, 0x20, 0x24, 0x30, 0x3C, 0x40, 0x58, 0x5C, 0x60, 0x72,
      ])
      : random.upTo(256)
    let function = random.oneIn(30) ? random.upTo(256) : function
    let address = 0x8000_0000 | function << 8 | offset & 0xFC
    let data = 0xCFC + (random.oneIn(3) ? random.upTo(4) : offset & 3)
    let width = random.oneIn(2) ? 4 : random.width()
    let access: FuzzAccess =
      random.oneIn(3) ? .in(data, width: width) : .out(data, address32(), width: width)
    return [.out(0xCF8, address, width: 4), access]
  }

  /// Something for a base address: on top of RAM, ROM, video memory, other devices, ports that are another's, or anything.
  mutating func address32() -> UInt32 {
    switch random.below(10) {
    case 0: random.one(of: [0, 0x000A_0001, 0xFFFF_FFFF, 0xFFFF_FFFE])
    case 1: random.upTo(16) << 16
    case 2: random.one(of: [0xFEE0_0000, 0xFEC0_0000, 0xFFFF_0000, 0x0080_0000, 0x0070_0000])
    case 3:
      random.one(of: [0x1F1, 0x171, 0x3F1, 0x61, 0x21, 0x41, 0xCF1, 0xCF9, 0xC001, 0x511, 0x3C1])
    case 4: random.upTo(0x1_0000) | 1
    default: random.value()
    }
  }

  /// Where a transfer may lead.
  mutating func transferAddress() -> UInt32 {
    switch random.below(16) {
    case 0: random.one(of: [0, 0x7F_FFF0, 0x80_0000, 0xA_0000, 0xF_FFF0, 0xFFFF_FFF0, 0xFEE0_0000])
    case 1: random.word()
    case 2: random.upTo(0x10_0000)
    default: FuzzWorld.buffer + random.upTo(0x1_0000)
    }
  }

  /// Tables as bus masters and firmware devices read them, hostile ones.
  private mutating func regions(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    for _ in 0..<count {
      let address = transferAddress()
      let length = random.oneIn(3) ? random.value() : random.upTo(0x800)
      let flags: UInt32 = random.oneIn(4) ? 0x8000_0000 : 0
      for word in [address, length & 0x7FFF_FFFF | flags] {
        withUnsafeBytes(of: word.littleEndian) { bytes += $0 }
      }
    }
    return bytes
  }

  // MARK: Around

  /// The interrupt controllers as they are usually set, and the parts that are switched off after a reset.
  mutating func preparation() -> [FuzzAccess] {
    var list: [FuzzAccess] = [
      .out(0x20, 0x11), .out(0xA0, 0x11), .out(0x21, 0x20), .out(0xA1, 0x28), .out(0x21, 4),
      .out(0xA1, 2), .out(0x21, random.oneIn(2) ? 1 : 0x11), .out(0xA1, 1),
      .out(0x21, random.oneIn(2) ? 0 : random.byte()), .out(0xA1, 0),
    ]
    if hasPCI {
      // IDE: ports, bus master at C000h.
      for (offset, value) in [(0x20, 0xC001), (0x04, 5), (0x40, 0x8000_8000)] as [(UInt32, UInt32)]
      {
        list += [.out(0xCF8, 0x8000_0900 | offset, width: 4), .out(0xCFC, value, width: 4)]
      }
    }
    list += [.out(0x43, 0x34), .out(0x40, random.byte()), .out(0x40, random.byte())]
    list.append(FuzzAccess(.unmask))
    return list
  }

  /// Something elsewhere in the machine that devices depend on.
  private mutating func surroundings() -> [FuzzAccess] {
    switch random.below(6) {
    case 0: [.out(0x21, random.byte())]
    case 1: [.out(0xA1, random.byte())]
    case 2: [.out(0x20, random.byte() & 0xE7), .out(0xA0, 0x20)]
    case 3: [.out(0x92, random.byte() & 2)]
    case 4: random.oneIn(20) ? preparation() : []
    default: [.out(0x43, random.byte()), .out(0x40 + random.upTo(3), random.byte())]
    }
  }
}

extension Array {
  fileprivate func randomOne(_ random: inout FuzzRandom) -> Element? {
    isEmpty ? nil : self[random.below(count)]
  }
}
