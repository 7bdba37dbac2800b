// A PC put together.
//
// Owns: processors, memory and a board with the parts its description names, media, resets. Must not know: windows, command lines, the
// host's clock. What is on a board and how it is wired say Board/Boards.swift and the devices themselves.

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

/// What the run loop does between two instructions because one asked for it.
enum MachineRequest: Equatable {
  case board(BoardRequest)
  /// INIT of one processor.
  case initialize(Int)
  /// A start-up message with the page of the code.
  case start(Int, page: UInt8)
}

/// A PC. It is used from one thread; other threads reach it through `input` and `frames`.
public final class Machine {
  /// What it was made from.
  public let configuration: MachineConfiguration
  public let clock: VirtualClock
  public let memory: PhysicalMemory
  /// What the board has of them, the one that starts first.
  public let processors: [CPU]
  /// The first of `processors`.
  public let cpu: CPU
  /// The one whose turn it is.
  public internal(set) var running: CPU
  /// Whose turn it is.
  var turns: ProcessorTurns
  public let ports: PortSpace
  public let pic: PIC8259Pair
  /// One for each processor, from the Pentium on.
  public let apics: LocalAPICs?
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
  public internal(set) var imageFailures: [ImageFailure] = []
  /// Called between slices, when output that was gathered should be passed on.
  public var flushOutput: () -> Void = {}
  /// Told when the guest or the user has reset the machine or its processor.
  public var wasReset: (ResetRequest) -> Void = { _ in }
  /// What follows the guest at fixed virtual times, or nil.
  public var follower: (any RunFollower)? {
    didSet {
      if oldValue !== follower { oldValue?.detach() }
      follower?.attach(to: self)
    }
  }
  /// What keeps the run beside the world outside, or nil: it runs as fast as it can.
  public var attendant: (any RunAttendant)?

  /// Whether `run` looks into `input` and takes what waits there.
  var takesInput = true

  /// The parts.
  public let board: Board
  /// The parts, in the order of saved states.
  var devices: [any Device] { board.devices }
  let gate: A20Gate
  /// What has the power button, on boards with ACPI.
  let power: PIIX4PM?
  /// What each of `processors` is plugged into.
  let buses: [MachineBus]
  /// The first of `buses`, whose processor gets the interrupts of the 8259A.
  let bus: MachineBus
  private let dmaMemory: MachineDMAMemory
  private let floppyDMA: MachineFloppyDMA
  private let shadow: [(address: UInt32, bytes: [UInt8])]
  /// The images in the drives, each behind what can undo its writes.
  var floppyDisks: [MachineDisk?]
  let hardDisks: [MachineDisk?]
  /// What is in the flash memory.
  let flashDisk: MachineDisk?
  /// The CD drives that there are, where they are, and the discs in them.
  var cdDrives: [ATAPIDrive] = []
  var cdSockets: [Socket] = []
  var cdDiscs: [MachineDisk?] = []
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
  /// Why the change of media that was taken last did not happen; nil: it did. A locked tray is no such reason (`isHeld`).
  public private(set) var mediaRefusal: String?
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
  public internal(set) var isMuted = false
  /// Why the machine is no machine any more, and does not run: it could neither be put into its past nor back.
  var damage: String?
  /// How much of the instruction count is idle time.
  var idleInstructions: UInt64 = 0

  /// What devices asked of the run loop while an instruction was under way.
  var requests: [MachineRequest] = []

  /// When the follower looks next, in virtual nanoseconds; where the clock's rate changes in the middle of a slice.
  var lookTime = VirtualClock.never
  /// Nobody has turned the machine off while accesses were made in the processor's place.
  public internal(set) var isOn = true

  /// The end of the slice that runs now, in retired instructions.
  var sliceEnd: UInt64 = 0

  public let identity = Identity()

