// A channel with a CD drive, a fake clock, and the host's side of the PACKET protocol.

import Bus
import State
import Testing

@testable import Chipset
@testable import Storage

/// The bytes of a disc's files by what they are: user data of a sector hold its number.
func numberedSectors(_ count: Int) -> [UInt8] {
  (0..<count * 2048).map { UInt8(truncatingIfNeeded: $0 / 2048 &+ ($0 & 2047) / 256) }
}

/// A disc of a file of user data.
func dataDisc(_ sectors: Int = 1000) -> CDImage {
  let store = MemoryStore(numberedSectors(sectors), name: "disc", isWritable: false)
  return try! CDContents(sectors: store).image
}

/// Data, then two audio tracks: track 2 at 650 (500 behind 150 of pause) and track 3 at 1250.
func mixedDisc() -> CDImage {
  let sheet = """
    CATALOG 1234567890123
    FILE "data" BINARY
    TRACK 01 MODE1/2048
    INDEX 01 00:00:00
    FILE "audio" BINARY
    TRACK 02 AUDIO
    ISRC ABCDE1234567
    PREGAP 00:02:00
    INDEX 01 00:00:00
    INDEX 02 00:04:00
    TRACK 03 AUDIO
    INDEX 01 00:08:00
    """
  let files: [String: [UInt8]] = [
    "data": numberedSectors(500),
    "audio": (0..<1200 * 2352).map { UInt8(truncatingIfNeeded: $0 / 2352 &+ 7) },
  ]
  let context = ImageContext(kind: .cd) { name throws(StorageError) in
    MemoryStore(files[name] ?? [], name: name, isWritable: false)
  }
  let store = MemoryStore(Array(sheet.utf8), name: "x.cue", isWritable: false)
  return try! CDContents(cue: store, context).image
}

/// The host's side.
final class ATAPIBench {
  final class Time { var now: UInt64 = 0 }

  let time = Time()
  let clock = VirtualClock(instructionsPerSecond: 1_000_000_000)
  let irq = Signal()
  let channel: IDEChannel
  let drive: ATAPIDrive
  var interrupts = 0
  /// The bytes of each DRQ block of the last command.
  var blocks: [Int] = []

  init(_ disc: CDImage?, unit: Int = 0) {
    let time = time
    clock.instructionCount = { time.now }
    channel = IDEChannel(clock: clock, irq: irq, name: "ide1")
    drive = ATAPIDrive(disc: disc)
    channel.attach(drive: unit, drive)
    channel.reset(.power)
    irq.connect { [unowned self] level in if level { self.interrupts += 1 } }
  }

  /// One that has told of its reset.
  static func ready(_ disc: CDImage?) -> ATAPIBench {
    let bench = ATAPIBench(disc)
    _ = bench.command([0])
    _ = bench.sense()
    return bench
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

  @discardableResult func wait() -> UInt8 {
    for _ in 0..<100_000 where alternate & 0x80 != 0 { run(1_000) }
    return inb(7)
  }

  func word() -> UInt16 { UInt16(channel.read(at: 0, width: 2)) }

  /// Sends a packet; stops where its first data block or its end is.
  func send(_ packet: [UInt8], limit: UInt16 = 0xF800, features: UInt8 = 0) {
    out(1, features)
    out(4, UInt8(limit & 0xFF))
    out(5, UInt8(limit >> 8))
    out(7, 0xA0)
    #expect(wait() & 0x88 == 0x08)
    #expect(inb(2) & 3 == 1)
    let bytes = packet + [UInt8](repeating: 0, count: 12 - packet.count)
    for n in stride(from: 0, to: 12, by: 2) {
      channel.write(at: 0, UInt32(bytes[n]) | UInt32(bytes[n + 1]) << 8, width: 2)
    }
    #expect(alternate & 0x80 != 0)
  }

  /// Carries a packet command out; what it sends, or nil when it ends with CHECK CONDITION.
  func command(_ packet: [UInt8], limit: UInt16 = 0xF800, data: [UInt8] = []) -> [UInt8]? {
    send(packet, limit: limit)
    var bytes: [UInt8] = []
    blocks = []
    var status = wait()
    while status & 8 != 0 {
      let count = Int(inb(4)) | Int(inb(5)) << 8
      blocks.append(count)
      if inb(2) & 2 == 0 {
        #expect(inb(2) & 3 == 0)
        for n in stride(from: 0, to: count, by: 2) {
          channel.write(at: 0, UInt32(data[n]) | UInt32(data[n + 1]) << 8, width: 2)
        }
      } else {
        #expect(inb(2) & 3 == 2)
        for n in stride(from: 0, to: count, by: 2) {
          let value = word()
          bytes.append(UInt8(value & 0xFF))
          if n + 1 < count { bytes.append(UInt8(value >> 8)) }
        }
      }
      status = wait()
    }
    #expect(inb(2) & 3 == 3)
    return status & 1 == 0 ? bytes : nil
  }

  /// Key, code and qualifier of the last failure.
  func sense() -> [UInt8] {
    let bytes = command([3, 0, 0, 0, 18]) ?? []
    return bytes.count == 18 ? [bytes[2] & 15, bytes[12], bytes[13]] : []
  }

  /// What a command that must fail says.
  func failure(_ packet: [UInt8], data: [UInt8] = []) -> [UInt8] {
    command(packet, data: data) == nil ? sense() : []
  }

  static func packet(_ operation: UInt8, lba: Int, count: Int) -> [UInt8] {
    [operation, 0] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: lba >> $0) }
      + [0, UInt8(count >> 8 & 0xFF), UInt8(count & 0xFF)]
  }
}
