// The window's own keys and words: one table, known everywhere.

import Foundation
import Testing
import Video

@testable import SDLFrontend

@Suite struct ShortcutTests {
  @Test func noCombinationMeansTwoThings() {
    for (n, a) in Shortcut.all.enumerated() {
      for b in Shortcut.all[(n + 1)...] {
        #expect(!(a.usage == b.usage && a.modifiers == b.modifiers), "\(a.keys) and \(b.keys)")
      }
    }
  }

  @Test func everyKeyOfTheTableIsObeyedAndKeptFromTheGuest() {
    for shortcut in Shortcut.all {
      var keys = KeyTracker()
      var modifiers: [UInt16] = [0xE2]
      if shortcut.modifiers != .alt { modifiers.append(0xE0) }
      if shortcut.modifiers == .controlAltShift { modifiers.append(0xE1) }
      for modifier in modifiers { _ = keys.key(modifier, down: true, isRepeat: false) }
      #expect(
        keys.key(shortcut.usage, down: true, isRepeat: false) == .command(shortcut.command),
        "\(shortcut.keys)")
      #expect(keys.key(shortcut.usage, down: false, isRepeat: false) == .ignore)
      // Right Alt is another key: on many keyboards it types characters.
      var right = KeyTracker()
      for modifier in [0xE6, 0xE0] as [UInt16] {
        _ = right.key(modifier, down: true, isRepeat: false)
      }
      #expect(
        right.key(shortcut.usage, down: true, isRepeat: false)
          == .post(shortcut.usage, down: true))
    }
  }

  @Test func thePageOfTheWindowNamesThemAll() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let page = "Sources/apus/Documentation.docc/Using/TheWindow.md"
    let text = try String(contentsOf: root.appendingPathComponent(page), encoding: .utf8)
    for line in Shortcut.lines { #expect(text.contains(line.keys), "\(line.keys)") }
  }

  @Test func helpFitsOnEveryPicture() {
    let lines = Overlay.help(title: "Apus: a-rather-long-name-of-an-image.img")
    #expect(lines.count <= 24)
    #expect(lines.allSatisfy { $0.count <= 76 })
    for (width, height) in [(320, 200), (640, 480), (720, 400), (1, 1), (360, 480)] {
      let frame = Frame(width: width, height: height)
      let shown = Overlay.compose(frame, panel: lines, message: "")
      #expect(shown.width >= 640 && shown.height >= 400)
      #expect(shown.width % width == 0 && shown.height % height == 0)
      let colours = Set(shown.pixels)
      #expect(colours.count >= 3)
    }
  }

  @Test func aMessageLeavesTheRestOfThePictureAsItIs() {
    var frame = Frame(width: 320, height: 200)
    for n in frame.pixels.indices { frame.pixels[n] = 0xFF00_0000 | UInt32(n) }
    let shown = Overlay.compose(frame, panel: [], message: "A: second.img")
    #expect(shown.width == 640 && shown.height == 400)
    for y in 0..<300 where (0..<640).contains(where: { shown[$0, y] != frame[$0 / 2, y / 2] }) {
      Issue.record("row \(y) differs")
    }
    #expect((0..<640).contains { shown[$0, 390] != frame[$0 / 2, 195] })
  }

  @Test func longWordsAreCut() {
    #expect(Overlay.wrapped("ab cd ef", 5) == ["ab cd", "ef"])
    #expect(Overlay.wrapped("abcdefgh i", 3) == ["abc", "def", "gh", "i"])
    #expect(Overlay.wrapped("", 5) == [])
  }
}
