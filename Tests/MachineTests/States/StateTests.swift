// Determinism, saved states, hostile states.

import Chipset
import Session
import State
import Storage
import Testing

@testable import Machine

@Suite struct StateTests {
  @Test func twoRunsAreIdentical() throws {
    var hashes: [UInt64] = []
    for _ in 0..<2 {
      let machine = try machine(booting: Guest.ticks)
      _ = machine.run(untilInstruction: 60_000_000)
      hashes.append(machine.stateHash())
    }
    #expect(hashes[0] == hashes[1])
  }

  @Test func howARunIsCutDoesNotShow() throws {
    let whole = try machine(booting: Guest.ticks)
    _ = whole.run(untilInstruction: 40_000_000)
    let cut = try machine(booting: Guest.ticks)
    var random = SplitMix(seed: 7)
    var at: UInt64 = 0
    while at < 40_000_000 {
      at = min(at + random.next() % 100_000, 40_000_000)
      _ = cut.run(untilInstruction: at)
    }
    #expect(cut.stateHash() == whole.stateHash())
  }

  @Test func aDifferentKeyMakesADifferentState() throws {
    let machines = try [Character("a"), "b"].map { key in
      let machine = try machine(booting: Guest.echoKeys)
      machine.script = Script([
        .type([.wait(milliseconds: 900)] + KeyScript.strokes(typing: String(key)), "")
      ])
      _ = machine.run(untilInstruction: 200_000_000)
      return machine
    }
    #expect(machines[0].stateHash() != machines[1].stateHash())
  }

  @Test func continuingFromAStateEqualsNeverHavingStopped() throws {
    let end: UInt64 = 60_000_000
    let straight = try machine(booting: Guest.ticks)
    _ = straight.run(untilInstruction: end)
    let expected = straight.stateHash()

    let source = try machine(booting: Guest.ticks)
    var random = SplitMix(seed: 3)
    var at: UInt64 = 0
    for _ in 0..<24 {
      at += random.next() % 2_400_000
      _ = source.run(untilInstruction: at)
      let saved = source.saveState()
      let hash = source.stateHash()
      let fresh = try machine(booting: Guest.ticks)
      try fresh.restoreState(saved)
      #expect(fresh.stateHash() == hash, "restored at \(at)")
      #expect(fresh.saveState() == saved, "saved again at \(at)")
      _ = fresh.run(untilInstruction: end)
      #expect(fresh.stateHash() == expected, "continued from \(at)")
    }
  }

  /// Who loads a program puts it into a fresh machine's memory; the guest can make zeros of it.
  @Test func pagesThatBecameZerosAreZerosAgain() throws {
    func loaded() throws -> Machine {
      let machine = try machine(booting: Guest.ticks)
      [UInt8](repeating: 0x90, count: 4096).withUnsafeBytes {
        machine.memory.setPage(0x50, $0.baseAddress!)
      }
      return machine
    }
    let source = try loaded()
    _ = source.run(untilInstruction: 1_000_000)
    source.memory.setPage(0x50, nil)
    let fresh = try loaded()
    try fresh.restoreState(source.saveState())
    #expect(fresh.memory.page(0x50).allSatisfy { $0 == 0 })
    #expect(fresh.stateHash() == source.stateHash())
  }

  @Test func inputIsLoggedAndReplaysToTheSameState() throws {
    let first = try machine(booting: Guest.echoKeys) { $0.recordsInput = true }
    var at: UInt64 = 150_000_000
    for usage: UInt16 in [0x04, 0x05, 0x06] {
      _ = first.run(untilInstruction: at)
      first.input.post(.key(usage: usage, down: true))
      _ = first.run(untilInstruction: at + 5_000_000)
      first.input.post(.key(usage: usage, down: false))
      at += 20_000_000
    }
    _ = first.run(untilInstruction: at)
    #expect(first.inputLog.count == 6)

    let second = try machine(booting: Guest.echoKeys)
    for entry in first.inputLog {
      _ = second.run(untilInstruction: entry.instruction)
      second.input.post(entry.input)
    }
    _ = second.run(untilInstruction: at)
    #expect(second.stateHash() == first.stateHash())
    #expect(first.screenText?.contains { $0.contains("abc") } == true)
  }

