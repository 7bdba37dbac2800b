// One snapshot, as the tree's payload has it.
//
// Owns: what is known of a snapshot, its form in bytes. Must not know: files, machines that run.

import Host
import State
import Store

/// A snapshot of a machine.
public struct SnapshotRecord: Equatable, Sendable {
  /// What it has.
  public enum Kind: UInt8, Sendable {
    /// Processors, devices, memory and disks.
    case machine = 0
    /// Disks alone, as a power failure at that moment would have left them.
    case disks = 1
    /// What the next backup goes on from: while one is made, all that it has, then disks alone. The machine never comes from it.
    case base = 2
  }

  /// 16 hexadecimal digits.
  public var id: String
  public var name: String
  public var note: String
  /// Seconds since 1970, UTC.
  public var created: Int64
  /// The snapshot that the machine had come from; nil: none, or it is deleted.
  public var parent: String?
  public var kind: Kind
  /// It is removed when the run that took it ends.
  public var isTemporary: Bool
  /// Instructions since power-on, and virtual nanoseconds.
  public var instruction: UInt64
  public var time: UInt64
  /// The first period of which it needs what disks held.
  public var period: UInt64
  /// Everything of the machine but memory and disks; that of zeros: there is none.
  public var head: ContentName
  /// The list of its memory's pages; that of zeros: there is none, or all are.
  public var memory: ContentName
  public var pageCount: UInt64
  /// What the text screen showed; nil: graphics, or nothing is known of it.
  public var text: [String]?
  /// A small picture of the screen (PNG); that of zeros: none.
  public var picture: ContentName
  /// How the machine was started; of a base, for which folder of backups it is there.
  public var arguments: [String]

  /// In bytes.
  static let longestName = 200
  static let longestNote = 10_000
}

extension SnapshotRecord {
  /// A record of disks alone, made now.
  public init(id: String, ofDisksNamed name: String, note: String) {
    self.init(
      id: id, name: name, note: note, created: HostClock.utcSeconds(), parent: nil, kind: .disks,
      isTemporary: false, instruction: 0, time: 0, period: 0, head: .zero, memory: .zero,
      pageCount: 0, text: nil, picture: .zero, arguments: [])
  }

  /// Writes it where others keep records.
  public func write(to writer: inout StateWriter) {
    writer.write(id)
    writer.write(name)
    writer.write(note)
    writer.write(created)
    writer.write(parent ?? "")
    writer.write(kind.rawValue)
    writer.write(isTemporary)
    for number in [instruction, time, period, pageCount] { writer.write(number) }
    for name in [head, memory, picture] { writer.write(bytes: name.bytes) }
    writer.write(text != nil)
    let text = text ?? []
    writer.write(UInt32(text.count))
    for line in text { writer.write(line) }
    writer.write(UInt32(arguments.count))
    for word in arguments { writer.write(word) }
  }

  /// Reads what was written; all of it is checked.
  public init(from reader: inout StateReader) throws(StateError) {
    id = try reader.readString()
    guard id.utf8.count == 16, id.utf8.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "f") ~= $0 })
    else { throw reader.error("a snapshot's identity that is none") }
    name = try reader.readString()
    note = try reader.readString()
    guard name.utf8.count <= SnapshotRecord.longestName,
      note.utf8.count <= SnapshotRecord.longestNote
    else { throw reader.error("a snapshot's name or note is too long") }
    created = try reader.read()
    let parent = try reader.readString()
    self.parent = parent.isEmpty ? nil : parent
    guard let kind = Kind(rawValue: try reader.read()) else {
      throw reader.error("an unknown kind of snapshot")
    }
    self.kind = kind
    isTemporary = try reader.readBool()
    instruction = try reader.read()
    time = try reader.read()
    period = try reader.read()
    pageCount = try reader.read(in: 0...ContentList.mostSlots)
    head = try reader.readName()
    memory = try reader.readName()
    picture = try reader.readName()
    let hasText = try reader.readBool()
    let lines = try reader.read(in: 0...UInt32(1000))
    var text: [String] = []
    for _ in 0..<lines { text.append(try reader.readString()) }
    self.text = hasText ? text : nil
    let words = try reader.read(in: 0...UInt32(10_000))
    var arguments: [String] = []
    for _ in 0..<words { arguments.append(try reader.readString()) }
    self.arguments = arguments
  }
}

extension StateReader {
  /// The name of an object.
  public mutating func readName() throws(StateError) -> ContentName {
    let bytes = try readBytes(count: ContentName.byteCount)
    return bytes.withUnsafeBytes { ContentName($0.baseAddress.unsafelyUnwrapped) }
  }
}
