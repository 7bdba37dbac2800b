// The MOO format of SingleStepTests, versions 1.0 and 1.1.
//
// Owns: reading the chunks, checking every length. Must not know: how a test is run.
// Follows: the format's description with the suites (little-endian chunks: four-character tag, 32-bit length, payload).

import CZlib

/// Why a vector file was refused.
public struct VectorFileError: Error, CustomStringConvertible {
  public var path: String
  public var offset: Int
  public var reason: String

  public init(path: String, offset: Int, reason: String) {
    self.path = path
    self.offset = offset
    self.reason = reason
  }

  public var description: String { "\(path): at offset \(offset): \(reason)" }
}

/// Registers of a MOO state, 16 or 32 bit, in the file's order; nil where the state does not give one.
public struct MOORegisters: Sendable {
  /// 16-bit order: ax bx cx dx cs ss ds es sp bp si di ip flags.
  public var words = [UInt16?](repeating: nil, count: 14)
  /// 32-bit order: cr0 cr3 eax ebx ecx edx esi edi ebp esp cs ds es fs gs ss eip eflags dr6 dr7.
  public var dwords = [UInt32?](repeating: nil, count: 20)
}

/// A state of a MOO test.
public struct MOOState: Sendable {
  public var registers = MOORegisters()
  public var memory: [(address: UInt32, value: UInt8)] = []
}

/// A test of a MOO file.
public struct MOOTest: Sendable {
  public var index: UInt32 = 0
  public var name = ""
  public var bytes: [UInt8] = []
  public var initial = MOOState()
  public var final = MOOState()
  /// Exception vector and the address of the pushed flags word.
  public var exception: (vector: UInt8, flagsAddress: UInt32)?
  /// The test's SHA-1, in hexadecimal.
  public var hash = ""
  /// Bits of the final registers that are defined, where the test says so itself.
  public var masks = MOORegisters()

  public init() {}

  /// Whether the state is that of the 386's 32-bit registers.
  public var is32Bit: Bool { initial.registers.dwords[16] != nil }
}

/// A parsed file.
public struct MOOFile: Sendable {
  /// "C286", "8086", "386E", ...
  public var cpu = ""
  public var tests: [MOOTest] = []
  /// Bits of the final registers that are defined, for all tests of the file.
  public var masks = MOORegisters()

  /// What other formats are read into.
  init(cpu: String, tests: [MOOTest]) {
    self.cpu = cpu
    self.tests = tests
  }

  /// Reads a plain or gzip-compressed file.
  public init(path: String) throws(VectorFileError) {
    try self.init(bytes: try readMaybeCompressed(path), path: path)
  }

  /// Parses file contents; `path` is for messages.
  /// - Parameter wanted: whether the test of an ordinal number is to be read; the others are passed over.
  public init(bytes: [UInt8], path: String, wanted: (Int) -> Bool = { _ in true })
    throws(VectorFileError)
  {
    var reader = ChunkReader(bytes: bytes, path: path)
    var ordinal = 0
    var announced = 0
    while let chunk = try reader.next(end: bytes.count) {
      if cpu.isEmpty && chunk.tag != "MOO " {
        throw VectorFileError(path: path, offset: 0, reason: "no MOO header")
      }
      reader.at = chunk.start
      switch chunk.tag {
      case "MOO ":
        if chunk.end - chunk.start < 12 { throw reader.error("a header of less than 12 bytes") }
        if bytes[chunk.start] != 1 {
          throw reader.error("MOO version \(bytes[chunk.start]), not 1")
        }
        reader.at = chunk.start + 4
        announced = Int(try reader.u32(chunk.end))
        cpu = reader.text(4).trimmingSpaces
        if cpu.isEmpty { throw reader.error("no CPU name") }
      case "RMSK": masks.words = try MOOFile.words(&reader, end: chunk.end)
      case "RM32": masks.dwords = try MOOFile.dwords(&reader, end: chunk.end)
      case "TEST":
        if wanted(ordinal) {
          var test = try MOOFile.test(&reader, end: chunk.end)
          // Some sets give every test the index 0.
          if test.index == 0 { test.index = UInt32(truncatingIfNeeded: ordinal) }
          tests.append(test)
        }
        ordinal += 1
      default: break
      }
      reader.at = chunk.end
    }
    if cpu.isEmpty { throw VectorFileError(path: path, offset: 0, reason: "no MOO header") }
    if ordinal < announced {
      throw reader.error("the header tells of \(announced) tests, there are \(ordinal)")
    }
  }

  private static func words(_ reader: inout ChunkReader, end: Int) throws(VectorFileError)
    -> [UInt16?]
  {
    var values = [UInt16?](repeating: nil, count: 14)
    let mask = try reader.u16(end)
    for n in 0..<14 where mask >> UInt16(n) & 1 != 0 { values[n] = try reader.u16(end) }
    return values
  }

  private static func dwords(_ reader: inout ChunkReader, end: Int) throws(VectorFileError)
    -> [UInt32?]
  {
    var values = [UInt32?](repeating: nil, count: 20)
    let mask = try reader.u32(end)
    for n in 0..<20 where mask >> UInt32(n) & 1 != 0 { values[n] = try reader.u32(end) }
    return values
  }

