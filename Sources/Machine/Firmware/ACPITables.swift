// What a guest with ACPI reads about the machine.
//
// Owns: the tables, and which fields of them hold addresses and sums. Must not know: where firmware puts them (ACPILoader tells it what to
// do), what any method does: the definition block is compiled from Firmware/ACPI, and gets its header and the machine's facts here.
// Follows: ACPI specification 1.0b, 5.2 (RSDP, RSDT, FADT, FACS, MADT, processors 15.2.3.3); for revision 2 ACPI specification 3.0, 5.2
// (XSDT, FADT of 244 bytes).

import Bus
import Chipset
import FirmwareImages

/// What a machine tells of itself by ACPI.
public enum ACPIRevision: String, Sendable, CaseIterable {
  /// No tables, and nothing on the board that they would tell of.
  case off
  /// As specification 1.0 has them: RSDT, FADT of revision 1. What systems of the nineties read, and all later ones too.
  case first = "1"
  /// XSDT and a FADT of revision 3 beside them.
  case second = "2"
}

/// What the tables say of a machine.
struct ACPIFacts: Equatable {
  var revision = ACPIRevision.first
  /// Where RAM below 4 GiB ends.
  var topOfMemory: UInt32 = 0
  /// Where the registers of the power management function are.
  var registers = ACPITables.usualRegisters
  /// Where UARTs are: COM1 to COM4.
  var serial = [false, false, false, false]
  var hasPrinter = false
  var hasFloppyController = false
  var floppyDrives = [false, false]
  /// Their local APICs have the same numbers.
  var processors = 1
  var hasIOAPIC = false

  /// The bits that the definition block (isa.asl) asks for.
  var bits: UInt32 {
    let flags = serial + [hasPrinter, hasFloppyController] + floppyDrives + [hasIOAPIC]
    return flags.enumerated().reduce(0) { $0 | ($1.element ? 1 << UInt32($1.offset) : 0) }
  }
}

extension ACPIFacts {
  init(_ configuration: MachineConfiguration, _ board: Board, processors: Int) {
    revision = configuration.acpiRevision
    topOfMemory = UInt32(truncatingIfNeeded: configuration.memoryLayout.low)
    if let base = board.first(PIIX4PM.self)?.base { registers = UInt32(base) }
    let uarts = Set(board.all(UART16550.self).map(\.stateName))
    serial = [0x3F8, 0x2F8, 0x3E8, 0x2E8].map { port in
      board.ports.owner(of: port).map { uarts.contains($0) } ?? false
    }
    hasPrinter = board.all(LPT.self).contains { $0.stateName == board.ports.owner(of: 0x378) }
    if let controller = board.first(FloppyController.self) {
      hasFloppyController = true
      floppyDrives = (0..<2).map { controller.driveType($0) != .none }
    }
    self.processors = processors
    hasIOAPIC = board.first(IOAPIC.self) != nil
  }
}

/// The tables as files with the commands that link them.
struct ACPITables {
  /// Names of the files. FACS, which systems and firmware share, is apart: it is no memory that a system may reuse.
  enum File {
    static let tables = "etc/acpi/tables"
    static let facs = "etc/acpi/facs"
    static let pointer = "etc/acpi/rsdp"
    static let commands = "etc/table-loader"
  }

  /// Where firmware puts the registers of the power management function: the own one and SeaBIOS agree. Where another does, it has
  /// done so before it asks for the tables.
  static let usualRegisters: UInt32 = 0x600
  /// The register by which a machine is reset, and what is written there.
  private static let reset: (port: UInt64, value: UInt8) = (0xCF9, 0x06)
  private static let localAPIC: UInt32 = 0xFEE0_0000

  private(set) var bytes: [UInt8] = []
  private(set) var loader = ACPILoader()
  private(set) var pointer: [UInt8] = []
  let facs: [UInt8]
  private let facts: ACPIFacts

