// Device tests by the line protocol, on a machine whose processor stands still.
//
// Owns: carrying out lines, answers, messages of interrupt lines, the time that accesses take. Must not know: where lines come from, any
// device but the interrupt controllers' inputs.
// Follows: QEMU's docs/devel/testing/qtest (qtest protocol).
//
// Nothing here knows the host's time: the answers are a function of the machine and the lines.

import Chipset
import Host
import Machine

/// A machine that obeys lines.
public final class DeviceSession {
  private let machine: Machine
  private let accessTime: UInt64
  private let send: ([UInt8]) -> Void
  private var isIntercepting = false
  /// The levels that were told.
  private var levels = [Bool](repeating: false, count: 16)

  /// The longest that time may pass by one line, in nanoseconds, and the latest time there is.
  public static let longestStep: UInt64 = 1 << 50
  static let lastTime: UInt64 = 1 << 59

  /// - Parameters:
  ///   - accessTime: what each line that accesses ports or memory takes, before the access, in virtual nanoseconds.
  ///   - send: takes answers and messages, whole lines.
  public init(_ machine: Machine, accessTime: UInt64, send: @escaping ([UInt8]) -> Void) {
    (self.machine, self.accessTime, self.send) = (machine, accessTime, send)
  }

  /// Obeys lines until there are no more.
  public static func serve(_ machine: Machine, accessTime: UInt64, _ connection: LineConnection) {
    let session = DeviceSession(machine, accessTime: accessTime) { connection.send($0) }
    while let line = connection.next() {
      switch line {
      case .text(let bytes): session.take(bytes)
      case .tooLong: session.answer("FAIL line too long")
      }
    }
  }

  private func answer(_ text: String) { send(Array((text + "\n").utf8)) }

  /// Obeys a line. Every line that is neither empty nor a comment has one answer, which comes last.
  public func take(_ bytes: [UInt8]) {
    do throws(DeviceLine.Refusal) {
      guard let line = try DeviceLine(bytes) else { return }
      if !machine.isOn { throw DeviceLine.Refusal("the machine is off") }
      try carryOut(line)
    } catch {
      answer("FAIL " + DeviceSession.printable(error.reason))
    }
  }

  /// What came may come back in a reason: only what fits into a line.
  private static func printable(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.prefix(200).filter { $0.value >= 0x20 }))
  }

  private func carryOut(_ line: DeviceLine) throws(DeviceLine.Refusal) {
    switch line {
    case .portRead(let port, let width):
      try wait()
      answer("OK 0x" + digits(UInt64(machine.portRead(port, width: width)), 4))
    case .portWrite(let port, let value, let width):
      try wait()
      machine.portWrite(port, value, width: width)
      answer("OK")
    case .memoryRead(let address, let width):
      try wait()
      answer("OK 0x" + digits(machine.memoryRead(address, width: width), 16))
    case .memoryWrite(let address, let value, let width):
      try wait()
      machine.memoryWrite(address, value, width: width)
      answer("OK")
    case .read(let address, let count, let base64):
      try wait()
      let bytes = machine.memoryRead(address, count: count)
      send(
        Array((base64 ? "OK " : "OK 0x").utf8)
          + (base64 ? DeviceLine.base64(bytes) : DeviceLine.hexadecimal(bytes)) + [0x0A])
    case .write(let address, let bytes):
      try wait()
      machine.memoryWrite(address, bytes)
      answer("OK")
    case .fill(let address, let count, let value):
      try wait()
      machine.memoryWrite(address, [UInt8](repeating: value, count: count))
      answer("OK")
    case .step(let time):
      let now = machine.clock.now
      if let time {
        try pass(now.addingReportingOverflow(time).partialValue, isPossible: time)
      } else if machine.clock.nextDeadline < DeviceSession.lastTime {
        try pass(max(machine.clock.nextDeadline, now))
      }
      answer("OK \(machine.clock.now)")
    case .clock(let time):
      try pass(max(time, machine.clock.now))
      answer("OK \(machine.clock.now)")
    case .interceptInputs(let name):
      try checkController(name)
      intercept()
      answer("OK")
    case .setInput(let name, let number, let level):
      try checkController(name)
      guard number < 16 else { throw DeviceLine.Refusal("inputs are 0 to 15") }
      machine.pic.irq(Int(number)).set(level)
      try pass(machine.clock.now)
      answer("OK")
    case .endianness: answer("OK little")
    case .floppy(let drive, let file):
      do throws(MediaError) {
        try machine.changeFloppy(drive: drive, to: file.map { FloppyChoice(path: $0) })
      } catch { throw DeviceLine.Refusal(error.description) }
      try pass(machine.clock.now)
      answer("OK")
    case .cd(let drive, let file):
      let isDone: Bool
      do throws(MediaError) {
        isDone = try machine.changeCD(
          drive: drive, to: file.map { FloppyChoice(path: $0, isProtected: true) })
      } catch { throw DeviceLine.Refusal(error.description) }
      try pass(machine.clock.now)
      if !isDone {
        throw DeviceLine.Refusal("the tray is locked; the drive tells that it was asked")
      }
      answer("OK")
    }
  }

  private func digits(_ value: UInt64, _ count: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, count - text.count)) + text
  }

  // MARK: Time

  /// The access takes its time.
  private func wait() throws(DeviceLine.Refusal) { try pass(machine.clock.now &+ accessTime) }

  private func pass(_ time: UInt64, isPossible step: UInt64 = 0) throws(DeviceLine.Refusal) {
    let now = machine.clock.now
    guard step <= DeviceSession.longestStep, time <= DeviceSession.lastTime,
      time <= now &+ DeviceSession.longestStep
    else { throw DeviceLine.Refusal("time passes by \(DeviceSession.longestStep) ns at most") }
    machine.passTime(until: time)
  }

  // MARK: Interrupts

  /// The last part of an object's path is its name.
  private func checkController(_ path: String) throws(DeviceLine.Refusal) {
    let name = path.split(separator: "/").last ?? ""
    guard ["pic", "i8259", "ioapic"].contains(name) else {
      throw DeviceLine.Refusal("Unknown device '\(path)'")
    }
  }

  /// From now on changes of request lines are told.
  private func intercept() {
    if isIntercepting { return }
    isIntercepting = true
    for number in 0..<16 where number != 2 {
      machine.pic.irq(number).connect { [weak self] level in self?.changed(number, level) }
    }
  }

  private func changed(_ number: Int, _ level: Bool) {
    if levels[number] == level { return }
    levels[number] = level
    answer("IRQ \(level ? "raise" : "lower") \(number)")
  }
}
