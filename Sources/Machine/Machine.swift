// A PC put together.
//
// Owns: the parts and how they are wired, resets. Must not know: windows, command lines, the host's clock.
// Follows: IBM PC/AT Technical Reference (interrupt and port assignments), PS/2 Technical Reference (IRQ 12, port 92h).
//
//   IRQ 0 timer, 1 keyboard, 3 COM2/COM4, 4 COM1/COM3, 6 floppy, 7 LPT1, 8 clock, 12 mouse, 13 coprocessor, 14 and 15 IDE

import Bus
import CPU
import Chipset
import Host
import State
import Storage
import Translator
import TranslatorX86_64
import Video

/// What the host refused to do with an image.
public struct ImageFailure: Equatable, Sendable {
  /// The image's name.
  public var name: String
  /// One line with the name in it.
  public var reason: String
}

/// A PC. It is used from one thread; other threads reach it through `input` and `frames`.
public final class Machine {
  /// What it was made from.
  public let configuration: MachineConfiguration
  public let clock: VirtualClock
  public let memory: PhysicalMemory
  public let cpu: CPU
  public let ports: PortBus
  public let pic: PIC8259Pair
  /// Present from the Pentium on.
  public let localAPIC: LocalAPIC?
  public let pit: PIT8254
  public let cmos: CMOS
  public let keyboardController: KeyboardController8042
  public let typist: Typist
  public let serial: [UART16550]
  public let printer: LPT
  public let floppyController: FloppyController
  public let channels: [IDEChannel]
  public let vga: VGA
  public let postCodes = PostCodes()
  /// Where other threads leave input.
  public let input = InputQueue()
  /// What was taken from `input`, when `configuration.recordsInput` is set.
  public private(set) var inputLog: [LoggedInput] = []

  /// Takes what the guest sends through a serial port (counted from 0).
  public var serialOutput: (Int, UInt8) -> Void = { _, _ in }
  /// Takes what the guest writes to port E9h or 402h.
  public var debugOutput: (UInt8) -> Void = { _ in }
  /// Told once of each image that the host cannot read or write as the guest wants it. The guest has got an error from the drive.
  public var imageFailed: (ImageFailure) -> Void = { _ in }
  /// The first of such failures of each image.
  public private(set) var imageFailures: [ImageFailure] = []
  /// Called between slices, when output that was gathered should be passed on.
  public var flushOutput: () -> Void = {}
  /// What types and waits for text on its own, or nil.
  public var script: Script? {
    didSet {
      if oldValue !== script { oldValue?.detach() }
      script?.attach(to: self)
    }
  }
  /// How the guest's time follows the host's.
  public var pacer = Pacer()
  /// Called between slices with whether the guest sleeps; a window's pictures are made there.
  public var betweenSlices: (() -> Void)?
  /// Somebody wants to be called again soon: a picture waits for its time, or there is sound.
  var isFollowed = false

  /// Whether `run` looks into `input` and takes what waits there.
  var takesInput = true

  let devices: [any Device]
  let sharedLines: [SharedLine]
  let gate: A20Gate
  let bus: MachineBus
  private let dmaMemory: MachineDMAMemory
  private let floppyDMA: MachineFloppyDMA
  private let shadow: [(address: UInt32, bytes: [UInt8])]
  /// The images in the drives, each behind what can undo its writes.
  var floppyDisks: [MachineDisk?]
  let hardDisks: [MachineDisk?]
  /// All of these, and those taken out that may be needed again, in the order they came.
  var shelf: [MachineDisk] = []
  /// Of what was written to disks that were taken out.
  var ejectedWrites: UInt64 = 0
  /// Files of disks that were taken out are free for others; no where two machines share them.
  var closesEjectedDisks = true
  /// The disk that is being put in, opened but not in the drive yet.
  var preparedDisk: MachineDisk?
  /// Why a recorded change of disks cannot be repeated.
  var mediaFailure: String?
  /// Told what the user should hear of while the machine runs, in one line.
  public var notice: (String) -> Void = { _ in }
  /// Where triple faults have reset the machine, in retired instructions.
  var tripleFaults: [UInt64] = []
  /// What was or will be taken from outside when: of a replay, or of a run whose past can be gone back to.
  var journal: Journal?
  /// Writes the run down.
  public internal(set) var recorder: RecordingWriter?
  /// Of all RAM, once that was asked for.
  var memoryHash: MemoryHash?
  /// Goes back in time, where that was switched on.
  public internal(set) var timeTravel: TimeTravel?
  /// The past is run through again: nobody outside sees or hears it.
  var isMuted = false
  /// How much of the instruction count is idle time.
  var idleInstructions: UInt64 = 0

