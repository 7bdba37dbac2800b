// The file of a recorded run: what is in it and its bytes.
//
// Owns: the format, its versions and checks. Must not know: how a machine runs, files.
//
//   "APUSRECL", then frames: length of the payload (u32), checksum (u64, of the frame's number and its payload), payload.
//   The first payload is the header; all others hold events one after another:
//     instructions since the event before (LEB128), kind (u8), contents
//   Frames are only ever added. What a crash cut off is an incomplete last frame, and everything before it is good.

import Bus
import CPU
import Chipset
import State

/// Why a recording was refused.
public struct RecordingError: Error, Equatable, CustomStringConvertible {
  /// The byte offset in the file, where one is to blame.
  public var offset: Int?
  /// What is wrong, in one line.
  public var reason: String
  public var description: String { offset.map { "at offset \($0): \(reason)" } ?? reason }
}

/// Hashes of all parts of a machine at one instruction.
struct Checkpoint: Equatable, Sendable {
  /// Of every part, in the order of the header's list.
  var parts: [UInt32] = []
  /// Of all RAM.
  var memory: UInt64 = 0
  /// Of everything written to disks so far.
  var diskWrites: UInt64 = 0
  /// CS and EIP, for messages.
  var cs: UInt16 = 0
  var eip: UInt32 = 0
}

/// Something in a recording.
enum RecordedEvent: Equatable, Sendable {
  /// Input, with a short check of the processor's registers before it was taken.
  case input(MachineInput, check: UInt16)
  /// What the machine was like.
  case checkpoint(Checkpoint)
  /// Why the run ended, and what the machine was like.
  case end(StopReason, Checkpoint)
  /// The machine itself was changed; only kept in memory, beside a snapshot.
  case change
}

/// An event at a count of retired instructions.
struct JournalEntry: Equatable, Sendable {
  var instruction: UInt64
  var event: RecordedEvent
}

/// What a recording begins with.
struct RecordingHeader: Equatable, Sendable {
  /// What the run depends on, as names and values.
  var identity: [(key: String, value: String)] = []
  /// What may help people: names of files, the command line.
  var notes: [(key: String, value: String)] = []
  /// What is taken over from the recording.
  var initialTime: Int64 = 0
  var instructionsPerSecond: UInt64 = 0
  /// Where it begins: retired instructions, and the hash of the state.
  var instruction: UInt64 = 0
  var stateHash: UInt64 = 0
  /// The names of the parts that checkpoints have hashes of.
  var parts: [String] = []

  static func == (a: RecordingHeader, b: RecordingHeader) -> Bool {
    a.identity.elementsEqual(b.identity, by: ==) && a.notes.elementsEqual(b.notes, by: ==)
      && a.initialTime == b.initialTime && a.instructionsPerSecond == b.instructionsPerSecond
      && a.instruction == b.instruction && a.stateHash == b.stateHash && a.parts == b.parts
  }
}

enum RecordingFormat {
  static let magic = Array("APUSRECL".utf8)
  /// 2: images by the hash of all they hold.
  static let version: UInt32 = 2
  static let frameHead = 12
  /// The longest payload of a frame.
  static let longestFrame = 16 << 20
  /// The longest pause of a typist, in milliseconds; what is longer counts as this.
  static let longestWait: UInt64 = 0x7FFF_FFFF
  static let lastInstruction: UInt64 = 1 << 62

  enum Kind {
    static let keyUp: UInt8 = 1
    static let keyDown: UInt8 = 2
    static let mouse: UInt8 = 3
    static let text: UInt8 = 4
    static let serial: UInt8 = 5
    static let rate: UInt8 = 6
    static let strokes: UInt8 = 7
    static let reset: UInt8 = 8
    /// A movement with the horizontal wheel.
    static let wideMouse: UInt8 = 9
    static let eject: UInt8 = 10
    static let insert: UInt8 = 11
    static let ejectCD: UInt8 = 12
    static let insertCD: UInt8 = 13
    static let forceEjectCD: UInt8 = 14
    static let forceInsertCD: UInt8 = 15
    static let powerButton: UInt8 = 16
    static let diskError: UInt8 = 17
    static let clock: UInt8 = 18
    static let checkpoint: UInt8 = 64
    static let end: UInt8 = 65
  }

  /// Stands in place of a key before one that is held while others are tapped.
  static let tapMark: UInt8 = 0xFF

  /// A frame around a payload.
  static func frame(_ payload: [UInt8], number: UInt64) -> [UInt8] {
    var writer = StateWriter()
    writer.write(UInt32(payload.count))
    writer.write(checksum(payload[...], number: number))
    return writer.bytes + payload
  }

  static func checksum(_ payload: ArraySlice<UInt8>, number: UInt64) -> UInt64 {
    var hash = StateHash()
    hash.add(number)
    payload.withUnsafeBytes { hash.add($0) }
    return hash.value
  }

  // MARK: Writing

  static func bytes(_ header: RecordingHeader) -> [UInt8] {
    var writer = StateWriter()
    writer.write(version)
    for list in [header.identity, header.notes] {
      writer.write(UInt32(list.count))
      for (key, value) in list {
        writer.write(key)
        writer.write(value)
      }
    }
    writer.write(header.initialTime)
    writer.write(header.instructionsPerSecond)
    writer.write(header.instruction)
    writer.write(header.stateHash)
    writer.write(UInt32(header.parts.count))
    for name in header.parts { writer.write(name) }
    return writer.bytes
  }

  static func append(_ value: UInt64, to bytes: inout [UInt8]) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private static func append(signed value: Int, to bytes: inout [UInt8]) {
    append(UInt64(bitPattern: Int64(value &<< 1 ^ value &>> 63)), to: &bytes)
  }

