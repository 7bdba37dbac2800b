// An enhanced PC keyboard at the far end of the serial line (IBM PS/2 Technical Reference, Keyboards).
//
// Owns: pressed keys, the 16-byte buffer, scan code sets 1-3, typematic repeat in virtual time, its commands. Must not know: the
// controller's registers, the host's keyboard.
//
//   ED LEDs  EE echo  F0 scan code set  F2 identify  F3 rate and delay  F4 enable  F5 disable and defaults  F6 defaults
//   F7-FA all keys, FB-FD one key: typematic / make-break / make / all (set 3)   FE resend  FF reset and self test

import Bus
import State

/// The keyboard. Its controller is told by `onData` that bytes wait.
public final class PS2Keyboard {
  /// Bits 0 Scroll Lock, 1 Num Lock, 2 Caps Lock as the guest set them.
  public private(set) var leds: UInt8 = 0
  /// Told of each change of the LEDs.
  public var ledsChanged: ((UInt8) -> Void)?

  /// Told that a byte became available.
  var onData: () -> Void = {}

  private let clock: VirtualClock
  private var repeatEvent: EventID!
  private var selfTestEvent: EventID!

  /// Answers to commands; they go before scan codes.
  private var replies: [UInt8] = []
  private var buffer: [UInt8] = []
  private var overrun = false
  private var down = [Bool](repeating: false, count: Key.allCases.count)
  private var repeating: Key?
  private var scanning = true
  /// Whether it tells of keys (commands F4h and F5h).
  public var isScanning: Bool { scanning }
  private(set) var set: UInt8 = 2
  private var rate: UInt8 = 0x2B
  private var kinds = PS2Keyboard.defaultKinds
  /// The command whose argument comes next, or 0.
  private var command: UInt8 = 0
  private var lastSent: UInt8 = 0

  private static let bufferSize = 16
  /// The most answers that wait: three, one repeated before them and the self-test's after them, with room to spare.
  private static let mostReplies = 16
  /// Resends stacked up without end before; states saved then are read up to here.
  private static let mostSavedReplies = 65_536
  private static let defaultKinds = Key.allCases.map { $0.codes.kind }
  /// How long the basic assurance test takes. Real keyboards take up to half a second; nobody waits for that to pass.
  private static let selfTestTime: UInt64 = 20_000_000

  init(clock: VirtualClock) {
    self.clock = clock
    repeatEvent = clock.register("keyboard.typematic") { [unowned self] in typematic() }
    selfTestEvent = clock.register("keyboard.self-test") { [unowned self] in
      replies.append(0xAA)
      onData()
    }
  }

  // MARK: Host side

  /// A key of the host went down or up. Repeated reports of the same position are ignored: repeating is the keyboard's own business.
  public func key(_ key: Key, down isDown: Bool) {
    if down[Int(key.rawValue)] == isDown { return }
    if isDown {
      if scanning { send(makeCodes(key)) }
      down[Int(key.rawValue)] = true
      startRepeating(key)
    } else {
      down[Int(key.rawValue)] = false
      if repeating == key { stopRepeating() }
      if scanning { send(breakCodes(key)) }
    }
  }

  /// Lets go of every key (the window lost the focus).
  public func releaseAll() {
    for key in Key.allCases where down[Int(key.rawValue)] { self.key(key, down: false) }
  }

  /// Whether a key is down.
  public func isDown(_ key: Key) -> Bool { down[Int(key.rawValue)] }

  /// Whether all scan codes have been fetched by the controller, so that further keys are not lost.
  public var isDrained: Bool { buffer.isEmpty && replies.isEmpty }

  // MARK: Codes

  private var shiftDown: Bool { isDown(.leftShift) || isDown(.rightShift) }
  private var controlDown: Bool { isDown(.leftControl) || isDown(.rightControl) }
  private var altDown: Bool { isDown(.leftAlt) || isDown(.rightAlt) }

  private func code(_ codes: KeyCodes, make: Bool) -> [UInt8] {
    let prefix: [UInt8] = codes.extended ? [0xE0] : []
    if set == 1 { return prefix + [make ? codes.set1 : codes.set1 | 0x80] }
    return prefix + (make ? [codes.set2] : [0xF0, codes.set2])
  }

  /// The feigned Shift codes around the grey keys, which an 83-key program would otherwise take for shifted keypad keys.
  private func guardCodes(_ key: Key, before: Bool) -> [UInt8] {
    let left = KeyCodes(0x2A, 0x12, 0, e0: true)
    let right = KeyCodes(0x36, 0x59, 0, e0: true)
    guard key.isNavigation || key == .keypadDivide else { return [] }
    if shiftDown && (key == .keypadDivide || leds & 2 == 0) {
      var bytes: [UInt8] = []
      if isDown(.leftShift) { bytes += code(left, make: !before) }
      if isDown(.rightShift) { bytes += code(right, make: !before) }
      return bytes
    }
    if key.isNavigation && leds & 2 != 0 && !shiftDown { return code(left, make: before) }
    return []
  }

