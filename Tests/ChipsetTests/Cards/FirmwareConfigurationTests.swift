// The configuration device at its ports and by requests in memory. Expectations: QEMU's docs/specs/fw_cfg.

import Bus
import State
import TestSupport
import Testing

@testable import Chipset

/// 2 MB, of which the device is told 1 MB is RAM; what is written is noted.
private final class NotedMemory: DMAMemory {
  var bytes = [UInt8](repeating: 0xEE, count: 2 << 20)
  var moved = 0
  func dmaRead(_ address: UInt32, into buffer: UnsafeMutableRawBufferPointer) {
    for i in 0..<buffer.count { buffer[i] = bytes[Int(address) + i] }
    moved += buffer.count
  }
  func dmaWrite(_ address: UInt32, from buffer: UnsafeRawBufferPointer) {
    for i in 0..<buffer.count { bytes[Int(address) + i] = buffer[i] }
    moved += buffer.count
  }
}

@Suite struct FirmwareConfigurationTests {
  private let memory = NotedMemory()
  private let ports = PortSpace()
  private let device: FirmwareConfiguration

  init() throws {
    device = FirmwareConfiguration(memory: memory)
    try FirmwareConfigurationTests.connect(device, to: ports)
    var items = FirmwareItems()
    items.set(0, Array("QEMU".utf8))
    items.set(5, UInt16(0x1234))
    for name in ["opt/z", "etc/b", "etc/a", "opt/Z"] {
      items.add(.init(name, Array("<\(name)>".utf8)))
    }
    items.add(.init("opt/free", [1, 2, 3, 4], isWritable: true))
    device.install(items, ram: [0..<1 << 20])
  }

  private static func connect(_ device: FirmwareConfiguration, to ports: PortSpace) throws {
    ports.map(device, at: 0x510...0x510, PortTraits(maxWidth: 2, isSlow: false))
    ports.map(device, at: 0x511...0x511, offset: 1, .quick)
    ports.map(device, at: 0x514...0x51B, offset: 4, PortTraits(maxWidth: 4, isSlow: false))
  }