  init(_ facts: ACPIFacts) {
    self.facts = facts
    let isSecond = facts.revision == .second
    var facs = ACPIBytes()
    facs.text("FACS", 4)
    facs.put(UInt32(64))
    facs.fill(24)
    facs.put(UInt8(isSecond ? 1 : 0))
    facs.fill(31)
    self.facs = facs.bytes
    loader.allocate(File.facs, align: 64, below1MiB: false)
    loader.allocate(File.tables, align: 64, below1MiB: false)
    loader.allocate(File.pointer, align: 16, below1MiB: true)

    let (block, scope) = (definitionBlock, processorScope)
    let dsdt = add("DSDT", revision: 1) { $0.bytes += block }
    var listed = [addFADT(dsdt)]
    listed.append(add("SSDT", revision: 1) { $0.bytes += scope })
    // Boards without an I/O APIC have no such table, and systems take one for a sign that there is.
    if facts.hasIOAPIC || facts.processors > 1 { listed.append(addMADT()) }
    let rsdt = addList("RSDT", of: listed, width: 4)
    let xsdt = isSecond ? addList("XSDT", of: listed, width: 8) : nil
    addPointer(rsdt, xsdt)
  }

  /// Of the firmware's configuration device.
  var files: [FirmwareItems.File] {
    [
      .init(File.tables, bytes), .init(File.facs, facs), .init(File.pointer, pointer),
      .init(File.commands, loader.bytes),
    ]
  }

  // MARK: The tables

  /// Adds a table with its header.
  /// - Returns: where it begins.
  private mutating func add(
    _ signature: String, revision: UInt8, _ make: (inout ACPIBytes) -> Void
  ) -> Int {
    while bytes.count % 16 != 0 { bytes.append(0) }
    let start = bytes.count
    var table = ACPIBytes()
    table.text(signature, 4)
    table.put(UInt32(0))
    table.put(revision)
    table.put(UInt8(0))
    table.text("APUS", 6)
    table.text("APUSPC", 8)
    table.put(UInt32(1))
    table.text("APUS", 4)
    table.put(UInt32(1))
    make(&table)
    table.set(UInt32(table.bytes.count), at: 4)
    bytes += table.bytes
    loader.sum(File.tables, at: start + 9, of: start..<bytes.count)
    return start
  }

  /// A field of the last table is the address of another.
  private mutating func point(_ field: Int, width: UInt8 = 4, to offset: Int, of file: String) {
    for n in 0..<4 { bytes[field + n] = UInt8(truncatingIfNeeded: offset >> (8 * n)) }
    loader.point(File.tables, at: field, width: width, to: file)
  }

  /// The compiled block without its header, with the machine's facts in the place of the values that its source has.
  private var definitionBlock: [UInt8] {
    var body = Array(FirmwareImages.dsdt.dropFirst(36))
    ACPITables.replace(&body, "FACT", facts.bits)
    ACPITables.replace(&body, "TOPM", facts.topOfMemory)
    ACPITables.moveRegisters(&body, to: facts.registers)
    return body
  }

  /// Writes over the number that a `Name` of the block has: NameOp, the name, DWordPrefix, four bytes.
  private static func replace(_ body: inout [UInt8], _ name: String, _ value: UInt32) {
    let pattern = [0x08] + Array(name.utf8) + [0x0C]
    let last = body.count - pattern.count - 4
    guard last >= 0,
      let at = (0...last).first(where: { body[$0..<$0 + pattern.count].elementsEqual(pattern) })
    else { preconditionFailure("the definition block has no number named \(name)") }
    body.replaceSubrange(
      at + pattern.count..<at + pattern.count + 4, with: FirmwareItems.bytes(value))
  }

