// A machine served to gdb, and the channel to it.
//
// Owns: what running, breakpoints and `monitor` mean for a machine; the queue between the receiving thread and the machine's.
// Must not know: packets (GDBServer.swift).

import CPU
import Host
import Machine

/// A machine that gdb drives, in place of a console. Use it from the thread that the machine runs on.
public final class GDBSession {
  private let debugger: Debugger
  private let port: ScriptedPort
  private let channel: GDBChannel

  /// Listens; the machine does not run yet.
  /// - Throws: `HostError` when the place is taken.
  public init(machine: Machine, at place: CharacterTarget) throws(HostError) {
    port = ScriptedPort()
    debugger = Debugger(machine: machine, console: port)
    channel = try GDBChannel(place, machine.input)
  }

  /// Files besides the machine's own that `monitor` may not write over, and what they are.
  public var otherFiles: [(what: String, path: String)] {
    get { debugger.otherFiles }
    set { debugger.otherFiles = newValue }
  }

  /// Keeps a past of this many megabytes to go back in.
  public func keepHistory(megabytes: Int) { debugger.keepHistory(megabytes: megabytes) }

  /// Instructions from power-on at which the run ends.
  public var instructionLimit: UInt64 {
    get { debugger.instructionLimit }
    set { debugger.instructionLimit = newValue }
  }

  /// Told whether the machine runs, on its thread.
  public var runningChanged: (Bool) -> Void {
    get { debugger.runningChanged }
    set { debugger.runningChanged = newValue }
  }

  /// Serves until the machine or the client ends it.
  /// - Parameter stopped: the machine waits for a client.
  public func run(stopped: Bool) -> StopReason {
    let target = GDBMachine(debugger, port)
    GDBServer(target, channel, runs: !stopped).run()
    channel.close()
    return debugger.ending ?? .host(debugger.machine.input.requestedStop ?? .user)
  }
}

/// A debugger's machine as gdb's target.
final class GDBMachine: GDBTarget {
  private struct Key: Hashable {
    var kind: Int
    var address: UInt32
    var length: UInt32
  }

  private static let maximumBreakpoints = 4096
  private let debugger: Debugger
  private let port: ScriptedPort
  private var keys: [Key: Int] = [:]

  /// - Parameter port: the debugger's.
  init(_ debugger: Debugger, _ port: ScriptedPort) {
    self.debugger = debugger
    self.port = port
  }

  private var registers: GDBRegisters { GDBRegisters(cpu: debugger.cpu) }

  var description: String { GDBRegisters.description(is16Bit: !debugger.cpu.isCode32) }
  var canGoBack: Bool { debugger.reverse != nil }
  var is16Bit: Bool { !debugger.cpu.isCode32 }
  var registerSizes: [Int] { GDBRegisters.sizes }
  func register(_ number: Int) -> [UInt8] { registers[number] }

  func setRegister(_ number: Int, _ bytes: [UInt8]) -> Bool {
    defer { debugger.reverse?.wasChanged() }
    return registers.set(number, bytes)
  }

  func read(_ address: UInt32, _ count: Int) -> [UInt8] {
    debugger.memory.code(address, count: count)
  }

  func write(_ address: UInt32, _ bytes: [UInt8]) -> Bool {
    defer { debugger.reverse?.wasChanged() }
    return (try? debugger.memory.write(address, bytes, physical: false)) != nil
  }

  func insert(kind: Int, address: UInt32, length: UInt32) -> Bool {
    let key = Key(kind: kind, address: address, length: length)
    if keys[key] != nil { return true }
    guard keys.count < GDBMachine.maximumBreakpoints else { return false }
    if kind < 2 {
      keys[key] = debugger.breakpoints.add(
        .execution(address: UInt64(address), physical: false), "gdb: at \(hexDigits(address, 8))")
      return true
    }
    guard (1...0x1_0000).contains(length) else { return false }
    keys[key] = debugger.breakpoints.add(
      .watch(
        Watchpoint(
          address: UInt64(address), length: UInt64(length), onRead: kind != 2, onWrite: kind != 3)),
      "gdb: watch \(hexDigits(address, 8))")
    return true
  }

  func remove(kind: Int, address: UInt32, length: UInt32) {
    let key = Key(kind: kind, address: address, length: length)
    if let id = keys.removeValue(forKey: key) { debugger.breakpoints.remove(id) }
  }

  func removeAll() {
    for id in keys.values { debugger.breakpoints.remove(id) }
    keys = [:]
  }