  /// What a device asked of the run loop while an instruction was under way.
  enum Request: Equatable {
    case reset(ResetRequest)
    case powerOff
    case exit(Int)
  }
  var requests: [Request] = []

  /// The end of the slice that runs now, in retired instructions.
  var sliceEnd: UInt64 = 0

  /// Puts a machine together and turns it on.
  /// - Throws: `ConfigurationError`, `LoadError`, `StorageError` or `HostError`, each with one clear line.
  public init(_ configuration: MachineConfiguration) throws {
    self.configuration = configuration
    guard (1...3072).contains(configuration.memoryMegabytes) else {
      throw ConfigurationError("a machine has 1 to 3072 MB of memory")
    }
    let clock = VirtualClock(instructionsPerSecond: configuration.instructionsPerSecond)
    self.clock = clock
    memory = try PhysicalMemory(ramSize: UInt32(configuration.memoryMegabytes) << 20)
    let ports = PortBus()
    self.ports = ports
    let pic = PIC8259Pair()
    self.pic = pic
    let bus = MachineBus(ports: ports, pic: pic, clock: clock)
    self.bus = bus
    let cpu = try CPU(model: configuration.cpu, memory: memory, bus: bus)
    self.cpu = cpu
    cpu.softwareFPU = configuration.fpu == .software
    bus.place = UnsafeMutableRawPointer(cpu.s).advanced(
      by: MemoryLayout<CPUState>.offset(of: \.place)!
    ).assumingMemoryBound(to: UInt8.self)
    if configuration.engine == .translator {
      try Translator.attach(to: cpu, options: configuration.translatorOptions)
    }
    clock.instructionCount = { [unowned cpu] in cpu.instructionCount }
    clock.instructionCounter = CPU.countInstructions
    clock.instructionCounterContext = UnsafeRawPointer(cpu.s)
    bus.cpu = Unmanaged.passUnretained(cpu)
    bus.rateChanged(processorHertz: configuration.cpu.hertz)
    cpu.setTimeStampRate(
      hertz: configuration.cpu.hertz, instructionsPerSecond: configuration.instructionsPerSecond)

    // Requests end the instruction that makes them; the run loop carries them out.
    let inbox = RequestBox()
    let request: (Request) -> Void = { [unowned cpu] request in
      inbox.machine?.requests.append(request)
      cpu.requestStop()
    }

    let gate = A20Gate()
    self.gate = gate
    localAPIC =
      configuration.cpu.features.contains(.apic)
      ? LocalAPIC(clock: clock, isP6: configuration.cpu.features.contains(.p6)) : nil
    pit = PIT8254(clock: clock, irq: pic.irq(0))
    cmos = CMOS(clock: clock, irq: pic.irq(8), initialTime: configuration.initialTime)
    dmaMemory = MachineDMAMemory(memory)
    let dma = DMA8237Pair(memory: dmaMemory)
    floppyDMA = MachineFloppyDMA(dma)
    keyboardController = KeyboardController8042(
      clock: clock, irq1: pic.irq(1), irq12: pic.irq(12), gate: gate,
      request: { request(.reset($0)) })
    typist = Typist(clock: clock, keyboard: keyboardController.keyboard)
    typist.guestIsFull = { [unowned cpu, unowned memory] in
      // The BIOS keyboard buffer means something only where the BIOS may be running; see the BIOS data area, 40:1Ah and 40:80h.
      if cpu.s.pointee.cr0 & CR0.pe != 0 && cpu.s.pointee.eflags & EFLAGS.vm == 0 { return false }
      let area = memory.peek(0x41A, count: 4) + memory.peek(0x480, count: 4)
      func word(_ n: Int) -> Int { Int(area[n]) | Int(area[n + 1]) << 8 }
      let (head, tail, start, end) = (word(0), word(2), word(4), word(6))
      guard start < end, head >= start, head < end, tail >= start, tail < end else { return false }
      return (tail + 2 == end ? start : tail + 2) == head
    }

    let lines = [SharedLine(pic.irq(4)), SharedLine(pic.irq(3))]
    sharedLines = lines
    serial = (0..<min(max(configuration.serialPorts, 1), 4)).map {
      UART16550(name: "com\($0 + 1)", clock: clock, irq: lines[$0 & 1].input())
    }
    printer = LPT(name: "lpt1", clock: clock, irq: pic.irq(7))

    let floppyTypes = configuration.floppies.enumerated().map { index, image in
      guard let image, case .floppy(let format) = image.medium else {
        return index == 0 ? FloppyDriveType.threeInch1440 : .none
      }
      return FloppyDriveType.suited(to: format)
    }
    floppyController = FloppyController(
      clock: clock, irq: pic.irq(6), dma: floppyDMA, drives: floppyTypes)
    channels = [
      IDEChannel(clock: clock, irq: pic.irq(14), name: "ide0"),
      IDEChannel(
        clock: clock, irq: pic.irq(15), name: "ide1", commandBase: 0x170, controlBase: 0x376),
    ]
    vga = VGA(clock: clock)

    // Firmware.
    let firmware = try FirmwareSetup.map(configuration, memory: memory)
    shadow = firmware.shadow
    memory.mapMMIO(
      MMIORegion(
        start: 0xA0000, length: 0x20000, context: vga.mmioContext, read: VGA.mmioRead,
        write: VGA.mmioWrite, isMemory: true))
    if let localAPIC {
      memory.mapMMIO(
        MMIORegion(
          start: LocalAPIC.baseAddress, length: 0x1000, context: localAPIC.mmioContext,
          read: LocalAPIC.mmioRead, write: LocalAPIC.mmioWrite))
    }
    CMOSContents.fill(cmos, configuration: configuration, floppyTypes: floppyTypes)

    // Ports.
    for range in PIC8259Pair.ports { ports.register(pic, ports: range) }
    ports.register(pit, ports: PIT8254.ports)
    let portB = SystemPortB(pit: pit)
    ports.register(portB, ports: 0x61...0x61)
    ports.register(cmos, ports: CMOS.ports)
    for range in DMA8237Pair.ports { ports.register(dma, ports: range) }
    for range in KeyboardController8042.ports { ports.register(keyboardController, ports: range) }
    let portA = SystemPortA(gate: gate, request: { request(.reset($0)) })
    ports.register(portA, ports: 0x92...0x92)
    for (uart, base) in zip(serial, [UInt16(0x3F8), 0x2F8, 0x3E8, 0x2E8]) {
      ports.register(uart, ports: base...base + 7)
    }
    ports.register(printer, ports: 0x378...0x37A)
    ports.register(floppyController, ports: 0x3F0...0x3F5)
    ports.register(floppyController, ports: 0x3F7...0x3F7)
    for channel in channels {
      let base = channel.commandBase
      // Commands take their own time.
      ports.register(channel, ports: base...base, maxWidth: 4, isSlow: false)
      ports.register(channel, ports: base + 1...base + 7, isSlow: false)
      ports.register(channel, ports: channel.controlBase...channel.controlBase, isSlow: false)
    }
    // A local bus card.
    for range: ClosedRange<UInt16> in [0x3B0...0x3BB, 0x3C0...0x3DF, 0x46E8...0x46E8] {
      ports.register(vga, ports: range, isSlow: false)
    }
    ports.register(bus.coprocessor, ports: CoprocessorPort.ports)
    let resetControl = ResetControl(request: { request(.reset($0)) })
    // Only bytes: a wider access to CF8h means the address register of PCI configuration, which this board lacks.
    ports.register(resetControl, ports: 0xCF9...0xCF9, takesPieces: false)
    let consoles = [DebugConsole(name: "port-e9"), DebugConsole(name: "port-402")]
    // What no PC has takes no time.
    ports.register(consoles[0], ports: 0xE9...0xE9, isSlow: false)
    ports.register(consoles[1], ports: 0x402...0x402, isSlow: false)
    let power = PowerPort { request(.powerOff) }
    ports.register(power, ports: PowerPort.ports, isSlow: false)
    let pollWatch = PollWatch(clock: clock, ports: ports, vga: vga)
    ports.register(pollWatch, ports: PollWatch.ports, isSlow: false)

    var devices: [any Device] = [
      pic, pit, portB, cmos, dma, keyboardController, portA, typist,
    ]
    if let localAPIC { devices.append(localAPIC) }
    devices += serial as [any Device]
    devices += [printer, floppyController, channels[0], channels[1], vga, bus.coprocessor]
    devices += [resetControl, consoles[0], consoles[1], power, pollWatch] as [any Device]
    if let files = firmware.files {
      ports.register(files, ports: 0x510...0x510, maxWidth: 2, isSlow: false)
      ports.register(files, ports: 0x511...0x511, isSlow: false)
      devices.append(files)
    }
    if let kernel = configuration.kernel {
      let loader = try KernelLoader(kernel, memory: memory)
      ports.register(
        loader, ports: KernelLoader.ports.lowerBound...KernelLoader.ports.lowerBound, maxWidth: 4,
        isSlow: false)
      devices.append(loader)
    }
    if let port = configuration.exitPort {
      if let taken = ports.device(at: port) {
        throw ConfigurationError(
          "port \(hexText(UInt64(port))) belongs to '\(taken.stateName)' and cannot be the exit port"
        )
      }
      let exit = DebugExit { request(.exit($0)) }
      let (last, overflow) = port.addingReportingOverflow(3)
      let top = overflow ? UInt16.max : last
      var end = port
      while end < top, ports.device(at: end + 1) == nil { end += 1 }
      ports.register(exit, ports: port...end, maxWidth: 4, isSlow: false)
      devices.append(exit)
    }
    if configuration.testDevice {
      let device = TestDevice()
      ports.register(device, ports: TestDevice.ports, maxWidth: 4, isSlow: false)
      memory.mapMMIO(
        MMIORegion(
          start: TestDevice.memoryStart, length: UInt32(TestDevice.memorySize),
          context: device.mmioContext, read: TestDevice.mmioRead, write: TestDevice.mmioWrite))
      devices.append(device)
    }
    self.devices = devices
    floppyDisks = configuration.floppies.map { $0.map { MachineDisk($0) } }
    hardDisks = configuration.disks.map { $0.map { MachineDisk($0) } }
    shelf = (floppyDisks + hardDisks).compactMap { $0 }

    for disk in (floppyDisks + hardDisks).compactMap({ $0 }) {
      disk.refused = { [unowned self, unowned disk] in note($0, of: disk) }
    }

    // Wires.
    bus.channels = channels
    connectInterrupts()
    gate.output.connect { [unowned cpu] in cpu.a20 = $0 }
    dma.connect(postCodes)
    inbox.machine = self
    vga.directChanged = { [unowned self] direct in
      self.memory.setDirect(page: 0xA0, pages: 16, to: direct ? self.vga.linearMemory : nil)
    }
    clock.deadlineMovedEarlier = { [unowned self] in self.updateDeadline() }
    for (index, uart) in serial.enumerated() {
      uart.transmit = { [unowned self] in
        if !self.isMuted { self.serialOutput(index, $0) }
      }
    }
    for console in consoles {
      console.sink = { [unowned self] in if !self.isMuted { self.debugOutput($0) } }
    }
    try insertMedia()
    loadShadow()
    cpu.a20 = gate.output.level
  }

