// Automation in order: keystrokes to be typed, text to be waited for.
//
// Owns: the steps and how far they are, which of what shows is new for a step. Must not know: who wrote the script, how text is found.
// It is looked at at fixed virtual times, and when text is about to be lost, so that a run with a script is as repeatable as one without.
//
// What a step waits for has to appear after the step before: after the last character of what that one was met by, or after its first
// keystroke. Characters of the screen and of the serial ports are numbered in one sequence for that.

import Chipset
import Machine
import Video

/// A step of a script.
public enum ScriptStep: Equatable, Sendable {
  /// Strokes, with the text they were written as.
  case type([KeyStroke], String)
  /// What arrives at a serial port, counted from 0, with the text it was written as.
  case send(port: Int, [SerialStroke], String)
  /// Another disk in a drive, or a button of the machine's, with the text it was written as. Where the guest has locked a CD drive's tray, it is asked to let go, and the
  /// step waits until it has.
  /// - Parameter limit: the virtual nanoseconds that may take; nil: any.
  case change(MachineInput, String, limit: UInt64? = nil)
  /// Something to wait for.
  case await(Awaited)

  /// Text that shows on the text screen or comes out of a serial port; not only blanks.
  public static func expect(_ text: String) -> ScriptStep { .await(Awaited(text: text)) }
}

/// A script and its progress.
public final class Script: RunFollower {
  /// All steps.
  public let steps: [ScriptStep]
  /// How many are done.
  public private(set) var done = 0
  /// How many are done or were met while a step before them is still typing.
  private var met = 0
  private var typing = false
  /// How far a step that sends is, and when it goes on, in virtual nanoseconds.
  private var sending = SerialSending()
  private let matchers: [Matcher?]
  private var screen: ScreenExpectations?
  private var serial = SerialExpectations()
  private let typed = TypedEcho()
  /// Numbers, where no screen is watched.
  private var count: UInt64 = 0
  /// What has a higher number is new for the present expectation.
  private var mark: UInt64 = 0
  /// The number at the look before.
  private var settled: UInt64 = 0
  /// When the present step began, in virtual nanoseconds; nil: it has not.
  private var began: UInt64?
  /// When the present step's turn to type came, in virtual nanoseconds; nil: it has not.
  private var turn: UInt64?
  /// The expectation that was looked for last, and in which version of the screen.
  private var looked = (-1, 0)
  /// Looks at which the present expectation's text was not there.
  private var goneLooks = 0
  /// The machine that is attached to; no weak reference, which slows the machine down.
  private var attached: Machine.Identity?
  /// The expectation that was not met in its time.
  public private(set) var missed: Awaited?
  /// A change of media that was not possible, in one line.
  public private(set) var failedChange: String?

  /// How often a waiting script looks, in virtual nanoseconds.
  public let interval: UInt64 = 10_000_000
  /// Keys pressed during the self-test would be lost with the keyboard's reset.
  private static let firstKey: UInt64 = 1_000_000_000

  /// Whether keys may be pressed. A BIOS that offers its menu wants its key before that time is over: as soon as it takes any.
  private static func mayType(_ machine: Machine) -> Bool {
    machine.clock.now >= firstKey || machine.configuration.offersBootMenu && machine.takesKeys
  }

  /// Takes what is typed; nil: the machine that is watched.
  public var enter: ((MachineInput) -> Void)?

  public init(_ steps: [ScriptStep]) {
    self.steps = steps
    matchers = steps.map {
      if case .await(let expectation) = $0 { return Matcher(expectation) }
      return nil
    }
  }
}

extension Script {
  /// Whether the last step is an expectation: meeting it ends the run.
  public var endsRun: Bool {
    if case .await = steps.last { return true }
    return false
  }

  /// Whether everything was done.
  public var isFinished: Bool { done == steps.count }

  /// What is waited for now, or next.
  public var nextExpectation: Awaited? {
    for step in steps[done...] {
      if case .await(let expectation) = step { return expectation }
    }
    return nil
  }

  /// How a run ends because of the script, if it does.
  public var ending: StopReason? {
    if missed != nil || failedChange != nil { return .expectationMissed }
    return isFinished && endsRun ? .expectationMet : nil
  }

  private var sequence: UInt64 { screen?.watch.sequence ?? count }

  private func number() -> UInt64 {
    if let screen { return screen.watch.next() }
    count += 1
    return count
  }

  /// The machine whose screen is watched from now on.
  public func attach(to machine: Machine) {
    if attached === machine.identity { return }
    detach()
    attached = machine.identity
    typed.now = { [unowned machine] in machine.clock.now }
    guard !isFinished, matchers.contains(where: { $0 != nil }) else { return }
    let screen = ScreenExpectations(machine, typed: typed)
    screen.watch.beforeLoss = { [unowned self] in look() }
    // Serial output that came before keeps its numbers.
    screen.watch.sequence = max(screen.watch.sequence, count)
    self.screen = screen
  }

  /// Watches no screen any more.
  public func detach() {
    screen?.end()
    if let screen { count = screen.watch.sequence }
    screen = nil
  }

  /// A byte came out of a serial port.
  public func serialOutput(_ port: Int, _ byte: UInt8) {
    if isFinished { return }
    serial.add(port, byte, stamp: number(), typed: typed)
  }

  public func look(at machine: Machine) -> StopReason? {
    advance(machine)
    return ending
  }

