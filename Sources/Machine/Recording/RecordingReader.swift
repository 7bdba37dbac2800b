// Reading a recorded run: every length, number and checksum is checked, a cut-off end is told and everything before it is kept.
//
// Owns: the checks. Must not know: how a machine runs, files.

import Bus
import Chipset
import State
import Storage

/// A recorded run that was read.
public struct Recording: Sendable {
  let header: RecordingHeader
  let entries: [JournalEntry]
  /// Where the file was cut off, or nil when it is complete.
  public let cutAt: Int?

  /// The recording says what the guest's clock shows at power-on, in seconds since 1970-01-01 00:00.
  public var initialTime: Int64 { header.initialTime }
  /// Instructions for each virtual second at its start.
  public var instructionsPerSecond: UInt64 { header.instructionsPerSecond }
  /// Where it begins, in retired instructions: not 0 when it was started from a saved state.
  public var firstInstruction: UInt64 { header.instruction }
  /// The last instruction count that it knows of.
  public var lastInstruction: UInt64 { entries.last?.instruction ?? header.instruction }
  /// How many inputs it holds.
  public var inputCount: Int {
    entries.reduce(0) { if case .input = $1.event { $0 + 1 } else { $0 } }
  }
  /// Why the recorded run ended; nil when the file was cut off.
  public var stop: StopReason? {
    if case .end(let stop, _) = entries.last?.event { return stop }
    return nil
  }
  /// What was written down for people, a line each.
  public var notes: [String] { header.notes.map { "\($0.key): \($0.value)" } }

  /// Whether a triple fault reset the machine.
  public var resetsOnTripleFault: Bool {
    header.identity.contains { $0.key == "reset on triple fault" && $0.value == "yes" }
  }
  /// Whether the BIOS waited for the key of its boot menu.
  public var offersBootMenu: Bool {
    header.identity.contains { $0.key == "boot menu" && $0.value == "yes" }
  }
  /// The disks that are put in on the way, each only the first time.
  var insertedDisks: [(kind: ImageKind, choice: FloppyChoice)] {
    var found: [(kind: ImageKind, choice: FloppyChoice)] = []
    for entry in entries {
      let new: (ImageKind, FloppyChoice)
      switch entry.event {
      case .input(.floppy(_, let choice?), _): new = (.floppy, choice)
      case .input(.cd(_, let choice?, _), _): new = (.cd, choice)
      default: continue
      }
      if !found.contains(where: { $0.kind == new.0 && $0.choice.path == new.1.path }) {
        found.append(new)
      }
    }
    return found
  }

  /// Reads a recording.
  /// - Throws: one line with the offset.
  public init(_ bytes: [UInt8]) throws(RecordingError) {
    guard bytes.starts(with: RecordingFormat.magic) else {
      throw RecordingError(offset: 0, reason: "not a recorded run")
    }
    var offset = RecordingFormat.magic.count
    var number: UInt64 = 0
    var header: RecordingHeader?
    var entries: [JournalEntry] = []
    var instruction: UInt64 = 0
    var cutAt: Int?
    var hasEnded = false
    while offset < bytes.count {
      guard
        let payload = try RecordingCursor.payload(bytes, at: offset, number: number)
      else {
        cutAt = offset
        break
      }
      if hasEnded { throw RecordingError(offset: offset, reason: "something follows the end") }
      var cursor = RecordingCursor(bytes, payload)
      if let header {
        while !cursor.isAtEnd {
          if hasEnded { throw cursor.error("something follows the end") }
          let entry = try cursor.entry(after: instruction, parts: header.parts.count)
          instruction = entry.instruction
          entries.append(entry)
          if case .end = entry.event { hasEnded = true }
        }
      } else {
        let read = try RecordingReader.header(bytes, payload)
        instruction = read.instruction
        header = read
      }
      offset = payload.upperBound
      number += 1
    }
    guard let header else {
      throw RecordingError(offset: offset, reason: "the recording's header is cut off")
    }
    self.header = header
    self.entries = entries
    self.cutAt = hasEnded ? nil : cutAt ?? bytes.count
  }
}

private enum RecordingReader {
  static func header(_ bytes: [UInt8], _ range: Range<Int>) throws(RecordingError)
    -> RecordingHeader
  {
    var reader = StateReader(Array(bytes[range]))
    do throws(StateError) {
      let version = try reader.read(UInt32.self)
      if version != RecordingFormat.version {
        throw reader.error(
          version < RecordingFormat.version
            ? "recorded by an older Apus (format version \(version)), which names images by other hashes; this one reads "
              + "version \(RecordingFormat.version): record again"
            : "format version \(version) is not supported (\(RecordingFormat.version) is)")
      }
      var header = RecordingHeader()
      header.identity = try pairs(&reader)
      header.notes = try pairs(&reader)
      header.initialTime = try reader.read()
      header.instructionsPerSecond = try reader.read(in: 1_000...100_000_000_000)
      header.instruction = try reader.read(in: 0...RecordingFormat.lastInstruction)
      header.stateHash = try reader.read()
      let count = try reader.read(in: UInt32(0)...1000)
      for _ in 0..<count { header.parts.append(try reader.readString()) }
      if reader.remaining != 0 { throw reader.error("\(reader.remaining) bytes too many") }
      return header
    } catch {
      throw RecordingError(offset: range.lowerBound + error.offset, reason: error.reason)
    }
  }

