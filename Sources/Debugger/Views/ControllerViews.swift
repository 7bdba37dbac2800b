// DMA, disk, floppy and keyboard controllers in words.
//
// Owns: the words, made of what the devices show of themselves (`Device.inspect`). Must not know: how the devices work.
// `info device NAME` shows everything. Follows: datasheets of the 8237A, 82077AA, 8042; ATA/ATAPI-6.

import Bus
import Machine

/// A device's fields by name. A name that the device does not have shows as "(no NAME)": never as a value.
struct FieldReader {
  let fields: [Field]

  func text(_ name: String) -> String {
    fields[name].map { FieldText.text($0) } ?? "(no \(name))"
  }

  func json(_ name: String) -> JSONValue { fields[name].map { FieldText.json($0) } ?? .null }

  func isOn(_ name: String) -> Bool { fields[name] == .flag(true) }

  func number(_ name: String) -> UInt64 {
    switch fields[name] {
    case .register(let value, _): value
    case .count(let value): UInt64(max(0, value))
    default: 0
    }
  }

  func part(_ name: String) -> FieldReader? {
    guard case .group(let fields)? = fields[name] else { return nil }
    return FieldReader(fields: fields)
  }
}

/// Values of devices as text and JSON.
enum FieldText {
  static func text(_ value: FieldValue) -> String {
    switch value {
    case .register(let value, let digits): hexDigits(value, digits)
    case .flag(let on): on ? "1" : "0"
    case .count(let value): "\(value)"
    case .text(let text): text
    case .bytes(let bytes): "[" + bytes.map { hexDigits($0, 2) }.joined(separator: " ") + "]"
    case .group(let fields):
      "{" + fields.map { "\($0.name)=\(text($0.value))" }.joined(separator: ", ") + "}"
    }
  }

  static func json(_ value: FieldValue) -> JSONValue {
    switch value {
    case .register(let value, _): .number(value)
    case .flag(let on): .bool(on)
    case .count(let value): .of(value)
    case .text(let text): .string(text)
    case .bytes(let bytes): .array(bytes.map { .of($0) })
    case .group(let fields): json(fields)
    }
  }

  static func json(_ fields: [Field]) -> JSONValue {
    .object(fields.map { ($0.name, json($0.value)) })
  }

  /// One or more lines; parts are indented.
  static func lines(_ fields: [Field], indent: Int) -> [String] {
    let space = String(repeating: "  ", count: indent)
    var lines: [String] = []
    var row = ""
    for field in fields {
      if case .group(let part) = field.value {
        if !row.isEmpty { lines.append(space + row) }
        row = ""
        lines.append("\(space)\(field.name):")
        lines += FieldText.lines(part, indent: indent + 1)
        continue
      }
      let item = "\(field.name)=\(text(field.value))"
      if !row.isEmpty && row.count + item.count > 90 {
        lines.append(space + row)
        row = ""
      }
      row += (row.isEmpty ? "" : ", ") + item
    }
    if !row.isEmpty { lines.append(space + row) }
    return lines
  }
}

extension Debugger {
  private func reader(_ name: String) -> FieldReader? {
    machine.allDevices.first { $0.stateName == name }.map { FieldReader(fields: $0.inspect()) }
  }

  // MARK: - DMA

  func dmaView() -> View {
    guard let dma = reader("dma") else { return View(["there is none"], json: .null) }
    let users = ["", "", "floppy", "", "cascade", "", "", ""]
    var lines: [String] = []
    var items: [JSONValue] = []
    for n in 0..<2 {
      guard let c = dma.part("controller \(n)") else { continue }
      lines.append(
        "8237A \(n): command=\(c.text("command")) mask=\(c.text("mask")) "
          + "requests=\(c.text("requests")) dreq=\(c.text("dreq")) "
          + "terminal count=\(c.text("terminal count"))")
      for number in n * 4..<n * 4 + 4 {
        guard let f = c.part("channel \(number)") else { continue }
        lines.append(
          "channel \(number) \(padded(users[number], 8)) address \(hexDigits(f.number("physical"), 6)), "
            + "\(f.text("count")) of \(f.text("base count")) left, \(f.text("kind")), \(f.text("direction"))"
            + "\(f.isOn("auto-init") ? ", auto-init" : "")\(f.isOn("downwards") ? ", downwards" : "")"
            + "\(f.isOn("masked") ? ", masked" : "")")
        items.append(
          .object([
            ("channel", .of(number)), ("address", f.json("physical")), ("count", f.json("count")),
            ("baseCount", f.json("base count")), ("mode", f.json("mode")),
            ("masked", f.json("masked")),
          ]))
      }
    }
    return View(lines, json: .array(items))
  }

