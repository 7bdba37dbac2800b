import Bus
import State
import Testing

@testable import Chipset
@testable import Storage

/// A DMA channel with a buffer and a count.
final class FakeFloppyDMA: FloppyDMA {
  var memory: [UInt8] = []
  var position = 0
  /// Bytes until terminal count; 0: the channel is masked.
  var left = 0

  func program(_ bytes: [UInt8] = [], count: Int) {
    memory = bytes + [UInt8](repeating: 0, count: max(0, count - bytes.count))
    position = 0
    left = count
  }

  func dmaTransferToMemory(channel: Int, from bytes: UnsafeRawBufferPointer)
    -> (count: Int, terminalCount: Bool)
  {
    let count = min(left, bytes.count)
    for i in 0..<count { memory[position + i] = bytes[i] }
    return advance(count)
  }

  func dmaTransferFromMemory(channel: Int, into bytes: UnsafeMutableRawBufferPointer)
    -> (count: Int, terminalCount: Bool)
  {
    let count = min(left, bytes.count)
    for i in 0..<count { bytes[i] = memory[position + i] }
    return advance(count)
  }

  private func advance(_ count: Int) -> (count: Int, terminalCount: Bool) {
    position += count
    left -= count
    return (count, count > 0 && left == 0)
  }
}

final class FloppyBench {
  final class Time { var now: UInt64 = 0 }

  let time = Time()
  let clock = VirtualClock(instructionsPerSecond: 1_000_000_000)
  let irq = Signal()
  let dma = FakeFloppyDMA()
  let fdc: FloppyController
  var interrupts = 0

  init(_ drives: [FloppyDriveType] = [.threeInch1440, .threeInch1440], up: Bool = true) {
    let time = time
    clock.instructionCount = { time.now }
    fdc = FloppyController(clock: clock, irq: irq, dma: dma, drives: drives)
    fdc.reset(.power)
    irq.connect { [unowned self] level in if level { self.interrupts += 1 } }
    if up { bringUp() }
  }

  /// Reset, sense, 500 kbit/s, SPECIFY for DMA, both motors on, drive 0.
  func bringUp() {
    out(2, 0x3C)
    run(1_000_000)
    for _ in 0..<4 { command([0x08]) }
    out(7, 0)
    command([0x03, 0xDF, 0x02])
    interrupts = 0
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
    fdc.write(at: UInt32(register), UInt32(value), width: 1)
  }
  func inb(_ register: UInt16) -> UInt8 { UInt8(fdc.read(at: UInt32(register), width: 1)) }

  /// Writes a command, waits for its end and returns its result bytes.
  @discardableResult func command(_ bytes: [UInt8]) -> [UInt8] {
    for byte in bytes {
      #expect(inb(4) & 0xC0 == 0x80)
      out(5, byte)
    }
    return results()
  }

  func results() -> [UInt8] {
    for _ in 0..<100_000 where inb(4) & 0x90 == 0x10 { run(10_000) }
    var result: [UInt8] = []
    while inb(4) & 0xD0 == 0xD0 { result.append(inb(5)) }
    return result
  }

  /// Runs until the interrupt of a seek, then senses it.
  func seek(_ bytes: [UInt8]) -> [UInt8] {
    command(bytes)
    for _ in 0..<100_000 where !irq.level { run(10_000) }
    return command([0x08])
  }

  func insert(_ drive: Int, _ image: MemoryImage, _ format: FloppyFormat = FloppyFormat.all[6]) {
    try! fdc.insert(drive: drive, medium: FloppyMedium(image: image, format: format))
  }
}

let readCommand: [UInt8] = [0xE6, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF]

func transferCommand(
  _ code: UInt8, unit: UInt8 = 0, c: UInt8 = 0, h: UInt8 = 0, r: UInt8 = 1, n: UInt8 = 2,
  eot: UInt8 = 18, dtl: UInt8 = 0xFF
) -> [UInt8] { [code, unit | h << 2, c, h, r, n, eot, 0x1B, dtl] }

