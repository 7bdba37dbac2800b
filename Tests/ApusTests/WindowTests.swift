// The program in a real window, under Xvfb, and without a display through SDL's dummy driver.

import Foundation
import TestSupport
import Testing

private func tool(_ name: String) -> String? {
  for folder in ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"] {
    let path = "\(folder)/\(name)"
    if FileManager.default.isExecutableFile(atPath: path) { return path }
  }
  return nil
}

/// A display of its own.
private final class Display {
  let name: String
  private let server: Process
  private nonisolated(unsafe) static var count = 0

  init() throws {
    // A number that two test processes hardly share; the second display of a process gets the next one.
    Display.count += 1
    let number = 100 + Int(getpid() % 20000) * 2 + Display.count
    name = ":\(number)"
    server = Process()
    server.executableURL = URL(fileURLWithPath: try #require(tool("Xvfb")))
    server.arguments = [name, "-screen", "0", "1024x768x24", "-nolisten", "tcp"]
    server.standardOutput = FileHandle.nullDevice
    server.standardError = FileHandle.nullDevice
    server.standardInput = FileHandle.nullDevice
    try server.start()
    for _ in 0..<100 where server.isRunning {
      if FileManager.default.fileExists(atPath: "/tmp/.X11-unix/X\(number)") { return }
      usleep(100_000)
    }
    throw CancellationError()
  }

  deinit {
    // Foundation starts processes with nearly all signals blocked.
    kill(server.processIdentifier, SIGKILL)
    server.waitUntilExit()
  }

  @discardableResult func run(_ name: String, _ arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(tool(name)))
    process.arguments = arguments
    process.environment = ["DISPLAY": self.name, "PATH": "/usr/bin:/bin"]
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.start()
    let data = pipe.everything()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self)
      .trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// Waits for the program's window.
  func window(of program: Process) throws -> String {
    for _ in 0..<300 where program.isRunning {
      let id = try run("xdotool", ["search", "--name", "Apus"])
      if let first = id.split(separator: "\n").first { return String(first) }
      usleep(100_000)
    }
    throw CancellationError()
  }
}

/// Keys to the screen until Enter, then 1 to port F4h; see MachineTests.
private let echo: [UInt8] = [
  0x31, 0xC0, 0xCD, 0x16, 0x3C, 0x0D, 0x74, 0x08, 0xB4, 0x0E, 0x31, 0xDB, 0xCD, 0x10, 0xEB, 0xF0,
  0xB0, 0x01, 0xE6, 0xF4, 0xEB, 0xFE,
]

private func start(_ arguments: [String], environment: [String: String]) throws -> Process {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: try #require(Program.path))
  process.arguments = arguments
  process.environment = environment.merging(["SDL_AUDIODRIVER": "dummy"]) { a, _ in a }
  process.standardInput = FileHandle.nullDevice
  try process.start()
  return process
}

@Suite(.enabled(if: Program.path != nil), .serialized, .timeLimit(.minutes(3)))
struct WindowTests {
  @Test(.enabled(if: tool("Xvfb") != nil && tool("xdotool") != nil))
  func keysGoInAndTextComesOut() throws {
    let scratch = try Scratch()
    let display = try Display()
    let image = try scratch.floppy("echo.img", echo)
    let program = try start(
      [image, "--exit-port", "f4", "--expect", "swift bird", "--timeout", "120"],
      environment: ["DISPLAY": display.name])
    let window = try display.window(of: program)
    // Until the guest waits for keys; typed again should the first ones have come too early.
    for _ in 0..<20 where program.isRunning {
      sleep(2)
      try display.run("xdotool", ["windowfocus", window])
      try display.run("xdotool", ["type", "--delay", "60", "swift bird"])
    }
    program.waitUntilExit()
    #expect(program.terminationStatus == 0)
  }

  @Test(.enabled(if: tool("Xvfb") != nil && tool("xdotool") != nil))
  func aSignalEndsTheWindowCleanly() throws {
    let scratch = try Scratch()
    let display = try Display()
    let image = try scratch.floppy("echo.img", echo)
    let picture = scratch.path("screen.png")
    let program = try start(
      [image, "--screenshot", picture, "--timeout", "120"], environment: ["DISPLAY": display.name])
    _ = try display.window(of: program)
    sleep(1)
    program.terminate()
    program.waitUntilExit()
    #expect(program.terminationReason == .exit)
    #expect(program.terminationStatus == 143)
    #expect(FileManager.default.fileExists(atPath: picture))
  }

  @Test func theDummyDriverNeedsNoDisplay() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("echo.img", echo)
    let program = try start(
      [
        image, "--exit-port", "f4", "--type", "swift bird<enter>", "--timeout", "120",
      ], environment: ["SDL_VIDEODRIVER": "dummy"])
    program.waitUntilExit()
    #expect(program.terminationStatus == 3)
  }
}
