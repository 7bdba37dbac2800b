// DMA, disk, floppy and keyboard controllers in words.
//
// Owns: these views, made of the devices' stored properties. Must not know: how the devices work. `info device NAME` shows everything.
// Follows: datasheets of the 8237A, 82077AA, 8042; ATA/ATAPI-6.

import Bus
import Machine

/// Stored properties of a value by name, those of its superclasses too.
struct StoredFields {
  private var values: [String: Any] = [:]

  init(_ any: Any) {
    var mirror: Mirror? = Mirror(reflecting: any)
    while let part = mirror {
      for child in part.children {
        if let label = child.label, values[label] == nil { values[label] = child.value }
      }
      mirror = part.superclassMirror
    }
  }

  /// A number or switch; 0 when there is none of this name.
  func number(_ name: String) -> UInt64 {
    switch values[name] {
    case let value as Bool: value ? 1 : 0
    case let value as any BinaryInteger: UInt64(truncatingIfNeeded: value)
    case let value as Signal: value.level ? 1 : 0
    default: 0
    }
  }

  /// A case of an enumeration, or another value in words.
  func text(_ name: String) -> String { values[name].map { "\($0)" } ?? "" }

  /// The fields of a part.
  func part(_ name: String) -> StoredFields? { values[name].map { StoredFields($0) } }

  /// The elements of a list; nil for those that are absent.
  func list(_ name: String) -> [Any?] {
    guard let value = values[name] else { return [] }
    return Mirror(reflecting: value).children.map { child in
      let mirror = Mirror(reflecting: child.value)
      return mirror.displayStyle == .optional ? mirror.children.first?.value : child.value
    }
  }

  func numbers(_ name: String) -> [UInt64] {
    list(name).map { ($0 as? any BinaryInteger).map { UInt64(truncatingIfNeeded: $0) } ?? 0 }
  }
}

extension Debugger {
  private func fields(_ name: String) -> StoredFields? {
    machine.allDevices.first { $0.stateName == name }.map { StoredFields($0) }
  }

  private func bytes(_ values: [UInt64]) -> String {
    values.map { hexDigits($0, 2) }.joined(separator: " ")
  }

  // MARK: - DMA

  func dmaView() -> View {
    guard let dma = fields("dma") else { return View(["there is none"], json: .null) }
    let pages = dma.numbers("pages")
    let pagePorts = [7, 3, 1, 2, 15, 11, 9, 10]
    let users = ["", "", "floppy", "", "cascade", "", "", ""]
    var lines: [String] = []
    var items: [JSONValue] = []
    for (n, controller) in dma.list("controllers").enumerated() {
      guard let controller, n < 2 else { continue }
      let c = StoredFields(controller)
      lines.append(
        "8237A \(n): command=\(hexDigits(c.number("command"), 2)) mask=\(hexDigits(c.number("mask"), 1)) "
          + "requests=\(hexDigits(c.number("requests"), 1)) dreq=\(hexDigits(c.number("dreq"), 1)) "
          + "terminal count=\(hexDigits(c.number("reached"), 1))")
      for (k, channel) in c.list("channels").enumerated() {
        guard let channel, k < 4 else { continue }
        let f = StoredFields(channel)
        let number = n * 4 + k
        let mode = f.number("mode")
        let page = pagePorts[number] < pages.count ? pages[pagePorts[number]] : 0
        // The second controller counts words; its page register's bit 0 is not used.
        let address =
          n == 0
          ? page << 16 | f.number("address") : (page & 0xFE) << 16 | f.number("address") << 1
        let kind = ["demand", "single", "block", "cascade"][Int(mode >> 6 & 3)]
        let direction = ["verify", "to memory", "from memory", "-"][Int(mode >> 2 & 3)]
        let masked = c.number("mask") >> UInt64(k) & 1 != 0
        lines.append(
          "channel \(number) \(padded(users[number], 8)) address \(hexDigits(address, 6)), "
            + "\(hexDigits(f.number("count"), 4)) of \(hexDigits(f.number("baseCount"), 4)) left, "
            + "\(kind), \(direction)\(mode & 0x10 != 0 ? ", auto-init" : "")"
            + "\(mode & 0x20 != 0 ? ", downwards" : "")\(masked ? ", masked" : "")")
        items.append(
          .object([
            ("channel", .of(number)), ("address", .number(address)),
            ("count", .number(f.number("count"))), ("baseCount", .number(f.number("baseCount"))),
            ("mode", .number(mode)), ("masked", .bool(masked)),
          ]))
      }
    }
    return View(lines, json: .array(items))
  }

  // MARK: - Disks

