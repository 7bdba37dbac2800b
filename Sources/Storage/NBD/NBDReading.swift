// Reads of an export, ahead of who reads from one end to the other.
//
// Owns: which requests are under way for reads, how far ahead. Must not know: lost connections, writes.

/// What was asked of a server before somebody wanted it. All of one connection.
final class NBDReading {
  private let connection: NBDConnection
  /// One behind the other: the bytes from the first one's beginning to the last one's end.
  private var window: [NBDRequest] = []
  /// Where the last read ended; how many came one behind the other.
  private var last: UInt64 = .max
  private var streak = 0

  /// Bytes of a request, and how far ahead they are sent.
  private let piece: Int
  private static let mostAhead: UInt64 = 512 << 10

  init(_ connection: NBDConnection) {
    self.connection = connection
    let most = min(connection.export.maximum, 256 << 10)
    piece = Int(most - most % connection.export.minimum)
  }

  /// Reads whole multiples of the least size of requests, inside the export.
  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(NBDFailure) {
    do throws(NBDFailure) { try fill(at: offset, buffer) } catch {
      // No reply goes into memory that is somebody else's by then.
      forget()
      throw error
    }
  }

  private func fill(at offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer) throws(NBDFailure) {
    let end = offset + UInt64(buffer.count)
    streak = offset == last ? min(streak + 1, 16) : 0
    last = end
    // What is behind is of no use; what was asked for elsewhere neither.
    while let first = window.first, first.end <= offset || first.offset > offset {
      window.removeFirst()
    }
    var ahead: UInt64 = 0
    // Long reads keep a server busy by themselves: with more under way at once its threads only wait for each other.
    if streak > 1 && buffer.count < piece {
      ahead = min(NBDReading.mostAhead, max(UInt64(buffer.count), 32 << 10) << UInt64(streak - 1))
    }
    try ask(from: window.last?.end ?? offset, to: end, offset, buffer)
    // Those that are ahead are sent when there is room for some at once.
    let limit = min(connection.export.size, end + ahead)
    if ahead > 0, let place = window.last?.end, place < limit,
      limit - place >= min(ahead / 2, UInt64(piece)) || limit == connection.export.size
    {
      try ask(from: place, to: limit, offset, buffer)
    }
    var at = offset
    while at < end {
      guard let request = window.first, request.offset <= at, request.end > at else {
        throw .broken("a hole in what was asked for")
      }
      let count = Int(min(end, request.end) - at)
      let part = UnsafeMutableRawBufferPointer(
        rebasing: buffer[Int(at - offset)..<Int(at - offset) + count])
      // Straight to where it is wanted, if nothing has come of it yet.
      if !request.isStarted && request.target == nil && count == request.length {
        request.target = part
      }
      if !request.isDone { try connection.wait(for: request) }
      try request.check()
      let memory = request.memory
      if memory.baseAddress != part.baseAddress {
        let start = Int(at - request.offset)
        part.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[start..<start + count]))
      }
      at += UInt64(count)
      if at == request.end { window.removeFirst() }
    }
  }

  /// Sends requests for a run; those inside the buffer go straight there.
  private func ask(
    from start: UInt64, to end: UInt64, _ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer
  ) throws(NBDFailure) {
    var at = start
    while at < end {
      let count = Int(min(UInt64(piece), end - at))
      var target: UnsafeMutableRawBufferPointer?
      if at >= offset, at + UInt64(count) <= offset + UInt64(buffer.count) {
        let place = Int(at - offset)
        target = UnsafeMutableRawBufferPointer(rebasing: buffer[place..<place + count])
      }
      window.append(try connection.send(.read, offset: at, length: count, target: target))
      at += UInt64(count)
    }
  }

  /// What was read ahead there is no longer so.
  func forget(_ range: Range<UInt64>) {
    if window.contains(where: { $0.offset < range.upperBound && $0.end > range.lowerBound }) {
      forget()
    }
  }

  /// Nothing that was asked for is wanted any more.
  func forget() {
    for request in window where !request.isDone { request.target = nil }
    window = []
  }
}
