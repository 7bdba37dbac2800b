// A serial port: 8250, 16450 or 16550A (National Semiconductor PC16550D data sheet, TL/C/8652).
//
// Owns: registers, FIFOs, interrupt priority, timing at the programmed rate in virtual time, a queue for what the back end sends. Must
// not know: what the line is connected to.
//
//   0  RBR/THR, or DLL with DLAB      4  MCR: 0 DTR 1 RTS 2 OUT1 3 OUT2 (lets the interrupt out) 4 loop
//   1  IER, or DLM with DLAB          5  LSR: 0 DR 1 OE 2 PE 3 FE 4 BI 5 THRE 6 TEMT 7 error in FIFO
//   2  IIR / FCR                      6  MSR: 0 DCTS 1 DDSR 2 TERI 3 DDCD 4 CTS 5 DSR 6 RI 7 DCD
//   3  LCR                            7  SCR

import Bus
import State

/// A serial port.
public final class UART16550: Device, Registers {
  /// Which chip it is.
  public enum Model: UInt8, Sendable {
    /// No scratch register, no FIFOs.
    case i8250
    /// No FIFOs.
    case i16450
    case i16550A
  }

  /// The input lines of the modem.
  public struct ModemLines: Equatable, Sendable {
    public var clearToSend: Bool
    public var dataSetReady: Bool
    public var ring: Bool
    public var carrier: Bool

    public init(
      clearToSend: Bool = true, dataSetReady: Bool = true, ring: Bool = false, carrier: Bool = true
    ) {
      self.clearToSend = clearToSend
      self.dataSetReady = dataSetReady
      self.ring = ring
      self.carrier = carrier
    }

    fileprivate var bits: UInt8 {
      (clearToSend ? 0x10 : 0) | (dataSetReady ? 0x20 : 0) | (ring ? 0x40 : 0)
        | (carrier ? 0x80 : 0)
    }
  }

  public let stateName: String
  /// Takes each byte when its last bit has left (5 to 8 bits wide, as the guest chose).
  public var transmit: (UInt8) -> Void = { _ in }
  /// Told when the guest starts or stops sending a break.
  public var breakChanged: ((Bool) -> Void)?
  /// Told of DTR and RTS.
  public var outputsChanged: ((_ dtr: Bool, _ rts: Bool) -> Void)?
  /// Whether bytes of the back end are lost (with OE) when the guest does not fetch them, as on a line without handshake. By default
  /// they wait.
  public var losesInput = false

  /// At most this many bytes of the back end wait.
  public static let inputCapacity = 4096

  private let clock: VirtualClock
  private let irq: Signal
  private let model: Model
  private let pace: Pace
  private var sent: EventID!
  private var arrived: EventID!
  private var timedOut: EventID!

  private var ier: UInt8 = 0
  private var fcr: UInt8 = 0
  private var lcr: UInt8 = 0
  private var mcr: UInt8 = 0
  private var scratch: UInt8 = 0
  /// The last character read, which RBR keeps showing.
  private var held: UInt8 = 0
  private var divisor: UInt16 = 12
  /// LSR bits 1-4.
  private var errors: UInt8 = 0
  /// MSR bits 0-3.
  private var deltas: UInt8 = 0
  private var modem = ModemLines()
  /// Received bytes; bits 8-15 hold the LSR bits that come with each.
  private var receiver: [UInt16] = []
  private var transmitter: [UInt8] = []
  private var shifting = false
  private var shifter: UInt8 = 0
  private var emptied = false
  private var timeout = false
  /// When the receiver FIFO was last touched.
  private var lastActivity: UInt64 = 0
  /// What the back end sent and has not arrived yet, coded as in `receiver`.
  private var input: [UInt16] = []
  private var inputHead = 0

  /// - Parameters:
  ///   - name: Unique in the machine, such as "com1".
  ///   - irq: IRQ 4 or 3; a driver of a `Line` where two ports share one.
  ///   - pace: how long what the guest sends is on the line.
  public init(
    name: String, clock: VirtualClock, irq: Signal, model: Model = .i16550A, pace: Pace = .line
  ) {
    stateName = name
    self.pace = pace
    self.clock = clock
    self.irq = irq
    self.model = model
    sent = clock.register("\(name).sent") { [unowned self] in shifted() }
    arrived = clock.register("\(name).arrived") { [unowned self] in arrive() }
    timedOut = clock.register("\(name).timeout") { [unowned self] in
      if fifo && !receiver.isEmpty {
        timeout = true
        update()
      }
    }
  }

  // MARK: Back end

