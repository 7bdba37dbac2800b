// A record of executed instructions.
//
// Owns: where it goes, which instructions are in it, the form of its lines. Must not know: how the machine is stepped.

/// Where the trace goes and what it takes.
final class TraceLog {
  var isOn = false
  /// nil: the console.
  var path: String?
  var range: ClosedRange<UInt32>?
  var showsRegisters = false
  var limit: UInt64 = 10_000_000
  private(set) var lines: UInt64 = 0
  private var buffer: [UInt8] = []
  private var file: [UInt8] = []
  var toConsole: (String) -> Void = { _ in }
  /// Writes the file.
  var toFile: ([UInt8], String) throws(DebuggerError) -> Void = { (_, _) throws(DebuggerError) in }

  /// - Throws: when the file cannot be written, before anything is traced.
  func start(path: String?) throws(DebuggerError) {
    if let path { try toFile([], path) }
    isOn = true
    self.path = path
    lines = 0
    file = []
  }

  func add(_ line: String) {
    lines += 1
    if path == nil { toConsole(line + "\n") } else { file += Array((line + "\n").utf8) }
  }

  /// Writes what was gathered.
  func flush() throws(DebuggerError) {
    if let path { try toFile(file, path) }
  }

  func stop() throws(DebuggerError) {
    let wasOn = isOn
    isOn = false
    defer { file = [] }
    if wasOn { try flush() }
  }
}
