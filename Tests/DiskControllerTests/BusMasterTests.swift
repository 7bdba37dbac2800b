// The bus-master engine: registers, tables of regions, what the status says at the end.
//
// Expectations: Programming Interface for Bus Master IDE Controller 1.0 (the table of interrupt and active bits); Intel 290550 (PIIX3).

import Bus
import State
import Storage
import Testing

@testable import Chipset

/// A megabyte of memory, behind which nobody answers.
final class SmallMemory: DMAMemory {
  static let size = 1 << 20
  var bytes = [UInt8](repeating: 0, count: size)
  var writes = 0

  func dmaRead(_ address: UInt32, into buffer: UnsafeMutableRawBufferPointer) {
    for n in 0..<buffer.count {
      let at = Int(address) + n
      buffer[n] = at < SmallMemory.size ? bytes[at] : 0xFF
    }
  }
  func dmaWrite(_ address: UInt32, from buffer: UnsafeRawBufferPointer) {
    writes += 1
    for n in 0..<buffer.count where Int(address) + n < SmallMemory.size {
      bytes[Int(address) + n] = buffer[n]
    }
  }
  func dmaReach(_ address: UInt32, _ count: Int) -> Int {
    max(0, min(count, SmallMemory.size - Int(address)))
  }

  func put(_ address: UInt32, _ values: UInt32...) {
    for (n, value) in values.enumerated() {
      for byte in 0..<4 {
        bytes[Int(address) + 4 * n + byte] = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte))
      }
    }
  }
}

/// A channel with an engine.
final class BusMasterBench {
  let ide: IDEBench
  let memory = SmallMemory()
  let engine: BusMasterIDE

  init(_ images: (any BlockDevice)?...) {
    ide = IDEBench(images.first ?? nil, images.count > 1 ? images[1] : nil)
    engine = BusMasterIDE(channels: [ide.channel], memory: memory)
  }

  static let last: UInt32 = 0x8000_0000

  func write(_ offset: UInt32, _ value: UInt32, _ width: Int = 1) {
    engine.write(at: offset, value, width: width)
  }
  func read(_ offset: UInt32, _ width: Int = 1) -> UInt32 { engine.read(at: offset, width: width) }
  var status: UInt32 { read(2) }

  /// Points to a table and clears the status as drivers do.
  func prepare(table: UInt32, toMemory: Bool) {
    write(0, toMemory ? 8 : 0)
    write(4, table, 4)
    write(2, 6)
  }

  func start(toMemory: Bool) { write(0, toMemory ? 9 : 1) }

  /// A whole transfer; returns the status of the engine, and of the drive, when nothing moves any more.
  func transfer(_ command: UInt8, lba: UInt32, count: UInt8, table: UInt32 = 0x1000) -> (
    engine: UInt32, drive: UInt8
  ) {
    let toMemory = command == 0xC8 || command == 0x25
    prepare(table: table, toMemory: toMemory)
    ide.command28(command, lba: lba, count: count)
    start(toMemory: toMemory)
    ide.run(1_000_000_000)
    return (status, ide.alternate)
  }
}

@Suite struct BusMasterTests {
  @Test func aReadOfTheTablesSizeEndsWithInterruptAndNotActive() {
    let bench = BusMasterBench(numbered(100))
    bench.memory.put(0x1000, 0x2000, 3 * 512 | BusMasterBench.last)
    bench.prepare(table: 0x1000, toMemory: true)
    bench.ide.command28(0xC8, lba: 7, count: 3)
    bench.start(toMemory: true)
    #expect(bench.status == 1)
    #expect(bench.ide.alternate & 0x88 == 0x80)
    bench.ide.run(900_000)
    #expect(bench.status == 1 && bench.memory.writes == 0)
    bench.ide.run(1_000_000)
    #expect(bench.status == 4)
    #expect(bench.ide.irq.level && bench.ide.interrupts == 1)
    #expect(bench.ide.inb(7) == 0x50)
    for sector in 0..<3 {
      #expect(bench.memory.bytes[0x2000 + sector * 512] == UInt8(7 + sector))
      #expect(bench.memory.bytes[0x2000 + sector * 512 + 511] == UInt8(7 + sector))
    }
    #expect(bench.memory.bytes[0x2000 + 3 * 512] == 0)
    #expect(bench.ide.inb(3) == 9 && bench.ide.inb(2) == 0)
    // The interrupt bit goes when it is written; the start bit is the driver's.
    #expect(bench.read(0) == 9)
    bench.write(2, 4)
    #expect(bench.status == 0)
  }

