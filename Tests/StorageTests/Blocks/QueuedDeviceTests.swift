// A device with a thread beside it: the same contents as without, and nothing lost when the host refuses.

import Host
import Synchronization
import Testing

@testable import Storage

/// A host's disk that can be slow and full. What the thread and the test set is behind locks.
private final class SlowHost: BlockDevice, @unchecked Sendable {
  let memory = MemoryImage(bytes: [UInt8](repeating: 0, count: 256 * 512))
  let microseconds = Atomic<Int>(0)
  let isFull = Atomic<Bool>(false)
  let isBroken = Atomic<Bool>(false)
  let flushes = Atomic<Int>(0)
  let settles = Atomic<Int>(0)
  let writer = Atomic<UInt>(0)

  var blockSize: Int { 512 }
  var blockCount: UInt64 { 256 }
  var capabilities: BlockCapabilities { .writable }
  var generation: UInt64 { memory.generation }

  private func work() throws(StorageError) {
    let time = microseconds.load(ordering: .relaxed)
    if time > 0 {
      let condition = HostCondition()
      condition.locked { condition.wait(nanoseconds: UInt64(time) * 1_000) }
    }
    if isBroken.load(ordering: .relaxed) { throw StorageError(path: "host", reason: "broken") }
  }

  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try work()
    try memory.read(block: block, into: buffer)
  }
  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try work()
    writer.store(HostThread.currentIdentity, ordering: .relaxed)
    if isFull.load(ordering: .relaxed) {
      throw StorageError(path: "host", reason: "full", lacksRoom: true)
    }
    try memory.write(block: block, from: buffer)
  }
  func flush() throws(StorageError) {
    try work()
    flushes.add(1, ordering: .relaxed)
  }
  func settle() throws(StorageError) -> Bool {
    settles.add(1, ordering: .relaxed)
    return false
  }
}

@Suite struct QueuedDeviceTests {
  private func block(_ value: UInt8, _ count: Int = 1) -> [UInt8] {
    [UInt8](repeating: value, count: 512 * count)
  }

  /// Waits until the device is ready, as whoever runs a guest does.
  private func ready(_ device: QueuedDevice, _ access: BlockAccess) -> Bool {
    for _ in 0..<500 {
      if device.isReady(for: access) { return true }
      device.awaitProgress(nanoseconds: 10_000_000)
    }
    return false
  }

