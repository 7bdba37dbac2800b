import Bus
import State
import Storage
import Testing

@testable import Chipset

/// A channel with a fake clock: an instruction is a nanosecond.
final class IDEBench {
  final class Time { var now: UInt64 = 0 }

  let time = Time()
  let clock = VirtualClock(instructionsPerSecond: 1_000_000_000)
  let irq = Signal()
  let channel: IDEChannel
  var interrupts = 0

  init(_ images: (any BlockDevice)?...) {
    let time = time
    clock.instructionCount = { time.now }
    channel = IDEChannel(clock: clock, irq: irq, name: "ide0")
    for (index, image) in images.enumerated() {
      if let image {
        channel.attach(
          drive: index,
          ATADisk(
            image: image, geometry: DiskGeometry.standard(sectorCount: image.sectorCount),
            serial: "TEST\(index)"))
      }
    }
    channel.reset(.power)
    irq.connect { [unowned self] level in if level { self.interrupts += 1 } }
  }

  func run(_ nanoseconds: UInt64) {
    let end = time.now + nanoseconds
    while clock.nextDeadline <= end {
      time.now = max(time.now, clock.nextDeadline)
      clock.runDueEvents()
    }
    time.now = end
  }

  func out(_ register: UInt16, _ value: UInt8) {
    channel.write(at: UInt32(register), UInt32(value), width: 1)
  }
  func inb(_ register: UInt16) -> UInt8 {
    UInt8(channel.read(at: UInt32(register), width: 1))
  }
  var alternate: UInt8 { UInt8(channel.read(at: 8, width: 1)) }
  func control(_ value: UInt8) { channel.write(at: 8, UInt32(value), width: 1) }

  /// Waits until BSY is clear; returns the status (which clears the interrupt).
  @discardableResult func wait() -> UInt8 {
    for _ in 0..<100_000 where alternate & 0x80 != 0 { run(1_000) }
    return inb(7)
  }

  func command28(_ command: UInt8, lba: UInt32, count: UInt8, drive: UInt8 = 0) {
    out(6, 0xE0 | drive << 4 | UInt8(lba >> 24 & 15))
    out(2, count)
    out(3, UInt8(lba & 0xFF))
    out(4, UInt8(lba >> 8 & 0xFF))
    out(5, UInt8(lba >> 16 & 0xFF))
    out(7, command)
  }

  func command48(_ command: UInt8, lba: UInt64, count: UInt16) {
    out(6, 0x40)
    out(2, UInt8(count >> 8))
    for (register, shift) in [(3, 24), (4, 32), (5, 40)] as [(UInt16, UInt64)] {
      out(register, UInt8(lba >> shift & 0xFF))
    }
    out(2, UInt8(count & 0xFF))
    for (register, shift) in [(3, 0), (4, 8), (5, 16)] as [(UInt16, UInt64)] {
      out(register, UInt8(lba >> shift & 0xFF))
    }
    out(7, command)
  }

  func words(_ count: Int) -> [UInt16] {
    (0..<count).map { _ in UInt16(channel.read(at: 0, width: 2)) }
  }

  func put(_ bytes: [UInt8]) {
    for i in stride(from: 0, to: bytes.count, by: 2) {
      channel.write(at: 0, UInt32(bytes[i]) | UInt32(bytes[i + 1]) << 8, width: 2)
    }
  }

  func identify(_ drive: UInt8 = 0) -> [UInt16] {
    out(6, 0xA0 | drive << 4)
    out(7, 0xEC)
    #expect(wait() == 0x58)
    let words = words(256)
    #expect(inb(7) == 0x50)
    return words
  }
}

/// Sectors that hold their own number in each byte (mod 251).
func numbered(_ sectors: Int, isReadOnly: Bool = false) -> MemoryImage {
  MemoryImage(
    bytes: (0..<sectors * 512).map { UInt8($0 / 512 % 251) }, isReadOnly: isReadOnly)
}

