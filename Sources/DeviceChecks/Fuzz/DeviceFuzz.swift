// Random accesses to one device after another, in both engines side by side.
//
// Owns: machines that get the same, what is compared and when, states in the middle. Must not know: what accesses are made, command lines.

import CPU
import Chipset
import Host
import Machine

/// What was found wrong.
public struct FuzzFailure: Sendable {
  /// Which table of accesses, counted from 0.
  public var table: Int
  /// A line each.
  public var text: [String]
}

/// What became of a device.
public struct FuzzResult: Sendable {
  public var device: String
  public var board: FuzzBoard
  /// Accesses that the guest made (in each engine).
  public var accesses: UInt64 = 0
  public var tables = 0
  public var instructions: UInt64 = 0
  /// Of the state at the end; equal runs have equal ones.
  public var hash: UInt64 = 0
  /// How often a machine was put away as a state and taken from it again.
  public var restores = 0
  /// How tables ended: of the machine's stop reasons and of tables that were worked off.
  public var ends: [String: Int] = [:]
  /// The host's time that one table took at most, in nanoseconds.
  public var slowest: UInt64 = 0
  public var slowestTable = 0
  public var failure: FuzzFailure?
}

/// Fuzzes the devices of a board.
public final class DeviceFuzz {
  /// The machine with the usual display adapter, and those with others.
  private let worlds: [FuzzWorld]
  /// What is in each of them.
  private let targets: [[FuzzTarget]]
  /// The same accesses from the same seed.
  public let seed: UInt64
  /// Which engines run side by side; one: nothing is compared but states.
  private let engines: [Engine]
  /// Tables between comparisons of everything, and between states.
  public var thoroughEvery = 8
  public var stateEvery = 24
  /// Accesses in a table, at most 3,600.
  public var tableSize: UInt64 = 3_600
  /// Asked between tables; yes ends the run of a device.
  public var isCancelled: () -> Bool = { false }

  /// - Parameter engines: nil: both, where the host has both.
  public init(
    _ board: FuzzBoard, model: CPUModel? = nil, seed: UInt64, engines: [Engine]? = nil
  ) throws {
    let model = model ?? (board == .isa ? CPUModel.named("pentium")! : CPUModel.pentium2)
    // Cirrus' card is PCI's.
    let displays = DisplayAdapter.allCases.filter {
      $0 != .none && ($0 != .cirrus || board != .isa)
    }
    worlds = try displays.map { try FuzzWorld(board, model: model, display: $0) }
    targets = try worlds.map { world in
      let all = try world.targets()
      // Everything else is the same in all of them.
      return world.display == .std
        ? all : [FuzzTarget.adapter(all, name: world.display.rawValue)] + all
    }
    self.seed = seed
    self.engines =
      engines
      ?? (MachineConfiguration().engine == .translator
        ? [.interpreter, .translator] : [.interpreter])
  }

  /// The names of what can be fuzzed.
  public var devices: [String] {
    (targets[0].map(\.name) + targets.dropFirst().compactMap(\.first?.name)).sorted()
  }

  /// The kinds of parts (`PartCatalogue`) whose accesses a name of `devices` stands for.
  public static func kinds(of device: String) -> [String] { FuzzTarget.kinds(of: device) }

