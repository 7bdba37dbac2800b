// Expectations of the serial ports: what has arrived since.
//
// Owns: what each port sent lately, with numbers, and which of it is an echo. Must not know: steps, the screen.

/// Looks for expectations in what serial ports send.
struct SerialExpectations {
  fileprivate struct Port {
    var bytes: [UInt8] = []
    /// The number of each byte's arrival.
    var stamps: [UInt64] = []
    /// Which bytes are the echo of what was typed.
    var echoes: [Bool] = []
    /// How many bytes were dropped at the front.
    var dropped = 0
    /// Nothing before this offset can be part of a match of the present expectation.
    var searched = 0
    var filter = EchoFilter()
    var changed = true
  }
  private var ports: [Port] = []
  private static let kept = 64 << 10

  /// A byte came out of a port.
  mutating func add(_ port: Int, _ byte: UInt8, stamp: UInt64, typed: TypedEcho) {
    while ports.count <= port { ports.append(Port()) }
    // A line ends with a line feed, whatever comes before it.
    if byte == 0x0A, ports[port].bytes.last == 0x0D {
      ports[port].bytes.removeLast()
      ports[port].stamps.removeLast()
      ports[port].echoes.removeLast()
      ports[port].searched = min(ports[port].searched, ports[port].bytes.count)
    }
    let dropped = ports[port].dropped
    let place = dropped + ports[port].bytes.count
    ports[port].bytes.append(byte)
    ports[port].stamps.append(stamp)
    ports[port].echoes.append(false)
    ports[port].changed = true
    if !typed.isEmpty {
      var restored: [Int] = []
      let isEcho = ports[port].filter.take(place, byte, stamp: stamp, of: typed) { place, _ in
        restored.append(place)
      }
      for place in restored where place >= dropped && place - dropped < ports[port].echoes.count {
        ports[port].echoes[place - dropped] = false
      }
      if isEcho { ports[port].echoes[ports[port].echoes.count - 1] = true }
    }
    if ports[port].bytes.count > 2 * SerialExpectations.kept {
      let count = SerialExpectations.kept
      ports[port].bytes.removeFirst(count)
      ports[port].stamps.removeFirst(count)
      ports[port].echoes.removeFirst(count)
      ports[port].dropped += count
      ports[port].searched = max(0, ports[port].searched - count)
    }
  }

  /// Another expectation is looked for, in what arrived after `mark`.
  mutating func begin(after mark: UInt64) {
    for n in ports.indices {
      ports[n].searched =
        ports[n].stamps.lastIndex { $0 <= mark }.map { $0 + 1 } ?? 0
      ports[n].changed = true
    }
  }

  /// The number of the last byte of what has arrived, or nil.
  /// - Parameter settled: an unfinished line counts as one only when nothing has come after this number.
  mutating func arrived(_ matcher: Matcher, settled: UInt64) -> UInt64? {
    var earliest: UInt64?
    for n in ports.indices {
      // A line may become one by staying as it is.
      if !ports[n].changed, matcher.expectation.kind != .line { continue }
      ports[n].changed = false
      if let stamp = ports[n].find(matcher, settled: settled) {
        earliest = min(earliest ?? UInt64.max, stamp)
        ports[n].changed = true
      }
    }
    return earliest
  }
}

extension SerialExpectations.Port {
  /// Something that is no blank and no echo.
  private func hasNews(_ range: Range<Int>) -> Bool {
    range.contains { bytes[$0] > 0x20 && !echoes[$0] }
  }

  private static let longestLine = 4096

