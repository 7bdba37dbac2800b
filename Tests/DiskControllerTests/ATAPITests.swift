// The CD drive's side of the cable: signature, status, the PACKET protocol, byte counts, attention, tray. Expectations are those of
// ATA/ATAPI-6, SFF-8020i and MMC-3.

import Bus
import State
import Testing

@testable import Chipset
@testable import Storage

@Suite struct ATAPITests {
  @Test func aPacketDeviceShowsItselfAfterEveryReset() {
    let bench = ATAPIBench(dataDisc())
    func signature() -> [UInt8] { [inb(2), inb(3), inb(4), inb(5)] }
    func inb(_ n: UInt16) -> UInt8 { bench.inb(n) }
    #expect(inb(7) == 0 && signature() == [1, 1, 0x14, 0xEB])
    for n in 2...5 { bench.out(UInt16(n), 0x55) }
    bench.control(4)
    #expect(bench.alternate == 0x80)
    bench.control(0)
    #expect(bench.wait() == 0 && signature() == [1, 1, 0x14, 0xEB] && inb(1) == 1)
    // IDENTIFY DEVICE and READ SECTORS abort with it.
    for command: UInt8 in [0xEC, 0x20] {
      for n in 2...5 { bench.out(UInt16(n), 0x55) }
      bench.out(7, command)
      #expect(bench.wait() & 0x89 == 0x01 && inb(1) == 4 && signature() == [1, 1, 0x14, 0xEB])
    }
    // EXECUTE DEVICE DIAGNOSTIC.
    bench.out(7, 0x90)
    #expect(bench.wait() == 0 && signature() == [1, 1, 0x14, 0xEB] && inb(1) == 1)
  }

  @Test func deviceResetEndsWhateverIsUnderWay() {
    let bench = ATAPIBench.ready(dataDisc())
    bench.send(ATAPIBench.packet(0x28, lba: 0, count: 4))
    #expect(bench.alternate & 0x80 != 0)
    let interrupts = bench.interrupts
    bench.out(7, 0x08)
    #expect(bench.wait() == 0 && bench.inb(4) == 0x14 && bench.inb(5) == 0xEB)
    bench.run(10_000_000)
    #expect(bench.interrupts == interrupts && bench.alternate == 0)
    // Neither sense nor attention come of it.
    #expect(bench.command([0]) == [])
  }

  @Test func identifyPacketDevice() {
    let bench = ATAPIBench(nil)
    bench.out(7, 0xA1)
    #expect(bench.wait() == 0x58)
    let words = (0..<256).map { _ in bench.word() }
    #expect(bench.inb(7) == 0x50 && bench.interrupts == 1)
    // ATAPI, CD-ROM, removable, packets of 12 bytes, DRQ within 50 microseconds.
    #expect(words[0] == 0x85C0)
    #expect(words[82] & 0x0210 == 0x0210 && words[125] == 0xFFFE)
    let model = words[27...46].flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
    #expect(String(decoding: model, as: UTF8.self).hasPrefix("Apus CD/DVD-ROM "))
  }

  @Test func attentionIsToldOnceAndNeverByInquiryOrRequestSense() {
    let bench = ATAPIBench(dataDisc())
    #expect(bench.command([0x12, 0, 0, 0, 36])?[0] == 5)
    #expect(bench.sense() == [0, 0, 0])
    #expect(bench.command([0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8]) != nil)
    // Sense key 6 in the error register.
    #expect(bench.command([0]) == nil && bench.inb(1) >> 4 == 6)
    #expect(bench.sense() == [6, 0x29, 0])
    #expect(bench.command([0]) == [])
    bench.drive.change(to: dataDisc(50))
    #expect(bench.command([0x12, 0, 0, 0, 36])?.count == 36)
    #expect(bench.failure([0x25]) == [6, 0x28, 0])
    #expect(bench.command([0x25]) == [0, 0, 0, 49, 0, 0, 8, 0])
  }

  @Test func anEmptyDriveSaysSo() {
    let bench = ATAPIBench.ready(nil)
    for operation: UInt8 in [0x00, 0x25, 0x28, 0x42, 0x43, 0x51, 0xBE] {
      #expect(bench.failure([operation]) == [2, 0x3A, 1])
    }
    bench.drive.change(to: dataDisc())
    #expect(bench.failure([0]) == [6, 0x28, 0])
    bench.drive.change(to: nil)
    #expect(bench.failure([0]) == [2, 0x3A, 2])
    #expect(bench.failure([0xFF]) == [5, 0x20, 0])
  }

