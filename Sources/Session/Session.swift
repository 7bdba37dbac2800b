// A machine run for somebody.
//
// Owns: the machine with its script and pacing, who may use the machine at a moment, runs one after another. Must not know: command
// lines, window systems, commands of a console. Connections are in SessionConnections.swift, input in SessionInput.swift, looking at the
// machine in SessionLooking.swift, the end in SessionResults.swift.
//
// There is nothing global: a process may have as many sessions as it has memory for, each on a thread of its own. Whatever reaches the
// guest goes through the machine's input queue, where it is logged; what is only looked at happens between two instructions.

import CPU
import Host
import Machine
import Snapshots
import State
import Storage
import Synchronization

/// A machine run for somebody: a window, a console, a test, a server.
///
/// A session is made from a `SessionConfiguration`, runs on the thread that calls `run` or on its own (`start`), and is used from any
/// thread meanwhile. `finish` ends it: images are flushed, what is to be written is written.
public final class Session: @unchecked Sendable {
  /// What it was made from.
  public let configuration: SessionConfiguration
  let machine: Machine
  /// Runs the machine, and a second one beside it; nil: one engine does the work.
  let lockstep: Lockstep?
  let script: Script?
  let pacing: Pacing
  let observers = SessionObservers()
  /// What holds the machine in place of the session.
  let control: (any SessionControl)?

  // Of the machine's thread.
  var channels: [CharacterChannel?] = []
  var debugConsole: CharacterChannel?
  var sent: [[UInt8]] = []
  var shownText: [String]?
  var shownGeneration: UInt64?
  var profile: RunProfile?
  var executedBefore: UInt64 = 0

  // Of all threads.
  private let access = HostCondition()
  /// The thread that has the machine.
  private var owner: UInt?
  private var isRunning = false
  /// The session has ended: no thread takes up what is left for it.
  private var isFinishing = false
  private var isStarted = false
  private var thread: HostThread?
  let alarm: SessionAlarm
  let losses = Mutex<[SessionLoss]>([])
  let connected = Atomic<Bool>(false)
  let ended = Atomic<Bool>(false)
  let progress = Mutex(Progress())
  let window = Mutex<MachineWindow?>(nil)
  let snapshots = Mutex(SessionTree())
  let moving = Mutex(SessionMoving())

  /// How far the session is.
  struct Progress {
    var stop: StopReason?
    /// The host's time at which the first run began.
    var start: UInt64?
    var outcome: SessionOutcome?
  }

  /// Makes the machine, opens its images, loads the state and the recording it begins with. Nothing runs yet.
  /// - Parameters:
  ///   - configuration: what to make; it is checked.
  ///   - control: a console or another debugger that holds the machine.
  ///   - kinds: what `observer` hears of.
  ///   - observer: hears of what happens, from here on. On the thread where it happens.
  ///   - made: the machine of that configuration, made before and nobody else's (`makeMachine`); nil: it is made.
  /// - Throws: `SessionError`, one clear line.
  public init(
    _ configuration: SessionConfiguration, control: (any SessionControl)? = nil,
    observing kinds: SessionEvent.Kinds = .rare,
    observer: (@Sendable (SessionEvent) -> Void)? = nil, adopting made: Machine? = nil
  ) throws(SessionError) {
    try configuration.check()
    if control != nil && configuration.machine.engine == .lockstep {
      throw SessionError(.configuration, "two machines in lockstep cannot be held by a debugger")
    }
    self.configuration = configuration
    self.control = control
    let most = configuration.mostInstructionsPerSecond
    if let made {
      (lockstep, machine) = (nil, made)
    } else {
      (lockstep, machine) = try Session.make(configuration)
    }
    if let observer { _ = observers.add(kinds, observer) }
    pacing = machine.pacing
    pacing.pacer.speed = configuration.speed
    pacing.pacer.adaptsRate = configuration.adaptsRate
    pacing.pacer.mostInstructionsPerSecond = most
    script = configuration.steps.isEmpty ? nil : Script(configuration.steps)
    alarm = SessionAlarm()
    do throws(SessionError) {
      if !configuration.disksComeLater { try openSnapshots() }
      try loadState()
    } catch {
      // Others may have the images that nobody will use here.
      closeImages()
      throw error
    }
    let observers = observers
    if let lockstep {
      lockstep.follower = script
      lockstep.progress = { observers.tell(.searching($0)) }
    } else {
      machine.follower = script
    }
    machine.notice = { observers.tell(.notice($0)) }
    machine.wasReset = { observers.tell(.reset($0)) }
    try startRecordingOrReplay()
  }

  deinit {
    alarm.cancel()
    profile?.stop()
  }

