// What happens to output that cannot be written, and to images that refuse.

import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

private let hasFull = FileManager.default.fileExists(atPath: "/dev/full")

/// Runs the program through a shell, whose redirections are meant.
func shell(_ command: String) throws -> Finished {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/bin/sh")
  process.arguments = ["-c", command]
  var environment = ProcessInfo.processInfo.environment
  environment["APUS"] = Program.path
  environment["DISPLAY"] = nil
  environment["WAYLAND_DISPLAY"] = nil
  process.environment = environment
  let (output, error) = (Pipe(), Pipe())
  process.standardOutput = output
  process.standardError = error
  process.standardInput = FileHandle.nullDevice
  try process.start()
  let text = output.everything()
  let messages = error.everything()
  process.waitUntilExit()
  return Finished(
    code: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
    error: String(decoding: messages, as: UTF8.self))
}

@Suite(.enabled(if: Program.path != nil), .serialized) struct OutputTests {
  /// `mov dx, 3F8h / mov al, 'x' / out dx, al / mov al, 'y' / out 0E9h, al / cli / hlt`
  private static let talks: [UInt8] = [
    0xBA, 0xF8, 0x03, 0xB0, 0x78, 0xEE, 0xB0, 0x79, 0xE6, 0xE9, 0xFA, 0xF4,
  ]

  @Test(.enabled(if: hasFull)) func aFullDiskIsTold() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", OutputTests.talks)
    let run = "$APUS --headless --snapshot '\(image)'"
    let table: [(command: String, names: String)] = [
      ("\(run) --json > /dev/full", "standard output"),
      ("\(run) --screen-text > /dev/full", "standard output"),
      ("\(run) --serial stdio > /dev/full", "--serial stdio"),
      ("\(run) --serial file:/dev/full", "/dev/full"),
      ("\(run) --debug-console /dev/full", "/dev/full"),
      ("\(run) --debug-console - > /dev/full", "--debug-console stdio"),
      ("\(run) --screenshot /dev/full", "/dev/full"),
      ("\(run) --save-state /dev/full", "/dev/full"),
      ("\(run) --record /dev/full", "/dev/full"),
      ("$APUS --help > /dev/full", "standard output"),
      ("$APUS --version > /dev/full", "standard output"),
      ("$APUS schema run > /dev/full", "standard output"),
      ("$APUS completions bash > /dev/full", "standard output"),
      ("$APUS explain '\(image)' > /dev/full", "standard output"),
      ("$APUS debug --headless --command 'info cpu' > /dev/full", "standard output"),
      ("$APUS conform --help > /dev/full", "standard output"),
      ("$APUS conform engines --cases 1 > /dev/full", "standard output"),
    ]
    for (command, names) in table {
      let result = try shell(command)
      #expect(result.code == 74, "\(command): \(result.error)")
      #expect(
        result.error.contains(names) && result.error.contains("No space left"),
        "\(command): \(result.error)")
    }
    // What was lost is in the report, too.
    let report = try shell("\(run) --json --serial file:/dev/full")
    let object = try JSONSerialization.jsonObject(with: Data(report.output.utf8)) as? [String: Any]
    let failures = object?["failures"] as? [[String: Any]]
    #expect(failures?.first?["file"] as? String == "/dev/full" && report.code == 74)
    #expect(object?["exitCode"] as? Int == 74)
  }

  @Test(.enabled(if: hasFull)) func reportsOfConformanceRunsAreTold() throws {
    let scratch = try Scratch()
    let test = try scratch.file(
      "t.json",
      Array(#"{"format": "apus-state-test/1", "name": "t", "mode": "real", "code": "F4"}"#.utf8))
    for option in ["--json", "--junit"] {
      let file = try shell("$APUS conform '\(test)' \(option) /dev/full")
      #expect(file.code == 74 && file.error.contains("/dev/full: "), "\(file.error)")
      let output = try shell("$APUS conform '\(test)' \(option) - > /dev/full")
      #expect(output.code == 74 && output.error.contains("standard output"), "\(output.error)")
    }
  }

  @Test func aReaderThatLeavesEndsTheProgramQuietly() throws {
    let help = try shell("{ $APUS --help; echo $? >&2; } | head -n 1")
    #expect(help.error == "141\n" || help.error == "0\n", "\(help.error)")
    let scratch = try Scratch()
    // For ever: a byte to COM1, `mov dx, 3F8h / mov al, 'x' / out dx, al / jmp`.
    let image = try scratch.floppy(
      "boot.img", [0xBA, 0xF8, 0x03, 0xB0, 0x0A, 0xEE, 0xEB, 0xF8])
    let run = try shell(
      "{ $APUS --nographic --timeout 60 '\(image)'; echo $? >&2; } | head -n 3")
    #expect(run.error == "141\n", "\(run.error)")
  }

  @Test(arguments: [(SIGINT, 130), (SIGTERM, 143), (SIGHUP, 129)] as [(Int32, Int32)])
  func signalsHaveTheCodesOfShells(number: Int32, code: Int32) throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", loops)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(Program.path))
    let log = scratch.path("serial.log")
    process.arguments = ["--headless", "--json", image, "--serial", "file:\(log)"]
    process.standardError = FileHandle.nullDevice
    let output = Pipe()
    process.standardOutput = output
    try process.start()
    while !FileManager.default.fileExists(atPath: log) { usleep(10_000) }
    usleep(100_000)
    kill(process.processIdentifier, number)
    let text = output.everything()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == code)
    let object = try JSONSerialization.jsonObject(with: text) as? [String: Any]
    #expect(object?["reason"] as? String == "signal")
    #expect(object?["exitCode"] as? Int == Int(code))
  }

  @Test func aWriteThatTheHostRefusesIsAnErrorForTheGuestAndForTheUser() throws {
    let scratch = try Scratch()
    // INT 13h AH=03: a sector to the disk, twice; its status to port F4h.
    // `mov dx, 80h / mov cx, 2 / mov ax, 0301h / mov bx, 7C00h / int 13h` twice, `mov al, ah / out F4h, al / jmp $`
    let write: [UInt8] = [
      0xBA, 0x80, 0x00, 0xB9, 0x02, 0x00, 0xB8, 0x01, 0x03, 0xBB, 0x00, 0x7C, 0xCD, 0x13,
    ]
    let code = [0x31, 0xC0, 0x8E, 0xC0] + write + write + [0x88, 0xE0, 0xE6, 0xF4, 0xEB, 0xFE]
    let floppy = try scratch.floppy("boot.img", code)
    let disk = try scratch.file("disk.img", [UInt8](repeating: 0, count: 4 << 20))
    let command =
      "--headless --json --exit-port f4 --floppy-a '\(floppy)' --disk '\(disk)' --timeout 60"
    let good = try shell("$APUS \(command)")
    #expect(good.code == 1, "status 0: \(good.error)")
    // A file that may grow no further than its first 512 bytes: EFBIG.
    let bad = try shell("trap '' XFSZ; ulimit -f 1; exec $APUS \(command)")
    #expect(bad.code == 74, "\(bad.error)")
    let lines = bad.error.split(separator: "\n").filter { $0.contains("disk.img") }
    #expect(lines.count == 1 && lines[0].contains("too large"), "\(bad.error)")
    let object = try JSONSerialization.jsonObject(with: Data(bad.output.utf8)) as? [String: Any]
    #expect(object?["reason"] as? String == "guest-exit")
    let failures = object?["failures"] as? [[String: Any]]
    #expect(failures?.count == 1 && failures?.first?["file"] as? String == disk)
  }

  @Test func withoutADisplayThereIsOneClearLine() throws {
    let scratch = try Scratch()
    let log = scratch.path("log")
    let result = try shell("unset SDL_VIDEODRIVER; $APUS --serial 'file:\(log)'")
    #expect(result.code == 74 && result.output.isEmpty)
    #expect(result.error.hasPrefix("apus: no window: there is no display"))
    #expect(result.error.contains("--headless"))
    #expect(result.error.split(separator: "\n").count == 1)
    #expect(!FileManager.default.fileExists(atPath: log))
    let unreachable = try shell("unset SDL_VIDEODRIVER; DISPLAY=:9876 $APUS")
    #expect(unreachable.code == 74)
    #expect(unreachable.error.split(separator: "\n").count == 1, "\(unreachable.error)")
    #expect(unreachable.error.contains("--headless"))
  }

  @Test func nothingFromAFileReachesTheTerminalRaw() throws {
    let scratch = try Scratch()
    let state = scratch.path("state")
    _ = try Program.run(["--headless", "--max-instructions", "1000", "--save-state", state])
    var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: state)))
    // The first name behind the header; the checksum is another error before it, so also a recording and a name are tried.
    let at = try #require(bytes.indices.first { bytes[$0...].starts(with: Array("memory".utf8)) })
    bytes[at] = 0x1B
    let damaged = try scratch.file("damaged", bytes)
    for arguments in [
      ["--load-state", damaged], ["\u{1B}[31mno.img"], ["--cpu", "\u{7}386"],
      ["-\u{1B}]0;x\u{7}"],
    ] {
      let result = try Program.run(["--headless"] + arguments)
      #expect(result.code == 64)
      #expect(
        !result.error.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" }, "\(arguments)")
    }
  }
}
