// The boards there are, and all kinds of parts.
//
// Owns: the descriptions, and the list of what can be on a board. Must not know: how anything works.
//
// A new device is one line in the list and, where every machine of a kind has it, one line of a board.

import Bus
import Chipset
import Video

extension PartCatalogue {
  /// All kinds of parts.
  public static let all = PartCatalogue([
    PIC8259Pair.part, PIT8254.part, SystemPortB.part, CMOS.part, DMA8237Pair.part,
    KeyboardController8042.part, SystemPortA.part, Typist.part, LocalAPIC.part, UART16550.part,
    LPT.part, FloppyController.part, IDEChannel.part, VGA.part, CoprocessorPort.part,
    ResetControl.part, DebugConsole.part, PowerPort.part, PollWatch.part,
    FirmwareConfigurationPort.part, KernelLoader.part, DebugExit.part, TestDevice.part,
  ])
}

extension BoardDescription {
  /// What a machine is built on.
  public static let boards: [String: String] = ["isa": isa]

  /// A PC/AT with what 386, 486 and Pentium boards added to it.
  ///
  /// IRQ 0 timer, 1 keyboard, 3 COM2 and COM4, 4 COM1 and COM3, 6 floppy, 7 LPT1, 8 clock, 12 mouse, 13 coprocessor, 14 and 15 IDE.
  /// IBM PC/AT Technical Reference; PS/2 Technical Reference (IRQ 12, port 92h).
  private static let isa = """
    pic
    pit
    port61
    cmos
    dma
    i8042
    port92
    typist
    local-apic,p6=no                         if apic !p6
    local-apic,p6=yes                        if apic p6
    uart,id=com1,port=3F8,irq=4
    uart,id=com2,port=2F8,irq=3              if com2
    uart,id=com3,port=3E8,irq=4              if com3
    uart,id=com4,port=2E8,irq=3              if com4
    lpt,id=lpt1,port=378,irq=7
    fdc
    ide,id=ide0,port=1F0,control=3F6,irq=14
    ide,id=ide1,port=170,control=376,irq=15
    vga
    coprocessor
    reset-control
    debug-console,id=port-e9,port=E9
    debug-console,id=port-402,port=402
    power
    poll-watch
    fw-cfg                                   if fw-cfg
    kernel-loader                            if kernel
    """
}

extension MachineConfiguration {
  /// Puts on a board what its description has, and what else was chosen.
  /// - Throws: `ConfigurationError`, one clear line.
  func build(_ board: Board) throws {
    guard let text = BoardDescription.boards[self.board] else {
      let known = BoardDescription.boards.keys.sorted().joined(separator: ", ")
      throw ConfigurationError("there is no board '\(self.board)' (there are: \(known))")
    }
    do {
      try BoardDescription(name: self.board, text: text).build(board, .all, facts: facts(board))
      if let exitPort {
        try PartCatalogue.all.add("debug-exit,port=\(String(exitPort, radix: 16))", to: board)
      }
      if testDevice { try PartCatalogue.all.add("test-device", to: board) }
      for part in parts {
        let added = try PartCatalogue.all.add(part, to: board)
        board.noteAddition(added.name, added.options)
      }
    } catch let error as BoardError {
      throw ConfigurationError(error.reason)
    }
  }

  /// What boards ask about.
  private func facts(_ board: Board) -> Set<String> {
    var facts: Set<String> = []
    if cpu.features.contains(.apic) { facts.insert("apic") }
    if cpu.features.contains(.p6) { facts.insert("p6") }
    for n in 2...4 where serialPorts >= n { facts.insert("com\(n)") }
    if kernel != nil { facts.insert("kernel") }
    if board.offered(FirmwareConfigurationPort.self) != nil { facts.insert("fw-cfg") }
    return facts
  }
}
