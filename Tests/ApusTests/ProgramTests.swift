// The built program, run as a user runs it: exit codes, what it prints, what it leaves alone.

import Foundation
import TestSupport
import Testing

/// A finished run of the program.
struct Finished {
  var code: Int32
  var output: String
  var error: String
}

enum Program {
  /// The program beside the tests, or nil where it was not built.
  static let path: String? = {
    let folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    for candidate in [folder, folder.deletingLastPathComponent()] {
      let path = candidate.appendingPathComponent("apus").path
      if FileManager.default.isExecutableFile(atPath: path) { return path }
    }
    return nil
  }()

  static func run(_ arguments: [String], input: String = "") throws -> Finished {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(path))
    process.arguments = arguments
    let (output, error, standardInput) = (Pipe(), Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = error
    process.standardInput = standardInput
    try process.start()
    standardInput.fileHandleForWriting.write(Data(input.utf8))
    try standardInput.fileHandleForWriting.close()
    let text = output.everything()
    let messages = error.everything()
    process.waitUntilExit()
    return Finished(
      code: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
      error: String(decoding: messages, as: UTF8.self))
  }
}

/// A folder that goes away.
final class Scratch {
  let folder: URL
  init() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "apus-tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(at: folder) }

  func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

  func file(_ name: String, _ bytes: [UInt8]) throws -> String {
    try Data(bytes).write(to: folder.appendingPathComponent(name))
    return path(name)
  }

  /// A 1.44 MB floppy whose boot sector begins with `code`.
  func floppy(_ name: String, _ code: [UInt8]) throws -> String {
    try file(name, bootFloppy(code))
  }
}

/// `mov al, 15h / out 0F4h, al / jmp $`
let exits: [UInt8] = [0xB0, 0x15, 0xE6, 0xF4, 0xEB, 0xFE]
/// `jmp $`
let loops: [UInt8] = [0xEB, 0xFE]
/// `cli / xor ax, ax / mov ds, ax / lidt [7C0Ch] / ud2` with zeros behind it.
let tripleFaults: [UInt8] = [
  0xFA, 0x31, 0xC0, 0x8E, 0xD8, 0x0F, 0x01, 0x1E, 0x0C, 0x7C, 0x0F, 0x0B,
]
/// `cli / hlt`
let halts: [UInt8] = [0xFA, 0xF4]