  /// Makes so many accesses to a device, in fresh machines.
  /// - Parameter progress: told of each table before it is worked off, and of the accesses so far.
  public func run(
    _ device: String, accesses wanted: UInt64, progress: (Int, UInt64) -> Void = { _, _ in }
  ) throws -> FuzzResult {
    var result = FuzzResult(device: device, board: worlds[0].board)
    guard
      let home = self.targets.indices.first(where: { n in
        n == 0
          ? self.targets[0].contains { $0.name == device } : self.targets[n].first?.name == device
      }), let target = self.targets[home].first(where: { $0.name == device })
    else { return result }
    let (world, targets) = (worlds[home], self.targets[home])
    var machines = try engines.map { try world.machine($0) }
    let mixed = device.utf8.reduce(seed &* 0x9E37_79B9_7F4A_7C15) {
      ($0 ^ UInt64($1)) &* 0x100_0000_01B3
    }
    while result.accesses < wanted, !isCancelled() {
      let number = result.tables
      progress(number, result.accesses)
      var maker = FuzzMaker(
        target, targets, hasPCI: world.board == .pc,
        seed: mixed &+ UInt64(number) &* 0xD1B5_4A32_D192_ED03)
      let table = maker.table(
        Int(min(wanted - result.accesses, min(tableSize, 3_600))))
      let immediates = maker.immediates()
      let reads = maker.random.word() & 0x3F
      // Time to finish what was begun: mostly little, sometimes much.
      let length = UInt64(100 * table.count) + (maker.random.oneIn(12) ? 3_000_000 : 300_000)
      let input = inputs(&maker.random, world.files)
      let start = HostClock.nanoseconds()
      var stops: [StopReason] = []
      let limit = machines[0].instructionCount + length
      for machine in machines {
        world.start(
          machine, table, pages: maker.pages, immediates: immediates, reads: reads)
        for event in input { machine.take(event) }
        stops.append(machine.run(untilInstruction: limit))
      }
      let time = HostClock.nanoseconds() &- start
      if time > result.slowest { (result.slowest, result.slowestTable) = (time, number) }
      result.tables += 1
      // A table that ends at once would never end the run.
      let done = world.progress(machines[0], of: table.count)
      result.accesses += UInt64(max(done, 1))
      let end =
        done == table.count
        ? "all" : "\(stops[0]) \(done > 0 ? "\(table[done - 1].operation)" : "")"
      result.ends[end, default: 0] += 1
      let thorough = number % thoroughEvery == thoroughEvery - 1
      if let text = difference(machines, stops, thorough: thorough) {
        result.failure = FuzzFailure(table: number, text: text)
        break
      }
      if number % stateEvery == stateEvery - 1 || number == 1 {
        // Each engine in turn; the one that went on without is what it is compared with.
        let index = result.restores % machines.count
        do {
          let fresh = try world.machine(engines[index], media: FuzzMedia(machines[index]))
          try fresh.restoreState(machines[index].saveState())
          let differing = Self.differing(machines[index], fresh)
          if !differing.isEmpty {
            result.failure = FuzzFailure(
              table: number,
              text: ["a state that was loaded differs: \(differing.joined(separator: ", "))"])
            break
          }
          machines[index] = fresh
          result.restores += 1
        } catch {
          result.failure = FuzzFailure(
            table: number, text: ["a state that was saved is refused: \(error)"])
          break
        }
      }
    }
    if result.failure == nil,
      let text = difference(
        machines, Array(repeating: .instructionLimit, count: machines.count), thorough: true)
    {
      result.failure = FuzzFailure(table: result.tables, text: text)
    }
    result.instructions = machines[0].instructionCount
    result.hash = machines[0].stateHash()
    return result
  }

  /// What differs between the machines, a line each, or nil.
  private func difference(_ machines: [Machine], _ stops: [StopReason], thorough: Bool) -> [String]?
  {
    guard machines.count > 1 else { return nil }
    let (a, b) = (machines[0], machines[1])
    var text: [String] = []
    if stops[0] != stops[1] {
      text.append("the interpreter ended with \(stops[0]), translated code with \(stops[1])")
    }
    if a.instructionCount != b.instructionCount {
      text.append("instructions: \(a.instructionCount), \(b.instructionCount)")
    }
    for register in CPUComparison.differing(a.cpu, b.cpu) {
      text.append("\(register.name): \(register.first), \(register.second)")
    }
    if thorough || !text.isEmpty {
      let differing = Self.differing(a, b)
      if !differing.isEmpty { text.append("parts: \(differing.joined(separator: ", "))") }
      for (one, other) in zip(a.board.devices, b.board.devices)
      where differing.contains(one.stateName) {
        for (x, y) in zip(one.inspect(), other.inspect()) where "\(x)" != "\(y)" {
          text.append("\(one.stateName): \(x); \(y)")
        }
      }
    }
    return text.isEmpty ? nil : text
  }

  private static func differing(_ a: Machine, _ b: Machine) -> [String] {
    zip(a.partHashes(), b.partHashes()).compactMap { $0.hash == $1.hash ? nil : $0.name }
  }

  /// What comes from outside before a table: keys, movement, bytes, disks.
  private func inputs(_ random: inout FuzzRandom, _ files: FuzzFiles) -> [MachineInput] {
    var list: [MachineInput] = []
    for _ in 0..<random.below(4) {
      switch random.below(8) {
      case 0: list.append(.key(usage: UInt16(4 + random.upTo(0xE4)), down: random.oneIn(2)))
      case 1:
        list.append(
          .mouse(
            dx: random.below(600) - 300, dy: random.below(600) - 300, wheel: random.below(5) - 2,
            buttons: UInt8(random.upTo(32))))
      case 2:
        list.append(
          .serial(
            port: random.below(6), bytes: (0..<random.below(40)).map { _ in UInt8(random.byte()) }))
      case 3:
        // What was written to a disk that is taken out is not part of a state.
        let path = random.one(of: Array(files.floppies.dropFirst()))
        list.append(
          .floppy(
            drive: random.below(2),
            disk: random.oneIn(3) ? nil : FloppyChoice(path: path, isProtected: true)))
      case 4, 5:
        let path = random.one(of: files.discs)
        list.append(
          .cd(
            drive: random.below(2), disc: random.oneIn(3) ? nil : FloppyChoice(path: path)))
      case 6 where random.oneIn(20): list.append(.reset(random.oneIn(2) ? .system : .processor))
      case 7 where random.oneIn(8):
        list.append(.rate(UInt64(1_000_000 + random.below(4_000_000))))
      default: break
      }
    }
    return list
  }
}
