// Both engines side by side, compared.
//
// Owns: a pair of equal machines, one interpreted (it is seen and heard) and one translated (it is mute), input given to both at the same
// instruction, what is compared and when. Must not know: how a difference is narrowed down (LockstepSearch.swift), command lines.
// Images are never written: each machine has its own layer of writes in memory.

import Bus
import CPU
import Chipset
import State
import Storage

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Two machines of one configuration.
struct LockstepPair {
  let reference: Machine
  let subject: Machine

  /// - Parameters:
  ///   - state: what both continue from; nil: power-on.
  ///   - threshold: how often a block is interpreted before it is translated; nil: the usual number.
  ///   - blockLimit: instructions in a block at most; 0: the usual number.
  init(
    _ configuration: MachineConfiguration, state: [UInt8]? = nil, threshold: UInt32? = nil,
    blockLimit: Int = 0
  ) throws {
    reference = try Machine(LockstepPair.separated(configuration, .interpreter))
    subject = try Machine(LockstepPair.separated(configuration, .translator))
    if let threshold { for cpu in subject.processors { cpu.translationThreshold = threshold } }
    for machine in [reference, subject] {
      machine.takesInput = false
      machine.closesEjectedDisks = false
      if blockLimit > 0 { for cpu in machine.processors { cpu.blockLimit = blockLimit } }
      if let state { try machine.restoreState(state) }
    }
  }

  /// The configuration with images of its own.
  private static func separated(_ configuration: MachineConfiguration, _ engine: Engine)
    -> MachineConfiguration
  {
    var own = configuration
    own.engine = engine
    own.keepsWritesInMemory = true
    func layer(_ image: MachineImage?) -> MachineImage? {
      guard var image else { return nil }
      image.device = SnapshotOverlay(base: image.device, isReadOnly: image.device.isReadOnly)
      return image
    }
    own.floppies = own.floppies.map(layer)
    own.disks = own.disks.map(layer)
    own.flash = layer(own.flash)
    own.cds = own.cds.map { contents in
      // Each machine reads for itself.
      guard case .disc(var image) = contents, case .cd(let cd) = image.medium else {
        return contents
      }
      image.medium = .cd(cd.twin())
      return .disc(image)
    }
    return own
  }

  /// Runs both up to an instruction and compares.
  func run(
    until target: UInt64, pausing pause: Machine.RunPause = Machine.RunPause(), thorough: Bool
  )
    -> (StopReason, LockstepDifference?)
  {
    let stops = (
      reference.run(untilInstruction: target, pausing: pause),
      subject.run(untilInstruction: target, pausing: pause)
    )
    var difference = compare(thorough: thorough)
    if stops.0 != stops.1 {
      difference = difference ?? LockstepDifference()
      difference?.notes.append(
        "the interpreter ended with \(stops.0), translated code with \(stops.1)")
    }
    return (stops.0, difference)
  }

  /// What differs now; nil when nothing does.
  /// - Parameter thorough: devices and memory too, not only the processor.
  func compare(thorough: Bool) -> LockstepDifference? {
    var (a, b) = (StateWriter(), StateWriter())
    for cpu in reference.processors { cpu.save(to: &a) }
    for cpu in subject.processors { cpu.save(to: &b) }
    let processor = a.bytes != b.bytes
    if !processor && !thorough { return nil }
    let sections = Lockstep.differing(reference.sectionBytes(), subject.sectionBytes())
    let memory = differingMemory(limit: 32)
    if !processor && sections.isEmpty && memory.isEmpty { return nil }
    var difference = LockstepDifference()
    difference.sections = sections
    difference.memory = memory
    for (n, (a, b)) in zip(reference.processors, subject.processors).enumerated() {
      for var register in CPUComparison.differing(a, b) {
        if n > 0 { register.name = "\(register.name) of \(n)" }
        difference.registers.append(register)
      }
    }
    return difference
  }

  private func differingMemory(limit: Int) -> [(UInt64, UInt8, UInt8)] {
    var found: [(UInt64, UInt8, UInt8)] = []
    let (a, b) = (reference.memory, subject.memory)
    // What neither has touched holds zeros; looking at it would take memory of the host.
    let chunk = 1 << 16
    var used = [Bool](repeating: false, count: (a.pageCount << 12 + chunk - 1) / chunk)
    for memory in [a, b] {
      memory.forEachUsedRun { run in
        for n in run.lowerBound << 12 / chunk...(run.upperBound << 12 - 1) / chunk {
          used[n] = true
        }
      }
    }
    for start in used.indices.filter({ used[$0] }).map({ $0 * chunk })
    where memcmp(a.ram + start, b.ram + start, chunk) != 0 {
      for n in start..<start + chunk {
        let x = a.ram.load(fromByteOffset: n, as: UInt8.self)
        let y = b.ram.load(fromByteOffset: n, as: UInt8.self)
        if x != y { found.append((UInt64(n), x, y)) }
        if found.count >= limit { return found }
      }
    }
    return found
  }
}

/// How a run in lockstep ended.
public enum LockstepEnd {
  /// Both engines agreed until this.
  case stopped(StopReason)
  case differs(LockstepDifference)
}

