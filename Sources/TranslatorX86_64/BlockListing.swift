// Host code of a block as the assembler names it, the same on every machine.
//
// Owns: names for the fixed code and fields of the processor's state; what is hidden because it depends on where memory lies.
// Must not know: what compares it.

import Assembler
import CPU
import Translator

/// A block's code as text.
package struct BlockListing {
  package struct Line {
    /// Bytes as hex digits; dots for those that differ between runs.
    package var hex: String
    package var text: String
  }
  package struct Part {
    package var eip: UInt32
    package var guest: [UInt8]
    package var size: Int
    package var lines: [Line]
  }
  /// The code segment's D bit.
  package var mode: DecodeMode
  package var entry: [Line]
  package var parts: [Part]
  /// The exit for want of budget and the paths seldom taken.
  package var rest: [Line]
  package var restSize: Int
}

extension Translator {
  /// The decoded block at a linear address as it would be translated.
  /// - Parameter context: in place of the present one.
  package func listing(linear: LinearAddress, in context: CodeContext? = nil) -> BlockListing? {
    guard let backend = backend as? X86Backend else { return nil }
    let listing = Listing()
    backend.a.listing = listing
    defer { backend.a.listing = nil }
    guard let dump = dump(linear: linear, in: context) else { return nil }
    let names = backend.fixedCodeNames
    let all = listing.instructions(
      dump.range, of: backend.a, names: names, naming: StateOperand.naming)
    func lines(_ start: Int, _ count: Int) -> [BlockListing.Line] {
      let first = dump.range.lowerBound + start
      return all.filter { (first..<first + count).contains($0.offset) }.map {
        BlockListing.Line(hex: $0.hex, text: $0.text)
      }
    }
    return BlockListing(
      mode: dump.mode, entry: lines(0, dump.entry.count),
      parts: dump.parts.map {
        BlockListing.Part(
          eip: $0.eip, guest: $0.guest, size: $0.host.count,
          lines: lines($0.offset, $0.host.count))
      },
      rest: lines(dump.restOffset, dump.rest.count), restSize: dump.rest.count)
  }
}

extension X86Backend {
  /// What jumps and calls to the fixed code are called.
  var fixedCodeNames: [Int: String] {
    var names = [
      leaveAt: "leave", leaveStoredAt: "leave stored", noCodeAt: "no code",
      interpretAt: "interpret", interpretEndAt: "interpret end", lookupAt: "look up",
      transferAt: "transfer", portAt: "port", moveDeviceAt: "move device",
      loadSegmentAt: "load segment", returnMissAt: "return miss", fillReadAt: "fill read",
      fillWriteAt: "fill write", updateContextAt: "update context", thunks.loadX87: "load x87",
      thunks.loadX87Any: "load x87 any", thunks.loadSSE: "load sse",
      thunks.interpretUnit: "interpret unit", thunks.interpretUnitEnd: "interpret unit end",
      thunks.interpretRest: "interpret rest",
    ]
    for (n, at) in thunks.transcendentals.enumerated() { names[at] = "transcendental \(n)" }
    for (size, at) in codeWriteAt { names[at] = "code write \(size)" }
    return names
  }
}

extension StateOperand {
  private static let fieldNames: [(MemoryOperand, String)] =
    [
      (eip, "eip"), (codeTag, "codeTag"), (budget, "budget"), (windowFault, "windowFault"),
      (eflags, "eflags"), (attention, "attention"), (scratch, "scratch"),
      (savedR10, "savedR10"), (savedR8, "savedR8"), (tracksWrites, "tracksWrites"),
      (rawFlags, "rawFlags"), (rawFlags.advanced(by: 1), "rawFlags+1"),
      (codeTag.advanced(by: 4), "codeTag+4"), (places, "places"), (lookaside, "lookaside"),
      (runEnd, "runEnd"), (tscBase, "tscBase"), (tscBaseCount, "tscBaseCount"),
      (tscScale, "tscScale"), (farSelector, "farSelector"), (farOffset, "farOffset"),
      (farContext, "farContext"), (hasEvents, "hasEvents"), (branchIndex, "branchIndex"),
      (hostUnits, "hostUnits"), (cr0, "cr0"), (cr4, "cr4"), (fpuControl, "fpu.cw"),
      (fpuStatus, "fpu.sw"), (fpuTop, "fpu.top"), (fpuEmpty, "fpu.empty"),
      (fpuOpcode, "fpu.fop"), (fpuIP, "fpu.fip"), (fpuCS, "fpu.fcs"), (fpuDP, "fpu.fdp"),
      (fpuDS, "fpu.fds"), (mxcsr, "mxcsr"), (unitScratch, "unitScratch"),
    ]
    + (0..<6).flatMap { n in
      let name = ["es", "cs", "ss", "ds", "fs", "gs"][n]
      return [
        (segment(n, segmentSelector), name), (segment(n, segmentBase), name + ".base"),
        (segment(n, segmentLimit), name + ".limit"),
        (segment(n, segmentAttributes), name + ".attributes"),
        (segment(n, readLimit), name + ".readLimit"),
        (segment(n, writeLimit), name + ".writeLimit"),
      ]
    }
  private static let names = Dictionary(
    fieldNames.map { ($0.0.name, "[state.\($0.1)]") }, uniquingKeysWith: { x, _ in x })

  /// Arrays, which have an index.
  private static let arrays = [
    CPU.returnsOffset: "returns", CPU.farContextsOffset: "farContexts",
    CPU.branchesOffset: "branches", CPU.branchesOffset + 4: "branches+4",
  ]

  /// An instruction's text with fields of the state by name; nil where it has none.
  static func naming(_ text: String) -> String? {
    guard let open = text.firstRange(of: "[r15"),
      let close = text[open.lowerBound...].firstIndex(of: "]")
    else { return nil }
    let operand = text[open.lowerBound...close]
    var text = text
    if let name = names[String(operand)] {
      text.replaceSubrange(open.lowerBound...close, with: name)
      return text
    }
    // [r15+r8*4+0x1000]
    let parts = operand.dropFirst().dropLast().split(separator: "+")
    guard parts.count == 3, let offset = Int(parts[2].dropFirst(2), radix: 16),
      let name = arrays[offset]
    else { return nil }
    text.replaceSubrange(open.lowerBound...close, with: "[state.\(name)+\(parts[1])]")
    return text
  }
}