  /// Puts a machine together and turns it on.
  /// - Throws: `ConfigurationError`, `LoadError`, `StorageError` or `HostError`, each with one clear line.
  public init(_ configuration: MachineConfiguration) throws {
    self.configuration = configuration
    if let obstacle = configuration.memoryObstacle { throw ConfigurationError(obstacle) }
    let clock = VirtualClock(instructionsPerSecond: configuration.instructionsPerSecond)
    self.clock = clock
    memory = try PhysicalMemory(configuration.memoryLayout, from: configuration.memorySource)
    let ports = PortSpace()
    self.ports = ports
    let description = try configuration.boardDescription()
    var processors: [CPU] = []
    var buses: [MachineBus] = []
    let models = try configuration.processors(description)
    for (n, model) in models.enumerated() {
      let bus = MachineBus(ports: ports, clock: clock)
      let cpu = try Machine.processor(model, configuration, memory: memory, bus: bus, number: n)
      cpu.hasPeers = models.count > 1
      processors.append(cpu)
      buses.append(bus)
    }
    (self.processors, self.buses) = (processors, buses)
    let (cpu, bus) = (processors[0], buses[0])
    (self.cpu, self.bus, running) = (cpu, bus, cpu)
    turns = ProcessorTurns(processors.count)
    // What the machine has ends with it; a checked reference would be counted, atomically, at each of these calls.
    clock.instructionCount = { [unowned(unsafe) cpu] in cpu.instructionCount }
    clock.counter = cpu.instructionCounter

    // Requests end the instruction that makes them; the run loop carries them out.
    let inbox = RequestBox()
    let board = Board(clock: clock, ports: ports, memory: memory) { request in
      inbox.machine?.request(.board(request))
    }
    self.board = board
    let gate = A20Gate()
    self.gate = gate
    let floppyTypes = configuration.floppies.enumerated().map { index, image in
      let types = configuration.floppyTypes
      if types.indices.contains(index), let type = types[index] { return type }
      guard let image, case .floppy(let format) = image.medium else {
        return index == 0 ? FloppyDriveType.threeInch1440 : .none
      }
      return FloppyDriveType.suited(to: format)
    }
    dmaMemory = MachineDMAMemory(memory)
    board.offer(gate)
    let smi = ManagementInterrupt()
    board.offer(smi)
    board.offer(dmaMemory, as: (any DMAMemory).self)
    board.offer(postCodes)
    board.offer(PowerOnTime(seconds: configuration.initialTime))
    board.offer(FloppyDriveTypes(types: floppyTypes))
    board.offer(
      DisplayChoice(megabytes: configuration.videoMegabytes, rom: configuration.videoROM))
    board.offer(MemorySize(megabytes: configuration.memoryMegabytes))
    floppyDMA = MachineFloppyDMA(board)
    board.offer(floppyDMA, as: (any FloppyDMA).self)
    shadow = try FirmwareSetup.map(
      configuration, hasShadowing: !description.options(of: I440FX.part.name).isEmpty,
      memory: memory)
    if let kernel = configuration.kernel {
      board.offer(
        try KernelLoader(
          kernel, memory: memory, tables: configuration.sizeOfACPITables(description)))
    }

    try configuration.checkFlash()
    flashDisk = configuration.flash.map { MachineDisk($0) }
    if let flashDisk {
      board.offer(FlashImage(device: flashDisk, end: configuration.flashEnd))
    }
    try configuration.build(board, description, cpu.model)
    if let flash = configuration.flash, board.first(Flash.self) == nil {
      throw ConfigurationError("\(flash.name): the board has no flash memory (\(Flash.part.name))")
    }
    let pic = try board.need(PIC8259Pair.self, for: "a PC")
    self.pic = pic
    apics = board.offered(LocalAPICs.self)
    if let apics, apics.all.count != processors.count {
      throw ConfigurationError("a board's processors come before its local APICs")
    }
    power = board.first(PIIX4PM.self)
    pit = try board.need(PIT8254.self, for: "a PC")
    cmos = try board.need(CMOS.self, for: "a PC")
    keyboardController = try board.need(KeyboardController8042.self, for: "a PC")
    typist = try board.need(Typist.self, for: "a PC")
    serial = board.all(UART16550.self)
    printer = try board.need(LPT.self, for: "a PC")
    floppyController = try board.need(FloppyController.self, for: "a PC")
    channels = board.all(IDEChannel.self)
    // Without an adapter there is still something to look at, which nobody reaches.
    vga = board.first(VGA.self) ?? VGA(clock: clock)
    CMOSContents.fill(
      cmos, configuration: configuration,
      floppyTypes: [floppyController.driveType(0), floppyController.driveType(1)])
    board.first(FirmwareConfiguration.self)?.install(
      try FirmwareFiles.items(configuration, board: board, processors: processors.map(\.model)),
      ram: configuration.memoryLayout.ranges)
    typist.guestIsFull = { [unowned cpu, unowned memory] in
      // The BIOS keyboard buffer means something only where the BIOS may be running; see the BIOS data area, 40:1Ah and 40:80h.
      if cpu.s.pointee.cr0 & CR0.pe != 0 && cpu.s.pointee.eflags & EFLAGS.vm == 0 { return false }
      let area = memory.peek(0x41A, count: 4) + memory.peek(0x480, count: 4)
      func word(_ n: Int) -> Int { Int(area[n]) | Int(area[n + 1]) << 8 }
      let (head, tail, start, end) = (word(0), word(2), word(4), word(6))
      guard start < end, head >= start, head < end, tail >= start, tail < end else { return false }
      return (tail + 2 == end ? start : tail + 2) == head
    }
    // What saved states call them is made from the sockets.
    if processors.count > 1, board.sockets(.processor).count != processors.count {
      throw ConfigurationError("a board's further processors must not depend on conditions")
    }
    floppyDisks = try Machine.fill(board.sockets(.floppy), configuration.floppies, "floppy drives")
    hardDisks = try Machine.fill(board.sockets(.disk), configuration.disks, "hard disks")
    try makeCDDrives()
    shelf = (floppyDisks + hardDisks + cdDiscs + [flashDisk]).compactMap { $0 }

    for disk in shelf {
      disk.refused = { [unowned self, unowned disk] in note($0, of: disk) }
    }
    connectHostDisks()

    // Wires.
    bus.pic = pic
    bus.coprocessor = board.first(CoprocessorPort.self)
    connectInterrupts()
    smi.raised = { [unowned self] in raiseSMI(0) }
    for cpu in processors { gate.output.connect { [unowned cpu] in cpu.a20 = $0 } }
    inbox.machine = self
    vga.directChanged = { [unowned memory] range in
      memory.setDirect(
        page: UInt32(truncatingIfNeeded: range.address >> 12),
        pages: UInt32(truncatingIfNeeded: range.count >> 12), to: range.bytes,
        written: range.written, slot: range.slot, of: range.mapping)
    }
    board.first(FirmwareConfiguration.self)?.renew = { [unowned self] name in
      guard name == ACPITables.File.tables, self.power != nil else { return nil }
      return self.acpiTables
    }
    board.first(Flash.self)?.directChanged = { [unowned memory] range in
      memory.setDirect(
        page: UInt32(truncatingIfNeeded: range.address >> 12),
        pages: UInt32(truncatingIfNeeded: range.count >> 12), to: range.bytes, slot: 2,
        of: range.mapping, isReadOnly: true)
    }
    vga.watchWrites = { [unowned memory] in memory.watchDirectWrites() }
    clock.deadlineMovedEarlier = { [unowned(unsafe) self] in self.updateDeadline() }
    for (index, uart) in serial.enumerated() {
      uart.transmit = { [unowned self] in
        if !self.isMuted { self.serialOutput(index, $0) }
      }
    }
    for console in board.all(DebugConsole.self) {
      console.sink = { [unowned self] in if !self.isMuted { self.debugOutput($0) } }
    }
    board.resynchronizeLines()
    try insertMedia()
    loadShadow()
    setPins()
  }

