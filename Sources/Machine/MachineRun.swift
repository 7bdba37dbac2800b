// The run loop.
//
// Owns: slices, events, idle time, and why a run ends. Must not know: what any device does.
// How a run is cut into slices never shows in the guest: a slice is only a place where input may enter.

import Bus
import CPU

/// Why a run ended.
public indirect enum StopReason: Equatable, Sendable {
  /// The number of instructions that was given is reached.
  case instructionLimit
  /// The guest turned the machine off.
  case powerOff
  /// The processor halted with interrupts disabled, or nothing is left that could wake it.
  case halted
  /// The guest wrote this code to the exit port.
  case guestExit(Int)
  /// What followed the guest has found what it waited for.
  case expectationMet
  /// What followed the guest did not find in time what it waited for.
  case expectationMissed
  /// Triple fault.
  case shutdown
  /// Something the emulator does not do yet.
  case unimplemented(String)
  /// The host wanted it.
  case host(HostStop)
  /// The two engines of a run in lockstep differ, told in words.
  case enginesDiffer(String)
  /// A debugger's breakpoint, watchpoint or event (`CPU.debugConditions`). Running again goes on from there.
  case debug(RunExit)
  /// The replayed recording ends here; nil: its file was cut off, this is the last that it tells.
  case recordingEnd(StopReason?)
  /// The replay is not what was recorded: in one line where and what.
  case replayDiffers(String)
}

extension Machine {
  /// A slice in virtual nanoseconds: how long input may wait.
  private static let slice: UInt64 = 1_000_000

  /// When bytes for the serial ports are let in, in virtual nanoseconds after power-on.
  private static let firstSerialInput: UInt64 = 1_000_000_000

  /// Shortens the present run of the processor to the next event.
  func updateDeadline() {
    let due = processors.count == 1 ? clock.nextDeadline : min(clock.nextDeadline, lookTime)
    running.setDeadline(min(min(sliceEnd, turnEnd), clock.instruction(atNanoseconds: due)))
  }

  /// Runs until something ends it.
  ///
  /// At one count of retired instructions the order is always the same, so that a recorded run can be repeated: due events and what
  /// devices asked for, then each input followed by what it made due.
  /// - Parameter instructions: the number of retired instructions, counted from power-on, at which to stop exactly.
  public func run(untilInstruction limit: UInt64 = UInt64.max) -> StopReason {
    run(untilInstruction: limit, pausing: RunPause())
  }

  /// Where somebody has something to do between two slices that does not cut them.
  struct RunPause {
    /// At the first slice that begins at or after this count of instructions,
    var instruction = UInt64.max
    /// or at or after this virtual time in nanoseconds, where a follower would look.
    var time = VirtualClock.never
  }