/// A device of any size that fails at one sector.
final class FailingImage: BlockDevice {
  let blockSize = 512
  let blockCount: UInt64
  let capabilities: BlockCapabilities = .writable
  let generation: UInt64 = 0
  let bad: UInt64
  init(sectorCount: UInt64, bad: UInt64) {
    blockCount = sectorCount
    self.bad = bad
  }
  private func check(_ sector: UInt64, _ count: Int) throws(StorageError) {
    if sector <= bad && bad < sector + UInt64(count / 512) {
      throw StorageError(path: "bad", reason: "bad sector")
    }
  }
  func read(block sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try check(sector, buffer.count)
    buffer.initializeMemory(as: UInt8.self, repeating: UInt8(truncatingIfNeeded: sector))
  }
  func write(block sector: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try check(sector, buffer.count)
  }
  func flush() throws(StorageError) { throw StorageError(path: "bad", reason: "no flush") }
}

@Suite struct IDETests {
  @Test func identifyDescribesTheDisk() {
    let bench = IDEBench(numbered(20_160))
    let words = bench.identify()
    #expect(words[0] & 0x8000 == 0)
    #expect(words[1] == 20 && words[3] == 16 && words[6] == 63)
    #expect(words[49] & 0x0200 != 0)
    #expect(words[54] == 20 && words[55] == 16 && words[56] == 63)
    #expect(UInt32(words[57]) | UInt32(words[58]) << 16 == 20_160)
    #expect(UInt32(words[60]) | UInt32(words[61]) << 16 == 20_160)
    #expect(words[83] & 0x0400 != 0 && words[100] == 20_160 && words[101] == 0)
    #expect(words[47] & 0xFF == 16)
    let model = words[27...46].flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
    #expect(String(decoding: model, as: UTF8.self).hasPrefix("Apus disk "))
    // The integrity word: all bytes add up to zero.
    #expect(words[255] & 0xFF == 0xA5)
    #expect(words.reduce(UInt8(0)) { $0 &+ UInt8($1 & 0xFF) &+ UInt8($1 >> 8) } == 0)
  }

  @Test func capacitiesBeyondLBA28() {
    let bench = IDEBench(FailingImage(sectorCount: 1 << 40, bad: 1 << 41))
    let words = bench.identify()
    #expect(words[60] == 0xFFFF && words[61] == 0x0FFF)
    #expect(words[100] == 0 && words[102] == 0x100)
    bench.command48(0x24, lba: (1 << 40) - 1, count: 1)
    #expect(bench.wait() == 0x58)
    #expect(bench.words(256)[0] == 0xFFFF)
    bench.command48(0x24, lba: 1 << 40, count: 1)
    #expect(bench.wait() & 1 == 1)
    #expect(bench.inb(1) == 0x10)
    bench.command48(0x27, lba: 0, count: 0)
    #expect(bench.wait() == 0x50)
    // The previous contents show with HOB set; any write to the command block clears it.
    #expect(bench.inb(3) == 0xFF && bench.inb(4) == 0xFF && bench.inb(5) == 0xFF)
    bench.control(0x80)
    #expect(bench.inb(3) == 0xFF && bench.inb(4) == 0xFF && bench.inb(5) == 0x00)
    bench.out(1, 0)
    #expect(bench.inb(5) == 0xFF)
  }

  @Test func readSectorsInterruptsForEachSector() {
    let bench = IDEBench(numbered(2_000))
    bench.command28(0x20, lba: 700, count: 3)
    #expect(bench.alternate & 0x80 != 0)
    for sector in 700..<703 {
      #expect(bench.wait() == 0x58)
      #expect(bench.irq.level == false)
      let value = UInt16(sector % 251)
      #expect(bench.words(256).allSatisfy { $0 == value | value << 8 })
    }
    #expect(bench.interrupts == 3)
    #expect(bench.inb(7) == 0x50)
    #expect(bench.inb(2) == 0)
    #expect(bench.inb(3) == 0xBE && bench.inb(4) == 2)
  }

