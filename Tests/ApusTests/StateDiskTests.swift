// --save-state and --load-state from the command line: what is loaded with which disk.

import Foundation
import TestSupport
import Testing

@Suite(.enabled(if: Program.path != nil, "the program was not built"))
struct StateDiskTests {
  /// Counts at 0:600h and writes that sector to sector 3 of the floppy, for ever; the source is in MachineTests.
  private static let writes: [UInt8] = [
    0x31, 0xC0, 0x8E, 0xD8, 0x8E, 0xC0, 0x8E, 0xD0, 0xBC, 0x00, 0x7C, 0xFF, 0x06, 0x00, 0x06, 0xBB,
    0x00, 0x06, 0xB8, 0x01, 0x03, 0xB9, 0x03, 0x00, 0xBA, 0x00, 0x00, 0xCD, 0x13, 0xEB, 0xEC,
  ]

  private func run(_ count: Int, _ arguments: String...) throws -> Finished {
    try Program.run(["--headless", "--json", "--max-instructions", "\(count)"] + arguments)
  }

  private func hash(_ result: Finished) throws -> String {
    let object =
      try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
    return try #require(object?["stateHash"] as? String)
  }

  private func contents(_ path: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: path))
  }

  @Test func aStateGoesOnWithTheDiskItHad() throws {
    let scratch = try Scratch()
    let a = try scratch.floppy("a.img", StateDiskTests.writes)
    let b = try scratch.floppy("b.img", StateDiskTests.writes + [0])
    let handle = try #require(FileHandle(forWritingAtPath: b))
    try handle.seek(toOffset: 1_000_000)
    try handle.write(contentsOf: Data([7]))
    try handle.close()
    let (beforeA, beforeB) = (try contents(a), try contents(b))
    let state = scratch.path("state")
    let straight = try run(90_000_000, a, "--snapshot")
    #expect(try run(60_000_000, a, "--snapshot", "--save-state", state).code == 4)
    let continued = try run(90_000_000, a, "--snapshot", "--load-state", state)
    #expect(continued.code == 4, "\(continued.error)")
    #expect(try hash(continued) == hash(straight))

    // Another image of the same size, with and without --snapshot.
    for options in [["--snapshot"], []] {
      let refused = try Program.run(
        ["--headless", "--max-instructions", "90000000", b, "--load-state", state] + options)
      #expect(refused.code == 64)
      for part in ["drive A", "b.img", "a.img"] { #expect(refused.error.contains(part)) }
    }
    let forced = try run(90_000_000, b, "--snapshot", "--force", "--load-state", state)
    #expect(forced.code == 4, "\(forced.error)")
    #expect(forced.error.contains("accepted"))
    let writable = try run(90_000_000, b, "--force", "--load-state", state)
    #expect(writable.code == 64)
    #expect(writable.error.contains("--force needs --snapshot"))
    #expect(try run(1000, b, "--force", "--snapshot").error.contains("--load-state"))
    #expect(try contents(a) == beforeA)
    #expect(try contents(b) == beforeB)

    // One byte of the right image.
    var bytes = [UInt8](beforeA)
    bytes[1_474_559] ^= 1
    try Data(bytes).write(to: URL(fileURLWithPath: a))
    let changed = try run(90_000_000, a, "--snapshot", "--load-state", state)
    #expect(changed.code == 64)
    #expect(changed.error.contains("written since"))
    // No image at all.
    #expect(try run(90_000_000, "--load-state", state).error.contains("give that image"))
  }

  @Test func anImageThatWasWrittenSinceIsNotDestroyed() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("a.img", StateDiskTests.writes)
    let state = scratch.path("state")
    #expect(try run(60_000_000, image, "--save-state", state).code == 4)
    // As it was: it goes on and writes.
    #expect(try run(90_000_000, image, "--load-state", state).code == 4)
    let before = try contents(image)
    let refused = try run(90_000_000, image, "--load-state", state)
    #expect(refused.code == 64)
    #expect(refused.error.contains("written since"))
    #expect(try contents(image) == before)
  }

  @Test func aStateFromTheConsoleSaysWhatItDependsOn() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("a.img", StateDiskTests.writes)
    let state = scratch.path("state")
    let result = try Program.run([
      "debug", "--headless", image, "--history", "0", "--command", "icount 60000000",
      "--command", "save state \(state)", "--command", "quit",
    ])
    #expect(result.code == 0, "\(result.error)")
    #expect(result.output.contains("a.img is written when the run goes on"))
    #expect(try run(70_000_000, image, "--load-state", state).code == 4)
  }

  @Test func aRecordingIsNotRepeatedOnAnotherDisk() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("a.img", StateDiskTests.writes)
    let recording = scratch.path("run.rec")
    #expect(try run(60_000_000, image, "--snapshot", "--record", recording).code == 4)
    #expect(try run(60_000_000, image, "--replay", recording).code != 64)
    var bytes = [UInt8](try contents(image))
    bytes[1_400_000] ^= 0x80
    try Data(bytes).write(to: URL(fileURLWithPath: image))
    let refused = try run(60_000_000, image, "--replay", recording)
    #expect(refused.code == 64)
    #expect(refused.error.contains(" in drive A ("))
  }

  /// A debugger that keeps a past writes the image when it ends: not where somebody else has written it meanwhile.
  @Test func anImageThatOthersWroteIsNotOverwritten() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("a.img", StateDiskTests.writes)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(Program.path))
    process.arguments = ["debug", "--headless", image, "--save-state", scratch.path("state")]
    let (output, error, input) = (Pipe(), Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = error
    process.standardInput = input
    try process.start()
    input.fileHandleForWriting.write(Data("icount 60000000\necho done\n".utf8))
    var text = ""
    while !text.contains("done") {
      let data = output.something()
      if data.isEmpty { break }
      text += String(decoding: data, as: UTF8.self)
    }
    let handle = try #require(FileHandle(forWritingAtPath: image))
    try handle.seek(toOffset: 200_000)
    try handle.write(contentsOf: Data([0x77]))
    try handle.close()
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSince1970: 1_000_000)], ofItemAtPath: image)
    let before = try contents(image)
    input.fileHandleForWriting.write(Data("quit\n".utf8))
    try input.fileHandleForWriting.close()
    let messages = error.everything()
    process.waitUntilExit()
    #expect(process.terminationStatus == 74)
    #expect(String(decoding: messages, as: UTF8.self).contains("written by another program"))
    #expect(try contents(image) == before)
    #expect(!FileManager.default.fileExists(atPath: scratch.path("state")))
  }
}
