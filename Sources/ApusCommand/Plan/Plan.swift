// From the options to what is to be done, everything checked before anything is touched.
//
// Owns: the meaning of values and combinations, reading input files, refusing files that would be overwritten although they are input.
// Must not know: how a machine runs.

import Bus
import CPU
import Chipset
import Debugger
import DebuggerFrontend
import Host
import Machine
import Session
import Snapshots
import Storage
import Translator
import TranslatorX86_64

/// What the command line asks for.
struct Plan {
  /// What is to be run.
  var session = SessionConfiguration()
  /// The images in the machine's drives, as they were opened, in the order they were given.
  var images: [OpenedImage] = []
  /// A recording that can be read when the disks are open.
  private var sealedRecording: [UInt8]?
  /// Those that are in none: to be put in later, with the drive (0: A), or what no drive is left for.
  var furtherImages: [(drive: Int?, image: OpenedImage)] = []
  var mouseSpeed = 1.0
  var headless = false
  /// Somebody sits at a terminal that is the guest's, and no script, limit or debugger drives the run.
  var isInteractive = false
  /// A debugger or gdb may hold the guest as long as it likes.
  var isDebugged = false
  /// Expectations have a limit that nobody gave.
  var limitsByDefault = false
  var screenText = false
  /// Where the report's object goes; nil: none is wanted.
  var jsonTarget: JSONTarget?
  var json: Bool { jsonTarget != nil }
  /// The picture of --screenshot goes to standard output.
  var printsScreenshot = false
  /// Where this run is asked.
  var controlSocket: String?
  var explain = false
  var stats = false
  /// Linear addresses of blocks to be printed at the end.
  var dumpBlocks: [UInt32] = []
  /// A debugger is there; the machine starts stopped in it; what it does first.
  var debugs = false
  var startsInDebugger = false
  var debugCommands: [DebugCommand] = []
  /// Where gdb is served, and whether the machine waits for it.
  var gdb: CharacterTarget?
  /// The same as it was written.
  var gdbPlace = ""
  var waitsForGDB = false
  /// Memory for the past that the debugger can go back to; 0: none.
  var historyMegabytes = 256
  /// It was said how much.
  var hasHistory = false
  /// The files of --fw-cfg.
  var firmwarePaths: [String] = []
  /// Lines for --explain.
  var explanations: [String] = []
  /// Lines the user should hear.
  var warnings: [String] = []

  /// What is wrong with images, where they are only looked at.
  var failures: [Failure] = []

  /// Images that are open, by the words that stand for them.
  var givenImages: [String: OpenedImage] = [:]

  /// No image was given: the demo disk boots.
  var usesDemoDisk = false

  /// - Parameters:
  ///   - media: images without a place of their own in the order they were written, and whether they came with --disk.
  ///   - looksOnly: nothing will run; images are neither locked nor opened for writing, and what is wrong with them is gathered.
  ///   - hasTerminal: standard input is a terminal.
  ///   - debugging: the machine starts in the debugger.
  ///   - template: what the machine goes on from.
  ///   - given: images that are open, by the words that stand for them.
  init(
    _ options: ApusOptions, media: [(path: String, isDisk: Bool)]? = nil, looksOnly: Bool = false,
    hasTerminal: Bool = HostTerminal.isInteractive, debugging: Bool = false,
    template: MachineTemplate? = nil, given: [String: OpenedImage] = [:]
  ) throws {
    session.template = template
    givenImages = given
    headless = options.headless || options.nographic
    if let path = options.jsonFile {
      if options.json { throw Failure.usage("--json and --json=\(path): one report is enough") }
      jsonTarget = .file(path)
    } else if options.json {
      jsonTarget = .output
    }
    explain = options.explain
    stats = options.stats
    screenText = options.screenText
    isDebugged = debugging || options.debug || options.gdb != nil || options.gdbDefault
    let isDriven =
      isDebugged || options.timeout != nil || options.maxInstructions != nil
      || options.replay != nil
      || !options.type.isEmpty || !options.typeSerial.isEmpty || !options.change.isEmpty
      || !options.press.isEmpty
      || !options.expect.isEmpty
      || !options.expectLine.isEmpty
      || !options.expectRegex.isEmpty || !options.expectGone.isEmpty
    isInteractive =
      headless && hasTerminal && !isDriven
      && (options.serial.contains("stdio") || options.nographic && options.serial.isEmpty)
    try readMachine(options)
    try readTime(options)
    try readOutside(options)
    try readSteps(options)
    try readRecording(options)
    try readDebugger(options)
    try checkOutputs(options)
    try readKernel(options)
    try openImages(
      options,
      media ?? options.disks.map { ($0, true) } + options.images.map { ($0, false) },
      keepsOff: options.snapshot || options.replay != nil, looksOnly: looksOnly)
    if let sealed = sealedRecording { try openSealed(sealed, options) }
  }