  /// The levels of wires that states and resets do not drive.
  func setPins() {
    for cpu in processors { cpu.a20 = gate.output.level }
    for n in processors.indices { setInterruptRequest(n) }
  }

  /// For the run loop, when the present instruction is over.
  func request(_ request: MachineRequest) {
    requests.append(request)
    running.requestStop()
  }

  /// Carries requests out of closures that exist before the machine does.
  private final class RequestBox {
    // Ends with what asks. A weak reference would make all counting of references to the machine several times as long.
    unowned(unsafe) var machine: Machine?
  }

  /// Tells machines apart, also one that is gone from one that took its place in memory.
  public final class Identity: Sendable {}

  /// A processor with what executes its instructions.
  private static func processor(
    _ model: CPUModel, _ configuration: MachineConfiguration, memory: PhysicalMemory,
    bus: MachineBus, number: Int
  ) throws -> CPU {
    let cpu = try CPU(model: model, memory: memory, bus: bus, number: number)
    cpu.softwareFPU = configuration.fpu == .software
    bus.place = UnsafeMutableRawPointer(cpu.s).advanced(
      by: MemoryLayout<CPUState>.offset(of: \.place)!
    ).assumingMemoryBound(to: UInt8.self)
    if configuration.engine == .translator {
      try Translator.attach(to: cpu, options: configuration.translatorOptions)
    }
    bus.cpu = Unmanaged.passUnretained(cpu)
    bus.rateChanged(processorHertz: model.hertz)
    cpu.setTimeStampRate(
      hertz: model.hertz, instructionsPerSecond: configuration.instructionsPerSecond)
    return cpu
  }

