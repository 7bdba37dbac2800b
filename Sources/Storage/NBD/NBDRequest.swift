// A request that is under way, and what has come of it.
//
// Owns: the memory that a reply goes into, which of its bytes are there. Must not know: connections.

/// A run of an export that is zeros, or may be something else.
struct NBDRun: Equatable {
  var offset: UInt64
  var count: UInt64
  var isZero: Bool
  var end: UInt64 { offset + count }
}

/// One request.
final class NBDRequest {
  let command: NBD.Command
  let offset: UInt64
  let length: Int
  let cookie: UInt64
  /// Where what is read goes; nil: into memory of its own, which is made when it comes.
  var target: UnsafeMutableRawBufferPointer?
  private var own: UnsafeMutableRawBufferPointer?
  /// Bytes have come already: they stay where they went.
  private(set) var isStarted = false
  private(set) var isDone = false
  /// What the server says of it.
  private(set) var failure: (code: UInt32, words: String)?
  /// What is known of holes.
  var runs: [NBDRun] = []
  /// What has come, in order, runs that touch as one.
  private var covered: [Range<Int>] = []
  private var chunks = 0

  init(
    _ command: NBD.Command, offset: UInt64, length: Int, cookie: UInt64,
    target: UnsafeMutableRawBufferPointer? = nil
  ) {
    self.command = command
    self.offset = offset
    self.length = length
    self.cookie = cookie
    self.target = target
  }

  deinit { own?.deallocate() }

  var end: UInt64 { offset + UInt64(length) }

  /// Where its bytes go or are.
  var memory: UnsafeMutableRawBufferPointer {
    isStarted = true
    if let target { return target }
    if let own { return own }
    let new = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, length), alignment: 4096)
    own = new
    return UnsafeMutableRawBufferPointer(rebasing: new[..<length])
  }

  func fail(_ code: UInt32, _ words: String) {
    // Zero would be no error.
    if failure == nil { failure = (code == 0 ? 5 : code, words) }
  }

  /// Counts a chunk of its reply.
  func count() throws(NBDFailure) {
    chunks += 1
    if chunks > max(64, length) { throw .broken("a reply in too many pieces") }
  }

  /// Takes a run of its bytes, which comes next.
  func take(_ from: UInt64, _ count: UInt64) throws(NBDFailure) -> UnsafeMutableRawBufferPointer {
    guard command == .read, count > 0, from >= offset, from - offset <= UInt64(length),
      count <= UInt64(length) - (from - offset)
    else { throw .broken("\(count) bytes at \(from), which nobody asked for") }
    let start = Int(from - offset)
    let range = start..<start + Int(count)
    let place = covered.firstIndex { $0.lowerBound >= range.lowerBound } ?? covered.count
    if place > 0 && covered[place - 1].upperBound > range.lowerBound
      || place < covered.count && covered[place].lowerBound < range.upperBound
    {
      throw .broken("the bytes at \(from) twice")
    }
    covered.insert(range, at: place)
    if place + 1 < covered.count, covered[place + 1].lowerBound == range.upperBound {
      covered[place] = covered[place].lowerBound..<covered[place + 1].upperBound
      covered.remove(at: place + 1)
    }
    if place > 0, covered[place - 1].upperBound == range.lowerBound {
      covered[place - 1] = covered[place - 1].lowerBound..<covered[place].upperBound
      covered.remove(at: place)
    }
    if covered.count > 1024 { throw .broken("a reply in too many pieces") }
    return UnsafeMutableRawBufferPointer(rebasing: memory[range])
  }

  /// No more will come.
  func finish() throws(NBDFailure) {
    isDone = true
    if command == .read, failure == nil, length > 0, covered != [0..<length] {
      throw .broken("an answer to a request for \(length) bytes that lacks some")
    }
  }

  /// What it failed by.
  func check() throws(NBDFailure) {
    if let failure { throw .server(failure.code, failure.words) }
  }
}
