// What drivers ask a disk beyond reading and writing: transfer modes, capacities, SMART, DMA with 48 bits, times.
//
// Expectations: ATA/ATAPI-6 (T13 1410D), ATA/ATAPI-7 for the FUA commands.

import Bus
import State
import Storage
import Testing

@testable import Chipset

/// A packet device that does nothing.
private final class PacketDevice: IDEDrive {
  override var signature: UInt16 { 0xEB14 }
}

/// Counts what is brought to stable storage.
private final class CountingImage: BlockDevice {
  let blockSize = 512
  let blockCount: UInt64 = 1_000
  let capabilities: BlockCapabilities = .writable
  let generation: UInt64 = 0
  var flushes = 0
  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    buffer.initializeMemory(as: UInt8.self, repeating: 0)
  }
  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {}
  func flush() throws(StorageError) { flushes += 1 }
}

@Suite struct ATACommandTests {
  private func command(_ bench: IDEBench, _ command: UInt8, features: UInt8 = 0, count: UInt8 = 0)
    -> UInt8
  {
    bench.out(1, features)
    bench.out(2, count)
    bench.out(7, command)
    return bench.wait()
  }

  private func smart(_ bench: IDEBench, _ subcommand: UInt8, low: UInt8 = 0, count: UInt8 = 0)
    -> UInt8
  {
    bench.out(3, low)
    bench.out(4, 0x4F)
    bench.out(5, 0xC2)
    return command(bench, 0xB0, features: subcommand, count: count)
  }

  @Test func identifyTellsOfDMA() {
    let bench = IDEBench(numbered(100))
    let words = bench.identify()
    #expect(words[49] & 0x0B00 == 0x0B00)
    #expect(words[53] & 7 == 7)
    #expect(words[63] == 0x0407)
    #expect(words[64] == 3 && words[65...68].allSatisfy { $0 == 120 })
    #expect(words[88] == 0x003F)
    #expect(words[93] & 0xE001 == 0x6001)
    #expect(words[82] & 0x0469 == 0x0469 && words[83] & 0xC400 == 0x4400)
    #expect(words[84] & 0xC043 == 0x4043 && words[85] & 0x0469 == 0x0469)
  }