  private static func pairs(_ reader: inout StateReader) throws(StateError)
    -> [(key: String, value: String)]
  {
    let count = try reader.read(in: UInt32(0)...1000)
    var list: [(key: String, value: String)] = []
    for _ in 0..<count { list.append((try reader.readString(), try reader.readString())) }
    return list
  }
}

/// Where reading is inside a frame.
private struct RecordingCursor {
  private let bytes: [UInt8]
  private var offset: Int
  private let end: Int

  init(_ bytes: [UInt8], _ range: Range<Int>) {
    self.bytes = bytes
    offset = range.lowerBound
    end = range.upperBound
  }

  var isAtEnd: Bool { offset == end }

  func error(_ reason: String) -> RecordingError { RecordingError(offset: offset, reason: reason) }

  /// Where a frame's payload lies; nil when the file ends inside the frame or in zeros.
  static func payload(_ bytes: [UInt8], at offset: Int, number: UInt64) throws(RecordingError)
    -> Range<Int>?
  {
    let left = bytes.count - offset
    if left < RecordingFormat.frameHead { return nil }
    func little(_ at: Int, _ count: Int) -> UInt64 {
      (0..<count).reduce(0) { $0 | UInt64(bytes[at + $1]) << UInt64(8 * $1) }
    }
    let length = Int(little(offset, 4))
    // A file system may leave zeros where a crash came between growing a file and filling it.
    if length == 0 && bytes[offset...].allSatisfy({ $0 == 0 }) { return nil }
    if length == 0 || length > RecordingFormat.longestFrame {
      throw RecordingError(
        offset: offset, reason: "a frame of \(length) bytes: the file is damaged")
    }
    if length > left - RecordingFormat.frameHead { return nil }
    let start = offset + RecordingFormat.frameHead
    let sum = RecordingFormat.checksum(bytes[start..<start + length], number: number)
    if sum != little(offset + 4, 8) {
      if start + length == bytes.count && number > 0 { return nil }
      throw RecordingError(offset: offset, reason: "the checksum is wrong: the file is damaged")
    }
    return start..<start + length
  }

  mutating func byte() throws(RecordingError) -> UInt8 {
    if offset >= end { throw error("an event is cut off") }
    defer { offset += 1 }
    return bytes[offset]
  }

  mutating func number() throws(RecordingError) -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while true {
      let byte = try byte()
      if shift == 63 && byte > 1 { throw error("a number of more than 64 bits") }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
  }

  mutating func number(atMost limit: UInt64) throws(RecordingError) -> Int {
    let value = try number()
    if value > limit { throw error("\(value) is more than the \(limit) that make sense") }
    return Int(value)
  }

  mutating func signed() throws(RecordingError) -> Int {
    let value = try number()
    return Int(bitPattern: UInt(value >> 1)) ^ -Int(value & 1)
  }

  mutating func data() throws(RecordingError) -> [UInt8] {
    let count = try number(atMost: UInt64(RecordingFormat.longestFrame))
    if count > end - offset { throw error("\(count) bytes needed, \(end - offset) left") }
    defer { offset += count }
    return Array(bytes[offset..<offset + count])
  }

  mutating func text() throws(RecordingError) -> String {
    guard let text = String(validating: try data(), as: UTF8.self) else {
      throw error("not UTF-8")
    }
    return text
  }

  mutating func little(_ count: Int) throws(RecordingError) -> UInt64 {
    var value: UInt64 = 0
    for n in 0..<count { value |= UInt64(try byte()) << UInt64(8 * n) }
    return value
  }

  mutating func entry(after last: UInt64, parts: Int) throws(RecordingError) -> JournalEntry {
    let delta = try number()
    let (instruction, overflow) = last.addingReportingOverflow(delta)
    if overflow || instruction > RecordingFormat.lastInstruction {
      throw error("an instruction number out of range")
    }
    let kind = try byte()
    switch kind {
    case RecordingFormat.Kind.checkpoint:
      return JournalEntry(
        instruction: instruction, event: .checkpoint(try checkpoint(parts: parts)))
    case RecordingFormat.Kind.end:
      let code = try byte()
      let value = try signed()
      guard let stop = StopReason(code: code, value: value, text: try text()) else {
        throw error("no end is known by \(code)")
      }
      return JournalEntry(
        instruction: instruction, event: .end(stop, try checkpoint(parts: parts)))
    default:
      let input = try input(kind)
      return JournalEntry(
        instruction: instruction,
        event: .input(input, check: UInt16(truncatingIfNeeded: try little(2))))
    }
  }