  // MARK: Values

  /// A number of processors, also as others write it: `4`, `cpus=4`, `4,sockets=4`.
  static func processors(_ text: String, of model: CPUModel) throws -> Int {
    let first = text.prefix { $0 != "," }
    let number = first.hasPrefix("cpus=") ? first.dropFirst(5) : first
    let most = MachineConfiguration.mostProcessors(of: model)
    guard let count = Int(number), count >= 1 else {
      // Another option says what the model is: the range is told with its name.
      throw Failure.usage(
        most == 1
          ? "--processors \(text): a number is wanted, of \(model.name) only 1 (it has no APIC)"
          : "--processors \(text): a number is wanted, of \(model.name) 1 to \(most)")
    }
    if count > most {
      throw Failure.usage(
        most == 1
          ? "--processors \(text): a \(model.name) has no APIC and works alone; --cpu pentium and later can be several"
          : "--processors \(text): of \(model.name) there can be \(most) at most"
            + (most < 16 ? " (4-bit APIC numbers; 16 of pentium4)" : ""))
    }
    return count
  }

  private mutating func readMachine(_ options: ApusOptions) throws {
    if let text = options.memory {
      configuration.memoryMegabytes = try Plan.megabytes(text)
    }
    if let name = options.cpu {
      guard let model = CPUModel.named(name) else {
        let names = CPUModel.all.map(\.name).joined(separator: ", ")
        throw Failure.usage("--cpu \(name): no such model (there are \(names))")
      }
      configuration.cpu = model
    }
    if let text = options.processors {
      configuration.processorCount = try Plan.processors(text, of: configuration.cpu)
    }
    if let obstacle = configuration.memoryObstacle {
      throw Failure.usage("--memory \(options.memory ?? ""): \(obstacle)")
    }
    if let text = options.engine {
      guard let engine = Engine(rawValue: text) else {
        throw Failure.usage("--engine is interpreter, translator or lockstep, not '\(text)'")
      }
      configuration.engine = engine
    }
    if let obstacle = Translator.obstacle, options.engine != Engine.interpreter.rawValue {
      configuration.engine = .interpreter
      warnings.append("the interpreter does all the work: \(obstacle)")
    }
    for name in options.translatorDisable {
      guard let option = TranslatorOptions.named(name) else {
        let names = TranslatorOptions.named.map(\.name).joined(separator: ", ")
        throw Failure.usage("--translator-disable \(name): there are \(names)")
      }
      configuration.translatorOptions.remove(option)
    }
    if let name = options.fpu {
      configuration.fpu = try ConformProgram.fpu(name, configuration.engine)
    }
    configuration.offersBootMenu = !headless
    if let text = options.boot { try readBoot(text) }
    if let path = options.bios {
      // What is no file is said by whoever reads it.
      if let size = HostFiles.size(path), !HostFiles.isDirectory(path),
        !FirmwareSize.isPossible(Int(size))
      {
        throw Failure.usage(
          "\(path): a BIOS has \(FirmwareSize.words), but the file has \(size) "
            + (size == 1 ? "byte" : "bytes"), file: path)
      }
      configuration.bios = try Plan.read(path, limit: 8 << 20)
    }
    if let path = options.vgaBIOS {
      let file = try Plan.read(path, limit: 64 << 10)
      guard file.bytes.count >= 512, file.bytes[0] == 0x55, file.bytes[1] == 0xAA else {
        throw Failure.usage("\(path): is no video BIOS (it does not begin with 55AAh)", file: path)
      }
      configuration.vgaBIOS = file
    }
    for text in options.roms {
      guard let at = text.lastIndex(of: "@"), at != text.startIndex,
        let address = Plan.hexadecimal(text[text.index(after: at)...], UInt32.self)
      else {
        throw Failure.usage("--rom \(text): FILE@ADDRESS is wanted, the address in hexadecimal")
      }
      let file = try Plan.read(String(text[..<at]), limit: 16 << 20)
      // What cannot be at all is refused later.
      if address >= 0xC0000, address < 1 << 20, address & 0xFFF == 0, !file.bytes.isEmpty {
        if address < 0xF0000, !file.bytes.starts(with: [0x55, 0xAA]) {
          warnings.append(
            "--rom \(text): does not begin with 55AAh, as option ROMs do: no BIOS will call it")
        }
        if UInt64(address) + UInt64(file.bytes.count) > 0xF0000 {
          warnings.append("--rom \(text): hides what is there of the system BIOS")
        }
      }
      configuration.roms.append(MachineROM(file: file, address: address))
    }
    try readFirmwareFiles(options.firmwareFiles)
    configuration.resetsOnTripleFault = !headless
    switch options.onTripleFault {
    case nil: if options.resetOnTripleFault { configuration.resetsOnTripleFault = true }
    case "reset": configuration.resetsOnTripleFault = true
    case "stop" where !options.resetOnTripleFault: configuration.resetsOnTripleFault = false
    case "stop":
      throw Failure.usage(
        "--on-triple-fault stop and --reset-on-triple-fault contradict each other")
    case let text?:
      throw Failure.usage("--on-triple-fault is reset or stop, not '\(text)'")
    }
    if let text = options.codePage {
      guard let page = TypedText.CodePage(rawValue: text) else {
        throw Failure.usage("--code-page is 437 or 850, not '\(text)'")
      }
      configuration.codePage = page
    }
    if let text = options.mouseSpeed {
      guard let factor = Double(text), factor >= 0.1, factor <= 10 else {
        throw Failure.usage("--mouse-speed \(text): a factor of 0.1 to 10 is wanted")
      }
      mouseSpeed = factor
    }
    configuration.keepsWritesInMemory = options.snapshot || options.replay != nil
    if let board = options.board {
      guard BoardDescription.boards[board] != nil else {
        let known = BoardDescription.boards.keys.sorted().joined(separator: ", ")
        throw Failure.usage("--board \(board): there is no such board (there are: \(known))")
      }
      configuration.board = board
    }
    try readDisplay(options)
    if configuration.processorCount > 1, configuration.boardName == "isa", configuration.bios == nil
    {
      warnings.append(
        "the BIOS of board isa tells nobody of several processors: most systems will use one (--board pc)"
      )
    }
    if let text = options.acpi {
      guard let revision = ACPIRevision(rawValue: text) else {
        let known = ACPIRevision.allCases.map(\.rawValue).joined(separator: ", ")
        throw Failure.usage("--acpi \(text): one of \(known) is wanted")
      }
      if revision != .off, configuration.boardName != "pc" {
        throw Failure.usage(
          "--acpi \(text): board \(configuration.boardName) has no power management (--board pc has)"
        )
      }
      configuration.acpi = revision
    }
    configuration.parts = options.devices
    if let text = options.exitPort {
      guard let port = Plan.hexadecimal(Substring(text), UInt16.self) else {
        throw Failure.usage("--exit-port \(text): a port is 0 to ffff, in hexadecimal")
      }
      configuration.exitPort = port
    }
    if let path = options.loadState { loadState = try Plan.read(path, limit: 8 << 30) }
    saveState = options.saveState
    forcesState = options.force
    if forcesState && loadState == nil {
      throw Failure.usage("--force goes with --load-state")
    }
    if forcesState && !options.snapshot {
      throw Failure.usage(
        "--force needs --snapshot: a guest that is continued on another disk than its own would destroy it"
      )
    }
    try takeSnapshotOptions(options)
  }