  @Test func transferModesAreKeptAndShown() {
    let bench = IDEBench(numbered(100))
    for (mode, word, value) in [
      (UInt8(0x20), 63, UInt16(0x0107)), (0x22, 63, 0x0407), (0x40, 88, 0x013F),
      (0x45, 88, 0x203F), (0x12, 62, 0x0407),
    ] {
      #expect(command(bench, 0xEF, features: 3, count: mode) == 0x50)
      let words = bench.identify()
      // One mode is selected.
      for other in [62, 63, 88] { #expect((words[other] >> 8 != 0) == (other == word)) }
      #expect(words[word] == value)
    }
    for mode in [UInt8(0x13), 0x23, 0x46, 0x80] {
      #expect(command(bench, 0xEF, features: 3, count: mode) == 0x51)
    }
    #expect(bench.identify()[62] == 0x0407)
    // PIO modes leave it.
    #expect(command(bench, 0xEF, features: 3, count: 0x0C) == 0x50)
    #expect(bench.identify()[62] == 0x0407)
  }

  @Test func settingTheMaximumHidesTheRest() {
    let bench = IDEBench(numbered(2_000))
    // Only behind READ NATIVE MAX.
    bench.command28(0xF9, lba: 999, count: 0)
    #expect(bench.wait() == 0x51)
    func setMax(_ last: UInt32, count: UInt8) -> UInt8 {
      bench.command28(0xF8, lba: 0, count: 0)
      #expect(bench.wait() == 0x50)
      #expect(bench.inb(3) == 0xCF && bench.inb(4) == 7)
      bench.command28(0xF9, lba: last, count: count)
      return bench.wait()
    }
    #expect(setMax(2_000, count: 0) == 0x51)
    #expect(setMax(999, count: 0) == 0x50)
    #expect(bench.identify()[60] == 1_000 && bench.identify()[100] == 1_000)
    bench.command28(0x20, lba: 1_000, count: 1)
    #expect(bench.wait() == 0x51 && bench.inb(1) == 0x10)
    // A software reset leaves it, a hardware reset ends it.
    bench.control(4)
    bench.control(0)
    bench.wait()
    #expect(bench.identify()[60] == 1_000)
    bench.channel.reset(.system)
    #expect(bench.identify()[60] == 2_000)
    #expect(setMax(499, count: 1) == 0x50)
    bench.channel.reset(.system)
    #expect(bench.identify()[60] == 500)
    // With 48 bits.
    bench.command48(0x27, lba: 0, count: 0)
    #expect(bench.wait() == 0x50)
    bench.command48(0x37, lba: 1_999, count: 1)
    #expect(bench.wait() == 0x50)
    #expect(bench.identify()[60] == 2_000)
  }

  @Test func smart() {
    let bench = IDEBench(numbered(100))
    // Without the key of LBA mid and high there is nothing.
    #expect(command(bench, 0xB0, features: 0xDA) == 0x51)
    #expect(smart(bench, 0xDA) == 0x50)
    #expect(bench.inb(4) == 0x4F && bench.inb(5) == 0xC2)
    func page() -> [UInt8] {
      bench.words(256).flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] }
    }
    #expect(smart(bench, 0xD0) == 0x58)
    let data = page()
    #expect(data.reduce(0, &+) == 0)
    #expect(smart(bench, 0xD1) == 0x58)
    let limits = page()
    #expect(limits.reduce(0, &+) == 0)
    for entry in 0..<30 {
      let at = 2 + 12 * entry
      #expect(data[at] == limits[at])
      // Healthy: values are above their thresholds.
      if data[at] != 0 { #expect(data[at + 3] > limits[at + 1]) }
    }
    // Self-tests are logged.
    #expect(smart(bench, 0xD4, low: 1) == 0x50)
    #expect(smart(bench, 0xD5, low: 6, count: 1) == 0x58)
    let log = page()
    #expect(log[0] == 1 && log[2] == 1 && log[508] == 1 && log.reduce(0, &+) == 0)
    #expect(smart(bench, 0xD5, low: 0, count: 1) == 0x58)
    #expect(page()[12] == 1)
    #expect(smart(bench, 0xD5, low: 1, count: 1) == 0x58)
    #expect(page().reduce(0, &+) == 0)
    #expect(smart(bench, 0xD5, low: 0x33, count: 1) == 0x51)
    #expect(smart(bench, 0xD2, count: 0xF1) == 0x50)
    #expect(smart(bench, 0xD2, count: 0x11) == 0x51)
    // Disabled, it only can be enabled.
    #expect(smart(bench, 0xD9) == 0x50)
    #expect(bench.identify()[85] & 1 == 0)
    #expect(smart(bench, 0xDA) == 0x51)
    #expect(smart(bench, 0xD8) == 0x50)
    #expect(smart(bench, 0xDA) == 0x50)
  }

  @Test func commandsThatMoveSectorsTakeTheirTime() {
    let bench = IDEBench(numbered(100))
    bench.channel.drive(0)!.latency = 2_000_000
    bench.command28(0x20, lba: 0, count: 1)
    bench.run(1_999_999)
    #expect(bench.alternate & 0x80 != 0)
    bench.run(1)
    #expect(bench.alternate == 0x58)
    _ = bench.words(256)
    bench.command28(0x30, lba: 0, count: 1)
    bench.put([UInt8](repeating: 0xAA, count: 512))
    bench.run(1_999_999)
    #expect(bench.alternate & 0x80 != 0)
    bench.run(1)
    #expect(bench.alternate == 0x50)
    // What moves none does not.
    bench.out(7, 0xEC)
    bench.run(100_000)
    #expect(bench.alternate == 0x58)
  }

  @Test func latencyOfNothing() {
    let bench = IDEBench(numbered(100))
    bench.channel.drive(0)!.latency = 0
    bench.command28(0x20, lba: 3, count: 1)
    #expect(bench.alternate & 0x80 != 0)
    bench.run(0)
    #expect(bench.alternate == 0x58)
  }