  private static func test(_ reader: inout ChunkReader, end: Int) throws(VectorFileError) -> MOOTest
  {
    var test = MOOTest()
    test.index = try reader.u32(end)
    while let chunk = try reader.next(end: end) {
      reader.at = chunk.start
      switch chunk.tag {
      case "NAME":
        let count = Int(try reader.u32(chunk.end))
        test.name = String(decoding: try reader.take(count, chunk.end), as: UTF8.self)
      case "BYTS":
        let count = Int(try reader.u32(chunk.end))
        test.bytes = try reader.take(count, chunk.end)
      case "INIT":
        var none = MOORegisters()
        test.initial = try state(&reader, end: chunk.end, &none)
      case "FINA": test.final = try state(&reader, end: chunk.end, &test.masks)
      case "EXCP":
        let vector = try reader.take(1, chunk.end)[0]
        test.exception = (vector, try reader.u32(chunk.end))
      case "HASH":
        test.hash = try reader.take(20, chunk.end).map {
          ($0 < 16 ? "0" : "") + String($0, radix: 16)
        }.joined()
      default: break
      }
      reader.at = chunk.end
    }
    return test
  }

  private static func state(
    _ reader: inout ChunkReader, end: Int, _ masks: inout MOORegisters
  ) throws(VectorFileError) -> MOOState {
    var state = MOOState()
    while let chunk = try reader.next(end: end) {
      reader.at = chunk.start
      switch chunk.tag {
      case "REGS": state.registers.words = try words(&reader, end: chunk.end)
      case "RG32": state.registers.dwords = try dwords(&reader, end: chunk.end)
      case "RMSK": masks.words = try words(&reader, end: chunk.end)
      case "RM32": masks.dwords = try dwords(&reader, end: chunk.end)
      case "RAM ":
        let count = Int(try reader.u32(chunk.end))
        if count * 5 > chunk.end - reader.at { throw reader.error("\(count) RAM entries") }
        for _ in 0..<count {
          let address = try reader.u32(chunk.end)
          state.memory.append((address, try reader.take(1, chunk.end)[0]))
        }
      default: break
      }
      reader.at = chunk.end
    }
    return state
  }
}

extension String {
  fileprivate var trimmingSpaces: String {
    String(reversed().drop { $0 == " " || $0 == "\0" }.reversed())
  }
}

private struct ChunkReader {
  let bytes: [UInt8]
  let path: String
  var at = 0

  init(bytes: [UInt8], path: String) {
    self.bytes = bytes
    self.path = path
  }

  func error(_ reason: String) -> VectorFileError {
    VectorFileError(path: path, offset: at, reason: reason)
  }

  mutating func take(_ count: Int, _ end: Int) throws(VectorFileError) -> [UInt8] {
    if count < 0 || count > end - at { throw error("\(count) bytes needed, \(end - at) left") }
    defer { at += count }
    return Array(bytes[at..<at + count])
  }

  mutating func u16(_ end: Int) throws(VectorFileError) -> UInt16 {
    let b = try take(2, end)
    return UInt16(b[0]) | UInt16(b[1]) << 8
  }

  mutating func u32(_ end: Int) throws(VectorFileError) -> UInt32 {
    if 4 > end - at { throw error("4 bytes needed, \(end - at) left") }
    defer { at += 4 }
    return UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2]) << 16
      | UInt32(bytes[at + 3]) << 24
  }

  func text(_ count: Int) -> String { String(decoding: bytes[at..<at + count], as: UTF8.self) }

  /// The chunk at the present place, or nil at the end.
  mutating func next(end: Int) throws(VectorFileError) -> (tag: String, start: Int, end: Int)? {
    if at == end { return nil }
    if end - at < 8 { throw error("\(end - at) stray bytes") }
    let tag = text(4)
    at += 4
    let length = Int(try u32(end))
    if length > end - at { throw error("chunk '\(tag)' of \(length) bytes, \(end - at) left") }
    return (tag, at, at + length)
  }
}

/// Reads a file, decompressing it when it is gzip.
public func readMaybeCompressed(_ path: String) throws(VectorFileError) -> [UInt8] {
  guard let file = gzopen(path, "rb") else {
    throw VectorFileError(path: path, offset: 0, reason: "cannot be opened")
  }
  var isOpen = true
  defer { if isOpen { gzclose(file) } }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 18)
  while true {
    let n = gzread(file, &buffer, UInt32(buffer.count))
    if n < 0 {
      throw VectorFileError(path: path, offset: bytes.count, reason: "damaged gzip data")
    }
    if n == 0 {
      // Only closing tells that compressed data ended early.
      isOpen = false
      if gzclose(file) != Z_OK {
        throw VectorFileError(path: path, offset: bytes.count, reason: "the gzip data end early")
      }
      return bytes
    }
    bytes.append(contentsOf: buffer[0..<Int(n)])
    if bytes.count > 1 << 30 {
      throw VectorFileError(path: path, offset: bytes.count, reason: "more than a gigabyte")
    }
  }
}
