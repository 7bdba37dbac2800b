// What a recording says of a machine: what identifies the run, and hashes of its parts along the way.
//
// Owns: which parts there are and how they are hashed. Must not know: the recording's format.

import Bus
import CPU
import Chipset
import FirmwareImages
import State
import Storage

/// The version of the emulator.
public enum ApusVersion {
  /// As `apus --version` shows it.
  public static let text = "0.1.0"
}

/// A hash of all RAM, fast enough to be taken now and then.
final class MemoryHash {
  /// Where there is more memory, only pages that were written are hashed again. Keeping track of them has its price too: all
  /// writes go through the translation tables.
  private static let wholePages = 1 << 16
  private var pages: [UInt64]
  private let isIncremental: Bool
  private(set) var value: UInt64 = 0

  init(_ cpu: CPU) {
    isIncremental = cpu.memory.pageCount > MemoryHash.wholePages
    pages = [UInt64](repeating: 0, count: cpu.memory.pageCount)
    if isIncremental { cpu.takeWrittenPages(.hashes) { _ in } }
    cpu.memory.forEachUsedPage { take($0, cpu.memory) }
  }

  /// Takes in what was written since the last time.
  func update(_ cpu: CPU) {
    if isIncremental {
      cpu.takeWrittenPages(.hashes) { take($0, cpu.memory) }
    } else {
      var used = [Bool](repeating: false, count: pages.count)
      cpu.memory.forEachUsedPage {
        used[$0] = true
        take($0, cpu.memory)
      }
      // Given back to the host since: zeros again.
      for page in pages.indices where !used[page] && pages[page] != 0 {
        value = value &- pages[page]
        pages[page] = 0
      }
    }
  }

  private func take(_ page: Int, _ memory: PhysicalMemory) {
    let hash = MemoryHash.hash(page, memory.page(page))
    value = value &- pages[page] &+ hash
    pages[page] = hash
  }

  /// Of one page with its number, 0 for zeros; four lanes side by side.
  private static func hash(_ number: Int, _ page: UnsafeRawBufferPointer) -> UInt64 {
    if PageStore.isZero(page) { return 0 }
    let prime: UInt64 = 0x9E37_79B9_7F4A_7C15
    var lanes = (UInt64(number) &+ 1, prime, prime &* 3, prime &* 5)
    for offset in stride(from: 0, to: 4096, by: 32) {
      func word(_ n: Int) -> UInt64 { page.load(fromByteOffset: offset + n, as: UInt64.self) }
      lanes.0 = (lanes.0 ^ word(0)) &* prime
      lanes.1 = (lanes.1 ^ word(8)) &* prime
      lanes.2 = (lanes.2 ^ word(16)) &* prime
      lanes.3 = (lanes.3 ^ word(24)) &* prime
      lanes.0 ^= lanes.0 >> 29
      lanes.1 ^= lanes.1 >> 29
      lanes.2 ^= lanes.2 >> 29
      lanes.3 ^= lanes.3 >> 29
    }
    var hash = StateHash()
    for lane in [lanes.0, lanes.1, lanes.2, lanes.3] { hash.add(lane) }
    return hash.value
  }
}

extension Machine {
  /// The names of the parts of `checkpoint`.
  var partNames: [String] {
    ["clock", "cpu"] + furtherParts + devices.map(\.stateName)
  }

  /// The state of one part as bytes, a section.
  func savePart(_ index: Int) -> [UInt8] {
    var writer = StateWriter()
    switch index {
    case 0: writer.section("clock", version: 1) { clock.save(to: &$0) }
    case 1: writer.section("cpu", version: CPU.stateVersion) { cpu.save(to: &$0) }
    case 2..<2 + furtherParts.count:
      let n = index - 2
      writer.section(furtherParts[n], version: furtherVersion(n)) { saveFurther(n, to: &$0) }
    default:
      let device = devices[index - 2 - furtherParts.count]
      writer.section(device.stateName, version: device.stateVersion) { device.save(to: &$0) }
    }
    return writer.bytes
  }

  /// Puts one part back.
  func restorePart(_ index: Int, _ bytes: [UInt8]) throws(StateError) {
    var reader = StateReader(bytes)
    switch index {
    case 0:
      try reader.section("clock", versions: 1...1) { (reader, _) throws(StateError) in
        try clock.restore(from: &reader)
        rateChanged()
      }
    case 1:
      try reader.section("cpu", versions: 1...CPU.stateVersion) {
        (reader, version) throws(StateError) in
        try cpu.restore(from: &reader, version: version)
      }
    case 2..<2 + furtherParts.count:
      let n = index - 2
      try reader.section(furtherParts[n], versions: 1...furtherVersion(n)) {
        (reader, version) throws(StateError) in
        try restoreFurther(n, from: &reader, version: version)
      }
    default:
      let device = devices[index - 2 - furtherParts.count]
      try reader.section(device.stateName, versions: 1...device.stateVersion) {
        (reader, version) throws(StateError) in
        try device.restore(from: &reader, version: version)
      }
    }
  }