  @Test func aCountOfZeroIs256AndTheBulkPathGivesTheSameData() {
    let bench = IDEBench(numbered(400))
    bench.command28(0x20, lba: 100, count: 0)
    var seen = 0
    var buffer = [UInt8](repeating: 0, count: 1024)
    while bench.wait() & 0x08 != 0 {
      let moved = buffer.withUnsafeMutableBytes {
        bench.channel.readData(into: $0.baseAddress!, count: 512)
      }
      #expect(moved == 256)
      #expect(buffer[0] == UInt8((100 + seen) % 251) && buffer[511] == buffer[0])
      seen += 1
    }
    #expect(seen == 256)
    #expect(
      buffer.withUnsafeMutableBytes { bench.channel.readData(into: $0.baseAddress!, count: 1) } == 0
    )
  }

  @Test func multipleModeMovesBlocks() {
    let bench = IDEBench(numbered(1_000))
    bench.command28(0xC4, lba: 0, count: 20)
    #expect(bench.wait() == 0x51 && bench.inb(1) == 0x04)
    bench.out(2, 3)
    bench.out(7, 0xC6)
    #expect(bench.wait() == 0x51)
    bench.out(2, 16)
    bench.out(7, 0xC6)
    #expect(bench.wait() == 0x50)
    #expect(bench.identify()[59] == 0x0110)
    bench.interrupts = 0
    bench.command28(0xC4, lba: 300, count: 20)
    #expect(bench.wait() == 0x58)
    let first = bench.words(16 * 256)
    #expect(first.last! & 0xFF == UInt16(315 % 251))
    #expect(bench.wait() == 0x58)
    #expect(bench.words(4 * 256).last! & 0xFF == UInt16(319 % 251))
    #expect(bench.inb(7) == 0x50)
    #expect(bench.interrupts == 2)
  }

  @Test func writesReachTheImage() throws {
    let image = numbered(100)
    let bench = IDEBench(image)
    bench.command28(0x30, lba: 50, count: 2)
    // The first block is wanted at once and without an interrupt.
    #expect(bench.alternate == 0x58)
    #expect(bench.interrupts == 0)
    bench.put([UInt8](repeating: 0xAA, count: 512))
    #expect(bench.alternate & 0x80 != 0)
    #expect(bench.wait() == 0x58)
    #expect(bench.interrupts == 1)
    let block = [UInt8](repeating: 0xBB, count: 600)
    #expect(
      block.withUnsafeBytes { bench.channel.writeData(from: $0.baseAddress!, count: 300) } == 256)
    #expect(bench.wait() == 0x50)
    #expect(bench.interrupts == 2)
    #expect(image.bytes[50 * 512] == 0xAA && image.bytes[51 * 512 + 511] == 0xBB)
    #expect(image.bytes[52 * 512] == 52)
  }

  @Test func writeMultipleExtended() {
    let image = numbered(100)
    let bench = IDEBench(image)
    bench.out(2, 8)
    bench.out(7, 0xC6)
    bench.wait()
    bench.command48(0x39, lba: 10, count: 12)
    bench.put([UInt8](repeating: 1, count: 8 * 512))
    #expect(bench.wait() == 0x58)
    bench.put([UInt8](repeating: 2, count: 4 * 512))
    #expect(bench.wait() == 0x50)
    #expect(image.bytes[17 * 512] == 1 && image.bytes[18 * 512] == 2 && image.bytes[22 * 512] == 22)
  }

  @Test func writeProtectedDisksRefuseWrites() {
    let bench = IDEBench(numbered(100, isReadOnly: true))
    bench.command28(0x30, lba: 5, count: 1)
    let status = bench.wait()
    #expect(status & 0x09 == 0x01)
    #expect(bench.inb(1) & 0x44 == 0x44)
  }

  @Test func addressesBeyondTheEndAreNotFound() {
    let bench = IDEBench(numbered(100))
    bench.command28(0x20, lba: 100, count: 1)
    #expect(bench.wait() == 0x51 && bench.inb(1) == 0x10)
    // What lies before the end is transferred.
    bench.command28(0x20, lba: 98, count: 4)
    #expect(bench.wait() == 0x58)
    _ = bench.words(256)
    #expect(bench.wait() == 0x58)
    _ = bench.words(256)
    #expect(bench.wait() == 0x51 && bench.inb(1) == 0x10)
    #expect(bench.inb(3) == 100 && bench.inb(2) == 2)
    bench.command28(0x40, lba: 99, count: 2)
    #expect(bench.wait() == 0x51 && bench.inb(1) == 0x10 && bench.inb(3) == 100)
    bench.command28(0x40, lba: 98, count: 2)
    #expect(bench.wait() == 0x50)
    bench.command48(0x24, lba: (1 << 48) - 1, count: 0)
    #expect(bench.wait() == 0x51)
  }

  @Test func hostErrorsAreUncorrectableAtTheirSector() {
    let bench = IDEBench(FailingImage(sectorCount: 1_000, bad: 12))
    bench.command28(0x20, lba: 10, count: 5)
    for _ in 0..<2 {
      #expect(bench.wait() == 0x58)
      _ = bench.words(256)
    }
    #expect(bench.wait() == 0x51)
    #expect(bench.inb(1) == 0x40 && bench.inb(3) == 12)
    bench.out(7, 0xE7)
    #expect(bench.wait() & 0x21 == 0x21)
    #expect(bench.inb(1) == 0x04)
  }

  @Test func chsFollowsInitializeDeviceParameters() {
    let bench = IDEBench(numbered(20_160))
    func chs(_ cylinder: Int, _ head: Int, _ sector: Int) -> UInt16? {
      bench.out(6, 0xA0 | UInt8(head))
      bench.out(2, 1)
      bench.out(3, UInt8(sector))
      bench.out(4, UInt8(cylinder & 0xFF))
      bench.out(5, UInt8(cylinder >> 8))
      bench.out(7, 0x21)
      if bench.wait() != 0x58 { return nil }
      return bench.words(256)[0] & 0xFF
    }
    #expect(chs(1, 2, 3) == UInt16(1136 % 251))
    #expect(chs(0, 0, 0) == nil)
    #expect(bench.inb(1) == 0x10)
    #expect(chs(0, 0, 64) == nil)
    #expect(chs(20, 0, 1) == nil)
    bench.out(6, 0xA3)
    bench.out(2, 17)
    bench.out(7, 0x91)
    #expect(bench.wait() == 0x50)
    #expect(chs(1, 2, 3) == UInt16(104))
    #expect(chs(0, 4, 1) == nil)
    let words = bench.identify()
    #expect(words[54] == 296 && words[55] == 4 && words[56] == 17)
    #expect(words[1] == 20)
  }

  @Test func resetsLeaveTheSignature() {
    let bench = IDEBench(numbered(100), numbered(50))
    bench.out(2, 0x55)
    bench.control(0x06)
    #expect(bench.alternate & 0x80 != 0)
    bench.run(10_000)
    bench.control(0x02)
    #expect(bench.wait() == 0x50)
    for drive in [UInt8(0xA0), 0xB0] {
      #expect([1, 2, 3, 4, 5].map { bench.inb($0) } == [1, 1, 1, 0, 0])
      bench.out(6, drive)
    }
    #expect(bench.interrupts == 0)
    bench.control(0)
    bench.out(7, 0x90)
    #expect(bench.wait() == 0x50)
    #expect(bench.interrupts == 1)
    #expect([1, 2, 3, 4, 5, 6].map { bench.inb($0) } == [1, 1, 1, 0, 0, 0xA0])
  }

  @Test func absentDrives() {
    let none = IDEBench()
    // DD7 is pulled down: nobody waits for BSY.
    #expect(none.inb(7) == 0x7F && none.inb(3) == 0x7F && none.alternate == 0x7F)
    #expect(none.channel.read(at: 0, width: 2) == 0xFF7F)
    none.out(7, 0xEC)
    let bench = IDEBench(numbered(100))
    bench.out(6, 0xB0)
    #expect(bench.inb(7) == 0 && bench.alternate == 0)
    bench.out(7, 0xEC)
    bench.run(1_000_000)
    #expect(bench.inb(7) == 0)
    #expect(bench.interrupts == 0)
    bench.out(6, 0xA0)
    #expect(bench.inb(7) == 0x50)
    let slave = IDEBench(nil, numbered(10))
    #expect(slave.inb(7) == 0x7F)
    slave.out(6, 0xB0)
    #expect(slave.inb(7) == 0x50)
  }

  @Test func interruptsAreMaskedAndCleared() {
    let bench = IDEBench(numbered(100))
    bench.control(0x02)
    bench.out(7, 0xE7)
    bench.run(1_000_000)
    #expect(bench.alternate == 0x50)
    #expect(!bench.irq.level)
    bench.control(0)
    #expect(bench.irq.level)
    // The alternate status leaves it, the status clears it.
    _ = bench.alternate
    #expect(bench.irq.level)
    _ = bench.inb(7)
    #expect(!bench.irq.level)
  }

  @Test func otherCommands() {
    let bench = IDEBench(numbered(100))
    for command in [UInt8(0x00), 0x08, 0xA1, 0xB0, 0xB1, 0xC7, 0xFF, 0x22, 0xF1] {
      bench.out(7, command)
      #expect(bench.wait() == 0x51)
      #expect(bench.inb(1) == 0x04)
    }
    bench.out(7, 0x10)
    #expect(bench.wait() == 0x50)
    bench.out(7, 0xE5)
    #expect(bench.wait() == 0x50 && bench.inb(2) == 0xFF)
    bench.out(7, 0xE0)
    bench.wait()
    bench.out(7, 0xE5)
    #expect(bench.wait() == 0x50 && bench.inb(2) == 0)
    // The sector buffer.
    bench.out(7, 0xE8)
    #expect(bench.alternate == 0x58)
    bench.put((0..<512).map { UInt8($0 & 0xFF) })
    #expect(bench.wait() == 0x50)
    bench.out(7, 0xE4)
    #expect(bench.wait() == 0x58)
    #expect(bench.channel.read(at: 0, width: 4) == 0x0302_0100)
    #expect(bench.channel.read(at: 0, width: 1) == 0x04)
    for (mode, status) in [(UInt8(0x0C), UInt8(0x50)), (0x22, 0x50), (0x46, 0x51)] {
      bench.out(1, 3)
      bench.out(2, mode)
      bench.out(7, 0xEF)
      #expect(bench.wait() == status)
    }
    // Only a reset wakes a sleeping drive.
    bench.out(7, 0xE6)
    bench.wait()
    bench.out(7, 0xEC)
    bench.run(1_000_000)
    #expect(bench.alternate == 0x50)
    bench.control(4)
    bench.control(0)
    bench.wait()
    _ = bench.identify()
  }

  @Test func anyPortTrafficAndAnyStateIsHarmless() throws {
    var seed: UInt64 = 0x1234_5678
    func random() -> UInt32 {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt32(truncatingIfNeeded: seed >> 33)
    }
    let contents = numbered(600)
    let commands: [UInt8] = [
      0x20, 0x24, 0x29, 0xC4, 0x30, 0x34, 0x39, 0xC5, 0x40, 0x42, 0x70, 0x90, 0x91, 0xC6, 0xE4,
      0xE8,
      0xEC, 0xEF, 0xE7, 0xF8, 0x27, 0x10, 0xE5, 0xE0, 0xC8, 0xCA, 0x25, 0x35, 0xB0, 0xF9, 0x37,
    ]
    var bench = IDEBench(contents, numbered(700))
    var buffer = [UInt8](repeating: 0, count: 70_000)
    for step in 0..<100_000 {
      let value = random()
      switch random() % 12 {
      case 0: bench.out(7, commands[Int(value) % commands.count])
      case 1: bench.out(7, UInt8(value & 0xFF) == 0xE6 ? 0 : UInt8(value & 0xFF))
      case 2:
        bench.channel.write(
          at: UInt32(value % 8), random(), width: 1 << Int((value >> 8) % 3))
      case 3:
        _ = bench.channel.read(at: UInt32(value % 8), width: 1 << Int((value >> 8) % 3))
      case 4, 5: bench.run(UInt64(value % 200_000))
      case 6:
        _ = buffer.withUnsafeMutableBytes {
          bench.channel.readData(into: $0.baseAddress!, count: Int(value % 5_000))
        }
      case 7:
        _ = buffer.withUnsafeBytes {
          bench.channel.writeData(from: $0.baseAddress!, count: Int(value % 5_000))
        }
      case 8: if value % 50 == 0 { bench.control(UInt8(random() & 0xFF)) } else { bench.control(0) }
      default: bench.out(UInt16(value % 6) + 1, UInt8(random() % 5))
      }
      if step % 500 == 0 {
        // Save, restore into a fresh channel, and go on there.
        var writer = StateWriter()
        bench.channel.save(to: &writer)
        var clockWriter = StateWriter()
        bench.clock.save(to: &clockWriter)
        let images = (0..<2).map { (bench.channel.drive($0) as! ATADisk).image as! MemoryImage }
        let fresh = IDEBench(images[0], images[1])
        fresh.time.now = bench.time.now
        var reader = StateReader(writer.bytes)
        try fresh.channel.restore(from: &reader, version: IDEChannel.latestVersion)
        #expect(reader.remaining == 0)
        var clockReader = StateReader(clockWriter.bytes)
        try fresh.clock.restore(from: &clockReader)
        #expect(fresh.irq.level == bench.irq.level)
        var again = StateWriter()
        fresh.channel.save(to: &again)
        #expect(again.bytes == writer.bytes)

        // A damaged state is refused or leads to a device that does nothing worse than err.
        var bytes = writer.bytes
        bytes[Int(random()) % min(bytes.count, 40)] = UInt8(random() & 0xFF)
        bytes[Int(random()) % bytes.count] = UInt8(random() & 0xFF)
        let victim = IDEBench(numbered(600), numbered(700))
        var damaged = StateReader(bytes)
        do { try victim.channel.restore(from: &damaged, version: IDEChannel.latestVersion) } catch {
        }
        for drive in 0..<2 { victim.channel.drive(drive)?.eventDue() }
        for _ in 0..<300 {
          victim.out(UInt16(random() % 8), UInt8(random() & 0xFF))
          _ = victim.inb(UInt16(random() % 8))
        }
        victim.run(10_000_000)
        bench = fresh
      }
    }
  }

  /// What a drive had in its buffer before is in no state: it must not come back in a window that the host is to fill.
  @Test func aWindowForWritingHoldsNothingOfBefore() throws {
    let bench = IDEBench(numbered(600))
    bench.command28(0x20, lba: 17, count: 4)
    for _ in 0..<4 {
      bench.wait()
      _ = bench.words(256)
    }
    bench.run(2_000_000)
    var writer = StateWriter()
    bench.channel.save(to: &writer)
    let other = IDEBench(numbered(600))
    other.time.now = bench.time.now
    var reader = StateReader(writer.bytes)
    try other.channel.restore(from: &reader, version: IDEChannel.latestVersion)
    let states = [bench, other].map { bench in
      bench.command28(0x30, lba: 3, count: 4)
      bench.wait()
      var writer = StateWriter()
      bench.channel.save(to: &writer)
      return writer.bytes
    }
    #expect(states[0] == states[1])
  }

  @Test func continuingAfterARestoreIsTheSame() throws {
    let bench = IDEBench(numbered(600))
    bench.out(2, 4)
    bench.out(7, 0xC6)
    bench.wait()
    bench.command28(0xC4, lba: 17, count: 11)
    bench.run(1_010_000)
    _ = bench.words(77)
    var writer = StateWriter()
    bench.channel.save(to: &writer)
    var clockWriter = StateWriter()
    bench.clock.save(to: &clockWriter)
    let other = IDEBench(numbered(600))
    var reader = StateReader(writer.bytes)
    try other.channel.restore(from: &reader, version: IDEChannel.latestVersion)
    var clockReader = StateReader(clockWriter.bytes)
    other.time.now = bench.time.now
    try other.clock.restore(from: &clockReader)
    for _ in 0..<4 {
      #expect(bench.words(1024) == other.words(1024))
      #expect(bench.wait() == other.wait())
      #expect(bench.time.now == other.time.now)
    }
  }
}