  private var inputCount: Int { input.count - inputHead }

  /// Whether `receive` takes another byte.
  public var canReceive: Bool { inputCount < UART16550.inputCapacity }
  /// How many bytes `receive` still takes.
  public var inputRoom: Int { max(0, UART16550.inputCapacity - inputCount) }

  /// Whether everything the guest wrote has left.
  public var isTransmitterIdle: Bool { transmitter.isEmpty && !shifting }

  /// A byte from the back end; it arrives at the programmed rate after those before it. False if the queue is full.
  @discardableResult public func receive(_ byte: UInt8) -> Bool { enqueue(UInt16(byte)) }

  /// The back end sends a break.
  @discardableResult public func receiveBreak() -> Bool { enqueue(0x1800) }

  private func enqueue(_ item: UInt16) -> Bool {
    guard canReceive else { return false }
    input.append(item)
    expect()
    return true
  }

  /// Sets the modem's lines.
  public func setModem(_ lines: ModemLines) {
    let before = msrLines
    modem = lines
    modemChanged(from: before)
  }

  /// Whether the guest has set the line up. Input that is there before (piped into the emulator) waits for it: at the reset state,
  /// five bits without parity, it would only be garbled.
  private var isLineSet: Bool { lcr & 0x7F != 0 }

  // MARK: Timing

  /// How long a character that the guest sends is on the line.
  public enum Pace: String, CaseIterable, Sendable {
    /// As long as divisor and format say.
    case line
    /// So long, but at most 10 microseconds. A kernel that writes its log to a console of 9,600 bits a second with interrupts off loses
    /// ticks of its clock, and then takes a good TSC for a bad one; what is behind the port takes everything at once anyway.
    case fast

    /// In nanoseconds.
    static let hurry: UInt64 = 10_000

    static let option = PartOption(
      "pace", .choice([Pace.fast, .line].map(\.rawValue)), Pace.fast.rawValue,
      "whether what the guest sends takes its time on the line")

    init(_ values: PartValues) { self = values["pace"] == Pace.line.rawValue ? .line : .fast }
  }

  private var fifo: Bool { fcr & 1 != 0 }
  private var loop: Bool { mcr & 0x10 != 0 }
  private var wordMask: UInt8 { 0xFF >> (3 - (lcr & 3)) }

  /// How long a character takes on the line. A divisor of 0 counts as 65,536.
  private var characterTime: UInt64 {
    var halfBits = 2 * (1 + 5 + UInt64(lcr & 3) + (lcr & 8 != 0 ? 1 : 0))
    halfBits += lcr & 4 == 0 ? 2 : lcr & 3 == 0 ? 3 : 4
    return halfBits * (divisor == 0 ? 65_536 : UInt64(divisor)) * 1_000_000_000 / 230_400
  }

  // MARK: Transmitter

  private func startShifting() {
    guard !shifting, !transmitter.isEmpty else { return }
    shifter = transmitter.removeFirst() & wordMask
    shifting = true
    if transmitter.isEmpty { emptied = true }
    // In the loop the divisor can be measured, and is.
    let isHurried = pace == .fast && !loop
    clock.schedule(sent, after: isHurried ? min(characterTime, Pace.hurry) : characterTime)
  }

  private func shifted() {
    guard shifting else { return }
    shifting = false
    if loop {
      push(UInt16(shifter))
    } else {
      transmit(shifter)
    }
    startShifting()
    update()
  }

  // MARK: Receiver

  private var capacity: Int { fifo ? 16 : 1 }

  /// Lets the next byte of the back end arrive after its time on the line.
  private func expect() {
    guard inputCount > 0, !loop, isLineSet, clock.deadline(of: arrived) == nil else { return }
    if receiver.count >= capacity && !losesInput { return }
    clock.schedule(arrived, after: characterTime)
  }

  private func arrive() {
    guard inputCount > 0, !loop, isLineSet else { return }
    if receiver.count >= capacity && !losesInput { return }
    let item = input[inputHead]
    inputHead += 1
    if inputHead >= 1024 || inputHead == input.count {
      input.removeFirst(inputHead)
      inputHead = 0
    }
    push(item & 0xFF00 | item & UInt16(wordMask))
    expect()
    update()
  }

  private func push(_ item: UInt16) {
    lastActivity = clock.now
    timeout = false
    if receiver.count >= capacity {
      errors |= 0x02
      // Without FIFO the new character replaces the unread one; a full FIFO keeps what it has.
      if !fifo {
        receiver = [item]
        reveal()
      }
      return
    }
    receiver.append(item)
    if receiver.count == 1 { reveal() }
  }