  // MARK: - Disks

  /// - Parameter channel: its name or number; empty: all.
  func ideView(_ channel: String = "") throws -> View {
    var lines: [String] = []
    var items: [JSONValue] = []
    let all = machine.allDevices.map(\.stateName).filter { $0.hasPrefix("ide") }
    let wanted = channel.hasPrefix("ide") ? channel : "ide" + channel
    if !channel.isEmpty, !all.contains(wanted) {
      throw DebuggerError("there is no channel '\(channel)' (\(all.joined(separator: ", ")))")
    }
    for device in machine.allDevices
    where device.stateName.hasPrefix("ide") && (channel.isEmpty || device.stateName == wanted) {
      let channel = FieldReader(fields: device.inspect())
      lines.append(
        "\(device.stateName): ports \(channel.text("command ports")), \(channel.text("control ports")), "
          + "drive \(channel.text("selected")) selected, control=\(channel.text("control")), "
          + "interrupt \(channel.text("interrupt"))")
      for n in 0..<2 {
        guard let f = channel.part("drive \(n)") else {
          lines.append("  drive \(n): none")
          continue
        }
        lines.append(
          "  drive \(n): status=\(f.text("status")) (\(f.text("status bits"))) error=\(f.text("error")) "
            + "phase \(f.text("phase")), \(f.text("position")) of \(f.text("window")) bytes")
        lines.append(
          "    features=\(f.text("features")) count=\(f.text("count")) lba=\(hexDigits(f.number("high") & 0xFF, 2))"
            + "\(hexDigits(f.number("mid") & 0xFF, 2))\(hexDigits(f.number("low") & 0xFF, 2)) device=\(f.text("device"))"
        )
        // What the drive keeps beside the registers that every one has.
        let known: Set<String> = [
          "status", "status bits", "error", "features", "count", "low", "mid", "high", "device",
          "phase", "position", "window",
        ]
        let others = f.fields.filter { !known.contains($0.name) }
        lines += FieldText.lines(others, indent: 2)
        items.append(
          .object(
            [("channel", .string(device.stateName)), ("drive", .of(n))]
              + ["status", "error", "phase", "count", "low", "mid", "high", "device"].map {
                ($0, f.json($0))
              } + [("more", FieldText.json(others))]))
      }
    }
    if let master = reader("piix-ide") {
      for field in master.fields where channel.isEmpty || field.name == wanted {
        guard case .group(let fields) = field.value, fields["table"] != nil else { continue }
        let f = FieldReader(fields: fields)
        lines.append(
          "\(field.name)'s bus master: command=\(f.text("command")) status=\(f.text("status")) table=\(f.text("table")) "
            + "address=\(f.text("address")), \(f.text("bytes left")) bytes left")
      }
    }
    if lines.isEmpty { lines = ["there is none"] }
    return View(lines, json: .array(items))
  }