  /// Hashes of everything. The guest is not affected.
  func checkpoint() -> Checkpoint {
    var checkpoint = Checkpoint()
    for index in partNames.indices {
      var hash = StateHash()
      savePart(index).withUnsafeBytes { hash.add($0) }
      checkpoint.parts.append(UInt32(truncatingIfNeeded: hash.value ^ hash.value >> 32))
    }
    if let memoryHash { memoryHash.update(cpu) } else { memoryHash = MemoryHash(cpu) }
    checkpoint.memory = memoryHash?.value ?? 0
    var writes = StateHash()
    for disk in disksInDrives { writes.add(disk.writeHash) }
    if ejectedWrites != 0 { writes.add(ejectedWrites) }
    checkpoint.diskWrites = writes.value
    checkpoint.cs = running[segment: SegmentRegister.cs].selector
    checkpoint.eip = running.currentEIP
    return checkpoint
  }

  /// A short hash of the running processor's registers.
  var processorCheck: UInt16 {
    var hash = StateHash()
    for n in 0..<8 { hash.add(UInt64(running[n])) }
    hash.add(UInt64(running.currentEIP))
    hash.add(UInt64(running[segment: SegmentRegister.cs].base))
    let value = hash.value ^ hash.value >> 32
    return UInt16(truncatingIfNeeded: value ^ value >> 16)
  }

  /// The images in the drives, and those taken out that may be needed again.
  var disks: [MachineDisk] { shelf }

  private var disksInDrives: [MachineDisk] {
    (floppyDisks + hardDisks + cdDiscs + [flashDisk]).compactMap { $0 }
  }

  /// Instructions that were executed; the count without the time the processor slept.
  var executedInstructions: UInt64 { instructionCount &- idleInstructions }

  // MARK: What a run depends on

  /// Names and values that a replay must have the same.
  func recordingIdentity() throws(StorageError) -> [(key: String, value: String)] {
    func identity(_ bytes: [UInt8]) -> String {
      var hash = StateHash()
      bytes.withUnsafeBytes { hash.add($0) }
      return "\(bytes.count) bytes, hash \(String(hash.value, radix: 16))"
    }
    var list: [(key: String, value: String)] = [
      ("apus", ApusVersion.text), ("memory", "\(configuration.memoryMegabytes) MB"),
      ("cpu", cpu.model.name), ("serial ports", "\(serial.count)"),
      ("bios", identity(configuration.bios?.bytes ?? FirmwareImages.bios)),
      ("vga bios", identity(configuration.videoROM)),
      ("boot order", configuration.bootOrder.map(\.rawValue).joined()),
      ("reset on triple fault", configuration.resetsOnTripleFault ? "yes" : "no"),
      ("exit port", configuration.exitPort.map { hexText(UInt64($0)) } ?? "none"),
    ]
    if configuration.offersBootMenu { list.append(("boot menu", "yes")) }
    for (index, type) in configuration.floppyTypes.enumerated() {
      if let type { list.append(("drive \(Machine.floppyName(index)) without a disk", "\(type)")) }
    }
    for (index, rom) in configuration.roms.enumerated() {
      list.append(
        ("rom \(index + 1)", "\(identity(rom.file.bytes)) at \(hexText(UInt64(rom.address)))"))
    }
    list += (firmwareFileIdentity + boardIdentity).map { (key: $0.0, value: $0.1) }
    if let kernel = configuration.kernel {
      list.append(("kernel", identity(kernel.kernel.bytes)))
      list.append(("kernel command line", "'\(kernel.commandLine)'"))
      if let initrd = kernel.initrd { list.append(("initrd", identity(initrd.bytes))) }
      for (index, module) in kernel.modules.enumerated() {
        list.append(
          ("module \(index + 1)", "\(identity(module.file.bytes)) '\(module.commandLine)'"))
      }
    }
    if let places = cdPlaces { list.append(("cd drives", places)) }
    let kinds = [
      ("floppy", floppyDisks), ("disk", hardDisks), ("cd", discsByPlace), ("flash", [flashDisk]),
    ]
    for (kind, images) in kinds {
      for (index, disk) in images.enumerated() {
        guard let disk else { continue }
        list.append(("\(kind) \(index + 1)", try diskIdentity(disk)))
      }
    }
    return list
  }

  /// What an image is, in words that are equal for equal ones.
  func diskIdentity(_ disk: MachineDisk) throws(StorageError) -> String {
    let access = disk.isReadOnly ? ", write-protected" : ""
    // A CD's are its own, of which the files may hold more bytes, or fewer.
    if let cd = disk.cd { return "\(cd.leadOut) sectors, hash \(try disk.contentHash())" }
    return "\(disk.sectorCount) sectors\(access), hash \(try disk.contentHash())"
  }
}