  /// The ports of power management where they are reserved: an I/O port descriptor (ACPI 1.0b, 6.4.2.5) with 16 decoded bits.
  private static func moveRegisters(_ body: inout [UInt8], to registers: UInt32) {
    func descriptor(_ port: UInt32) -> [UInt8] {
      let bytes = Array(FirmwareItems.bytes(UInt16(truncatingIfNeeded: port)))
      return [0x47, 0x01] + bytes + bytes + [0x01, 0x40]
    }
    let usual = descriptor(usualRegisters)
    guard registers != usualRegisters, body.count >= usual.count else { return }
    for at in 0...body.count - usual.count
    where body[at..<at + usual.count].elementsEqual(usual) {
      body.replaceSubrange(at..<at + usual.count, with: descriptor(registers))
    }
  }

  /// `Scope (\_PR) { Processor (CPU0, 0, 0, 0) {} ... }`: no processor sleeps deeper than by HLT.
  private var processorScope: [UInt8] {
    let digits = Array("0123456789ABCDEF".utf8)
    var processors: [UInt8] = []
    for n in 0..<min(facts.processors, 16) {
      let name = Array("CPU".utf8) + [digits[n]]
      processors += [0x5B, 0x83] + ACPITables.package(name + [UInt8(n), 0, 0, 0, 0, 0])
    }
    return [0x10] + ACPITables.package([0x5C] + Array("_PR_".utf8) + processors)
  }

  /// Bytes behind their length as AML has it, which counts itself.
  static func package(_ content: [UInt8]) -> [UInt8] {
    if content.count + 1 < 0x40 { return [UInt8(content.count + 1)] + content }
    let length = content.count + 2
    precondition(length < 0x1000)
    return [0x40 | UInt8(length & 0x0F), UInt8(length >> 4)] + content
  }

  private mutating func addFADT(_ dsdt: Int) -> Int {
    let (isSecond, hasIOAPIC) = (facts.revision == .second, facts.hasIOAPIC)
    let base = facts.registers
    let start = add("FACP", revision: isSecond ? 3 : 1) { t in
      t.put(UInt32(0))  // 36 FACS
      t.put(UInt32(0))  // 40 DSDT
      t.put(UInt8(isSecond || !hasIOAPIC ? 0 : 1))  // 44 interrupts: AT's, or several APICs
      t.put(UInt8(0))  // 45 no kind of machine is preferred
      t.put(UInt16(PIIX4PM.interrupt))  // 46
      t.put(UInt32(0xB2))  // 48 SMI command port
      t.put(PIIX4PM.acpiEnable)
      t.put(PIIX4PM.acpiDisable)
      t.put(UInt8(0))  // 54 no S4BIOS
      t.put(UInt8(0))
      for block in [base, 0, base + 4, 0, 0, base + 8, base + 12, 0] { t.put(block) }  // 56
      for length in [4, 2, 0, 4, 4, 0, 0, 0] as [UInt8] { t.put(length) }  // 88
      t.put(UInt16(0x0FFF))  // 96 there is no C2
      t.put(UInt16(0x0FFF))  // and no C3
      t.put(UInt16(0))  // 100 WBINVD does what flushing would
      t.put(UInt16(0))
      t.put(UInt8(0))  // 104 no duty cycle
      t.put(UInt8(0))
      t.put(UInt8(0))  // 106 no alarm by day
      t.put(UInt8(0))  // by month
      t.put(UInt8(0x32))  // the century in CMOS
      // In the first revision reserved; then: what an AT has is there, the 8042 too.
      t.put(UInt16(isSecond ? 0x0003 : 0))
      t.put(UInt8(0))
      // WBINVD works, C1 is there, no sleep button; a power button is, and the clock's alarm. Later: the reset register.
      t.put(UInt32(0x0000_0025 | (isSecond ? 1 << 10 : 0)))
      if !isSecond { return }
      func port(_ address: UInt64, _ bits: UInt8) {
        for byte in [1, bits, 0, 0] { t.put(byte) }
        t.put(address)
      }
      port(ACPITables.reset.port, 8)  // 116
      t.put(ACPITables.reset.value)
      t.fill(3)
      t.put(UInt64(0))  // 132 FACS is below 4 GiB
      t.put(UInt64(0))  // 140 DSDT
      port(UInt64(base), 32)
      t.fill(12)
      port(UInt64(base) + 4, 16)
      t.fill(12)
      t.fill(12)
      port(UInt64(base) + 8, 32)
      port(UInt64(base) + 12, 32)
      t.fill(12)
    }
    point(start + 36, to: 0, of: File.facs)
    point(start + 40, to: dsdt, of: File.tables)
    if isSecond { point(start + 140, width: 8, to: dsdt, of: File.tables) }
    return start
  }

