// Forms of handlers for the interpreter's loop over whole blocks.
//
// Owns: which form each record of a block has (`Instruction.form`): what can rely on flat segments, whose flags nothing sees, which
// comparison is carried out together with the jump behind it. A form does what the record's handler (and, for J forms, the next record's)
// does; where a block is not run as a whole from its start, handlers are used.
// Must not know: what forms do.

enum HandlerForms {
  /// Bits of flatness: the segment's bit of `CodeContext.flat` for ES, SS and DS, and whether the stack pointer has 32 bits.
  static let segments: UInt8 = 0b1101
  static let bigStack: UInt8 = 0x40
  private static let flatStack: UInt8 = 0x44

  /// Handlers with a memory operand and their forms for flat segments, without an index where there is one.
  private static let flat = table([
    (.movRM8, .movRM8F), (.movMR8, .movMR8F), (.movMI8, .movMI8F), (.movRM16, .movRM16F),
    (.movMR16, .movMR16F), (.movMI16, .movMI16F), (.movRM32, .movRM32F), (.movMR32, .movMR32F),
    (.movMI32, .movMI32F), (.movzx32M8, .movzx32M8F), (.movzx32M16, .movzx32M16F),
    (.movsx32M8, .movsx32M8F), (.movsx32M16, .movsx32M16F), (.addRM32, .addRM32F),
    (.orRM32, .orRM32F), (.andRM32, .andRM32F), (.subRM32, .subRM32F), (.xorRM32, .xorRM32F),
    (.cmpRM32, .cmpRM32F), (.addMR32, .addMR32F), (.orMR32, .orMR32F), (.andMR32, .andMR32F),
    (.subMR32, .subMR32F), (.xorMR32, .xorMR32F), (.cmpMR32, .cmpMR32F), (.testMR32, .testMR32F),
    (.addMI32, .addMI32F), (.orMI32, .orMI32F), (.andMI32, .andMI32F), (.subMI32, .subMI32F),
    (.cmpMI32, .cmpMI32F), (.testMI32, .testMI32F), (.cmpRM8, .cmpRM8F), (.cmpMR8, .cmpMR8F),
    (.cmpMI8, .cmpMI8F), (.testMI8, .testMI8F), (.incM32, .incM32F), (.decM32, .decM32F),
  ])
  private static let withoutIndex = table([
    (.movRM8F, .movRM8B), (.movMR8F, .movMR8B), (.movRM32F, .movRM32B), (.movMR32F, .movMR32B),
    (.movMI32F, .movMI32B), (.movzx32M8F, .movzx32M8B),
  ])
  /// The stack's handlers and their forms for a flat stack.
  private static let flatStackForms = table([
    (.push32R, .push32RF), (.push32I, .push32IF), (.pop32R, .pop32RF), (.call32, .call32F),
    (.ret32, .ret32F), (.leave32, .leave32F),
  ])
  /// Forms that set no flags.
  private static let flagless = table([
    (.addRR32, .addRR32N), (.addRI32, .addRI32N), (.orRR32, .orRR32N), (.orRI32, .orRI32N),
    (.andRR32, .andRR32N), (.andRI32, .andRI32N), (.subRR32, .subRR32N), (.subRI32, .subRI32N),
    (.xorRR32, .xorRR32N), (.xorRI32, .xorRI32N), (.inc32R, .inc32RN), (.dec32R, .dec32RN),
    (.shl32I, .shl32IN), (.shr32I, .shr32IN), (.sar32I, .sar32IN), (.rol32I, .rol32IN),
    (.ror32I, .ror32IN),
  ])

  /// Two forms that often follow each other, and the form of both.
  private static let pairs: Pairs = {
    let list: [(Handler, Handler, Handler)] = [
      (.movRR32, .shl32IN, .movRR32AndShl32IN), (.movRR32, .shr32IN, .movRR32AndShr32IN),
      (.movRR32, .rol32IN, .movRR32AndRol32IN), (.movRR32, .movRR32, .movRR32AndMovRR32),
      (.movRM32B, .movRM32B, .movRM32BAndMovRM32B), (.movRM32B, .movMR32B, .movRM32BAndMovMR32B),
      (.movRM32B, .movRR32, .movRM32BAndMovRR32), (.movMR32B, .movRM32B, .movMR32BAndMovRM32B),
      (.movMR32B, .movMR32B, .movMR32BAndMovMR32B), (.push32RF, .push32RF, .push32RFAndPush32RF),
      (.pop32RF, .pop32RF, .pop32RFAndPop32RF), (.addRI32N, .addRI32N, .addRI32NAndAddRI32N),
      (.addRR32N, .addRI32N, .addRR32NAndAddRI32N), (.xorRR32N, .movRR32, .xorRR32NAndMovRR32),
      (.xorRR32N, .addRR32N, .xorRR32NAndAddRR32N), (.andRR32N, .xorRR32N, .andRR32NAndXorRR32N),
      (.rol32IN, .movRR32, .rol32INAndMovRR32), (.rol32IN, .xorRR32N, .rol32INAndXorRR32N),
    ]
    var pairs = Pairs()
    for (first, second, both) in list { pairs.add(first, second, both) }
    return pairs
  }()