  private func makeCodes(_ key: Key) -> [UInt8] {
    let codes = key.codes
    if set == 3 { return codes.set3 == 0 ? [] : [codes.set3] }
    switch key {
    case .pause:
      if controlDown {
        return set == 1 ? [0xE0, 0x46, 0xE0, 0xC6] : [0xE0, 0x7E, 0xE0, 0xF0, 0x7E]
      }
      return set == 1
        ? [0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5]
        : [0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77]
    case .printScreen:
      if altDown { return code(KeyCodes(0x54, 0x84, 0), make: true) }
      let bare = code(codes, make: true)
      if controlDown || shiftDown { return bare }
      return code(KeyCodes(0x2A, 0x12, 0, e0: true), make: true) + bare
    default: return guardCodes(key, before: true) + code(codes, make: true)
    }
  }

  private func breakCodes(_ key: Key) -> [UInt8] {
    let codes = key.codes
    if set == 3 {
      let kind = kinds[Int(key.rawValue)]
      let breaks = kind == .makeBreak || kind == .typematicMakeBreak
      return codes.set3 != 0 && breaks ? [0xF0, codes.set3] : []
    }
    switch key {
    case .pause: return []
    case .printScreen:
      if altDown { return code(KeyCodes(0x54, 0x84, 0), make: false) }
      let bare = code(codes, make: false)
      if controlDown || shiftDown { return bare }
      return bare + code(KeyCodes(0x2A, 0x12, 0, e0: true), make: false)
    default: return code(codes, make: false) + guardCodes(key, before: false)
    }
  }

  /// Puts a sequence in the buffer; one that does not fit is lost as a whole and marked by one overrun code.
  private func send(_ bytes: [UInt8]) {
    if bytes.isEmpty || overrun { return }
    if buffer.count + bytes.count > PS2Keyboard.bufferSize {
      overrun = true
      buffer.append(set == 1 ? 0xFF : 0x00)
    } else {
      buffer += bytes
    }
    onData()
  }

  // MARK: Typematic

  private func startRepeating(_ key: Key) {
    repeating = key
    guard scanning && repeats(key) else {
      stopRepeating()
      return
    }
    clock.schedule(repeatEvent, after: (UInt64(rate >> 5 & 3) + 1) * 250_000_000)
  }

  private func stopRepeating() {
    repeating = nil
    clock.cancel(repeatEvent)
  }

  private func repeats(_ key: Key) -> Bool {
    if set == 3 {
      let kind = kinds[Int(key.rawValue)]
      return key.codes.set3 != 0 && (kind == .typematic || kind == .typematicMakeBreak)
    }
    return key != .pause
  }

  private func typematic() {
    guard let key = repeating, scanning, repeats(key) else { return }
    // While nobody fetches codes only the first make is kept.
    if buffer.isEmpty { send(set == 3 ? makeCodes(key) : code(repeatedCodes(key), make: true)) }
    // (8 + A) * 2^B / 240 s
    let period = ((8 + UInt64(rate & 7)) << UInt64(rate >> 3 & 3)) * 1_000_000_000 / 240
    clock.schedule(repeatEvent, after: period)
  }

  /// Repeats come without the guards around the first make code.
  private func repeatedCodes(_ key: Key) -> KeyCodes {
    key == .printScreen && altDown ? KeyCodes(0x54, 0x84, 0) : key.codes
  }

  // MARK: Serial line

  /// Whether a byte waits to be sent.
  var hasData: Bool { !replies.isEmpty || (!buffer.isEmpty && command == 0) }

  /// The next byte to be sent, or nil.
  func takeByte() -> UInt8? {
    if !replies.isEmpty {
      let byte = replies.removeFirst()
      // What a resend repeats is the last byte that was none itself.
      if byte != 0xFE { lastSent = byte }
      return byte
    }
    guard command == 0, !buffer.isEmpty else { return nil }
    lastSent = buffer.removeFirst()
    if buffer.isEmpty { overrun = false }
    return lastSent
  }

  /// A byte from the controller arrived.
  func receive(_ byte: UInt8) {
    // The answers to an earlier command that were not sent yet are never sent; a resend is no new command.
    if byte != 0xFE { replies = [] }
    if command != 0 && byte < 0xED {
      argument(byte)
    } else {
      command = 0
      execute(byte)
    }
    onData()
  }

  private func reply(_ bytes: UInt8...) { replies += bytes }

  /// RESEND repeats the last byte once, however often it is asked for, before what was still to come.
  private func resend() {
    if replies.first != lastSent { replies.insert(lastSent, at: 0) }
  }

