// A disc's files with a thread beside them.
//
// Owns: what of the files is read ahead of time, and where it waits until it is fetched. Must not know: sectors, drives.
// The files stand in one row (`CDFiles`), of which the thread reads blocks; whoever fetches takes pieces of them. Whatever else reads the
// files does so while the thread leaves them alone: not every kind of file can be read by two at once.

/// Reads the files of a disc ahead of time.
final class CDAhead {
  private static let blockSize: UInt64 = 512
  let queue: QueuedDevice
  /// Where each file begins in the row.
  private let starts: [(store: any ByteStore, start: UInt64)]
  /// Blocks that were asked for.
  private var asked: Range<UInt64>?
  /// Blocks that are here.
  private var held: Range<UInt64>?
  private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  /// Somebody has asked whether they are there, and they were not.
  private(set) var isWaitedFor = false

  /// - Parameter files: of the disc; used through `queue` only from now on.
  init(_ files: CDFiles, mode: QueuedDevice.Mode) {
    queue = QueuedDevice(files, mode: mode)
    var start: UInt64 = 0
    starts = files.stores.map { store in
      defer { start += store.size }
      return (store, start)
    }
  }

  deinit { buffer.deallocate() }

  private func start(of store: any ByteStore) -> UInt64? {
    starts.first { $0.store === store }?.start
  }

  /// Lets the host begin with what will be fetched next.
  func prepare(_ store: any ByteStore, at offset: UInt64, count: Int) {
    asked = nil
    guard queue.isSlow, count > 0, let start = start(of: store), offset < store.size else { return }
    let end = start + min(offset + UInt64(count), store.size)
    let blocks =
      (start + offset) / CDAhead.blockSize..<(end + CDAhead.blockSize - 1) / CDAhead.blockSize
    asked = blocks
    queue.prepare(.read(block: blocks.lowerBound, count: UInt64(blocks.count)))
  }

  /// Whether what was prepared can be fetched without waiting.
  func isReady() -> Bool {
    guard let asked else { return true }
    let isReady = queue.isReady(for: .read(block: asked.lowerBound, count: UInt64(asked.count)))
    isWaitedFor = !isReady
    return isReady
  }

  func awaitProgress(nanoseconds: UInt64) {
    isWaitedFor = false
    queue.awaitProgress(nanoseconds: nanoseconds)
  }

  /// Fetches bytes of a file, inside its size.
  func read(
    _ store: any ByteStore, at offset: UInt64, into target: UnsafeMutableRawBufferPointer
  ) throws(StorageError) {
    guard asked != nil || held != nil, let start = start(of: store) else {
      return try queue.beside { () throws(StorageError) in try store.read(at: offset, into: target)
      }
    }
    let (first, end) = (start + offset, start + offset + UInt64(target.count))
    func covers(_ blocks: Range<UInt64>?) -> Bool {
      guard let blocks else { return false }
      return blocks.lowerBound * CDAhead.blockSize <= first
        && end <= blocks.upperBound * CDAhead.blockSize
    }
    if covers(asked), let blocks = asked {
      asked = nil
      held = nil
      let count = blocks.count * Int(CDAhead.blockSize)
      if buffer.count < count {
        buffer.deallocate()
        buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 4096)
      }
      try queue.read(
        block: blocks.lowerBound, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
      held = blocks
    }
    if covers(held), let blocks = held {
      let from = Int(first - blocks.lowerBound * CDAhead.blockSize)
      return target.copyMemory(
        from: UnsafeRawBufferPointer(rebasing: buffer[from..<from + target.count]))
    }
    try queue.beside { () throws(StorageError) in try store.read(at: offset, into: target) }
  }
}
