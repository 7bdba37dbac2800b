// Boards, the parts on them, and parts that are added.

import Bus
import CPU
import Chipset
import State
import Storage
import TestSupport
import Testing

@testable import Machine

@Suite struct BoardTests {
  private func machine(_ change: (inout MachineConfiguration) -> Void = { _ in }) throws -> Machine
  {
    try Machine(
      .small {
        $0.exitPort = nil
        change(&$0)
      })
  }

  private func refusal(_ parts: String...) -> String? {
    do {
      _ = try machine { $0.parts = parts }
      return nil
    } catch { return "\(error)" }
  }

  /// In virtual 8086 mode the BIOS waits by accesses to a slow port and says so; without that they are the guest's work.
  @Test func waitingBySlowAccessesIsNoWork() throws {
    let machine = try machine()
    let ports = machine.ports
    func ask() -> UInt32 { ports.read(0x8902, width: 1) }
    // The first sees what POST left.
    _ = ask()
    for _ in 0..<31 { #expect(ask() == 0) }
    #expect(ask() == 1)
    for _ in 0..<1000 { _ = ports.read(0x80, width: 1) }
    #expect(ports.read(0x8903, width: 1) == 0)
    #expect(ask() == 1)
    for _ in 0..<2 { _ = ports.read(0x80, width: 1) }
    #expect(ask() == 0)
    // It owns the counter that its clock looks at.
    withExtendedLifetime(machine) {}
  }

  @Test func everyPartOfEveryBoardIsKnownAndShowsItself() throws {
    for (name, text) in BoardDescription.boards {
      let board = try BoardDescription(name: name, text: text)
      for entry in board.entries {
        let part = String(entry.part.prefix { $0 != "," })
        #expect(PartCatalogue.all[part] != nil, "\(part)")
      }
    }
    let machine = try machine()
    #expect(machine.board.devices.map(\.stateName).first == "pic")
    // Only what has no state shows nothing.
    for device in machine.board.devices {
      #expect(!device.inspect().isEmpty, "\(device.stateName)")
    }
  }

  /// Wherever a function's ports are put, configuration space and the reset register stay: 82441FX and 82371SB claim them themselves.
  @Test func noBaseAddressHidesTheBridgesRegisters() throws {
    let machine = try machine { $0.board = "pc" }
    func set(_ register: UInt32, _ value: UInt32) {
      machine.ports.write(0xCF8, 0x8000_0900 | register, width: 4)
      machine.ports.write(0xCFC, value, width: 4)
    }
    set(0x20, 0xCF1)
    set(0x04, 5)
    #expect(machine.ports.owner(of: 0xCF0) == "piix-ide")
    #expect(machine.ports.owner(of: 0xCF8) == "i440fx")
    #expect(machine.ports.owner(of: 0xCF9) == "reset-control")
    #expect(machine.ports.owner(of: 0xCFC) == "i440fx")
    set(0x20, 0xC001)
    #expect(machine.ports.owner(of: 0xC00F) == "piix-ide")
  }

  @Test func theStandardValueOfEveryOptionIsOfItsKind() {
    for type in PartCatalogue.all.types {
      for option in type.allOptions where !option.standard.isEmpty {
        #expect(throws: Never.self) { try type.values("\(option.name)=\(option.standard)") }
      }
    }
  }

  @Test func aDeviceThatIsAddedAnswersAndIsPartOfStates() throws {
    let plain = try machine()
    #expect(plain.ports.owner(of: 0x3E8) == nil)
    let more = try machine { $0.parts = ["uart,id=com3,port=3E8,irq=5", "lpt"] }
    #expect(more.ports.owner(of: 0x3EF) == "com3")
    #expect(more.ports.owner(of: 0x278) == "lpt")
    #expect(more.serial.count == 3)
    // Its scratch register remembers.
    more.ports.write(0x3EF, 0x5A, width: 1)
    #expect(more.ports.read(0x3EF, width: 1) == 0x5A)
    let state = more.saveState()
    let again = try machine { $0.parts = ["uart,id=com3,port=3E8,irq=5", "lpt"] }
    try again.restoreState(state)
    #expect(again.stateHash() == more.stateHash())
    #expect(again.ports.read(0x3EF, width: 1) == 0x5A)
    #expect { try machine().restoreState(state) } throws: {
      "\($0)".contains("saved with serial ports 3, but this machine has 2")
    }
    #expect { try machine { $0.parts = ["lpt"] }.restoreState(machine().saveState()) } throws: {
      "\($0)".contains("saved without device 1, but this machine has lpt")
    }
    #expect {
      try machine { $0.parts = ["uart,id=com3,port=3E8,irq=9", "lpt"] }.restoreState(state)
    } throws: { "\($0)".contains("irq=5") }
  }

  @Test func statesKnowHowLongDisksTake() throws {
    let slow = try machine { $0.diskLatency = 5_000_000 }.saveState()
    try machine { $0.diskLatency = 5_000_000 }.restoreState(slow)
    #expect { try machine().restoreState(slow) } throws: {
      "\($0)".contains(
        "saved with disk latency 5ms, but this machine has 1ms (--disk-latency)")
    }
    #expect { try machine { $0.diskLatency = 0 }.restoreState(machine().saveState()) } throws: {
      "\($0)".contains("saved with disk latency 1ms, but this machine has 0 (--disk-latency)")
    }
  }

  @Test func whatDiffersIsNamedByItsOptionWithBothValues() throws {
    func difference(
      _ saved: (inout MachineConfiguration) -> Void, _ own: (inout MachineConfiguration) -> Void
    ) throws -> String {
      let state = try machine(saved).saveState()
      do {
        try machine(own).restoreState(state)
        return ""
      } catch { return "\(error)" }
    }
    #expect(
      try difference({ $0.board = "pc" }, { $0.board = "isa" }).contains(
        "saved with board pc, but this machine has isa (--board)"))
    #expect(
      try difference({ $0.board = "isa" }, { $0.board = "pc" }).contains(
        "saved with board isa, but this machine has pc (--board)"))
    #expect(
      try difference(
        { $0.firmwareFiles = [FirmwareFile(name: "opt/x", bytes: [1, 2])] },
        { $0.firmwareFiles = [FirmwareFile(name: "opt/x", bytes: [1])] }
      ).contains("the file 'opt/x' for firmware 2 bytes"))
    let gone = try difference(
      { $0.firmwareFiles = [FirmwareFile(name: "opt/x", bytes: [1, 2])] }, { _ in })
    #expect(gone.contains("which this machine has not (--fw-cfg)"), "\(gone)")
    #expect(
      try difference({ $0.cds[2] = .empty }, { $0.cds[3] = .empty }).contains(
        "saved with CD drives: secondary master, but this machine has secondary slave (--cdrom, --cdrom-at)"
      ))
    #expect(
      try difference({ _ in }, { $0.cds[2] = .empty }).contains(
        "saved without CD drives, but this machine has secondary master (--cdrom, --cdrom-at)"))
    #expect(
      try difference({ $0.display = .cirrus }, { $0.display = .std }).contains(
        "saved with display adapter cirrus, but this machine has std (--vga, --vram)"))
    #expect(
      try difference(
        { ($0.board, $0.cpu, $0.acpi) = ("pc", .pentium2, .first) },
        { ($0.board, $0.cpu, $0.acpi) = ("pc", .pentium2, .off) }
      ).contains("saved with ACPI 1, but this machine has off (--acpi)"))
  }

  @Test func processorsDifferByTheirNumber() throws {
    func machine(_ count: Int) throws -> Machine {
      try self.machine {
        ($0.board, $0.cpu, $0.processorCount) = ("pc", .pentium2, count)
      }
    }
    #expect { try machine(2).restoreState(machine(1).saveState()) } throws: {
      "\($0)".contains("saved with processors 1, but this machine has 2 (--processors)")
    }
  }

  /// What a BIOS gives to PCI functions is nobody else's: power management at 600h, windows from C000h on.
  @Test func portsOfFunctionsAreKept() throws {
    func refusal(_ port: UInt16, _ board: String) -> String {
      do {
        _ = try machine { ($0.board, $0.cpu, $0.exitPort) = (board, .pentium2, port) }
        return ""
      } catch { return "\(error)" }
    }
    #expect(refusal(0x600, "pc") == "port 0600h belongs to 'piix4-pm' and cannot be the exit port")
    #expect(refusal(0x63F, "pc").contains("piix4-pm") && refusal(0x640, "pc").isEmpty)
    #expect(refusal(0xC000, "pc").contains("pci"))
    #expect(refusal(0x600, "isa").isEmpty && refusal(0xC000, "isa").isEmpty)
    // The last of its four ports gives way.
    #expect(refusal(0x5FE, "pc").isEmpty)
  }

  @Test func whatCannotBeAddedIsRefusedInWords() {
    #expect(refusal("floppy") == "there is no device 'floppy' (apus devices lists them)")
    #expect(refusal("uart,port=3F8")?.contains("port 03F8h belongs to 'com1'") == true)
    #expect(refusal("uart,irq=16")?.contains("irq=16 is none of 0 to 15") == true)
    #expect(refusal("uart,port=xyz")?.contains("is no port number") == true)
    #expect(refusal("uart,port=FFFA")?.contains("do not fit") == true)
    #expect(refusal("uart,speed=9")?.contains("uart has no option 'speed'") == true)
    #expect(refusal("uart,irq=3,irq=4")?.contains("given twice") == true)
    #expect(refusal("uart,irq")?.contains("option=value") == true)
    #expect(refusal("uart,id=com1,port=200")?.contains("there is a 'com1' already") == true)
    #expect(refusal("pit")?.contains("at most one") == true)
  }

  @Test func aBoardThatThereIsNotIsRefused() {
    #expect {
      try machine { $0.board = "eisa" }
    } throws: { "\($0)" == "there is no board 'eisa' (there are: isa, pc)" }
  }

  /// A PC with one 360 KB drive, one disk as slave of the second channel, and no second serial port.
  private static let small = """
    processor,model=486
    pic
    pit
    port61
    cmos
    dma
    i8042
    port92
    typist
    uart,id=com1,port=3F8,irq=4
    lpt,id=lpt1,port=378,irq=7
    fdc
    floppy-drive,id=floppy0,type=360K
    ide,id=ide1,port=170,control=376,irq=15
    disk-drive,id=disk0,on=ide1,unit=1
    vga
    """

  @Test func aBoardSaysWhatCanBePutIntoIt() throws {
    let machine = try machine {
      $0.boardText = BoardTests.small
      $0.disks = [
        MachineImage(
          name: "hard",
          device: MemoryImage(bytes: [UInt8](repeating: 0, count: 1 << 20), name: "hard"),
          medium: .disk(
            physical: DiskGeometry.standard(sectorCount: 2048),
            translated: DiskGeometry.standard(sectorCount: 2048)))
      ]
    }
    #expect(machine.cpu.model.name == "486")
    #expect(machine.board.sockets(.serial).map(\.name) == ["com1"])
    #expect(machine.floppyDrives.map(\.type) == [.fiveInch360])
    #expect(machine.channels.count == 1)
    #expect(machine.channels[0].drive(0) == nil)
    #expect(machine.channels[0].drive(1) is ATADisk)
    // CMOS 10h: drive A 360 KB, no B.
    #expect(machine.cmos[0x10] == 0x10)
    let again = try self.machine { $0.boardText = BoardTests.small }
    #expect { try again.restoreState(machine.saveState()) } throws: {
      "\($0)".contains("saved with 'hard' in hard disk 1")
    }
    #expect {
      try self.machine {
        $0.boardText = BoardTests.small
        $0.floppies[1] = MachineImage(
          floppy: [UInt8](repeating: 0, count: 1_474_560), name: "second")
      }
    } throws: { "\($0)" == "second: the board has 1 floppy drives" }
    #expect {
      try self.machine().restoreState(again.saveState())
    } throws: { "\($0)".contains("saved with") }
  }

  @Test func socketsThatCannotBeAreRefused() throws {
    #expect(refusal("disk-drive,on=ide2")?.contains("there is no IDE channel 'ide2'") == true)
    #expect(refusal("disk-drive,on=ide0")?.contains("the board has the place") == true)
    #expect {
      try machine {
        $0.cds[2] = .empty
        $0.parts = ["cd-drive,on=ide1,unit=0"]
      }
    } throws: { "\($0)" == "cd-drive: at ide1 unit 0 is an empty CD drive" }
    #expect(refusal("floppy-drive")?.contains("two drives already") == true)
    #expect(refusal("processor")?.contains("only a board's description") == true)
    #expect {
      try machine { $0.boardText = "pic" }
    } throws: { "\($0)".contains("1 to 64 processors") }
    // A further channel with a disk.
    let more = try machine { $0.parts = ["ide,id=ide2", "disk-drive,id=disk4,on=ide2"] }
    #expect(more.board.sockets(.disk).map(\.name) == ["disk0", "disk1", "disk2", "disk3", "disk4"])
  }

  @Test func descriptionsAreReadAndConditionsHold() throws {
    let text = """
      # remark
      a,x=1   if one !two   # another
      b
      """
    let board = try BoardDescription(name: "test", text: text)
    #expect(board.entries.map(\.part) == ["a,x=1", "b"])
    #expect(board.entries.map(\.conditions) == [["one", "!two"], []])
    #expect(board.entries.map(\.line) == [2, 3])
    #expect { try BoardDescription(name: "test", text: "a one") } throws: {
      "\($0)".contains("board test, line 1")
    }
  }

  /// A made-up device, from its own file's point of view.
  private final class Counter: Device, Registers {
    let stateName: String
    private let irq: Signal
    private var value: UInt8 = 0
    init(name: String, irq: Signal) { (stateName, self.irq) = (name, irq) }

    func read(at offset: UInt32, width: Int) -> UInt32 { offset == 0 ? UInt32(value) : 0x55 }
    func write(at offset: UInt32, _ new: UInt32, width: Int) {
      value &+= UInt8(truncatingIfNeeded: new)
      irq.set(value & 0x80 != 0)
    }
    func reset(_ kind: ResetKind) {
      value = 0
      irq.set(false)
    }
    func save(to writer: inout StateWriter) { writer.write(value) }
    func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
      value = try reader.read()
      irq.restore(level: value & 0x80 != 0)
    }
    func inspect() -> [Field] { [.register("value", value)] }

    static let part = PartType(
      "counter", "adds up", isMultiple: true,
      options: [
        PartOption("port", .port, "300", "the first of two ports"),
        PartOption("irq", .interrupt, "5", "high from 80h on"),
      ]
    ) { board, values in
      let name = try values.identity(on: board)
      let counter = Counter(name: name, irq: try board.interrupt(values.number("irq"), for: name))
      try board.claim(
        counter, at: values.port("port")...values.port("port") + 1, owner: name)
      try board.add(counter)
    }
  }

  @Test func aNewDeviceIsItsOwnFileAndALine() throws {
    let machine = try machine()
    let catalogue = PartCatalogue(PartCatalogue.all.types + [Counter.part])
    let text = "counter\ncounter,port=302,irq=5\n"
    try BoardDescription(name: "test", text: text).build(machine.board, catalogue, facts: [])
    #expect(machine.board.all(Counter.self).map(\.stateName) == ["counter", "counter2"])
    machine.ports.write(0x300, 0x80, width: 1)
    machine.ports.write(0x303, 0x81, width: 1)
    #expect(machine.ports.read(0x300, width: 2) == 0x5580)
    #expect(machine.ports.read(0x302, width: 1) == 0x81)
    // Two drivers on one wire.
    #expect(machine.pic.irq(5).level)
    machine.ports.write(0x300, 0x80, width: 1)
    #expect(machine.pic.irq(5).level)
    machine.ports.write(0x302, 0x7F, width: 1)
    #expect(!machine.pic.irq(5).level)
    // A reset takes a request back, a state has it again.
    machine.ports.write(0x300, 0x80, width: 1)
    #expect(machine.pic.irq(5).level)
    let state = machine.saveState()
    machine.reset(.system)
    #expect(!machine.pic.irq(5).level)
    let again = try self.machine()
    try BoardDescription(name: "test", text: text).build(again.board, catalogue, facts: [])
    try again.restoreState(state)
    #expect(again.pic.irq(5).level)
    again.ports.write(0x300, 0x80, width: 1)
    #expect(!again.pic.irq(5).level)
  }
}