  @Test func aWriteGathersRegions() {
    let image = numbered(100)
    let bench = BusMasterBench(image)
    for n in 0..<1024 { bench.memory.bytes[0x3000 + n] = UInt8(n & 0xFF) ^ 0x55 }
    bench.memory.put(0x1000, 0x3000, 6, 0x3006, 1000, 0x3006 + 1000, 18 | BusMasterBench.last)
    let (engine, drive) = bench.transfer(0xCA, lba: 20, count: 2)
    #expect(engine == 4 && drive == 0x50)
    #expect(Array(image.bytes[20 * 512..<22 * 512]) == Array(bench.memory.bytes[0x3000..<0x3400]))
    #expect(image.bytes[22 * 512] == 22)
  }

  @Test func aCountOfZeroIs64KiB() {
    let bench = BusMasterBench(numbered(400))
    bench.memory.put(0x1000, 0x1_0000, 0, 0x2_0000, BusMasterBench.last)
    let (engine, drive) = bench.transfer(0xC8, lba: 0, count: 0)
    #expect(engine == 4 && drive == 0x50)
    #expect(bench.memory.bytes[0x2_FFFF] == UInt8(255 % 251))
    #expect(bench.memory.bytes[0x3_0000] == 0)
  }

  @Test func regionsThatAreTooLongLeaveTheEngineActive() {
    let bench = BusMasterBench(numbered(100))
    bench.memory.put(0x1000, 0x2000, 0x1000 | BusMasterBench.last)
    let (engine, drive) = bench.transfer(0xC8, lba: 1, count: 1)
    #expect(engine == 5 && drive == 0x50)
    #expect(bench.memory.bytes[0x21FF] == 1 && bench.memory.bytes[0x2200] == 0)
    bench.write(0, 0)
    #expect(bench.status == 4)
  }

  @Test func regionsThatAreTooShortEndWithoutInterrupt() {
    let bench = BusMasterBench(numbered(100))
    bench.memory.put(0x1000, 0x2000, 0x10 | BusMasterBench.last)
    let (engine, drive) = bench.transfer(0xC8, lba: 1, count: 1)
    #expect(engine == 0)
    #expect(drive == 0x58 && bench.ide.interrupts == 0)
    #expect(bench.memory.bytes[0x200F] == 1 && bench.memory.bytes[0x2010] == 0)
    // The data port has none of it.
    #expect(bench.ide.channel.read(at: 0, width: 2) == 0)
    #expect(bench.ide.channel.blockRoom(at: 0, width: 2) == 0)
    bench.write(0, 0)
    bench.ide.control(4)
    bench.ide.control(0)
    #expect(bench.ide.wait() == 0x50)
    let again = bench.transfer(0xC8, lba: 2, count: 1)
    #expect(again.engine == 0 && bench.memory.bytes[0x2000] == 2)
  }

  @Test func regionsGoOnBehind64KiBTheTableDoesNot() {
    let bench = BusMasterBench(numbered(400))
    // From 1FE00h on, 1024 bytes, as UEFI's driver has regions. Bits 0 of address and count are no bits.
    bench.memory.put(0x1000, 0x1_FE01, 1025 | BusMasterBench.last)
    var (engine, _) = bench.transfer(0xC8, lba: 5, count: 2)
    #expect(engine == 4)
    #expect(bench.memory.bytes[0x1_FE00] == 5 && bench.memory.bytes[0x1_FFFF] == 5)
    #expect(bench.memory.bytes[0x2_0000] == 6 && bench.memory.bytes[0x2_01FF] == 6)
    #expect(bench.memory.bytes[0x1_0000] == 0 && bench.memory.bytes[0x2_0200] == 0)
    // The table goes on at the start of its 64 KiB, in the middle of an entry too.
    bench.memory.put(0x3_FFFC, 0x5000)
    bench.memory.put(0x3_0000, 512, 0x6000, 512 | BusMasterBench.last)
    (engine, _) = bench.transfer(0xC8, lba: 9, count: 2, table: 0x3_FFFC)
    #expect(engine == 4)
    #expect(bench.memory.bytes[0x51FF] == 9 && bench.memory.bytes[0x6000] == 10)
  }

