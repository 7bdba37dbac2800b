// The functions of the PCI bus, the Plug and Play cards and the CD drives in words.
//
// Owns: the words, made of what devices show of themselves (`Device.inspect`). Must not know: how the devices work.
// Follows: PCI Local Bus Specification 2.1, 6.2 (header, class codes: appendix D); Plug and Play ISA 1.0a.

import Bus
import Machine

extension Debugger {
  // MARK: - PCI

  /// Base classes and the subclasses that boards of the time have.
  private static func className(_ code: UInt32) -> String {
    switch code >> 8 {
    case 0x0000: "device of no class"
    case 0x0100: "SCSI"
    case 0x0101: "IDE"
    case 0x0200: "Ethernet"
    case 0x0300: "VGA"
    case 0x0401: "sound"
    case 0x0600: "host bridge"
    case 0x0601: "ISA bridge"
    case 0x0604: "PCI bridge"
    case 0x0680: "bridge"
    case 0x0C03: "USB"
    default: "class \(hexDigits(code, 6))"
    }
  }

  /// - Parameter wanted: a function as it is listed (1.1, also 0:1.1), all of a slot (1), or a name; empty: everything.
  func pciView(_ wanted: String = "") throws -> View {
    var functions: [(order: String, lines: [String], json: JSONValue)] = []
    let place = wanted.lastIndex(of: ":").map { wanted[wanted.index(after: $0)...] } ?? wanted[...]
    var isPCI = false
    for device in machine.allDevices {
      let fields = device.inspect()
      let f = FieldReader(fields: fields)
      guard case .text(let at)? = fields["at"],
        case .bytes(let header)? = fields["configuration"],
        header.count >= 0x40
      else { continue }
      isPCI = true
      guard
        wanted.isEmpty || wanted == device.stateName || Debugger.isPlace(at, place)
      else { continue }
      let place = at
      let code = UInt32(header[9]) | UInt32(header[10]) << 8 | UInt32(header[11]) << 16
      let pin = header[0x3D]
      let line = header[0x3C]
      let interrupt =
        pin == 0
        ? "no interrupt"
        : "INT\(["A", "B", "C", "D"][Int(pin &- 1) & 3]) to IRQ \(line == 0xFF ? "none" : "\(line)")"
          + (f.isOn("interrupt") ? ", asserted" : "")
      var lines = [
        "\(padded(place, 5)) \(f.text("vendor")):\(f.text("device")) \(Debugger.className(code)) (\(device.stateName)), "
          + "command=\(f.text("command")) status=\(f.text("status")), \(interrupt)"
      ]
      // What stands between the header's registers and its bytes are the windows, by their names.
      let first = fields.firstIndex { $0.name == "interrupt" }.map { $0 + 1 } ?? fields.count
      let windows = fields[min(first, fields.count)...].prefix { $0.name != "configuration" }
      for window in windows {
        var place = FieldText.text(window.value)
        // Addresses of 64 bits are rare.
        if case .register(let value, _) = window.value, value >> 32 == 0 {
          place = hexDigits(value, value >> 16 == 0 ? 4 : 8)
        }
        lines.append("        \(window.name) at \(place)")
      }
      let known: Set<String> = [
        "at", "vendor", "device", "command", "status", "interrupt line", "interrupt",
        "configuration",
      ]
      let others = fields.filter { field in
        !known.contains(field.name) && !windows.contains(where: { $0.name == field.name })
      }
      lines += FieldText.lines(others, indent: 4)
      functions.append(
        (
          place, lines,
          .object([
            ("at", .string(place)), ("name", .string(device.stateName)),
            ("vendor", f.json("vendor")), ("device", f.json("device")), ("class", .of(code)),
            ("command", f.json("command")), ("status", f.json("status")), ("pin", .of(pin)),
            ("line", .of(line)), ("interrupt", f.json("interrupt")),
            (
              "windows",
              .object(windows.map { ($0.name, FieldText.json($0.value)) })
            ),
          ])
        ))
    }
    if !isPCI { return View(["this machine has no PCI bus"], json: .null) }
    if functions.isEmpty {
      throw DebuggerError(
        "there is no function '\(wanted)' (info pci lists them: 1.1, 1, or a name)")
    }
    functions.sort {
      $0.order.count == $1.order.count ? $0.order < $1.order : $0.order.count < $1.order.count
    }
    return View(functions.flatMap(\.lines), json: .array(functions.map(\.json)))
  }