  /// Makes the machine of a configuration for a session that takes it over: it goes on from the template, or is turned on.
  public static func makeMachine(_ configuration: SessionConfiguration) throws(SessionError)
    -> Machine
  {
    try configuration.check()
    return try make(configuration).machine
  }

  private static func make(_ configuration: SessionConfiguration) throws(SessionError) -> (
    lockstep: Lockstep?, machine: Machine
  ) {
    var opened = try configuration.opened()
    // From the first instruction on: what calibrates itself may do it at once.
    if configuration.adaptsRate {
      opened.instructionsPerSecond = min(
        opened.instructionsPerSecond, configuration.mostInstructionsPerSecond)
    }
    if let template = configuration.template {
      if opened.engine == .lockstep {
        throw SessionError(.configuration, "two machines in lockstep do not begin from a template")
      }
      opened.memorySource = template.memory
    }
    let made: (Lockstep?, Machine)
    do {
      let lockstep = opened.engine == .lockstep ? try Lockstep(opened) : nil
      made = (lockstep, try lockstep?.machine ?? Machine(opened))
    } catch let error as HostError {
      throw SessionError(.host, error.reason)
    } catch {
      throw SessionError(.configuration, "\(error)")
    }
    if let template = configuration.template {
      do throws(StateError) { try made.1.becomeTemplate(head: template.head) } catch {
        throw SessionError(.state, "\(template.path): \(error)", file: template.path)
      }
      if configuration.releasesHeldInput { made.1.releaseHeldInput() }
    }
    return made
  }

  // MARK: Running

  /// How far a run goes.
  public enum Limit: Equatable, Sendable {
    /// To the configuration's limit of instructions, or the guest's own end.
    case end
    /// To a number of instructions, counted from power-on.
    case instruction(UInt64)
    /// So many instructions from here.
    case instructions(UInt64)
    /// To a virtual time, in nanoseconds from power-on.
    case virtualTime(UInt64)
  }

  /// Runs the machine on this thread until something ends it. After an end that `canGoOn` it may be called again.
  /// - Throws: `SessionError` when a connection cannot be made, or the session has ended.
  @discardableResult
  public func run(until limit: Limit = .end) throws(SessionError) -> SessionEnd {
    try checkNotFinished()
    try connect()
    acquire()
    let stop = runMachine(until: instruction(limit))
    release()
    let end = SessionEnd(stop, script)
    progress.withLock { $0.stop = stop }
    observers.tell(.stopped(end))
    return end
  }

  /// Runs the machine on a thread of its own. `wait` tells how it ended.
  /// - Throws: `SessionError` when a connection cannot be made, or the host has no thread.
  public func start(until limit: Limit = .end) throws(SessionError) {
    try checkNotFinished()
    try connect()
    ended.store(false, ordering: .releasing)
    do throws(HostError) {
      let thread = try HostThread(stackSize: 8 << 20) { [self] in
        // Everything is connected.
        let end = try? run(until: limit)
        if let end { holdAfterReplay(end) }
        access.locked { ended.store(true, ordering: .releasing) }
        access.broadcast()
        window.withLock { $0 }?.markEnded()
      }
      access.locked { (self.thread, isStarted) = (thread, true) }
    } catch { throw SessionError(.host, error.reason) }
  }

  /// Waits for the end of a run that was started.
  /// - Returns: how the last run ended; nil: there was none.
  @discardableResult
  public func wait() -> SessionEnd? {
    let thread = access.locked { () -> HostThread? in
      while isStarted && !hasEnded { access.wait() }
      defer { self.thread = nil }
      return self.thread
    }
    thread?.join()
    return progress.withLock { $0.stop }.map { SessionEnd($0, script) }
  }

  /// Whether a run that was started has ended.
  public var hasEnded: Bool { ended.load(ordering: .acquiring) }

  private func instruction(_ limit: Limit) -> UInt64 {
    let own = configuration.instructionLimit ?? UInt64.max
    switch limit {
    case .end: return own
    case .instruction(let count): return min(count, own)
    case .instructions(let count):
      let (sum, overflow) = machine.instructionCount.addingReportingOverflow(count)
      return overflow ? own : min(sum, own)
    case .virtualTime(let time): return min(machine.clock.instruction(atNanoseconds: time), own)
    }
  }

  private func runMachine(until limit: UInt64) -> StopReason {
    if let control { return control.run(machine, until: limit) }
    guard let lockstep else { return machine.run(untilInstruction: limit) }
    switch lockstep.run(untilInstruction: limit) {
    case .stopped(let stop): return stop
    case .differs(let difference): return .enginesDiffer(difference.text)
    }
  }