@Suite struct FloppyTests {
  @Test func aResetInterruptsAndReportsFourDrives() {
    let bench = FloppyBench(up: false)
    #expect(bench.inb(4) == 0)
    bench.out(2, 0x0C)
    bench.run(1_000_000)
    #expect(bench.irq.level)
    #expect(bench.inb(4) == 0x80)
    for unit in UInt8(0)..<4 { #expect(bench.command([0x08]) == [0xC0 | unit, 0]) }
    #expect(!bench.irq.level)
    // Nothing is pending any more: an invalid command.
    #expect(bench.command([0x08]) == [0x80])
    // DSR's reset ends by itself.
    bench.out(4, 0x80)
    #expect(bench.inb(4) == 0)
    bench.run(1_000_000)
    #expect(bench.irq.level)
    // With polling disabled there is no interrupt.
    bench.command([0x13, 0, 0x10, 0])
    bench.command([0x94])
    bench.out(2, 0x08)
    bench.out(2, 0x0C)
    bench.run(1_000_000)
    #expect(!bench.irq.level)
  }

  @Test func identificationAndConfiguration() {
    let bench = FloppyBench()
    #expect(bench.command([0x10]) == [0x90])
    #expect(bench.command([0x18]) == [0x80])
    #expect(bench.command([0x00]) == [0x80])
    #expect(bench.command([0x14]) == [0x00])
    #expect(bench.command([0x94]) == [0x10])
    bench.command([0x13, 0, 0x57, 0x20])
    bench.command([0x12, 0x8D])
    let dump = bench.command([0x0E])
    #expect(dump == [0, 0, 0, 0, 0xDF, 0x02, 0, 0x8D, 0x57, 0x20])
    // LOCK keeps the configuration over a software reset; GAP and WGATE are cleared, the drive bits are not.
    bench.out(2, 0x08)
    bench.out(2, 0x0C)
    bench.run(1_000_000)
    for _ in 0..<4 { bench.command([0x08]) }
    #expect(bench.command([0x0E])[7...] == [0x8C, 0x57, 0x20])
    #expect(bench.command([0x14]) == [0x00])
    bench.out(2, 0x08)
    bench.out(2, 0x0C)
    bench.run(1_000_000)
    #expect(bench.command([0x0E])[7...] == [0x0C, 0x20, 0x00])
  }

  @Test func seekAndRecalibrateTakeTimeAndInterrupt() {
    let bench = FloppyBench()
    bench.insert(0, numbered(2880))
    bench.command([0x0F, 0x00, 40])
    #expect(bench.inb(4) == 0x81)
    #expect(!bench.irq.level)
    let start = bench.time.now
    #expect(bench.seek([0x0F, 0x01, 10]) == [0x21, 10])
    while !bench.irq.level { bench.run(10_000) }
    #expect(bench.time.now - start > 10_000_000)
    #expect(bench.command([0x08]) == [0x20, 40])
    #expect(bench.inb(4) == 0x80)
    // Relative: five in, three out.
    #expect(bench.seek([0xCF, 0x00, 5]) == [0x20, 45])
    #expect(bench.seek([0x8F, 0x00, 3]) == [0x20, 42])
    #expect(bench.command([0x04, 0x00]) == [0x28])
    #expect(bench.seek([0x07, 0x00]) == [0x20, 0])
    #expect(bench.command([0x04, 0x04]) == [0x3C])
    // No drive, no track 0.
    #expect(bench.seek([0x07, 0x02]) == [0x72, 0])
  }

  @Test func theChangeLineIsClearedByAStepWithADiskIn() {
    let bench = FloppyBench()
    #expect(bench.inb(7) == 0x80)
    _ = bench.seek([0x0F, 0, 1])
    #expect(bench.inb(7) == 0x80)
    bench.insert(0, numbered(2880))
    #expect(bench.inb(7) == 0x80)
    // Without a step pulse it stays.
    _ = bench.seek([0x0F, 0, 1])
    #expect(bench.inb(7) == 0x80)
    _ = bench.seek([0x07, 0])
    #expect(bench.inb(7) == 0)
    // Seen only while the drive is selected with its motor on.
    bench.out(2, 0x3D)
    #expect(bench.inb(7) == 0x80)
    bench.out(2, 0x0D)
    #expect(bench.inb(7) == 0)
    bench.out(2, 0x1C)
    try! bench.fdc.insert(drive: 0, medium: nil)
    #expect(bench.inb(7) == 0x80)
  }

  @Test func readDataByDMAToTerminalCount() {
    let bench = FloppyBench()
    bench.insert(0, numbered(2880))
    bench.dma.program(count: 3 * 512)
    #expect(bench.command(transferCommand(0xE6, r: 2)) == [0x00, 0, 0, 0, 0, 5, 2])
    #expect(bench.dma.memory[0] == 1 && bench.dma.memory[1535] == 3)
    #expect(bench.interrupts == 1)
    #expect(!bench.irq.level)
    // A count that ends inside a sector.
    bench.dma.program(count: 100)
    #expect(bench.command(transferCommand(0x46, r: 18)) == [0x00, 0, 0, 1, 0, 1, 2])
    #expect(bench.dma.memory[99] == 17)
  }

  @Test func resultIDsFollowTheTableOfTheDataSheet() {
    let bench = FloppyBench()
    bench.insert(0, numbered(2880))
    // (MT, head, R) -> (C, H, R) after one sector with EOT 18.
    let table: [(UInt8, UInt8, UInt8, [UInt8])] = [
      (0x46, 0, 5, [0, 0, 6]), (0x46, 0, 18, [1, 0, 1]), (0x46, 1, 5, [0, 1, 6]),
      (0x46, 1, 18, [1, 1, 1]), (0xC6, 0, 5, [0, 0, 6]), (0xC6, 0, 18, [0, 1, 1]),
      (0xC6, 1, 5, [0, 1, 6]), (0xC6, 1, 18, [1, 0, 1]),
    ]
    for (code, head, r, expected) in table {
      bench.dma.program(count: 512)
      let result = bench.command(transferCommand(code, h: head, r: r))
      #expect(result[0] & 0xC0 == 0)
      #expect(Array(result[3...5]) == expected)
    }
  }

  @Test func multiTrackGoesToTheOtherSideAndEndsAtTheCylindersEnd() {
    let bench = FloppyBench()
    bench.insert(0, numbered(2880))
    bench.dma.program(count: 36 * 512)
    #expect(bench.command(transferCommand(0xC6))[0] & 0xC0 == 0)
    #expect((0..<36).allSatisfy { bench.dma.memory[$0 * 512] == UInt8($0) })
    // Without TC: end of cylinder.
    bench.dma.program(count: 100 * 512)
    #expect(bench.command(transferCommand(0xC6, r: 17)) == [0x44, 0x80, 0, 1, 0, 1, 2])
    #expect(bench.dma.position == 20 * 512)
  }

  @Test func errorsOfReads() {
    let bench = FloppyBench()
    // No disk: no address mark.
    bench.dma.program(count: 512)
    #expect(Array(bench.command(transferCommand(0x46))[0...2]) == [0x40, 0x01, 0x00])
    bench.insert(0, numbered(2880))
    // Another cylinder than the head is over.
    #expect(Array(bench.command(transferCommand(0x46, c: 3))[0...2]) == [0x40, 0x04, 0x10])
    // No such sector.
    #expect(bench.command(transferCommand(0x46, r: 19, eot: 30)) == [0x40, 0x04, 0, 0, 0, 19, 2])
    #expect(Array(bench.command(transferCommand(0x46, n: 3))[0...2]) == [0x40, 0x04, 0x00])
    // The wrong data rate, and FM.
    bench.out(7, 2)
    #expect(Array(bench.command(transferCommand(0x46))[0...2]) == [0x40, 0x01, 0x00])
    #expect(bench.command([0x4A, 0])[0...1] == [0x40, 0x01])
    bench.out(7, 0)
    #expect(Array(bench.command(transferCommand(0x06))[0...2]) == [0x40, 0x01, 0x00])
    // A masked DMA channel: overrun.
    bench.dma.program(count: 0)
    #expect(Array(bench.command(transferCommand(0x46))[0...2]) == [0x40, 0x10, 0x00])
  }

  /// A disk of 80 cylinders and two sectors more: these are there, and nothing else on their track or the other side.
  @Test func anIncompleteLastCylinderEndsWhereItIsRecorded() throws {
    let bench = FloppyBench()
    let format = try #require(FloppyFormat.all[6].holding(sectors: 2882))
    bench.insert(0, MemoryImage(bytes: [], sectorCount: 2882), format)
    #expect(bench.fdc.medium(in: 0) != nil)
    _ = bench.seek([0x0F, 0, 80])
    bench.dma.program(count: 512)
    #expect(bench.command(transferCommand(0xE6, c: 80, h: 0, r: 2))[0] & 0xC0 == 0)
    bench.dma.program(count: 512)
    var result = bench.command(transferCommand(0xE6, c: 80, h: 0, r: 3))
    #expect(result[0] & 0xC0 == 0x40 && result[1] == 0x04)
    bench.dma.program(count: 512)
    result = bench.command(transferCommand(0xC5, c: 80, h: 0, r: 3))
    #expect(result[0] & 0xC0 == 0x40 && result[1] == 0x04)
    // Under the other head not even an address mark.
    result = bench.command([0x4A, 4])
    #expect(result[0] & 0xC0 == 0x40 && result[1] == 0x01)
    for _ in 0..<20 {
      bench.run(1_234_567)
      result = bench.command([0x4A, 0])
      #expect(result[0] & 0xC0 == 0 && (1...2).contains(result[5]) && result[3] == 80)
    }
  }

  @Test func writeDataReachesTheImage() {
    let bench = FloppyBench()
    let image = numbered(2880)
    bench.insert(1, image)
    bench.out(2, 0x3D)
    #expect(bench.seek([0x0F, 0x01, 2]) == [0x21, 2])
    bench.dma.program([UInt8](repeating: 0x5A, count: 600), count: 600)
    let result = bench.command(transferCommand(0xC5, unit: 1, c: 2, h: 1, r: 4))
    #expect(result == [0x05, 0, 0, 2, 1, 6, 2])
    let start = (2 * 36 + 18 + 3) * 512
    #expect(image.bytes[start] == 0x5A && image.bytes[start + 599] == 0x5A)
    // The rest of the sector in which TC came is zeros.
    #expect(image.bytes[start + 600..<start + 1024].allSatisfy { $0 == 0 })
  }

  @Test func writeProtection() {
    let bench = FloppyBench()
    bench.insert(0, numbered(2880, isReadOnly: true))
    #expect(bench.command([0x04, 0]) == [0x78])
    bench.dma.program(count: 512)
    #expect(Array(bench.command(transferCommand(0xC5))[0...2]) == [0x40, 0x02, 0])
    #expect(Array(bench.command([0x4D, 0, 2, 18, 0x6C, 0xF6])[0...2]) == [0x40, 0x02, 0])
  }

  @Test func formatTrack() {
    let bench = FloppyBench()
    let image = numbered(2880)
    bench.insert(0, image)
    _ = bench.seek([0x0F, 0, 3])
    var ids: [UInt8] = []
    for r in UInt8(1)...18 { ids += [3, 1, r, 2] }
    bench.dma.program(ids, count: ids.count)
    let result = bench.command([0x4D, 0x04, 2, 18, 0x6C, 0xF6])
    #expect(result[0] == 0x04 && result[1] == 0 && result[2] == 0)
    let start = (3 * 36 + 18) * 512
    #expect(image.bytes[start..<start + 18 * 512].allSatisfy { $0 == 0xF6 })
    #expect(image.bytes[start - 1] == UInt8((3 * 36 + 17) % 251))
    #expect(image.bytes[start + 18 * 512] == UInt8((4 * 36) % 251))
  }

  @Test func readIDFindsWhatTurnsBy() {
    let bench = FloppyBench()
    bench.insert(0, numbered(2880))
    var seen: Set<UInt8> = []
    for _ in 0..<60 {
      let result = bench.command([0x4A, 0x04])
      #expect(result[0] == 0x04 && result[3] == 0 && result[4] == 1 && result[6] == 2)
      seen.insert(result[5])
      bench.run(3_333_333)
    }
    #expect(seen.isSubset(of: Set(1...18)) && seen.count > 5)
  }

  @Test func doubleDensityDisksInHighDensityDrives() {
    let bench = FloppyBench([.fiveInch1200, .threeInch1440])
    bench.insert(0, numbered(720), FloppyFormat.all[3])
    bench.insert(1, numbered(1440), FloppyFormat.all[4])
    bench.dma.program(count: 512)
    bench.out(7, 1)
    // The 80-track drive steps twice for each of the 40 tracks.
    _ = bench.seek([0x0F, 0, 20])
    #expect(bench.command(transferCommand(0x46, c: 10, eot: 9))[0] == 0)
    #expect(bench.dma.memory[0] == 180)
    #expect(bench.command(transferCommand(0x46, c: 20, eot: 9))[2] == 0x10)
    bench.out(7, 2)
    bench.dma.program(count: 512)
    #expect(bench.command(transferCommand(0x46, unit: 1, r: 9, eot: 9))[0] == 1)
    #expect(throws: StorageError.self) {
      try bench.fdc.insert(
        drive: 0, medium: FloppyMedium(image: numbered(2880), format: FloppyFormat.all[6]))
    }
  }

