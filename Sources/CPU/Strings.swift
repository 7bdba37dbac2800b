// String instructions, alone and repeated.
//
// Owns: MOVS, CMPS, STOS, LODS, SCAS. A repetition counts one instruction an iteration, stops exactly at the deadline and resumes at its
// own EIP; registers always show the iterations done, also when one faults. Runs of memory that both fast-path tables cover are moved
// at once. Must not know: ports (PortIO.swift). Follows: Intel SDM volume 2, REP and the instructions' pages.

extension CPU {
  func executeString(_ i: Insn) throws(Fault) {
    let wide = i.pointee.opcode & 1 != 0
    if !wide {
      try string(i, UInt8.self)
    } else if i.pointee.isOperand32 {
      try string(i, UInt32.self)
    } else {
      try string(i, UInt16.self)
    }
  }

  /// Adds to SI or DI (by file offset) within the address size.
  @inline(__always)
  func advance(_ register: Int, _ delta: UInt32, _ mask: UInt32) {
    let old = gpr32[register]
    gpr32[register] = (old & ~mask) | ((old &+ delta) & mask)
  }

  @inline(__always)
  private func string<T: FixedWidthInteger & UnsignedInteger>(_ i: Insn, _: T.Type) throws(Fault) {
    let size = UInt32(MemoryLayout<T>.size)
    let delta = s.pointee.eflags & EFLAGS.df != 0 ? 0 &- size : size
    let mask = i.pointee.addressMask
    if i.pointee.flags & (InstructionFlags.rep | InstructionFlags.repne) == 0 {
      _ = try stringStep(i, delta, mask, T.self)
      return
    }
    try repeated(i) { (budget) throws(Fault) in
      if delta == size {
        let (run, ended) = stringRun(i, budget, mask, T.self)
        if run > 0 { return (run, ended) }
      }
      let goOn = try stringStep(i, delta, mask, T.self)
      return (1, !goOn)
    }
  }

  /// Runs a repetition: `body` gets how many iterations it may do and says how many it did and whether the end condition was met.
  @inline(__always)
  func repeated(_ i: Insn, _ body: (UInt32) throws(Fault) -> (UInt32, Bool)) throws(Fault) {
    let mask = i.pointee.addressMask
    let before = s.pointee.retired &+ UInt64(s.pointee.current - s.pointee.blockStart)
    var done: UInt64 = 0
    var count = gpr32[Register.ecx] & mask
    if count == 0 { return }
    // Flags of comparisons: an instruction that is not at its end (faulted or interrupted) shows those that it began with, so that they
    // do not depend on where it was cut. SDM volume 2, REP.
    let flagResult = s.pointee.flagResult
    let flagAux = s.pointee.flagAux
    func restoreFlags() {
      s.pointee.flagResult = flagResult
      s.pointee.flagAux = flagAux
    }
    // A trap follows each single iteration.
    let most = s.pointee.attention & Attention.trap != 0 ? 1 : UInt64.max
    do throws(Fault) {
      while true {
        let left = s.pointee.deadline &- (before &+ done)
        let budget = UInt32(truncatingIfNeeded: min(left, most, UInt64(count)))
        let (n, ended) = try body(max(budget, 1))
        done &+= UInt64(n)
        count = count &- n
        advance(Register.ecx, 0 &- n, mask)
        if count == 0 || ended { break }
        if before &+ done >= s.pointee.deadline {
          s.pointee.eip = currentEIP
          restoreFlags()
          if hasCodeBreakpoints { repetitionPauses(at: before &+ done) }
          break
        }
        if s.pointee.attention
          & (Attention.trap | Attention.stop | Attention.nmi | Attention.debugger) != 0
          || (s.pointee.attention & Attention.intr != 0
            && s.pointee.eflags & EFLAGS.if != 0)
        {
          s.pointee.eip = currentEIP
          restoreFlags()
          if hasCodeBreakpoints { repetitionPauses(at: before &+ done) }
          break
        }
      }
    } catch {
      s.pointee.retired &+= done
      restoreFlags()
      throw error
    }
    s.pointee.retired &+= done &- 1
  }