  func note(_ error: StorageError, of disk: MachineDisk) {
    if isMuted || imageFailures.contains(where: { $0.name == disk.name }) { return }
    let failure = ImageFailure(name: disk.name, reason: error.description)
    imageFailures.append(failure)
    imageFailed(failure)
  }

  /// The 8259A's INTR goes to the processor, or to LINT0 of its local APIC.
  private func connectInterrupts() {
    guard let localAPIC else {
      pic.output.connect { [unowned cpu] in cpu.setINTR($0) }
      return
    }
    bus.localAPIC = localAPIC
    pic.output.connect { [unowned localAPIC] in localAPIC.setLINT(0, $0) }
    localAPIC.output.connect { [unowned cpu] in cpu.setINTR($0) }
    localAPIC.nmi = { [unowned cpu] in cpu.raiseNMI() }
    localAPIC.acknowledgeExternal = { [unowned pic] in pic.acknowledge() }
  }

  /// The level of the processor's INTR.
  var interruptRequest: Bool { localAPIC?.output.level ?? pic.output.level }

  /// Carries requests out of closures that exist before the machine does.
  private final class RequestBox {
    weak var machine: Machine?
  }

  private func insertMedia() throws {
    for (index, image) in configuration.floppies.enumerated() {
      guard let image, let disk = floppyDisks[index] else { continue }
      guard case .floppy(let format) = image.medium else {
        throw ConfigurationError(
          "\(image.name): is a hard disk image and does not go into a floppy drive")
      }
      try floppyController.insert(
        drive: index, medium: FloppyMedium(image: disk, format: format))
    }
    for (index, image) in configuration.disks.enumerated() {
      guard let image, let disk = hardDisks[index] else { continue }
      let geometry: DiskGeometry
      switch image.medium {
      case .disk(let physical, _): geometry = physical
      case .floppy: geometry = DiskGeometry.standard(sectorCount: image.device.sectorCount)
      }
      channels[index / 2].attach(
        drive: index & 1,
        ATADisk(image: disk, geometry: geometry, serial: "AP0000000\(index + 1)"))
    }
  }