  @Test func readMovesSectorsInBlocksOfTheByteCount() {
    let bench = ATAPIBench.ready(dataDisc())
    let data = numberedSectors(1000)
    func read(_ count: Int, _ limit: UInt16) -> [Int] {
      bench.interrupts = 0
      let bytes = bench.command(ATAPIBench.packet(0x28, lba: 10, count: count), limit: limit)
      #expect(bytes == Array(data[10 * 2048..<(10 + count) * 2048]))
      // One interrupt for each block and one at the end.
      #expect(bench.interrupts == bench.blocks.count + 1)
      return bench.blocks
    }
    #expect(read(1, 0xFFFF) == [2048])
    #expect(read(5, 0x1000) == [4096, 4096, 2048])
    // Whole sectors where the limit has room for one; never an odd number but at the end.
    #expect(read(2, 0x0BFF) == [2048, 2048])
    #expect(read(1, 512) == [512, 512, 512, 512])
    #expect(read(1, 1023) == [1022, 1022, 4])
    #expect(read(70, 0xFFFF).reduce(0, +) == 70 * 2048)
    // What word 125 of IDENTIFY PACKET DEVICE says of 0.
    #expect(read(3, 0) == [3 * 2048])
    #expect(bench.command(ATAPIBench.packet(0x28, lba: 10, count: 0)) == [])
    // An allocation length that is odd ends with an odd block.
    #expect(bench.command([0x12, 0, 0, 0, 5])?.count == 5 && bench.blocks == [5])
    #expect(bench.command([0x12, 0, 0, 0, 0]) == [])
  }

  @Test func dataTakeTheTimeOfADrive() {
    let bench = ATAPIBench.ready(dataDisc())
    bench.send(ATAPIBench.packet(0x28, lba: 0, count: 1))
    let start = bench.time.now
    bench.wait()
    #expect((1_000_000...1_100_000).contains(bench.time.now - start))
  }

  @Test func readsOutsideTheDiscAndOfAudioFail() {
    let bench = ATAPIBench.ready(mixedDisc())
    #expect(bench.failure(ATAPIBench.packet(0x28, lba: 1849, count: 2)) == [5, 0x21, 0])
    #expect(bench.failure(ATAPIBench.packet(0x28, lba: -1, count: 1)) == [5, 0x21, 0])
    #expect(bench.failure(ATAPIBench.packet(0x28, lba: 700, count: 1)) == [5, 0x64, 0])
    // Sectors before a bad one are sent; then the command ends with the failure.
    bench.send(ATAPIBench.packet(0x28, lba: 498, count: 4))
    #expect(bench.wait() & 8 != 0 && bench.inb(5) == 0x10)
    for _ in 0..<2048 { _ = bench.word() }
    #expect(bench.wait() & 9 == 1)
    let sense = bench.command([3, 0, 0, 0, 18]) ?? []
    #expect(Array(sense[0..<7]) == [0xF0, 0, 5, 0, 0, 1, 0xF4])
  }

  @Test func theTrayIsLockedAndOpened() {
    let bench = ATAPIBench.ready(dataDisc())
    #expect(bench.command([0x1E, 0, 0, 0, 1]) == [])
    #expect(bench.failure([0x1B, 0, 0, 0, 2]) == [5, 0x53, 2])
    #expect(bench.drive.isLocked && !bench.drive.isTrayOpen)
    // The user presses the button: the guest hears of it once.
    bench.drive.requestEject()
    let status: [UInt8] = [0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8]
    #expect(bench.command(status) == [0, 6, 4, 0x10, 1, 2, 0, 0])
    #expect(bench.command(status) == [0, 6, 4, 0x10, 0, 2, 0, 0])
    #expect(bench.command([0x1E, 0, 0, 0, 0]) == [])
    #expect(bench.command([0x1B, 0, 0, 0, 2]) == [])
    #expect(bench.drive.isTrayOpen)
    #expect(bench.failure([0]) == [2, 0x3A, 2])
    #expect(bench.command(status) == [0, 6, 4, 0x10, 3, 1, 0, 0])
    #expect(bench.command([0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8]) == [0, 0x10, 0, 0, 0, 1, 0, 0])
    #expect(bench.command([0x1B, 0, 0, 0, 3]) == [])
    #expect(bench.failure([0]) == [6, 0x28, 0])
    #expect(bench.command(status) == [0, 6, 4, 0x10, 2, 2, 0, 0])
    // A reset of the machine lets go of the lock.
    #expect(bench.command([0x1E, 0, 0, 0, 1]) == [])
    bench.channel.reset(.system)
    #expect(!bench.drive.isLocked)
  }