  @Test func nobodyAnswersForTheTable() {
    let bench = BusMasterBench(numbered(100))
    let (engine, drive) = bench.transfer(0xC8, lba: 1, count: 1, table: 0x8000_0000)
    #expect(engine == 2 && drive == 0x58)
    bench.write(2, 2)
    #expect(bench.status == 0)
  }

  @Test func nobodyAnswersForARegion() {
    let bench = BusMasterBench(numbered(100))
    bench.memory.put(0x1000, 0xF_FE00, 1024 | BusMasterBench.last)
    let (engine, drive) = bench.transfer(0xC8, lba: 3, count: 2)
    // The first sector went where there is memory.
    #expect(engine == 2 && drive == 0x58)
    #expect(bench.memory.bytes[0xF_FFFF] == 3 && bench.memory.bytes[0xF_0000] == 0)
    bench.ide.control(4)
    bench.ide.control(0)
    #expect(bench.ide.wait() == 0x50)
    bench.memory.put(0x1000, 0x2000, 512, 0x10_0000, 512 | BusMasterBench.last)
    let (other, waiting) = bench.transfer(0xC8, lba: 3, count: 2)
    #expect(other == 2 && waiting == 0x58)
    #expect(bench.memory.bytes[0x21FF] == 3)
  }

  /// As QEMU's qtest of its own model has it: entries are zeros, the data go nowhere, the command ends.
  @Test func withoutPermissionTheDataGoNowhere() {
    let image = numbered(1_000)
    let bench = BusMasterBench(image)
    bench.engine.mayMaster = false
    bench.memory.put(0x1000, 0x2000, 512 | BusMasterBench.last)
    let (engine, drive) = bench.transfer(0xC8, lba: 1, count: 1)
    #expect(engine == 5 && drive == 0x50)
    #expect(bench.memory.writes == 0)
    bench.write(0, 0)
    let (written, _) = bench.transfer(0xCA, lba: 1, count: 1)
    #expect(written == 5 && image.bytes[512] == 0)
  }

  @Test func theOtherDirectionIsNeverAcknowledged() {
    let bench = BusMasterBench(numbered(100))
    bench.memory.put(0x1000, 0x2000, 512 | BusMasterBench.last)
    bench.prepare(table: 0x1000, toMemory: false)
    bench.ide.command28(0xC8, lba: 1, count: 1)
    bench.start(toMemory: false)
    bench.ide.run(10_000_000)
    #expect(bench.status == 1 && bench.ide.alternate == 0x58)
    // The direction cannot be changed while it is active.
    bench.write(0, 9)
    #expect(bench.read(0) == 1)
    bench.write(0, 0)
    bench.write(0, 9)
    #expect(bench.memory.bytes[0x2000] == 1)
    bench.ide.run(1_000_000)
    #expect(bench.status == 4)
  }

  @Test func theEngineMayStartLongBehindTheCommand() {
    let bench = BusMasterBench(numbered(100))
    bench.memory.put(0x1000, 0x2000, 512 | BusMasterBench.last)
    bench.prepare(table: 0x1000, toMemory: true)
    bench.ide.command28(0xC8, lba: 1, count: 1)
    bench.ide.run(50_000_000)
    #expect(bench.ide.alternate == 0x58 && bench.ide.interrupts == 0)
    bench.start(toMemory: true)
    // The data are there, the interrupt takes its time.
    #expect(bench.memory.bytes[0x2000] == 1 && bench.status == 1)
    #expect(bench.ide.interrupts == 0)
    bench.ide.run(20_000)
    #expect(bench.status == 4)
  }