  @Test func programmedIOMovesEachByteWithAnInterrupt() {
    let bench = FloppyBench()
    let image = numbered(2880)
    bench.insert(0, image)
    bench.command([0x03, 0xDF, 0x03])
    for byte in transferCommand(0x46, r: 17) { bench.out(5, byte) }
    #expect(bench.inb(4) == 0x30)
    for sector in 16..<18 {
      for _ in 0..<512 {
        while !bench.irq.level { bench.run(1_000) }
        #expect(bench.inb(4) == 0xF0)
        #expect(bench.inb(5) == UInt8(sector))
      }
    }
    // Nothing gives TC here: the end of the cylinder ends it.
    while !bench.irq.level { bench.run(1_000) }
    #expect(bench.results() == [0x40, 0x80, 0, 1, 0, 1, 2])
    for byte in transferCommand(0x45, r: 18) { bench.out(5, byte) }
    for i in 0..<512 {
      while bench.inb(4) & 0x80 == 0 { bench.run(1_000) }
      #expect(bench.inb(4) == 0xB0)
      bench.out(5, UInt8(i & 0xFF))
    }
    #expect(bench.results()[1] == 0x80)
    #expect(image.bytes[17 * 512 + 200] == 200)
  }

  @Test func deletedDataMarks() {
    let bench = FloppyBench()
    bench.insert(0, numbered(2880))
    bench.dma.program(count: 512)
    #expect(bench.command(transferCommand(0x49, r: 3))[0] == 0)
    // Without SK the sector is read and ends the command; with SK it is passed over.
    bench.dma.program(count: 5 * 512)
    #expect(bench.command(transferCommand(0x46, r: 2)) == [0, 0, 0x40, 0, 0, 4, 2])
    #expect(bench.dma.position == 1024)
    bench.dma.program(count: 2 * 512)
    #expect(bench.command(transferCommand(0x66, r: 2)) == [0, 0, 0x40, 0, 0, 5, 2])
    #expect(bench.dma.memory[0] == 1 && bench.dma.memory[512] == 3)
    bench.dma.program(count: 512)
    #expect(bench.command(transferCommand(0x4C, r: 3)) == [0, 0, 0, 0, 0, 4, 2])
  }

