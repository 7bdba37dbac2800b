// The NBD client against a server in this process: names, transfers, lost connections, errors.

import Host
import Testing

@testable import Storage

@Suite struct NBDTests {
  private func store(
    _ server: NBDTestServer, _ query: String = "", writable: Bool = true
  ) throws -> NBDStore {
    NBDStore(
      try NBDSession("nbd://test/disk\(query)", connect: server.connector), writable: writable)
  }

  private func pattern(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 8) }
  }

  @Test func namesAreReadAsTheirSpecificationHasThem() throws {
    #expect(try NBDAddress("nbd://host").place == .host("host", port: 10809))
    #expect(try NBDAddress("nbd://host").export == "")
    #expect(try NBDAddress("nbd://host:1/a/b%20c").export == "a/b c")
    #expect(try NBDAddress("NBD://[::1]:77/x").place == .host("::1", port: 77))
    let unix = try NBDAddress("nbd+unix:///x?socket=/tmp/a%3Fb&reconnect=3&timeout=7")
    #expect(unix.place == .socket("/tmp/a?b"))
    #expect(unix.reconnect == 3_000_000_000 && unix.timeout == 7_000_000_000)
    for (name, words) in [
      ("nbds://host/x", "TLS"), ("nbds+unix:///x?socket=y", "TLS"), ("nbd://", "HOST"),
      ("nbd://host:0", "HOST"), ("nbd://host:65536", "HOST"), ("nbd+unix:///x", "socket"),
      ("nbd+unix://host/x?socket=y", "three slashes"), ("nbd://h/x?tls=1", "tls"),
      ("nbd://h/%zz", "%XX"), ("nbd:host:10809", "nbd://HOST"), ("nbd://h/x?timeout=0", "timeout"),
    ] {
      #expect(NBDAddress.isAddress(name), "\(name)")
      #expect { try NBDAddress(name) } throws: { "\($0)".contains(words) && "\($0)".contains(name) }
    }
    #expect(!NBDAddress.isAddress("nbd.img") && !NBDAddress.isAddress("folder:nbd://x"))
  }

  @Test(arguments: [true, false]) func bytesAreReadAndWritten(isStructured: Bool) throws {
    let model = pattern(300_001)
    let server = NBDTestServer(model)
    server.isStructured = isStructured
    let store = try store(server)
    #expect(store.size == 300_001 && store.isWritable)
    #expect(try store.bytes(at: 0, count: 300_001) == model)
    // One behind the other, so that reads go ahead; then back.
    for at in stride(from: 0, to: 290_000, by: 1000) {
      #expect(try store.bytes(at: UInt64(at), count: 1000) == Array(model[at..<at + 1000]))
      if at == 50_000 { try store.write(at: 60_000, Array(model[60_000..<60_010])) }
    }
    #expect(try store.bytes(at: 5, count: 3) == Array(model[5..<8]))
    try store.write(at: 299_999, [1, 2])
    try store.zero(at: 100, count: 50, releasing: true)
    try store.flush()
    #expect(Array(server.bytes[299_999...]) == [1, 2])
    #expect(server.bytes[100..<150].allSatisfy { $0 == 0 } && server.bytes[150] == model[150])
    #expect(throws: StorageError.self) { try store.write(at: 300_000, [1, 2]) }
    #expect(throws: StorageError.self) { try store.setSize(1) }
  }

  @Test func whatIsReadAheadIsNotOlderThanOnesOwnWrites() throws {
    let server = NBDTestServer(pattern(1 << 20))
    let store = try store(server)
    for at in stride(from: 0, to: 16384, by: 4096) {
      _ = try store.bytes(at: UInt64(at), count: 4096)
    }
    try store.write(at: 20000, [9, 9, 9])
    #expect(try store.bytes(at: 16384, count: 4096)[3616..<3619] == [9, 9, 9])
  }

  @Test func serversThatTakeWholeBlocksGetWholeBlocks() throws {
    let model = pattern(64 << 10)
    let server = NBDTestServer(model)
    server.minimum = 4096
    let store = try store(server)
    #expect(try store.bytes(at: 5000, count: 10) == Array(model[5000..<5010]))
    try store.write(at: 8190, [1, 2, 3, 4])
    try store.zero(at: 12000, count: 9000, releasing: false)
    var wanted = model
    wanted.replaceSubrange(8190..<8194, with: [1, 2, 3, 4])
    wanted.replaceSubrange(12000..<21000, with: repeatElement(0, count: 9000))
    #expect(server.bytes == wanted)
    for request in server.requests {
      let numbers = request.split(separator: " ").compactMap { Int($0) }
      #expect(numbers[1] % 4096 == 0 && numbers[2] % 4096 == 0, "\(request)")
    }
    let odd = NBDTestServer(pattern(5000))
    odd.minimum = 512
    #expect { try self.store(odd) } throws: { "\($0)".contains("5000 bytes") }
  }

  @Test func holesAreTold() throws {
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    bytes.replaceSubrange(8192..<8292, with: pattern(100))
    bytes[500_000] = 1
    let store = try store(NBDTestServer(bytes))
    #expect(store.nextData(from: 0) == 8192)
    #expect(store.nextHole(from: 8192) == 12288)
    #expect(store.nextData(from: 12288) == 500_000 / 4096 * 4096)
    #expect(store.nextData(from: 600_000) == .max)
    try store.write(at: 700_000, [1])
    #expect(store.nextData(from: 600_000) == 700_000 / 4096 * 4096)
    let silent = NBDTestServer(bytes)
    silent.isStructured = false
    let other = try self.store(silent)
    #expect(other.nextData(from: 0) == 0 && other.nextHole(from: 0) == 1 << 20)
  }

  @Test func anExportThatIsReadOnlyIsNotWritten() throws {
    let server = NBDTestServer(pattern(1024))
    server.flags |= NBD.readOnly
    let store = try store(server)
    #expect(!store.isWritable && store.writeRefusal != nil)
    #expect(throws: StorageError.self) { try store.write(at: 0, [1]) }
    try store.flush()
  }

  @Test func whatTheServerSaysIsPassedOn() throws {
    let server = NBDTestServer(pattern(4096))
    let store = try store(server)
    server.fail(0, 5)
    #expect { try store.bytes(at: 512, count: 10) } throws: {
      "\($0)".contains("nbd://test/disk: at offset 512") && "\($0)".contains("EIO")
    }
    server.fail(1, 28)
    #expect { try store.write(at: 0, [1]) } throws: { "\($0)".contains("ENOSPC") }
    server.fail(1, 1)
    #expect { try store.write(at: 0, [1]) } throws: { "\($0)".contains("EPERM") }
    #expect(server.connectionCount == 1)
  }

  @Test func exportsThatAreThereAreNamed() throws {
    let server = NBDTestServer(pattern(512))
    #expect { try NBDSession("nbd://test/nix", connect: server.connector) } throws: {
      "\($0)".contains("no export 'nix'") && "\($0)".contains("'disk', 'cd'")
    }
  }

  @Test func aLostConnectionIsMadeAgainAndLosesNothing() throws {
    let server = NBDTestServer(pattern(100_000))
    let store = try store(server)
    try store.write(at: 0, [1, 2, 3])
    try store.flush()
    try store.write(at: 10, [4, 5, 6])
    try store.zero(at: 50_000, count: 1000, releasing: true)
    // The server forgets what it had not flushed.
    server.dieAfter(0)
    server.refusals = 3
    #expect(try store.bytes(at: 0, count: 13).last == 6)
    #expect(Array(server.bytes[0..<3]) == [1, 2, 3] && Array(server.bytes[10..<13]) == [4, 5, 6])
    #expect(server.bytes[50_000..<51_000].allSatisfy { $0 == 0 })
    #expect(server.connectionCount == 5)
    server.dieAfter(0)
    try store.write(at: 20, [7])
    server.dieAfter(1)
    try store.write(at: 30, [8])
    try store.flush()
    #expect(server.bytes[10] == 4 && server.bytes[20] == 7 && server.bytes[30] == 8)
  }

  @Test func aServerThatStaysAwayIsAnErrorInTime() throws {
    let server = NBDTestServer(pattern(4096))
    let store = try store(server, "?reconnect=1")
    server.dieAfter(0)
    server.refusals = 1000
    let start = HostClock.nanoseconds()
    #expect { try store.bytes(at: 1024, count: 5) } throws: {
      let words = "\($0)"
      return words.contains("nbd://test/disk") && words.contains("offset 1024")
        && words.contains("connection is lost") && words.contains("nobody is there")
    }
    let seconds = Double(HostClock.nanoseconds() - start) / 1e9
    #expect(seconds > 0.8 && seconds < 4)
    server.refusals = 0
    #expect(try store.bytes(at: 0, count: 5).count == 5)
  }

  @Test func anExportOfAnotherSizeIsNotTakenForTheOneOfBefore() throws {
    let (first, second) = (NBDTestServer(pattern(4096)), NBDTestServer(pattern(8192)))
    let connectors = [first.connector, second.connector]
    var count = 0
    let session = try NBDSession("nbd://test/disk") { (address, until) throws(NBDFailure) in
      count += 1
      return try connectors[min(count - 1, 1)](address, until)
    }
    first.dieAfter(0)
    #expect { try session.flush() } throws: { "\($0)".contains("8192") }
  }
}
