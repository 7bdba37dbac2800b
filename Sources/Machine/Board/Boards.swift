// The boards there are, and all kinds of parts.
//
// Owns: the descriptions, and the list of what can be on a board. Must not know: how anything works.
//
// A new device is one line in the list and, where every machine of a kind has it, one line of a board.

import Bus
import CPU
import Chipset
import Video

extension PartCatalogue {
  /// All kinds of parts.
  public static let all = PartCatalogue([
    PIC8259Pair.part, PIT8254.part, SystemPortB.part, CMOS.part, CMOSUpperBank.part,
    DMA8237Pair.part, KeyboardController8042.part, SystemPortA.part, Typist.part, LocalAPIC.part,
    IOAPIC.part, UART16550.part,
    LPT.part, FloppyController.part, FloppyDriveType.part, IDEChannel.part, ATADisk.part,
    ATAPIDrive.part,
    ProcessorSocket.part, VGA.part, VGA.standardPart, VGA.cirrusPart, CoprocessorPort.part,
    ISAPnPBus.part, PnPSerialCard.part,
    ResetControl.part, DebugConsole.part, PowerPort.part, PollWatch.part,
    FirmwareConfiguration.part, KernelLoader.part, DebugExit.part, TestDevice.part,
    I440FX.part, PIIX3.part, PIIXIDE.part, PIIX4PM.part, Flash.part,
  ])
}

extension BoardDescription {
  /// What a machine is built on.
  public static let boards: [String: String] = ["isa": isa, "pc": pc]

  /// The first line of each.
  static let firstProcessor = "processor,id=cpu0\n"

  /// A PC/AT with what 386, 486 and Pentium boards added to it.
  ///
  /// IRQ 0 timer, 1 keyboard, 3 COM2 and COM4, 4 COM1 and COM3, 6 floppy, 7 LPT1, 8 clock, 12 mouse, 13 coprocessor, 14 and 15 IDE.
  /// IBM PC/AT Technical Reference; PS/2 Technical Reference (IRQ 12, port 92h).
  private static let isa =
    base + """

      vga-std                                  if display-std
      cirrus                                   if display-cirrus
      poll-watch                               if !display-none
      """

  /// What both boards have; what shows pictures comes behind the bus it is on.
  private static let base =
    firstProcessor + """
      pic
      pit
      port61
      cmos
      dma
      i8042
      port92
      typist
      local-apic,kind=pentium                  if apic !p6
      local-apic,kind=p6                       if apic p6 !xapic
      local-apic,kind=pentium4                 if apic xapic
      io-apic                                  if apic ioapic
      uart,id=com1,port=3F8,irq=4
      uart,id=com2,port=2F8,irq=3              if com2
      uart,id=com3,port=3E8,irq=4              if com3
      uart,id=com4,port=2E8,irq=3              if com4
      lpt,id=lpt1,port=378,irq=7
      fdc
      floppy-drive,id=floppy0
      floppy-drive,id=floppy1
      ide,id=ide0,port=1F0,control=3F6,irq=14
      disk-drive,id=disk0,on=ide0,unit=0
      disk-drive,id=disk1,on=ide0,unit=1
      cd-drive,id=cd0,on=ide0,unit=0
      cd-drive,id=cd1,on=ide0,unit=1
      ide,id=ide1,port=170,control=376,irq=15
      disk-drive,id=disk2,on=ide1,unit=0
      disk-drive,id=disk3,on=ide1,unit=1
      cd-drive,id=cd2,on=ide1,unit=0
      cd-drive,id=cd3,on=ide1,unit=1
      coprocessor
      reset-control
      debug-console,id=port-e9,port=E9
      debug-console,id=port-402,port=402
      power
      flash                                    if flash
      fw-cfg                                   if fw-cfg
      kernel-loader                            if kernel
      isapnp
      """

