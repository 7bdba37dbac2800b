// What a debugger reads and changes beyond the public state.
//
// Owns: access to x87 and SSE registers, MSRs, control and debug registers, segment registers and memory by linear address, without
// the side effects that instructions have. Must not know: who asks. Call between runs only.

import Bus

extension CPU {
  /// The registers of x87, MMX and SSE.
  public var floatingPoint: FPUState {
    get { fpu.pointee }
    set { fpu.pointee = newValue }
  }

  /// The model-specific registers with plain storage, by number.
  public var modelSpecificRegisters: [(number: UInt32, value: UInt64)] {
    var list = msrs.map { (number: $0.key, value: $0.value) }
    if model.features.contains(.sep) {
      list.append((MSR.sysenterCS, UInt64(s.pointee.sysenterCS)))
      list.append((MSR.sysenterESP, UInt64(s.pointee.sysenterESP)))
      list.append((MSR.sysenterEIP, UInt64(s.pointee.sysenterEIP)))
    }
    return list.sorted { $0.number < $1.number }
  }

  /// Changes a control register as MOV does, without privilege.
  /// - Returns: whether the value is possible.
  public func setControlRegister(_ number: Int, _ value: UInt32) -> Bool {
    do {
      switch number {
      case 0: try setCR0(value)
      case 2: s.pointee.cr2 = value
      case 3: try loadCR3(value)
      case 4: try setCR4(value)
      default: return false
      }
      return true
    } catch { return false }
  }

  /// Changes DR0 to DR3, DR6 or DR7.
  public func setDebugRegister(_ number: Int, _ value: UInt32) {
    switch number {
    case 0: s.pointee.dr.0 = value
    case 1: s.pointee.dr.1 = value
    case 2: s.pointee.dr.2 = value
    case 3: s.pointee.dr.3 = value
    case 6: s.pointee.dr6 = value & 0xE00F | 0xFFFF_0FF0
    default: s.pointee.dr7 = value & 0xFFFF_2BFF | 0x400
    }
    updateMode()
  }

  /// Loads a segment register as the mode does. In protected mode only the descriptor's presence and kind are checked.
  /// - Parameter index: ES CS SS DS FS GS.
  /// - Returns: whether it could be loaded.
  public func setSegmentSelector(_ index: Int, _ selector: UInt16) -> Bool {
    if realSegments {
      loadRealSegment(index, selector)
      updateMode()
      return true
    }
    if selector & 0xFFFC == 0 {
      if index == SegmentRegister.cs || index == SegmentRegister.ss { return false }
      setNullSegment(index, selector)
      return true
    }
    guard let raw = peekDescriptor(selector) else { return false }
    let d = Descriptor(raw)
    guard d.isSegment, d.isPresent, (index == SegmentRegister.cs) == d.isCode || d.isReadable else {
      return false
    }
    setSegment(index, selector, d)
    updateMode()
    return true
  }

  /// The descriptor of a selector, from the GDT or the LDT, without side effects; nil beyond the table.
  public func peekDescriptor(_ selector: UInt16) -> UInt64? {
    var base = s.pointee.gdtBase
    var limit = s.pointee.gdtLimit
    if selector & 4 != 0 {
      let ldt = segmentPointer(SegmentRegister.ldtr).pointee
      if !ldt.isPresent || ldt.selector & 0xFFFC == 0 { return nil }
      base = ldt.base
      limit = ldt.limit
    }
    let offset = UInt32(selector & 0xFFF8)
    if offset &+ 7 > limit { return nil }
    let bytes = peekBytes(base &+ offset, count: 8)
    if bytes.count < 8 { return nil }
    return bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
  }

  /// The linear base that a selector would have now: 16 times itself, or its descriptor's base; nil where there is no segment.
  public func segmentBase(ofSelector selector: UInt16) -> UInt32? {
    for index in 0..<6 where segmentPointer(index).pointee.selector == selector {
      if index == SegmentRegister.cs || realSegments || selector & 0xFFFC != 0 {
        return segmentPointer(index).pointee.base
      }
    }
    if realSegments { return UInt32(selector) << 4 }
    guard let raw = peekDescriptor(selector) else { return nil }
    let d = Descriptor(raw)
    return d.isSegment ? d.base : nil
  }

  /// Writes bytes at a linear address as a debugger: RAM only, whatever the page's rights; decoded code is dropped.
  /// - Returns: how many bytes were written before something unmapped.
  public func pokeBytes(_ linear: UInt32, _ bytes: [UInt8]) -> Int {
    let view = DebuggerView(memory)
    memory.show(inManagement: management.isActive)
    for (n, byte) in bytes.enumerated() {
      guard let physical = peekPhysical(linear &+ UInt32(truncatingIfNeeded: n)),
        view.change(PhysicalAddress(physical), [byte]) == 1
      else { return n }
    }
    return bytes.count
  }

  /// The last far transfers and interrupts, oldest first (linear addresses).
  public var recentBranches: [(from: UInt32, to: UInt32)] {
    (0..<16).map { branchRing[(Int(branchIndex.pointee) &+ $0) & 15] }.filter {
      $0.from != 0 || $0.to != 0
    }
  }

  /// The linear address of the next instruction.
  public var nextLinear: UInt32 {
    segmentPointer(SegmentRegister.cs).pointee.base &+ currentEIP
  }

  /// Whether CS:EIP is in 32-bit code.
  public var isCode32: Bool { segmentPointer(SegmentRegister.cs).pointee.isBig }

  /// Counters of decoded code, for `info stats`: blocks decoded, blocks dropped by writes, times everything was dropped.
  public var codeStatistics: (decoded: Int, invalidated: Int, flushes: Int) {
    (blocks.decodedBlocks, blocks.invalidations, blocks.flushes)
  }
}

extension CPU {
  /// The offset and linear address of a memory operand with the present registers.
  public func address(of m: MemoryReference) -> (offset: UInt32, linear: UInt32) {
    var offset = m.displacement
    if let base = m.base {
      offset = offset &+ self[base] & (m.addressMask == 0xFFFF ? 0xFFFF : UInt32.max)
    }
    if let index = m.index { offset = offset &+ self[index] << UInt32(m.scale & 3) }
    offset &= m.addressMask
    return (offset, self[segment: m.segment].base &+ offset)
  }

  /// Whether the conditional transfer would be taken with the present flags and registers.
  public func isTaken(_ i: DisassembledInstruction, addressMask: UInt32) -> Bool {
    let count = self[Register.ecx] & addressMask
    switch i.condition {
    case .flags(let number): return condition(number)
    case .count: return count != 1
    case .countAndZero(let zero): return count != 1 && zf == zero
    case .noCount: return count == 0
    case nil: return true
    }
  }
}
