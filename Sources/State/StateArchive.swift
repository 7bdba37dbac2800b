// Saved states: the byte format every part of the machine writes itself into.
//
// Owns: the encoding (little-endian integers, counted byte strings, named and versioned sections) and its checks.
// Must not know: what any section means. A hostile archive ends in a `StateError`, never in a trap: every length is
// checked against what is left before anything is allocated.

/// Why a saved state was refused.
public struct StateError: Error, Equatable, CustomStringConvertible {
  /// The byte offset in the archive at which reading stopped; below 0 where the archive is sound but does not belong here.
  public var offset: Int
  /// The section being read, or "" outside all sections.
  public var section: String
  /// What was wrong, in a few words.
  public var reason: String

  public init(offset: Int, section: String, reason: String) {
    self.offset = offset
    self.section = section
    self.reason = reason
  }

  /// A sound state that does not belong here.
  public init(refusal reason: String) { self.init(offset: -1, section: "", reason: reason) }

  /// Text out of a file without anything that a terminal would obey, and not too long.
  public static func printable(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.prefix(80).map {
          $0.value < 0x20 || (0x7F...0x9F).contains($0.value) ? "?" : $0
        }))
  }

  public var description: String {
    if offset < 0 { return reason }
    return section.isEmpty
      ? "at offset \(offset): \(reason)" : "in section '\(section)' at offset \(offset): \(reason)"
  }
}

/// Collects a state as bytes.
public struct StateWriter {
  /// What has been written so far.
  public private(set) var bytes: [UInt8] = []

  public init() {}

  /// Writes a fixed-width integer, little-endian.
  public mutating func write<T: FixedWidthInteger>(_ value: T) {
    withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
  }

  /// Writes a Boolean as one byte, 0 or 1.
  public mutating func write(_ value: Bool) { bytes.append(value ? 1 : 0) }

  /// Writes a counted byte string (32-bit length).
  public mutating func write(bytes data: some Collection<UInt8>) {
    write(UInt32(data.count))
    bytes.append(contentsOf: data)
  }

  /// Writes a counted byte string from raw memory.
  public mutating func write(raw data: UnsafeRawBufferPointer) {
    write(UInt32(data.count))
    bytes.append(contentsOf: data)
  }

  /// Writes a counted UTF-8 string.
  public mutating func write(_ text: String) { write(bytes: Array(text.utf8)) }

  /// Writes a counted array of integers.
  public mutating func write<T: FixedWidthInteger>(array values: [T]) {
    write(UInt32(values.count))
    for value in values { write(value) }
  }

  /// Writes a named, versioned section: name, version, payload length, payload.
  public mutating func section(_ name: String, version: UInt16, _ body: (inout StateWriter) -> Void)
  {
    write(name)
    write(version)
    var inner = StateWriter()
    body(&inner)
    write(UInt32(inner.bytes.count))
    bytes.append(contentsOf: inner.bytes)
  }
}

/// Reads a state back, checking everything.
public struct StateReader {
  private let bytes: [UInt8]
  private var end: Int
  /// The offset of the next byte to be read.
  public private(set) var offset: Int
  private var sectionName: String

  public init(_ bytes: [UInt8]) {
    self.bytes = bytes
    offset = 0
    end = bytes.count
    sectionName = ""
  }

  /// How many bytes are left in the current section.
  public var remaining: Int { end - offset }

  /// An error at the current place, for values that are well-formed but make no sense.
  public func error(_ reason: String) -> StateError {
    // Names come from the file.
    let plain = reason.unicodeScalars.map {
      $0.value < 0x20 || (0x7F..<0xA0).contains($0.value)
        ? "\\u{\(String($0.value, radix: 16))}" : String($0)
    }
    return StateError(offset: offset, section: sectionName, reason: plain.joined())
  }

  private func need(_ count: Int) throws(StateError) {
    if count > end - offset { throw error("\(count) bytes needed, \(end - offset) left") }
  }

  /// Reads a fixed-width integer.
  public mutating func read<T: FixedWidthInteger>(_ type: T.Type = T.self) throws(StateError) -> T {
    let size = MemoryLayout<T>.size
    try need(size)
    var value = T.zero
    bytes.withUnsafeBytes { bytes in
      withUnsafeMutableBytes(of: &value) {
        $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + size]))
      }
    }
    offset += size
    return T(littleEndian: value)
  }

  /// Reads a Boolean; anything but 0 or 1 is an error.
  public mutating func readBool() throws(StateError) -> Bool {
    let value = try read(UInt8.self)
    if value > 1 { throw error("a Boolean of \(value)") }
    return value == 1
  }

  /// Reads an integer that must lie in `range`.
  public mutating func read<T: FixedWidthInteger>(in range: ClosedRange<T>) throws(StateError) -> T
  {
    let value = try read(T.self)
    if !range.contains(value) { throw error("\(value) is not in \(range)") }
    return value
  }

  /// Reads a counted byte string; with `count` given, its length must be exactly that.
  public mutating func readBytes(count expected: Int? = nil) throws(StateError) -> [UInt8] {
    let count = Int(try read(UInt32.self))
    if let expected, count != expected {
      throw error("\(count) bytes where \(expected) are expected")
    }
    try need(count)
    defer { offset += count }
    return Array(bytes[offset..<offset + count])
  }

  /// Reads a counted UTF-8 string.
  public mutating func readString() throws(StateError) -> String {
    guard let text = String(validating: try readBytes(), as: UTF8.self) else {
      throw error("not UTF-8")
    }
    return text
  }

  /// Reads a counted array of integers; with `count` given, its length must be exactly that.
  public mutating func readArray<T: FixedWidthInteger>(
    of type: T.Type = T.self, count expected: Int? = nil
  ) throws(StateError) -> [T] {
    let count = Int(try read(UInt32.self))
    if let expected, count != expected {
      throw error("\(count) values where \(expected) are expected")
    }
    try need(count * MemoryLayout<T>.size)
    var values: [T] = []
    values.reserveCapacity(count)
    for _ in 0..<count { values.append(try read(T.self)) }
    return values
  }

  /// Reads the section that must come next; the body must consume all of it.
  /// - Parameter versions: the versions this build understands.
  public mutating func section(
    _ name: String, versions: ClosedRange<UInt16>,
    _ body: (inout StateReader, UInt16) throws(StateError) -> Void
  ) throws(StateError) {
    let found = try readString()
    if found != name {
      throw error("section '\(name)' expected, '\(StateError.printable(found))' found")
    }
    let outerName = sectionName
    sectionName = name
    let version = try read(UInt16.self)
    if !versions.contains(version) {
      throw error("version \(version) is not supported (\(versions) are)")
    }
    let count = Int(try read(UInt32.self))
    try need(count)
    let outerEnd = end
    end = offset + count
    try body(&self, version)
    if offset != end { throw error("\(end - offset) bytes too many") }
    end = outerEnd
    sectionName = outerName
  }
}