  @Test func anAbsentSlaveShowsNoSignature() {
    let bench = ATAPIBench(dataDisc())
    bench.out(6, 0xB0)
    #expect((1...5).map { bench.inb($0) } == [0, 0, 0, 0, 0] && bench.inb(7) == 0)
    bench.out(7, 0xA1)
    bench.run(10_000_000)
    #expect(bench.inb(7) == 0 && bench.interrupts == 0)
    bench.out(6, 0xA0)
    #expect(bench.inb(4) == 0x14)
    // A drive alone as slave: nobody answers for the master.
    let slave = ATAPIBench(dataDisc(), unit: 1)
    #expect(slave.inb(7) == 0x7F)
    slave.out(6, 0xB0)
    #expect(slave.inb(7) == 0 && slave.inb(4) == 0x14 && slave.inb(5) == 0xEB)
  }

  @Test func overlappedCommandsAndDMAWithoutAnEngineAbort() {
    let bench = ATAPIBench.ready(dataDisc())
    for features: UInt8 in [1, 2] {
      bench.out(1, features)
      bench.out(7, 0xA0)
      #expect(bench.wait() & 0x89 == 1 && bench.inb(1) == 4)
    }
    bench.out(1, 3)
    bench.out(2, 0x0C)
    bench.out(7, 0xEF)
    #expect(bench.wait() & 0x89 == 0)
  }

  @Test func aCommandGoesOnInAnotherMachine() throws {
    let bench = ATAPIBench.ready(dataDisc())
    bench.send(ATAPIBench.packet(0x28, lba: 20, count: 40), limit: 4096)
    bench.wait()
    for _ in 0..<300 { _ = bench.word() }
    let twin = ATAPIBench.ready(dataDisc())
    twin.run(bench.time.now - twin.time.now)
    var writer = StateWriter()
    bench.channel.save(to: &writer)
    var reader = StateReader(writer.bytes)
    try twin.channel.restore(from: &reader, version: 1)
    #expect(reader.remaining == 0)
    for _ in 0..<(2048 - 300) { #expect(bench.word() == twin.word()) }
    // Events belong to the clock's state; here they are the same.
    bench.run(100)
    var again = StateWriter()
    bench.channel.save(to: &again)
    var same = StateWriter()
    twin.channel.save(to: &same)
    #expect(again.bytes == same.bytes)
  }

  @Test func nothingAGuestWritesCrashesIt() {
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    func random() -> UInt32 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return UInt32(truncatingIfNeeded: state >> 16)
    }
    let operations: [UInt8] = [
      0, 3, 0x12, 0x15, 0x1A, 0x1B, 0x1E, 0x25, 0x28, 0x2B, 0x2F, 0x42, 0x43, 0x44, 0x45, 0x46,
      0x47,
      0x48, 0x4A, 0x4B, 0x4E, 0x51, 0x52, 0x55, 0x5A, 0xA5, 0xA8, 0xAD, 0xB9, 0xBB, 0xBD, 0xBE,
    ]
    for disc in [mixedDisc(), dataDisc(), nil] {
      let bench = ATAPIBench(disc)
      for round in 0..<20_000 {
        switch random() % 8 {
        case 0, 1, 2:
          // A packet of a command there is, with any bytes behind it.
          bench.out(1, random() & 63 == 0 ? UInt8(random() & 3) : 0)
          bench.out(4, UInt8(random() & 0xFF))
          bench.out(5, UInt8(random() & 0xFF))
          bench.out(7, 0xA0)
          bench.run(10_000)
          var packet = (0..<12).map { _ in UInt8(random() & (random() & 1 == 0 ? 0xFF : 3)) }
          packet[0] = operations[Int(random()) % operations.count]
          for n in stride(from: 0, to: 12, by: 2) {
            bench.channel.write(at: 0, UInt32(packet[n]) | UInt32(packet[n + 1]) << 8, width: 2)
          }
          bench.run(UInt64(random() % 2_000_000))
        case 3:
          for _ in 0..<(random() % 4000) {
            _ = bench.channel.read(at: 0, width: Int(1 << (random() % 3)))
          }
        case 4: bench.channel.write(at: random() % 9, random(), width: Int(1 << (random() % 3)))
        case 5: _ = bench.channel.read(at: random() % 9, width: 1)
        case 6: bench.run(UInt64(random() % 3_000_000))
        default:
          if round % 50 == 0 {
            bench.drive.change(to: random() & 1 == 0 ? nil : disc)
          } else {
            bench.out(6, 0xA0)
          }
        }
      }
    }
  }
}
