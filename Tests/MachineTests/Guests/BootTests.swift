// Machines that boot: ways to end, input, scripts, resets.

import Chipset
import Machine
import Session
import Storage
import Testing

@Suite struct BootTests {
  @Test func aFloppyBootsAndEndsWithItsOwnCode() throws {
    let machine = try machine(booting: Guest.serialHello)
    var text: [UInt8] = []
    machine.serialOutput = { port, byte in if port == 0 { text.append(byte) } }
    // isa-debug-exit: (15h << 1) | 1.
    #expect(machine.run(untilInstruction: enough) == .guestExit(0x2B))
    #expect(String(decoding: text, as: UTF8.self) == "hello")
  }

  @Test func aHaltWithInterruptsDisabledEndsTheRun() throws {
    #expect(try machine(booting: Guest.halt).run(untilInstruction: enough) == .halted)
  }

  @Test func thePowerPortEndsTheRun() throws {
    #expect(try machine(booting: Guest.powerOff).run(untilInstruction: enough) == .powerOff)
  }

  @Test func aTripleFaultEndsTheRun() throws {
    let machine = try machine(booting: Guest.tripleFault)
    #expect(machine.run(untilInstruction: enough) == .shutdown)
    #expect(machine.cpu.report().contains("0F 0B"))
  }

  @Test func theKeyboardControllerResetsTheProcessor() throws {
    let machine = try machine(booting: Guest.resetOnce)
    #expect(machine.run(untilInstruction: enough) == .guestExit(7))
  }

  @Test func theInstructionLimitIsExact() throws {
    let machine = try machine(booting: Guest.ticks)
    for limit: UInt64 in [1, 2, 12345, 12346, 5_000_003] {
      #expect(machine.run(untilInstruction: limit) == .instructionLimit)
      #expect(machine.cpu.instructionCount == limit)
    }
  }

  @Test func aScriptTypesAndWaits() throws {
    let machine = try machine(booting: Guest.echoKeys)
    machine.script = Script([
      .expect("A"), .type(try KeyScript.parse("It works"), ""), .expect("never"),
    ])
    // "A" stands in what every BIOS says.
    #expect(machine.run(untilInstruction: enough / 2) == .instructionLimit)
    #expect(machine.screenText?.contains { $0.hasSuffix("It works") } == true)
    machine.script = Script([.type(try KeyScript.parse("<enter>"), "")])
    #expect(machine.run(untilInstruction: enough) == .guestExit(3))
  }

  @Test func serialInputReachesTheGuestAndIsExpected() throws {
    let machine = try machine(booting: Guest.echoSerial)
    let script = Script([.expect("ping")])
    machine.script = script
    machine.serialOutput = { script.serialOutput($0, $1) }
    _ = machine.run(untilInstruction: 200_000_000)
    machine.input.post(.serial(port: 0, bytes: Array("a ping".utf8)))
    #expect(machine.run(untilInstruction: enough) == .expectationMet)
    machine.input.post(.serial(port: 0, bytes: Array("Q".utf8)))
    machine.script = nil
    #expect(machine.run(untilInstruction: enough) == .guestExit(5))
  }

  @Test func hostStopsEndTheRun() throws {
    let machine = try machine(booting: Guest.ticks)
    machine.input.requestStop(.timeout)
    #expect(machine.run() == .host(.timeout))
  }

  @Test func everyBIOSFindsTheMachineInTheCMOS() throws {
    let machine = try machine(booting: Guest.halt) {
      $0.memoryMegabytes = 48
      $0.bootOrder = [.disk, .floppy]
      $0.disks[0] = MachineImage(
        name: "disk", device: MemoryImage(bytes: [], sectorCount: 16 * 63 * 100),
        medium: .disk(
          physical: DiskGeometry(cylinders: 100, heads: 16, sectors: 63),
          translated: DiskGeometry(cylinders: 100, heads: 16, sectors: 63)))
    }
    let cmos = machine.cmos
    // IBM AT: base and extended memory in KiB, floppy types, equipment, disk types; QEMU: 34h in 64 KiB above 16 MiB, 3Dh.
    #expect(Int(cmos[0x15]) | Int(cmos[0x16]) << 8 == 640)
    #expect(Int(cmos[0x17]) | Int(cmos[0x18]) << 8 == 47 * 1024)
    #expect(Int(cmos[0x34]) | Int(cmos[0x35]) << 8 == 32 * 16)
    #expect(cmos[0x10] == 0x40)
    #expect(cmos[0x14] & 0xC1 == 0x01)
    #expect(cmos[0x12] == 0xF0)
    #expect(cmos[0x19] == 47)
    #expect(Int(cmos[0x1B]) | Int(cmos[0x1C]) << 8 == 100)
    #expect(cmos[0x1D] == 16 && cmos[0x23] == 63)
    #expect(cmos[0x3D] == 0x12)
    // The year 2000.
    #expect(cmos[0x09] == 0x00 && cmos[0x32] == 0x20)
    let sum = (0x10...0x2D).reduce(0) { $0 + Int(cmos[UInt8($1)]) }
    #expect(Int(cmos[0x2E]) << 8 | Int(cmos[0x2F]) == sum)
  }

  @Test func configurationsThatMakeNoMachineAreRefused() {
    func refused(_ change: (inout MachineConfiguration) -> Void) -> Bool {
      do {
        _ = try machine(booting: nil, change)
        return false
      } catch { return true }
    }
    #expect(refused { $0.memoryMegabytes = 0 })
    #expect(refused { $0.memoryMegabytes = 16385 })
    #expect(refused { $0.exitPort = 0x60 })
    #expect(refused { $0.bios = LoadFile(path: "x", bytes: [1, 2, 3]) })
    let rom = LoadFile(path: "r", bytes: [0x55, 0xAA, 1])
    for address: UInt32 in [0x1000, 0xA0000, 0xB8000, 0xD0001, 0x100000, 0x1FF000] {
      #expect(refused { $0.roms = [MachineROM(file: rom, address: address)] })
    }
    #expect(!refused { $0.roms = [MachineROM(file: rom, address: 0xD0000)] })
  }
}