  /// Like `run(untilInstruction:)`, and also stops (`instructionLimit`) where a pause comes first.
  func run(untilInstruction limit: UInt64, pausing pause: RunPause) -> StopReason {
    var nextLook = pause.time
    var looks = false
    var slices = 0
    defer {
      if !isMuted { flushOutput() }
      if isMuted { _ = pit.speaker.drain(until: clock.now) }
      isMuted = false
      if let journal { journal.frontier = max(journal.frontier, instructionCount) }
    }
    if let damage { return .replayDiffers(damage) }
    while true {
      // What is asked for comes after the input that was left before: a key that was let go is up in the state that is saved.
      let isAsked = takesInput && input.hasPending
      if let stop = settle(limit) { return stop }
      // Where something from the journal happens or it ends.
      var bound = limit
      var replays = false
      if let journal {
        if let stop = follow(journal, limit) { return stop }
        replays = journal.replays(at: instructionCount)
        isMuted = instructionCount < journal.frontier
        if replays { bound = min(limit, journal.nextStop(after: instructionCount)) }
      }
      if replays {
        looks = false
        nextLook = pause.time
        if !isMuted && input.hasPending { _ = input.take { _ in Int.max } }
        if isAsked, let stop = attend() { return stop }
      } else {
        if let stop = takeInput(limit) { return stop }
        // What came in the meantime has its turn first.
        if isAsked, !input.hasReadyInput, let stop = attend() { return stop }
        if let follower {
          if looks && clock.now >= nextLook {
            if let stop = follower.look(at: self) { return stop }
            if let stop = settle(limit) { return stop }
          }
          if !looks || clock.now >= nextLook {
            let interval = follower.interval
            nextLook =
              follower.isFinished
              ? VirtualClock.never : (clock.now / interval &+ 1) &* interval
            looks = true
          }
        }
      }
      let count = instructionCount
      if count >= min(limit, pause.instruction) || clock.now >= pause.time {
        return .instructionLimit
      }
      if !isMuted {
        timeTravel?.considerSnapshot()
        if !replays { recorder?.considerCheckpoint(self) }
      }

      // The next place where anybody but the guest has something to do.
      let now = clock.now
      var end = clock.instruction(atNanoseconds: min(now &+ Machine.slice, nextLook))
      end = min(max(end, count &+ 1), bound)
      sliceEnd = end
      lookTime = nextLook
      updateDeadline()
      if !replays { attendant?.sliceBegins(self) }
      running.s.pointee.place = ExecutionPlace.interpreter
      let exit = processors.count == 1 ? cpu.run() : runTurns()
      running.s.pointee.place = ExecutionPlace.devices
      // What a guest that mostly sleeps takes says little of what the host can do.
      if !replays && exit != .halted {
        attendant?.sliceEnds(self, ran: instructionCount &- count)
      }
      if exit == .halted {
        if let stop = idle(
          bound: min(bound, pause.instruction), limit: min(limit, pause.instruction),
          nextLook: nextLook, replays: replays)
        {
          return stop
        }
      } else if exit == .shutdown {
        // Programs for the 286 leave protected mode by a triple fault; the shutdown byte tells the BIOS where to go on.
        if cmos[0x0F] != 0 {
          reset(.processor)
        } else if configuration.resetsOnTripleFault, countTripleFault() {
          if !isMuted { notice("triple fault: the machine was reset") }
          reset(.system)
        } else {
          return ended(.shutdown, limit: limit)
        }
      } else if exit != .deadline && exit != .stopRequested {
        return .debug(exit)
      }
      if isMuted { continue }
      if let attendant {
        attendant.turn(self)
      } else {
        slices &+= 1
        if slices % Machine.slicesBetweenOutput == 0 { passOn() }
      }
    }
  }

  /// How many slices pass before output is passed on where nobody attends to the run.
  private static let slicesBetweenOutput = 64

  /// Passes on what was gathered for the world outside.
  public func passOn() {
    flushOutput()
    attendant?.show(self)
    recorder?.flush()
  }

  /// So many resets by triple fault, each so soon (in virtual nanoseconds) after the one before, are a loop that nobody wants.
  private static let mostTripleFaults = 16
  private static let tripleFaultTime: UInt64 = 10_000_000_000

  /// Notes a triple fault.
  /// - Returns: no when the machine does nothing else any more.
  private func countTripleFault() -> Bool {
    let now = instructionCount
    // Going back in time leads through here again.
    tripleFaults.removeAll { $0 >= now }
    if let last = tripleFaults.last,
      clock.now &- clock.nanoseconds(atInstruction: last) > Machine.tripleFaultTime
    {
      tripleFaults = []
    }
    tripleFaults.append(now)
    return tripleFaults.count < Machine.mostTripleFaults
  }

  /// How many bytes a serial port can take now.
  func roomForInput(_ port: Int) -> Int {
    guard serial.indices.contains(port) else { return Int.max }
    // Bytes that come during the self-test would be lost when the BIOS sets the ports up.
    return clock.now >= Machine.firstSerialInput ? serial[port].inputRoom : 0
  }

  /// Runs what is due and does what devices asked for.
  func settle(_ limit: UInt64) -> StopReason? {
    if let stop = runDueEvents() { return stop }
    ports.space.releaseUnmapped()
    memory.releaseUnmapped()
    return carryOutRequests().map { ended($0, limit: limit) }
  }

  /// Does what the host asked for, and stays here while the machine is held still.
  private func attend() -> StopReason? {
    if input.attend(self) { attendant?.timeJumped() }
    return input.stopReason.map { .host($0) }
  }

  /// Lets in what waits outside.
  private func takeInput(_ limit: UInt64) -> StopReason? {
    guard takesInput, input.hasPending || input.hasBlocked else { return nil }
    for event in input.take(room: roomForInput) {
      take(event)
      if let stop = settle(limit) { return stop }
    }
    return nil
  }

