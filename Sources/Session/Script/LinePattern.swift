// Regular expressions that are looked for in a line, in a time that grows with the line and not with what is in it.
//
// Owns: an expression as a program. Must not know: how it is written (PatternParser.swift); where lines come from; how matches are found
// (PatternMatching.swift).
//
// An expression waits in a running machine and is tried a hundred times a second: it must not be one of those that take for ever, and
// whoever waits must be heard. So there are no back references and nothing that looks ahead; all else is what is usual. ^ and $ stand for
// the ends of the line with the blanks around it left aside, as for a line that is expected.

/// A regular expression.
struct LinePattern {
  /// Why a text is none, or none that is understood.
  struct Problem: Error, Equatable, CustomStringConvertible {
    var description: String
  }

  /// A set of characters.
  struct CharacterSet: Equatable {
    var ranges: [ClosedRange<UInt32>]
    var isInverted = false

    func contains(_ c: UInt32) -> Bool {
      ranges.contains { $0.contains(c) } != isInverted
    }

    /// What one of two sets holds; only sets that are not inverted.
    static let digit = CharacterSet(ranges: [0x30...0x39])
    static let word = CharacterSet(
      ranges: [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A, 0xAA...0xAA, 0xB5...0xB5]
        + [0xBA...0xBA, 0xC0...0xD6, 0xD8...0xF6, 0xF8...0x2AF, 0x370...0x3FF])
    static let space = CharacterSet(ranges: [0x09...0x0D, 0x20...0x20, 0xA0...0xA0])
    static let any = CharacterSet(ranges: [], isInverted: true)

    var inverted: CharacterSet { CharacterSet(ranges: ranges, isInverted: !isInverted) }
  }

  /// A place between characters.
  enum Place {
    case start, end, wordEdge, noWordEdge
  }

  enum Operation {
    case character(CharacterSet)
    case place(Place)
    /// Goes on at both, the first is preferred.
    case either(Int, Int)
    case goOn(Int)
    case done
  }

  /// The expression as a program; what is preferred comes first.
  private(set) var operations: [Operation] = []
  private static let mostOperations = 20_000
  /// Also of repetitions of nothing.
  private var additions = 0

  indirect enum Node {
    case empty
    case set(CharacterSet)
    case place(Place)
    case sequence([Node])
    case choice([Node])
    case repetition(Node, least: Int, most: Int?, isGreedy: Bool)
  }

  /// - Throws: what is wrong with it.
  init(_ text: String) throws(Problem) {
    var parser = PatternParser(text)
    try add(try parser.parse())
    operations.append(.done)
  }

  private mutating func add(_ node: Node) throws(Problem) {
    additions += 1
    if operations.count > LinePattern.mostOperations || additions > 100_000 {
      throw Problem(description: "is too large with all its repetitions")
    }
    switch node {
    case .empty: break
    case .set(let set): operations.append(.character(set))
    case .place(let place): operations.append(.place(place))
    case .sequence(let nodes): for node in nodes { try add(node) }
    case .choice(let nodes):
      var ends: [Int] = []
      for node in nodes.dropLast() {
        let fork = operations.count
        operations.append(.done)
        try add(node)
        ends.append(operations.count)
        operations.append(.done)
        operations[fork] = .either(fork + 1, operations.count)
      }
      if let last = nodes.last { try add(last) }
      for end in ends { operations[end] = .goOn(operations.count) }
    case .repetition(let node, let least, let most, let isGreedy):
      for _ in 0..<least { try add(node) }
      guard let most else {
        let fork = operations.count
        operations.append(.done)
        try add(node)
        operations.append(.goOn(fork))
        operations[fork] = LinePattern.fork(fork + 1, operations.count, isGreedy)
        return
      }
      var forks: [Int] = []
      for _ in least..<max(least, most) {
        forks.append(operations.count)
        operations.append(.done)
        try add(node)
      }
      for fork in forks {
        operations[fork] = LinePattern.fork(fork + 1, operations.count, isGreedy)
      }
    }
  }

  private static func fork(_ into: Int, _ past: Int, _ isGreedy: Bool) -> Operation {
    isGreedy ? .either(into, past) : .either(past, into)
  }
}

extension LinePattern.CharacterSet {
  /// All characters outside of ranges.
  static func complement(_ ranges: [ClosedRange<UInt32>]) -> [ClosedRange<UInt32>] {
    var result: [ClosedRange<UInt32>] = []
    var from: UInt32 = 0
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if range.lowerBound > from { result.append(from...range.lowerBound - 1) }
      from = max(from, range.upperBound + 1)
    }
    result.append(from...0x10FFFF)
    return result
  }
}
