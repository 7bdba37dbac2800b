// Many read, one writes: pieces of a disk are read by several threads and come out in their order.
//
// Owns: the threads, the ring of pieces, the order. Must not know: what is read, what becomes of it.

import Host
import Storage

/// A piece of a disk on its way.
final class Chunk {
  /// Where it begins on the disk, and how long it is.
  fileprivate(set) var offset: UInt64 = 0
  fileprivate(set) var count: UInt64 = 0
  /// Nothing is read: it is zeros.
  fileprivate(set) var isZero = false
  /// Room for what is read; 2 MiB.
  let buffer: UnsafeMutableRawBufferPointer
  /// More room for readers that compare.
  var second: UnsafeMutableRawBufferPointer {
    if let more { return more }
    let new = UnsafeMutableRawBufferPointer.allocate(byteCount: buffer.count, alignment: 4096)
    more = new
    return new
  }
  private var more: UnsafeMutableRawBufferPointer?
  /// What readers say of the bytes: runs that are data, in order.
  var runs: [Run] = []
  fileprivate var isReady = false
  fileprivate var error: (any Error)?

  struct Run {
    var start: Int
    var count: Int
    var isZero: Bool
    /// The compressed form of exactly these bytes.
    var compressed: [UInt8]?
  }

  init(size: Int) { buffer = .allocate(byteCount: size, alignment: 4096) }

  deinit {
    buffer.deallocate()
    more?.deallocate()
  }

  /// The bytes that count.
  var bytes: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(count)])
  }
}

/// What comes next.
struct ChunkWish {
  var offset: UInt64
  var count: UInt64
  var isZero: Bool
}

/// Readers, each of them used by one thread at a time.
final class ChunkPipeline {
  static let chunkSize = 2 << 20

  /// Fills a chunk's buffer and says what is in it.
  typealias Reader = (Chunk) throws -> Void

  private final class State: @unchecked Sendable {
    let condition = HostCondition()
    var waiting: [Chunk] = []
    var isOver = false
  }

  private struct Carried: @unchecked Sendable { let reader: Reader }

  private let state = State()
  private var threads: [HostThread] = []
  private var ring: [Chunk]

  /// - Parameter readers: for each thread its own, which share nothing.
  init(readers: [Reader]) throws(HostError) {
    ring = (0..<readers.count * 2 + 1).map { _ in Chunk(size: ChunkPipeline.chunkSize) }
    let state = state
    for reader in readers {
      let carried = Carried(reader: reader)
      threads.append(
        try HostThread(stackSize: 1 << 20) { ChunkPipeline.work(state, carried.reader) })
    }
  }

  deinit { stop() }

  /// Ends the threads.
  func stop() {
    state.condition.locked {
      state.isOver = true
      state.condition.broadcast()
    }
    for thread in threads { thread.join() }
    threads = []
  }

  private static func work(_ state: State, _ reader: Reader) {
    while true {
      let chunk: Chunk? = state.condition.locked {
        while state.waiting.isEmpty && !state.isOver { state.condition.wait() }
        return state.isOver ? nil : state.waiting.removeFirst()
      }
      guard let chunk else { return }
      var failure: (any Error)?
      do { try reader(chunk) } catch { failure = error }
      state.condition.locked {
        chunk.error = failure
        chunk.isReady = true
        state.condition.broadcast()
      }
    }
  }

  /// Moves everything through.
  /// - Parameters:
  ///   - next: the next piece, at most `chunkSize` long where it is to be read; nil: there are no more.
  ///   - consume: gets the pieces in their order, on the calling thread.
  func run(next: () throws -> ChunkWish?, consume: (Chunk) throws -> Void) throws {
    var free = ring
    var under: [Chunk] = []
    var head = 0
    var isAtEnd = false
    while true {
      while !isAtEnd, let chunk = free.last {
        guard let wish = try next() else {
          isAtEnd = true
          break
        }
        free.removeLast()
        chunk.offset = wish.offset
        chunk.count = wish.count
        chunk.isZero = wish.isZero
        chunk.runs = []
        chunk.error = nil
        under.append(chunk)
        if wish.isZero {
          chunk.isReady = true
        } else {
          chunk.isReady = false
          state.condition.locked {
            state.waiting.append(chunk)
            state.condition.broadcast()
          }
        }
      }
      if head == under.count { return }
      let chunk = under[head]
      state.condition.locked { while !chunk.isReady { state.condition.wait() } }
      if let error = chunk.error { throw error }
      try consume(chunk)
      free.append(chunk)
      head += 1
      if head > 64 {
        under.removeFirst(head)
        head = 0
      }
    }
  }
}