  private mutating func takeSnapshotOptions(_ options: ApusOptions) throws {
    if options.noSnapshots && (options.withSnapshots || options.take != nil) {
      throw Failure.usage(
        "--no-snapshots and \(options.take == nil ? "--with-snapshots" : "--take") exclude each other"
      )
    }
    if options.take != nil, options.snapshot {
      throw Failure.usage(
        "--take and --snapshot exclude each other: what such a run has on its disks is gone with it"
      )
    }
    if session.template != nil, options.snapshotsIn == nil,
      options.take != nil || options.withSnapshots
    {
      throw Failure.usage(
        "a machine that goes on from a template has no image beside which snapshots could be kept: --snapshots-in FOLDER says where"
      )
    }
    session.snapshots =
      options.noSnapshots || session.template != nil && options.snapshotsIn == nil
      ? .none : options.withSnapshots || options.take != nil ? .wanted : .automatic
    if options.suspendOnExit {
      for (isGiven, name) in [
        (options.noSnapshots, "--no-snapshots"), (options.snapshot, "--snapshot"),
        (options.replay != nil, "--replay"), (session.template != nil, "a template"),
      ] where isGiven {
        throw Failure.usage("--suspend-on-exit and \(name) exclude each other")
      }
      session.suspendsAtEnd = true
      session.snapshots = .wanted
    }
    session.snapshotFolder = options.snapshotsIn
    session.resumesSnapshot = !options.noResume
    session.takenAtEnd = options.take
    if let name = options.take, let obstacle = SnapshotTree.obstacle(toName: name) {
      throw Failure.usage("--take: \(obstacle)")
    }
    session.arguments = ["apus"] + HostPath.arguments
    controlSocket = options.control
  }

