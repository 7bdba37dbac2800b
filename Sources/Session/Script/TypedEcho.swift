// Which of the characters that a guest shows are the echo of what a script typed.
//
// Owns: what was typed and not yet echoed, and following an echo character by character on one way out of the guest (the screen, a serial
// port). Must not know: screens and ports.
//
// An echo is a run of neighbouring characters that are those of one line of typed text, in either case. Several beginnings are followed at
// once, because what was typed also occurs elsewhere; one that goes on otherwise was none.

/// Text that was typed, in pieces that are echoed in one run.
final class TypedEcho {
  struct Piece {
    let codes: [UInt8]
    /// When its echo was complete on some way out, in virtual nanoseconds.
    var doneAt: UInt64?
    /// Expectations met since it was typed.
    var age = 0
  }
  private(set) var pieces: [Int: Piece] = [:]
  private(set) var first = 0
  private(set) var end = 0
  /// Virtual time now.
  var now: () -> UInt64 = { 0 }

  /// A guest that shows what is typed in two places does so at about the same time.
  private static let grace: UInt64 = 5_000_000

  var isEmpty: Bool { pieces.isEmpty }

  /// Something is typed.
  func add(_ codes: [UInt8]) {
    if codes.allSatisfy({ $0 == 0x20 }) { return }
    pieces[end] = Piece(codes: codes.map(TypedEcho.folded))
    end += 1
  }

  /// An expectation was met: what was typed long before is not echoed any more (a password).
  func grow() {
    for number in pieces.keys.sorted() {
      pieces[number]!.age += 1
      if pieces[number]!.age > 1 { pieces[number] = nil }
    }
    first = pieces.keys.min() ?? end
  }

  func done(_ number: Int) {
    if pieces[number]?.doneAt == nil { pieces[number]?.doneAt = now() }
  }

  /// Whether the echo of a piece may begin now.
  func mayBegin(_ number: Int) -> Bool {
    guard let piece = pieces[number] else { return false }
    guard let time = piece.doneAt else { return true }
    return now() <= time &+ TypedEcho.grace
  }

  static func folded(_ code: UInt8) -> UInt8 { (0x41...0x5A).contains(code) ? code | 0x20 : code }
}

/// Follows the echo on one way out.
struct EchoFilter {
  private struct Start {
    let piece: Int
    var seen: [(place: Int, stamp: UInt64)]
  }
  private var starts: [Start] = []
  /// The first piece whose echo was not complete here.
  private var next = 0
  private static let most = 16
  /// How far neighbours are apart.
  var stride = 1
  /// How far a row is from the next; text that runs over the last one moves up by it. 0: there are no rows.
  var row = 0

  /// A character is shown.
  /// - Parameter restore: called for characters that were taken for an echo and are none.
  /// - Returns: whether it may be an echo.
  mutating func take(
    _ place: Int, _ code: UInt8, stamp: UInt64, of typed: TypedEcho,
    restore: (Int, UInt64) -> Void
  ) -> Bool {
    if typed.isEmpty {
      if !starts.isEmpty { starts = [] }
      return false
    }
    let code = TypedEcho.folded(code)
    var result = false
    var complete: Int?
    var kept: [Start] = []
    for var start in starts {
      guard let piece = typed.pieces[start.piece], start.piece >= next else {
        for (place, stamp) in start.seen { restore(place, stamp) }
        continue
      }
      let expected = start.seen.last!.place + stride
      if expected == place || expected - row == place && piece.codes[start.seen.count] == code {
        if piece.codes[start.seen.count] != code {
          for (place, stamp) in start.seen { restore(place, stamp) }
          continue
        }
        start.seen.append((place, stamp))
        result = true
        if start.seen.count == piece.codes.count {
          complete = start.piece
          // It stays an echo.
          continue
        }
      }
      kept.append(start)
    }
    starts = kept
    if complete == nil, !result {
      for number in max(next, typed.first)..<max(typed.end, next, typed.first)
      where typed.mayBegin(number) && typed.pieces[number]!.codes[0] == code {
        result = true
        if typed.pieces[number]!.codes.count == 1 {
          complete = number
        } else {
          if starts.count == EchoFilter.most {
            for (place, stamp) in starts.removeFirst().seen { restore(place, stamp) }
          }
          starts.append(Start(piece: number, seen: [(place, stamp)]))
        }
        break
      }
    }
    if let complete {
      typed.done(complete)
      next = complete + 1
      for start in starts where start.piece <= complete {
        for (place, stamp) in start.seen { restore(place, stamp) }
      }
      starts.removeAll { $0.piece <= complete }
    }
    return result
  }
}