  @Test func verifyScanAndReadTrack() {
    let bench = FloppyBench()
    bench.insert(0, numbered(2880))
    bench.dma.program(count: 0)
    // VERIFY moves no data: to EOT, or as many sectors as SC says.
    #expect(bench.command(transferCommand(0x56, r: 1))[0] & 0xC0 == 0)
    #expect(bench.command(transferCommand(0x56, r: 1, eot: 19))[1] == 0x04)
    #expect(bench.command([0x56, 0x80, 0, 0, 1, 2, 18, 0x1B, 4]) == [0, 0, 0, 0, 0, 5, 2])
    // SCAN EQUAL finds sector 5, whose bytes are 4.
    bench.dma.program([UInt8](repeating: 4, count: 10 * 512), count: 10 * 512)
    #expect(bench.command(transferCommand(0x51, dtl: 1)) == [0, 0, 0x08, 0, 0, 5, 2])
    bench.dma.program([UInt8](repeating: 4, count: 10 * 512), count: 10 * 512)
    #expect(bench.command(transferCommand(0x5D, r: 6, dtl: 1))[2] == 0x00)
    bench.dma.program([UInt8](repeating: 4, count: 3 * 512), count: 3 * 512)
    #expect(bench.command(transferCommand(0x59, r: 6, eot: 8, dtl: 1))[2] == 0x04)
    // READ TRACK begins at the index hole whatever R says.
    bench.dma.program(count: 2 * 512)
    let result = bench.command(transferCommand(0x42, r: 1))
    #expect(result[0] == 0 && result[1] == 0)
    #expect(bench.dma.memory[0] == 0 && bench.dma.memory[512] == 1)
  }