  private static func append(_ text: some Collection<UInt8>, to bytes: inout [UInt8]) {
    append(UInt64(text.count), to: &bytes)
    bytes += text
  }

  static func append(_ event: RecordedEvent, after delta: UInt64, to bytes: inout [UInt8]) {
    append(delta, to: &bytes)
    switch event {
    case .input(let input, let check):
      append(input, to: &bytes)
      bytes.append(UInt8(truncatingIfNeeded: check))
      bytes.append(UInt8(check >> 8))
    case .change: preconditionFailure("changes are not recorded")
    case .checkpoint(let checkpoint):
      bytes.append(Kind.checkpoint)
      append(checkpoint, to: &bytes)
    case .end(let stop, let checkpoint):
      bytes.append(Kind.end)
      let (code, value, text) = stop.encoded
      bytes.append(code)
      append(signed: value, to: &bytes)
      append(text.utf8, to: &bytes)
      append(checkpoint, to: &bytes)
    }
  }

  private static func append(_ input: MachineInput, to bytes: inout [UInt8]) {
    switch input {
    case .key(let usage, let down):
      bytes.append(down ? Kind.keyDown : Kind.keyUp)
      append(UInt64(usage), to: &bytes)
    case .mouse(let dx, let dy, let wheel, let horizontal, let buttons):
      bytes.append(horizontal == 0 ? Kind.mouse : Kind.wideMouse)
      for value in [dx, dy, wheel] { append(signed: value, to: &bytes) }
      if horizontal != 0 { append(signed: horizontal, to: &bytes) }
      bytes.append(buttons)
    case .text(let text):
      bytes.append(Kind.text)
      append(text.utf8, to: &bytes)
    case .serial(let port, let data):
      bytes.append(Kind.serial)
      append(UInt64(port), to: &bytes)
      append(data, to: &bytes)
    case .rate(let rate):
      bytes.append(Kind.rate)
      append(rate, to: &bytes)
    case .strokes(let strokes):
      bytes.append(Kind.strokes)
      append(UInt64(strokes.count), to: &bytes)
      for stroke in strokes {
        switch stroke {
        case .press(let keys): append(keys.map(\.rawValue), to: &bytes)
        case .tap(let keys, let held):
          append([tapMark, held.rawValue] + keys.map(\.rawValue), to: &bytes)
        case .wait(let milliseconds):
          // No keys, then the time.
          append(0, to: &bytes)
          append(min(UInt64(max(0, milliseconds)), longestWait), to: &bytes)
        }
      }
    case .reset(let kind):
      bytes.append(Kind.reset)
      bytes.append(kind == .processor ? 0 : 1)
    case .powerButton:
      bytes.append(Kind.powerButton)
    case .clock(let seconds):
      bytes.append(Kind.clock)
      append(seconds, to: &bytes)
    case .diskError(let drive, let block):
      bytes.append(Kind.diskError)
      bytes.append(UInt8(truncatingIfNeeded: drive))
      append(block, to: &bytes)
    case .floppy(let drive, let choice):
      bytes.append(choice == nil ? Kind.eject : Kind.insert)
      bytes.append(UInt8(truncatingIfNeeded: drive))
      guard let choice else { return }
      append(choice.path.utf8, to: &bytes)
      bytes.append(choice.isProtected ? 1 : 0)
      append(choice.identity.utf8, to: &bytes)
    case .cd(let drive, let choice, let forced):
      let (eject, insert) =
        forced ? (Kind.forceEjectCD, Kind.forceInsertCD) : (Kind.ejectCD, Kind.insertCD)
      bytes.append(choice == nil ? eject : insert)
      bytes.append(UInt8(truncatingIfNeeded: drive))
      guard let choice else { return }
      append(choice.path.utf8, to: &bytes)
      append(choice.identity.utf8, to: &bytes)
    }
  }

  private static func append(_ checkpoint: Checkpoint, to bytes: inout [UInt8]) {
    var writer = StateWriter()
    for hash in checkpoint.parts { writer.write(hash) }
    writer.write(checkpoint.memory)
    writer.write(checkpoint.diskWrites)
    writer.write(checkpoint.cs)
    writer.write(checkpoint.eip)
    bytes += writer.bytes
  }
}

extension StopReason {
  /// As a code with a number and a text.
  fileprivate var encoded: (UInt8, Int, String) {
    switch self {
    case .instructionLimit: (0, 0, "")
    case .powerOff: (1, 0, "")
    case .halted: (2, 0, "")
    case .guestExit(let code): (3, code, "")
    case .expectationMet: (4, 0, "")
    case .shutdown: (5, 0, "")
    case .unimplemented(let text): (6, 0, text)
    case .host(.user): (7, 0, "")
    // It was stopped here by whoever moved it.
    case .host(.moved): (7, 0, "")
    case .host(.timeout): (8, 0, "")
    case .host(.signal(let number)): (9, Int(number), "")
    case .expectationMissed: (11, 0, "")
    default: (10, 0, "\(self)")
    }
  }

  init?(code: UInt8, value: Int, text: String) {
    switch code {
    case 0: self = .instructionLimit
    case 1: self = .powerOff
    case 2: self = .halted
    case 3: self = .guestExit(value)
    case 4: self = .expectationMet
    case 5: self = .shutdown
    case 6: self = .unimplemented(text)
    case 7: self = .host(.user)
    case 8: self = .host(.timeout)
    case 9: self = .host(.signal(Int32(truncatingIfNeeded: value)))
    case 10: self = .unimplemented(text)
    case 11: self = .expectationMissed
    default: return nil
    }
  }
}