  // MARK: Who has the machine

  /// This thread runs the machine from now on.
  private func acquire() {
    let me = HostThread.currentIdentity
    access.locked {
      while owner != nil && owner != me { access.wait() }
      owner = me
      isRunning = true
    }
  }

  /// What a replay ended with stays in its window until the user has seen enough: the machine stands, and can be looked at.
  private func holdAfterReplay(_ end: SessionEnd) {
    guard configuration.replay != nil, control?.isWaiting != true, end.isGuestsEnd,
      let window = window.withLock({ $0 })
    else { return }
    window.setStanding("the recording ends here")
    acquire()
    machine.input.attendUntilStopped(machine) { [pacing] in pacing.picture?($0) }
    release()
    // Who closes the window has seen the recording's end; other ends are told.
    if let stop = machine.input.requestedStop, stop != .user, stop != .debugger {
      progress.withLock { $0.stop = .host(stop) }
    }
  }

  /// Whether `finish` has been called: nothing runs any more.
  public var isFinished: Bool { access.locked { isFinishing } }

  private func checkNotFinished() throws(SessionError) {
    if isFinished {
      throw SessionError(
        .configuration, "the session has ended: what it was connected to is closed")
    }
  }

  /// From here on whoever asks for the machine has it at once.
  func beginFinishing() {
    access.locked { isFinishing = true }
    access.broadcast()
  }

  private func release() {
    access.locked { isRunning = false }
    // Nobody leaves anything from here on; what was left is done.
    machine.input.finishTasks(machine)
    access.locked { owner = nil }
    access.broadcast()
  }

  /// Whether this thread has the machine.
  var hasMachine: Bool { access.locked { owner == HostThread.currentIdentity } }

  /// Does something with the machine between two instructions, whichever thread runs it, and waits until it is done. It must not change
  /// the guest. A machine that stands in a console's hands is reached when it runs again.
  public func perform<T, E: Error>(
    _ body: @escaping (Machine) throws(E) -> T
  ) throws(E) -> T {
    let me = HostThread.currentIdentity
    let answer = Answer<T, E>()
    var (isMine, isTaken) = (false, false)
    // Whoever carries it out is waited for.
    nonisolated(unsafe) let body = body
    access.locked {
      while true {
        if owner == me || isFinishing {
          isMine = true
          return
        }
        if isRunning {
          machine.input.requestTask { answer.give(body, $0) }
          return
        }
        if owner == nil {
          (owner, isTaken) = (me, true)
          return
        }
        access.wait()
      }
    }
    if isMine || isTaken { answer.give(body, machine) }
    if isTaken {
      access.locked { owner = nil }
      access.broadcast()
    }
    answer.wait()
    return try answer.result!.get()
  }

  /// What a body gave, and whether it has.
  private final class Answer<T, E: Error>: @unchecked Sendable {
    private let condition = HostCondition()
    private(set) var result: Result<T, E>?

    func give(_ body: (Machine) throws(E) -> T, _ machine: Machine) {
      let found: Result<T, E>
      do throws(E) { found = .success(try body(machine)) } catch { found = .failure(error) }
      condition.locked { result = found }
      condition.broadcast()
    }

    func wait() { condition.locked { while result == nil { condition.wait() } } }
  }

  // MARK: Who listens

  /// From now on `handler` hears of events, on the thread where they happen: it should be quick, and may use the session.
  @discardableResult
  public func observe(
    _ kinds: SessionEvent.Kinds = .rare, _ handler: @escaping @Sendable (SessionEvent) -> Void
  ) -> SessionObserver { observers.add(kinds, handler) }

  /// It hears nothing more.
  public func remove(_ observer: SessionObserver) { observers.remove(observer) }
}

/// The time limit of a session: a thread that waits, and may be told that it need not any longer.
final class SessionAlarm: @unchecked Sendable {
  private let condition = HostCondition()
  private var isOver = false

  /// Stops a machine after so many seconds.
  func set(_ seconds: Double, _ input: InputQueue) throws(HostError) {
    let end = HostClock.nanoseconds() &+ UInt64(seconds * 1e9)
    _ = try HostThread(detached: true) { [self] in
      while true {
        let now = HostClock.nanoseconds()
        if now >= end { break }
        let isOver = condition.locked { () -> Bool in
          if !self.isOver { condition.wait(nanoseconds: end - now) }
          return self.isOver
        }
        if isOver { return }
      }
      input.requestStop(.timeout)
    }
  }

  /// It is not needed any more.
  func cancel() {
    condition.locked { isOver = true }
    condition.broadcast()
  }
}