  @Test(arguments: [QueuedDevice.Mode.always, .adaptive, .never])
  func holdsWhatWasWrittenInAnyOrder(mode: QueuedDevice.Mode) throws {
    let host = SlowHost()
    let device = QueuedDevice(host, mode: mode)
    var model = [UInt8](repeating: 0, count: 256 * 512)
    var seed: UInt64 = 88_172_645_463_325_252
    for step in 0..<2_000 {
      seed ^= seed << 13
      seed ^= seed >> 7
      seed ^= seed << 17
      let at = Int(seed >> 16 & 0xFF) % 250
      let count = Int(seed >> 40 & 3) + 1
      if step % 500 == 0 {
        host.microseconds.store(step % 1_000 == 0 ? 2_000 : 0, ordering: .relaxed)
      }
      if step % 20 == 10 { host.microseconds.store(0, ordering: .relaxed) }
      switch seed & 7 {
      case 0, 1, 2:
        let bytes = block(UInt8(truncatingIfNeeded: step), count)
        try device.write(block: UInt64(at), bytes)
        model.replaceSubrange(at * 512..<(at + count) * 512, with: bytes)
      case 3:
        try device.writeZeroes(block: UInt64(at), count: UInt64(count))
        model.replaceSubrange(at * 512..<(at + count) * 512, with: block(0, count))
      case 4:
        device.prepare(.flush)
        if seed & 8 != 0 { #expect(ready(device, .flush)) }
        try device.flush()
      case 5: device.prepare(.read(block: UInt64(at), count: UInt64(count)))
      default:
        device.prepare(.read(block: UInt64(at), count: UInt64(count)))
        if seed & 8 != 0 { #expect(ready(device, .read(block: UInt64(at), count: UInt64(count)))) }
        var bytes = block(1, count)
        try bytes.withUnsafeMutableBytes { try device.read(block: UInt64(at), into: $0) }
        #expect(bytes == Array(model[at * 512..<(at + count) * 512]))
      }
    }
    try device.finish()
    #expect(host.memory.bytes == model)
  }

  @Test func aThreadTakesOverWhereTheHostIsSlow() throws {
    let host = SlowHost()
    let device = QueuedDevice(host)
    try device.write(block: 1, block(1))
    #expect(host.writer.load(ordering: .relaxed) == HostThread.currentIdentity)
    host.microseconds.store(3_000, ordering: .relaxed)
    try device.write(block: 2, block(2))
    let start = HostClock.nanoseconds()
    for n: UInt64 in 3..<13 { try device.write(block: n, block(UInt8(n))) }
    #expect(HostClock.nanoseconds() - start < 20_000_000)
    try device.flush()
    #expect(host.writer.load(ordering: .relaxed) != HostThread.currentIdentity)
    for n in 1..<13 { #expect(host.memory.bytes[n * 512] == UInt8(n)) }
  }

  @Test func whatAFullHostRefusesIsKeptAndTriedAgain() throws {
    let host = SlowHost()
    let device = QueuedDevice(host, mode: .always)
    host.isFull.store(true, ordering: .relaxed)
    try device.write(block: 5, block(5))
    try device.write(block: 6, block(6))
    for _ in 0..<200 where device.trouble == nil { device.awaitProgress(nanoseconds: 10_000_000) }
    #expect(device.trouble?.lacksRoom == true)
    #expect(!device.isReady(for: .write(block: 7, count: 1)))
    #expect(throws: StorageError.self) { try device.flush() }
    // Who cannot be told sees what is there.
    #expect(device.generation == 0)
    host.isFull.store(false, ordering: .relaxed)
    #expect(ready(device, .write(block: 7, count: 1)))
    try device.flush()
    #expect(host.memory.bytes[5 * 512] == 5 && host.memory.bytes[6 * 512] == 6)
    #expect(device.trouble == nil)
  }

  @Test func whatWasReadAheadIsForgottenWhenItIsWritten() throws {
    let host = SlowHost()
    let device = QueuedDevice(host, mode: .always)
    device.prepare(.read(block: 9, count: 1))
    #expect(ready(device, .read(block: 9, count: 1)))
    try device.write(block: 9, block(9))
    #expect(try device.contents(of: 9) == block(9))
    host.isBroken.store(true, ordering: .relaxed)
    device.prepare(.read(block: 9, count: 1))
    #expect(ready(device, .read(block: 9, count: 1)))
    #expect(throws: StorageError.self) { try device.contents(of: 9) }
    host.isBroken.store(false, ordering: .relaxed)
    #expect(try device.contents(of: 9) == block(9))
  }

  @Test func aFlushThatNobodyTookDoesNotCoverLaterWrites() throws {
    let host = SlowHost()
    let device = QueuedDevice(host, mode: .always)
    device.prepare(.flush)
    #expect(ready(device, .flush))
    try device.write(block: 1, block(1))
    try device.flush()
    #expect(host.flushes.load(ordering: .relaxed) == 2)
  }

  @Test func writtenFormatsSettleSoonAfter() throws {
    let host = SlowHost()
    let device = QueuedDevice(host)
    try device.write(block: 1, block(1))
    for _ in 0..<400 where host.settles.load(ordering: .relaxed) == 0 {
      let condition = HostCondition()
      condition.locked { condition.wait(nanoseconds: 10_000_000) }
    }
    #expect(host.settles.load(ordering: .relaxed) == 1)
  }

  @Test func closingWritesWhatIsLeft() throws {
    let host = SlowHost()
    var device: QueuedDevice? = QueuedDevice(host, mode: .always)
    host.microseconds.store(1_000, ordering: .relaxed)
    for n: UInt64 in 0..<20 { try device?.write(block: n, block(UInt8(n + 1))) }
    device = nil
    for n in 0..<20 { #expect(host.memory.bytes[n * 512] == UInt8(n + 1)) }
  }
}