  /// Whether a function's place is the one that is meant, or in that slot; 01.1 is 1.1.
  private static func isPlace(_ place: String, _ wanted: Substring) -> Bool {
    var trimmed = wanted.drop { $0 == "0" }
    if trimmed.isEmpty || trimmed.first == "." { trimmed = "0" + trimmed }
    return trimmed == place || !trimmed.contains(".") && place.hasPrefix(trimmed + ".")
  }

  // MARK: - Plug and Play

  func pnpView() -> View {
    guard let bus = machine.allDevices.first(where: { $0.stateName == "isapnp" }) else {
      return View(["there is no ISA Plug and Play"], json: .null)
    }
    let fields = bus.inspect()
    let cards = fields.filter { if case .group = $0.value { true } else { false } }
    var lines = FieldText.lines(
      fields.filter { if case .group = $0.value { false } else { true } }, indent: 0)
    for card in cards {
      guard case .group(let parts) = card.value else { continue }
      lines.append("\(card.name):")
      lines += FieldText.lines(parts, indent: 1)
    }
    if cards.isEmpty { lines.append("there are no Plug and Play cards") }
    return View(lines, json: FieldText.json(fields))
  }

  // MARK: - CD drives

  /// A drive's name, as commands take it.
  static func cdName(_ drive: Int) -> String { drive == 0 ? "CD" : "CD\(drive + 1)" }

  /// - Parameter wanted: a drive as commands take it, or its number from 1 on; empty: all.
  func cdView(_ wanted: String = "") throws -> View {
    let drives = machine.cdDriveStatus
    if drives.isEmpty { return View(["there is no CD drive"], json: .array([])) }
    let only = Debugger.cdDrive(Int(wanted) == nil ? wanted : "cd" + wanted)
    if !wanted.isEmpty, only.map({ drives.indices.contains($0) }) != true {
      let names = drives.indices.map(Debugger.cdName).joined(separator: ", ")
      throw DebuggerError("there is no CD drive '\(wanted)' (\(names))")
    }
    var lines: [String] = []
    var items: [JSONValue] = []
    for (n, drive) in drives.enumerated() where wanted.isEmpty || n == only {
      let tray = drive.isTrayOpen ? "open" : "closed"
      lines.append(
        "\(Debugger.cdName(n)): \(drive.place) (\(drive.controller), drive \(drive.unit)), tray \(tray)"
          + (drive.isLocked ? " and locked by the guest" : ""))
      if let disc = drive.disc {
        let size = drive.contents.map { " (\($0))" } ?? ""
        lines.append("  \(disc)\(size)")
      } else {
        lines.append("  no disc")
      }
      let channel = machine.allDevices.first { $0.stateName == drive.controller }
      let fields = channel.flatMap {
        FieldReader(fields: $0.inspect()).part("drive \(drive.unit)")
      }?.fields
      if let fields { lines += FieldText.lines(fields, indent: 1) }
      items.append(
        .object([
          ("drive", .string(Debugger.cdName(n))), ("place", .string(drive.place)),
          ("disc", drive.disc.map { .string($0) } ?? .string("")),
          ("trayOpen", .bool(drive.isTrayOpen)), ("locked", .bool(drive.isLocked)),
          ("registers", fields.map { FieldText.json($0) } ?? .object([])),
        ]))
    }
    return View(lines, json: .array(items))
  }
}
