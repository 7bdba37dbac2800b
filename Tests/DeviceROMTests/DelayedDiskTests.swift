// Disks of the host that are slow, full for a while or broken: nothing of it shows in the guest but what is told.

import Host
import State
import Storage
import TestSupport
import Testing

@testable import Machine

/// A disk in memory whose host takes its time and refuses things.
final class HostOfMoods: BlockDevice, @unchecked Sendable {
  let memory: MemoryImage
  private var random: Random
  /// One access in so many takes up to `longest` microseconds, others up to 300; 0: all are done at once.
  var delays = 0
  var longest: UInt64 = 50_000
  /// Of so many attempts to write the first four are refused; 0: none.
  var refusals = 0
  /// A block that cannot be read or written.
  var bad: UInt64?
  private var writes = 0

  init(_ bytes: [UInt8], seed: UInt64) {
    memory = MemoryImage(bytes: bytes, name: "disk")
    random = Random(seed: seed)
  }

  var blockSize: Int { memory.blockSize }
  var blockCount: UInt64 { memory.blockCount }
  var capabilities: BlockCapabilities { memory.capabilities }
  var generation: UInt64 { memory.generation }
  var persistence: BlockPersistence { .memory }
  func saveContents(to writer: inout StateWriter) { memory.saveContents(to: &writer) }
  func restoreContents(from reader: inout StateReader) throws(StateError) {
    try memory.restoreContents(from: &reader)
  }
  func forgetAll() { memory.forgetAll() }

  private func wait() {
    if delays == 0 { return }
    let number = random.next()
    let time = number % UInt64(delays) == 0 ? (number >> 32) % longest : (number >> 32) % 300
    let condition = HostCondition()
    condition.locked { condition.wait(nanoseconds: time * 1_000) }
  }

  private func check(_ block: UInt64, _ bytes: Int) throws(StorageError) {
    if let bad, block <= bad, bad < block + UInt64(bytes / 512) {
      throw StorageError(path: "disk", offset: bad * 512, reason: "Input/output error")
    }
  }

  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    wait()
    try check(block, buffer.count)
    try memory.read(block: block, into: buffer)
  }
  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    wait()
    try check(block, buffer.count)
    writes += 1
    if refusals > 0, 1...4 ~= writes % refusals {
      throw StorageError(path: "disk", reason: "no room is left", lacksRoom: true)
    }
    try memory.write(block: block, from: buffer)
  }
  func flush() throws(StorageError) { wait() }
}

/// A disc in memory whose host takes its time and has a bad sector.
final class DiscOfMoods: ByteStore, @unchecked Sendable {
  let memory: MemoryStore
  private let moods: HostOfMoods
  /// Where it cannot be read.
  var bad: UInt64?

  init(_ bytes: [UInt8], seed: UInt64) {
    memory = MemoryStore(bytes, name: "disc", isWritable: false)
    moods = HostOfMoods([UInt8](repeating: 0, count: 512), seed: seed)
  }

  var delays: Int {
    get { moods.delays }
    set { moods.delays = newValue }
  }
  var name: String { memory.name }
  var size: UInt64 { memory.size }
  var isWritable: Bool { false }
  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try moods.flush()
    if let bad, offset <= bad, bad < offset + UInt64(buffer.count) {
      throw StorageError(path: name, offset: bad, reason: "Input/output error")
    }
    try memory.read(at: offset, into: buffer)
  }
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    throw StorageError(path: name, reason: "may not be written")
  }
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    throw StorageError(path: name, reason: "may not be written")
  }
  func setSize(_ size: UInt64) throws(StorageError) {
    throw StorageError(path: name, reason: "may not be written")
  }
  func flush() {}
}

@Suite struct DelayedDiskTests {
  private static let enough: UInt64 = 400_000_000
  private static let programs = ["ide", "busmaster", "drives"]

  private func run(
    _ name: String, mode: QueuedDevice.Mode?, seed: UInt64 = 1,
    prepare: (HostOfMoods) -> Void = { _ in },
    configure: (inout MachineConfiguration) -> Void = { _ in },
    started: (Machine, [HostOfMoods]) throws -> Void = { _, _ in }
  ) throws -> (machine: Machine, disks: [HostOfMoods], notices: [String], stop: StopReason) {
    var configuration = try TestMachine.configuration(name: name, engine: engines.last!)
    var disks: [HostOfMoods] = []
    for number in 0..<configuration.disks.count {
      guard let image = configuration.disks[number] else { continue }
      let disk = HostOfMoods(Patterns.disks[number], seed: seed + UInt64(number))
      prepare(disk)
      disks.append(disk)
      configuration.disks[number] = MachineImage(
        name: image.name,
        device: mode.map {
          QueuedDevice(disk, mode: $0, writesBehind: configuration.diskErrors != .report)
        } ?? disk,
        medium: image.medium)
    }
    configure(&configuration)
    let machine = try Machine(configuration)
    var notices: [String] = []
    machine.notice = { notices.append($0) }
    try started(machine, disks)
    let stop = machine.run(untilInstruction: DelayedDiskTests.enough)
    for device in machine.configuration.disks.compactMap({ $0?.device }) { try device.flush() }
    return (machine, disks, notices, stop)
  }