  /// Processors, the I/O APIC, and where IRQs are not at the input of their number or not what the ISA bus has.
  private mutating func addMADT() -> Int {
    let facts = facts
    return add("APIC", revision: 1) { t in
      t.put(ACPITables.localAPIC)
      t.put(UInt32(1))  // two 8259A are there, too
      for n in 0..<facts.processors {
        for byte in [0, 8, n, n] { t.put(UInt8(truncatingIfNeeded: byte)) }
        t.put(UInt32(1))  // usable
      }
      if facts.hasIOAPIC {
        for byte in [1, 12, facts.processors, 0] { t.put(UInt8(truncatingIfNeeded: byte)) }
        t.put(IOAPIC.baseAddress)
        t.put(UInt32(0))  // its first input is interrupt 0
        // The timer is at input 2, as the bus has it; the system control interrupt is level-triggered and active high.
        for (irq, input, flags) in [(0, 2, 0x0000), (PIIX4PM.interrupt, PIIX4PM.interrupt, 0x000D)]
        {
          for byte in [2, 10, 0, irq] { t.put(UInt8(truncatingIfNeeded: byte)) }
          t.put(UInt32(input))
          t.put(UInt16(flags))
        }
      }
      // NMI is at LINT1 of every processor.
      for byte in [4, 6, 0xFF, 0, 0, 1] { t.put(UInt8(byte)) }
    }
  }

  /// The table of tables, with addresses of 4 or 8 bytes.
  private mutating func addList(_ signature: String, of tables: [Int], width: Int) -> Int {
    let start = add(signature, revision: 1) { $0.fill(width * tables.count) }
    for (n, table) in tables.enumerated() {
      point(start + 36 + n * width, width: UInt8(width), to: table, of: File.tables)
    }
    return start
  }

  /// What systems look for.
  private mutating func addPointer(_ rsdt: Int, _ xsdt: Int?) {
    var p = ACPIBytes()
    p.text("RSD PTR ", 8)
    p.put(UInt8(0))
    p.text("APUS", 6)
    p.put(UInt8(xsdt == nil ? 0 : 2))
    p.put(UInt32(rsdt))
    loader.point(File.pointer, at: 16, width: 4, to: File.tables)
    if let xsdt {
      p.put(UInt32(36))
      p.put(UInt64(xsdt))
      p.fill(4)
      loader.point(File.pointer, at: 24, width: 8, to: File.tables)
    }
    pointer = p.bytes
    loader.sum(File.pointer, at: 8, of: 0..<20)
    if xsdt != nil { loader.sum(File.pointer, at: 32, of: 0..<36) }
  }
}

/// Bytes of a table.
struct ACPIBytes {
  var bytes: [UInt8] = []
  mutating func put<T: FixedWidthInteger>(_ value: T) { bytes += FirmwareItems.bytes(value) }
  mutating func fill(_ count: Int) { bytes += [UInt8](repeating: 0, count: count) }
  /// A text in a field of a size, blanks behind it.
  mutating func text(_ text: String, _ size: Int) {
    let characters = Array(text.utf8.prefix(size))
    bytes += characters + [UInt8](repeating: 0x20, count: size - characters.count)
  }
  mutating func set(_ value: UInt32, at offset: Int) {
    bytes.replaceSubrange(offset..<offset + 4, with: FirmwareItems.bytes(value))
  }
}
