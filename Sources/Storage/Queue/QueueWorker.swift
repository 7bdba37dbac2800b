// The thread beside a device, and what it has to do.
//
// Owns: the queue of writes, one read and one flush that were begun ahead of time, the thread, what is slow. Must not know: what the device
// is, who asks.
// The device is used by one of two at a time: by the thread while `isWorking`, or by whoever asks, with the lock held.

import Host
import Synchronization

/// Carries out what was handed over, in its order.
final class QueueWorker: @unchecked Sendable {
  enum Work {
    case read(UInt64, UnsafeMutableRawBufferPointer)
    /// The bytes are the worker's.
    case write(UInt64, UnsafeMutableRawBufferPointer)
    case flush
  }

  /// What was begun ahead of time.
  private enum Ahead {
    case none, underWay, done
    case failed(StorageError)
  }

  /// Slower than this, in nanoseconds, is slow: from here on a thread costs little beside it.
  private static let slow: UInt64 = 1_000_000
  /// After so many quick ones in a row nothing is slow any more.
  private static let patience = 64
  /// Bytes that may wait.
  private static let mostBytes = 8 << 20
  /// How long a write that was refused waits until it is tried again, in nanoseconds.
  private static let retryTime: UInt64 = 500_000_000
  /// How long after a write the device is asked to settle, in nanoseconds.
  private static let settleTime: UInt64 = 1_000_000_000

  /// The largest read that is begun ahead of time.
  static func mostBlocks(_ blockSize: Int) -> UInt64 { UInt64((1 << 20) / blockSize) }

  private let device: any BlockDevice
  private let condition = HostCondition()
  private var thread: HostThread?
  private var hasEnded = false

  private var queue: [Work] = []
  private var queuedBytes = 0
  private var isWorking = false
  private var failure: StorageError?
  private var triesNow = false
  /// Something was written that a format may keep back.
  private var isUnsettled = false

  private var readBlock: UInt64 = 0
  private var readBuffer: UnsafeMutableRawBufferPointer?
  private var reading = Ahead.none
  private var flushing = Ahead.none

  /// Quick accesses that are still needed until the thread is not; only whoever asks and the lock's holder change it.
  private let slowness: Atomic<Int>
  private let isAlwaysSlow: Bool

  init(_ device: any BlockDevice, isAlwaysSlow: Bool) {
    self.device = device
    self.isAlwaysSlow = isAlwaysSlow
    slowness = Atomic(isAlwaysSlow ? 1 : 0)
  }

  deinit { readBuffer?.deallocate() }

  /// Whether the thread should do what can wait.
  var isSlow: Bool { slowness.load(ordering: .relaxed) > 0 }

  private func took(_ nanoseconds: UInt64) {
    if nanoseconds > QueueWorker.slow {
      slowness.store(QueueWorker.patience, ordering: .relaxed)
    } else if !isAlwaysSlow {
      let left = slowness.load(ordering: .relaxed)
      if left > 0 { slowness.store(left - 1, ordering: .relaxed) }
    }
  }