  func floppyView() -> View {
    guard let fdc = reader("fdc") else { return View(["there is none"], json: .null) }
    let motors = (0..<4).filter { fdc.number("motors") >> UInt64($0) & 1 != 0 }.map { "\($0)" }
    var lines = [
      "82077AA: dor=\(fdc.text("dor")) (drive \(fdc.text("drive")), motors "
        + "\(motors.isEmpty ? "off" : motors.joined(separator: " "))"
        + "\(fdc.isOn("DMA and interrupt") ? ", DMA and interrupt" : "")\(fdc.isOn("in reset") ? ", in reset" : "")) "
        + "rate=\(fdc.text("rate")) phase \(fdc.text("phase")), interrupt \(fdc.text("IRQ 6"))",
      "command \(fdc.text("command"))",
      "result  \(fdc.text("result")), \(fdc.text("result read")) read",
      "heads at cylinders \(fdc.text("cylinders"))",
    ]
    var items: [(String, JSONValue)] = [
      ("dor", fdc.json("dor")), ("phase", fdc.json("phase")), ("command", fdc.json("command")),
      ("result", fdc.json("result")), ("cylinders", fdc.json("cylinders")),
    ]
    if let t = fdc.part("transfer") {
      lines.append(
        "last transfer: \(t.text("operation")), cylinder \(t.text("c")), head \(t.text("h")), next sector "
          + "\(t.text("r")) to \(t.text("eot")), st0-2 \(t.text("st0-2"))")
      items.append(
        ("transfer", .object(["operation", "c", "h", "r", "eot"].map { ($0, t.json($0)) })))
    }
    for n in 0..<2 {
      guard let drive = fdc.part("drive \(n)") else { continue }
      lines.append(
        "drive \(n): \(drive.text("type")), \(drive.isOn("disk") ? "disk" : "no disk"), head over track "
          + "\(drive.text("track"))\(drive.isOn("change line") ? ", change line" : "")"
          + "\(drive.isOn("write-protected") ? ", write-protected" : "")")
    }
    return View(lines, json: .object(items))
  }

  // MARK: - Keyboard

  func keyboardView() -> View {
    guard let c = reader("i8042"), let keyboard = c.part("keyboard"), let mouse = c.part("mouse")
    else { return View(["there is none"], json: .null) }
    let words =
      [
        c.isOn("IRQ 1 enabled") ? "IRQ 1" : "no IRQ 1",
        c.isOn("IRQ 12 enabled") ? "IRQ 12" : "no IRQ 12",
      ] + (c.isOn("keyboard enabled") ? [] : ["keyboard off"])
      + (c.isOn("mouse enabled") ? [] : ["mouse off"])
      + (c.isOn("translates") ? ["translation"] : [])
    let lit = ["scroll", "num", "caps"].filter { keyboard.isOn("\($0) lock") }
    let buffer =
      c.isOn("output full")
      ? "full: \(c.text("output buffer")) from the \(c.isOn("output from mouse") ? "mouse" : "keyboard")"
      : "empty"
    let lines = [
      "8042: command byte \(c.text("command byte")) (\(words.joined(separator: ", "))), status \(c.text("status")), "
        + "output port \(c.text("output port")) (A20 \(c.isOn("A20") ? "enabled" : "masked"))",
      "output buffer \(buffer), waiting \(c.text("waiting answers")), IRQ 1 \(c.text("IRQ 1")), IRQ 12 \(c.text("IRQ 12"))",
      "keyboard: set \(keyboard.text("set")), \(keyboard.isOn("scanning") ? "scanning" : "not scanning"), "
        + "lights \(lit.isEmpty ? "off" : lit.joined(separator: " ")), rate \(keyboard.text("rate and delay")), "
        + "buffer \(keyboard.text("buffer")), replies \(keyboard.text("replies"))",
      "mouse: id \(mouse.text("id")), \(mouse.isOn("reporting") ? "reporting" : "silent"), "
        + "\(mouse.isOn("remote") ? "remote mode" : "stream mode"), rate \(mouse.text("rate")), resolution "
        + "\(mouse.text("resolution")), moved \(mouse.text("dx")) \(mouse.text("dy")) \(mouse.text("wheel")), "
        + "queue \(mouse.text("queue"))",
    ]
    return View(
      lines,
      json: .object([
        ("commandByte", c.json("command byte")), ("status", c.json("status")),
        ("outputPort", c.json("output port")), ("outputBuffer", c.json("output buffer")),
        ("outputFull", c.json("output full")), ("set", keyboard.json("set")),
        ("leds", keyboard.json("lights")), ("buffer", keyboard.json("buffer")),
        ("mouseReporting", mouse.json("reporting")), ("controller", FieldText.json(c.fields)),
      ]))
  }
}
