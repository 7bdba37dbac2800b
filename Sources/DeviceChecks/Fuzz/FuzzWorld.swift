// The machine that is fuzzed, and what it runs.
//
// Owns: the configuration, the program in memory, the processor before it. Must not know: devices, comparing.
// Follows: Intel SDM volume 3, chapter 3 (what the program expects of segments).

import Bus
import CPU
import Chipset
import Machine
import Storage

/// A board to be fuzzed.
public enum FuzzBoard: String, CaseIterable, Sendable {
  case isa, pc
}

/// What is in the drives, by the names of files.
struct FuzzMedia {
  /// With whether it is write-protected.
  var floppies: [(path: String, isProtected: Bool)?]
  /// Of the drives that there are.
  var discs: [String?]

  /// What a machine has.
  init(_ machine: Machine) {
    floppies = machine.floppyDrives.map { drive in drive.disk.map { ($0, drive.isProtected) } }
    discs = machine.cdDriveStatus.map(\.disc)
  }

  init(first files: FuzzFiles) {
    floppies = [(files.floppies[0], false), nil]
    discs = [files.discs[0], nil]
  }
}

/// Makes machines for a board, and starts the program in them.
final class FuzzWorld {
  let board: FuzzBoard
  let model: CPUModel
  let display: DisplayAdapter
  let files: FuzzFiles
  /// The last address of a table is not this far.
  static let table: UInt32 = 0x26_0000
  static let most = 4000
  private static let origin: UInt32 = 0x20_0000
  private static let saved: UInt32 = 0x20_F000
  static let buffer: UInt32 = 0x24_0000
  private let program = DeviceFuzzROMs.program

  init(_ board: FuzzBoard, model: CPUModel, display: DisplayAdapter = .std) throws {
    (self.board, self.model, self.display) = (board, model, display)
    files = try FuzzFiles()
  }

  /// What is fuzzed on this board.
  func targets() throws -> [FuzzTarget] { FuzzTarget.all(try machine(.interpreter)) }

  /// A fresh machine.
  /// - Parameter media: nil: what is in the drives at first.
  func machine(_ engine: Engine, media: FuzzMedia? = nil) throws -> Machine {
    let media = media ?? FuzzMedia(first: files)
    var configuration = MachineConfiguration()
    configuration.board = board.rawValue
    configuration.cpu = model
    configuration.display = display
    configuration.engine = engine
    configuration.memoryMegabytes = 8
    // What devices take is short then, against what the program does.
    configuration.instructionsPerSecond = 2_000_000
    configuration.bios = LoadFile(path: "fuzz", bytes: DeviceFuzzROMs.reset)
    configuration.serialPorts = 4
    configuration.floppyTypes = [.threeInch1440, .fiveInch1200]
    configuration.keepsWritesInMemory = true
    configuration.testDevice = true
    configuration.exitPort = 0xB004
    configuration.parts = ["pnp-uart", "pnp-uart"]
    // The other board has one already.
    if board.rawValue == "isa", model.features.contains(.apic) {
      configuration.parts.append("io-apic")
    }
    configuration.firmwareFiles = []
    func image(_ path: String, _ kind: ImageKind, isProtected: Bool = false) throws
      -> MachineImage
    {
      MachineImage(
        try ImageOpener.open(path: path, kind: kind, readOnly: isProtected, snapshot: true))
    }
    for (n, floppy) in media.floppies.enumerated() {
      configuration.floppies[n] = try floppy.map {
        try image($0.path, .floppy, isProtected: $0.isProtected)
      }
    }
    configuration.disks[0] = try image(files.disk, .disk)
    configuration.disks[3] = try image(files.otherDisk, .disk)
    for (n, disc) in media.discs.enumerated() {
      configuration.cds[n + 1] = try disc.map { .disc(try image($0, .cd)) } ?? .empty
    }
    let machine = try Machine(configuration)
    for cpu in machine.processors { cpu.translationThreshold = 2 }
    return machine
  }

  /// Puts the program and a table into a machine's memory, and its processor before them.
  /// - Parameters:
  ///   - immediates: the port numbers of the accesses that have them in their instructions.
  ///   - reads: what interrupts read, a bit for a device.
  func start(
    _ machine: Machine, _ accesses: [FuzzAccess], pages: [(UInt32, [UInt8])], immediates: [UInt8],
    reads: UInt32
  ) {
    machine.reset(.processor)
    let (memory, cpu) = (machine.memory, machine.cpu)
    func put(_ address: UInt32, _ bytes: [UInt8]) {
      bytes.withUnsafeBytes { memory.copyIn(address, from: $0) }
    }
    func put(_ address: UInt32, _ value: UInt32) {
      withUnsafeBytes(of: value.littleEndian) { memory.copyIn(address, from: $0) }
    }
    put(FuzzWorld.origin, program)
    put(FuzzWorld.origin + 0x1000, reads)
    put(FuzzWorld.origin + 0x1004, model.features.contains(.sse) ? 1 : 0)
    for (n, port) in immediates.prefix(3).enumerated() {
      let at = 0x1008 + 4 * n
      let place = UInt32(program[at]) | UInt32(program[at + 1]) << 8 | UInt32(program[at + 2]) << 16
      put(place, [port])
    }
    var table = [UInt8]()
    table.reserveCapacity(accesses.count * FuzzAccess.size + 16)
    for access in accesses {
      for word in access.words { withUnsafeBytes(of: word.littleEndian) { table += $0 } }
    }
    put(FuzzWorld.table, table + [UInt8](repeating: 0, count: 16))
    for (address, bytes) in pages { put(address, bytes) }

    let s = cpu.s
    s.pointee.cr0 = 0x11
    cpu.flushTLB()
    cpu.setEFLAGS(2)
    for n in 0..<6 {
      var cache = SegmentCache()
      cache.selector = n == SegmentRegister.cs ? 0x08 : 0x10
      cache.limit = UInt32.max
      cache.attributes = n == SegmentRegister.cs ? 0xC09B : 0xC093
      cpu[segment: n] = cache
    }
    for n in 0..<8 { cpu[n] = 0 }
    cpu[Register.esi] = FuzzWorld.table
    s.pointee.eip = FuzzWorld.origin
    cpu.setEFLAGS(2)
    // Registers were set behind the processor's back: derived state follows CS.
    cpu[segment: SegmentRegister.cs] = cpu[segment: SegmentRegister.cs]
  }

  /// How many accesses of a table were made.
  func progress(_ machine: Machine, of count: Int) -> Int {
    let bytes = machine.memory.peek(FuzzWorld.saved, count: 4)
    let at = bytes.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    // The entry that ends a table is passed too.
    let done = Int(at &- FuzzWorld.table) / FuzzAccess.size
    return at >= FuzzWorld.table && done <= count + 1 ? min(done, count) : 0
  }
}