  func ideView() -> View {
    var lines: [String] = []
    var items: [JSONValue] = []
    for device in machine.allDevices where device.stateName.hasPrefix("ide") {
      let channel = StoredFields(device)
      lines.append(
        "\(device.stateName): ports \(hexDigits(channel.number("commandBase"), 4)), "
          + "\(hexDigits(channel.number("controlBase"), 4)), drive \(channel.number("selected")) selected, "
          + "control=\(hexDigits(channel.number("control"), 2)), interrupt \(channel.number("irq"))"
      )
      for (n, drive) in channel.list("drives").enumerated() {
        guard let drive else {
          lines.append("  drive \(n): none")
          continue
        }
        let f = StoredFields(drive)
        let status = f.number("status")
        let names = ["ERR", "IDX", "CORR", "DRQ", "DSC", "DF", "DRDY", "BSY"]
        let set = (0..<8).reversed().filter { status >> UInt64($0) & 1 != 0 }.map { names[$0] }
        lines.append(
          "  drive \(n): status=\(hexDigits(status, 2)) (\(set.joined(separator: " "))) "
            + "error=\(hexDigits(f.number("error"), 2)) phase \(f.text("phase"))"
            + ", \(hexDigits(f.number("position"))) of \(hexDigits(f.number("windowEnd"))) bytes")
        lines.append(
          "    features=\(hexDigits(f.number("features"), 2)) count=\(hexDigits(f.number("count"), 2)) "
            + "lba=\(hexDigits(f.number("high") & 0xFF, 2))\(hexDigits(f.number("mid") & 0xFF, 2))"
            + "\(hexDigits(f.number("low") & 0xFF, 2)) device=\(hexDigits(f.number("device"), 2))")
        items.append(
          .object([
            ("channel", .string(device.stateName)), ("drive", .of(n)), ("status", .number(status)),
            ("error", .number(f.number("error"))), ("phase", .string(f.text("phase"))),
            ("count", .number(f.number("count"))), ("low", .number(f.number("low"))),
            ("mid", .number(f.number("mid"))), ("high", .number(f.number("high"))),
            ("device", .number(f.number("device"))),
          ]))
      }
    }
    if lines.isEmpty { lines = ["there is none"] }
    return View(lines, json: .array(items))
  }

  func floppyView() -> View {
    guard let fdc = fields("fdc") else { return View(["there is none"], json: .null) }
    let dor = fdc.number("dor")
    let motors = (0..<4).filter { dor >> UInt64(4 + $0) & 1 != 0 }.map { "\($0)" }
    var lines = [
      "82077AA: dor=\(hexDigits(dor, 2)) (drive \(dor & 3), motors \(motors.isEmpty ? "off" : motors.joined(separator: " "))"
        + "\(dor & 8 != 0 ? ", DMA and interrupt" : "")\(dor & 4 == 0 ? ", in reset" : "")) "
        + "rate=\(fdc.number("rate")) phase \(fdc.text("phase")), interrupt \(fdc.number("irq"))",
      "command \(bytes(fdc.numbers("command")))",
      "result  \(bytes(fdc.numbers("result"))), \(fdc.number("resultPosition")) read",
      "heads at cylinders \(fdc.numbers("pcn").map { "\($0)" }.joined(separator: " "))",
    ]
    var items: [(String, JSONValue)] = [
      ("dor", .number(dor)), ("phase", .string(fdc.text("phase"))),
      ("command", .array(fdc.numbers("command").map { .number($0) })),
      ("result", .array(fdc.numbers("result").map { .number($0) })),
      ("cylinders", .array(fdc.numbers("pcn").map { .number($0) })),
    ]
    if let t = fdc.part("transfer") {
      lines.append(
        "last transfer: \(t.text("operation")), cylinder \(t.number("c")), head \(t.number("h")), next sector "
          + "\(t.number("r")) to \(t.number("eot")), st0-2 \(bytes([t.number("st0"), t.number("st1"), t.number("st2")]))"
      )
      items.append(
        (
          "transfer",
          .object([
            ("operation", .string(t.text("operation"))), ("c", .number(t.number("c"))),
            ("h", .number(t.number("h"))), ("r", .number(t.number("r"))),
            ("eot", .number(t.number("eot"))),
          ])
        ))
    }
    return View(lines, json: .object(items))
  }

  // MARK: - Keyboard

  func keyboardView() -> View {
    guard let controller = fields("i8042") else { return View(["there is none"], json: .null) }
    let command = controller.numbers("ram").first ?? 0
    let keyboard = StoredFields(machine.keyboardController.keyboard)
    let mouse = StoredFields(machine.keyboardController.mouse)
    var words: [String] = []
    words.append(command & 1 != 0 ? "IRQ 1" : "no IRQ 1")
    words.append(command & 2 != 0 ? "IRQ 12" : "no IRQ 12")
    if command & 0x10 != 0 { words.append("keyboard off") }
    if command & 0x20 != 0 { words.append("mouse off") }
    if command & 0x40 != 0 { words.append("translation") }
    let leds = keyboard.number("leds")
    let lit = ["scroll", "num", "caps"].enumerated().filter { leds >> UInt64($0.offset) & 1 != 0 }
    let lines = [
      "8042: command byte \(hexDigits(command, 2)) (\(words.joined(separator: ", "))), output port "
        + hexDigits(controller.number("output"), 2),
      "output buffer \(controller.number("outputFull") != 0 ? "full" : "empty"), IRQ 1 \(controller.number("irq1")), "
        + "IRQ 12 \(controller.number("irq12"))",
      "keyboard: set \(keyboard.number("set")), \(keyboard.number("scanning") != 0 ? "scanning" : "not scanning"), "
        + "lights \(lit.isEmpty ? "off" : lit.map(\.element).joined(separator: " ")), rate \(hexDigits(keyboard.number("rate"), 2)), "
        + "buffer [\(bytes(keyboard.numbers("buffer")))], replies [\(bytes(keyboard.numbers("replies")))]",
      "mouse: id \(mouse.number("id")), \(mouse.number("reporting") != 0 ? "reporting" : "silent"), "
        + "\(mouse.number("remote") != 0 ? "remote mode" : "stream mode"), rate \(mouse.number("rate")), resolution "
        + "\(mouse.number("resolution")), queue [\(bytes(mouse.numbers("queue")))]",
    ]
    return View(
      lines,
      json: .object([
        ("commandByte", .number(command)),
        ("outputFull", .bool(controller.number("outputFull") != 0)),
        ("set", .number(keyboard.number("set"))), ("leds", .number(leds)),
        ("buffer", .array(keyboard.numbers("buffer").map { .number($0) })),
        ("mouseReporting", .bool(mouse.number("reporting") != 0)),
      ]))
  }
}
