// Devices as the debugger sees them.
//
// Owns: views of single devices, and one that shows everything a device keeps. Ports are never read; nothing changes.
// Must not know: how devices work.

import Bus
import Chipset
import Machine
import Video

extension Debugger {
  // MARK: - Any device

  func deviceList() -> View {
    let names = machine.allDevices.map(\.stateName)
    return View(names, json: .array(names.map { .string($0) }))
  }

  func deviceView(_ name: String) -> View { devicesView { $0 == name } }

  /// Everything that devices show of themselves.
  func devicesView(_ wanted: (String) -> Bool) -> View {
    var lines: [String] = []
    var items: [(String, JSONValue)] = []
    for device in machine.allDevices where wanted(device.stateName) {
      let fields = device.inspect()
      lines.append("\(device.stateName):")
      lines += FieldText.lines(fields, indent: 1)
      items.append((device.stateName, FieldText.json(fields)))
    }
    if lines.isEmpty { lines = ["there is none"] }
    return View(lines, json: .object(items))
  }

  // MARK: - Interrupts and time

  func picView() -> View {
    var lines: [String] = []
    var items: [JSONValue] = []
    for (n, r) in machine.pic.registers.enumerated() {
      lines.append(
        "\(n == 0 ? "master" : "slave ") irr=\(hexDigits(r.irr, 2)) isr=\(hexDigits(r.isr, 2)) "
          + "imr=\(hexDigits(r.imr, 2)) vectors \(hexDigits(r.base, 2))-\(hexDigits(r.base &+ 7, 2))"
      )
      items.append(
        .object([
          ("irr", .of(r.irr)), ("isr", .of(r.isr)), ("imr", .of(r.imr)), ("base", .of(r.base)),
        ]))
    }
    let names = [
      "timer", "keyboard", "cascade", "COM2", "COM1", "", "floppy", "LPT1", "clock", "", "", "",
      "mouse", "coprocessor", "IDE 1", "IDE 2",
    ]
    let r = machine.pic.registers
    for irq in 0..<16 {
      let chip = r[irq >> 3]
      let bit = UInt8(1) << UInt8(irq & 7)
      var words: [String] = []
      if chip.irr & bit != 0 { words.append("requested") }
      if chip.isr & bit != 0 { words.append("in service") }
      if chip.imr & bit != 0 { words.append("masked") }
      if words.isEmpty || (words == ["masked"] && names[irq].isEmpty) { continue }
      lines.append(
        "irq \(padded("\(irq)", 2)) \(padded(names[irq], 12)) \(words.joined(separator: ", "))")
    }
    lines.append("INTR \(machine.interruptLine ? "high" : "low")")
    return View(
      lines, json: .object([("chips", .array(items)), ("intr", .bool(machine.interruptLine))]))
  }

  func pitView() -> View {
    var lines: [String] = []
    var items: [JSONValue] = []
    for (n, c) in machine.pit.counterViews.enumerated() {
      let access = ["latch", "low", "high", "low then high"][Int(c.control >> 4 & 3)]
      let reload = c.reload == 0 ? 65536 : Int(c.reload)
      let rate = Double(PIT8254.frequency) / Double(reload)
      let hertz = (rate * 100).rounded() / 100
      lines.append(
        "counter \(n): mode \(c.mode), \(access)\(c.control & 1 != 0 ? ", BCD" : ""), count "
          + "\(hexDigits(c.count, 4)) of \(hexDigits(reload, 4)) (\(hertz) Hz), "
          + "gate \(c.gate ? 1 : 0), out \(c.out ? 1 : 0)")
      items.append(
        .object([
          ("mode", .of(c.mode)), ("control", .of(c.control)), ("count", .of(c.count)),
          ("reload", .of(reload)), ("gate", .bool(c.gate)), ("out", .bool(c.out)),
        ]))
    }
    return View(lines, json: .array(items))
  }

  func rtcView() -> View {
    let bytes = (0..<128).map { machine.cmos[UInt8($0)] }
    func two(_ n: Int) -> String { hexDigits(bytes[n], 2) }
    var lines = [
      "set \(two(0x32))\(two(9))-\(two(8))-\(two(7)) \(two(4)):\(two(2)):\(two(0)) when last read, alarm "
        + "\(two(5)):\(two(3)):\(two(1))",
      "a=\(two(10)) b=\(two(11)) c=\(two(12)) d=\(two(13))",
    ]
    for row in stride(from: 0, to: 128, by: 16) {
      lines.append(
        hexDigits(row, 2) + ": "
          + bytes[row..<row + 16].map { hexDigits($0, 2) }.joined(separator: " "))
    }
    return View(lines, json: .object([("bytes", .array(bytes.map { .of($0) }))]))
  }

  func vgaView() -> View {
    let frame = machine.screenshot()
    let text = machine.screenText
    var lines = [
      text.map { "text mode, \($0.count) rows, picture \(frame.width) x \(frame.height)" }
        ?? "graphics mode, picture \(frame.width) x \(frame.height)"
    ]
    var items: [(String, JSONValue)] = [
      ("text", .bool(text != nil)), ("width", .of(frame.width)), ("height", .of(frame.height)),
    ]
    for (name, values) in machine.vga.registerViews {
      lines.append(
        padded(name, 10) + values.map { hexDigits($0, 2) }.joined(separator: " "))
      items.append((name, .array(values.map { .of($0) })))
    }
    return View(lines, json: .object(items))
  }
}
