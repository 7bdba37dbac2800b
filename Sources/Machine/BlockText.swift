// A translated block as text: guest instructions, beneath each the host code made of it.
//
// Owns: the form. Must not know: how code is made.

import CPU
import Host
import Translator

extension Machine {
  /// The block that begins at a linear address, guest and host code; nil without a translator or when no decoded block begins there.
  /// Host code is disassembled where the host has objdump, else shown as bytes.
  public func blockText(linear: UInt32) -> String? {
    guard let translator = cpu.translator as? Translator, let dump = translator.dump(linear: linear)
    else { return nil }
    let disassembler = Disassembler(model: cpu.model)
    let all = dump.entry + dump.parts.flatMap(\.host) + dump.rest
    let host = HostDisassembler.lines(all)
    var lines: [String] = []
    func add(_ offset: Int, _ bytes: [UInt8]) {
      guard let host else {
        for start in stride(from: 0, to: bytes.count, by: 16) {
          let row = bytes[start..<min(start + 16, bytes.count)]
          lines.append("      " + row.map { hexDigits(UInt32($0), 2) }.joined(separator: " "))
        }
        return
      }
      for line in host where (offset..<offset + bytes.count).contains(line.offset) {
        let place = String(line.offset, radix: 16)
        lines.append(
          String(repeating: " ", count: max(1, 10 - place.count)) + place + "  " + line.text)
      }
    }
    lines.append("\(dump.parts.count) instructions, \(all.count) bytes of code")
    add(0, dump.entry)
    for part in dump.parts {
      let text = disassembler.text(part.guest, big: dump.big, eip: part.eip)?.text ?? "(bad)"
      let code = part.guest.map { hexDigits(UInt32($0), 2) }.joined(separator: " ")
      lines.append("\(hexDigits(part.eip, 8))  \(text)   (\(code))")
      add(part.offset, part.host)
    }
    lines.append("behind")
    add(dump.restOffset, dump.rest)
    return lines.joined(separator: "\n")
  }
}
