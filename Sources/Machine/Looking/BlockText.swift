// A translated block as text: guest instructions on the left, the host code made of each beside it.
//
// Owns: the form, and the words when there is no block. Must not know: how code is made.

import CPU
import Host
import Translator

extension Machine {
  /// The block that begins at a linear address, guest and host code side by side; nil without a translator or when no decoded block
  /// begins there (`blockObstacle` says why). Host code is disassembled where the host has objdump, else shown as bytes.
  public func blockText(linear: UInt32) -> String? {
    guard let translator = cpu.translator as? Translator,
      let dump = translator.dump(linear: LinearAddress(linear))
    else { return nil }
    let disassembler = Disassembler(model: cpu.model)
    let all = dump.entry + dump.parts.flatMap(\.host) + dump.rest
    let host = HostDisassembler.lines(all)
    func place(_ offset: Int) -> String {
      let text = String(offset, radix: 16)
      return String(repeating: " ", count: max(0, 4 - text.count)) + text + "  "
    }
    func right(_ offset: Int, _ bytes: [UInt8]) -> [String] {
      guard let host else {
        return stride(from: 0, to: bytes.count, by: 16).map { start in
          let row = bytes[start..<min(start + 16, bytes.count)]
          return place(offset + start)
            + row.map { hexDigits(UInt32($0), 2) }.joined(separator: " ")
        }
      }
      return host.filter { (offset..<offset + bytes.count).contains($0.offset) }.map {
        place($0.offset) + $0.text
      }
    }
    var lines: [String] = []
    func add(_ left: [String], _ right: [String]) {
      for n in 0..<max(left.count, right.count) {
        let guest = n < left.count ? left[n] : ""
        let padding = String(repeating: " ", count: max(1, 46 - guest.count))
        lines.append(n < right.count ? guest + padding + right[n] : guest)
      }
    }
    let name = String(linear, radix: 16)
    lines.append(
      "block at \(name): \(dump.parts.count) instructions, \(all.count) bytes of host code")
    add(["(its instructions are counted)"], right(0, dump.entry))
    for part in dump.parts {
      let text = disassembler.text(part.guest, mode: dump.mode, eip: part.eip)?.text ?? "(bad)"
      let code = part.guest.map { hexDigits(UInt32($0), 2) }.joined(separator: " ")
      add(
        [hexDigits(part.eip, 8) + "  " + text, "          " + code], right(part.offset, part.host))
    }
    add(["(paths seldom taken)"], right(dump.restOffset, dump.rest))
    return lines.joined(separator: "\n")
  }

  /// Why `blockText` has nothing for an address, in words.
  public func blockObstacle(linear: UInt32) -> String {
    let name = String(linear, radix: 16)
    guard cpu.translator is Translator else {
      return "block \(name): the interpreter makes no code (--engine translator does)"
    }
    if cpu.decodedBlock(linear: LinearAddress(linear)) != nil {
      return "block \(name): is left to the interpreter"
    }
    guard cpu.peekTranslate(LinearAddress(linear)) != nil else {
      return "block \(name): nothing is mapped there at the end of the run"
    }
    let starts = cpu.decodedStarts(pageOf: LinearAddress(linear))
    if starts.isEmpty {
      return "block \(name): nothing in its page has been executed, or it was overwritten since"
    }
    let near = starts.map { (abs(Int64($0.linear.low) - Int64(linear)), $0) }.sorted { $0.0 < $1.0 }
    let list = near.prefix(8).map(\.1).sorted { $0.linear < $1.linear }.map {
      String($0.linear.value, radix: 16) + ($0.hasCode ? "" : " (interpreted so far)")
    }
    return "block \(name): none begins there; near it begin \(list.joined(separator: ", "))"
  }
}
