// What the CRT shows: runs the floppies of TestROMs/video, each about one register's part in the picture.
//
// Owns: reading the expectations that lie behind an image's boot sector. Must not know: registers; the sources tell.

import Machine
import Storage
import TestSupport
import Testing

/// The images, assembled at build time from the sources that roms.txt lists.
enum PictureROMs {}

/// What a picture must be.
private struct ExpectedPicture {
  struct Rectangle {
    var x: Int
    var y: Int
    var width: Int
    var height: Int
    var colour: UInt32
  }
  var width: Int
  var height: Int
  var rectangles: [Rectangle] = []

  init?(image: [UInt8]) {
    var at = 520
    func word() -> Int {
      defer { at += 2 }
      return Int(image[at]) | Int(image[at + 1]) << 8
    }
    if image[512..<520] != [0x50, 0x49, 0x43, 0x54, 0x55, 0x52, 0x45, 0x20] { return nil }
    width = word()
    height = word()
    while at + 12 <= image.count {
      let x = word()
      if x == 0xFFFF { return }
      let (y, width, height) = (word(), word(), word())
      let colour = UInt32(word() | word() << 16)
      rectangles.append(Rectangle(x: x, y: y, width: width, height: height, colour: colour))
    }
    return nil
  }
}

@Suite struct PictureROMTests {
  @Test(arguments: PictureROMs.all.keys.sorted())
  func looksAsTheManualSays(name: String) throws {
    let make = try #require(PictureROMs.all[name])
    let image = make()
    let expected = try #require(ExpectedPicture(image: image))
    #expect(!expected.rectangles.isEmpty)
    let padding = [UInt8](repeating: 0, count: 1_474_560 - image.count)
    let configuration = MachineConfiguration.small(floppy: image + padding, name: name)
    let machine = try Machine(configuration)
    #expect(machine.run(untilInstruction: 400_000_000) == .guestExit(1))
    let picture = machine.screenshot()
    try #require(picture.width == expected.width && picture.height == expected.height)
    for r in expected.rectangles {
      var wrong: (x: Int, y: Int)?
      for y in r.y..<r.y + r.height {
        for x in r.x..<r.x + r.width where picture[x, y] != r.colour && wrong == nil {
          wrong = (x, y)
        }
      }
      if let wrong {
        let found = String(picture[wrong.x, wrong.y], radix: 16)
        let wanted = String(r.colour, radix: 16)
        Issue.record("\(name) at \(wrong.x), \(wrong.y): \(found), not \(wanted)")
      }
    }
  }
}