  @Test func impliedSeek() {
    let bench = FloppyBench()
    bench.insert(0, numbered(2880))
    bench.command([0x13, 0, 0x60, 0])
    bench.dma.program(count: 512)
    #expect(bench.command(transferCommand(0x46, c: 5))[0] & 0xC0 == 0)
    #expect(bench.dma.memory[0] == 180)
    #expect(bench.inb(7) == 0)
  }

  @Test func theInterruptIsGatedByDOR() {
    let bench = FloppyBench()
    bench.insert(0, numbered(2880))
    bench.out(2, 0x34)
    bench.command([0x0F, 0, 3])
    bench.run(100_000_000)
    #expect(!bench.irq.level)
    bench.out(2, 0x3C)
    #expect(bench.irq.level)
  }

  @Test func anyPortTrafficAndAnyStateIsHarmless() throws {
    var seed: UInt64 = 99
    func random() -> UInt32 {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt32(truncatingIfNeeded: seed >> 33)
    }
    let codes: [UInt8] = [
      0x46, 0xE6, 0xC5, 0x49, 0x4C, 0x42, 0x4A, 0x4D, 0x56, 0x51, 0x59, 0x5D, 0x0F, 0x8F, 0xCF,
      0x07,
      0x08, 0x03, 0x13, 0x0E, 0x94, 0x12,
    ]
    var bench = FloppyBench()
    bench.insert(0, numbered(2880))
    bench.insert(1, numbered(1440), FloppyFormat.all[4])
    for step in 0..<100_000 {
      let value = random()
      switch random() % 16 {
      case 0, 1: bench.out(5, codes[Int(value) % codes.count])
      case 2...8: bench.out(5, UInt8(value % 20))
      case 9: bench.out(UInt16(value % 8), UInt8(value >> 8 & 0xFF))
      case 10: bench.dma.program(count: Int(value % 9_000))
      case 11: bench.run(UInt64(value % 3_000_000))
      case 12: bench.out(2, value & 1 == 0 ? 0x3C : 0x3D)
      case 13:
        if value % 40 == 0 {
          try bench.fdc.insert(drive: 0, medium: nil)
          bench.insert(0, numbered(2880))
        }
      default: _ = bench.inb(UInt16(value % 8))
      }
      if step % 1_000 == 0 {
        var writer = StateWriter()
        bench.fdc.save(to: &writer)
        var clockWriter = StateWriter()
        bench.clock.save(to: &clockWriter)
        let fresh = FloppyBench(up: false)
        fresh.insert(0, bench.fdc.medium(in: 0)!.image as! MemoryImage)
        fresh.insert(1, bench.fdc.medium(in: 1)!.image as! MemoryImage, FloppyFormat.all[4])
        fresh.time.now = bench.time.now
        var reader = StateReader(writer.bytes)
        try fresh.fdc.restore(from: &reader, version: 1)
        #expect(reader.remaining == 0)
        var clockReader = StateReader(clockWriter.bytes)
        try fresh.clock.restore(from: &clockReader)
        #expect(fresh.irq.level == bench.irq.level)
        var again = StateWriter()
        fresh.fdc.save(to: &again)
        #expect(again.bytes == writer.bytes)

        var bytes = writer.bytes
        bytes[Int(random()) % min(bytes.count, 80)] = UInt8(random() & 0xFF)
        bytes[Int(random()) % bytes.count] = UInt8(random() & 0xFF)
        let victim = FloppyBench()
        victim.insert(0, numbered(2880))
        victim.insert(1, numbered(1440), FloppyFormat.all[4])
        var damaged = StateReader(bytes)
        do { try victim.fdc.restore(from: &damaged, version: 1) } catch {}
        victim.dma.program(count: 3_000)
        victim.fdc.transferDue()
        for unit in 0..<4 { victim.fdc.seekDue(unit) }
        for _ in 0..<300 {
          victim.out(UInt16(random() % 8), UInt8(random() & 0xFF))
          _ = victim.inb(UInt16(random() % 8))
        }
        victim.run(1_000_000_000)
        bench = fresh
      }
    }
  }

