// A device whose host's disk works beside the machine.
//
// Owns: when an access is carried out by whoever asks and when by a thread, the writes that wait, what happens when the host refuses one of
// them. Must not know: formats, controllers, virtual time.
// Handing an access to a thread costs more than reading from the host's cache. So the thread takes over only where accesses turned out to
// be slow, for as long as they are; which of the two it was can be seen in nothing but the time that passes on the host.
//
// A write that was handed over counts as done: reading shows it, a flush waits for it. When the host refuses it, it stays first in the queue
// and is tried again until it succeeds: nothing that was taken over is dropped while the program lives.

import Host
import State

/// A device with a thread beside it.
public final class QueuedDevice: BlockDevice {
  /// Who carries accesses out.
  public enum Mode: Sendable {
    /// The thread, where they were slow.
    case adaptive
    /// The thread, what can be done by it.
    case always
    /// Whoever asks.
    case never
  }

  let device: any BlockDevice
  private let worker: QueueWorker
  private let mode: Mode
  /// Whether a write may count as done before it is.
  private let writesBehind: Bool

  public let name: String
  public let blockSize: Int

  /// - Parameters:
  ///   - device: used only through this from now on.
  ///   - writesBehind: whether writes may wait in the queue. Without, whoever writes learns at once of the host's refusal.
  public init(_ device: any BlockDevice, mode: Mode = .adaptive, writesBehind: Bool = true) {
    self.device = device
    self.mode = mode
    self.writesBehind = writesBehind
    name = device.name
    blockSize = device.blockSize
    worker = QueueWorker(device, isAlwaysSlow: mode == .always)
  }

  deinit { worker.end() }

  /// The device, when nothing is under way. Inside `body` the thread leaves it alone.
  private func quiet<T>(_ body: (any BlockDevice) throws(StorageError) -> T) throws(StorageError)
    -> T
  {
    try worker.alone { () throws(StorageError) in try body(device) }
  }

  /// The same where there is no way to say that the host refused an earlier write: the device without what still waits.
  private func calm<T>(_ body: (any BlockDevice) -> T) -> T { worker.aloneAnyway { body(device) } }

  /// Whether accesses turned out to be slow of late.
  public var isSlow: Bool { mode != .never && worker.isSlow }

  /// Runs something while the thread leaves the device alone; what was read ahead is not believed afterwards.
  /// - Throws: also why an earlier write does not reach the host's disk.
  public func alone(_ body: () throws(StorageError) -> Void) throws(StorageError) {
    worker.forgetPrepared()
    try worker.alone(body)
  }

  /// Reads what the device reads by another way, when nothing is under way.
  func beside(_ body: () throws(StorageError) -> Void) throws(StorageError) {
    try worker.aloneTimed(body)
  }

  public var blockCount: UInt64 { device.blockCount }
  public var byteCount: UInt64 { calm { $0.byteCount } }
  public var capabilities: BlockCapabilities { device.capabilities }

  // MARK: Transfers

  private func count(_ bytes: Int) -> UInt64 { UInt64(bytes / blockSize) }

  public func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    if try worker.takePrepared(block, buffer) { return }
    try worker.aloneTimed { () throws(StorageError) in try device.read(block: block, into: buffer) }
  }

  public func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    worker.forgetPrepared()
    if writesBehind, mode != .never, !isReadOnly, worker.isSlow {
      try checkBlocks(block, count(buffer.count))
      return worker.add(.write(block, QueueWorker.copy(buffer)), bytes: buffer.count)
    }
    try worker.aloneTimed { () throws(StorageError) in
      try device.write(block: block, from: buffer)
    }
    worker.noteWrite()
  }

  public func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    worker.forgetPrepared()
    try worker.aloneTimed { () throws(StorageError) in
      try device.writeZeroes(block: block, count: count)
    }
    worker.noteWrite()
  }

  public func discard(block: UInt64, count: UInt64) throws(StorageError) {
    worker.forgetPrepared()
    try worker.aloneTimed { () throws(StorageError) in
      try device.discard(block: block, count: count)
    }
    worker.noteWrite()
  }

  public func flush() throws(StorageError) {
    if try worker.takeFlush() { return }
    try quiet { (device) throws(StorageError) in try device.flush() }
  }

  public func finish() throws(StorageError) {
    worker.forgetPrepared()
    try quiet { (device) throws(StorageError) in try device.finish() }
  }

  public func settle() throws(StorageError) -> Bool {
    try quiet { (device) throws(StorageError) in try device.settle() }
  }

  // MARK: Ahead of time

  public func prepare(_ access: BlockAccess) {
    switch access {
    case .read(let block, let count):
      guard mode != .never, count > 0, count <= QueueWorker.mostBlocks(blockSize), worker.isSlow,
        block < blockCount, count <= blockCount - block
      else { return }
      worker.prepareRead(block, bytes: Int(count) * blockSize)
    case .flush: if mode != .never { worker.prepareFlush() }
    case .write: break
    }
  }

  public func isReady(for access: BlockAccess) -> Bool {
    switch access {
    case .read(let block, let count):
      worker.isReadReady(block, bytes: Int(clamping: count) &* blockSize)
    case .flush: worker.isFlushReady
    case .write: worker.hasRoom
    }
  }

  public func awaitProgress(nanoseconds: UInt64) { worker.awaitProgress(nanoseconds) }
  public var trouble: StorageError? { worker.trouble }

  // MARK: Everything else, when nothing is under way

  public func nextData(from block: UInt64) -> UInt64 { calm { $0.nextData(from: block) } }
  public func extent(at block: UInt64, limit: UInt64) throws(StorageError) -> BlockExtent {
    try quiet { (device) throws(StorageError) in try device.extent(at: block, limit: limit) }
  }
  public func resize(to blockCount: UInt64) throws(StorageError) {
    worker.forgetPrepared()
    try quiet { (device) throws(StorageError) in try device.resize(to: blockCount) }
  }
  public func clusterHashes() throws(StorageError) -> ClusterHashes {
    try quiet { (device) throws(StorageError) in try device.clusterHashes() }
  }
  public var generation: UInt64 { calm { $0.generation } }
  public var persistence: BlockPersistence { device.persistence }
  public var base: (any BlockDevice)? { calm { $0.base } }
  public var layer: BlockLayer { calm { $0.layer } }
  public var layers: [BlockLayer] { calm { $0.layers } }
  public func isWritten(_ block: UInt64) -> Bool { calm { $0.isWritten(block) } }
  public var writtenBlockCount: UInt64 { calm { $0.writtenBlockCount } }
  public var writtenBlocks: [UInt64] { calm { $0.writtenBlocks } }
  public func forget(_ block: UInt64) {
    worker.forgetPrepared()
    calm { $0.forget(block) }
  }
  public func forgetAll() {
    worker.forgetPrepared()
    calm { $0.forgetAll() }
  }
  public func saveContents(to writer: inout StateWriter) {
    worker.aloneAnyway { device.saveContents(to: &writer) }
  }
  public func restoreContents(from reader: inout StateReader) throws(StateError) {
    worker.forgetPrepared()
    try worker.aloneAnyway { () throws(StateError) in try device.restoreContents(from: &reader) }
  }
  public func mark() -> FileMark { calm { $0.mark() } }
  public func change(since mark: FileMark) -> String? { calm { $0.change(since: mark) } }
  public var displacement: String? { calm { $0.displacement } }
  public func unlock() { calm { $0.unlock() } }
  public func lockAgain() throws(StorageError) {
    try quiet { (device) throws(StorageError) in try device.lockAgain() }
  }
  public func close() {
    worker.end()
    device.close()
  }
}
