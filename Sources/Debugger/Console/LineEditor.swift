// Editing a line in a terminal: history, completion, the usual keys.
//
// Owns: what keys do, what the line looks like meanwhile. Must not know: commands; how a terminal becomes raw (HostTerminal).
//
//   Left Right Home End Ctrl-A Ctrl-E   move            Backspace Delete Ctrl-D   delete
//   Ctrl-U Ctrl-K Ctrl-W                delete to start, to end, word
//   Up Down Ctrl-P Ctrl-N               history         Ctrl-R   search it
//   Tab   complete      Ctrl-C   drop the line      Ctrl-D on an empty line   end      Ctrl-L   clear

import Host

/// A console on the terminal.
public final class LineEditor: ConsolePort {
  public let isInteractive = true
  private var history: [String] = []
  private static let historyLimit = 1000
  private let read: () -> UInt8?
  private let put: (String) -> Void
  private let ownsTerminal: Bool

  private var line: [Character] = []
  private var cursor = 0
  private var prompt = ""

  /// - Parameters:
  ///   - read: the next byte that was typed, or nil at the end.
  ///   - put: shows text.
  ///   - ownsTerminal: the terminal is raw only while a line is edited; else somebody else sees to that.
  public init(
    read: @escaping () -> UInt8?, put: @escaping (String) -> Void, ownsTerminal: Bool = true
  ) {
    self.read = read
    self.put = put
    self.ownsTerminal = ownsTerminal
  }

  public func write(_ text: String) { put(text) }

  private enum Key: Equatable {
    case character(Character)
    case control(UInt8)
    case left, right, up, down, home, end, delete
    case ignored
  }

  public func readLine(prompt: String, complete: (String) -> [String]) -> String? {
    if ownsTerminal { HostTerminal.makeRaw() }
    defer { if ownsTerminal { HostTerminal.restore() } }
    self.prompt = prompt
    line = []
    cursor = 0
    var place = history.count
    var draft: [Character] = []
    redraw()
    while true {
      guard let key = nextKey() else {
        put("\n")
        return nil
      }
      switch key {
      case .character(let c):
        line.insert(c, at: cursor)
        cursor += 1
      case .control(13), .control(10):
        put("\n")
        let text = String(line)
        if !text.isEmpty, history.last != text {
          history.append(text)
          if history.count > LineEditor.historyLimit { history.removeFirst() }
        }
        return text
      case .control(3):
        put("^C\n")
        line = []
        cursor = 0
        place = history.count
      case .control(4):
        if line.isEmpty {
          put("\n")
          return nil
        }
        if cursor < line.count { line.remove(at: cursor) }
      case .delete: if cursor < line.count { line.remove(at: cursor) }
      case .control(8), .control(127):
        if cursor > 0 {
          cursor -= 1
          line.remove(at: cursor)
        }
      case .control(1), .home: cursor = 0
      case .control(5), .end: cursor = line.count
      case .control(2), .left: cursor = max(0, cursor - 1)
      case .control(6), .right: cursor = min(line.count, cursor + 1)
      case .control(21):
        line.removeFirst(cursor)
        cursor = 0
      case .control(11): line.removeLast(line.count - cursor)
      case .control(23): deleteWord()
      case .control(12): put("\u{1B}[2J\u{1B}[H")
      case .control(16), .up:
        if place > 0 {
          if place == history.count { draft = line }
          place -= 1
          line = Array(history[place])
          cursor = line.count
        }
      case .control(14), .down:
        if place < history.count {
          place += 1
          line = place == history.count ? draft : Array(history[place])
          cursor = line.count
        }
      case .control(18): search()
      case .control(9): completeWord(complete)
      default: break
      }
      redraw()
    }
  }

  private func redraw() {
    var text = "\r\(prompt)\(String(line))\u{1B}[K"
    let back = line.count - cursor
    if back > 0 { text += "\u{1B}[\(back)D" }
    put(text)
  }

  private func deleteWord() {
    var start = cursor
    while start > 0, line[start - 1].isWhitespace { start -= 1 }
    while start > 0, !line[start - 1].isWhitespace { start -= 1 }
    line.removeSubrange(start..<cursor)
    cursor = start
  }

  private func completeWord(_ complete: (String) -> [String]) {
    let before = String(line[..<cursor])
    let found = Array(Set(complete(before))).sorted()
    guard let first = found.first else { return }
    var common = first
    for other in found.dropFirst() { common = String(common.commonPrefix(with: other)) }
    var start = cursor
    while start > 0, !line[start - 1].isWhitespace { start -= 1 }
    let word = cursor - start
    if common.count > word || found.count == 1 {
      let text = found.count == 1 && !first.hasSuffix("/") ? first + " " : common
      line.replaceSubrange(start..<cursor, with: Array(text))
      cursor = start + text.count
    } else if found.count > 1 {
      put("\n" + found.prefix(200).joined(separator: "  ") + "\n")
    }
  }

  /// Searches the history for what is typed, newest first.
  private func search() {
    var wanted = ""
    var place = history.count
    while true {
      let match = history[..<min(place, history.count)].lastIndex { $0.contains(wanted) }
      put("\r(search) '\(wanted)': \(match.map { history[$0] } ?? "")\u{1B}[K")
      guard let key = nextKey() else { return }
      switch key {
      case .character(let c):
        wanted.append(c)
        place = history.count
      case .control(8), .control(127): if !wanted.isEmpty { wanted.removeLast() }
      case .control(18): if let match { place = match }
      case .control(3), .control(7): return
      default:
        if let match {
          line = Array(history[match])
          cursor = line.count
        }
        return
      }
    }
  }

  private func nextKey() -> Key? {
    guard let byte = read() else { return nil }
    if byte == 0x1B { return escape() }
    if byte < 0x20 || byte == 0x7F { return .control(byte) }
    if byte < 0x80 { return .character(Character(UnicodeScalar(byte))) }
    // The rest of a character in UTF-8.
    var bytes = [byte]
    let more = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : byte >= 0xC0 ? 1 : 0
    for _ in 0..<more {
      guard let next = read() else { return nil }
      bytes.append(next)
    }
    return HostPath.decode(bytes, controls: false).first.map { .character($0) } ?? .ignored
  }

  private func escape() -> Key? {
    guard let second = read() else { return nil }
    guard second == 0x5B || second == 0x4F else { return .ignored }
    var parameter = ""
    while let byte = read() {
      if (0x40...0x7E).contains(byte) {
        switch byte {
        case 0x41: return .up
        case 0x42: return .down
        case 0x43: return .right
        case 0x44: return .left
        case 0x48: return .home
        case 0x46: return .end
        case 0x7E:
          switch parameter {
          case "1", "7": return .home
          case "4", "8": return .end
          case "3": return .delete
          default: return .ignored
          }
        default: return .ignored
        }
      }
      parameter.append(Character(UnicodeScalar(byte)))
      if parameter.count > 16 { return .ignored }
    }
    return nil
  }

  /// Files whose path begins with a text.
  static func files(_ prefix: String) -> [String] { HostFiles.completions(prefix) }
}

extension String {
  fileprivate func commonPrefix(with other: String) -> Substring {
    var end = startIndex
    var i = other.startIndex
    while end < endIndex, i < other.endIndex, self[end] == other[i] {
      end = index(after: end)
      i = other.index(after: i)
    }
    return self[..<end]
  }
}