  /// A table by first and second form; most forms are not the first of any pair.
  private struct Pairs {
    private var rows = [UInt8](repeating: 0, count: HandlerForms.count)
    private var table: [Handler?] = []

    mutating func add(_ first: Handler, _ second: Handler, _ both: Handler) {
      let n = Int(first.rawValue)
      if rows[n] == 0 {
        rows[n] = UInt8(table.count / HandlerForms.count + 1)
        table += [Handler?](repeating: nil, count: HandlerForms.count)
      }
      table[(Int(rows[n]) - 1) * HandlerForms.count + Int(second.rawValue)] = both
    }

    subscript(_ first: Handler, _ second: Handler) -> Handler? {
      let row = Int(rows[Int(first.rawValue)])
      return row == 0 ? nil : table[(row - 1) * HandlerForms.count + Int(second.rawValue)]
    }
  }

  private static let none = UInt16.max
  private static let count = Int(Handler.andRI32Jnz.rawValue) + 1

  private static func table(_ pairs: [(Handler, Handler)]) -> [UInt16] {
    var table = [UInt16](repeating: none, count: count)
    for (from, to) in pairs { table[Int(from.rawValue)] = to.rawValue }
    return table
  }

  private static func look(_ table: [UInt16], _ handler: Handler) -> Handler? {
    let n = table[Int(handler.rawValue)]
    return n == none ? nil : Handler(rawValue: n)
  }

  /// Makes a decoded record run by its handler.
  @inline(__always)
  static func reset(_ record: UnsafeMutablePointer<Instruction>) {
    record.pointee.form = record.pointee.handler
    record.pointee.segmentOffset = 64 &+ 32 &* (record.pointee.segment & 7)
  }

  /// Writes the record that ends a block.
  @inline(__always)
  static func end(_ records: UnsafeMutablePointer<Instruction>, count: Int) {
    guard count > 0 else { return }
    records[count].form = .blockEnd
    records[count].nextOffset = records[count - 1].nextOffset
  }

  /// Sets the forms of a block's records.
  /// - Parameter flatness: what may be relied on (`CPU.flatness`).
  static func choose(_ records: UnsafeMutablePointer<Instruction>, count: Int, flatness: UInt8) {
    for k in 0..<count { records[k].form = single(records[k], flatness) }
    dropFlags(records, count)
    if count >= 2, let form = fused(records[count - 2].form, records[count - 1]) {
      records[count - 2].form = form
    }
    pair(records, count)
  }

  /// The form of a record by itself.
  private static func single(_ i: Instruction, _ flatness: UInt8) -> Handler {
    if flatness & flatStack == flatStack {
      if let form = look(flatStackForms, i.handler) { return form }
      if i.isAddress32 && i.hasMemory && flatness >> i.segment & 1 != 0 {
        if i.handler == .push32M { return .push32MF }
        if i.handler == .call32E { return .call32EF }
      }
    }
    if i.handler == .lea32 && i.isAddress32 { return .lea32F }
    if i.handler == .shift32 && !i.hasMemory && i.opcode & 0xFE != 0xD2 && i.imm & 31 != 0 {
      if i.digit == 0 { return .rol32I }
      if i.digit == 1 { return .ror32I }
    }
    guard i.isAddress32, (flatness & segments) >> i.segment & 1 != 0,
      let form = look(flat, i.handler)
    else { return i.handler }
    if i.index == 32, let form = look(withoutIndex, form) { return form }
    return form
  }

  // MARK: - Flags nothing sees

  private enum FlagUse {
    /// May fault, reads flags, leaves the block, or is not known not to.
    case sees
    /// None of that, but leaves some flags as they were.
    case passes
    /// None of that, and all arithmetic flags are new after it.
    case replaces
  }

  /// Gives records forms without flags where a later one replaces them before anything can see them.
  private static func dropFlags(_ records: UnsafeMutablePointer<Instruction>, _ count: Int) {
    var dead = false
    for k in stride(from: count - 1, through: 0, by: -1) {
      let use = flagUse(records[k])
      if dead, let form = look(flagless, records[k].form) { records[k].form = form }
      switch use {
      case .sees: dead = false
      case .passes: break
      case .replaces: dead = true
      }
    }
  }