  /// The error bits of the character at the top of the FIFO show in LSR.
  private func reveal() {
    guard let top = receiver.first else { return }
    errors |= UInt8(top >> 8)
    receiver[0] = top & 0xFF
  }

  private func readData() -> UInt8 {
    guard let top = receiver.first else { return held }
    receiver.removeFirst()
    lastActivity = clock.now
    timeout = false
    reveal()
    expect()
    held = UInt8(truncatingIfNeeded: top)
    return held
  }

  // MARK: Modem

  private var msrLines: UInt8 {
    if !loop { return modem.bits }
    return (mcr & 2) << 3 | (mcr & 1) << 5 | (mcr & 4) << 4 | (mcr & 8) << 4
  }

  private func modemChanged(from before: UInt8) {
    let after = msrLines
    let changed = before ^ after
    // RI counts only when it goes away (the trailing edge).
    deltas |= (changed & 0xB0) >> 4 | (changed & before & 0x40) >> 4
    update()
  }

  // MARK: Interrupts

  private var triggerLevel: Int {
    if !fifo { return 1 }
    return [1, 4, 8, 14][Int(fcr >> 6)]
  }

  /// IIR bits 3-0 of the interrupt with the highest priority.
  private var identification: UInt8 {
    if ier & 4 != 0 && errors != 0 { return 0x06 }
    if ier & 1 != 0 && receiver.count >= triggerLevel { return 0x04 }
    if ier & 1 != 0 && timeout { return 0x0C }
    if ier & 2 != 0 && emptied { return 0x02 }
    if ier & 8 != 0 && deltas != 0 { return 0x00 }
    return 0x01
  }

  private func update() {
    irq.set(mcr & 8 != 0 && identification != 1)
    if fifo && ier & 1 != 0 && !receiver.isEmpty && receiver.count < triggerLevel && !timeout {
      let due = lastActivity.addingReportingOverflow(4 * characterTime)
      clock.schedule(timedOut, at: due.overflow ? VirtualClock.never : due.partialValue)
    } else {
      clock.cancel(timedOut)
    }
  }

