// A PS/2 mouse, with the wheel and five-button extensions (IBM PS/2 Technical Reference, Mouse; Microsoft IntelliMouse protocol).
//
// Owns: movement counters, buttons, sample rate, the packet format, its commands. Must not know: the controller's registers, the
// host's pointer.
//
//   E6/E7 scaling  E8 resolution  E9 status  EA stream  EB read data  EC leave / EE enter wrap  F0 remote  F2 identify  F3 sample rate
//   F4 enable  F5 disable  F6 defaults  FE resend  FF reset      Rates 200, 100, 80 select the wheel (ID 3); 200, 200, 80 five buttons (ID 4);
//   with ID 4, 200, 80, 40 lets packets tell of the horizontal wheel (IntelliMouse Explorer 4.0)
//
// Nothing that happened is lost: what is more than a packet holds follows in the next ones, and every change of the buttons has a packet
// of its own, in order with the movement around it, however shortly a button was held.

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
  /// Movement under one state of the buttons.
  private struct Step {
    var dx: Int32 = 0
    var dy: Int32 = 0
    var dz: Int32 = 0
    var dw: Int32 = 0
    var buttons: UInt8
  }
  /// What is not reported yet, oldest first.
  private var steps: [Step] = []
  /// The buttons held now.
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
  /// Packets tell of the horizontal wheel.
  private var tellsHorizontal = false
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

  private static let mostMovement: Int32 = 32767
  private static let mostWheel: Int32 = 1024
  private static let mostSteps = 64

  /// The pointer moved by counts: `dx` to the right, `dy` upwards; `dz` wheel clicks towards the user, `dw` to the right.
  public func move(dx: Int, dy: Int, dz: Int = 0, dw: Int = 0) {
    func add(_ sum: inout Int32, _ delta: Int, _ limit: Int32) {
      let bounded = min(max(delta, -Int(limit)), Int(limit))
      sum = min(max(sum + Int32(bounded), -limit), limit)
    }
    if steps.isEmpty { steps.append(Step(buttons: buttons)) }
    let last = steps.count - 1
    add(&steps[last].dx, dx, PS2Mouse.mostMovement)
    add(&steps[last].dy, dy, PS2Mouse.mostMovement)
    add(&steps[last].dz, dz, PS2Mouse.mostWheel)
    add(&steps[last].dw, dw, PS2Mouse.mostWheel)
    wake()
  }

  /// A button went down or up.
  public func button(_ button: MouseButton, down: Bool) {
    let bit = UInt8(1) << button.rawValue
    hold(down ? buttons | bit : buttons & ~bit)
  }

  /// These buttons and no others are held from now on, each the bit of its number.
  public func hold(_ bits: UInt8) {
    let held = bits & 0x1F
    if held == buttons { return }
    buttons = held
    if steps.count < PS2Mouse.mostSteps {
      steps.append(Step(buttons: held))
    } else {
      steps[steps.count - 1].buttons = held
    }
    wake()
  }

  /// Whether there is anything that the guest's protocol has words for. What it has none for is dropped.
  private func hasNews() -> Bool {
    while let first = steps.first {
      if id == 0 { steps[0].dz = 0 }
      if !tellsHorizontal { steps[0].dw = 0 }
      let visible: UInt8 = id == 4 ? 0x1F : 0x07
      if first.dx != 0 || first.dy != 0 || steps[0].dz != 0 || steps[0].dw != 0
        || (first.buttons ^ reportedButtons) & visible != 0
      {
        return true
      }
      steps.removeFirst()
    }
    return false
  }

  /// Sends a packet now, or at the next sampling point.
  private func wake() {
    guard reporting, !remote, !wrap, clock.deadline(of: sampleEvent) == nil, hasNews() else {
      return
    }
    sample()
  }

  private func sample() {
    guard reporting, !remote, !wrap, hasNews() else { return }
    // A packet is only made when the last one is gone; movement adds up meanwhile.
    if queue.isEmpty && command == 0 {
      queue = packet(scaled: doubled)
      onData()
    }
    clock.schedule(sampleEvent, after: 1_000_000_000 / UInt64(max(rate, 1)))
  }

  private func packet(scaled: Bool) -> [UInt8] {
    var step = hasNews() ? steps[0] : Step(buttons: buttons)
    func take(_ sum: inout Int32, _ range: ClosedRange<Int32>) -> Int32 {
      let part = min(max(sum, range.lowerBound), range.upperBound)
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
    // The packet has nine bits for each axis; doubled counts must fit too.
    let reach: ClosedRange<Int32> = scaled ? -127...127 : -255...255
    let x = double(take(&step.dx, reach))
    let y = double(take(&step.dy, reach))
    var first: UInt8 = 0x08 | step.buttons & 7
    if x < 0 { first |= 0x10 }
    if y < 0 { first |= 0x20 }
    var bytes = [first, UInt8(truncatingIfNeeded: x), UInt8(truncatingIfNeeded: y)]
    if id == 4 && step.dw != 0 {
      // Six bits, to the left positive; such a packet tells of nothing else but the first three buttons.
      let w = take(&step.dw, -31...31)
      bytes.append(0x40 | UInt8(truncatingIfNeeded: -w) & 0x3F)
      reportedButtons = reportedButtons & 0x18 | step.buttons & 7
    } else if id != 0 {
      let z = UInt8(truncatingIfNeeded: take(&step.dz, -8...7))
      bytes.append(id == 4 ? z & 15 | (step.buttons & 0x18) << 1 : z)
      reportedButtons = step.buttons
    } else {
      reportedButtons = step.buttons
    }
    if !steps.isEmpty { steps[0] = step }
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
      becomePlain()
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
      if knock == [200, 80, 40] && id == 4 { tellsHorizontal = true }
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
    steps = []
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
    becomePlain()
    lastSent = 0
  }

  /// What no other command than a reset takes back: the three-byte protocol, no part of a knock heard.
  private func becomePlain() {
    id = 0
    tellsHorizontal = false
    knock = [0, 0, 0]
  }

  // MARK: State

  func save(to writer: inout StateWriter) {
    writer.write(bytes: queue)
    writer.write(UInt8(steps.count))
    for step in steps {
      for value in [step.dx, step.dy, step.dz, step.dw] { writer.write(value) }
      writer.write(step.buttons)
    }
    for byte in [buttons, reportedButtons, resolution, rate, id, command, lastSent] {
      writer.write(byte)
    }
    writer.write(bytes: knock)
    for flag in [reporting, remote, wrap, doubled, tellsHorizontal] { writer.write(flag) }
  }

  /// - Parameter version: 1: one sum of movement, no horizontal wheel.
  func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    queue = try reader.readBytes()
    if queue.count > 16 { throw reader.error("a mouse queue too long") }
    let (movement, wheel) = (PS2Mouse.mostMovement, PS2Mouse.mostWheel)
    steps = []
    let count = version == 1 ? 1 : Int(try reader.read(in: 0...UInt8(PS2Mouse.mostSteps)))
    for _ in 0..<count {
      var step = Step(buttons: 0)
      step.dx = try reader.read(in: -movement...movement)
      step.dy = try reader.read(in: -movement...movement)
      step.dz = try reader.read(in: -wheel...wheel)
      if version > 1 {
        step.dw = try reader.read(in: -wheel...wheel)
        step.buttons = try reader.read(in: 0...0x1F)
      }
      steps.append(step)
    }
    buttons = try reader.read(in: 0...0x1F)
    if version == 1 { steps[0].buttons = buttons }
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
    tellsHorizontal = version > 1 ? try reader.readBool() : false
  }
}

extension PS2Mouse {
  /// What a debugger shows of it.
  func inspect() -> [Field] {
    [
      .count("id", id), .flag("reporting", reporting), .flag("remote", remote),
      .flag("wrap", wrap), .count("scaling", doubled ? 2 : 1), .count("resolution", resolution),
      .count("rate", rate), .count("dx", steps.reduce(0) { $0 + $1.dx }),
      .count("dy", steps.reduce(0) { $0 + $1.dy }), .count("wheel", steps.reduce(0) { $0 + $1.dz }),
      .flag("left", buttons & 1 != 0), .flag("right", buttons & 2 != 0),
      .flag("middle", buttons & 4 != 0), .bytes("queue", queue),
      .register("awaits argument of", command), .register("last sent", lastSent),
    ]
  }
}