@Suite(.enabled(if: Program.path != nil), .serialized) struct ProgramTests {
  @Test func everyEndHasItsCode() throws {
    let scratch = try Scratch()
    func code(_ boot: [UInt8], _ arguments: [String] = []) throws -> Int32 {
      let image = try scratch.floppy("boot.img", boot)
      return try Program.run(["--headless", image] + arguments).code
    }
    #expect(try code(exits, ["--exit-port", "f4"]) == 0x2B)
    #expect(try code(halts) == 0)
    #expect(try code(halts, ["--expect", "never shown"]) == 10)
    #expect(try code(loops, ["--timeout", "1"]) == 2)
    #expect(try code(loops, ["--max-instructions", "1000000"]) == 4)
    #expect(try code(tripleFaults) == 6)
    #expect(try code(loops, ["--expect", "a", "--timeout", "60"]) == 0)
    #expect(try code(loops, ["--no-such-option"]) == 64)
    #expect(try code(loops, ["--serial", "tcp:1.2.3.4.5:1"]) == 74)
  }

  @Test func aTripleFaultIsReported() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", tripleFaults)
    let text = try Program.run(["--headless", image]).error
    for part in ["triple fault", "EIP=", "CR0=", "GDTR", "0F 0B", "port"] {
      #expect(text.contains(part), "\(part) in \(text)")
    }
    let json = try Program.run(["--headless", "--json", image]).output
    let object = try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any]
    #expect(object?["reason"] as? String == "triple-fault")
    #expect(object?["exitCode"] as? Int == 6)
    let cpu = object?["cpu"] as? [String: Any]
    #expect((cpu?["code"] as? [Int])?.prefix(2) == [0x0F, 0x0B])
  }

  @Test func badInputIsOneLineAndTouchesNothing() throws {
    let scratch = try Scratch()
    let good = try scratch.floppy("good.img", halts)
    let before = try Data(contentsOf: URL(fileURLWithPath: good))
    let empty = try scratch.file("empty.img", [])
    let short = try scratch.file("short.img", [1, 2, 3])
    let odd = try scratch.file("odd.img", [UInt8](repeating: 0x11, count: 700_001))
    let folder = scratch.path("folder")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    let large = try scratch.file("large.img", [UInt8](repeating: 0, count: 3_000_000))
    let table: [[String]] = [
      [scratch.path("missing.img")], [empty], [short], [odd], [folder],
      ["--floppy-a", large], [good, "--floppy-b", good], ["--disk", good, "--disk", good],
      ["--bios", short], ["--bios", empty], ["--bios", scratch.path("none")],
      ["--kernel", short], ["--kernel", empty], ["--kernel", folder],
      ["--rom", "\(short)@0"], ["--rom", "\(short)@D0001"], ["--rom", "\(empty)@D0000"],
      ["--load-state", short], ["--load-state", empty], ["--load-state", good],
      [good, "--screenshot", good], [good, "--save-state", good],
      [good, "--serial", "file:\(good)"],
      [good, "--debug-console", good], ["--kernel", good, "--boot", "a"],
      [good, "--boot", "c"], ["--floppy-b", good, "--boot", "a"], ["--exit-port", "60"],
      ["--memory", "0"], ["--type", "<x"], ["--serial", "nonsense"], ["-cdrom", short],
      ["--screenshot", scratch.path("a"), "--save-state", scratch.path("a")],
    ]
    for arguments in table {
      let result = try Program.run(["--headless", "--max-instructions", "1000"] + arguments)
      #expect(result.code == 64, "\(arguments): \(result.error)")
      #expect(result.output.isEmpty, "\(arguments)")
      let lines = result.error.split(separator: "\n")
      #expect(
        lines.count == 1 && lines.first?.hasPrefix("apus: ") == true, "\(arguments): \(lines)")
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: good)) == before)
    let left = try FileManager.default.contentsOfDirectory(atPath: scratch.folder.path)
    #expect(
      left.sorted() == ["empty.img", "folder", "good.img", "large.img", "odd.img", "short.img"])
  }

  @Test func savedStatesContinueInAnotherProcess() throws {
    let scratch = try Scratch()
    let state = scratch.path("state")
    func report(_ arguments: [String]) throws -> [String: Any] {
      let result = try Program.run(["--headless", "--json"] + arguments)
      #expect(result.code == 4, "\(result.error)")
      return try #require(
        try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
    }
    let straight = try report(["--max-instructions", "60000000"])
    let again = try report(["--max-instructions", "60000000"])
    _ = try report(["--max-instructions", "25000001", "--save-state", state])
    let continued = try report(["--max-instructions", "60000000", "--load-state", state])
    #expect(straight["stateHash"] as? String == again["stateHash"] as? String)
    #expect(straight["stateHash"] as? String == continued["stateHash"] as? String)
  }

  @Test func screenAndTextAreWritten() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", halts)
    let picture = scratch.path("screen.png")
    let result = try Program.run(["--headless", image, "--screenshot", picture, "--screen-text"])
    #expect(result.code == 0)
    #expect(!result.output.isEmpty)
    let bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: picture)))
    #expect(bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]))
  }

  @Test func serialGoesBothWaysOverStandardInputAndOutput() throws {
    let scratch = try Scratch()
    // Echo through COM1 until Q, then port F4h; see MachineTests.
    let echo: [UInt8] = [
      0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x01, 0x74, 0xF8, 0xB2, 0xF8, 0xEC, 0xEE, 0x3C, 0x51, 0x75,
      0xF0,
      0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x40, 0x74, 0xF8, 0xB0, 0x02, 0xE6, 0xF4, 0xEB, 0xFE,
    ]
    let image = try scratch.floppy("boot.img", echo)
    let result = try Program.run(
      ["-nographic", "--exit-port", "f4", "--timeout", "60", image], input: "over and out Q")
    #expect(result.code == 5)
    #expect(result.output == "over and out Q")
  }

  @Test func ctrlCEndsWithItsCode() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", loops)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(Program.path))
    let log = scratch.path("serial.log")
    process.arguments = ["--headless", image, "--serial", "file:\(log)"]
    process.standardError = FileHandle.nullDevice
    try process.start()
    // The file is made when everything is connected.
    while !FileManager.default.fileExists(atPath: log) { usleep(10_000) }
    usleep(100_000)
    process.interrupt()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit)
    #expect(process.terminationStatus == 130)
  }
}
