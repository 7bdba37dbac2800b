// What decides how long and how fast a machine runs: triple faults, pausing, the rate that follows the host; and pasted text.

import Chipset
import Host
import Session
import Synchronization
import TestSupport
import Testing

@testable import Machine

/// A triple fault the first time, the second time `mov al, 3 / out 0F4h, al`.
private let tripleFaultOnce = bytes(
  "fa31c08ed8813e00903412740dc706009034120f011e207c0f0bb003e6f4ebfe000000000000")
/// `sti`, then arithmetic for ever.
private let busy = bytes("fb4001c331d9ebf9")

@Suite struct TripleFaultTests {
  @Test func aResetGoesOnAndTheUserIsTold() throws {
    let machine = try machine(booting: tripleFaultOnce) { $0.resetsOnTripleFault = true }
    var notices: [String] = []
    machine.notice = { notices.append($0) }
    #expect(machine.run(untilInstruction: enough) == .guestExit(7))
    #expect(notices == ["triple fault: the machine was reset"])
  }

  @Test func withoutItTheRunEnds() throws {
    #expect(try machine(booting: tripleFaultOnce).run(untilInstruction: enough) == .shutdown)
  }

  @Test func aLoopOfThemIsStopped() throws {
    let machine = try machine(booting: Guest.tripleFault) { $0.resetsOnTripleFault = true }
    #expect(machine.run(untilInstruction: 20_000_000_000) == .shutdown)
    #expect(machine.tripleFaults.count == 16)
  }
}

@Suite struct RateTests {
  /// A host whose processor does so many instructions in a microsecond; other programs' time does not show in it.
  private final class FakeClock {
    var nanoseconds: UInt64 = 0
    var perMicrosecond: UInt64 = 200
    private var last: UInt64 = 0
    unowned let machine: Machine
    init(_ machine: Machine) { self.machine = machine }
    func now() -> UInt64 {
      let count = machine.cpu.instructionCount
      nanoseconds += (count - last) * 1000 / perMicrosecond
      last = count
      return nanoseconds
    }
  }

  @Test func theRateFollowsTheProcessorDownAndUpAgain() throws {
    let machine = try machine(booting: busy)
    let clock = FakeClock(machine)
    machine.pacing.pacer.adaptsRate = true
    machine.pacing.pacer.processorTime = { clock.now() }
    func settle() -> UInt64 {
      _ = machine.run(untilInstruction: machine.cpu.instructionCount + 200_000_000)
      return machine.clock.instructionsPerSecond / 1_000_000
    }
    #expect((150...200).contains(settle()))
    clock.perMicrosecond = 12
    #expect((5...12).contains(settle()))
    clock.perMicrosecond = 200
    #expect((150...200).contains(settle()))
  }

  /// SDM volume 3, table 9-1: RESET# clears the time-stamp counter, INIT leaves it alone.
  @Test func timeStampsGoOnAfterINIT() throws {
    let machine = try machine(booting: busy)
    _ = machine.run(untilInstruction: 1_000_000)
    let before = machine.cpu.timeStampCounter
    #expect(before > 1_000_000)
    machine.reset(.processor)
    #expect(machine.cpu.timeStampCounter == before)
    _ = machine.run(untilInstruction: 1_100_000)
    #expect(machine.cpu.timeStampCounter >= before + 350_000)
    machine.reset(.system)
    #expect(machine.cpu.timeStampCounter == 0)
  }

  @Test func theThreadsTimeIsItsOwn() throws {
    let before = HostClock.threadNanoseconds()
    let wall = HostClock.nanoseconds()
    let condition = HostCondition()
    condition.locked { condition.wait(nanoseconds: 60_000_000) }
    let slept = HostClock.nanoseconds() - wall
    #expect(HostClock.threadNanoseconds() - before < max(slept, 50_000_000))
  }
}