  /// Reads and writes of the host take between nothing and a twentieth of a second.
  @Test(arguments: programs, [1, 2])
  func howLongTheHostTakesDoesNotShow(name: String, seed: UInt64) throws {
    let straight = try run(name, mode: nil)
    #expect(straight.stop == .guestExit(0x10 << 1 | 1))
    for mode in [QueuedDevice.Mode.always, .adaptive] {
      let delayed = try run(name, mode: mode, seed: seed) {
        // Many short ones, or a few that last up to half a second.
        ($0.delays, $0.longest) = seed == 1 ? (100, 50_000) : (1000, 500_000)
      }
      #expect(delayed.stop == straight.stop)
      #expect(delayed.machine.instructionCount == straight.machine.instructionCount)
      #expect(delayed.machine.stateHash() == straight.machine.stateHash())
      for (a, b) in zip(delayed.disks, straight.disks) { #expect(a.memory.bytes == b.memory.bytes) }
      #expect(delayed.notices == straight.notices)
    }
  }

  /// A full host stops the machine until there is room, and the guest does not know of it.
  @Test(arguments: [QueuedDevice.Mode.always, .never])
  func aFullHostIsWaitedFor(mode: QueuedDevice.Mode) throws {
    let straight = try run("ide", mode: nil)
    let refused = try run("ide", mode: mode) { $0.refusals = 20 }
    #expect(refused.stop == straight.stop)
    #expect(refused.machine.stateHash() == straight.machine.stateHash())
    for (a, b) in zip(refused.disks, straight.disks) { #expect(a.memory.bytes == b.memory.bytes) }
    #expect(
      refused.notices.contains { $0.contains("no room is left") && $0.contains("stands still") })
  }

  /// An error that the guest saw is repeated on a disk that has none.
  @Test(arguments: [QueuedDevice.Mode.always, .never])
  func aBrokenHostIsReportedAndRepeated(mode: QueuedDevice.Mode) throws {
    var bytes: [UInt8] = []
    let target = RecordingWriter.Target(append: { (more) throws(HostError) in bytes += more })
    let broken = try run("busmaster", mode: mode) { _ in
    } configure: {
      $0.diskErrors = .report
    } started: { machine, disks in
      try machine.startRecording(to: target, notes: [])
      disks[0].bad = 5
    }
    broken.machine.finishRecording(broken.stop)
    let recording = try Recording(bytes)
    #expect(
      recording.entries.contains {
        if case .input(.diskError(drive: 0, block: _), _) = $0.event { true } else { false }
      })
    let repeated = try run("busmaster", mode: mode) { _ in
    } configure: {
      $0.diskErrors = .report
    } started: { machine, _ in
      try machine.startReplay(recording)
    }
    #expect(repeated.stop == broken.stop)
    #expect(repeated.machine.instructionCount == broken.machine.instructionCount)
    #expect(repeated.machine.stateHash() == broken.machine.stateHash())
  }

  // MARK: Discs and floppies

  /// - Parameter mode: nil: without a thread.
  private func runRemovable(
    _ name: String, mode: QueuedDevice.Mode?, delays: Int = 0,
    started: (Machine, DiscOfMoods?) throws -> Void = { _, _ in }
  ) throws -> (machine: Machine, stop: StopReason) {
    var configuration = try TestMachine.configuration(name: name, engine: engines.last!)
    func beside(_ image: MachineImage) -> MachineImage {
      mode.map { image.beside(mode: $0, writesBehind: true) } ?? image
    }
    var disc: DiscOfMoods?
    if case .disc = configuration.cds[2] {
      let store = DiscOfMoods(Patterns.disc, seed: 3)
      let image = MachineImage(try ImageOpener.disc(store))
      store.delays = delays
      disc = store
      configuration.cds[2] = .disc(beside(image))
    }
    for (index, bytes) in [Patterns.floppy, Patterns.floppyB].enumerated() {
      guard var image = configuration.floppies[index] else { continue }
      let disk = HostOfMoods(bytes, seed: UInt64(index) + 5)
      disk.delays = delays
      image.device = disk
      configuration.floppies[index] = beside(image)
    }
    let machine = try Machine(configuration)
    try started(machine, disc)
    return (machine, machine.run(untilInstruction: DelayedDiskTests.enough))
  }

  @Test(arguments: ["cdrom", "fdc", "dma"], [QueuedDevice.Mode.always, .adaptive])
  func howLongDiscsAndFloppiesTakeDoesNotShow(name: String, mode: QueuedDevice.Mode) throws {
    let straight = try runRemovable(name, mode: nil)
    #expect(straight.stop == .guestExit(0x10 << 1 | 1))
    let delayed = try runRemovable(name, mode: mode, delays: 20)
    #expect(delayed.stop == straight.stop)
    #expect(delayed.machine.instructionCount == straight.machine.instructionCount)
    #expect(delayed.machine.stateHash() == straight.machine.stateHash())
  }

  /// A sector that could not be read is not read in a repetition either.
  @Test(arguments: [QueuedDevice.Mode.always, .never])
  func anErrorOfADiscIsRepeated(mode: QueuedDevice.Mode) throws {
    var bytes: [UInt8] = []
    let target = RecordingWriter.Target(append: { (more) throws(HostError) in bytes += more })
    let broken = try runRemovable("cdrom", mode: mode) { machine, disc in
      try machine.startRecording(to: target, notes: [])
      disc?.bad = 17 * 2048
    }
    broken.machine.finishRecording(broken.stop)
    let recording = try Recording(bytes)
    #expect(
      recording.entries.contains {
        if case .input(.diskError(drive: 4, block: _), _) = $0.event { true } else { false }
      })
    let repeated = try runRemovable("cdrom", mode: mode) { machine, _ in
      try machine.startReplay(recording)
    }
    #expect(repeated.stop == broken.stop)
    #expect(repeated.machine.instructionCount == broken.machine.instructionCount)
    #expect(repeated.machine.stateHash() == broken.machine.stateHash())
  }
}
