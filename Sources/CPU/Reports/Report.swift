// What the processor looks like, for people and for programs.
//
// Owns: a snapshot of the visible and hidden registers and its text form. Reading it has no side effects: memory is looked at with
// `peekTranslate` and `peek` only. Must not know: why it is asked for.

/// The processor's state as plain values, ready for JSON.
public struct CPUSnapshot: Codable, Sendable, Equatable {
  /// A segment register with its hidden part.
  public struct Segment: Codable, Sendable, Equatable {
    public var name: String
    public var selector: UInt16
    public var base: UInt32
    public var limit: UInt32
    /// Bits 8 to 23 of the descriptor's second doubleword, limit bits zero.
    public var attributes: UInt16
    /// The attributes in words.
    public var kind: String
  }
  /// A control transfer, by linear addresses.
  public struct Branch: Codable, Sendable, Equatable {
    public var from: UInt32
    public var to: UInt32
  }
  public var model: String
  /// "real", "v86", "protected16" or "protected32".
  public var mode: String
  public var cpl: Int
  public var instructions: UInt64
  public var halted: Bool
  public var shutdown: Bool
  /// In system management mode.
  public var inManagementMode: Bool
  /// SMBASE; nil: the model has no such mode.
  public var managementBase: UInt32?
  /// EAX to EDI in encoding order.
  public var registers: [UInt32]
  public var eip: UInt32
  public var eflags: UInt32
  public var segments: [Segment]
  public var cr0: UInt32
  public var cr2: UInt32
  public var cr3: UInt32
  public var cr4: UInt32
  /// DR0 to DR3, DR6, DR7.
  public var debug: [UInt32]
  public var gdtBase: UInt32
  public var gdtLimit: UInt32
  public var idtBase: UInt32
  public var idtLimit: UInt32
  /// The bytes at CS:EIP; shorter where nothing is mapped.
  public var code: [UInt8]
  /// Far transfers and interrupts, oldest first.
  public var branches: [Branch]
  /// Where the last stretches of code without a taken branch began (linear), oldest first.
  public var path: [UInt32]
  /// Control word, status word (with TOP), tag bits (1: empty).
  public var fpuControl: UInt16
  public var fpuStatus: UInt16
  public var fpuEmpty: UInt8
  /// ST(0) to ST(7) as 20 hexadecimal digits, sign and exponent first.
  public var fpuStack: [String]
}

extension CPU {
  /// The names of the segment registers, in `SegmentRegister`'s order.
  private static var segmentNames: [String] { ["ES", "CS", "SS", "DS", "FS", "GS", "TR", "LDTR"] }

  /// The present state.
  public func snapshot() -> CPUSnapshot {
    let p = s.pointee
    let f = fpu.pointee
    let cs = segmentPointer(SegmentRegister.cs).pointee
    let eip = currentEIP
    var branches: [CPUSnapshot.Branch] = []
    for n in 0..<16 {
      let b = branchRing[(Int(branchIndex.pointee) &+ n) & 15]
      if b.from != 0 || b.to != 0 { branches.append(.init(from: b.from, to: b.to)) }
    }
    let path = (max(0, trailIndex &- 32)..<trailIndex).map { trail[$0 & 31] }
    let physical = CPU.registers(of: f)
    return CPUSnapshot(
      model: model.name,
      mode: !protectedMode
        ? "real" : v86 ? "v86" : cs.isBig ? "protected32" : "protected16",
      cpl: p.cpl, instructions: instructionCount, halted: p.halted, shutdown: p.shutdown,
      inManagementMode: isInManagementMode,
      managementBase: hasManagementMode ? managementBase : nil,
      registers: (0..<8).map { gpr32[$0] }, eip: eip, eflags: eflags,
      segments: (0..<8).map { n in
        let c = segmentPointer(n).pointee
        return .init(
          name: CPU.segmentNames[n], selector: c.selector, base: c.base, limit: c.limit,
          attributes: c.attributes, kind: CPU.describe(c))
      },
      cr0: p.cr0, cr2: p.cr2, cr3: p.cr3, cr4: p.cr4,
      debug: [p.dr.0, p.dr.1, p.dr.2, p.dr.3, p.dr6, p.dr7],
      gdtBase: p.gdtBase, gdtLimit: p.gdtLimit, idtBase: p.idtBase, idtLimit: p.idtLimit,
      code: peekBytes(cs.base &+ eip, count: 16), branches: branches, path: path,
      fpuControl: f.cw, fpuStatus: f.sw | UInt16(f.top & 7) << 11, fpuEmpty: f.empty,
      fpuStack: (0..<8).map { n in
        let r = physical[(Int(f.top) &+ n) & 7]
        return digits(r.signExponent, 4) + digits(r.significand, 16)
      })
  }

  /// Bytes at a linear address without side effects; ends where nothing is mapped.
  public func peekBytes(_ linear: UInt32, count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    memory.show(inManagement: management.isActive)
    for n in 0..<count {
      guard let physical = peekPhysical(linear &+ UInt32(truncatingIfNeeded: n)) else { break }
      bytes += memory.peek(physical, count: 1)
    }
    return bytes
  }