  // MARK: Reset

  /// RAM that holds ROM contents when the machine starts.
  private func loadShadow() {
    for (address, bytes) in shadow {
      bytes.withUnsafeBytes { memory.copyIn(address, from: $0) }
    }
  }

  /// A reset as the guest or the host asks for it.
  public func reset(_ kind: ResetRequest) {
    switch kind {
    case .processor:
      cpu.reset()
      localAPIC?.reset(.system)
    case .system:
      for device in devices { device.reset(.system) }
      loadShadow()
      cpu.reset()
    }
    cpu.a20 = gate.output.level
    cpu.setINTR(interruptRequest)
  }

  // MARK: Input

  /// Takes input: from here on it is part of the run.
  func take(_ offered: MachineInput) {
    guard let event = settled(offered) else { return }
    let count = cpu.instructionCount
    if configuration.recordsInput {
      inputLog.append(LoggedInput(instruction: count, input: event))
    }
    journal?.add(event, at: count)
    recorder?.add(event, at: count, check: processorCheck)
    apply(event)
    if let failure = mediaFailure {
      mediaFailure = nil
      notice(failure)
    }
  }

  /// What an input means here and now, so that what is written down says everything; nil: nothing happens, and the user is told.
  private func settled(_ event: MachineInput) -> MachineInput? {
    switch event {
    case .text(let text):
      let typed = TypedText(
        text, codes: takesAltCodes ? configuration.codePage : nil,
        capsLock: keyboardController.keyboard.leds & 4 != 0)
      if let line = typed.complaint { notice(line) }
      return typed.strokes.isEmpty ? nil : .strokes(typed.strokes)
    case .floppy(let drive, let choice):
      do {
        let settled = try prepareFloppy(drive, choice)
        notice(floppyNotice(drive, settled))
        return .floppy(drive: drive, disk: settled)
      } catch {
        notice("\(error)")
        return nil
      }
    default: return event
    }
  }