  @Test func continuingAfterARestoreInMidTransferIsTheSame() throws {
    let bench = FloppyBench()
    bench.insert(0, numbered(2880))
    bench.command([0x03, 0xDF, 0x03])
    for byte in transferCommand(0xC6, r: 3) { bench.out(5, byte) }
    while !bench.irq.level { bench.run(1_000) }
    for _ in 0..<100 { _ = bench.inb(5) }
    var writer = StateWriter()
    bench.fdc.save(to: &writer)
    var clockWriter = StateWriter()
    bench.clock.save(to: &clockWriter)
    let other = FloppyBench(up: false)
    other.insert(0, numbered(2880))
    var reader = StateReader(writer.bytes)
    try other.fdc.restore(from: &reader, version: 1)
    other.time.now = bench.time.now
    var clockReader = StateReader(clockWriter.bytes)
    try other.clock.restore(from: &clockReader)
    for _ in 0..<5_000 {
      #expect(bench.inb(4) == other.inb(4))
      #expect(bench.irq.level == other.irq.level)
      #expect(bench.inb(5) == other.inb(5))
      bench.run(3_000)
      other.run(3_000)
    }
    // A machine without the disk refuses the state.
    var again = StateReader(writer.bytes)
    #expect(throws: StateError.self) { try FloppyBench().fdc.restore(from: &again, version: 1) }
  }
}
