// The NBD client against qemu-nbd and nbdkit, where they are installed.

import Foundation
import Host
import Testing
import ToolSupport

@testable import Storage

@Suite(.serialized) struct NBDCrossTests {
  static func tool(_ name: String) -> String? {
    ["/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/opt/homebrew/bin/"].map { $0 + name }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }
  static let qemu = tool("qemu-nbd")
  static let nbdkit = tool("nbdkit")

  /// A server for as long as a test takes.
  final class Server {
    let process = Process()
    let socket: String

    init(_ tool: String, _ socket: String, _ arguments: [String]) throws {
      self.socket = socket
      try? FileManager.default.removeItem(atPath: socket)
      process.executableURL = URL(fileURLWithPath: tool)
      process.arguments = arguments
      process.standardError = FileHandle.nullDevice
      try process.start()
      let end = HostClock.nanoseconds() + 20_000_000_000
      while !FileManager.default.fileExists(atPath: socket) {
        try #require(HostClock.nanoseconds() < end && process.isRunning, "\(tool) does not start")
        usleep(20_000)
      }
    }

    func stop() {
      // Not SIGTERM: who is started by a thread that has it blocked never gets it.
      if process.isRunning { kill(process.processIdentifier, SIGKILL) }
      process.waitUntilExit()
      try? FileManager.default.removeItem(atPath: socket)
    }
    deinit { stop() }
  }

  private func socket() -> String { "/tmp/apus-nbd-\(UUID().uuidString.prefix(8))" }

  private func random(_ count: Int, holes: Bool = true) -> [UInt8] {
    var random = TrialRandom(state: UInt64(count))
    var bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    if holes, count > 3 << 20 {
      bytes.replaceSubrange(1 << 20..<2 << 20, with: repeatElement(0, count: 1 << 20))
    }
    return bytes
  }

  private func qemuServer(_ socket: String, _ more: [String]) throws -> Server {
    try Server(NBDCrossTests.qemu!, socket, ["-t", "-k", socket, "-e", "4"] + more)
  }

  /// qemu-nbd has one client at a time unless told otherwise, and lets others wait.
  @Test(.enabled(if: qemu != nil, "qemu-nbd is not installed"))
  func aServerOfOneClientIsOpenedTwice() throws {
    let scratch = Scratch()
    let place = socket()
    let server = try qemuServer(
      place, ["-e", "1", "-f", "raw", scratch.file("disk", random(1 << 20))])
    defer { server.stop() }
    let address = "nbd+unix:///?socket=\(place)"
    for _ in 0..<2 {
      let writer = try NBDStore(address, writable: true)
      let reader = try NBDStore(address, writable: false)
      #expect(writer.isWritable && !reader.isWritable)
      _ = try reader.bytes(at: 0, count: 65536)
      try writer.write(at: 512, [UInt8](repeating: 0x5A, count: 1024))
      #expect(try reader.bytes(at: 512, count: 1024) == [UInt8](repeating: 0x5A, count: 1024))
      writer.close()
      writer.close()
      #expect(throws: Never.self) { try reader.bytes(at: 65536, count: 512) }
      reader.close()
      #expect(throws: StorageError.self) { try reader.bytes(at: 0, count: 512) }
    }
  }

