// Forms of handlers for the interpreter's loop over whole blocks.
//
// Owns: which form each record of a block has (`Instruction.form`; forms.txt has them): what can rely on flat segments, whose flags
// nothing sees, which comparison is carried out together with the jump behind it. A form does what the record's handler (and, for J forms, the next record's)
// does; where a block is not run as a whole from its start, handlers are used.
// Must not know: what forms do.

enum HandlerForms {
  /// Bits of flatness: the segment's bit of `CodeContext.flat` for ES, SS and DS, and whether the stack pointer has 32 bits.
  static let segments: UInt8 = 0b1101
  static let bigStack: UInt8 = 0x40
  private static let flatStack: UInt8 = 0x44

  /// Forms with a memory operand and their forms for flat segments, without an index where there is one.
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

  /// `Form.pairs`.
  private static let pairs: Pairs = {
    var pairs = Pairs()
    for (first, second, both) in Form.pairs { pairs.add(first, second, both) }
    return pairs
  }()

  /// A table by first and second form; most forms are not the first of any pair.
  private struct Pairs {
    private var rows = [UInt8](repeating: 0, count: HandlerForms.count)
    private var table: [Form?] = []

    mutating func add(_ first: Form, _ second: Form, _ both: Form) {
      let n = Int(first.rawValue)
      if rows[n] == 0 {
        rows[n] = UInt8(table.count / HandlerForms.count + 1)
        table += [Form?](repeating: nil, count: HandlerForms.count)
      }
      table[(Int(rows[n]) - 1) * HandlerForms.count + Int(second.rawValue)] = both
    }

    subscript(_ first: Form, _ second: Form) -> Form? {
      let row = Int(rows[Int(first.rawValue)])
      return row == 0 ? nil : table[(row - 1) * HandlerForms.count + Int(second.rawValue)]
    }
  }

  private static let none = UInt16.max
  private static let count = Form.count

  private static func table(_ pairs: [(Form, Form)]) -> [UInt16] {
    var table = [UInt16](repeating: none, count: count)
    for (from, to) in pairs { table[Int(from.rawValue)] = to.rawValue }
    return table
  }

  private static func look(_ table: [UInt16], _ handler: Form) -> Form? {
    let n = table[Int(handler.rawValue)]
    return n == none ? nil : Form(rawValue: n)
  }

  /// Makes a decoded record run by its handler.
  @inline(__always)
  static func reset(_ record: UnsafeMutablePointer<Instruction>) {
    record.pointee.form = Form(record.pointee.handler)
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
  private static func single(_ i: Instruction, _ flatness: UInt8) -> Form {
    let form = Form(i.handler)
    if flatness & flatStack == flatStack {
      if let form = look(flatStackForms, form) { return form }
      if i.isAddress32 && i.hasMemory && flatness >> i.segment & 1 != 0 {
        if form == .push32M { return .push32MF }
        if form == .call32E { return .call32EF }
      }
    }
    if form == .lea32 && i.isAddress32 { return .lea32F }
    if form == .shift32 && !i.hasMemory && !i.countsByCL && i.imm & 31 != 0 {
      if i.op == .rol { return .rol32I }
      if i.op == .ror { return .ror32I }
    }
    guard i.isAddress32, (flatness & segments) >> i.segment & 1 != 0, let form = look(flat, form)
    else { return form }
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
    guard i.handler.isPlain || i.form == .rol32I || i.form == .ror32I else { return .sees }
    return effects[Int(i.entry)]
  }

  /// By entries of the instruction table, of instructions that cannot fault.
  private static let effects: [FlagUse] = OpcodeTable.shared.entries.map { entry in
    if entry.flagsRead & EFLAGS.arithmetic != 0 { return .sees }
    let new = (entry.flagsWritten | entry.flagsUndefined) & EFLAGS.arithmetic
    return new == EFLAGS.arithmetic ? .replaces : .passes
  }

  // MARK: - Pairs

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
  private static func fused(_ form: Form, _ i: Instruction) -> Form? {
    // With LOCK it is undefined.
    guard i.op.isConditionalJump, i.handler != .ud, i.handler != .waitJump else { return nil }
    let n = jumps[Int(form.rawValue) * 16 + i.condition]
    return n == none ? nil : Form(rawValue: n)
  }

  /// By form and condition.
  private static let jumps: [UInt16] = {
    var table = [UInt16](repeating: none, count: count * 16)
    for (form, condition, both) in Form.withJumps {
      table[Int(form.rawValue) * 16 + condition] = both.rawValue
    }
    return table
  }()
}

extension Instruction {
  /// What the loop over whole blocks executes.
  @inline(__always)
  var form: Form {
    get { unsafeBitCast(formNumber, to: Form.self) }
    set { formNumber = unsafeBitCast(newValue, to: UInt16.self) }
  }
}

extension CPU {
  /// What forms may rely on now; `codeTag` must be in force. Whatever changes it changes `codeTag`.
  @inline(__always)
  var flatness: UInt8 {
    contexts.current.flat & HandlerForms.segments
      | (contexts.current.has(.bigStack) ? HandlerForms.bigStack : 0)
  }
}