/// Runs a configuration in both engines and tells the first difference.
public final class Lockstep {
  let configuration: MachineConfiguration
  let pair: LockstepPair
  /// The machine that is shown, heard and typed at.
  public var machine: Machine { pair.reference }
  /// The other one.
  public var translated: Machine { pair.subject }
  /// What follows the guest, or nil; in place of `Machine.follower`. Its input goes to both machines.
  public var follower: (any RunFollower)? {
    didSet {
      if oldValue !== follower { oldValue?.detach() }
      follower?.enter = { [unowned self] in self.give($0) }
      follower?.attach(to: machine)
    }
  }
  /// Instructions between comparisons of the processor's state, exactly; nil: about a quarter of a million, where a machine alone would
  /// begin a slice too, so that a script acts at the same instructions as with one engine.
  public var slice: UInt64?
  /// What `slice` is where nothing else is said.
  static let usualSlice: UInt64 = 250_000
  /// Slices between comparisons of memory and devices, and between states that a search can start from.
  public var thoroughEvery = 64
  public var checkpointEvery = 1024
  /// Told what a search does, a line each.
  public var progress: (String) -> Void = { _ in }

  var given: [(instruction: UInt64, input: MachineInput)] = []
  private var isReplay = false
  /// The last complete state in which both were equal; nil: power-on.
  var checkpoint: [UInt8]?
  var checkpointAt: UInt64 = 0
  /// What the run began with.
  var origin: [UInt8]?
  var originAt: UInt64 = 0

  /// - Throws: as `Machine.init`; `HostError` where the host forbids executable memory.
  public init(_ configuration: MachineConfiguration) throws {
    self.configuration = configuration
    pair = try LockstepPair(configuration)
  }

  /// Both continue from a saved state.
  /// - Returns: as `Machine.restoreState`.
  @discardableResult
  public func restoreState(_ bytes: [UInt8], acceptingOtherDisks: Bool = false)
    throws(StateError) -> [String]
  {
    let differences = try pair.reference.restoreState(
      bytes, acceptingOtherDisks: acceptingOtherDisks)
    try pair.subject.restoreState(bytes, acceptingOtherDisks: acceptingOtherDisks)
    (origin, checkpoint) = (bytes, bytes)
    originAt = machine.instructionCount
    checkpointAt = originAt
    return differences
  }

  /// Both repeat a recording. Call before they run.
  /// - Throws: as `Machine.startReplay`.
  public func startReplay(_ recording: Recording) throws {
    try pair.reference.startReplay(recording)
    try pair.subject.startReplay(recording)
    // A search takes them from here.
    for entry in recording.entries {
      if case .input(let input, _) = entry.event { given.append((entry.instruction, input)) }
    }
    isReplay = true
  }

  private func give(_ input: MachineInput) {
    given.append((machine.instructionCount, input))
    pair.reference.take(input)
    pair.subject.take(input)
  }

  /// Runs until something ends it, or the engines differ.
  public func run(untilInstruction limit: UInt64 = UInt64.max) -> LockstepEnd {
    let input = machine.input
    // As in Machine.run: the first look is at the next time after the beginning.
    var nextLook: UInt64?
    var slices = 0
    while true {
      let isAsked = input.hasPending
      if input.hasPending || input.hasBlocked {
        for event in input.take(room: machine.roomForInput) where !isReplay { give(event) }
      }
      if isAsked, !input.hasReadyInput {
        _ = input.attend(machine)
        if let stop = input.stopReason { return .stopped(.host(stop)) }
      }
      if let follower {
        let isDue = nextLook.map { machine.clock.now >= $0 }
        if isDue == true, let stop = follower.look(at: machine) { return .stopped(stop) }
        if isDue != false {
          let interval = follower.interval
          nextLook =
            follower.isFinished
            ? VirtualClock.never : (machine.clock.now / interval &+ 1) &* interval
        }
      }
      let count = machine.instructionCount
      if count >= limit { return .stopped(.instructionLimit) }
      let size = slice ?? Lockstep.usualSlice
      let next = (count / size &+ 1) &* size
      slices += 1
      let (stop, difference) = pair.run(
        until: slice == nil ? limit : min(next, limit),
        pausing: Machine.RunPause(
          instruction: slice == nil ? next : UInt64.max, time: nextLook ?? VirtualClock.never),
        thorough: slices % thoroughEvery == 0)
      let target = max(pair.reference.instructionCount, pair.subject.instructionCount)
      if let difference { return .differs(LockstepSearch(self, target, difference).result()) }
      if stop != .instructionLimit {
        if let difference = pair.compare(thorough: true) {
          return .differs(LockstepSearch(self, target, difference).result())
        }
        if let follower, stop == .halted || stop == .powerOff,
          let end = follower.guestEnded(machine)
        {
          return .stopped(end)
        }
        return .stopped(stop)
      }
      if slices % checkpointEvery == 0 {
        if let difference = pair.compare(thorough: true) {
          return .differs(LockstepSearch(self, target, difference).result())
        }
        checkpoint = pair.reference.saveState()
        checkpointAt = machine.instructionCount
      }
    }
  }

  /// Names of the sections that are not equal.
  static func differing(_ a: [(String, [UInt8])], _ b: [(String, [UInt8])]) -> [String] {
    zip(a, b).compactMap { $0.0 == $1.0 && $0.1 == $1.1 ? nil : $0.0 }
  }
}