  /// Lets in what the journal has for this instruction.
  private func follow(_ journal: Journal, _ limit: UInt64) -> StopReason? {
    while let entry = journal.next, entry.instruction <= instructionCount {
      if let difference = journal.check(entry, self) { return .replayDiffers(difference) }
      switch entry.event {
      case .input(let input, _):
        journal.advance()
        apply(input)
        if let failure = mediaFailure {
          mediaFailure = nil
          return .replayDiffers("at instruction \(entry.instruction): \(failure)")
        }
        if let stop = settle(limit) { return stop }
      case .checkpoint: journal.advance()
      case .change:
        journal.advance()
        if timeTravel?.repeatChange(cursor: journal.cursor) != true {
          return .replayDiffers(
            "the change at instruction \(entry.instruction) is not known any more")
        }
      // Not passed: asked again, it is the end again.
      case .end(let stop, _): return .recordingEnd(stop)
      }
    }
    return journal.isReplay && journal.next == nil ? .recordingEnd(nil) : nil
  }

  /// The guest has ended by itself: what it sent last still leaves the serial ports, and may be what a follower waits for.
  private func ended(_ stop: StopReason, limit wanted: UInt64) -> StopReason {
    let limit = min(wanted, journal?.end ?? UInt64.max)
    let enough = clock.now &+ 1_000_000_000
    while serial.contains(where: { !$0.isTransmitterIdle }), clock.nextDeadline < enough {
      let next = clock.instruction(atNanoseconds: clock.nextDeadline)
      if next > limit { break }
      if next > instructionCount { sleep(until: next) }
      if let stop = runDueEvents() { return stop }
    }
    requests = []
    if let follower, stop == .halted || stop == .powerOff, journal?.isReplay != true,
      let end = follower.guestEnded(self)
    {
      return end
    }
    return replayed(stop)
  }

  /// The guest ended a run by itself: when it is a replay, the recording must end the same way.
  private func replayed(_ stop: StopReason) -> StopReason {
    guard let journal, journal.isReplay else { return stop }
    return journal.checkEnd(self).map { .replayDiffers($0) } ?? stop
  }

  /// Time passes without instructions.
  func sleep(until count: UInt64) {
    if count <= instructionCount { return }
    idleInstructions &+= count &- instructionCount
    running.advanceIdle(to: count)
  }

  /// What devices asked for during the last instructions.
  private func carryOutRequests() -> StopReason? {
    while !requests.isEmpty {
      switch requests.removeFirst() {
      case .board(.reset(let kind)): reset(kind)
      case .board(.powerOff): return .powerOff
      case .board(.exit(let code)): return .guestExit(code)
      case .initialize(let index): initialize(index)
      case .start(let index, let page): start(index, page: page)
      }
    }
    return nil
  }

  /// Whether a device could wake a processor that is halted.
  private func canWake(_ index: Int) -> Bool {
    if !turns.isStarted[index] { return false }
    let cpu = processors[index]
    if cpu.s.pointee.eflags & EFLAGS.if != 0 { return true }
    guard let requests = apics?.forcedRequests(index) else { return false }
    if requests.contains(.nmi) && !cpu.s.pointee.nmiBlocked { return true }
    // The mode holds both back until RSM. INIT lets all but the first wait to be started.
    if cpu.isInManagementMode { return false }
    return requests.contains(.smi) && cpu.hasManagementMode
      || requests.contains(.initialize) && index == 0
  }

  /// The processor waits for an interrupt: time passes without instructions.
  private func idle(bound: UInt64, limit: UInt64, nextLook: UInt64, replays: Bool) -> StopReason? {
    running.s.pointee.place = ExecutionPlace.idle
    defer { running.s.pointee.place = ExecutionPlace.devices }
    let canWake = processors.indices.contains(where: canWake)
    if replays {
      // Whether anything can still come is known.
    } else if !canWake {
      // Only a reset by the user could go on from here, whose button is the window's.
      if !input.canReceive || attendant?.keepsHaltedMachine != true {
        return ended(.halted, limit: limit)
      }
    } else if clock.nextDeadline == VirtualClock.never && nextLook == VirtualClock.never {
      if !input.canReceive {
        if limit == UInt64.max { return .halted }
      } else if limit == UInt64.max {
        passOn()
        input.wait(nanoseconds: 50_000_000)
        return nil
      }
    }
    var target = min(
      bound, clock.instruction(atNanoseconds: min(clock.nextDeadline, nextLook)))
    if !isMuted, let slept = attendant?.sleep(self, until: target, replays: replays) {
      target = slept
    } else if target == UInt64.max {
      target = clock.instruction(atNanoseconds: clock.now &+ Machine.slice)
    }
    if target > instructionCount { sleep(until: target) }
    return nil
  }
}
