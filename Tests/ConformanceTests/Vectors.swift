// Small vector files made by hand.
//
// Owns: a writer of MOO chunks and a folder that goes away. Must not know: the reader.

import Foundation

/// A folder for one test.
final class Folder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "apus-conformance-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  @discardableResult
  func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    let file = path + "/" + name
    try Data(bytes).write(to: URL(fileURLWithPath: file))
    return file
  }
}

/// Little-endian bytes.
func le<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

/// A MOO chunk.
func chunk(_ tag: String, _ payload: [UInt8]) -> [UInt8] {
  Array(tag.utf8) + le(UInt32(payload.count)) + payload
}

/// A MOO header.
func header(_ cpu: String, count: Int, minor: UInt8 = 0) -> [UInt8] {
  chunk("MOO ", [1, minor, 0, 0] + le(UInt32(count)) + Array(cpu.utf8))
}

private func memory(_ entries: [(UInt32, UInt8)]) -> [UInt8] {
  chunk("RAM ", le(UInt32(entries.count)) + entries.flatMap { le($0.0) + [$0.1] })
}

/// A 16-bit test; registers in the file's order, of the final state only those given.
func test16(
  _ index: Int, code: [UInt8], before: [UInt16], after: [Int: UInt16],
  memoryAfter: [(UInt32, UInt8)] = []
) -> [UInt8] {
  let at = UInt32(before[4]) << 4 &+ UInt32(before[12])
  let ram = code.enumerated().map { (at + UInt32($0.offset), $0.element) }
  let mask = after.keys.reduce(UInt16(0)) { $0 | 1 << UInt16($1) }
  let name = Array("test \(index)".utf8)
  return chunk(
    "TEST",
    le(UInt32(index)) + chunk("NAME", le(UInt32(name.count)) + name)
      + chunk("BYTS", le(UInt32(code.count)) + code)
      + chunk(
        "INIT", chunk("REGS", le(UInt16(0x3FFF)) + before.flatMap { le($0) }) + memory(ram))
      + chunk(
        "FINA",
        chunk("REGS", le(mask) + after.sorted { $0.key < $1.key }.flatMap { le($0.value) })
          + memory(memoryAfter)) + chunk("HASH", [UInt8](repeating: UInt8(index), count: 20)))
}

/// ax bx cx dx cs ss ds es sp bp si di ip flags.
func registers(ax: UInt16, bx: UInt16, flags: UInt16 = 0xF002) -> [UInt16] {
  [ax, bx, 0, 0, 0x1000, 0x2000, 0x3000, 0x3000, 0x100, 0, 0, 0, 0x10, flags]
}

/// ADD AX,BX and HLT on a 286, `wrong` of them with a result that is off by one.
func additions(_ count: Int, wrong: Set<Int> = []) -> [UInt8] {
  header("C286", count: count)
    + (0..<count).flatMap { n -> [UInt8] in
      let sum = UInt16(0x100 + n + 1) + (wrong.contains(n) ? 1 : 0)
      // 286 flags of a sum below 8000h without carries but perhaps from bit 3: PF by the low byte.
      let parity: UInt16 =
        (UInt8(truncatingIfNeeded: 0x100 + n + 1)).nonzeroBitCount & 1 == 0 ? 4 : 0
      let adjust: UInt16 = n & 0xF == 0xF ? 0x10 : 0
      return test16(
        n, code: [0x01, 0xD8, 0xF4], before: registers(ax: UInt16(0x100 + n), bx: 1),
        after: [0: sum, 12: 0x13, 13: 0x0002 | parity | adjust])
    }
}
