// Local APICs and the I/O APIC in words.
//
// Owns: the words, made of what the devices show of themselves (`Device.inspect`). Must not know: how the devices work.
// Follows: Intel SDM volume 3, "Advanced Programmable Interrupt Controller"; 82093AA datasheet.

import Bus
import Machine

extension Debugger {
  /// `info apic`: of the processor that is named, or of all.
  func localAPICView(_ arguments: String) throws -> View {
    let all = machine.allDevices.filter { $0.stateName.hasPrefix("local-apic") }
    if all.isEmpty { return View(["there is none"], json: .null) }
    var chosen = Array(all.indices)
    if !arguments.isEmpty {
      let number = try count(arguments)
      guard number < UInt64(all.count) else {
        throw DebuggerError("there are processors 0 to \(all.count - 1)")
      }
      chosen = [Int(number)]
    }
    var lines: [String] = []
    for n in chosen {
      let apic = FieldReader(fields: all[n].inspect())
      lines.append(
        "local APIC of cpu \(n): \(apic.isOn("enabled") ? "enabled" : "disabled") at "
          + hexDigits(apic.number("base"), 8))
      let entries = apic.fields.filter { $0.name.hasPrefix("lvt ") }
      let command: Set<String> = ["enabled", "base", "icr low", "icr high"]
      let others = apic.fields.filter { f in
        !command.contains(f.name) && !f.name.hasPrefix("lvt ")
      }
      lines += FieldText.lines(others, indent: 1)
      lines.append(
        "  icr=\(apic.text("icr high")) \(apic.text("icr low"))  "
          + delivery(apic.number("icr low"), destination: apic.number("icr high")))
      for entry in entries {
        let value = apic.number(entry.name)
        lines.append(
          "  \(padded(entry.name, 16)) \(apic.text(entry.name))  \(localText(value, entry.name))")
      }
    }
    return View(
      lines,
      json: .array(
        chosen.map { n in
          .object([("cpu", .of(n)), ("registers", FieldText.json(all[n].inspect()))])
        }))
  }

  private static let deliveryModes = [
    "fixed", "lowest priority", "SMI", "reserved", "NMI", "INIT", "start-up", "ExtINT",
  ]

  private func localText(_ entry: UInt64, _ name: String) -> String {
    var words = ["vector \(hexDigits(entry & 0xFF, 2))"]
    if name == "lvt timer" {
      words.append(entry & 0x20000 != 0 ? "periodic" : "one-shot")
    } else if name != "lvt error" {
      words.append(Debugger.deliveryModes[Int(entry >> 8 & 7)])
    }
    if name.hasPrefix("lvt lint") { words.append(entry & 0x8000 != 0 ? "level" : "edge") }
    if entry & 0x4000 != 0 { words.append("remote IRR") }
    if entry & 0x10000 != 0 { words.append("masked") }
    return words.joined(separator: ", ")
  }

  /// The low half of the ICR or of a redirection, with its destination in the top byte of the other half.
  private func delivery(_ low: UInt64, destination: UInt64) -> String {
    let shorthand = ["", "itself", "all", "all others"][Int(low >> 18 & 3)]
    let receiver =
      shorthand.isEmpty
      ? "\(low & 0x800 != 0 ? "logical" : "physical") \(hexDigits(destination >> 24 & 0xFF, 2))"
      : shorthand
    return
      "vector \(hexDigits(low & 0xFF, 2)), \(Debugger.deliveryModes[Int(low >> 8 & 7)]) to \(receiver)"
  }

  /// `info ioapic`.
  func ioAPICView() -> View {
    guard let device = machine.allDevices.first(where: { $0.stateName == "io-apic" }) else {
      return View(["there is none"], json: .null)
    }
    let apic = FieldReader(fields: device.inspect())
    var lines = ["I/O APIC: id=\(apic.text("id")) select=\(apic.text("select"))"]
    let levels = apic.number("lines")
    for n in 0..<24 {
      let entry = apic.number("input \(n)")
      var words = [delivery(entry & ~0xC0000, destination: entry >> 32)]
      words.append(entry & 0x8000 != 0 ? "level" : "edge")
      if entry & 0x2000 != 0 { words.append("active low") }
      if entry & 0x4000 != 0 { words.append("remote IRR") }
      if entry & 0x10000 != 0 { words.append("masked") }
      if levels >> UInt64(n) & 1 != 0 { words.append("requested") }
      lines.append(
        "input \(padded("\(n)", 2)) \(hexDigits(entry, 16))  \(words.joined(separator: ", "))")
    }
    return View(lines, json: FieldText.json(device.inspect()))
  }
}
