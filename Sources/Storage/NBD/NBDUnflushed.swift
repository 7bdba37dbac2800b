// What was written to a server and not flushed: it is written again when the connection was lost, as the server may have lost it.
//
// Owns: the bytes, within a bound. Must not know: connections.

struct NBDUnflushed {
  enum Change {
    case write(UInt64, [UInt8])
    case zeros(UInt64, count: UInt64, releasing: Bool)
  }
  private(set) var changes: [Change] = []
  private var byteCount = 0
  /// More than that is flushed by itself.
  static let most = 32 << 20

  var isFull: Bool { byteCount >= NBDUnflushed.most || changes.count >= 4096 }

  mutating func add(_ offset: UInt64, _ bytes: UnsafeRawBufferPointer) {
    changes.append(.write(offset, Array(bytes)))
    byteCount += bytes.count
  }

  mutating func addZeros(_ offset: UInt64, _ count: UInt64, releasing: Bool) {
    changes.append(.zeros(offset, count: count, releasing: releasing))
  }

  mutating func removeAll() {
    changes.removeAll(keepingCapacity: true)
    byteCount = 0
  }
}