  /// A PC with PCI: 82441FX and 82371SB beside all that the older board has, with ACPI also the 82371AB's power management (IRQ 9). Slot 0
  /// host bridge, slot 1 ISA bridge, IDE, power management, from 2 on adapters; interrupt pins as `PCIBus` has them. The display adapter is
  /// in slot 2.
  private static let pc =
    base + """

      cmos-upper
      i440fx
      piix3                                    if acpi
      piix3,apm=yes                            if !acpi
      piix-ide                                 if !large-firmware
      piix-ide,decode=yes                      if large-firmware
      piix4-pm                                 if acpi
      vga-std                                  if display-std
      cirrus                                   if display-cirrus
      poll-watch                               if !display-none
      """
}

extension MachineConfiguration {
  /// What the machine is built on.
  /// - Throws: `ConfigurationError`, one clear line.
  func boardDescription() throws -> BoardDescription {
    do {
      if let boardText { return try BoardDescription(name: boardName, text: boardText) }
      guard let text = BoardDescription.boards[boardName] else {
        let known = BoardDescription.boards.keys.sorted().joined(separator: ", ")
        throw ConfigurationError("there is no board '\(boardName)' (there are: \(known))")
      }
      let most = MachineConfiguration.mostProcessors(of: cpu)
      guard (1...most).contains(processorCount) else {
        throw ConfigurationError("1 to \(most) processors of model \(cpu.name) are possible")
      }
      let further = (1..<processorCount).map { "processor,id=cpu\($0)\n" }.joined()
      // Further ones follow the first.
      let first = BoardDescription.firstProcessor
      let rest = text.dropFirst(first.count)
      return try BoardDescription(
        name: boardName, text: further.isEmpty ? text : first + further + rest)
    } catch let error as BoardError {
      throw ConfigurationError(error.reason)
    }
  }

  /// The models of a board's processors, the one that starts first.
  func processors(_ description: BoardDescription) throws -> [CPUModel] {
    let sockets = description.options(of: ProcessorSocket.part.name)
    guard (1...PhysicalMemory.mostProcessors).contains(sockets.count) else {
      throw ConfigurationError(
        "board \(description.name): 1 to \(PhysicalMemory.mostProcessors) processors are possible")
    }
    do {
      return try sockets.map { options in
        let name = try ProcessorSocket.part.values(options)["model"]
        guard let model = name.isEmpty ? cpu : CPUModel.named(name) else {
          throw ConfigurationError("board \(description.name): there is no processor '\(name)'")
        }
        return model
      }
    } catch let error as BoardError {
      throw ConfigurationError(error.reason)
    }
  }

  /// Puts on a board what its description has, and what else was chosen.
  /// - Throws: `ConfigurationError`, one clear line.
  func build(_ board: Board, _ description: BoardDescription, _ processor: CPUModel) throws {
    do {
      if let acpi, acpi != .off, !hasACPI(description) {
        throw ConfigurationError(
          "ACPI: board \(description.name) has no power management (\(PIIX4PM.part.name)); board pc has"
        )
      }
      try description.build(board, .all, facts: facts(description, processor))
      reservePorts(board, description)
      if let exitPort {
        try PartCatalogue.all.add("debug-exit,port=\(String(exitPort, radix: 16))", to: board)
      }
      if testDevice { try PartCatalogue.all.add("test-device", to: board) }
      for part in parts {
        if let reason = takenPlace(part, on: board) { throw ConfigurationError(reason) }
        let count = board.sockets(.processor).count
        let added = try PartCatalogue.all.add(part, to: board)
        if board.sockets(.processor).count > count {
          throw BoardError("\(added.name): only a board's description has processors")
        }
        board.noteAddition(added.name, added.options)
      }
    } catch let error as BoardError {
      throw ConfigurationError(error.reason)
    }
  }

  /// Keeps free what a BIOS gives to PCI functions by their configuration space: the own one puts power management where its ACPI tables say
  /// (SeaBIOS has the same place), and the windows of functions from C000h on.
  private func reservePorts(_ board: Board, _ description: BoardDescription) {
    if hasACPI(description) {
      board.reserve(0x600...0x63F, for: PIIX4PM.part.name)
    }
    if board.offered(PCIBus.self) != nil { board.reserve(0xC000...0xCFFF, for: "pci") }
  }

