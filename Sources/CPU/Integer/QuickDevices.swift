// Short paths from translated code to devices: IN, OUT, and MOV to and from memory that a device keeps.
//
// Owns: the cases in which nothing stands against the access and nothing has to be looked at afterwards; in all others the
// instruction is interpreted. Must not know: any device.
// Follows: Intel SDM volume 1, chapter 19 (I/O); volume 2, MOV, IN, OUT.

extension Handler {
  /// MOV between general registers, immediates and memory.
  package var isMove: Bool {
    switch self {
    case .movRR8, .movRM8, .movMR8, .movRI8, .movMI8, .movRR16, .movRM16, .movMR16, .movRI16,
      .movMI16, .movRR32, .movRM32, .movMR32, .movRI32, .movMI32:
      true
    default: false
    }
  }
}

extension CPU {
  /// `accessPort` as translated code calls it.
  static let portFunction: InterpretOne = { context, record, left, blockEIP in
    Unmanaged<CPU>.fromOpaque(context)._withUnsafeGuaranteedRef {
      $0.accessPort(record.assumingMemoryBound(to: Instruction.self), left, blockEIP)
    }
  }

  /// `moveDevice` as translated code calls it.
  static let moveFunction: InterpretOne = { context, record, left, blockEIP in
    Unmanaged<CPU>.fromOpaque(context)._withUnsafeGuaranteedRef {
      let record = record.assumingMemoryBound(to: Instruction.self)
      return $0.moveDevice(record) ? 0 : $0.interpretOne(record, left, blockEIP)
    }
  }

  /// IN or OUT; parameters and result are those of `interpretOne`, but 0 also at the end of a block.
  private func accessPort(_ record: Insn, _ left: Int, _ blockEIP: UInt32) -> Int {
    let s = self.s
    guard debugEvents.isEmpty, !watching, s.pointee.dr7 & 0xFF == 0,
      !protectedMode || (!v86 && s.pointee.cpl <= iopl)
    else { return interpretOne(record, left, blockEIP) }
    // The device may ask for the time, stop the processor, move deadlines, or change what memory holds.
    s.pointee.retired = s.pointee.runEnd &- UInt64(bitPattern: s.pointee.budget &+ Int64(left))
    s.pointee.blockEIP = blockEIP
    s.pointee.blockStart = record
    s.pointee.current = record
    s.pointee.end = record + 1
    s.pointee.eip = blockEIP &+ UInt32(record.pointee.nextOffset)
    let before = CodeMoment(self)
    let width = record.pointee.operandSize
    let port = portNumber(record)
    if case .in = record.pointee.op {
      let value = bus.portRead(port, width: width)
      switch width {
      case 1: setReg(0, UInt8(truncatingIfNeeded: value))
      case 2: setReg(0, UInt16(truncatingIfNeeded: value))
      default: setReg(0, value)
      }
    } else {
      bus.portWrite(
        port, gpr32[Register.eax] & (UInt32.max >> UInt32(32 &- 8 &* width)), width: width)
    }
    leaveBlock()
    s.pointee.place = ExecutionPlace.code
    if before.isPresent(self) {
      // Time that has passed, or an earlier event: while the rest of the block fits, it is a smaller budget.
      let nearer = Int64(bitPattern: before.deadline &- s.pointee.deadline)
      if nearer == 0 { return 0 }
      if nearer > 0, nearer <= s.pointee.budget {
        s.pointee.budget &-= nearer
        s.pointee.runEnd &-= UInt64(nearer)
        return 0
      }
    }
    s.pointee.retired &+= 1
    return goOn(left, before, inBlock: true, leave: false)
  }

  /// MOV between a register or an immediate and a device that is no more than memory.
  /// - Returns: false when nothing was done.
  private func moveDevice(_ i: Insn) -> Bool {
    let isWrite: Bool
    let isImmediate: Bool
    switch i.pointee.handler {
    case .movRM8, .movRM16, .movRM32: (isWrite, isImmediate) = (false, false)
    case .movMR8, .movMR16, .movMR32: (isWrite, isImmediate) = (true, false)
    case .movMI8, .movMI16, .movMI32: (isWrite, isImmediate) = (true, true)
    default: return false
    }
    // MOVZX and MOVSX from a word to a word are such moves too.
    let size = UInt32(i.pointee.operandSize)
    guard !watching, s.pointee.dr7 & 0xFF == 0, !alignmentChecked, !fillDroppedCode
    else { return false }
    let segment = segmentPointer(Int(i.pointee.segment))
    let offset = effectiveAddress(i)
    let limit = isWrite ? segment.pointee.writeLimit : segment.pointee.readLimit
    guard Int64(offset) &+ Int64(size &- 1) <= limit else { return false }
    let linear = segment.pointee.base &+ offset
    guard tables.notes[Int(linear >> 12)] & TranslationTables.Note.device != 0,
      linear & 0xFFF <= 0x1000 &- size
    else { return false }
    guard let physical = deviceAddress(linear, isWrite ? userAccess.union(.write) : userAccess),
      let region = memory.deviceMemory(at: physical)
    else { return false }
    if isWrite {
      let value: UInt32 =
        isImmediate
        ? i.pointee.imm
        : size == 1
          ? UInt32(reg(i.pointee.reg) as UInt8)
          : size == 2 ? UInt32(reg(i.pointee.reg) as UInt16) : reg(i.pointee.reg)
      region.pointee.write(physical, value & (UInt32.max >> (32 &- 8 &* size)), size)
      return true
    }
    let value = region.pointee.read(physical, size)
    switch size {
    case 1: setReg(i.pointee.reg, UInt8(truncatingIfNeeded: value))
    case 2: setReg(i.pointee.reg, UInt16(truncatingIfNeeded: value))
    default: setReg(i.pointee.reg, value)
    }
    return true
  }

  /// The physical address of an access that is expected to reach a device; walked to each time, as the interpreter does.
  @inline(__always)
  private func deviceAddress(_ linear: UInt32, _ access: Access) -> Physical? {
    if s.pointee.cr0 & CR0.pg == 0 { return Physical(linear & a20Mask) }
    guard let walked = try? walk(linear, access) else { return nil }
    return walked.physical & view.allLines
  }

  /// What a device gives for a read of 1, 2 or 4 bytes in one page, when it is no more than memory or only looked at; otherwise nil.
  @inline(__always)
  func deviceData(_ linear: UInt32, _ size: UInt32) -> UInt32? {
    guard size == 1 || size == 2 || size == 4, let physical = deviceAddress(linear, userAccess)
    else { return nil }
    if let region = memory.deviceMemory(at: physical) { return region.pointee.read(physical, size) }
    return memory.plainRead(physical, width: size)
  }
}