  func resume(_ how: GDBResume) -> GDBStop {
    switch how {
    case .step, .run, .stepThrough:
      var stop: DebugStop
      switch how {
      case .step: stop = debugger.step(1)
      case .stepThrough(let range):
        stop = debugger.step(1)
        while case .step = stop, range.contains(debugger.cpu.nextLinear) { stop = debugger.step(1) }
      default: stop = debugger.run()
      }
      _ = try? debugger.stopped(stop)
      // Lists of commands that `monitor` gave to breakpoints.
      debugger.runPending()
    case .stepBack, .runBack:
      let before = debugger.failures
      debugger.execute(how == .stepBack ? "rs" : "rc")
      if debugger.failures != before { return .historyBegins }
      if how == .runBack, case .start = debugger.stop { return .historyBegins }
    }
    _ = port.take()
    return reason(debugger.stop)
  }

  private func reason(_ stop: DebugStop) -> GDBStop {
    switch stop {
    case .start, .step, .arrived, .powerButton: return .step
    case .interrupted: return .interrupted
    case .breakpoints(let hits):
      for hit in hits {
        guard let key = keys.first(where: { $0.value == hit.id })?.key else { continue }
        if key.kind < 2 { return .breakpoint(hardware: key.kind == 1) }
        var address = key.address
        switch hit.record?.event {
        case .memory(let linear, _, _, _, _, _)?, .otherWrite(_, let linear, _, _, _, _)?:
          if linear &- address < key.length { address = linear }
        default: break
        }
        return .watchpoint(kind: key.kind, address: address)
      }
      return .step
    case .ended(let reason):
      switch reason {
      case .guestExit(let code):
        return .ended(code: UInt8(truncatingIfNeeded: code), message: "The guest has ended.")
      case .powerOff: return .ended(code: 0, message: "The guest has switched the power off.")
      case .host, .instructionLimit, .expectationMet, .expectationMissed:
        return .ended(code: 0, message: "The emulator ends.")
      case .recordingEnd: return .historyEnds
      case .replayDiffers(let text): return .stuck(text)
      case .shutdown: return .stuck("Triple fault.")
      case .halted: return .stuck("The processor is halted and nothing can wake it.")
      default: return .stuck("The machine cannot go on: \(reason)")
      }
    }
  }

  var threadCount: Int { debugger.machine.processors.count }
  var thread: Int { debugger.selected + 1 }
  func select(thread: Int) { debugger.select(thread - 1) }
  func threadText(_ thread: Int) -> String { debugger.processorText(thread - 1) }

  func monitor(_ command: String) -> String {
    _ = port.take()
    debugger.execute(command)
    debugger.runPending()
    return port.take()
  }
}

/// A socket as the server's transport: a thread receives, packets wait in a queue.
final class GDBChannel: GDBTransport, @unchecked Sendable {
  private let channel: CharacterChannel
  private let input: InputQueue
  private let condition = HostCondition()
  private var parser = GDBParser()
  private var events: [GDBEvent] = []
  private var isRunning = false
  private var hasEnded = false
  /// Packets that wait; more are dropped, for a client waits for replies.
  private static let maximumWaiting = 64

  init(_ place: CharacterTarget, _ input: InputQueue) throws(HostError) {
    self.input = input
    channel = try CharacterChannel(place)
    // A client may still come when nothing else can.
    input.addSource()
    try channel.start(
      CharacterChannel.Events(
        received: { [weak self] in self?.receive($0) },
        ended: { [weak self] in self?.end() }, quit: {}))
  }

  private func end() {
    condition.locked { hasEnded = true }
    condition.broadcast()
    input.removeSource()
    input.requestBreak()
  }

  /// On the receiving thread.
  private func receive(_ bytes: [UInt8]) {
    condition.locked {
      var breaks = false
      for byte in bytes {
        guard let event = parser.take(byte) else { continue }
        if case .interrupt = event { breaks = true }
        if case .packet = event, isRunning { breaks = true }
        if events.count < GDBChannel.maximumWaiting { events.append(event) }
      }
      // Together with the event: who takes it away cancels the other.
      if breaks { input.requestBreak() }
    }
    condition.broadcast()
  }

  func send(_ bytes: [UInt8]) {
    for byte in bytes { channel.write(byte) }
    channel.flush()
  }

  func next() -> GDBEvent? {
    while true {
      let (event, ended) = condition.locked { () -> (GDBEvent?, Bool) in
        if events.isEmpty && !hasEnded { condition.wait(nanoseconds: 50_000_000) }
        return (events.isEmpty ? nil : events.removeFirst(), hasEnded)
      }
      if let event {
        // Nothing runs that it could interrupt.
        if event == .interrupt { input.cancelBreak() }
        return event
      }
      if ended || input.requestedStop != nil { return nil }
      channel.flush()
    }
  }

  func beginRun() -> Bool {
    condition.locked {
      if events.contains(where: { if case .packet = $0 { true } else { false } }) { return false }
      isRunning = true
      return true
    }
  }

  func endRun() -> Bool {
    condition.locked {
      isRunning = false
      let interrupted = events.contains(.interrupt)
      events.removeAll { $0 == .interrupt }
      input.cancelBreak()
      return !interrupted && !events.isEmpty
    }
  }

  /// The client is told the rest.
  func close() { channel.close() }
}