  @Test func aStopInTheMiddleForgetsTheTable() {
    let bench = BusMasterBench(numbered(600))
    bench.memory.put(0x1000, 0x1_0000, 0, 0x2_0000, BusMasterBench.last)
    bench.prepare(table: 0x1000, toMemory: true)
    bench.ide.command28(0xC8, lba: 0, count: 0)
    bench.start(toMemory: true)
    // The first 64 KiB are moved, the drive is busy with the next.
    bench.ide.run(1_005_000)
    #expect(bench.status == 1 && bench.ide.alternate & 0x80 != 0)
    bench.write(0, 8)
    #expect(bench.status == 0)
    bench.ide.run(10_000_000)
    #expect(bench.ide.alternate == 0x58 && bench.memory.bytes[0x2_0000] == 0)
    // Started again, it begins with the table, the drive goes on where it is.
    bench.start(toMemory: true)
    #expect(bench.memory.bytes[0x1_0000] == 128)
    bench.ide.run(1_000_000)
    #expect(bench.status == 5)
  }

  @Test func registers() {
    let bench = BusMasterBench(numbered(10))
    #expect(bench.read(0, 4) == 0 && bench.read(4, 4) == 0)
    bench.write(4, 0x1234_5677, 4)
    #expect(bench.read(4, 4) == 0x1234_5674)
    bench.write(6, 0xABCD, 2)
    #expect(bench.read(4, 4) == 0xABCD_5674 && bench.read(5) == 0x56)
    bench.write(2, 0xFF)
    #expect(bench.status == 0x60)
    bench.write(2, 0x20)
    #expect(bench.status == 0x20)
    bench.write(1, 0xFF)
    bench.write(3, 0xFF)
    #expect(bench.read(1) == 0 && bench.read(3) == 0)
    bench.write(0, 0xF8)
    #expect(bench.read(0) == 8)
    // The second channel is not there.
    bench.write(8, 0xFFFF_FFFF, 4)
    #expect(bench.read(8, 4) == 0)
    bench.engine.reset()
    #expect(bench.read(0, 4) == 0 && bench.read(4, 4) == 0)
  }

  @Test func theInterruptBitFollowsTheEdgeOfAnyInterrupt() {
    let bench = BusMasterBench(numbered(10))
    bench.ide.command28(0x20, lba: 0, count: 2)
    bench.ide.run(2_000_000)
    #expect(bench.status == 4)
    // The line is still high: no edge, no bit.
    bench.write(2, 4)
    #expect(bench.status == 0 && bench.ide.irq.level)
    _ = bench.ide.inb(7)
    _ = bench.ide.words(256)
    bench.ide.run(2_000_000)
    #expect(bench.status == 4)
  }

  @Test func aTableWithoutEndEndsWithTheCommand() {
    let bench = BusMasterBench(FailingImage(sectorCount: 1 << 20, bad: 1 << 30))
    // Two bytes an entry, 8192 entries in a circle.
    for entry in 0..<8192 { bench.memory.put(UInt32(0x2_0000 + 8 * entry), 0x1_0000, 2) }
    bench.prepare(table: 0x2_0000, toMemory: true)
    bench.ide.command48(0x25, lba: 0, count: 2048)
    bench.start(toMemory: true)
    bench.ide.run(1_000_000_000)
    #expect(bench.status == 5 && bench.ide.alternate == 0x50)
    // A table that the transfer itself overwrites.
    bench.memory.put(0x1000, 0x1000, 0)
    bench.prepare(table: 0x1000, toMemory: true)
    bench.ide.command48(0x25, lba: 0, count: 0)
    bench.start(toMemory: true)
    bench.ide.run(1_000_000_000)
    #expect(bench.status & 0x98 == 0)
  }

  @Test func errorsOfTheDriveInterruptAnActiveEngine() {
    let bench = BusMasterBench(FailingImage(sectorCount: 1_000, bad: 130))
    bench.memory.put(0x1000, 0x1_0000, 0, 0x2_0000, BusMasterBench.last)
    let (engine, drive) = bench.transfer(0xC8, lba: 0, count: 0)
    #expect(engine == 5 && drive == 0x51)
    #expect(bench.ide.inb(1) == 0x40 && bench.ide.inb(3) == 130)
    let (beyond, status) = bench.transfer(0xC8, lba: 1_000, count: 1)
    #expect(beyond == 5 && status == 0x51 && bench.ide.inb(1) == 0x10)
  }

