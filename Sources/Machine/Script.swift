// Automation in order: keystrokes to be typed, text to be waited for.
//
// Owns: the steps and how far they are, what the serial ports said. Must not know: who wrote the script.
// It is looked at at fixed virtual times, so that a run with a script is as repeatable as one without.

import Chipset

/// A step of a script.
public enum ScriptStep: Equatable, Sendable {
  /// Strokes, with the text they were written as.
  case type([KeyStroke], String)
  /// Text that shows on the text screen or comes out of a serial port.
  case expect(String)
}

/// A script and its progress.
public final class Script {
  /// All steps.
  public let steps: [ScriptStep]
  /// How many are done.
  public private(set) var done = 0
  private var typing = false
  private var serial: [[UInt8]] = []
  private var serialChanged = true
  private var seenGeneration: UInt64?

  /// How often a waiting script looks, in virtual nanoseconds.
  static let interval: UInt64 = 10_000_000
  private static let kept = 64 << 10
  /// Keys pressed during the self-test would be lost with the keyboard's reset.
  private static let firstKey: UInt64 = 1_000_000_000

  /// Takes the strokes to be typed; nil: the machine's own typist.
  var typed: (([KeyStroke]) -> Void)?

  public init(_ steps: [ScriptStep]) { self.steps = steps }

  /// Whether the last step is an expectation: meeting it ends the run.
  public var endsRun: Bool {
    if case .expect = steps.last { return true }
    return false
  }

  /// Whether everything was done.
  public var isFinished: Bool { done == steps.count }

  /// The text waited for now, or the next to come.
  public var nextExpectation: String? {
    for step in steps[done...] {
      if case .expect(let text) = step { return text }
    }
    return nil
  }

  /// A byte came out of a serial port.
  public func serialOutput(_ port: Int, _ byte: UInt8) {
    if isFinished { return }
    while serial.count <= port { serial.append([]) }
    serial[port].append(byte)
    serialChanged = true
    if serial[port].count > 2 * Script.kept { serial[port].removeFirst(Script.kept) }
  }

  /// Goes on as far as possible.
  /// - Parameter types: false when the guest has ended and takes no more keys.
  func advance(_ machine: Machine, types: Bool = true) {
    while done < steps.count {
      switch steps[done] {
      case .type(let strokes, _):
        if !typing {
          if !types { return }
          if machine.clock.now < Script.firstKey { return }
          typing = true
          if let typed { typed(strokes) } else { machine.take(.strokes(strokes)) }
        }
        if !machine.typist.isIdle { return }
        typing = false
      case .expect(let text):
        if !isMet(text, machine) { return }
        seenGeneration = nil
      }
      done += 1
    }
  }

  private func isMet(_ text: String, _ machine: Machine) -> Bool {
    if serialChanged {
      serialChanged = false
      let wanted = Array(text.utf8)
      for port in serial.indices {
        if let end = Script.find(wanted, in: serial[port]) {
          // What came before counts for no later step.
          serial[port].removeFirst(end)
          serialChanged = true
          return true
        }
      }
    }
    if seenGeneration == machine.vga.frameGeneration { return false }
    seenGeneration = machine.vga.frameGeneration
    guard let rows = machine.screenText else { return false }
    // Also text that runs on from one row to the next.
    return rows.contains { $0.contains(text) } || rows.joined().contains(text)
      || rows.joined(separator: "\n").contains(text)
  }

  /// The offset behind the first occurrence.
  private static func find(_ wanted: [UInt8], in bytes: [UInt8]) -> Int? {
    if wanted.isEmpty { return 0 }
    if bytes.count < wanted.count { return nil }
    for start in 0...bytes.count - wanted.count where bytes[start] == wanted[0] {
      if bytes[start..<start + wanted.count].elementsEqual(wanted) { return start + wanted.count }
    }
    return nil
  }
}