  /// Whether Alt and digits of the keypad type characters: the BIOS, or what stands in for it, sees the keys.
  private var takesAltCodes: Bool {
    cpu.s.pointee.cr0 & CR0.pe == 0 || cpu.s.pointee.eflags & EFLAGS.vm != 0
  }

  /// Lets the guest have what came from outside, now or in the run that is repeated.
  func apply(_ event: MachineInput) {
    switch event {
    case .key(let usage, let down):
      if let key = KeyUsage.key(usage) { keyboardController.keyboard.key(key, down: down) }
    case .mouse(let dx, let dy, let wheel, let horizontal, let buttons):
      let limit = -32767...32767
      func clamp(_ value: Int) -> Int { min(max(value, limit.lowerBound), limit.upperBound) }
      if dx != 0 || dy != 0 || wheel != 0 || horizontal != 0 {
        keyboardController.mouse.move(
          dx: clamp(dx), dy: clamp(dy), dz: clamp(wheel), dw: clamp(horizontal))
      }
      keyboardController.mouse.hold(buttons & 0x1F)
    case .text(let text):
      typist.type(KeyScript.strokes(typing: text))
    case .serial(let port, let bytes):
      guard serial.indices.contains(port) else { return }
      for byte in bytes { serial[port].receive(byte) }
    case .rate(let rate):
      clock.setInstructionsPerSecond(min(max(rate, 1_000), 100_000_000_000))
      cpu.setTimeStampRate(
        hertz: configuration.cpu.hertz, instructionsPerSecond: clock.instructionsPerSecond)
      bus.rateChanged(processorHertz: configuration.cpu.hertz)
    case .strokes(let strokes):
      typist.type(strokes)
    case .reset(let kind):
      reset(kind)
    case .floppy(let drive, let choice):
      do { try putFloppy(drive, choice) } catch { mediaFailure = "\(error)" }
    }
  }

  // MARK: What can be seen

  /// The rows of the text screen, or nil in a graphics mode.
  public var screenText: [String]? { TextScreen.extract(from: vga) }

  /// A picture of the screen as it is now. The guest is not affected.
  public func screenshot() -> Frame {
    var frame = Frame()
    FrameRenderer().render(vga, into: &frame)
    return frame
  }
}

extension KeyScript {
  /// The strokes that type plain text: what no key types is left out, and nothing has a special meaning.
  static func strokes(typing text: String) -> [KeyStroke] {
    text.compactMap { character in
      keys(typing: character == "\r\n" || character == "\r" ? "\n" : character).map {
        KeyStroke.press($0)
      }
    }
  }
}