  public func guestEnded(_ machine: Machine) -> StopReason? {
    advance(machine, types: false)
    return ending
  }

  /// Goes on as far as possible.
  /// - Parameter types: false when the guest has ended and takes no more keys.
  func advance(_ machine: Machine, types: Bool = true) {
    if missed != nil || failedChange != nil { return }
    screen?.watch.forgetReads()
    look(isRegular: true, isLast: !types)
    while done < steps.count {
      switch steps[done] {
      case .type(let strokes, _):
        if !typing {
          let turn = self.turn ?? machine.clock.now
          self.turn = turn
          if !types || !Script.mayType(machine) { return }
          self.turn = nil
          let strokes = KeyScript.strokes(strokes, waited: machine.clock.now &- turn)
          begin(typing: strokes)
          if let enter { enter(.strokes(strokes)) } else { machine.take(.strokes(strokes)) }
        }
        if !machine.typist.isIdle { return }
        typing = false
        began = nil
      case .send(let port, let strokes, _):
        if !typing {
          if !types || machine.clock.now < Script.firstKey { return }
          begin()
          for line in SerialText.lines(strokes) { typed.add(line) }
          sending = SerialSending()
        }
        let now = machine.clock.now
        while types, let bytes = sending.next(strokes, now, room: room(machine, port)) {
          let input = MachineInput.serial(port: port, bytes: bytes)
          if let enter { enter(input) } else { machine.take(input) }
        }
        if !sending.isDone(strokes, now) { return }
        typing = false
        began = nil
      case .change(let input, let text, let limit):
        if !change(machine, input, text, limit, mayWait: types) { return }
        began = nil
      case .await(let expectation):
        if met <= done {
          if began == nil { began = machine.clock.now }
          if let limit = expectation.limit, machine.clock.now &- began! >= limit {
            missed = expectation
          }
          return
        }
        began = nil
      }
      done += 1
      met = max(met, done)
    }
    detach()
  }

  /// Changes a disk, or has its drive's button pressed first and waits.
  /// - Parameter mayWait: false when the guest has ended and will not let go of anything.
  /// - Returns: whether it was done.
  private func change(
    _ machine: Machine, _ input: MachineInput, _ text: String, _ limit: UInt64?, mayWait: Bool
  ) -> Bool {
    func give(_ input: MachineInput) {
      if let enter { enter(input) } else { machine.take(input) }
    }
    if machine.isHeld(input) {
      guard mayWait else { return false }
      if let began {
        if let limit, machine.clock.now &- began >= limit {
          failedChange =
            "--change \(text): the guest has kept the tray locked for \(Double(limit) / 1e9) s"
        }
      } else if case .cd(let drive, _, _) = input {
        began = machine.clock.now
        give(.cd(drive: drive, disc: nil))
      }
      return false
    }
    if !mayWait { return false }
    give(input)
    if let reason = machine.mediaRefusal {
      failedChange = "--change \(text): \(reason)"
      return false
    }
    return true
  }

  /// What a change of media waits for, in words; nil: none does.
  public var waitingChange: String? {
    guard done < steps.count, began != nil, case .change(_, let text, _) = steps[done] else {
      return nil
    }
    return "the guest unlocked the tray for --change \(text)"
  }

  private func room(_ machine: Machine, _ port: Int) -> Int {
    machine.serial.indices.contains(port) ? machine.serial[port].inputRoom : Int.max
  }

  private func begin() {
    typing = true
    mark = sequence
    serial.begin(after: mark)
    goneLooks = 0
    met = done + 1
  }

  private func begin(typing strokes: [KeyStroke]) {
    begin()
    var piece: [UInt8] = []
    for stroke in strokes {
      if case .press(let keys) = stroke, let character = KeyScript.character(typedBy: keys),
        let code = CodePage437.code(character)
      {
        piece.append(code)
      } else if !piece.isEmpty {
        typed.add(piece)
        piece = []
      }
    }
    if !piece.isEmpty { typed.add(piece) }
  }

  /// Looks whether what is waited for has appeared, and what comes after it.
  /// - Parameters:
  ///   - isRegular: not because text is about to be lost.
  ///   - isLast: nothing more will come.
  private func look(isRegular: Bool = false, isLast: Bool = false) {
    guard met < steps.count, matchers[met] != nil, typing || met == done else { return }
    let hasText = screen?.examine() ?? false
    while met < steps.count, let matcher = matchers[met] {
      let old = isRegular && !isLast ? settled : UInt64.max
      if matcher.expectation.kind == .gone {
        guard isRegular else { break }
        goneLooks = screen?.isGone(matcher) ?? true ? goneLooks + 1 : 0
        // A screen that is being drawn lacks text for a moment.
        if goneLooks < 2 && !isLast { break }
        meet(at: sequence)
        continue
      }
      var shown: UInt64?
      let version = screen?.version ?? 0
      if hasText, matcher.expectation.kind == .line || looked != (met, version) {
        shown = screen?.appeared(matcher, after: mark, settled: old)
        looked = (met, version)
      }
      let sent = serial.arrived(matcher, settled: isLast ? UInt64.max : settled)
      guard let first = [shown, sent].compactMap({ $0 }).min() else { break }
      meet(at: first)
    }
    if isRegular { settled = sequence }
  }

  private func meet(at number: UInt64) {
    mark = number
    met += 1
    goneLooks = 0
    serial.begin(after: mark)
    typed.grow()
  }
}