  @Test func forcedWritesReachStableStorage() {
    let image = CountingImage()
    let bench = BusMasterBench(image)
    bench.memory.put(0x1000, 0x2000, 512 | BusMasterBench.last)
    bench.prepare(table: 0x1000, toMemory: false)
    bench.ide.command48(0x35, lba: 5, count: 1)
    bench.start(toMemory: false)
    bench.ide.run(10_000_000)
    #expect(bench.status == 4 && image.flushes == 0)
    bench.write(0, 0)
    bench.prepare(table: 0x1000, toMemory: false)
    bench.ide.command48(0x3D, lba: 5, count: 1)
    bench.start(toMemory: false)
    bench.ide.run(10_000_000)
    #expect(bench.status == 4 && image.flushes == 1)
    #expect(bench.ide.inb(7) == 0x50)
  }

  @Test func trimmedSectorsAreZeros() {
    let image = numbered(100)
    let bench = BusMasterBench(image)
    // The most blocks of ranges are told by word 105, and kept to.
    #expect(bench.ide.identify()[169] & 1 == 1 && bench.ide.identify()[105] == 1)
    bench.ide.out(1, 1)
    bench.ide.command48(0x06, lba: 0, count: 2)
    bench.ide.run(10_000_000)
    #expect(bench.ide.inb(7) == 0x51 && bench.ide.inb(1) == 0x04)
    func trim(features: UInt8, _ ranges: (UInt32, UInt32)...) -> UInt8 {
      for n in 0..<128 { bench.memory.put(0x2000 + UInt32(4 * n), 0) }
      for (n, range) in ranges.enumerated() {
        bench.memory.put(0x2000 + UInt32(8 * n), range.0, range.1 << 16)
      }
      bench.memory.put(0x1000, 0x2000, 512 | BusMasterBench.last)
      bench.prepare(table: 0x1000, toMemory: false)
      bench.ide.out(1, features)
      bench.ide.command48(0x06, lba: 0, count: 1)
      bench.start(toMemory: false)
      bench.ide.run(10_000_000)
      bench.write(0, 0)
      return bench.ide.inb(7)
    }
    #expect(trim(features: 1, (10, 2), (0, 0), (20, 1)) == 0x50)
    for sector in 9..<22 {
      let isTrimmed = [10, 11, 20].contains(sector)
      #expect(image.bytes[sector * 512 + 77] == (isTrimmed ? 0 : UInt8(sector)))
    }
    // ACS-2, 7.10.5: an invalid range aborts.
    #expect(trim(features: 1, (99, 2)) == 0x51 && bench.ide.inb(1) == 0x04)
    #expect(trim(features: 0, (30, 1)) == 0x51 && bench.ide.inb(1) == 0x04)
    #expect(image.bytes[30 * 512] == 30)
  }

  @Test func writeProtectedDisksRefuseDMA() {
    let bench = BusMasterBench(numbered(100, isReadOnly: true))
    bench.memory.put(0x1000, 0x2000, 512 | BusMasterBench.last)
    let (engine, drive) = bench.transfer(0xCA, lba: 1, count: 1)
    #expect(engine == 5 && drive == 0x51)
    #expect(bench.ide.inb(1) & 0x44 == 0x44)
  }

  @Test func nothingIsTheSlaveOfAPacketDevice() {
    let bench = IDEBench()
    bench.channel.attach(drive: 0, PacketDevice())
    bench.channel.reset(.power)
    #expect(bench.inb(4) == 0x14 && bench.inb(5) == 0xEB)
    bench.out(6, 0xB0)
    for register in [UInt16(1), 2, 3, 4, 5, 7] { #expect(bench.inb(register) == 0) }
    #expect(bench.alternate == 0)
  }

  @Test func portsThatAreNotDecodedFloat() {
    let bench = IDEBench(numbered(100))
    bench.out(3, 0x5A)
    bench.channel.isDecoded = false
    #expect(bench.inb(7) == 0xFF && bench.alternate == 0xFF)
    #expect(bench.channel.read(at: 0, width: 2) & 0xFFFF == 0xFFFF)
    bench.out(3, 0xA5)
    bench.channel.isDecoded = true
    #expect(bench.inb(3) == 0x5A)
  }
}
