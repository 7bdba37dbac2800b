// The 8042 keyboard and auxiliary device controller (IBM PS/2 Technical Reference, Keyboard/Auxiliary Device Controller).
//
// Owns: command byte and RAM, output and input buffers, the serial lines to keyboard and mouse with their delays in virtual time, set 2
// translation, IRQ 1 and 12, the A20 gate, the reset pulse. Must not know: keys, the processor.
//
//   60h  read: output buffer    write: data for the keyboard, or the argument of a command
//   64h  read: status: 0 OBF, 1 IBF, 2 SYS, 3 last write was a command, 4 not locked, 5 OBF is from the mouse, 6 timeout, 7 parity
//        write: 20-3F/60-7F RAM  A4 A7 A8 A9 AA AB AD AE  C0  D0 D1 D2 D3 D4  DD DF A20  E0  F0-FF pulse (bit 0 low: reset)
//   RAM 0 (command byte): 0 IRQ 1, 1 IRQ 12, 2 SYS, 4 keyboard off, 5 mouse off, 6 translate

import Bus
import State

/// The controller with its keyboard and mouse.
public final class KeyboardController8042: Device, Registers {
  public let stateName = "i8042"
  /// 2: the mouse's changes of buttons in order, its horizontal wheel.
  public var stateVersion: UInt16 { 2 }

  /// Offsets: 0 the data, 1 status and commands.
  public static let part = PartType(
    "i8042", "keyboard and mouse controller with an AT keyboard and a PS/2 mouse"
  ) { board, _ in
    let controller = KeyboardController8042(
      clock: board.clock, irq1: try board.interrupt(1, for: "i8042"),
      irq12: try board.interrupt(12, for: "i8042"),
      gate: try board.need(offer: A20Gate.self, for: "i8042"),
      request: { [request = board.request] in request(.reset($0)) })
    try board.claim(controller, at: 0x60...0x60, owner: controller.stateName)
    try board.claim(controller, at: 0x64...0x64, offset: 1, owner: controller.stateName)
    try board.add(controller)
  }

  /// The keyboard; the host presses its keys.
  public let keyboard: PS2Keyboard
  /// The mouse.
  public let mouse: PS2Mouse

  private enum Line: UInt8 {
    case idle, fromKeyboard, fromMouse, toKeyboard, toMouse
  }

  /// Eleven bits at 12.5 kHz.
  private static let byteTime: UInt64 = 880_000

  private let clock: VirtualClock
  private let irq1: Signal
  private let irq12: Signal
  private let gate: A20Gate
  private let request: (ResetRequest) -> Void
  private var serial: EventID!

  private var ram = [UInt8](repeating: 0, count: 32)
  private var output: UInt8 = 0
  private var outputFull = false
  private var outputIsAux = false
  /// Answers of the controller itself that wait for the output buffer; bit 8 marks the auxiliary side.
  private var replies: [UInt16] = []
  /// The command on port 64h whose argument comes next, or 0.
  private var command: UInt8 = 0
  private var lastWriteWasCommand = false
  /// A byte waiting for a line, and whether it is for the mouse.
  private var input: (byte: UInt8, isAux: Bool)?
  private var line = Line.idle
  private var sending: UInt8 = 0
  /// Translation has swallowed an F0h.
  private var breakNext = false

  /// - Parameters:
  ///   - irq1: IRQ 1, high while a byte of the keyboard waits.
  ///   - irq12: IRQ 12, high while a byte of the mouse waits.
  ///   - gate: The A20 gate, shared with port 92h.
  ///   - request: Asked to reset the processor.
  public init(
    clock: VirtualClock, irq1: Signal, irq12: Signal, gate: A20Gate,
    request: @escaping (ResetRequest) -> Void
  ) {
    self.clock = clock
    self.irq1 = irq1
    self.irq12 = irq12
    self.gate = gate
    self.request = request
    keyboard = PS2Keyboard(clock: clock)
    mouse = PS2Mouse(clock: clock)
    ram[0] = KeyboardController8042.initialCommandByte
    serial = clock.register("i8042.serial") { [unowned self] in byteDone() }
    keyboard.onData = { [unowned self] in kick() }
    mouse.onData = { [unowned self] in kick() }
  }

  /// Translation and IRQ 1 on, mouse off, SYS clear (the controller was not tested yet).
  private static let initialCommandByte: UInt8 = 0x61