  /// Another rate of instructions: what is derived from it follows.
  func rateChanged() {
    for (cpu, bus) in zip(processors, buses) { bus.rateChanged(processorHertz: cpu.model.hertz) }
  }

  /// What goes into the sockets of a kind.
  private static func fill(_ sockets: [Socket], _ images: [MachineImage?], _ what: String) throws
    -> [MachineDisk?]
  {
    if let extra = images.dropFirst(sockets.count).compactMap({ $0 }).first {
      throw ConfigurationError("\(extra.name): the board has \(sockets.count) \(what)")
    }
    return sockets.indices.map { n in
      n < images.count ? images[n].map { MachineDisk($0) } : nil
    }
  }

  private func insertMedia() throws {
    for (index, socket) in board.sockets(.floppy).enumerated() {
      guard let disk = floppyDisks[index], let image = configuration.floppies[index] else {
        continue
      }
      guard case .floppy(let format) = image.medium else {
        throw ConfigurationError(
          "\(image.name): is a hard disk image and does not go into a floppy drive")
      }
      try floppyController.insert(
        drive: socket.unit, medium: FloppyMedium(image: disk, format: format))
    }
    for (index, socket) in board.sockets(.disk).enumerated() {
      guard let disk = hardDisks[index], let image = configuration.disks[index] else { continue }
      let geometry: DiskGeometry
      switch image.medium {
      case .disk(let physical, _): geometry = physical
      case .floppy: geometry = DiskGeometry.standard(sectorCount: image.device.sectorCount)
      case .cd: throw ConfigurationError("\(image.name): is a CD and does not go into a hard disk")
      case .flash:
        throw ConfigurationError(
          "\(image.name): is a flash memory and does not go into a hard disk")
      }
      let drive = ATADisk(image: disk, geometry: geometry, serial: "AP0000000\(index + 1)")
      drive.latency = min(configuration.diskLatency, MachineConfiguration.mostDiskLatency)
      channels.first { $0.stateName == socket.controller }?.attach(drive: socket.unit, drive)
    }
    try attachCDDrives()
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
    catchUpAll()
    // Processors in system management mode take an INIT# behind RSM, and go on until then.
    var held: Set<Int> = []
    switch kind {
    case .processor:
      for (n, cpu) in processors.enumerated() {
        if cpu.holdsInit() {
          held.insert(n)
        } else {
          cpu.reset(isInit: true)
          apics?.all[n].initialize()
        }
      }
    case .system:
      for device in devices { device.reset(.system) }
      loadShadow()
      for cpu in processors { cpu.reset() }
      if processors.count > 1 { stampsWereReset() }
    }
    restartTurns(keeping: held)
    setPins()
    if !isMuted { wasReset(kind) }
  }