  @Test(.enabled(if: qemu != nil, "qemu-nbd is not installed"))
  func aRawFileOfQEMUIsReadAndWritten() throws {
    let scratch = Scratch()
    var model = random(4 << 20)
    let file = scratch.file("disk", model)
    let place = socket()
    let server = try qemuServer(place, ["-f", "raw", "-x", "disk", "--discard=unmap", file])
    defer { server.stop() }
    let store = try NBDStore("nbd+unix:///disk?socket=\(place)", writable: true)
    #expect(try store.bytes(at: 0, count: 4 << 20) == model)
    var random = TrialRandom(state: 3)
    for _ in 0..<200 {
      let at = Int(random.below(4 << 20))
      let count = min(model.count - at, Int(random.below(70_000)))
      switch random.below(3) {
      case 0:
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 + at) }
        try store.write(at: UInt64(at), bytes)
        model.replaceSubrange(at..<at + count, with: bytes)
      case 1:
        try store.zero(at: UInt64(at), count: UInt64(count), releasing: random.below(2) == 0)
        model.replaceSubrange(at..<at + count, with: repeatElement(0, count: count))
      default:
        #expect(try store.bytes(at: UInt64(at), count: count) == Array(model[at..<at + count]))
      }
    }
    try store.flush()
    store.close()
    #expect([UInt8](try Data(contentsOf: URL(fileURLWithPath: file))) == model)
  }

  @Test(.enabled(if: qemu != nil && QEMU.isThere, "qemu-nbd is not installed"))
  func whatIsInAnExportIsFoundOut() throws {
    let scratch = Scratch()
    let model = random(2 << 20)
    let raw = scratch.file("raw", model)
    let image = scratch.directory + "/image.qcow2"
    try QEMU.run(["convert", "-O", "qcow2", raw, image])
    let place = socket()
    let server = try qemuServer(place, ["-f", "raw", "-r", image])
    defer { server.stop() }
    let opened = try ImageOpener.open(path: "nbd+unix:///?socket=\(place)", kind: .disk)
    #expect(try opened.device.bytes(at: 0, count: 2 << 20) == model)
    #expect(opened.device.isReadOnly)
    #expect(opened.warnings.contains { $0.contains("read-only") })
    opened.device.close()
    let forced = try NBDStore("nbd+unix:///?socket=\(place)", writable: false)
    #expect(try forced.bytes(at: 0, count: 3) == Array("QFI".utf8))
  }

  @Test(.enabled(if: qemu != nil && QEMU.isThere, "qemu-nbd is not installed"))
  func anExportIsABaseWhereTheUserAllowsIt() throws {
    let scratch = Scratch()
    let model = random(1 << 20)
    let place = socket()
    let server = try qemuServer(place, ["-f", "raw", "-x", "base", scratch.file("raw", model)])
    defer { server.stop() }
    let top = scratch.directory + "/top.qcow2"
    let name = "nbd+unix:///base?socket=\(place)"
    let made = try QEMU.run(["create", "-f", "qcow2", "-F", "raw", "-b", name, top])
    try #require(made.status == 0, "\(made.text)")
    #expect { try ImageOpener.open(path: top, kind: .disk) } throws: {
      "\($0)".contains("on the network") && "\($0)".contains("allowed")
    }
    let opened = try ImageOpener.open(path: top, kind: .disk, allowBases: ["nbd+unix:///base"])
    #expect(try opened.device.bytes(at: 0, count: 1 << 20) == model)
    try opened.device.write(block: 0, [UInt8](repeating: 1, count: 512))
    try opened.device.finish()
    #expect(try opened.device.bytes(at: 512, count: 512) == Array(model[512..<1024]))
  }

  @Test(.enabled(if: qemu != nil, "qemu-nbd is not installed"))
  func aServerThatIsStartedAgainIsFound() throws {
    let scratch = Scratch()
    let file = scratch.file("raw", random(1 << 20))
    let place = socket()
    let server = try qemuServer(place, ["-f", "raw", file])
    let store = try NBDStore("nbd+unix:///?socket=\(place)&reconnect=20", writable: true)
    try store.write(at: 5, [1, 2, 3])
    kill(server.process.processIdentifier, SIGKILL)
    server.stop()
    let again = try qemuServer(place, ["-f", "raw", file])
    defer { again.stop() }
    try store.write(at: 8, [4])
    try store.flush()
    #expect(try store.bytes(at: 5, count: 4) == [1, 2, 3, 4])
  }

  @Test(
    .enabled(if: nbdkit != nil, "nbdkit is not installed"),
    arguments: [
      [], ["--filter=blocksize-policy"], ["--filter=nozero"], ["--no-sr"],
      ["--filter=noextents"], ["--filter=fua"], ["-o"],
    ])
  func nbdkitIsUnderstood(options: [String]) throws {
    let place = socket()
    let policy =
      options == ["--filter=blocksize-policy"]
      ? [
        "blocksize-minimum=4096", "blocksize-preferred=4096", "blocksize-maximum=65536",
        "blocksize-error-policy=error",
      ] : []
    let size = policy.isEmpty ? 1_000_001 : 1 << 20
    let server = try Server(
      NBDCrossTests.nbdkit!, place, ["-f", "-U", place] + options + ["memory", "\(size)"] + policy)
    defer { server.stop() }
    let store = try NBDStore("nbd+unix:///?socket=\(place)", writable: true)
    #expect(store.size == UInt64(size))
    var model = [UInt8](repeating: 0, count: size)
    let bytes = random(200_000, holes: false)
    try store.write(at: 777, bytes)
    model.replaceSubrange(777..<200_777, with: bytes)
    try store.zero(at: 5000, count: 100_001, releasing: true)
    model.replaceSubrange(5000..<105_001, with: repeatElement(0, count: 100_001))
    try store.write(at: UInt64(size - 1), [9])
    model[size - 1] = 9
    try store.flush()
    #expect(try store.bytes(at: 0, count: size) == model)
    store.close()
    // A disk has whole sectors.
    if size % 512 != 0 { return }
    let opened = try ImageOpener.open(path: "nbd+unix:///?socket=\(place)", kind: .disk)
    #expect(opened.device.byteCount == UInt64(size))
    #expect(try opened.device.bytes(at: UInt64(size - 1), count: 1) == [9])
  }
}