  private static func flagUse(_ i: Instruction) -> FlagUse {
    switch i.form {
    case .addRR8, .addRI8, .addRR16, .addRI16, .addRR32, .addRI32, .orRR8, .orRI8, .orRR16, .orRI16,
      .orRR32, .orRI32, .andRR8, .andRI8, .andRR16, .andRI16, .andRR32, .andRI32, .subRR8, .subRI8,
      .subRR16, .subRI16, .subRR32, .subRI32, .xorRR8, .xorRI8, .xorRR16, .xorRI16, .xorRR32,
      .xorRI32, .cmpRR8, .cmpRI8, .cmpRR16, .cmpRI16, .cmpRR32, .cmpRI32, .testRR8, .testRI8,
      .testRR16, .testRI16, .testRR32, .testRI32, .shl32I, .shr32I, .sar32I:
      return .replaces
    case .movRR8, .movRI8, .movRR16, .movRI16, .movRR32, .movRI32, .lea16, .lea32, .lea32F,
      .movzx32R8, .movzx32R16, .movsx32R8, .movsx32R16, .cwde, .cdq, .cbw16, .cwd16, .nop, .inc8R,
      .inc16R, .inc32R, .dec8R, .dec16R, .dec32R, .rol32I, .ror32I:
      return .passes
    default: return .sees
    }
  }

  // MARK: - Pairs

  /// Comparisons and the first of their forms that include a jump; in the order of `comparisonJumps`.
  private static func comparison(_ form: Handler) -> Handler? {
    switch form {
    case .cmpRR32: return .cmpRR32Jb
    case .cmpRI32: return .cmpRI32Jb
    case .cmpRM32F: return .cmpRM32Jb
    case .cmpMR32F: return .cmpMR32Jb
    case .cmpMI32F: return .cmpMI32Jb
    case .cmpRR8: return .cmpRR8Jb
    case .cmpRI8: return .cmpRI8Jb
    case .cmpMI8F: return .cmpMI8Jb
    default: return nil
    }
  }

  private static func test(_ form: Handler) -> Handler? {
    switch form {
    case .testRR32: return .testRR32Jz
    case .testRI32: return .testRI32Jz
    case .testRR8: return .testRR8Jz
    case .testRI8: return .testRI8Jz
    case .testMI8F: return .testMI8Jz
    default: return nil
    }
  }

  /// Gives records forms that carry out the next one too, and NOPs one that passes over the run of them.
  private static func pair(_ records: UnsafeMutablePointer<Instruction>, _ count: Int) {
    var k = 0
    while k + 1 < count {
      if records[k].form == .nop {
        var more = 0
        while k + more + 1 < count && records[k + more + 1].form == .nop { more += 1 }
        if more > 0 {
          records[k].form = .nops
          records[k].span = UInt8(more)
        }
        k += more + 1
      } else if let both = pairs[records[k].form, records[k + 1].form] {
        records[k].form = both
        k += 2
      } else {
        k += 1
      }
    }
  }

  /// The form of `form` together with the jump `i`, if there is one.
  private static func fused(_ form: Handler, _ i: Instruction) -> Handler? {
    let cc = i.handler.rawValue &- Handler.jo.rawValue
    guard cc < 16 else { return nil }
    var first: Handler
    var place: UInt16
    if let comparison = comparison(form) {
      first = comparison
      // B NB Z NZ BE NBE, L NL LE NLE.
      switch cc {
      case 2...7: place = cc - 2
      case 12...15: place = cc - 6
      default: return nil
      }
    } else if let test = test(form) {
      first = test
      // Z NZ S NS LE NLE.
      switch cc {
      case 4, 5: place = cc - 4
      case 8, 9: place = cc - 6
      case 14, 15: place = cc - 10
      default: return nil
      }
    } else {
      // Z NZ, and for DEC also S NS.
      switch form {
      case .dec32R: first = .dec32RJz
      case .inc32R: first = .inc32RJz
      case .addRI32: first = .addRI32Jz
      case .subRI32: first = .subRI32Jz
      case .subRR32: first = .subRR32Jz
      case .andRI32: first = .andRI32Jz
      default: return nil
      }
      switch cc {
      case 4, 5: place = cc - 4
      case 8, 9:
        guard form == .dec32R else { return nil }
        place = cc - 6
      default: return nil
      }
    }
    return Handler(rawValue: first.rawValue + place)
  }
}

extension CPU {
  /// What forms may rely on now; `codeTag` must be in force. Whatever changes it changes `codeTag`.
  @inline(__always)
  var flatness: UInt8 {
    contexts.current.flat & HandlerForms.segments
      | (contexts.current.has(CodeContext.bigStack) ? HandlerForms.bigStack : 0)
  }
}