  static func copy(_ bytes: UnsafeRawBufferPointer) -> UnsafeMutableRawBufferPointer {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 4096)
    copy.copyMemory(from: bytes)
    return copy
  }

  // MARK: Without the thread

  /// Waits until nothing is left to do, with the lock held.
  /// - Throws: why it cannot be done.
  private func waitUntilIdle() throws(StorageError) {
    while isWorking || !queue.isEmpty {
      if let failure, !isWorking { throw failure }
      condition.wait()
    }
  }

  /// Runs `body` when nothing is under way.
  func alone<T>(_ body: () throws(StorageError) -> T) throws(StorageError) -> T {
    try condition.locked { () throws(StorageError) in
      try waitUntilIdle()
      return try body()
    }
  }

  /// The same, where the host may have refused what is still in the queue.
  func aloneAnyway<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
    try condition.locked { () throws(E) in
      do throws(StorageError) { try waitUntilIdle() } catch {}
      return try body()
    }
  }

  /// The same, and looks how long it takes.
  func aloneTimed(_ body: () throws(StorageError) -> Void) throws(StorageError) {
    try condition.locked { () throws(StorageError) in
      try waitUntilIdle()
      let start = HostClock.nanoseconds()
      defer { took(HostClock.nanoseconds() &- start) }
      try body()
    }
  }

  // MARK: Handing over

  private func start() {
    if thread != nil || hasEnded { return }
    // Without a thread whoever asks does it, as before.
    thread = try? HostThread(stackSize: 512 << 10) { [unowned self] in work() }
  }

  /// Adds something to be done; waits while too much waits already.
  func add(_ work: Work, bytes: Int) {
    condition.locked {
      start()
      while queuedBytes > QueueWorker.mostBytes && thread != nil { condition.wait() }
      queue.append(work)
      queuedBytes += bytes
      if thread == nil { carryOut() }
    }
    condition.broadcast()
  }

  /// Whether a write can be taken without waiting.
  var hasRoom: Bool { condition.locked { failure == nil && queuedBytes <= QueueWorker.mostBytes } }

  var trouble: StorageError? { condition.locked { failure } }

  /// A device that was written by whoever asked may have something to settle.
  func noteWrite() {
    if condition.locked({
      start()
      defer { isUnsettled = true }
      return !isUnsettled
    }) {
      condition.broadcast()
    }
  }

  // MARK: Ahead of time

  func prepareRead(_ block: UInt64, bytes: Int) {
    condition.locked {
      start()
      if thread == nil { return }
      if case .underWay = reading { return }
      if readBuffer.map({ $0.count < bytes }) ?? true {
        readBuffer?.deallocate()
        readBuffer = .allocate(byteCount: bytes, alignment: 4096)
      }
      readBlock = block
      readBytes = bytes
      reading = .underWay
      queue.append(.read(block, UnsafeMutableRawBufferPointer(rebasing: readBuffer![..<bytes])))
    }
    condition.broadcast()
  }

  private var readBytes = 0

  /// Whether it need not be waited for: it is there, or was never begun and nothing else is under way.
  func isReadReady(_ block: UInt64, bytes: Int) -> Bool {
    condition.locked {
      if case .underWay = reading { return false }
      if case .none = reading { return !isWorking && queue.isEmpty }
      return true
    }
  }

  /// Takes what was read ahead, if it was this.
  func takePrepared(_ block: UInt64, _ buffer: UnsafeMutableRawBufferPointer) throws(StorageError)
    -> Bool
  {
    try condition.locked { () throws(StorageError) in
      while case .underWay = reading {
        if let failure, !isWorking { throw failure }
        condition.wait()
      }
      defer { reading = .none }
      switch reading {
      case .done where block == readBlock && buffer.count == readBytes:
        buffer.copyMemory(
          from: UnsafeRawBufferPointer(rebasing: readBuffer.unsafelyUnwrapped[..<readBytes]))
        return true
      case .failed(let error) where block == readBlock && buffer.count == readBytes: throw error
      default: return false
      }
    }
  }

  /// What was read ahead is not wanted any more, or not true.
  func forgetPrepared() {
    condition.locked {
      // A flush that nobody has taken says nothing of what is written from here on.
      if case .done = flushing { flushing = .none }
      if case .none = reading { return }
      while case .underWay = reading {
        if failure != nil && !isWorking {
          queue.removeAll { if case .read = $0 { true } else { false } }
          break
        }
        condition.wait()
      }
      reading = .none
    }
  }

  func prepareFlush() {
    condition.locked {
      start()
      if thread == nil { return }
      if case .underWay = flushing { return }
      flushing = .underWay
      queue.append(.flush)
    }
    condition.broadcast()
  }

  var isFlushReady: Bool {
    condition.locked {
      if case .underWay = flushing { return false }
      return failure == nil
    }
  }

  /// Takes the end of a flush that was begun; no: none was.
  func takeFlush() throws(StorageError) -> Bool {
    try condition.locked { () throws(StorageError) in
      while case .underWay = flushing {
        if let failure, !isWorking { throw failure }
        condition.wait()
      }
      defer { flushing = .none }
      switch flushing {
      case .none, .underWay: return false
      case .done: return true
      case .failed(let error): throw error
      }
    }
  }

  /// Waits until something changes, if anything is under way.
  func awaitProgress(_ nanoseconds: UInt64) {
    condition.locked {
      if isWorking || !queue.isEmpty { condition.wait(nanoseconds: nanoseconds) }
    }
  }

  // MARK: The thread

  private func work() {
    condition.locked {
      while true {
        if hasEnded && (queue.isEmpty || failure != nil) { break }
        if queue.isEmpty {
          if isUnsettled {
            condition.wait(nanoseconds: QueueWorker.settleTime)
            if queue.isEmpty && !hasEnded { settle() }
          } else {
            condition.wait()
          }
        } else {
          carryOut()
          condition.broadcast()
          if failure != nil && !hasEnded {
            condition.wait(nanoseconds: QueueWorker.retryTime)
          }
        }
      }
    }
    condition.broadcast()
  }

  /// Somebody whose writes wait somewhere in a format loses little when the program is killed.
  private func settle() {
    isUnsettled = false
    // With the lock held: whoever asks meanwhile waits for what is a few pages in the host's cache.
    if let waits = try? device.settle(), waits { isUnsettled = true }
  }

  /// Does the first piece of work, the lock let go of meanwhile.
  private func carryOut() {
    let work = queue[0]
    isWorking = true
    let error = condition.unlocked { () -> StorageError? in
      let start = HostClock.nanoseconds()
      defer { took(HostClock.nanoseconds() &- start) }
      return QueueWorker.carryOut(work, device)
    }
    finished(work, error)
    isWorking = false
  }

  private static func carryOut(_ work: Work, _ device: any BlockDevice) -> StorageError? {
    do throws(StorageError) {
      switch work {
      case .read(let block, let buffer): try device.read(block: block, into: buffer)
      case .write(let block, let buffer):
        try device.write(block: block, from: UnsafeRawBufferPointer(buffer))
      case .flush: try device.flush()
      }
      return nil
    } catch {
      return error
    }
  }

  private func finished(_ work: Work, _ error: StorageError?) {
    switch work {
    case .read: reading = error.map { .failed($0) } ?? .done
    case .flush: flushing = error.map { .failed($0) } ?? .done
    case .write(_, let buffer):
      failure = error
      if error != nil { return }
      queuedBytes -= buffer.count
      buffer.deallocate()
      isUnsettled = true
    }
    queue.removeFirst()
  }

  /// Does what is left, as far as the host lets it, and ends the thread.
  func end() {
    let thread = condition.locked { () -> HostThread? in
      hasEnded = true
      defer { self.thread = nil }
      return self.thread
    }
    condition.broadcast()
    thread?.join()
    condition.locked {
      for case .write(_, let buffer) in queue { buffer.deallocate() }
      queue = []
      queuedBytes = 0
    }
  }
}