  private mutating func checkpoint(parts: Int) throws(RecordingError) -> Checkpoint {
    var checkpoint = Checkpoint()
    for _ in 0..<parts {
      checkpoint.parts.append(UInt32(truncatingIfNeeded: try little(4)))
    }
    checkpoint.memory = try little(8)
    checkpoint.diskWrites = try little(8)
    checkpoint.cs = UInt16(truncatingIfNeeded: try little(2))
    checkpoint.eip = UInt32(truncatingIfNeeded: try little(4))
    return checkpoint
  }

  private mutating func input(_ kind: UInt8) throws(RecordingError) -> MachineInput {
    switch kind {
    case RecordingFormat.Kind.keyUp, RecordingFormat.Kind.keyDown:
      let usage = try number(atMost: 0xFFFF)
      return .key(usage: UInt16(usage), down: kind == RecordingFormat.Kind.keyDown)
    case RecordingFormat.Kind.mouse:
      let (dx, dy, wheel) = (try signed(), try signed(), try signed())
      return .mouse(dx: dx, dy: dy, wheel: wheel, buttons: try byte())
    case RecordingFormat.Kind.wideMouse:
      let (dx, dy, wheel, horizontal) = (try signed(), try signed(), try signed(), try signed())
      return .mouse(dx: dx, dy: dy, wheel: wheel, horizontal: horizontal, buttons: try byte())
    case RecordingFormat.Kind.eject: return .floppy(drive: try drive(), disk: nil)
    case RecordingFormat.Kind.insert:
      let drive = try drive()
      let path = try text()
      let isProtected = try byte() != 0
      return .floppy(
        drive: drive,
        disk: FloppyChoice(path: path, isProtected: isProtected, identity: try text()))
    case RecordingFormat.Kind.ejectCD, RecordingFormat.Kind.forceEjectCD:
      return .cd(
        drive: try cdDrive(), disc: nil, forced: kind == RecordingFormat.Kind.forceEjectCD)
    case RecordingFormat.Kind.insertCD, RecordingFormat.Kind.forceInsertCD:
      let drive = try cdDrive()
      let path = try text()
      return .cd(
        drive: drive, disc: FloppyChoice(path: path, isProtected: true, identity: try text()),
        forced: kind == RecordingFormat.Kind.forceInsertCD)
    case RecordingFormat.Kind.text: return .text(try text())
    case RecordingFormat.Kind.serial:
      let port = try number(atMost: 3)
      return .serial(port: port, bytes: try data())
    case RecordingFormat.Kind.rate: return .rate(try number())
    case RecordingFormat.Kind.strokes: return .strokes(try strokes())
    case RecordingFormat.Kind.reset: return .reset(try byte() == 0 ? .processor : .system)
    case RecordingFormat.Kind.powerButton: return .powerButton
    case RecordingFormat.Kind.clock: return .clock(seconds: try number())
    case RecordingFormat.Kind.diskError:
      let drive = try byte()
      if drive > Machine.lastDiskNumber { throw error("there is no drive \(drive)") }
      return .diskError(drive: Int(drive), block: try number())
    default: throw error("no event is known by \(kind)")
    }
  }

  private mutating func drive() throws(RecordingError) -> Int {
    let drive = try byte()
    if drive > 1 { throw error("there is no floppy drive \(drive)") }
    return Int(drive)
  }

  private mutating func cdDrive() throws(RecordingError) -> Int {
    let drive = try byte()
    if drive > 3 { throw error("there is no CD drive \(drive)") }
    return Int(drive)
  }

  private mutating func strokes() throws(RecordingError) -> [KeyStroke] {
    var strokes: [KeyStroke] = []
    for _ in 0..<(try number(atMost: UInt64(end))) {
      let codes = try data()
      if codes.isEmpty {
        strokes.append(.wait(milliseconds: try number(atMost: RecordingFormat.longestWait)))
        continue
      }
      var keys: [Key] = []
      let isTap = codes[0] == RecordingFormat.tapMark
      for code in codes.dropFirst(isTap ? 1 : 0) {
        guard let key = Key(rawValue: code) else { throw error("no key is known by \(code)") }
        keys.append(key)
      }
      if isTap && keys.isEmpty { throw error("no key is held") }
      strokes.append(isTap ? .tap(Array(keys.dropFirst()), holding: keys[0]) : .press(keys))
    }
    return strokes
  }
}