  /// One iteration; false when REPE or REPNE ends.
  @inline(__always)
  private func stringStep<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ delta: UInt32, _ mask: UInt32, _: T.Type
  ) throws(Fault) -> Bool {
    let si = gpr32[Register.esi] & mask
    let di = gpr32[Register.edi] & mask
    let segment = Int(i.pointee.segment)
    switch i.pointee.opcode & 0xFE {
    case 0xA4:
      let value: T = try read(segment, si)
      try write(SegmentRegister.es, di, value)
      advance(Register.esi, delta, mask)
      advance(Register.edi, delta, mask)
    case 0xA6:
      let a: T = try read(segment, si)
      let b: T = try read(SegmentRegister.es, di)
      _ = SubOperation.apply(self, a, b)
      advance(Register.esi, delta, mask)
      advance(Register.edi, delta, mask)
      return i.pointee.hasRep ? zf : !zf
    case 0xAA:
      try write(SegmentRegister.es, di, reg(0) as T)
      advance(Register.edi, delta, mask)
    case 0xAC:
      let value: T = try read(segment, si)
      setReg(0, value)
      advance(Register.esi, delta, mask)
    default:
      let b: T = try read(SegmentRegister.es, di)
      _ = SubOperation.apply(self, reg(0) as T, b)
      advance(Register.edi, delta, mask)
      return i.pointee.hasRep ? zf : !zf
    }
    return true
  }

  /// How many of `limit` units of `size` bytes from an offset lie in one page, inside the segment's fast limit and below the address
  /// size's wrap; and the host address, if the table covers the page.
  @inline(__always)
  func fastRun(
    _ segment: Int, _ offset: UInt32, _ size: UInt32, _ limit: UInt32, _ mask: UInt32, write: Bool
  ) -> (UInt32, UnsafeMutableRawPointer)? {
    let cache = segmentPointer(segment)
    let top = min(
      write ? cache.pointee.writeLimit : cache.pointee.readLimit, Int64(mask))
    let room = top &- Int64(offset) &+ 1
    if room < Int64(size) { return nil }
    let linear = cache.pointee.base &+ offset
    let table = write ? s.pointee.writeTable : s.pointee.readTable
    let host = table[Int(linear >> 12)]
    if host <= 0 { return nil }
    let page = Int64(0x1000 &- (linear & 0xFFF))
    let n = min(min(room, page) / Int64(size), Int64(limit))
    if n == 0 { return nil }
    return (
      UInt32(n), UnsafeMutableRawPointer(bitPattern: host &+ Int(linear)).unsafelyUnwrapped
    )
  }

  /// Works on a run of ascending units at once: how many, 0 when no run is possible, and whether the end condition was met.
  @inline(__always)
  private func stringRun<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ budget: UInt32, _ mask: UInt32, _: T.Type
  ) -> (UInt32, Bool) {
    let size = UInt32(MemoryLayout<T>.size)
    let di = gpr32[Register.edi] & mask
    switch i.pointee.opcode & 0xFE {
    case 0xA4:
      let si = gpr32[Register.esi] & mask
      guard
        let (m, source) = fastRun(
          Int(i.pointee.segment), si, size, budget, mask, write: false),
        let (n, target) = fastRun(SegmentRegister.es, di, size, m, mask, write: true)
      else { return (0, false) }
      let bytes = Int(n * size)
      let distance = target - source
      if distance > 0 && distance < bytes {
        // Overlap: what is moved first is moved again.
        if distance >= MemoryLayout<T>.size {
          for k in 0..<Int(n) {
            let p = k &* MemoryLayout<T>.size
            target.storeBytes(
              of: source.loadUnaligned(fromByteOffset: p, as: T.self), toByteOffset: p, as: T.self)
          }
        } else {
          return (0, false)
        }
      } else {
        target.copyMemory(from: source, byteCount: bytes)
      }
      advance(Register.esi, n &* size, mask)
      advance(Register.edi, n &* size, mask)
      return (n, false)
    case 0xAA:
      guard let (n, target) = fastRun(SegmentRegister.es, di, size, budget, mask, write: true)
      else { return (0, false) }
      let value: T = reg(0)
      if MemoryLayout<T>.size == 1 {
        target.initializeMemory(
          as: UInt8.self, repeating: UInt8(truncatingIfNeeded: value), count: Int(n))
      } else {
        for k in 0..<Int(n) {
          target.storeBytes(of: value, toByteOffset: k &* MemoryLayout<T>.size, as: T.self)
        }
      }
      advance(Register.edi, n &* size, mask)
      return (n, false)
    case 0xA6:
      let si = gpr32[Register.esi] & mask
      guard
        let (m, first) = fastRun(Int(i.pointee.segment), si, size, budget, mask, write: false),
        let (n, second) = fastRun(SegmentRegister.es, di, size, m, mask, write: false)
      else { return (0, false) }
      let whileEqual = i.pointee.hasRep
      let bytes = Int(n * size)
      var p = 0
      if whileEqual {
        // Eight bytes at a time as long as they are equal; the last unit is compared for its flags.
        while p &+ 8 < bytes,
          first.loadUnaligned(fromByteOffset: p, as: UInt64.self)
            == second.loadUnaligned(fromByteOffset: p, as: UInt64.self)
        {
          p &+= 8
        }
      }
      var a: T = 0
      var b: T = 0
      repeat {
        a = first.loadUnaligned(fromByteOffset: p, as: T.self)
        b = second.loadUnaligned(fromByteOffset: p, as: T.self)
        p &+= MemoryLayout<T>.size
      } while p < bytes && (a == b) == whileEqual
      _ = SubOperation.apply(self, a, b)
      advance(Register.esi, UInt32(p), mask)
      advance(Register.edi, UInt32(p), mask)
      return (UInt32(p) / size, (a == b) != whileEqual)
    case 0xAE:
      guard let (n, from) = fastRun(SegmentRegister.es, di, size, budget, mask, write: false)
      else { return (0, false) }
      let whileEqual = i.pointee.hasRep
      let bytes = Int(n * size)
      let a: T = reg(0)
      var b: T = 0
      var p = 0
      if MemoryLayout<T>.size == 1 && !whileEqual {
        // Eight bytes at a time as long as none is the one sought.
        let pattern = UInt64(truncatingIfNeeded: a) &* 0x0101_0101_0101_0101
        while p &+ 8 < bytes {
          let x = from.loadUnaligned(fromByteOffset: p, as: UInt64.self) ^ pattern
          if (x &- 0x0101_0101_0101_0101) & ~x & 0x8080_8080_8080_8080 != 0 { break }
          p &+= 8
        }
      }
      repeat {
        b = from.loadUnaligned(fromByteOffset: p, as: T.self)
        p &+= MemoryLayout<T>.size
      } while p < bytes && (a == b) == whileEqual
      _ = SubOperation.apply(self, a, b)
      advance(Register.edi, UInt32(p), mask)
      return (UInt32(p) / size, (a == b) != whileEqual)
    default:
      return (0, false)
    }
  }
}