  // MARK: Input

  /// Takes input: from here on it is part of the run. On the machine's thread, between two instructions; others leave it in `input`.
  public func take(_ offered: MachineInput) {
    guard let event = settled(offered) else { return }
    log(event)
    apply(event)
    if let failure = mediaFailure {
      mediaFailure = nil
      mediaRefusal = failure
      notice(failure)
    }
  }

  /// Notes what comes from outside: it is part of the run.
  func log(_ event: MachineInput) {
    let count = instructionCount
    if configuration.recordsInput {
      inputLog.append(LoggedInput(instruction: count, input: event))
    }
    journal?.add(event, at: count)
    recorder?.add(event, at: count, check: processorCheck)
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
      mediaRefusal = nil
      do {
        let settled = try prepareFloppy(drive, choice)
        notice(floppyNotice(drive, settled))
        return .floppy(drive: drive, disk: settled)
      } catch {
        mediaRefusal = "\(error)"
        notice("\(error)")
        return nil
      }
    case .cd(let drive, let choice, let forced):
      mediaRefusal = nil
      do {
        let settled = try prepareCD(drive, choice)
        notice(cdNotice(drive, settled, forced))
        return .cd(drive: drive, disc: settled, forced: forced)
      } catch {
        mediaRefusal = "\(error)"
        notice("\(error)")
        return nil
      }
    case .powerButton:
      if let power, power.isControlled, !power.tellsOfButton {
        notice("the guest does not listen to the power button")
      }
      return event
    default: return event
    }
  }

  /// Whether Alt and digits of the keypad type characters: the BIOS, or what stands in for it, sees the keys.
  private var takesAltCodes: Bool {
    cpu.s.pointee.cr0 & CR0.pe == 0 || cpu.s.pointee.eflags & EFLAGS.vm != 0 || cpu.servesV86
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
      if processors.count > 1 { return takeUpTime() }
      cpu.setTimeStampRate(
        hertz: cpu.model.hertz, instructionsPerSecond: clock.instructionsPerSecond)
      rateChanged()
    case .strokes(let strokes):
      typist.type(strokes)
    case .reset(let kind):
      reset(kind)
    case .diskError:
      // Where it happened the disk has taken it.
      break
    case .clock(let seconds): cmos.skip(seconds: seconds)
    case .powerButton:
      // Of a board without power management it is a switch.
      if let power { power.pressButton() } else { requests.append(.board(.powerOff)) }
    case .floppy(let drive, let choice):
      do { try putFloppy(drive, choice) } catch { mediaFailure = "\(error)" }
    case .cd(let drive, let choice, let forced):
      do { try putCD(drive, choice, forced) } catch { mediaFailure = "\(error)" }
    }
  }

  /// Whether the guest wants to be told of the power button, and will do something about it.
  public var tellsOfPowerButton: Bool { power?.tellsOfButton ?? false }

  /// Whether what runs takes keys by interrupts, as a BIOS does once it has set the keyboard up.
  public var takesKeys: Bool {
    keyboardController.interruptsForKeys && pic.registers[0].imr & 0x02 == 0
  }

  /// The kernel of the configuration that a BIOS other than the own one has not started; nil: there is none, or it was started.
  public var kernelNotStarted: String? {
    guard configuration.bios != nil, let kernel = configuration.kernel,
      board.first(KernelLoader.self)?.wasAsked == false
    else { return nil }
    return kernel.kernel.path
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
