// A PS/2 mouse, with the wheel and five-button extensions (IBM PS/2 Technical Reference, Mouse; Microsoft IntelliMouse protocol).
//
// Owns: movement counters, buttons, sample rate, the packet format, its commands. Must not know: the controller's registers, the
// host's pointer.
//
//   E6/E7 scaling  E8 resolution  E9 status  EA stream  EB read data  EC leave / EE enter wrap  F0 remote  F2 identify  F3 sample rate
//   F4 enable  F5 disable  F6 defaults  FE resend  FF reset      Rates 200, 100, 80 select the wheel (ID 3); 200, 200, 80 five buttons (ID 4)

import Bus
import State

/// A button of the mouse.
public enum MouseButton: UInt8, CaseIterable, Sendable {
  case left = 0
  case right = 1
  case middle = 2
  /// Only reported after the guest selected the five-button protocol.
  case back = 3
  case forward = 4
}

/// The mouse. Its controller is told by `onData` that bytes wait.
public final class PS2Mouse {
  /// Told that a byte became available.
  var onData: () -> Void = {}
  /// Told when the guest enables or disables reporting (a front end may grab the pointer then).
  public var reportingChanged: ((Bool) -> Void)?

  private let clock: VirtualClock
  private var sampleEvent: EventID!
  private var selfTestEvent: EventID!
  private var queue: [UInt8] = []
  private var dx: Int32 = 0
  private var dy: Int32 = 0
  private var dz: Int32 = 0
  private var buttons: UInt8 = 0
  private var reportedButtons: UInt8 = 0
  /// Whether the guest enabled reporting.
  public private(set) var reporting = false
  private var remote = false
  private var wrap = false
  private var doubled = false
  private var resolution: UInt8 = 2
  private var rate: UInt8 = 100
  private var id: UInt8 = 0
  private var knock: [UInt8] = [0, 0, 0]
  private var command: UInt8 = 0
  private var lastSent: UInt8 = 0
  private static let selfTestTime: UInt64 = 20_000_000

  init(clock: VirtualClock) {
    self.clock = clock
    sampleEvent = clock.register("mouse.sample") { [unowned self] in sample() }
    selfTestEvent = clock.register("mouse.self-test") { [unowned self] in
      queue += [0xAA, 0x00]
      onData()
    }
  }

  // MARK: Host side

  /// The pointer moved by counts: `dx` to the right, `dy` upwards, `dz` wheel clicks towards the user.
  public func move(dx: Int, dy: Int, dz: Int = 0) {
    func add(_ sum: Int32, _ delta: Int, _ limit: Int) -> Int32 {
      let bounded = max(-limit, min(limit, delta))
      return Int32(max(-limit, min(limit, Int(sum) + bounded)))
    }
    self.dx = add(self.dx, dx, 4096)
    self.dy = add(self.dy, dy, 4096)
    self.dz = add(self.dz, dz, 64)
    wake()
  }

  /// A button went down or up.
  public func button(_ button: MouseButton, down: Bool) {
    let bit = UInt8(1) << button.rawValue
    if down { buttons |= bit } else { buttons &= ~bit }
    wake()
  }

  private var hasNews: Bool {
    dx != 0 || dy != 0 || (id != 0 && dz != 0) || buttons != reportedButtons
  }

  /// Sends a packet now, or at the next sampling point.
  private func wake() {
    guard reporting, !remote, !wrap, hasNews, clock.deadline(of: sampleEvent) == nil else { return }
    sample()
  }

  private func sample() {
    guard reporting, !remote, !wrap, hasNews else { return }
    // A packet is only made when the last one is gone; movement adds up meanwhile.
    if queue.isEmpty && command == 0 {
      queue = packet(scaled: doubled)
      onData()
    }
    clock.schedule(sampleEvent, after: 1_000_000_000 / UInt64(max(rate, 1)))
  }

  private func packet(scaled: Bool) -> [UInt8] {
    func take(_ sum: inout Int32) -> Int32 {
      let part = max(-255, min(255, sum))
      sum -= part
      return part
    }
    func double(_ n: Int32) -> Int32 {
      guard scaled else { return n }
      let steps: [Int32] = [0, 1, 1, 3, 6, 9]
      let size = n < 0 ? -n : n
      let result = size < 6 ? steps[Int(size)] : size * 2
      return n < 0 ? -result : result
    }
    let x = double(take(&dx))
    let y = double(take(&dy))
    var first: UInt8 = 0x08 | buttons & 7
    if x < 0 { first |= 0x10 }
    if y < 0 { first |= 0x20 }
    if x < -256 || x > 255 { first |= 0x40 }
    if y < -256 || y > 255 { first |= 0x80 }
    var bytes = [first, UInt8(truncatingIfNeeded: x), UInt8(truncatingIfNeeded: y)]
    if id != 0 {
      let z = max(id == 4 ? -8 : -127, min(id == 4 ? 7 : 127, dz))
      dz -= z
      let low = UInt8(truncatingIfNeeded: z)
      bytes.append(id == 4 ? low & 15 | (buttons & 0x18) << 1 : low)
    } else {
      dz = 0
    }
    reportedButtons = buttons
    return bytes
  }