  private func select(_ item: UInt16) { ports.write(0x510, UInt32(item), width: 2) }
  private func next(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(ports.read(0x511, width: 1)) }
  }
  private func big(_ bytes: some Collection<UInt8>) -> UInt64 {
    bytes.reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// Puts a request at an address and has it carried out.
  /// - Returns: control as it was written back.
  @discardableResult
  private func request(
    _ control: UInt32, _ length: UInt32, _ address: UInt64, at place: UInt32 = 0x1000
  ) -> UInt32 {
    let words = [control, length, UInt32(address >> 32), UInt32(truncatingIfNeeded: address)]
    let bytes = words.flatMap { word in withUnsafeBytes(of: word.bigEndian) { Array($0) } }
    memory.bytes.replaceSubrange(Int(place)..<Int(place) + 16, with: bytes)
    ports.write(0x518, place.byteSwapped, width: 4)
    return UInt32(big(memory.bytes[Int(place)..<Int(place) + 4]))
  }

  /// The directory as firmware reads it.
  private func directory() -> [(name: String, item: UInt16, size: Int)] {
    select(0x19)
    return (0..<Int(big(next(4)))).map { _ in
      let size = Int(big(next(4)))
      let item = UInt16(big(next(2)))
      #expect(next(2) == [0, 0])
      let name = next(56)
      return (String(decoding: name.prefix { $0 != 0 }, as: UTF8.self), item, size)
    }
  }

  @Test func anItemIsReadByteByByteAndZerosFollow() {
    select(0)
    #expect(next(6) == Array("QEMU".utf8) + [0, 0])
    select(5)
    #expect(next(3) == [0x34, 0x12, 0])
    // The bit that once let items be written chooses none.
    select(0x4005)
    #expect(next(2) == [0x34, 0x12])
    select(0x1F)
    #expect(next(2) == [0, 0])
    select(0x8003)
    #expect(next(2) == [0, 0])
    // Only words select.
    select(5)
    ports.write(0x510, 0, width: 1)
    ports.write(0x511, 0, width: 1)
    #expect(next(1) == [0x34])
    // The upper port of a word or dword is nobody's.
    select(5)
    #expect(ports.read(0x511, width: 2) == 0xFF34)
  }

  @Test func stringsOfBytesAreReadAtOnce() {
    select(0)
    #expect(ports.blockRoom(0x511, width: 1) > 0)
    #expect(ports.blockRoom(0x511, width: 2) == 0)
    #expect(next(1) == [UInt8(ascii: "Q")])
    var bytes = [UInt8](repeating: 0xAA, count: 5)
    let moved = bytes.withUnsafeMutableBytes {
      ports.readBlock(0x511, width: 1, into: $0.baseAddress!, count: 5)
    }
    #expect(moved == 5)
    #expect(bytes == Array("EMU".utf8) + [0, 0])
  }

  @Test func filesAreSortedAndFoundByTheirNumbers() {
    let files = directory()
    #expect(files.map(\.name) == ["etc/a", "etc/b", "opt/Z", "opt/free", "opt/z"])
    #expect(files.map(\.item) == [0x20, 0x21, 0x22, 0x23, 0x24])
    for file in files where file.name != "opt/free" {
      select(file.item)
      #expect(next(file.size) == Array("<\(file.name)>".utf8))
    }
  }

  @Test func aFileReplacesTheOneOfItsNameAndImpossibleOnesAreRefused() {
    var items = FirmwareItems()
    let longest = String(repeating: "n", count: 55)
    let added = [(longest, [1]), (longest, [2, 3]), (longest + "n", []), ("", []), ("a\0b", [])].map
    {
      items.add(.init($0.0, $0.1))
    }
    #expect(added == [true, true, false, false, false])
    #expect(items.files.map(\.bytes) == [[2, 3]])
  }

  @Test func theAddressRegisterTellsThatThereAreRequests() {
    #expect(ports.read(0x514, width: 4) == 0x554D_4551)
    #expect(ports.read(0x518, width: 4) == 0x4746_4320)
    #expect(ports.read(0x515, width: 1) == UInt32(UInt8(ascii: "E")))
    #expect(ports.read(0x51A, width: 2) == 0x4746)
  }

  @Test func aRequestSelectsReadsAndSkips() {
    #expect(request(0x0000_000A, 6, 0x2000) == 0)
    #expect(memory.bytes[0x2000..<0x2007] == [0x51, 0x45, 0x4D, 0x55, 0, 0, 0xEE])
    // Selecting alone; skipping; reading on; what is behind the end is zeros.
    #expect(request(0x0000_0008, 99, 0) == 0)
    #expect(request(0x0000_0004, 2, 0) == 0)
    #expect(request(0x0000_0002, 1, 0x2000) == 0)
    #expect(memory.bytes[0x2000] == UInt8(ascii: "M"))
    #expect(next(2) == [UInt8(ascii: "U"), 0])
    #expect(request(0x0000_0004, UInt32.max, 0) == 0)
    #expect(next(1) == [0])
    // Nothing is asked for.
    #expect(request(0, 5, 0x2000) == 0)
    #expect(request(2, 0, UInt64.max) == 0)
  }

  @Test func bothHalvesOfTheAddressCountAndTheUpperIsForgotten() {
    ports.write(0x514, UInt32(1).byteSwapped, width: 4)
    #expect(request(0x0000_000A, 4, 0x2000) == 0x0000_000A)
    #expect(memory.bytes[0x2000] == 0xEE)
    #expect(request(0x0000_000A, 4, 0x2000) == 0)
    #expect(memory.bytes[0x2000] == UInt8(ascii: "Q"))
  }

  @Test func onlyWholeRegistersAreWritten() {
    let before = memory.moved
    for width in [1, 2] {
      for port in 0x514...0x51B as ClosedRange<UInt16> { ports.write(port, 0x1000, width: width) }
    }
    for port in [0x513, 0x515, 0x516, 0x517, 0x519, 0x51A, 0x51B] as [UInt16] {
      ports.write(port, 0x1000, width: 4)
    }
    #expect(memory.moved == before)
  }

  @Test func onlyWhatIsThereToBeWrittenIs() {
    #expect(request(0x0023_0018, 2, 0x2000) == 0)
    select(0x23)
    #expect(next(4) == [0xEE, 0xEE, 3, 4])
    // Beyond the end nothing is written, not even the part that would fit.
    #expect(request(0x0023_000C, 3, 0) == 0)
    #expect(request(0x0000_0010, 2, 0x2000) == 1)
    select(0x23)
    #expect(next(4) == [0xEE, 0xEE, 3, 4])
    // Read-only; no such item.
    #expect(request(0x0020_0018, 1, 0x2000) == 1)
    #expect(request(0x1234_0018, 1, 0x2000) == 1)
    // Reading comes before writing.
    #expect(request(0x0020_001A, 1, 0x2000) == 0)
    #expect(memory.bytes[0x2000] == UInt8(ascii: "<"))
    device.reset(.system)
    select(0x23)
    #expect(next(4) == [1, 2, 3, 4])
  }

  @Test func whatIsNotInMemoryIsAnErrorAndMovesNothing() {
    for (length, address) in [
      (4, 0x10_0000), (4, 0xF_FFFD), (4, UInt64.max), (4, UInt64.max - 3), (UInt32.max, 0),
      (UInt32.max, UInt64.max), (0x10_0001, 0), (4, 1 << 32), (4, 1 << 63),
    ] as [(UInt32, UInt64)] {
      let before = memory.moved
      #expect(request(0x0000_000A, length, address) == 1, "\(length) at \(address)")
      // The request itself and the answer.
      #expect(memory.moved - before == 20)
      #expect(request(0x0023_0018, length, address) == 1)
    }
    // A request that is not in memory gets no answer.
    let before = memory.moved
    for address in [0x10_0000, 0xF_FFF1, 0xFFFF_FFFF, 0xFFFF_FFF0] as [UInt32] {
      ports.write(0x518, address.byteSwapped, width: 4)
    }
    #expect(memory.moved == before)
  }

  @Test func aRequestMayBeOverwrittenByItself() {
    // The first bytes go over the request, and then the answer over them.
    #expect(request(0x0000_000A, 16, 0x1000) == 0)
    #expect(memory.bytes[0x1004..<0x1010].allSatisfy { $0 == 0 })
    #expect(request(0x0023_0018, 4, 0x1000) == 0)
    select(0x23)
    #expect(next(4) == [0x00, 0x23, 0x00, 0x18])
    // All of memory, the request in it.
    #expect(request(0x0000_000A, 1 << 20, 0) == 0)
    #expect(Array(memory.bytes[0..<6]) == Array("QEMU".utf8) + [0, 0])
    #expect(memory.bytes[6..<1 << 20].allSatisfy { $0 == 0 })
  }

  @Test func requestsForMoreThanThereIsHaveALimit() {
    device.install(FirmwareItems(), ram: [0..<UInt64(UInt32.max)])
    #expect(request(0x0000_000A, UInt32(FirmwareConfiguration.mostZeros) + 1, 0) == 1)
  }

  @Test func aMillionRandomAccessesGoOnTheSameFromAState() throws {
    var random = Random(seed: 13)
    let other = NotedMemory()
    let second = FirmwareConfiguration(memory: other)
    let secondPorts = PortSpace()
    try FirmwareConfigurationTests.connect(second, to: secondPorts)
    second.install(device.items, ram: [0..<1 << 20])
    for n in 0..<1_000_000 {
      let port = UInt16(0x50E) + UInt16(random.below(16))
      let width = [1, 1, 2, 2, 4][random.below(5)]
      var value = random.word()
      if random.oneIn(3) { value = UInt32(random.below(0x28)) }
      if random.oneIn(4) { value = UInt32(random.below(1 << 20) as Int).byteSwapped }
      if random.oneIn(50) {
        // Something like a request.
        let place = random.below((1 << 20) - 16)
        let bytes = [
          0, UInt8(random.below(0x28)), 0, random.byte() & 0x1F, 0, 0, random.byte() & 1,
          random.byte(), 0, 0, 0, 0, 0, random.byte() & 0x1F, random.byte(), random.byte(),
        ]
        memory.bytes.replaceSubrange(place..<place + 16, with: bytes)
        other.bytes.replaceSubrange(place..<place + 16, with: bytes)
        value = UInt32(place).byteSwapped
        ports.write(0x518, value, width: 4)
        secondPorts.write(0x518, value, width: 4)
      } else if random.oneIn(2) {
        ports.write(port, value, width: width)
        secondPorts.write(port, value, width: width)
      } else if ports.read(port, width: width) != secondPorts.read(port, width: width) {
        Issue.record("access \(n): another value at \(port)")
        return
      }
      if random.oneIn(5000) {
        // The other goes on from the state of the first.
        var writer = StateWriter()
        writer.section("fw-cfg", version: device.stateVersion) { device.save(to: &$0) }
        second.reset(.system)
        var reader = StateReader(writer.bytes)
        try reader.section("fw-cfg", versions: 1...2) { (inner, version) throws(StateError) in
          try second.restore(from: &inner, version: version)
        }
      }
    }
    #expect(memory.bytes == other.bytes)
  }

  @Test func aStateOfAnOlderVersionIsRead() throws {
    var writer = StateWriter()
    writer.write(UInt16(5))
    writer.write(UInt32(1))
    var reader = StateReader(writer.bytes)
    try device.restore(from: &reader, version: 1)
    #expect(next(1) == [0x12])
    // Beyond what any item can have.
    writer = StateWriter()
    writer.write(UInt16(5))
    writer.write(UInt32.max)
    reader = StateReader(writer.bytes)
    #expect(throws: StateError.self) { try device.restore(from: &reader, version: 1) }
  }

  @Test func itShowsWhatIsSelected() {
    select(0x21)
    _ = next(2)
    #expect(device.inspect()["file"] == .text("etc/b"))
    #expect(device.inspect()["offset"] == .count(2))
    #expect(device.inspect()["files"] == .count(5))
  }
}