  /// Why a drive cannot be added at its place of a cable, with who is there; nil: it can, or is no such drive. All boards have the places;
  /// drives come with images.
  private func takenPlace(_ part: String, on board: Board) -> String? {
    let (name, options) =
      part.firstIndex(of: ",").map {
        (String(part[..<$0]), String(part[part.index(after: $0)...]))
      } ?? (part, "")
    guard let type = [ATAPIDrive.part, ATADisk.part].first(where: { $0.name == name }),
      let values = try? type.values(options)
    else { return nil }
    let (cable, unit) = (values["on"], values.number("unit"))
    func index(_ kind: Socket.Kind) -> Int? {
      board.sockets(kind).firstIndex { $0.controller == cable && $0.unit == unit }
    }
    let place = "\(cable) unit \(unit)"
    if let n = index(.disk), disks.indices.contains(n), let disk = disks[n] {
      return "\(name): at \(place) is the hard disk \(disk.name)"
    }
    guard let n = index(.cd) else { return nil }
    guard cds.indices.contains(n), let drive = cds[n] else {
      let letter = ["hda", "hdb", "hdc", "hdd"]
      let at = letter.indices.contains(n) ? letter[n] : ""
      return
        "\(name): the board has the place at \(place), and nothing is in it: --cdrom FILE --cdrom-at \(at) puts a CD drive there, "
        + "--\(at) FILE a hard disk"
    }
    if case .disc(let image) = drive {
      return "\(name): at \(place) is the CD drive with \(image.name)"
    }
    return "\(name): at \(place) is an empty CD drive"
  }

  /// What boards ask about.
  private func facts(_ description: BoardDescription, _ processor: CPUModel) -> Set<String> {
    var facts: Set<String> = []
    if processor.features.contains(.apic) { facts.insert("apic") }
    if processor.features.contains(.p6) { facts.insert("p6") }
    if processor.features.contains(.sse2) { facts.insert("xapic") }
    // The P6 family's boards could have one; with several processors interrupts need one.
    if processorCount > 1 || boardName == "pc" && processor.features.contains(.p6) {
      facts.insert("ioapic")
    }
    facts.insert("display-\(display.rawValue)")
    for n in 2...4 where serialPorts >= n { facts.insert("com\(n)") }
    if kernel != nil { facts.insert("kernel") }
    if flash != nil { facts.insert("flash") }
    if hasLargeFirmware { facts.insert("large-firmware") }
    // Multiboot kernels made for emulators ask it for the number of processors.
    if bios != nil || kernel != nil || !firmwareFiles.isEmpty { facts.insert("fw-cfg") }
    // Its tables go that way.
    if hasACPI(description) { facts.formUnion(["acpi", "fw-cfg"]) }
    return facts
  }

  /// How much of the end of RAM below 4 GiB the BIOS may take for them.
  func sizeOfACPITables(_ description: BoardDescription) -> UInt32 {
    hasACPI(description) && memoryLayout.low >= 0x30_0000 ? 0x1_0000 : 0
  }

  /// Whether the machine has ACPI on a board.
  private func hasACPI(_ description: BoardDescription) -> Bool {
    acpiRevision != .off
      && !description.options(of: PIIX4PM.part.name, facts: ["acpi"]).isEmpty
  }
}

/// Where a processor sits. It is no device: the machine makes the processors before anything else.
enum ProcessorSocket {
  static let part = PartType(
    "processor", "processor; all but the first wait until they are started", isMultiple: true,
    options: [PartOption("model", .text, "", "as --cpu has it; nothing: the machine's")]
  ) { board, values in
    let unit = board.sockets(.processor).count
    try board.add(Socket(.processor, name: try values.identity(on: board), unit: unit))
  }
}