  /// Whatever a guest writes to its devices, however often: the state that is saved then can be loaded.
  @Test func whateverAGuestAsksOfItsDevicesTheStateLoads() throws {
    func fresh() throws -> Machine {
      try machine(booting: Guest.ticks) {
        $0.parts = ["lpt"]
        $0.disks = [
          MachineImage(
            name: "disk",
            device: MemoryImage(bytes: [UInt8](repeating: 0, count: 1 << 20), name: "disk"),
            medium: .disk(
              physical: DiskGeometry.standard(sectorCount: 2048),
              translated: DiskGeometry.standard(sectorCount: 2048)))
        ]
      }
    }
    let source = try fresh()
    _ = source.run(untilInstruction: 1_000_000)
    var owned: [String: [UInt16]] = [:]
    for port in UInt16.min...UInt16.max {
      if let owner = source.ports.owner(of: port) { owned[owner, default: []].append(port) }
    }
    let owners = owned.keys.sorted()
    #expect(owners.count > 12)
    var random = SplitMix(seed: 41)
    func below(_ n: Int) -> Int { Int(random.next() % UInt64(n)) }
    for _ in 0..<120 {
      for _ in 0..<8 {
        let ports = owned[owners[below(owners.count)]]!
        let port = ports[below(ports.count)]
        // Commands lie at the ends of the range more often than not.
        let value = UInt32(below(2) == 0 ? below(256) : 0xF0 + below(16))
        let reads = below(4) == 0
        let pause = UInt64([1, 100, 10_000][below(3)])
        for _ in 0..<(1 + below(30)) {
          source.ports.write(port, value, width: 1)
          _ = source.run(untilInstruction: source.instructionCount + pause)
          if reads { _ = source.ports.read(port, width: 1) }
        }
      }
      let state = source.saveState()
      let again = try fresh()
      try again.restoreState(state)
      #expect(again.saveState() == state)
    }
  }

  // MARK: Hostile states

  @Test func statesOfOtherMachinesAreRefused() throws {
    let source = try machine(booting: Guest.ticks)
    let saved = source.saveState()
    let other = try machine(booting: Guest.ticks) { $0.memoryMegabytes = 3 }
    #expect(throws: StateError.self) { try other.restoreState(saved) }
    let diskless = try machine(booting: nil)
    #expect(throws: StateError.self) { try diskless.restoreState(saved) }
  }

  @Test func damagedFilesAreRefused() throws {
    let source = try machine(booting: Guest.ticks)
    _ = source.run(untilInstruction: 30_000_000)
    let saved = source.saveState()
    var random = SplitMix(seed: 11)
    for _ in 0..<40 {
      var damaged = saved
      damaged[Int(random.next() % UInt64(saved.count))] ^= 1 << UInt8(random.next() % 8)
      let fresh = try machine(booting: Guest.ticks)
      #expect(throws: StateError.self) { try fresh.restoreState(damaged) }
    }
    for count in [0, 1, 7, 8, 12, 27, 28, 29, saved.count / 2, saved.count - 1] {
      let fresh = try machine(booting: Guest.ticks)
      #expect(throws: StateError.self) { try fresh.restoreState(Array(saved[..<count])) }
    }
  }

  /// Behind the checksum nothing is trusted either: whatever is accepted must run on without a trap.
  @Test func hostileContentsAreRefusedOrHarmless() throws {
    let source = try machine(booting: Guest.ticks)
    _ = source.run(untilInstruction: 30_000_000)
    let body = Array(source.saveState()[28...])
    // Devices come before memory; that is where most structure is.
    let structured = body.count / 3
    var random = SplitMix(seed: 23)
    for round in 0..<150 {
      var hostile = body
      for _ in 0..<(1 + round % 4) {
        let at = Int(random.next() % UInt64(structured))
        hostile[at] = round & 1 == 0 ? UInt8(truncatingIfNeeded: random.next()) : 0xFF
      }
      let fresh = try machine(booting: Guest.ticks)
      var reader = StateReader(hostile)
      do throws(StateError) {
        try fresh.restoreBody(&reader)
        _ = fresh.run(untilInstruction: fresh.cpu.instructionCount &+ 200_000)
      } catch {
        #expect(!error.reason.isEmpty)
      }
    }
  }

  @Test func runLengthsComeBack() {
    var random = SplitMix(seed: 5)
    for _ in 0..<50 {
      var page: [UInt8] = []
      while page.count < 4096 {
        let count = Int(random.next() % 300) + 1
        if random.next() & 1 == 0 {
          page += [UInt8](repeating: UInt8(truncatingIfNeeded: random.next()), count: count)
        } else {
          page += (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        }
      }
      page.removeLast(page.count - 4096)
      let packed = page.withUnsafeBytes { RunLength.pack($0) }
      #expect(RunLength.unpack(packed, count: 4096) == page)
      #expect(RunLength.unpack(Array(packed.dropLast()), count: 4096) == nil)
      #expect(RunLength.unpack(packed, count: 4095) == nil)
    }
  }
}