  // MARK: Serial line

  var hasData: Bool { !queue.isEmpty }

  func takeByte() -> UInt8? {
    if queue.isEmpty { return nil }
    lastSent = queue.removeFirst()
    return lastSent
  }

  /// A byte from the controller arrived. What was still to be sent is dropped.
  func receive(_ byte: UInt8) {
    queue = []
    if wrap && byte != 0xEC && byte != 0xFF {
      queue = [byte]
    } else if command != 0 {
      argument(byte)
    } else {
      execute(byte)
    }
    onData()
    wake()
  }

  private func execute(_ byte: UInt8) {
    queue = [0xFA]
    switch byte {
    case 0xE6: doubled = false
    case 0xE7: doubled = true
    case 0xE8, 0xF3: command = byte
    case 0xE9:
      let flags = (remote ? 0x40 : 0) | (reporting ? 0x20 : 0) | (doubled ? 0x10 : UInt8(0))
      // The status byte has the buttons in the order left, middle, right from bit 2 down.
      let pressed = (buttons & 1) << 2 | (buttons & 4) >> 1 | (buttons & 2) >> 1
      queue += [flags | pressed, resolution, rate]
    case 0xEA: remote = false
    case 0xEB: queue += packet(scaled: false)
    case 0xEC: wrap = false
    case 0xEE: wrap = true
    case 0xF0: remote = true
    case 0xF2: queue.append(id)
    case 0xF4:
      clearMovement()
      setReporting(true)
    case 0xF5: setReporting(false)
    case 0xF6: setDefaults()
    case 0xFE: queue = [lastSent]
    case 0xFF:
      setDefaults()
      id = 0
      clock.schedule(selfTestEvent, after: PS2Mouse.selfTestTime)
    default: queue = [0xFE]
    }
  }

  private func argument(_ byte: UInt8) {
    queue = [0xFA]
    if command == 0xE8 {
      if byte <= 3 { resolution = byte } else { queue = [0xFE] }
    } else {
      rate = max(byte, 1)
      knock = [knock[1], knock[2], byte]
      if knock == [200, 100, 80] { id = 3 }
      if knock == [200, 200, 80] && id != 0 { id = 4 }
    }
    command = 0
  }

  private func setReporting(_ on: Bool) {
    if reporting == on { return }
    reporting = on
    reportingChanged?(on)
  }

  private func clearMovement() {
    dx = 0
    dy = 0
    dz = 0
    reportedButtons = buttons
  }

  private func setDefaults() {
    clearMovement()
    clock.cancel(sampleEvent)
    setReporting(false)
    remote = false
    wrap = false
    doubled = false
    resolution = 2
    rate = 100
    command = 0
  }

  func reset() {
    clock.cancel(selfTestEvent)
    buttons = 0
    setDefaults()
    queue = []
    id = 0
    knock = [0, 0, 0]
    lastSent = 0
  }

  // MARK: State

  func save(to writer: inout StateWriter) {
    writer.write(bytes: queue)
    for value in [dx, dy, dz] { writer.write(value) }
    for byte in [buttons, reportedButtons, resolution, rate, id, command, lastSent] {
      writer.write(byte)
    }
    writer.write(bytes: knock)
    for flag in [reporting, remote, wrap, doubled] { writer.write(flag) }
  }

  func restore(from reader: inout StateReader) throws(StateError) {
    queue = try reader.readBytes()
    if queue.count > 16 { throw reader.error("a mouse queue too long") }
    dx = try reader.read(in: -4096...4096)
    dy = try reader.read(in: -4096...4096)
    dz = try reader.read(in: -64...64)
    buttons = try reader.read(in: 0...0x1F)
    reportedButtons = try reader.read(in: 0...0x1F)
    resolution = try reader.read(in: 0...3)
    rate = try reader.read(in: 1...255)
    id = try reader.read(in: 0...4)
    command = try reader.read()
    if ![0, 0xE8, 0xF3].contains(command) {
      throw reader.error("a mouse command that takes no argument")
    }
    lastSent = try reader.read()
    knock = try reader.readBytes(count: 3)
    reporting = try reader.readBool()
    remote = try reader.readBool()
    wrap = try reader.readBool()
    doubled = try reader.readBool()
  }
}

extension PS2Mouse {
  /// What a debugger shows of it.
  func inspect() -> [Field] {
    [
      .count("id", id), .flag("reporting", reporting), .flag("remote", remote),
      .flag("wrap", wrap), .count("scaling", doubled ? 2 : 1), .count("resolution", resolution),
      .count("rate", rate), .count("dx", dx), .count("dy", dy), .count("wheel", dz),
      .flag("left", buttons & 1 != 0), .flag("right", buttons & 2 != 0),
      .flag("middle", buttons & 4 != 0), .bytes("queue", queue),
      .register("awaits argument of", command), .register("last sent", lastSent),
    ]
  }
}
