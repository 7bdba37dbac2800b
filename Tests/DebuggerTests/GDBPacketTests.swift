// The framing of gdb's remote protocol against the examples of its manual, and garbage.

import Testing

@testable import Debugger

@Suite struct GDBPacketTests {
  private func parse(_ bytes: [UInt8]) -> [GDBEvent] {
    var parser = GDBParser()
    return bytes.compactMap { parser.take($0) }
  }

  @Test func checksumsAreSumsModulo256() {
    #expect(GDBPacket.frame(Array("OK".utf8)) == Array("$OK#9a".utf8))
    #expect(GDBPacket.frame([]) == Array("$#00".utf8))
    #expect(parse(Array("$g#67".utf8)) == [.packet([0x67])])
    #expect(parse(Array("$g#68".utf8)) == [.damaged])
    #expect(parse(Array("$g#zz".utf8)) == [.damaged])
  }

  @Test func whatStandsBetweenPacketsIsTold() {
    #expect(
      parse(Array("+\u{3}x-$?#3f+".utf8)) == [
        .acknowledged(true), .interrupt, .acknowledged(false), .packet([0x3F]),
        .acknowledged(true),
      ])
    // A packet whose end was lost.
    #expect(parse(Array("$m12$?#3f".utf8)) == [.packet([0x3F])])
  }

  @Test func longPacketsAreDamaged() {
    let body = [UInt8](repeating: 0x61, count: GDBParser.maximumLength + 1)
    #expect(parse(GDBPacket.frame(body)) == [.damaged])
    #expect(parse(GDBPacket.frame(Array(body.dropFirst()))) == [.packet(Array(body.dropFirst()))])
  }

  @Test func escapesGoBothWays() {
    let all = (0...255).map { UInt8($0) }
    let escaped = GDBPacket.escape(all)
    #expect(!escaped.contains(UInt8(ascii: "#")) && !escaped.contains(UInt8(ascii: "$")))
    #expect(GDBPacket.unescape(escaped) == all)
    #expect(GDBPacket.unescape([0x7D, 0x03]) == [0x23])
    #expect(GDBPacket.unescape([0x7D]) == nil)
  }

  @Test func hexadecimalIsChecked() {
    #expect(GDBHex.number(Array("fFffFfff".utf8)) == 0xFFFF_FFFF)
    #expect(GDBHex.number(Array("00000000000001".utf8)) == 1)
    #expect(GDBHex.number(Array("100000000".utf8)) == nil)
    #expect(GDBHex.number([UInt8]()) == nil)
    #expect(GDBHex.decode(Array("0aF0".utf8)) == [0x0A, 0xF0])
    #expect(GDBHex.decode(Array("0".utf8)) == nil)
    #expect(GDBHex.decode(Array("0g".utf8)) == nil)
  }
}
