// How a session ended, and what is left to be told of it.
//
// Owns: the end as a value, what was lost, what the machine was like. Must not know: words, exit codes: who prints a report makes both
// from this.

import Bus
import CPU
import Machine

/// Why a run ended.
public indirect enum SessionEnd: Equatable, Sendable {
  /// The guest turned the machine off.
  case powerOff
  /// The guest halted, and nothing can wake it.
  case halted
  /// The guest wrote this code to the exit port.
  case guestExit(Int)
  /// The script's last expectation was met.
  case expectationMet
  /// This one was not met in its time.
  case expectationMissed(Awaited?)
  /// A script's change of media was not possible, or the guest did not let go of a disc in its time: one line.
  case changeFailed(String)
  /// The limit of instructions is reached; running again goes on from there.
  case instructionLimit
  /// Triple fault.
  case tripleFault
  /// Something the emulator does not do yet.
  case unimplemented(String)
  /// The two engines of a run in lockstep differ, told in words.
  case enginesDiffer(String)
  /// It was interrupted (`Session.interrupt`, a debugger); running again goes on from there.
  case interrupted
  /// The replayed recording ends here, with this; nil: its file was cut off.
  case recordingEnd(SessionEnd?)
  /// The replay is not what was recorded: where and in what.
  case replayDiffers(String)
  /// It was stopped: `Session.stop`, the window was closed.
  case stopped
  /// The time limit is over.
  case timeout
  /// It goes on in another process.
  case moved
  /// A signal ended it, or a pipe that nobody reads any more.
  case signal(Int32)

  /// - Parameter script: what the run followed: it tells which step failed.
  init(_ stop: StopReason, _ script: Script?) {
    switch stop {
    case .instructionLimit: self = .instructionLimit
    case .powerOff: self = .powerOff
    case .halted: self = .halted
    case .guestExit(let code): self = .guestExit(code)
    case .expectationMet: self = .expectationMet
    case .expectationMissed:
      self =
        script?.failedChange.map { .changeFailed($0) } ?? .expectationMissed(script?.missed)
    case .shutdown: self = .tripleFault
    case .unimplemented(let what): self = .unimplemented(what)
    case .enginesDiffer(let text): self = .enginesDiffer(text)
    case .debug, .host(.debugger): self = .interrupted
    case .recordingEnd(let recorded):
      self = .recordingEnd(recorded.map { SessionEnd($0, nil) })
    case .replayDiffers(let what): self = .replayDiffers(what)
    case .host(.user): self = .stopped
    case .host(.timeout): self = .timeout
    case .host(.moved): self = .moved
    case .host(.signal(let number)): self = .signal(number)
    }
  }

  /// Whether the guest, or the recording of it, came to its end by itself.
  var isGuestsEnd: Bool {
    switch self {
    case .powerOff, .halted, .guestExit, .tripleFault, .recordingEnd: true
    default: false
    }
  }

  /// Whether the session can run on from here.
  public var canGoOn: Bool { self == .instructionLimit || self == .interrupted }
}

/// Something that should have been written and is not, or a file that failed.
public struct SessionLoss: Equatable, Sendable {
  /// What is lost.
  public enum What: Equatable, Sendable {
    /// What a serial port sent.
    case serial(port: Int)
    /// What the guest sent to its debugging port.
    case debugConsole
    /// What the guest wanted of an image; the guest sees an error.
    case guestAccess
    /// What the guest wrote to an image.
    case image
    case recording
    case screenshot
    case state
    /// What a front end or a console reports.
    case other
  }

  public var what: What
  /// One line.
  public var reason: String
  /// The file it is about, or the name of an image.
  public var file: String?

  public init(_ what: What, _ reason: String, file: String? = nil) {
    self.what = what
    self.reason = reason
    self.file = file
  }
}

/// How a session ended.
public struct SessionOutcome: Sendable {
  public var end: SessionEnd
  /// What the script still waited for.
  public var waitingFor: Awaited?
  /// What a change of media still waited for, in words that go on after "before".
  public var waitingChange: String? = nil
  /// Seconds of the host that the runs took.
  public var hostSeconds: Double
  /// What was lost on the way and at the end.
  public var losses: [SessionLoss]
  /// What the machine was like.
  public var machine: MachineFacts
  /// Where the time went, if it was wanted.
  public var statistics: SessionStatistics?
}

/// Where a run's time went.
public struct SessionStatistics: Sendable {
  public var report: ExecutionReport
  /// What each of several processors has executed; empty for one.
  public var executed: [UInt64]
  /// Instructions executed before the run.
  public var before: UInt64
  /// Shares of the host's time by place, 0 to 1.
  public var shares: [(name: String, share: Double)]
}

/// What can be said of a machine that stands still, as values.
public struct MachineFacts: Sendable {
  /// Retired instructions since power-on.
  public var instructions: UInt64
  /// Virtual time since power-on.
  public var virtualNanoseconds: UInt64
  /// Hashes of everything, and of each part; nil: were not wanted.
  public var hashes: (all: UInt64, parts: [(name: String, hash: UInt64)])?
  /// The rows of the text screen; nil in a graphics mode.
  public var screen: [String]?
  /// What was written to port 80h lately.
  public var postCodes: [UInt8]
  public var unknownPorts: [UnknownPort]
  public var portAccesses: [PortAccess]
  public var cpu: CPUSnapshot
  /// All processors, the first among them.
  public var processors: [CPUSnapshot]
  /// The processors in words, for people.
  public var processorText: String

  /// - Parameters:
  ///   - hashes: whether all of the state is hashed.
  public init(_ machine: Machine, hashes: Bool) {
    instructions = machine.instructionCount
    virtualNanoseconds = machine.clock.now
    self.hashes = hashes ? (machine.stateHash(), machine.partHashes()) : nil
    screen = machine.screenText
    postCodes = machine.postCodes.history
    unknownPorts = machine.ports.unknownPorts
    portAccesses = machine.ports.recentAccesses
    cpu = machine.cpu.snapshot()
    processors = machine.processors.map { $0.snapshot() }
    processorText = machine.processors.enumerated().map { n, cpu in
      if machine.processors.count == 1 { return cpu.report() }
      return "processor \(n)\(machine.isStarted(n) ? "" : ", which waits to be started"):\n"
        + cpu.report()
    }.joined(separator: "\n")
  }
}
