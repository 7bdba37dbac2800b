// What is said at the end of a run.
//
// Owns: the words for people and the JSON object for programs. Must not know: how to run.

import CPU
import Chipset
import Host
import Session

/// A JSON value being written.
indirect enum JSON {
  case string(String)
  case number(UInt64)
  case signed(Int)
  case real(Double)
  case bool(Bool)
  case null
  case array([JSON])
  case object([(String, JSON)])

  /// The text, on one line.
  var text: String {
    switch self {
    case .string(let value): return JSON.quoted(value)
    case .number(let value): return String(value)
    case .signed(let value): return String(value)
    case .real(let value):
      return value.isFinite ? String((value * 1e6).rounded() / 1e6) : "null"
    case .bool(let value): return value ? "true" : "false"
    case .null: return "null"
    case .array(let values): return "[" + values.map(\.text).joined(separator: ",") + "]"
    case .object(let members):
      return "{"
        + members.map { JSON.quoted($0.0) + ":" + $0.1.text }.joined(separator: ",") + "}"
    }
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in HostPath.shown(text).unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

/// How a run came to its end.
struct Outcome {
  var exit: ApusExit
  /// A word for programs.
  var reason: String
  /// A line for people; nil when there is nothing to say.
  var message: String?
  /// Whether the processor's state belongs to the message.
  var showsProcessor = false

  init(_ ending: SessionOutcome, plan: Plan) {
    self.init(
      ending.end, waitingFor: ending.waitingChange ?? ending.waitingFor?.missing, plan: plan)
  }

  /// - Parameter waitingFor: what did not come about; "before" goes on with it.
  private init(_ end: SessionEnd, waitingFor: String?, plan: Plan) {
    func ended(_ reason: String, _ what: String) -> (ApusExit, String, String?) {
      guard let waitingFor else { return (.success, reason, nil) }
      return (.notMet, reason, "\(what) before \(waitingFor)")
    }
    switch end {
    case .powerOff: (exit, reason, message) = ended("power-off", "the guest turned the machine off")
    case .halted:
      (exit, reason, message) = ended("halted", "the guest halted for good")
      if message == nil { message = "the guest halted, and nothing is left to wake it" }
    case .guestExit(let code): (exit, reason, message) = (.guest(code), "guest-exit", nil)
    case .expectationMet: (exit, reason, message) = (.success, "expectation-met", nil)
    case .expectationMissed(let missed):
      (exit, reason) = (.notMet, "expectation-missed")
      let limit = missed?.limit ?? 0
      let isDefault =
        plan.limitsByDefault && limit == Plan.expectationSeconds * 1_000_000_000
      message =
        "\(Double(limit) / 1e9) s of the guest are over "
        + (isDefault ? "(where no limit is given; --within gives one)" : "(--within)")
        + " before \(missed?.missing ?? "")"
    case .changeFailed(let what): (exit, reason, message) = (.notMet, "change-failed", what)
    case .instructionLimit:
      (exit, reason) = (.instructionLimit, "instruction-limit")
      message = "\(plan.maxInstructions ?? 0) instructions are reached (--max-instructions)"
      if let waitingFor { message! += " before \(waitingFor)" }
    case .tripleFault:
      (exit, reason) = (.tripleFault, "triple-fault")
      message = "triple fault: an exception could not be delivered, nor the double fault for it"
      showsProcessor = true
    case .unimplemented(let what):
      (exit, reason, message) = (.unimplemented, "unimplemented", "not implemented: \(what)")
      showsProcessor = true
    case .enginesDiffer(let text):
      (exit, reason, message) = (.enginesDiffer, "engines-differ", text)
    case .interrupted:
      (exit, reason, message) = (.success, "debugger", "stopped for a debugger")
    case .recordingEnd(let recorded):
      switch recorded {
      case .tripleFault?, .unimplemented?, .halted?, .powerOff?, .guestExit?:
        self = Outcome(recorded!, waitingFor: nil, plan: plan)
      case nil:
        (exit, reason, message) = (.success, "recording-end", "the recording was cut off here")
      default:
        (exit, reason, message) = (.success, "recording-end", "the recording ends here")
      }
    case .replayDiffers(let what):
      (exit, reason, message) = (.replayDiffers, "replay-differs", what)
      showsProcessor = true
    case .stopped: (exit, reason, message) = (.success, "user", nil)
    case .moved: (exit, reason, message) = (.success, "moved", "goes on in another process")
    case .timeout:
      (exit, reason) = (.timeout, "timeout")
      message = "the time is over (--timeout)"
      if let waitingFor { message! += " before \(waitingFor)" }
    case .signal(let number):
      (exit, reason) = (.signal(number), "signal")
      message = number == HostSignals.pipe ? nil : "ended by a signal (\(number))"
    }
  }
}

/// The report of a finished run.
struct RunReport {
  var outcome: Outcome
  var ending: SessionOutcome

  private var machine: MachineFacts { ending.machine }

  /// What was lost: output that could not be written, images that refused writes.
  var failures: [Failure] { ending.losses.map { Failure($0) } }

  /// The outcome of a run that lost something is that, and its message tells it.
  mutating func tellLosses() {
    guard let first = failures.first else { return }
    outcome.exit = .host
    let more = failures.count == 1 ? "" : " (and \(failures.count - 1) more)"
    outcome.message = (outcome.message.map { $0 + "; " } ?? "") + first.message + more
  }

  /// For --stats.
  var statistics: RunStatistics? {
    ending.statistics.map {
      RunStatistics(
        report: $0.report, executed: $0.executed, before: $0.before, seconds: ending.hostSeconds,
        shares: $0.shares)
    }
  }

  /// What people read on standard error.
  var text: String? {
    guard let message = outcome.message else { return nil }
    var lines = ["apus: \(message)"]
    if outcome.showsProcessor {
      lines.append(machine.processorText)
      let codes = machine.postCodes.suffix(16).map { hex2($0) }.joined(separator: " ")
      if !codes.isEmpty { lines.append("last codes at port 80h: \(codes)") }
      let accesses = machine.portAccesses
      if !accesses.isEmpty {
        lines.append("last port accesses, newest last:")
        for access in accesses {
          lines.append(
            "  \(access.isWrite ? "out" : "in ") \(hex4(access.port)) "
              + String(access.value, radix: 16, uppercase: true)
              + (access.width == 1 ? "" : " (\(access.width) bytes)"))
        }
      }
      let unknown = machine.unknownPorts
      if !unknown.isEmpty {
        let list = unknown.prefix(24).map { "\(hex4($0.port))\($0.isWrite ? "w" : "r")" }
        lines.append("ports where nothing answers: \(list.joined(separator: " "))")
      }
    }
    return lines.joined(separator: "\n")
  }

  /// The object of --json.
  var json: String {
    let instructions = machine.instructions
    var members: [(String, JSON)] = [
      ("schema", .string("apus-run")), ("version", .number(1)),
      ("reason", .string(outcome.reason)),
      ("exitCode", .signed(Int(outcome.exit.code))),
      ("message", outcome.message.map { .string($0) } ?? .null),
      ("instructions", .number(instructions)),
      ("virtualSeconds", .real(Double(machine.virtualNanoseconds) / 1e9)),
      ("hostSeconds", .real(ending.hostSeconds)),
      ("stateHash", .string(String(machine.hashes?.all ?? 0, radix: 16))),
      (
        "parts",
        .object(
          (machine.hashes?.parts ?? []).map { ($0.name, .string(String($0.hash, radix: 16))) })
      ),
      ("screen", machine.screen.map { .array($0.map { .string($0) }) } ?? .null),
      ("postCodes", .array(machine.postCodes.map { .number(UInt64($0)) })),
      (
        "unknownPorts",
        .array(
          machine.unknownPorts.map {
            .object([
              ("port", .number(UInt64($0.port))), ("write", .bool($0.isWrite)),
              ("count", .number($0.count)), ("last", .number(UInt64($0.lastValue))),
            ])
          })
      ),
      (
        "portAccesses",
        .array(
          machine.portAccesses.map {
            .object([
              ("port", .number(UInt64($0.port))), ("write", .bool($0.isWrite)),
              ("width", .number(UInt64($0.width))), ("value", .number(UInt64($0.value))),
            ])
          })
      ),
    ]
    members.append(
      (
        "failures",
        .array(
          failures.map {
            .object([
              ("message", .string($0.message)), ("file", $0.file.map { .string($0) } ?? .null),
            ])
          })
      ))
    if let statistics { members.append(("statistics", statistics.json)) }
    members.append(("cpu", processor(machine.cpu)))
    members.append(("processors", .array(machine.processors.map { processor($0) })))
    return JSON.object(members).text
  }

  private func processor(_ c: CPUSnapshot) -> JSON {
    func numbers(_ values: [UInt32]) -> JSON { .array(values.map { .number(UInt64($0)) }) }
    let names = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"]
    let registers = zip(names, c.registers).map { ($0, JSON.number(UInt64($1))) }
    let segments = c.segments.map { segment -> JSON in
      .object([
        ("name", .string(segment.name)), ("selector", .number(UInt64(segment.selector))),
        ("base", .number(UInt64(segment.base))), ("limit", .number(UInt64(segment.limit))),
        ("attributes", .number(UInt64(segment.attributes))), ("kind", .string(segment.kind)),
      ])
    }
    let control: [(String, JSON)] = [
      ("eip", .number(UInt64(c.eip))), ("eflags", .number(UInt64(c.eflags))),
      ("cr0", .number(UInt64(c.cr0))), ("cr2", .number(UInt64(c.cr2))),
      ("cr3", .number(UInt64(c.cr3))), ("cr4", .number(UInt64(c.cr4))),
      ("gdtBase", .number(UInt64(c.gdtBase))), ("gdtLimit", .number(UInt64(c.gdtLimit))),
      ("idtBase", .number(UInt64(c.idtBase))), ("idtLimit", .number(UInt64(c.idtLimit))),
    ]
    let branches = c.branches.map { numbers([$0.from, $0.to]) }
    return .object(
      [
        ("model", .string(c.model)), ("mode", .string(c.mode)), ("cpl", .signed(c.cpl)),
        ("halted", .bool(c.halted)), ("shutdown", .bool(c.shutdown)),
        ("registers", .object(registers)), ("segments", .array(segments)),
      ] + control + [
        ("debug", numbers(c.debug)),
        ("code", .array(c.code.map { .number(UInt64($0)) })), ("branches", .array(branches)),
        ("path", .array(c.path.map { .number(UInt64($0)) })),
      ])
  }
}

func hex2(_ value: UInt8) -> String {
  let text = String(value, radix: 16, uppercase: true)
  return text.count < 2 ? "0" + text : text
}

func hex4(_ value: UInt16) -> String {
  let text = String(value, radix: 16, uppercase: true)
  return String(repeating: "0", count: 4 - text.count) + text
}
