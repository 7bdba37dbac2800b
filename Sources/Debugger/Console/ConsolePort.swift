// Where the console's lines come from and its answers go.
//
// Owns: the protocol, and ports that tests and scripts use. Must not know: terminals (LineEditor.swift), commands.

import Host

/// One end of a debugger console.
public protocol ConsolePort: AnyObject {
  /// Whether somebody types.
  var isInteractive: Bool { get }
  /// Puts text out, line ends included.
  func write(_ text: String)
  /// The next line without its end, or nil when there are no more.
  /// - Parameter complete: the continuations of what stands before the cursor, as whole last words.
  func readLine(prompt: String, complete: (String) -> [String]) -> String?
}

/// A port with its lines given beforehand; what is written is kept.
public final class ScriptedPort: ConsolePort {
  public let isInteractive = false
  private var lines: [String]
  public private(set) var output = ""

  public init(_ lines: [String] = []) { self.lines = lines.reversed() }

  public func write(_ text: String) { output += text }

  public func readLine(prompt: String, complete: (String) -> [String]) -> String? {
    lines.popLast()
  }

  /// What was written since this was last called.
  public func take() -> String {
    defer { output = "" }
    return output
  }
}

/// Standard input and output line by line, for pipes.
public final class StreamPort: ConsolePort {
  public let isInteractive = false
  private var waiting: ArraySlice<UInt8> = []
  private var hasEnded = false
  private let reading: HostReading

  /// - Parameter reading: who may end it.
  public init(_ reading: HostReading = HostReading()) { self.reading = reading }

  public func write(_ text: String) { HostFiles.print(Array(HostPath.shown(text).utf8)) }

  public func readLine(prompt: String, complete: (String) -> [String]) -> String? {
    var line: [UInt8] = []
    while true {
      if let end = waiting.firstIndex(of: 0x0A) {
        line += waiting[..<end]
        waiting = waiting[(end + 1)...]
        break
      }
      line += waiting
      waiting = []
      if hasEnded || line.count > 16 << 20 {
        if line.isEmpty { return nil }
        break
      }
      if let bytes = HostFiles.readSome(4096, reading) {
        waiting = bytes[...]
      } else {
        hasEnded = true
      }
    }
    if line.last == 0x0D { line.removeLast() }
    return HostPath.decode(line, controls: false)
  }
}
