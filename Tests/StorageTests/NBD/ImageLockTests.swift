// Images that QEMU has open are kept from Apus, and the other way round. QEMU's own tools say who is in the way.

import Foundation
import Testing
import ToolSupport

@testable import Storage

@Suite(.enabled(if: QEMU.isThere, QEMU.missing)) struct ImageLockTests {
  /// qemu-io with an image open.
  private final class Holder {
    private let process = Process()
    private let (input, output) = (Pipe(), Pipe())

    init(_ path: String, _ options: [String]) throws {
      process.executableURL = URL(
        fileURLWithPath: QEMU.path!.replacing("qemu-img", with: "qemu-io"))
      process.arguments = ["-f", "qcow2"] + options + [path]
      process.standardInput = input
      process.standardOutput = output
      process.standardError = output
      try process.start()
      // It asks for a command when it has opened the image.
      input.fileHandleForWriting.write(Data("length\n".utf8))
      var text = ""
      while !text.contains("MiB") {
        let part = output.something()
        try #require(!part.isEmpty, "\(text)")
        text += String(decoding: part, as: UTF8.self)
      }
    }

    func end() {
      try? input.fileHandleForWriting.close()
      process.waitUntilExit()
    }
  }

  /// Whoever has a raw image in QEMU lets others write it; of a format with tables it does not.
  private func image(_ scratch: Scratch) throws -> String {
    let path = scratch.directory + "/a.qcow2"
    try #require(try QEMU.run(["create", "-f", "qcow2", path, "1M"]).status == 0)
    return path
  }

  private func opens(_ path: String, writable: Bool) -> Bool {
    guard let file = try? HostFile(path: path, writable: writable) else { return false }
    file.close()
    return true
  }

  @Test func whatQEMUHasOpenIsKeptFromUs() throws {
    let scratch = Scratch()
    let path = try image(scratch)
    let writer = try Holder(path, [])
    #expect(!opens(path, writable: true) && !opens(path, writable: false))
    writer.end()
    #expect(opens(path, writable: true))
    let reader = try Holder(path, ["-r"])
    #expect(!opens(path, writable: true) && opens(path, writable: false))
    reader.end()
    #expect(opens(path, writable: true))
  }

  @Test func whatWeHaveOpenIsKeptFromQEMU() throws {
    let scratch = Scratch()
    let path = try image(scratch)
    let write = ["-f", "qcow2", "-c", "write 0 512", path]
    let file = try HostFile(path: path, writable: true)
    var result = try QEMU.run(["info", "-f", "qcow2", path])
    #expect(result.status != 0 && result.text.contains("lock"), "\(result.text)")
    #expect(try QEMU.run(write, tool: "qemu-io").status != 0)
    // Who says that he does not mind is let in.
    #expect(try QEMU.run(["info", "-U", "-f", "qcow2", path]).status == 0)
    // It will not be written after all.
    file.shareLock()
    result = try QEMU.run(["info", "-f", "qcow2", path])
    #expect(result.status == 0, "\(result.text)")
    #expect(try QEMU.run(write, tool: "qemu-io").status != 0)
    file.unlock()
    #expect(try QEMU.run(write, tool: "qemu-io").status == 0)
    try file.lockAgain(exclusive: true)
    #expect(try QEMU.run(["info", "-f", "qcow2", path]).status != 0)
    file.close()
    #expect(try QEMU.run(["info", "-f", "qcow2", path]).status == 0)
  }

  /// A refusal holds nothing of what was asked for.
  @Test func whoIsRefusedLeavesNoLock() throws {
    let scratch = Scratch()
    let path = try image(scratch)
    let reader = try HostFile(path: path, writable: false)
    #expect(!opens(path, writable: true))
    #expect(try QEMU.run(["info", "-f", "qcow2", path]).status == 0)
    reader.close()
    #expect(
      try QEMU.run(["-f", "qcow2", "-c", "write 0 512", path], tool: "qemu-io").status == 0)
  }
}