  private static func megabytes(_ text: String) throws -> Int {
    var digits = Substring(text)
    var factor = 1
    if let last = digits.last, last.isLetter {
      digits = digits.dropLast()
      switch last {
      case "m", "M": break
      case "g", "G": factor = 1024
      default: digits = ""
      }
    }
    guard let number = Int(digits), (1...16384).contains(number), number * factor <= 16384,
      digits.allSatisfy(\.isNumber)
    else {
      throw Failure.usage(
        "--memory \(text): 1 to 16384 megabytes are possible, or with G 1 to 16 gigabytes (512, 2G)"
      )
    }
    return number * factor
  }

  /// What `--boot` says: letters in order, `menu`, or both with a comma between.
  private mutating func readBoot(_ text: String) throws {
    let possible =
      "letters in the order wanted: a (floppy), c (hard disk), d (CD), n (network, by an option ROM); menu"
    var order: [BootDevice] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      if ["menu", "menu=on"].contains(part) {
        configuration.offersBootMenu = true
        continue
      }
      let letters = part.hasPrefix("order=") ? part.dropFirst(6) : part
      for letter in letters {
        guard let device = BootDevice(rawValue: String(letter)) else {
          throw Failure.usage("--boot \(text): \(possible)")
        }
        if order.contains(device) {
          throw Failure.usage("--boot \(text): \(letter) is there twice")
        }
        order.append(device)
      }
      if letters.isEmpty { throw Failure.usage("--boot \(text): \(possible)") }
    }
    if !order.isEmpty { configuration.bootOrder = order }
  }

  static func hexadecimal<T: FixedWidthInteger>(_ text: Substring, _ type: T.Type) -> T? {
    var digits = text
    if digits.hasPrefix("0x") || digits.hasPrefix("0X") { digits = digits.dropFirst(2) }
    if digits.hasSuffix("h") || digits.hasSuffix("H") { digits = digits.dropLast() }
    guard digits.allSatisfy(\.isHexDigit) else { return nil }
    return T(digits, radix: 16)
  }

  static let secondsWanted = "seconds are wanted, more than 0 and at most 1000000000"

  private mutating func readOutside(_ options: ApusOptions) throws {
    for text in options.serial {
      do { serial.append(try CharacterTarget(text)) } catch {
        throw Failure.usage("--serial \(error)")
      }
    }
    if options.nographic && serial.isEmpty { serial = [.stdio] }
    if serial.count > 4 { throw Failure.usage("--serial: a PC has four serial ports at most") }
    configuration.serialPorts = max(2, serial.count)
    for (index, target) in serial.enumerated()
    where target != .null && target != .pty && serial[..<index].contains(target) {
      throw Failure.usage("--serial: two ports cannot both lead to '\(options.serial[index])'")
    }
    if let path = options.debugConsole { debugConsole = path == "-" ? .stdio : .file(path) }
    for text in options.dumpBlock {
      guard let address = Plan.hexadecimal(Substring(text), UInt32.self) else {
        throw Failure.usage("--dump-block \(text): a hexadecimal address is wanted")
      }
      dumpBlocks.append(address)
    }
    screenshot = options.screenshot
    if screenshot == "-" { (screenshot, printsScreenshot) = (nil, true) }
    try checkScreenshot()
  }

  /// What a replay repeats is not to be given again: time and everything that comes from outside.
  private mutating func readRecording(_ options: ApusOptions) throws {
    record = options.record
    guard let path = options.replay else { return }
    if record != nil { throw Failure.usage("--record and --replay contradict each other") }
    if !steps.isEmpty {
      throw Failure.usage(
        "--replay brings its own keys; --type, --type-serial and expectations have no place in it")
    }
    if options.cpuSpeed != nil {
      throw Failure.usage("--replay brings its own CPU speed; --cpu-speed has no place in it")
    }
    if options.rtc != nil {
      throw Failure.usage("--replay brings its own date; --rtc has no place in it")
    }
    let bytes = try Plan.read(path, limit: 4 << 30).bytes
    // The keys come with the disks.
    if SealedFile.isSealed(bytes) {
      sealedRecording = bytes
    } else {
      try adopt(bytes, path, options)
    }
  }

  /// The recording of a machine with encrypted disks.
  private mutating func openSealed(_ bytes: [UInt8], _ options: ApusOptions) throws {
    guard let path = options.replay else { return }
    sealedRecording = nil
    let keys = configuration.disks.compactMap { $0?.device }.flatMap(\.volumeKeys)
    let opened: [UInt8]
    do throws(StorageError) {
      opened = try SealedFile.openAsFarAsPossible(bytes, keys, for: path)
    } catch {
      throw Failure.usage("\(error)", file: path)
    }
    try adopt(opened, path, options)
  }

  private mutating func adopt(_ bytes: [UInt8], _ path: String, _ options: ApusOptions) throws {
    let recording: Recording
    do throws(RecordingError) { recording = try Recording(bytes) } catch {
      throw Failure.usage("\(path): \(error)", file: path)
    }
    let resets = configuration.resetsOnTripleFault
    session.adopt(NamedRecording(recording, path: path))
    if options.onTripleFault != nil || options.resetOnTripleFault {
      configuration.resetsOnTripleFault = resets
    }
    if recording.cutAt != nil {
      warnings.append(
        "\(path): the recording was cut off; it is repeated up to its last event, at instruction "
          + "\(recording.lastInstruction)")
    }
    explanations.append(
      "\(path): \(recording.inputCount) inputs, \(recording.lastInstruction) instructions, the clock from "
        + StartTime.text(recording.initialTime))
    explanations += recording.notes.map { "  \($0)" }
  }

  private mutating func readDebugger(_ options: ApusOptions) throws {
    debugs = options.debug
    hasHistory = options.history != nil
    if let text = options.history {
      guard let megabytes = Int(text), (0...65536).contains(megabytes) else {
        throw Failure.usage("--history \(text): a number of megabytes is wanted (0 keeps no past)")
      }
      historyMegabytes = megabytes
    }
    if let text = options.gdb ?? (options.gdbDefault ? "tcp:1234" : nil) {
      let target = (try? CharacterTarget(text)) ?? .null
      switch target {
      case .tcpServer, .unix: (gdb, gdbPlace) = (target, text)
      default: throw Failure.usage("--gdb \(text): tcp:PORT or unix:PATH is wanted")
      }
    }
    waitsForGDB = options.startsStopped
    if waitsForGDB && gdb == nil { throw Failure.usage("-S waits for gdb (-s or --gdb)") }
    let lines = options.commands.map { ($0.order, DebugCommand.line($0.text)) }
    let files = options.scripts.map { ($0.order, DebugCommand.file($0.text)) }
    debugCommands = (lines + files).sorted { $0.0 < $1.0 }.map(\.1)
  }

  /// What contradicts the debugger, or needs it.
  func checkDebugger() throws {
    if gdb != nil {
      if debugs {
        throw Failure.usage(
          "--gdb: the console is another debugger (gdb's monitor has its commands)")
      }
      if configuration.engine == .lockstep {
        throw Failure.usage("--engine lockstep runs two machines, which no debugger can stop")
      }
    }
    if !debugs {
      if !debugCommands.isEmpty {
        throw Failure.usage(
          "--command and --script belong to the debugger (apus debug, or --debug)")
      }
      if hasHistory && gdb == nil {
        throw Failure.usage(
          "--history belongs to the debugger (apus debug, --debug, or --gdb for gdb's)")
      }
      return
    }
    if case .file(let path) = jsonTarget {
      throw Failure.usage(
        "--json=\(path): the debugger's objects, one for each command, go to standard output (--json)"
      )
    }
    if printsScreenshot {
      throw Failure.usage("--screenshot -: standard output is the debugger's")
    }
    if configuration.engine == .lockstep {
      throw Failure.usage("--engine lockstep runs two machines, which no debugger can stop")
    }
    if serial.contains(.stdio), !HostTerminal.isInteractive, debugCommands.isEmpty {
      throw Failure.usage(
        "--serial stdio: the debugger's commands come from standard input (pty, file:PATH and others are free)"
      )
    }
    for case .file(let path) in debugCommands where !HostFiles.exists(path) {
      throw Failure.usage("--script \(path): no such file")
    }
  }

  // MARK: Files

  static func read(_ path: String, limit: Int) throws -> LoadFile {
    do { return LoadFile(path: path, bytes: try HostFiles.read(path, limit: limit)) } catch {
      throw Failure.usage("\(path): \(error)", file: path)
    }
  }

  private mutating func readKernel(_ options: ApusOptions) throws {
    guard let path = options.kernel else {
      if !options.initrd.isEmpty { throw Failure.usage("--initrd needs --kernel") }
      if options.append != nil { throw Failure.usage("--append needs --kernel") }
      return
    }
    if options.boot != nil { throw Failure.usage("--boot and --kernel contradict each other") }
    let kernel = try Plan.read(path, limit: 1 << 30)
    var result = KernelConfiguration(
      kernel: kernel, commandLine: HostPath.lines(options.append ?? ""))
    guard let isMultiboot = KernelConfiguration.isMultiboot(kernel) else {
      throw Failure.usage(
        kernel.bytes.isEmpty
          ? "\(path): the file is empty"
          : "\(path): is neither a Linux kernel (no setup header) nor a multiboot 1 kernel "
            + "(no header in the first 8192 bytes)")
    }
    if isMultiboot {
      for item in options.initrd {
        // QEMU separates modules by commas.
        let parts =
          HostFiles.exists(item) ? [Substring(item)] : item.split(separator: ",")
        for part in parts {
          let name = HostFiles.exists(String(part)) ? part : part.prefix { $0 != " " }
          let file = try Plan.read(String(name), limit: 2 << 30)
          result.modules.append(KernelModule(file: file, commandLine: HostPath.lines(String(part))))
        }
      }
    } else {
      if options.initrd.count > 1 {
        throw Failure.usage("--initrd: a Linux kernel takes one initrd")
      }
      if let path = options.initrd.first { result.initrd = try Plan.read(path, limit: 2 << 30) }
    }
    configuration.kernel = result
    configuration.bootOrder = [.floppy, .disk]
    explanations.append("\(path): \(isMultiboot ? "a multiboot 1 kernel" : "a Linux kernel")")
  }
}