  /// Where an escape sequence of terminals (ECMA-48) ends that begins at a place, or the text does.
  private static func endOfSequence(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int {
    var at = start + 1
    guard at < end else { return end }
    if bytes[at] == 0x5D {
      // OSC: up to BEL or ST.
      while at < end, bytes[at] != 0x07, bytes[at] != 0x1B { at += 1 }
      return min(end, at < end && bytes[at] == 0x1B ? at + 2 : at + 1)
    }
    let isCSI = bytes[at] == 0x5B
    if isCSI { at += 1 }
    // Parameters and what is in between; then one final byte.
    while at < end, bytes[at] < (isCSI ? 0x40 : 0x30), bytes[at] >= 0x20 { at += 1 }
    return min(end, at + 1)
  }

  /// The places of a range that are no part of an escape sequence: colours and the like are not of the text.
  private static func plain(_ bytes: [UInt8], _ range: Range<Int>) -> [Int] {
    var places: [Int] = []
    places.reserveCapacity(range.count)
    var at = range.lowerBound
    while at < range.upperBound {
      if bytes[at] == 0x1B {
        at = endOfSequence(bytes, at, range.upperBound)
      } else {
        places.append(at)
        at += 1
      }
    }
    return places
  }

  /// The characters of some bytes, and where each of them begins, with the end of the last. What is no UTF-8 is a character by itself.
  private static func characters(_ bytes: [UInt8], _ range: Range<Int>) -> ([UInt32], [Int]) {
    var line: [UInt32] = []
    var places: [Int] = []
    var at = range.lowerBound
    while at < range.upperBound {
      let byte = bytes[at]
      if byte == 0x1B {
        at = endOfSequence(bytes, at, range.upperBound)
        continue
      }
      let length = byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
      places.append(at)
      if length > 1, at + length <= range.upperBound,
        let text = String(validating: bytes[at..<at + length], as: UTF8.self),
        let scalar = text.unicodeScalars.first
      {
        line.append(scalar.value)
        at += length
      } else {
        line.append(byte < 0x80 ? UInt32(byte) : 0xFFFD)
        at += 1
      }
    }
    places.append(range.upperBound)
    return (line, places)
  }

  fileprivate mutating func find(_ matcher: Matcher, settled: UInt64) -> UInt64? {
    switch matcher.expectation.kind {
    case .text: return findText(matcher.bytes)
    case .line, .regex: return findLine(matcher, settled: settled)
    case .gone: return nil
    }
  }

  private mutating func findText(_ wanted: [UInt8]) -> UInt64? {
    guard bytes.count - searched >= wanted.count else { return nil }
    for start in searched...bytes.count - wanted.count where bytes[start] == wanted[0] {
      let range = start..<start + wanted.count
      if bytes[range].elementsEqual(wanted), hasNews(range) { return stamps[range.upperBound - 1] }
    }
    searched = bytes.count - wanted.count + 1
    return nil
  }

  private mutating func findLine(_ matcher: Matcher, settled: UInt64) -> UInt64? {
    while searched < bytes.count {
      let end = bytes[searched...].firstIndex(of: 0x0A)
      let range = searched..<(end ?? bytes.count)
      if let pattern = matcher.pattern {
        // Of a line without an end the last part is enough.
        let from = max(range.lowerBound, range.upperBound - SerialExpectations.Port.longestLine)
        let (line, places) = SerialExpectations.Port.characters(bytes, from..<range.upperBound)
        for match in pattern.matches(in: line, hasStart: from == range.lowerBound) {
          let place = places[match.lowerBound]..<places[match.upperBound]
          if hasNews(place), let last = place.last { return stamps[last] }
        }
      } else {
        var content = SerialExpectations.Port.plain(bytes, range)[...]
        while let last = content.last, bytes[last] == 0x20 { content = content.dropLast() }
        while let first = content.first, bytes[first] == 0x20 { content = content.dropFirst() }
        if content.map({ bytes[$0] }) == matcher.bytes,
          content.contains(where: { bytes[$0] > 0x20 && !echoes[$0] }),
          end != nil || stamps[bytes.count - 1] <= settled
        {
          return stamps[range.last ?? range.lowerBound]
        }
      }
      guard let end else { break }
      searched = end + 1
    }
    return nil
  }
}
