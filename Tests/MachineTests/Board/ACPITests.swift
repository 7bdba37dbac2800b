// What a machine tells by ACPI, and its power button. Expectations: ACPI specification 1.0b, chapter 5 (tables 5-2 to 5-12), for revision 2
// ACPI specification 3.0; the commands of QEMU's table loader.

import Bus
import CPU
import Chipset
import Foundation
import State
import Storage
import TestSupport
import Testing

@testable import Machine

/// Tables in a memory, found from the root pointer as a system does it.
private struct Found {
  var read: (UInt32, Int) -> [UInt8]

  func number(_ address: UInt32, _ count: Int = 4) -> UInt64 {
    read(address, count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
  func table(_ address: UInt32) -> [UInt8] { read(address, Int(number(address + 4))) }
  func signature(_ address: UInt32) -> String {
    String(decoding: read(address, 4), as: UTF8.self)
  }
  func sum(_ bytes: [UInt8]) -> UInt8 { bytes.reduce(0, &+) }

  /// Addresses of tables by signature, after the sums of all of them.
  func tables(_ pointer: UInt32) throws -> [String: UInt32] {
    #expect(read(pointer, 8) == Array("RSD PTR ".utf8))
    #expect(sum(read(pointer, 20)) == 0)
    let rsdt = UInt32(number(pointer + 16))
    var found = ["RSDT": rsdt]
    for at in stride(from: 36, to: table(rsdt).count, by: 4) {
      let address = UInt32(number(rsdt + UInt32(at)))
      found[signature(address)] = address
    }
    let fadt = try #require(found["FACP"])
    found["DSDT"] = UInt32(number(fadt + 40))
    found["FACS"] = UInt32(number(fadt + 36))
    if read(pointer, 16)[15] >= 2 {
      #expect(sum(read(pointer, 36)) == 0)
      found["XSDT"] = UInt32(number(pointer + 24, 8))
    }
    for (name, address) in found {
      #expect(signature(address) == name)
      if name != "FACS" { #expect(sum(table(address)) == 0, "sum of \(name)") }
    }
    return found
  }
}

/// Carries out the commands, as a firmware would.
private func link(_ files: [FirmwareItems.File]) throws -> (memory: Found, pointer: UInt32) {
  var bytes = Dictionary(uniqueKeysWithValues: files.map { ($0.name, $0.bytes) })
  var places: [String: UInt32] = [:]
  var next: UInt32 = 0x0100_0000
  let commands = try #require(bytes["etc/table-loader"])
  #expect(commands.count % 128 == 0)
  func number(_ list: [UInt8], _ at: Int) -> Int {
    list[at..<at + 4].reversed().reduce(0) { $0 << 8 | Int($1) }
  }
  for start in stride(from: 0, to: commands.count, by: 128) {
    let c = Array(commands[start..<start + 128])
    func name(_ at: Int) -> String {
      String(decoding: c[at..<at + 56].prefix { $0 != 0 }, as: UTF8.self)
    }
    switch number(c, 0) {
    case 1:
      let align = UInt32(number(c, 60))
      #expect(align & (align - 1) == 0)
      if c[64] == 2 {
        places[name(4)] = 0xF5000
      } else {
        next = (next + align - 1) & ~(align - 1)
        places[name(4)] = next
        next += UInt32(try #require(bytes[name(4)]).count)
      }
    case 2:
      let (place, at, width) = (try #require(places[name(60)]), number(c, 116), Int(c[120]))
      #expect(width == 4 || width == 8)
      let value = UInt32(number(try #require(bytes[name(4)]), at)) + place
      bytes[name(4)]?.replaceSubrange(at..<at + 4, with: FirmwareItems.bytes(value))
    case 3:
      let (at, from, count) = (number(c, 60), number(c, 64), number(c, 68))
      let file = try #require(bytes[name(4)])
      #expect(file[at] == 0)
      bytes[name(4)]?[at] = 0 &- file[from..<from + count].reduce(0, &+)
    default: Issue.record("command \(number(c, 0))")
    }
  }
  let (linked, placed) = (bytes, places)
  let memory = Found { address, count in
    for (name, place) in placed where address >= place {
      let at = Int(address - place)
      if let file = linked[name], at + count <= file.count { return Array(file[at..<at + count]) }
    }
    Issue.record("nothing at \(String(address, radix: 16))")
    return [UInt8](repeating: 0xFF, count: count)
  }
  return (memory, try #require(places["etc/acpi/rsdp"]))
}

@Suite struct ACPITableTests {
  private static let facts: ACPIFacts = {
    var facts = ACPIFacts()
    facts.topOfMemory = 0x0400_0000
    facts.serial = [true, true, false, false]
    (facts.hasPrinter, facts.hasFloppyController) = (true, true)
    facts.floppyDrives = [true, false]
    return facts
  }()

  @Test func theFirstRevisionIsWhatSystemsOfTheNinetiesRead() throws {
    let (memory, pointer) = try link(ACPITables(ACPITableTests.facts).files)
    #expect(memory.read(pointer, 16)[15] == 0)
    let tables = try memory.tables(pointer)
    #expect(Set(tables.keys) == ["RSDT", "FACP", "SSDT", "DSDT", "FACS"])
    let fadt = memory.table(try #require(tables["FACP"]))
    #expect(fadt.count == 116 && fadt[8] == 1)
    func word(_ at: Int) -> Int { Int(fadt[at]) | Int(fadt[at + 1]) << 8 }
    func dword(_ at: Int) -> Int { word(at) | word(at + 2) << 16 }
    #expect(fadt[44] == 0 && word(46) == 9)
    #expect(dword(48) == 0xB2 && fadt[52] == 0xF1 && fadt[53] == 0xF0)
    // PM1a event, PM1a control, timer, GPE0; no second ones, no PM2.
    #expect(
      [56, 60, 64, 68, 72, 76, 80, 84].map(dword) == [0x600, 0, 0x604, 0, 0, 0x608, 0x60C, 0])
    #expect(Array(fadt[88...94]) == [4, 2, 0, 4, 4, 0, 0])
    // No C2, no C3; the timer has 24 bits; WBINVD works; a power button, no sleep button.
    #expect(word(96) > 100 && word(98) > 1000)
    #expect(dword(112) & 0x131 == 0x021)
    // Interpreters of 32 bits.
    #expect(memory.table(try #require(tables["DSDT"]))[8] == 1)
    let facs = try #require(tables["FACS"])
    #expect(facs % 64 == 0 && memory.table(facs).count == 64)
  }

  @Test func theSecondRevisionHasLongAddresses() throws {
    var facts = ACPITableTests.facts
    facts.revision = .second
    let (memory, pointer) = try link(ACPITables(facts).files)
    #expect(memory.read(pointer, 36)[15] == 2 && memory.number(pointer + 20) == 36)
    let tables = try memory.tables(pointer)
    let xsdt = try #require(tables["XSDT"])
    let rsdt = try #require(tables["RSDT"])
    let listed = (memory.table(rsdt).count - 36) / 4
    #expect(memory.table(xsdt).count == 36 + 8 * listed)
    for n in 0..<UInt32(listed) {
      #expect(memory.number(xsdt + 36 + 8 * n, 8) == memory.number(rsdt + 36 + 4 * n))
    }
    let fadt = try #require(tables["FACP"])
    #expect(memory.table(fadt).count == 244 && memory.table(fadt)[8] == 3)
    #expect(memory.number(fadt + 140, 8) == UInt64(try #require(tables["DSDT"])))
    // The reset register is port CF9h, written with 06h; flag 10 says that it is there.
    #expect(memory.read(fadt + 116, 4) == [1, 8, 0, 0] && memory.number(fadt + 120, 8) == 0xCF9)
    #expect(memory.read(fadt + 128, 1) == [6] && memory.number(fadt + 112) & 1 << 10 != 0)
    for (at, port, bits) in [
      (148, 0x600, 32), (172, 0x604, 16), (208, 0x608, 32), (220, 0x60C, 32),
    ] {
      #expect(memory.read(fadt + UInt32(at), 2) == [1, UInt8(bits)])
      #expect(memory.number(fadt + UInt32(at) + 4, 8) == UInt64(port))
    }
  }

  @Test func processorsAndTheIOAPICAreTold() throws {
    var facts = ACPITableTests.facts
    facts.processors = 4
    facts.hasIOAPIC = true
    let (memory, pointer) = try link(ACPITables(facts).files)
    let tables = try memory.tables(pointer)
    let madt = memory.table(try #require(tables["APIC"]))
    #expect(Array(madt[36..<44]) == [0, 0, 0xE0, 0xFE, 1, 0, 0, 0])
    var entries: [[UInt8]] = []
    var at = 44
    while at < madt.count {
      try #require(madt[at + 1] >= 2 && at + Int(madt[at + 1]) <= madt.count)
      entries.append(Array(madt[at..<at + Int(madt[at + 1])]))
      at += Int(madt[at + 1])
    }
    #expect(
      entries == [
        [0, 8, 0, 0, 1, 0, 0, 0], [0, 8, 1, 1, 1, 0, 0, 0], [0, 8, 2, 2, 1, 0, 0, 0],
        [0, 8, 3, 3, 1, 0, 0, 0], [1, 12, 4, 0, 0, 0, 0xC0, 0xFE, 0, 0, 0, 0],
        [2, 10, 0, 0, 2, 0, 0, 0, 0, 0], [2, 10, 0, 9, 9, 0, 0, 0, 0x0D, 0], [4, 6, 0xFF, 0, 0, 1],
      ])
    // Scope (\_PR), a processor each.
    let ssdt = memory.table(try #require(tables["SSDT"]))
    #expect(Array(ssdt[36..<44]) == [0x10, 0x3A, 0x5C] + Array("_PR_".utf8) + [0x5B])
    #expect(ssdt.count == 36 + 1 + 0x3A)
    #expect(memory.number(try #require(tables["FACP"]) + 44, 1) == 1)
  }

  @Test func lengthsOfAMLHaveOneOrTwoBytes() {
    #expect(ACPITables.package([UInt8](repeating: 7, count: 62)).prefix(2) == [63, 7])
    #expect(ACPITables.package([UInt8](repeating: 7, count: 63)).prefix(3) == [0x41, 0x04, 7])
  }

  /// What acpiexec says of a machine's tables after commands, or nil where it is not installed.
  private func interpret(_ facts: ACPIFacts, _ commands: String) throws -> String? {
    let program = ["/usr/bin/acpiexec", "/usr/local/bin/acpiexec", "/opt/homebrew/bin/acpiexec"]
      .first { FileManager.default.isExecutableFile(atPath: $0) }
    guard let program else { return nil }
    let (memory, pointer) = try link(ACPITables(facts).files)
    let tables = try memory.tables(pointer)
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    var files: [String] = []
    for name in ["DSDT", "SSDT"] {
      let file = folder.appending(path: name + ".aml")
      try Data(memory.table(try #require(tables[name]))).write(to: file)
      files.append(file.path)
    }
    let run = try Tool.run(program, ["-b", commands] + files, in: folder)
    #expect(run.status == 0, "\(run.text)")
    return run.text
  }

  @Test func anInterpreterEvaluatesEveryObject() throws {
    for processors in [1, 16] {
      var facts = ACPITableTests.facts
      facts.processors = processors
      guard let text = try interpret(facts, "predefined,resources") else { return }
      #expect(!text.contains("Error") && !text.contains("Warning"), "\(text)")
      #expect(text.contains("_PRT") && text.contains("_CRS"))
    }
  }

  @Test func devicesAreThereAsTheMachineHasThem() throws {
    func status(_ facts: ACPIFacts) throws -> [String: String]? {
      guard let text = try interpret(facts, "all _STA") else { return nil }
      var found: [String: String] = [:]
      var device = ""
      for line in text.split(separator: "\n") {
        if line.hasPrefix("Evaluation of "),
          let name = line.split(separator: " ").dropFirst(2).first
        {
          device = String(name.split(separator: ".").dropLast().last ?? "")
        } else if line.contains("[Integer] = ") {
          found[device] = line.split(separator: " ").last.map(String.init)
        }
      }
      return found
    }
    guard let all = try status(ACPITableTests.facts) else { return }
    #expect(all["COM1"]?.hasSuffix("0F") == true && all["COM2"]?.hasSuffix("0F") == true)
    #expect(all["COM3"]?.hasSuffix("00") == true && all["COM4"]?.hasSuffix("00") == true)
    #expect(all["LPT1"]?.hasSuffix("0F") == true && all["FDC0"]?.hasSuffix("0F") == true)
    let none = try #require(try status(ACPIFacts()))
    for name in ["COM1", "COM2", "COM3", "COM4", "LPT1", "FDC0"] {
      #expect(none[name]?.hasSuffix("00") == true, "\(name)")
    }
  }

  @Test func thePCIBusHasTheMemoryBehindRAM() throws {
    guard let text = try interpret(ACPITableTests.facts, "evaluate \\_SB.PCI0._CRS") else { return }
    let bytes = text.split(separator: "\n").filter { $0.contains(": ") && $0.contains("//") }
      .flatMap { line in
        line.split(separator: "//")[0].split(separator: ":")[1].split(separator: " ").compactMap {
          UInt8($0, radix: 16)
        }
      }
    // A descriptor of 32 bits (87h) of memory: minimum, maximum, translation, length.
    let hole: [UInt8] = [0, 0, 0, 4, 0xFF, 0xFF, 0xBF, 0xFE, 0, 0, 0, 0, 0, 0, 0xC0, 0xFA]
    #expect(
      bytes.count > hole.count
        && (0...bytes.count - hole.count).contains {
          Array(bytes[$0..<$0 + hole.count]) == hole
        }, "\(text)")
  }
}

@Suite struct ACPIMachineTests {
  /// Notes the memory map from 8000h on and its end at 7FF0h, then ends the run.
  private static let memoryMap: [UInt8] = [
    0x31, 0xC0, 0x8E, 0xC0, 0x8E, 0xD8, 0xBF, 0x00, 0x80, 0x66, 0x31, 0xDB,
    0x66, 0xB8, 0x20, 0xE8, 0, 0, 0x66, 0xB9, 20, 0, 0, 0, 0x66, 0xBA, 0x50, 0x41, 0x4D, 0x53,
    0xCD, 0x15, 0x72, 0x08, 0x83, 0xC7, 20, 0x66, 0x85, 0xDB, 0x75, 0xE2,
    0x89, 0x3E, 0xF0, 0x7F, 0xB0, 0x08, 0xE6, 0xF4, 0xF4, 0xEB, 0xFD,
  ]

  private func ranges(_ machine: Machine) -> [(start: UInt64, count: UInt64, type: UInt64)] {
    func number(_ at: Int, _ count: Int) -> UInt64 {
      machine.memory.peek(at, count: count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    return stride(from: 0x8000, to: Int(number(0x7FF0, 2)), by: 20).map {
      (number($0, 8), number($0 + 8, 8), number($0 + 16, 4))
    }
  }

  @Test(arguments: [ACPIRevision.first, .second], [4, 64, 4096])
  func theBIOSPutsTheTablesWhereItsMemoryMapSays(revision: ACPIRevision, megabytes: Int) throws {
    let machine = try Machine(
      .small(booting: ACPIMachineTests.memoryMap) {
        $0.memoryMegabytes = megabytes
        $0.acpi = revision
      })
    #expect(machine.run(untilInstruction: 2_000_000_000) == .guestExit(17))
    let pointer = try #require(
      stride(from: UInt32(0xF0000), to: 0x100000, by: 16).first {
        machine.memory.peek($0, count: 8) == Array("RSD PTR ".utf8)
      })
    let memory = Found { machine.memory.peek($0, count: $1) }
    let tables = try memory.tables(pointer)
    let map = ranges(machine)
    for (a, b) in zip(map, map.dropFirst()) { #expect(a.start + a.count <= b.start) }
    for (name, address) in tables {
      let end = UInt64(address) + UInt64(memory.table(address).count)
      let range = try #require(map.first { $0.start <= address && address < $0.start + $0.count })
      #expect(range.type == (name == "FACS" ? 4 : 3) && end <= range.start + range.count, "\(name)")
    }
    let top = UInt64(megabytes == 4096 ? 3072 : megabytes) << 20
    #expect(map.contains { $0.type == 4 && $0.start + $0.count == top })
    let usable = try #require(map.first { $0.start == 0x100000 })
    #expect(usable.type == 1 && usable.start + usable.count + 0x10000 == top)
    // The registers are where the tables say.
    machine.ports.write(0xCF8, 0x8000_0B40, width: 4)
    #expect(machine.ports.read(0xCFC, width: 4) == 0x601)
    #expect(machine.ports.read(0x4D1, width: 1) & 0x02 != 0)
    machine.ports.write(0xCF8, 0x8000_0B3C, width: 4)
    #expect(machine.ports.read(0xCFC, width: 1) == 9)
  }

  @Test func withoutACPITheMapIsWhatItWas() throws {
    let machine = try Machine(
      .small(booting: ACPIMachineTests.memoryMap) {
        $0.memoryMegabytes = 64
        $0.acpi = .off
      })
    #expect(machine.run(untilInstruction: 2_000_000_000) == .guestExit(17))
    #expect(ranges(machine).map(\.type) == [1, 2, 2, 1, 2])
    #expect(ranges(machine)[3].count == 63 << 20)
    #expect(machine.board.first(PIIX4PM.self) == nil && machine.ports.owner(of: 0xB2) == "piix3")
  }

  @Test func machinesSinceTheP6HaveIt() throws {
    for (name, has) in [("486", false), ("pentium", false), ("pentium2", true), ("pentium4", true)]
    {
      let machine = try Machine(.small { $0.cpu = try #require(CPUModel.named(name)) })
      #expect((machine.board.first(PIIX4PM.self) != nil) == has, "\(name)")
    }
    #expect { try Machine(.small { ($0.board, $0.acpi) = ("isa", .first) }) } throws: {
      "\($0)".contains("no power management")
    }
  }

  /// Gives the guest the control, lets it be told of the button, and waits for that: PMSTS bit 8; then it turns the machine off.
  private static let listener: [UInt8] = [
    0xB0, 0xF1, 0xE6, 0xB2,  // mov al, F1h / out B2h, al
    0xBA, 0x02, 0x06, 0xB8, 0x00, 0x01, 0xEF,  // mov dx, 602h / mov ax, 100h / out dx, ax
    0xBA, 0x00, 0x06,  // mov dx, 600h
    0xED, 0xF6, 0xC4, 0x01, 0x74, 0xFA,  // in ax, dx / test ah, 1 / jz -6
    0xBA, 0x04, 0x06, 0xB8, 0x01, 0x20, 0xEF,  // mov dx, 604h / mov ax, 2001h / out dx, ax
    0xEB, 0xFE,
  ]

  @Test func theButtonReachesAGuestWhichTurnsTheMachineOff() throws {
    let machine = try Machine(.small(booting: ACPIMachineTests.listener))
    #expect(machine.run(untilInstruction: 500_000_000) == .instructionLimit)
    #expect(machine.tellsOfPowerButton)
    machine.input.post(.powerButton)
    #expect(machine.run(untilInstruction: 600_000_000) == .powerOff)
  }

  @Test func theButtonOfAMachineWithoutSuchAGuestTurnsItOff() throws {
    for board in ["isa", "pc"] {
      let machine = try Machine(.small(booting: [0xEB, 0xFE]) { $0.board = board })
      #expect(machine.run(untilInstruction: 500_000_000) == .instructionLimit)
      #expect(!machine.tellsOfPowerButton)
      machine.input.post(.powerButton)
      #expect(machine.run(untilInstruction: 600_000_000) == .powerOff)
    }
  }

  @Test func aStateKnowsWhetherThereIsACPI() throws {
    let bytes = try Machine(.small()).saveState()
    let other = try Machine(.small { $0.acpi = .off })
    #expect { try other.restoreState(bytes) } throws: { "\($0)".contains("acpi") }
    let same = try Machine(.small())
    try same.restoreState(bytes)
    #expect(same.saveState() == bytes)
  }
}
