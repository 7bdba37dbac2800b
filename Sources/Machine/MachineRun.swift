// The run loop.
//
// Owns: slices, events, idle time, and why a run ends. Must not know: what any device does.
// How a run is cut into slices never shows in the guest: a slice is only a place where input may enter.

import Bus
import CPU
import Host

/// Why a run ended.
public enum StopReason: Equatable, Sendable {
  /// The number of instructions that was given is reached.
  case instructionLimit
  /// The guest turned the machine off.
  case powerOff
  /// The processor halted with interrupts disabled, or nothing is left that could wake it.
  case halted
  /// The guest wrote this code to the exit port.
  case guestExit(Int)
  /// The script's last expectation was met.
  case expectationMet
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
}

extension Machine {
  /// A slice in virtual nanoseconds: how long input may wait.
  private static let slice: UInt64 = 1_000_000

  /// When bytes for the serial ports are let in, in virtual nanoseconds after power-on.
  private static let firstSerialInput: UInt64 = 1_000_000_000

  /// Shortens the present run of the processor to the next event.
  func updateDeadline() {
    cpu.setDeadline(min(sliceEnd, clock.instruction(atNanoseconds: clock.nextDeadline)))
  }

  /// Runs until something ends it.
  /// - Parameter instructions: the number of retired instructions, counted from power-on, at which to stop exactly.
  public func run(untilInstruction limit: UInt64 = UInt64.max) -> StopReason {
    var nextLook = script == nil ? VirtualClock.never : nextScriptTime()
    var lastFlush = HostClock.nanoseconds()
    defer { flushOutput() }
    while true {
      if takesInput && (input.hasPending || input.hasBlocked) {
        if let stop = input.stopReason { return .host(stop) }
        for event in input.take(room: roomForInput) { take(event) }
      }
      clock.runDueEvents()
      if let stop = carryOutRequests() { return ended(stop, limit: limit) }
      if let script, clock.now >= nextLook {
        script.advance(self)
        if script.isFinished && script.endsRun { return .expectationMet }
        nextLook = script.isFinished ? VirtualClock.never : nextScriptTime()
      }
      let count = cpu.instructionCount
      if count >= limit { return .instructionLimit }

      // The next place where anybody but the guest has something to do.
      let now = clock.now
      var end = clock.instruction(atNanoseconds: min(now &+ Machine.slice, nextLook))
      end = min(max(end, count &+ 1), limit)
      sliceEnd = end
      updateDeadline()
      let before = pacer.adaptsRate ? HostClock.nanoseconds() : 0
      let exit = cpu.run()
      if pacer.adaptsRate {
        let ran = cpu.instructionCount &- count
        if let rate = pacer.ran(
          instructions: ran, nanoseconds: HostClock.nanoseconds() &- before,
          rate: clock.instructionsPerSecond)
        {
          input.post(.rate(rate))
        }
      }
      if exit == .halted {
        if let stop = idle(limit: limit, nextLook: nextLook) { return stop }
      } else if exit == .shutdown {
        // Programs for the 286 leave protected mode by a triple fault; the shutdown byte tells the BIOS where to go on.
        if cmos[0x0F] != 0 {
          reset(.processor)
        } else if configuration.resetsOnTripleFault {
          reset(.system)
        } else {
          return ended(.shutdown, limit: limit)
        }
      } else if exit != .deadline && exit != .stopRequested {
        return .debug(exit)
      }
      pace(&lastFlush)
    }
  }

  /// How many bytes a serial port can take now.
  func roomForInput(_ port: Int) -> Int {
    guard serial.indices.contains(port) else { return Int.max }
    // Bytes that come during the self-test would be lost when the BIOS sets the ports up.
    return clock.now >= Machine.firstSerialInput ? serial[port].inputRoom : 0
  }

  private func nextScriptTime() -> UInt64 {
    (clock.now / Script.interval &+ 1) &* Script.interval
  }

  /// The guest has ended by itself: what it sent last still leaves the serial ports, and may be what a script waits for.
  private func ended(_ stop: StopReason, limit: UInt64) -> StopReason {
    let enough = clock.now &+ 1_000_000_000
    while serial.contains(where: { !$0.isTransmitterIdle }), clock.nextDeadline < enough {
      let next = clock.instruction(atNanoseconds: clock.nextDeadline)
      if next > limit { break }
      if next > cpu.instructionCount { cpu.advanceIdle(to: next) }
      clock.runDueEvents()
    }
    requests = []
    if let script, stop == .halted || stop == .powerOff {
      script.advance(self)
      if script.isFinished && script.endsRun { return .expectationMet }
    }
    return stop
  }

  /// What devices asked for during the last instructions.
  private func carryOutRequests() -> StopReason? {
    while !requests.isEmpty {
      switch requests.removeFirst() {
      case .reset(let kind): reset(kind)
      case .powerOff: return .powerOff
      case .exit(let code): return .guestExit(code)
      }
    }
    return nil
  }

  /// The processor waits for an interrupt: time passes without instructions.
  private func idle(limit: UInt64, nextLook: UInt64) -> StopReason? {
    let canWake =
      cpu.s.pointee.eflags & EFLAGS.if != 0
      || (localAPIC?.turnsRequestsIntoNMI ?? false) && !cpu.s.pointee.nmiBlocked
    if !canWake {
      // Only a reset by the user could go on from here.
      if !input.canReceive || pacer.speed == .max { return ended(.halted, limit: limit) }
    } else if clock.nextDeadline == VirtualClock.never && nextLook == VirtualClock.never {
      if !input.canReceive {
        if limit == UInt64.max { return .halted }
      } else if limit == UInt64.max {
        flushOutput()
        betweenSlices?()
        input.wait(nanoseconds: 50_000_000)
        return nil
      }
    }
    var target = min(
      limit, clock.instruction(atNanoseconds: min(clock.nextDeadline, nextLook)))
    if case .factor = pacer.speed {
      // Input may come at any moment: no more than a slice at once, but the host sleeps through all of it.
      let slice = clock.instruction(atNanoseconds: clock.now &+ 10 &* Machine.slice)
      target = min(target, slice)
      let wake = clock.nanoseconds(atInstruction: target)
      let delay = pacer.delay(virtual: wake)
      if delay > 0 {
        flushOutput()
        betweenSlices?()
        let start = HostClock.nanoseconds()
        input.wait(nanoseconds: delay)
        let slept = HostClock.nanoseconds() &- start
        if slept < delay && input.hasPending {
          // Woken early: the guest has slept as long as the host has.
          let passed = clock.nanoseconds(atInstruction: target) &- clock.now
          let share = UInt64(Double(passed) * Double(slept) / Double(delay))
          target = min(target, clock.instruction(atNanoseconds: clock.now &+ share))
        }
      }
    } else if target == UInt64.max {
      target = clock.instruction(atNanoseconds: clock.now &+ Machine.slice)
    }
    if target > cpu.instructionCount { cpu.advanceIdle(to: target) }
    return nil
  }

  /// Sleeps when the guest is ahead of the host, and passes output on now and then.
  private func pace(_ lastFlush: inout UInt64) {
    if case .factor = pacer.speed {
      let delay = pacer.delay(virtual: clock.now)
      // Shorter sleeps than this cost more than they give.
      if delay > 2_000_000 {
        flushOutput()
        betweenSlices?()
        input.wait(nanoseconds: delay)
        return
      }
    }
    let host = HostClock.nanoseconds()
    if host &- lastFlush > 5_000_000 {
      lastFlush = host
      flushOutput()
      betweenSlices?()
    }
  }
}