  @Test func goesOnAfterARestore() throws {
    func make() -> BusMasterBench {
      let bench = BusMasterBench(numbered(700))
      bench.memory.put(0x1000, 0x1_0000, 0xC000, 0x3_0000, 0x8000)
      bench.memory.put(0x1010, 0x4_0000, 0xC000 | BusMasterBench.last)
      return bench
    }
    let bench = make()
    bench.prepare(table: 0x1000, toMemory: true)
    bench.ide.command28(0xC8, lba: 33, count: 0)
    bench.start(toMemory: true)
    bench.ide.run(1_010_000)
    #expect(bench.status == 1)
    var writer = StateWriter()
    bench.ide.channel.save(to: &writer)
    bench.engine.save(to: &writer)
    bench.ide.clock.save(to: &writer)
    let other = make()
    other.memory.bytes = bench.memory.bytes
    other.ide.time.now = bench.ide.time.now
    var reader = StateReader(writer.bytes)
    try other.ide.channel.restore(from: &reader, version: IDEChannel.latestVersion)
    try other.engine.restore(from: &reader)
    try other.ide.clock.restore(from: &reader)
    #expect(reader.remaining == 0)
    for bench in [bench, other] { bench.ide.run(10_000_000) }
    #expect(bench.status == 4 && other.status == 4)
    #expect(bench.memory.bytes == other.memory.bytes)
  }

  @Test func anyAccessesAndAnyStateAreHarmless() throws {
    var seed: UInt64 = 0xB05_3A57
    func random() -> UInt32 {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt32(truncatingIfNeeded: seed >> 33)
    }
    func place() -> UInt32 { random() % 32 == 0 ? random() : random() & 0xF_FFFF }
    let commands: [UInt8] = [
      0xC8, 0xCA, 0x25, 0x35, 0x3D, 0x20, 0x30, 0xEC, 0x90, 0xEF, 0xB0, 0xF8, 0xF9, 0x27, 0x37,
      0x06,
    ]
    var bench = BusMasterBench(numbered(600), numbered(300))
    // Wherever a table is, its regions are mostly in memory; what is moved makes others of them.
    for address in stride(from: UInt32(0), to: UInt32(SmallMemory.size), by: 8) {
      bench.memory.put(address, place(), random() & 0x8000_0FFF)
    }
    for step in 0..<60_000 {
      switch random() % 10 {
      case 0: bench.ide.out(7, commands[Int(random()) % commands.count])
      case 1:
        // Sectors that there are, most of the time.
        let register = UInt16(random() % 6) + 1
        let value = UInt8(random() % 6)
        bench.ide.out(register, register == 6 ? 0xE0 | value & 1 << 4 : register > 3 ? 0 : value)
      case 2, 3: bench.ide.run(UInt64(random() % 1_500_000))
      case 4: bench.write(4, place() & ~7, 4)
      case 5: bench.write(0, random() % 16)
      case 6: bench.write(random() % 16, random(), 1 << Int(random() % 3))
      case 7: _ = bench.read(random() % 20, 1 << Int(random() % 3))
      case 8:
        if random() % 20 == 0 {
          bench.ide.control(4)
          bench.ide.control(UInt8(random() & 2))
        }
      default: bench.engine.mayMaster = random() % 8 != 0
      }
      if step % 1_000 == 0 {
        var writer = StateWriter()
        bench.engine.save(to: &writer)
        var bytes = writer.bytes
        let images = (0..<2).map { (bench.ide.channel.drive($0) as! ATADisk).image }
        let fresh = BusMasterBench(images[0], images[1])
        fresh.memory.bytes = bench.memory.bytes
        var reader = StateReader(bytes)
        try fresh.engine.restore(from: &reader)
        #expect(reader.remaining == 0)
        var again = StateWriter()
        fresh.engine.save(to: &again)
        #expect(again.bytes == bytes)
        bytes[Int(random()) % bytes.count] = UInt8(random() & 0xFF)
        var damaged = StateReader(bytes)
        do { try fresh.engine.restore(from: &damaged) } catch {}
        bench = fresh
        bench.ide.control(0)
      }
    }
  }
}