  private var keyboardOn: Bool { ram[0] & 0x10 == 0 }
  /// Whether scan codes come as interrupts: the keyboard is switched on, sends keys, and its bit of the command byte is set.
  public var interruptsForKeys: Bool { keyboardOn && ram[0] & 0x01 != 0 && keyboard.isScanning }
  private var mouseOn: Bool { ram[0] & 0x20 == 0 }

  // MARK: Lines

  /// Starts the next byte on an idle line. Devices are held off while the output buffer is full.
  private func kick() {
    guard line == .idle else { return }
    if let waiting = input {
      input = nil
      sending = waiting.byte
      line = waiting.isAux ? .toMouse : .toKeyboard
    } else if outputFull || !replies.isEmpty {
      return
    } else if keyboardOn && keyboard.hasData {
      line = .fromKeyboard
    } else if mouseOn && mouse.hasData {
      line = .fromMouse
    } else {
      return
    }
    clock.schedule(serial, after: KeyboardController8042.byteTime)
  }

  private func byteDone() {
    let done = line
    line = .idle
    switch done {
    case .idle: break
    case .toKeyboard: keyboard.receive(sending)
    case .toMouse: mouse.receive(sending)
    case .fromKeyboard:
      // A line that was switched off meanwhile, or a buffer that filled, makes the device send again later.
      if keyboardOn && !outputFull, let byte = keyboard.takeByte() { fromKeyboard(byte) }
    case .fromMouse:
      if mouseOn && !outputFull, let byte = mouse.takeByte() { fill(byte, isAux: true) }
    }
    kick()
  }

  private func fromKeyboard(_ byte: UInt8) {
    if ram[0] & 0x40 == 0 {
      breakNext = false
      fill(byte, isAux: false)
    } else if byte == 0xF0 {
      breakNext = true
    } else {
      fill(ScanCodeTranslation.translate(byte) | (breakNext ? 0x80 : 0), isAux: false)
      breakNext = false
    }
  }

  private func fill(_ byte: UInt8, isAux: Bool) {
    output = byte
    outputIsAux = isAux
    outputFull = true
    updateIRQ()
  }

  private func reply(_ byte: UInt8, isAux: Bool = false) {
    if !outputFull && replies.isEmpty {
      fill(byte, isAux: isAux)
    } else if replies.count < 16 {
      replies.append(UInt16(byte) | (isAux ? 0x100 : 0))
    }
  }

  private func updateIRQ() {
    irq1.set(outputFull && !outputIsAux && ram[0] & 1 != 0)
    irq12.set(outputFull && outputIsAux && ram[0] & 2 != 0)
  }

  // MARK: Ports

