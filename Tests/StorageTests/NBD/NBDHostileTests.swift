// Servers that mean harm, or are none: an error in bounded time and memory, never a crash. APUS_FUZZ says how many.

import Foundation
import Host
import Testing

@testable import Storage

@Suite struct NBDHostileTests {
  /// All that a server says to a client that opens, reads, asks for holes and writes.
  private static let whole: [UInt8] = {
    var bytes: [UInt8] = []
    bytes.append(big: NBD.initMagic)
    bytes.append(big: NBD.optionMagic)
    bytes.append(big: UInt16(3))
    func option(_ number: NBD.Option, _ type: UInt32, _ data: [UInt8] = []) {
      bytes.append(big: NBD.replyMagic)
      bytes.append(big: number.rawValue)
      bytes.append(big: type)
      bytes.append(big: UInt32(data.count))
      bytes += data
    }
    option(.structuredReply, NBD.ack)
    option(.setMetaContext, NBD.metaContext, [0, 0, 0, 1] + Array("base:allocation".utf8))
    option(.setMetaContext, NBD.ack)
    option(.go, NBD.info, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0b0100_0101])
    option(.go, NBD.info, [0, 3, 0, 0, 0, 1, 0, 0, 16, 0, 0, 16, 0, 0])
    option(.go, NBD.ack)
    func chunk(_ cookie: UInt64, _ type: UInt16, _ data: [UInt8], _ flags: UInt16 = 1) {
      bytes.append(big: NBD.structuredReplyMagic)
      bytes.append(big: flags)
      bytes.append(big: type)
      bytes.append(big: cookie)
      bytes.append(big: UInt32(data.count))
      bytes += data
    }
    chunk(1, NBD.chunkData, [0, 0, 0, 0, 0, 0, 0, 0] + (0..<100).map { UInt8($0) }, 0)
    chunk(1, NBD.chunkHole, [0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 156])
    chunk(2, NBD.chunkStatus, [0, 0, 0, 1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 240, 0, 0, 0, 0, 3])
    bytes.append(big: NBD.simpleReplyMagic)
    bytes.append(big: UInt32(0))
    bytes.append(big: UInt64(3))
    return bytes
  }()

  /// A client of somebody who says this and nothing more.
  /// - Returns: what it complains of, nil: nothing.
  private static func complaint(_ bytes: [UInt8], _ query: String = "reconnect=0") throws
    -> StorageError?
  {
    let (near, far) = try HostStream.pair()
    try bytes.withUnsafeBytes {
      try far.send($0, until: HostClock.nanoseconds() + 1_000_000_000)
    }
    far.endSending()
    var first: HostStream? = near
    defer { far.close() }
    do throws(StorageError) {
      let session = try NBDSession("nbd://test/disk?\(query)") {
        (address, until) throws(NBDFailure) in
        guard let stream = first else { throw .lost("once only") }
        first = nil
        return try NBDConnection(
          stream, export: address.export, timeout: address.timeout, until: until)
      }
      let store = NBDStore(session, writable: true)
      let read = try store.bytes(at: 0, count: 256)
      _ = store.nextData(from: 0)
      try store.write(at: 0, Array(read.prefix(10)))
      return nil
    } catch { return error }
  }

  @Test func theWholeIsAccepted() throws {
    #expect(try NBDHostileTests.complaint(NBDHostileTests.whole) == nil)
  }

  @Test func whatMakesNoSenseIsSaid() throws {
    let whole = NBDHostileTests.whole
    func changed(_ at: Int, _ bytes: [UInt8]) -> [UInt8] {
      var copy = whole
      copy.replaceSubrange(at..<at + bytes.count, with: bytes)
      return copy
    }
    #expect(
      try NBDHostileTests.complaint(Array("HTTP/1.1 400 Bad Request\r\n".utf8))!.reason.contains(
        "NBDMAGIC"))
    #expect(
      try NBDHostileTests.complaint(Array("NBDMAGICwhatever".utf8))!.reason.contains("greeting"))
    // The length of the first reply.
    #expect(
      try NBDHostileTests.complaint(changed(34, [255, 255, 255, 255]))!.reason.contains(
        "4294967295"))
    #expect(try NBDHostileTests.complaint([])!.reason.contains("closed"))
    // A cookie that nobody has.
    let read = whole.count - 16 - 40 - 32 - 128
    #expect(whole[read] == 0x66)
    #expect(
      try NBDHostileTests.complaint(changed(read + 15, [77]))!.reason.contains("nobody asked"))
    // More bytes than were asked for.
    #expect(
      try NBDHostileTests.complaint(changed(read + 16, [0x7F]))!.reason.contains("nobody asked"))
    // A hole over what has come.
    let hole = read + 128
    #expect(try NBDHostileTests.complaint(changed(hole + 27, [99]))!.reason.contains("twice"))
    #expect(try NBDHostileTests.complaint(changed(hole + 31, [155]))!.reason.contains("lacks some"))
  }

  @Test func silenceAndTricklingEnd() throws {
    for trickles in [false, true] {
      let (near, far) = try HostStream.pair()
      var first: HostStream? = near
      let start = HostClock.nanoseconds()
      struct Carried: @unchecked Sendable { let stream: HostStream }
      let carried = Carried(stream: far)
      let thread = try HostThread {
        guard trickles else { return }
        for byte in NBDHostileTests.whole {
          usleep(50_000)
          let sent: Void? = withUnsafeBytes(of: byte) {
            try? carried.stream.send($0, until: HostClock.nanoseconds() + 1_000_000_000)
          }
          if sent == nil { return }
        }
      }
      #expect {
        try NBDSession("nbd://test/disk?timeout=1&reconnect=0") {
          (address, until) throws(NBDFailure) in
          guard let stream = first else { throw .lost("once only") }
          first = nil
          return try NBDConnection(
            stream, export: address.export, timeout: address.timeout, until: until)
        }
      } throws: {
        "\($0)".contains("silent") || trickles && "\($0)".contains("slow")
      }
      #expect(HostClock.nanoseconds() - start < 4_000_000_000)
      far.close()
      thread.join()
    }
  }

  @Test func garbageIsRefused() throws {
    let count =
      ProcessInfo.processInfo.environment["APUS_FUZZ"].flatMap { Int($0) } ?? 10_000
    var random = TrialRandom(state: 0x4E42_444D)
    let extremes: [[UInt8]] = [
      [0, 0, 0, 0], [255, 255, 255, 255], [127, 255, 255, 255], [128, 0, 0, 0], [0, 0, 0, 1],
    ]
    let start = HostClock.nanoseconds()
    for _ in 0..<count {
      var bytes = NBDHostileTests.whole
      for _ in 0..<1 + random.below(3) {
        let at = Int(random.below(UInt64(bytes.count)))
        switch random.below(5) {
        case 0: bytes[at] ^= UInt8(1 << random.below(8))
        case 1: bytes[at] = UInt8(random.below(256))
        case 2: bytes.removeSubrange(at..<min(bytes.count, at + 1 + Int(random.below(8))))
        case 3: bytes.insert(contentsOf: extremes[Int(random.below(5))], at: at)
        default:
          let end = min(bytes.count, at + 4)
          bytes.replaceSubrange(at..<end, with: extremes[Int(random.below(5))].prefix(end - at))
        }
        if bytes.isEmpty { bytes = [0] }
      }
      _ = try NBDHostileTests.complaint(bytes)
    }
    // Nothing waits for what never comes.
    #expect(Double(HostClock.nanoseconds() - start) / 1e9 < Double(count) / 100 + 30)
  }
}