  private func execute(_ byte: UInt8) {
    switch byte {
    case 0xED, 0xF0, 0xF3, 0xFB, 0xFC, 0xFD:
      if byte >= 0xFB { clearBuffer() }
      command = byte
      reply(0xFA)
    case 0xEE: reply(0xEE)
    case 0xF2: reply(0xFA, 0xAB, 0x83)
    case 0xF4:
      clearBuffer()
      scanning = true
      reply(0xFA)
    case 0xF5:
      setDefaults()
      scanning = false
      reply(0xFA)
    case 0xF6:
      setDefaults()
      reply(0xFA)
    case 0xF7...0xFA:
      let kind: Set3Kind =
        byte == 0xF7
        ? .typematic : byte == 0xF8 ? .makeBreak : byte == 0xF9 ? .make : .typematicMakeBreak
      kinds = kinds.map { _ in kind }
      clearBuffer()
      reply(0xFA)
    case 0xFE: resend()
    case 0xFF:
      setDefaults()
      set = 2
      scanning = true
      setLEDs(0)
      replies = [0xFA]
      clock.schedule(selfTestEvent, after: PS2Keyboard.selfTestTime)
    default: reply(0xFE)
    }
  }

  private func argument(_ byte: UInt8) {
    switch command {
    case 0xED:
      setLEDs(byte & 7)
      reply(0xFA)
    case 0xF0:
      if byte == 0 {
        reply(0xFA, set)
      } else if byte <= 3 {
        clearBuffer()
        set = byte
        reply(0xFA)
      } else {
        reply(0xFE)
      }
    case 0xF3:
      rate = byte & 0x7F
      reply(0xFA)
    default:
      // FBh-FDh take set 3 codes until the next command.
      let kind: Set3Kind = command == 0xFB ? .typematic : command == 0xFC ? .makeBreak : .make
      for key in Key.allCases where key.codes.set3 == byte { kinds[Int(key.rawValue)] = kind }
      reply(0xFA)
      return
    }
    command = 0
  }

  private func setLEDs(_ bits: UInt8) {
    if leds == bits { return }
    leds = bits
    ledsChanged?(bits)
  }

  private func clearBuffer() {
    buffer = []
    overrun = false
    stopRepeating()
  }

  private func setDefaults() {
    clearBuffer()
    rate = 0x2B
    kinds = PS2Keyboard.defaultKinds
  }

  func reset() {
    setDefaults()
    replies = []
    command = 0
    lastSent = 0
    set = 2
    scanning = true
    setLEDs(0)
    clock.cancel(selfTestEvent)
    down = down.map { _ in false }
  }

  // MARK: State

  func save(to writer: inout StateWriter) {
    writer.write(leds)
    writer.write(bytes: replies)
    writer.write(bytes: buffer)
    writer.write(overrun)
    writer.write(bytes: down.map { $0 ? 1 : 0 })
    writer.write(repeating?.rawValue ?? 0xFF)
    writer.write(scanning)
    writer.write(set)
    writer.write(rate)
    writer.write(bytes: kinds.map(\.rawValue))
    writer.write(command)
    writer.write(lastSent)
  }

  func restore(from reader: inout StateReader) throws(StateError) {
    leds = try reader.read(in: 0...7)
    replies = try reader.readBytes()
    buffer = try reader.readBytes()
    if replies.count > PS2Keyboard.mostSavedReplies || buffer.count > PS2Keyboard.bufferSize + 1 {
      throw reader.error("a keyboard buffer too long")
    }
    // What was stacked up stands before the answers.
    if replies.count > PS2Keyboard.mostReplies {
      replies = Array(replies.suffix(PS2Keyboard.mostReplies))
    }
    overrun = try reader.readBool()
    let count = Key.allCases.count
    down = try reader.readBytes(count: count).map { $0 != 0 }
    repeating = Key(rawValue: try reader.read())
    scanning = try reader.readBool()
    set = try reader.read(in: 1...3)
    rate = try reader.read(in: 0...0x7F)
    kinds = try reader.readBytes(count: count).map { Set3Kind(rawValue: $0 & 3) ?? .typematic }
    command = try reader.read()
    if ![0, 0xED, 0xF0, 0xF3, 0xFB, 0xFC, 0xFD].contains(command) {
      throw reader.error("a keyboard command that takes no argument")
    }
    lastSent = try reader.read()
    ledsChanged?(leds)
  }
}

extension PS2Keyboard {
  /// What a debugger shows of it.
  func inspect() -> [Field] {
    [
      .count("set", set), .flag("scanning", scanning), .register("lights", leds),
      .flag("scroll lock", leds & 1 != 0), .flag("num lock", leds & 2 != 0),
      .flag("caps lock", leds & 4 != 0), .register("rate and delay", rate),
      .bytes("buffer", buffer), .flag("overrun", overrun), .bytes("replies", replies),
      .register("awaits argument of", command), .register("last sent", lastSent),
      .text(
        "keys down",
        Key.allCases.filter { isDown($0) }.map { "\($0)" }.joined(separator: " ")),
    ]
  }
}