  /// A segment's attributes in words.
  private static func describe(_ c: SegmentCache) -> String {
    guard c.isPresent else { return "unusable" }
    var words: [String] = []
    if c.isCodeOrData {
      if c.isCode {
        words.append(c.isBig ? "code32" : "code16")
        if c.type & 4 != 0 { words.append("conforming") }
        words.append(c.type & 2 != 0 ? "readable" : "execute-only")
      } else {
        words.append(c.isBig ? "data32" : "data16")
        if c.type & 4 != 0 { words.append("expand-down") }
        words.append(c.type & 2 != 0 ? "writable" : "read-only")
      }
    } else {
      switch c.type {
      case 1: words.append("TSS16")
      case 2: words.append("LDT")
      case 3: words.append("TSS16 busy")
      case 9: words.append("TSS32")
      case 11: words.append("TSS32 busy")
      default: words.append("system type \(c.type)")
      }
    }
    words.append("DPL \(c.dpl)")
    return words.joined(separator: " ")
  }

  /// EFLAGS by letter: upper case when set.
  private static func describe(flags: UInt32) -> String {
    let names: [(UInt32, String)] = [
      (EFLAGS.id, "id"), (EFLAGS.vip, "vip"), (EFLAGS.vif, "vif"), (EFLAGS.ac, "ac"),
      (EFLAGS.vm, "vm"), (EFLAGS.rf, "rf"), (EFLAGS.nt, "nt"),
    ]
    let low: [(UInt32, String)] = [
      (EFLAGS.of, "of"), (EFLAGS.df, "df"), (EFLAGS.if, "if"), (EFLAGS.tf, "tf"),
      (EFLAGS.sf, "sf"), (EFLAGS.zf, "zf"), (EFLAGS.af, "af"), (EFLAGS.pf, "pf"),
      (EFLAGS.cf, "cf"),
    ]
    func text(_ list: [(UInt32, String)]) -> String {
      list.map { flags & $0.0 != 0 ? $0.1.uppercased() : $0.1 }.joined(separator: " ")
    }
    return "\(text(names)) IOPL=\(flags >> 12 & 3) \(text(low))"
  }

  /// A readable dump: registers, segments, control and debug registers, tables, code bytes, last branches, x87.
  public func report() -> String {
    let c = snapshot()
    var lines: [String] = []
    let state = c.shutdown ? ", shut down" : c.halted ? ", halted" : ""
    lines.append(
      "CPU \(c.model), \(c.mode) mode, CPL \(c.cpl), \(c.instructions) instructions\(state)")
    if let base = c.managementBase {
      lines.append(
        (c.inManagementMode ? "in system management mode, " : "") + "SMBASE=\(digits(base, 8))")
    }
    let r = c.registers.map { digits($0, 8) }
    lines.append("EAX=\(r[0]) EBX=\(r[3]) ECX=\(r[1]) EDX=\(r[2])")
    lines.append("ESI=\(r[6]) EDI=\(r[7]) EBP=\(r[5]) ESP=\(r[4])")
    lines.append(
      "EIP=\(digits(c.eip, 8)) EFLAGS=\(digits(c.eflags, 8)) [\(CPU.describe(flags: c.eflags))]")
    for g in c.segments {
      let name = g.name + String(repeating: " ", count: 4 - g.name.count)
      lines.append(
        "\(name) \(digits(g.selector, 4)) base=\(digits(g.base, 8)) limit=\(digits(g.limit, 8)) "
          + "attributes=\(digits(g.attributes, 4)) \(g.kind)")
    }
    lines.append("GDTR base=\(digits(c.gdtBase, 8)) limit=\(digits(c.gdtLimit, 4))")
    lines.append("IDTR base=\(digits(c.idtBase, 8)) limit=\(digits(c.idtLimit, 4))")
    lines.append(
      "CR0=\(digits(c.cr0, 8)) CR2=\(digits(c.cr2, 8)) CR3=\(digits(c.cr3, 8)) CR4=\(digits(c.cr4, 8))"
    )
    let d = c.debug.map { digits($0, 8) }
    lines.append("DR0=\(d[0]) DR1=\(d[1]) DR2=\(d[2]) DR3=\(d[3]) DR6=\(d[4]) DR7=\(d[5])")
    let bytes = c.code.map { digits($0, 2) }.joined(separator: " ")
    lines.append("code at CS:EIP: \(bytes.isEmpty ? "not mapped" : bytes)")
    if !c.branches.isEmpty {
      lines.append("last far transfers and interrupts (linear), newest last:")
      for b in c.branches { lines.append("  \(digits(b.from, 8)) -> \(digits(b.to, 8))") }
    }
    if !c.path.isEmpty {
      lines.append("last blocks of code (linear), newest last:")
      for row in stride(from: 0, to: c.path.count, by: 8) {
        let part = c.path[row..<min(row + 8, c.path.count)].map { digits($0, 8) }
        lines.append("  " + part.joined(separator: " "))
      }
    }
    if c.fpuEmpty != 0xFF && (c.fpuEmpty != 0 || c.fpuStatus != 0 || c.fpuControl != 0x40) {
      lines.append(
        "x87 CW=\(digits(c.fpuControl, 4)) SW=\(digits(c.fpuStatus, 4)) empty=\(digits(c.fpuEmpty, 2))"
      )
      let top = Int(c.fpuStatus >> 11 & 7)
      for n in 0..<8 where c.fpuEmpty >> UInt8((top + n) & 7) & 1 == 0 {
        lines.append("  ST(\(n)) \(c.fpuStack[n])")
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }
}

/// A number as hexadecimal digits without prefix.
private func digits(_ value: some BinaryInteger, _ count: Int) -> String {
  let text = String(value, radix: 16, uppercase: true)
  return String(repeating: "0", count: max(0, count - text.count)) + text
}