  // MARK: Ports

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    let dlab = lcr & 0x80 != 0
    var value: UInt8
    switch offset {
    case 0:
      if dlab { return UInt32(divisor & 0xFF) }
      value = readData()
    case 1: return UInt32(dlab ? UInt8(divisor >> 8) : ier)
    case 2:
      value = identification
      if value == 0x02 { emptied = false }
      if fifo { value |= 0xC0 }
    case 3: return UInt32(lcr)
    case 4: return UInt32(mcr)
    case 5:
      value = errors | (receiver.isEmpty ? 0 : 0x01)
      if transmitter.isEmpty { value |= shifting ? 0x20 : 0x60 }
      if fifo && (errors & 0x1C != 0 || receiver.contains { $0 & 0x1C00 != 0 }) { value |= 0x80 }
      errors = 0
    case 6:
      value = msrLines | deltas
      deltas = 0
    default: return UInt32(model == .i8250 ? 0xFF : scratch)
    }
    update()
    return UInt32(value)
  }

  public func write(at offset: UInt32, _ newValue: UInt32, width: Int) {
    let value = UInt8(truncatingIfNeeded: newValue)
    let dlab = lcr & 0x80 != 0
    switch offset {
    case 0:
      if dlab {
        divisor = divisor & 0xFF00 | UInt16(value)
      } else {
        writeData(value)
      }
    case 1:
      if dlab {
        divisor = divisor & 0x00FF | UInt16(value) << 8
      } else {
        let raised = value & ~ier
        ier = value & 0x0F
        // Enabling the interrupt of an empty transmitter requests it.
        if raised & 2 != 0 && transmitter.isEmpty { emptied = true }
      }
    case 2: if model == .i16550A { writeFCR(value) }
    case 3:
      let before = lcr
      lcr = value
      expect()
      if (before ^ value) & 0x40 != 0 {
        if loop {
          if value & 0x40 != 0 { push(0x1800) }
        } else {
          breakChanged?(value & 0x40 != 0)
        }
      }
    case 4: writeMCR(value & 0x1F)
    case 7: scratch = value
    default: break
    }
    update()
  }

  private func writeData(_ value: UInt8) {
    emptied = false
    if transmitter.count >= capacity {
      // An overwritten holding register, or a byte that a full FIFO does not take.
      if !fifo { transmitter = [value] }
    } else {
      transmitter.append(value)
    }
    startShifting()
  }

  private func writeFCR(_ value: UInt8) {
    let toggled = (value ^ fcr) & 1 != 0
    if toggled || value & 3 == 3 {
      receiver = []
      timeout = false
    }
    if toggled || value & 5 == 5 {
      if !transmitter.isEmpty { emptied = true }
      transmitter = []
    }
    // The other bits only count while FIFOs are being enabled.
    fcr = value & 1 != 0 ? value & 0xC9 : 0
    expect()
  }

  private func writeMCR(_ value: UInt8) {
    let before = msrLines
    let old = mcr
    mcr = value
    modemChanged(from: before)
    // In loop mode the pins are inactive.
    func pins(_ bits: UInt8) -> UInt8 { bits & 0x10 != 0 ? 0 : bits & 3 }
    if pins(old) != pins(value) { outputsChanged?(pins(value) & 1 != 0, pins(value) & 2 != 0) }
    if loop { clock.cancel(arrived) } else { expect() }
  }

  public func reset(_ kind: ResetKind) {
    clock.cancel(sent)
    clock.cancel(arrived)
    ier = 0
    fcr = 0
    lcr = 0
    mcr = 0
    errors = 0
    deltas = 0
    divisor = 12
    if kind == .power { scratch = 0 }
    receiver = []
    transmitter = []
    shifting = false
    emptied = false
    timeout = false
    update()
    expect()
  }

  // MARK: State

  public func save(to writer: inout StateWriter) {
    for byte in [ier, fcr, lcr, mcr, scratch, held, errors, deltas, shifter] { writer.write(byte) }
    writer.write(divisor)
    for flag in [
      modem.clearToSend, modem.dataSetReady, modem.ring, modem.carrier, shifting, emptied, timeout,
    ] { writer.write(flag) }
    writer.write(array: receiver)
    writer.write(bytes: transmitter)
    writer.write(lastActivity)
    writer.write(array: Array(input[inputHead...]))
    writer.write(irq.level)
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    ier = try reader.read(in: 0...15)
    fcr = try reader.read()
    lcr = try reader.read()
    mcr = try reader.read(in: 0...0x1F)
    scratch = try reader.read()
    held = try reader.read()
    errors = try reader.read(UInt8.self) & 0x1E
    deltas = try reader.read(in: 0...15)
    shifter = try reader.read()
    divisor = try reader.read()
    modem.clearToSend = try reader.readBool()
    modem.dataSetReady = try reader.readBool()
    modem.ring = try reader.readBool()
    modem.carrier = try reader.readBool()
    shifting = try reader.readBool()
    emptied = try reader.readBool()
    timeout = try reader.readBool()
    receiver = try reader.readArray()
    transmitter = try reader.readBytes()
    if receiver.count > 16 || transmitter.count > 16 { throw reader.error("a FIFO too long") }
    lastActivity = try reader.read()
    input = try reader.readArray()
    inputHead = 0
    if input.count > UART16550.inputCapacity { throw reader.error("an input queue too long") }
    irq.restore(level: try reader.readBool())
  }
}

extension UART16550 {
  public func inspect() -> [Field] {
    [
      .text("model", "\(model)"), .register("ier", ier), .register("iir", identification),
      .register("fcr", fcr), .register("lcr", lcr), .register("mcr", mcr),
      .register("lsr errors", errors), .register("msr", msrLines | deltas),
      .register("scratch", scratch), .count("divisor", divisor),
      .count("baud", divisor == 0 ? 0 : 115_200 / Int(divisor)), .flag("FIFO", fifo),
      .flag("loop", loop), .bytes("receiver", receiver.map { UInt8(truncatingIfNeeded: $0) }),
      .bytes("transmitter", transmitter), .flag("shifting", shifting),
      .count("waiting outside", inputCount), .flag("interrupt", irq.level),
    ]
  }
}

extension UART16550 {
  /// Offsets: the eight registers.
  public static let part = PartType(
    "uart", "16550A serial port", isMultiple: true,
    options: [
      PartOption("port", .port, "3E8", "the first of its eight ports"),
      PartOption("irq", .interrupt, "4", "its interrupt request"),
      Pace.option,
    ]
  ) { board, values in
    let name = try values.identity(on: board)
    let uart = UART16550(
      name: name, clock: board.clock, irq: try board.interrupt(values.number("irq"), for: name),
      pace: Pace(values))
    let base = values.port("port")
    guard base <= 0xFFF8 else {
      throw BoardError("\(name): eight ports do not fit at \(Port(base))")
    }
    try board.claim(uart, at: base...base + 7, owner: name)
    try board.add(uart)
    try board.add(Socket(.serial, name: name, controller: name))
  }
}