@Suite struct PauseTests {
  @Test func aPausedMachineStandsStillAndStillAnswers() throws {
    let machine = try machine(booting: busy)
    let input = machine.input
    let answered = Mutex<[UInt64]>([])
    input.setPaused(true)
    input.requestTask { machine in
      answered.withLock { $0.append(machine.cpu.instructionCount) }
      // Only now it may go on.
      machine.input.requestTask { machine in
        answered.withLock { $0.append(machine.cpu.instructionCount) }
        machine.input.setPaused(false)
      }
    }
    #expect(machine.run(untilInstruction: 1_000_000) == .instructionLimit)
    #expect(answered.withLock { $0 } == [0, 0])
    // A stop is obeyed all the same.
    input.setPaused(true)
    input.requestStop(.user)
    #expect(machine.run(untilInstruction: 2_000_000) == .host(.user))
    #expect(machine.cpu.instructionCount == 1_000_000)
  }
}

@Suite struct TypedTextTests {
  @Test func codePagesGiveTheCodesOfTheirTables() {
    // IBM code pages 437 and 850.
    for (character, code437, code850) in [
      ("ä", 132, 132), ("Ö", 153, 153), ("ß", 225, 225), ("é", 130, 130), ("ñ", 164, 164),
      ("½", 171, 171), ("°", 248, 248), ("²", 253, 253), ("Ø", nil, 157), ("ø", nil, 155),
      ("ã", nil, 198), ("©", nil, 184), ("α", 224, nil), ("€", nil, nil), ("╔", 201, 201),
      ("£", 156, 156), ("¥", 157, 190), ("§", nil, 245), ("À", nil, 183), ("Õ", nil, 229),
    ] as [(Character, UInt8?, UInt8?)] {
      #expect(TypedText.CodePage.cp437.code(of: character) == code437, "\(character)")
      #expect(TypedText.CodePage.cp850.code(of: character) == code850, "\(character)")
    }
  }

  @Test func codesAreTypedWithAltAndTheKeypad() {
    let typed = TypedText("aä\n", codes: .cp437)
    #expect(
      typed.strokes == [
        .press([.a]), .tap([.keypad1, .keypad3, .keypad2], holding: .leftAlt), .press([.enter]),
      ])
    #expect(typed.complaint == nil)
  }

  @Test func whatIsLeftOutIsTold() {
    let typed = TypedText("x€€中y", codes: .cp437)
    #expect(typed.strokes == [.press([.x]), .press([.y])])
    #expect(typed.leftOut == ["€", "中"])
    #expect(typed.complaint?.contains("3 characters") == true)
    #expect(TypedText("ä", codes: nil).leftOut == ["ä"])
    #expect(TypedText("ä", codes: nil).complaint?.contains("the BIOS or DOS") == true)
    #expect(TypedText("中", codes: nil).complaint?.contains("BIOS") == false)
    #expect(TypedText("plain <text>", codes: nil).complaint == nil)
  }

  @Test func capsLockIsMadeUpFor() {
    #expect(
      TypedText("aB1", codes: nil, capsLock: true).strokes == [
        .press([.leftShift, .a]), .press([.b]), .press([.digit1]),
      ])
  }

  @Test func aLongTextLosesNothingWhereTheGuestIsSlow() throws {
    // Reads a key, then waits: `xor ax, ax / int 16h / mov ah, 0Eh / xor bx, bx / int 10h / mov cx, 4 / hlt / loop $-1 / jmp 0`
    let slow = bytes("fb31c0cd16b40e31dbcd10b90400f4e2fdebee")
    let machine = try machine(booting: slow)
    _ = machine.run(untilInstruction: 200_000_000)
    let text = String((0..<200).map { Character(UnicodeScalar(UInt8(97 + $0 % 26))) }) + "äöü"
    machine.input.post(.text(text))
    _ = machine.run(untilInstruction: 9_000_000_000)
    let screen = machine.screenText?.joined() ?? ""
    #expect(screen.contains(text), "\(screen)")
  }
}