  /// What port 64h reads as.
  private var status: UInt8 {
    var status: UInt8 = 0x10
    if outputFull { status |= outputIsAux ? 0x21 : 0x01 }
    if input != nil { status |= 0x02 }
    if ram[0] & 0x04 != 0 { status |= 0x04 }
    if lastWriteWasCommand { status |= 0x08 }
    return status
  }

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    if offset != 0 { return UInt32(status) }
    let value = output
    if outputFull {
      outputFull = false
      updateIRQ()
      if !replies.isEmpty {
        let next = replies.removeFirst()
        fill(UInt8(next & 0xFF), isAux: next & 0x100 != 0)
      }
      kick()
    }
    return UInt32(value)
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    let byte = UInt8(truncatingIfNeeded: value)
    if offset != 0 {
      lastWriteWasCommand = true
      execute(byte)
    } else {
      lastWriteWasCommand = false
      writeData(byte)
    }
    kick()
  }

  private func execute(_ byte: UInt8) {
    command = 0
    switch byte {
    case 0x20...0x3F: reply(ram[Int(byte & 0x1F)])
    case 0x60...0x7F, 0xD1...0xD4: command = byte
    case 0xA4: reply(0xF1)
    case 0xA7: setCommandByte(ram[0] | 0x20)
    case 0xA8: setCommandByte(ram[0] & ~0x20)
    case 0xA9, 0xAB: reply(0x00)
    case 0xAA:
      setCommandByte(ram[0] | 0x04)
      reply(0x55)
    case 0xAD: setCommandByte(ram[0] | 0x10)
    case 0xAE: setCommandByte(ram[0] & ~0x10)
    case 0xC0: reply(0xB0)
    case 0xD0: reply(outputPort)
    case 0xDD: setA20(false)
    case 0xDF: setA20(true)
    case 0xE0: reply((keyboardOn ? 1 : 0) | (mouseOn ? 2 : 0))
    case 0xF0...0xFF: if byte & 1 == 0 { request(.processor) }
    default: break
    }
  }

  private func writeData(_ byte: UInt8) {
    let pending = command
    command = 0
    switch pending {
    case 0x60: setCommandByte(byte)
    case 0x61...0x7F: ram[Int(pending & 0x1F)] = byte
    case 0xD1:
      setA20(byte & 2 != 0)
      if byte & 1 == 0 { request(.processor) }
    case 0xD2: reply(byte)
    case 0xD3: reply(byte, isAux: true)
    case 0xD4:
      // Sending opens the line.
      setCommandByte(ram[0] & ~0x20)
      input = (byte, true)
    default:
      setCommandByte(ram[0] & ~0x10)
      input = (byte, false)
    }
  }

  private var outputPort: UInt8 {
    var value: UInt8 = 0xC1
    if gate.isOpen { value |= 0x02 }
    if outputFull { value |= outputIsAux ? 0x20 : 0x10 }
    return value
  }

  private func setCommandByte(_ value: UInt8) {
    ram[0] = value
    updateIRQ()
  }

  private func setA20(_ level: Bool) {
    gate.set(level)
  }

  public func reset(_ kind: ResetKind) {
    clock.cancel(serial)
    ram = [UInt8](repeating: 0, count: 32)
    ram[0] = KeyboardController8042.initialCommandByte
    output = 0
    outputFull = false
    outputIsAux = false
    replies = []
    command = 0
    lastWriteWasCommand = false
    input = nil
    line = .idle
    breakNext = false
    keyboard.reset()
    mouse.reset()
    setA20(true)
    updateIRQ()
  }

  // MARK: State

  public func save(to writer: inout StateWriter) {
    writer.write(bytes: ram)
    writer.write(output)
    writer.write(outputFull)
    writer.write(outputIsAux)
    writer.write(array: replies)
    writer.write(command)
    writer.write(lastWriteWasCommand)
    writer.write(gate.isOpen)
    writer.write(input != nil)
    writer.write(input?.byte ?? 0)
    writer.write(input?.isAux ?? false)
    writer.write(line.rawValue)
    writer.write(sending)
    writer.write(breakNext)
    writer.write(irq1.level)
    writer.write(irq12.level)
    keyboard.save(to: &writer)
    mouse.save(to: &writer)
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    ram = try reader.readBytes(count: 32)
    output = try reader.read()
    outputFull = try reader.readBool()
    outputIsAux = try reader.readBool()
    replies = try reader.readArray()
    if replies.count > 16 { throw reader.error("too many controller replies") }
    command = try reader.read()
    lastWriteWasCommand = try reader.readBool()
    let a20 = try reader.readBool()
    let waits = try reader.readBool()
    let byte = try reader.read(UInt8.self)
    let isAux = try reader.readBool()
    input = waits ? (byte, isAux) : nil
    guard let restoredLine = Line(rawValue: try reader.read()) else {
      throw reader.error("an unknown state of the serial line")
    }
    line = restoredLine
    sending = try reader.read()
    breakNext = try reader.readBool()
    irq1.restore(level: try reader.readBool())
    irq12.restore(level: try reader.readBool())
    try keyboard.restore(from: &reader)
    try mouse.restore(from: &reader, version: version)
    gate.restore(a20)
  }
}

extension KeyboardController8042 {
  public func inspect() -> [Field] {
    [
      .register("command byte", ram[0]), .register("status", status),
      .register("output port", outputPort), .flag("A20", gate.isOpen),
      .flag("output full", outputFull), .flag("output from mouse", outputFull && outputIsAux),
      .register("output buffer", output),
      .bytes("waiting answers", replies.map { UInt8(truncatingIfNeeded: $0) }),
      .flag("input full", input != nil), .register("input buffer", input?.byte ?? 0),
      .flag("input for mouse", input?.isAux ?? false), .register("awaits argument of", command),
      .text("line", "\(line)"), .flag("IRQ 1", irq1.level), .flag("IRQ 12", irq12.level),
      .flag("IRQ 1 enabled", ram[0] & 1 != 0), .flag("IRQ 12 enabled", ram[0] & 2 != 0),
      .flag("keyboard enabled", keyboardOn), .flag("mouse enabled", mouseOn),
      .flag("translates", ram[0] & 0x40 != 0), .bytes("RAM", ram),
      .group("keyboard", keyboard.inspect()), .group("mouse", mouse.inspect()),
    ]
  }
}
