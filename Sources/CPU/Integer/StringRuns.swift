// Runs of repeated string instructions inside one page.
//
// Owns: what a repetition does to memory that the fast-path tables cover, as far as the next end of a page, in one go. The result is
// that of one unit after the other, also where source and target overlap. Must not know: counts, deadlines, faults (Strings.swift).
// Follows: Intel SDM volume 2, MOVS, CMPS, STOS, LODS, SCAS.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension CPU {
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

  /// The same downwards: how many units from the one at an offset lie in one page and above the address size's wrap; and the host address
  /// of that first, highest unit.
  @inline(__always)
  private func fastRunDown(
    _ segment: Int, _ offset: UInt32, _ size: UInt32, _ limit: UInt32, _ mask: UInt32, write: Bool
  ) -> (UInt32, UnsafeMutableRawPointer)? {
    let cache = segmentPointer(segment)
    let top = min(
      write ? cache.pointee.writeLimit : cache.pointee.readLimit, Int64(mask))
    if Int64(offset) &+ Int64(size) &- 1 > top { return nil }
    let linear = cache.pointee.base &+ offset
    let inPage = linear & 0xFFF
    if inPage > 0x1000 &- size { return nil }
    let table = write ? s.pointee.writeTable : s.pointee.readTable
    let host = table[Int(linear >> 12)]
    if host <= 0 { return nil }
    let n = min(min(inPage, offset) / size &+ 1, limit)
    return (n, UnsafeMutableRawPointer(bitPattern: host &+ Int(linear)).unsafelyUnwrapped)
  }

  /// Works on a run of ascending units at once: how many, 0 when no run is possible, and whether the end condition was met.
  @inline(__always)
  func stringRun<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ operation: StringOperation, _ budget: UInt32, _ mask: UInt32, _: T.Type
  ) -> (UInt32, Bool) {
    let size = UInt32(MemoryLayout<T>.size)
    let di = gpr32[Register.edi] & mask
    let es = SegmentRegister.es
    switch operation {
    case .move:
      let si = gpr32[Register.esi] & mask
      guard
        let (m, source) = fastRun(Int(i.pointee.segment), si, size, budget, mask, write: false),
        let (n, target) = fastRun(es, di, size, m, mask, write: true)
      else { return (0, false) }
      StringRuns.move(target, source, Int(n), T.self)
      advance(Register.esi, n &* size, mask)
      advance(Register.edi, n &* size, mask)
      return (n, false)
    case .store:
      guard let (n, target) = fastRun(es, di, size, budget, mask, write: true)
      else { return (0, false) }
      StringRuns.fill(target, Int(n), reg(0) as T)
      advance(Register.edi, n &* size, mask)
      return (n, false)
    case .compare:
      let si = gpr32[Register.esi] & mask
      guard
        let (m, first) = fastRun(Int(i.pointee.segment), si, size, budget, mask, write: false),
        let (n, second) = fastRun(es, di, size, m, mask, write: false)
      else { return (0, false) }
      let whileEqual = i.pointee.hasRep
      let last = StringRuns.compare(first, second, Int(n), whileEqual: whileEqual, T.self)
      let p = last &* MemoryLayout<T>.size
      let a = first.loadUnaligned(fromByteOffset: p, as: T.self)
      let b = second.loadUnaligned(fromByteOffset: p, as: T.self)
      _ = SubOperation.apply(s, a, b)
      let done = UInt32(last) &+ 1
      advance(Register.esi, done &* size, mask)
      advance(Register.edi, done &* size, mask)
      return (done, (a == b) != whileEqual)
    case .scan:
      guard let (n, from) = fastRun(es, di, size, budget, mask, write: false)
      else { return (0, false) }
      let whileEqual = i.pointee.hasRep
      let a: T = reg(0)
      let last = StringRuns.scan(from, Int(n), a, whileEqual: whileEqual)
      let b = from.loadUnaligned(fromByteOffset: last &* MemoryLayout<T>.size, as: T.self)
      _ = SubOperation.apply(s, a, b)
      let done = UInt32(last) &+ 1
      advance(Register.edi, done &* size, mask)
      return (done, (a == b) != whileEqual)
    case .load:
      // Only the last is seen.
      let si = gpr32[Register.esi] & mask
      guard
        let (n, from) = fastRun(Int(i.pointee.segment), si, size, budget, mask, write: false)
      else { return (0, false) }
      setReg(0, from.loadUnaligned(fromByteOffset: Int((n &- 1) &* size), as: T.self))
      advance(Register.esi, n &* size, mask)
      return (n, false)
    }
  }

  /// The same with descending addresses.
  @inline(__always)
  func stringRunDown<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ operation: StringOperation, _ budget: UInt32, _ mask: UInt32, _: T.Type
  ) -> (UInt32, Bool) {
    let size = UInt32(MemoryLayout<T>.size)
    let di = gpr32[Register.edi] & mask
    let es = SegmentRegister.es
    let si = gpr32[Register.esi] & mask
    let segment = Int(i.pointee.segment)
    switch operation {
    case .store:
      guard let (n, top) = fastRunDown(es, di, size, budget, mask, write: true)
      else { return (0, false) }
      StringRuns.fill(top - Int((n &- 1) &* size), Int(n), reg(0) as T)
      advance(Register.edi, 0 &- n &* size, mask)
      return (n, false)
    case .scan:
      guard let (n, top) = fastRunDown(es, di, size, budget, mask, write: false)
      else { return (0, false) }
      let whileEqual = i.pointee.hasRep
      let a: T = reg(0)
      var b: T = 0
      var done = 0
      repeat {
        b = top.loadUnaligned(fromByteOffset: 0 &- done &* MemoryLayout<T>.size, as: T.self)
        done &+= 1
      } while done < Int(n) && (a == b) == whileEqual
      _ = SubOperation.apply(s, a, b)
      advance(Register.edi, 0 &- UInt32(done) &* size, mask)
      return (UInt32(done), (a == b) != whileEqual)
    case .load:
      guard let (n, source) = fastRunDown(segment, si, size, budget, mask, write: false)
      else { return (0, false) }
      setReg(0, (source - Int((n &- 1) &* size)).loadUnaligned(as: T.self))
      advance(Register.esi, 0 &- n &* size, mask)
      return (n, false)
    case .move:
      guard let (m, source) = fastRunDown(segment, si, size, budget, mask, write: false),
        let (n, target) = fastRunDown(es, di, size, m, mask, write: true)
      else { return (0, false) }
      let below = Int((n &- 1) &* size)
      StringRuns.moveDown(target - below, source - below, Int(n), T.self)
      advance(Register.esi, 0 &- n &* size, mask)
      advance(Register.edi, 0 &- n &* size, mask)
      return (n, false)
    case .compare:
      guard let (m, source) = fastRunDown(segment, si, size, budget, mask, write: false),
        let (n, target) = fastRunDown(es, di, size, m, mask, write: false)
      else { return (0, false) }
      let whileEqual = i.pointee.hasRep
      var a: T = 0
      var b: T = 0
      var done = 0
      repeat {
        let p = 0 &- done &* MemoryLayout<T>.size
        a = source.loadUnaligned(fromByteOffset: p, as: T.self)
        b = target.loadUnaligned(fromByteOffset: p, as: T.self)
        done &+= 1
      } while done < Int(n) && (a == b) == whileEqual
      _ = SubOperation.apply(s, a, b)
      advance(Register.esi, 0 &- UInt32(done) &* size, mask)
      advance(Register.edi, 0 &- UInt32(done) &* size, mask)
      return (UInt32(done), (a == b) != whileEqual)
    }
  }
}

extension CPU {
  /// STOS to video memory that the VGA writes by its registers: as far as the end of the page with one translation.
  /// - Returns: how many units, 0 when it is something else.
  @inline(never)
  func videoFill<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ budget: UInt32, _ mask: UInt32, _ value: T
  ) throws(Fault) -> UInt32 {
    let size = UInt32(MemoryLayout<T>.size)
    let offset = gpr32[Register.edi] & mask
    let cache = segmentPointer(SegmentRegister.es)
    let room = min(cache.pointee.writeLimit, Int64(mask)) &- Int64(offset) &+ 1
    let linear = cache.pointee.base &+ offset
    // Aligned, so that no unit crosses the page or is refused for its alignment.
    if room < Int64(size) || linear & (size &- 1) != 0 || watching || s.pointee.dr7 & 0xFF != 0 {
      return 0
    }
    let physical = try translate(linear, userAccess.union(.write))
    guard (0xA_0000..<0xC_0000).contains(physical),
      !memory.isRAM(page: UInt32(truncatingIfNeeded: physical >> 12))
    else { return 0 }
    let page = Int64(0x1000 &- (linear & 0xFFF))
    let n = UInt32(min(min(room, page) / Int64(size), Int64(budget)))
    for k in 0..<n {
      memory.write(physical &+ UInt64(k &* size), UInt32(truncatingIfNeeded: value), width: size)
    }
    advance(Register.edi, n &* size, mask)
    return n
  }
}

/// Host memory as the string instructions treat it.
enum StringRuns {
  /// Copies `n` units, the lowest first.
  @inline(__always)
  static func move<T: FixedWidthInteger & UnsignedInteger>(
    _ target: UnsafeMutableRawPointer, _ source: UnsafeMutableRawPointer, _ n: Int, _: T.Type
  ) {
    let size = MemoryLayout<T>.size
    let bytes = n &* size
    let distance = target - source
    if distance <= 0 || distance >= bytes {
      target.copyMemory(from: source, byteCount: bytes)
    } else if distance >= size {
      // What is moved first is moved again: the first `distance` bytes repeat.
      target.copyMemory(from: source, byteCount: distance)
      var done = distance
      while done < bytes {
        let more = min(done, bytes &- done)
        (target + done).copyMemory(from: target, byteCount: more)
        done &+= more
      }
    } else {
      for k in 0..<n {
        let p = k &* size
        target.storeBytes(
          of: source.loadUnaligned(fromByteOffset: p, as: T.self), toByteOffset: p, as: T.self)
      }
    }
  }

  /// Copies `n` units, the highest first; the addresses are those of the lowest.
  @inline(__always)
  static func moveDown<T: FixedWidthInteger & UnsignedInteger>(
    _ target: UnsafeMutableRawPointer, _ source: UnsafeMutableRawPointer, _ n: Int, _: T.Type
  ) {
    let size = MemoryLayout<T>.size
    let bytes = n &* size
    let distance = source - target
    if distance <= 0 || distance >= bytes {
      target.copyMemory(from: source, byteCount: bytes)
    } else if distance >= size {
      let end = target + bytes
      (end - distance).copyMemory(from: end, byteCount: distance)
      var done = distance
      while done < bytes {
        let more = min(done, bytes &- done)
        (end - done - more).copyMemory(from: end - more, byteCount: more)
        done &+= more
      }
    } else {
      for k in (0..<n).reversed() {
        let p = k &* size
        target.storeBytes(
          of: source.loadUnaligned(fromByteOffset: p, as: T.self), toByteOffset: p, as: T.self)
      }
    }
  }

  /// Sets `n` units.
  @inline(__always)
  static func fill<T: FixedWidthInteger & UnsignedInteger>(
    _ target: UnsafeMutableRawPointer, _ n: Int, _ value: T
  ) {
    let bytes = n &* MemoryLayout<T>.size
    if value == ones() &* (value & 0xFF) {
      memset(target, Int32(truncatingIfNeeded: value & 0xFF), bytes)
      return
    }
    let pattern = repeated(value)
    var p = 0
    while p &+ 8 <= min(bytes, 64) {
      target.storeBytes(of: pattern, toByteOffset: p, as: UInt64.self)
      p &+= 8
    }
    if p == 64 {
      while p < bytes {
        let more = min(p, bytes &- p)
        (target + p).copyMemory(from: target, byteCount: more)
        p &+= more
      }
    }
    while p < bytes {
      target.storeBytes(of: value, toByteOffset: p, as: T.self)
      p &+= MemoryLayout<T>.size
    }
  }

  /// The unit at which a comparison of `n` units ends.
  @inline(__always)
  static func compare<T: FixedWidthInteger & UnsignedInteger>(
    _ first: UnsafeMutableRawPointer, _ second: UnsafeMutableRawPointer, _ n: Int,
    whileEqual: Bool, _: T.Type
  ) -> Int {
    let size = MemoryLayout<T>.size
    let bytes = n &* size
    @inline(__always) func difference(_ p: Int) -> UInt64 {
      first.loadUnaligned(fromByteOffset: p, as: UInt64.self)
        ^ second.loadUnaligned(fromByteOffset: p, as: UInt64.self)
    }
    // The last unit is looked at in any case: it makes the flags.
    var p = 0
    if whileEqual {
      while p &+ 32 < bytes,
        difference(p) | difference(p &+ 8) | difference(p &+ 16) | difference(p &+ 24) == 0
      {
        p &+= 32
      }
      while p &+ 8 < bytes, difference(p) == 0 { p &+= 8 }
    } else {
      while p &+ 8 < bytes, !hasZero(difference(p), T.self) { p &+= 8 }
    }
    while p &+ size < bytes,
      (first.loadUnaligned(fromByteOffset: p, as: T.self)
        == second.loadUnaligned(fromByteOffset: p, as: T.self)) == whileEqual
    {
      p &+= size
    }
    return p / size
  }

  /// The unit at which a search through `n` units ends.
  @inline(__always)
  static func scan<T: FixedWidthInteger & UnsignedInteger>(
    _ from: UnsafeMutableRawPointer, _ n: Int, _ value: T, whileEqual: Bool
  ) -> Int {
    let size = MemoryLayout<T>.size
    if size == 1 && !whileEqual {
      guard let found = memchr(from, Int32(truncatingIfNeeded: value), n) else { return n &- 1 }
      return found - UnsafeMutableRawPointer(from)
    }
    let bytes = n &* size
    let pattern = repeated(value)
    @inline(__always) func difference(_ p: Int) -> UInt64 {
      from.loadUnaligned(fromByteOffset: p, as: UInt64.self) ^ pattern
    }
    var p = 0
    if whileEqual {
      while p &+ 32 < bytes,
        difference(p) | difference(p &+ 8) | difference(p &+ 16) | difference(p &+ 24) == 0
      {
        p &+= 32
      }
      while p &+ 8 < bytes, difference(p) == 0 { p &+= 8 }
    } else {
      while p &+ 8 < bytes, !hasZero(difference(p), T.self) { p &+= 8 }
    }
    while p &+ size < bytes,
      (from.loadUnaligned(fromByteOffset: p, as: T.self) == value) == whileEqual
    {
      p &+= size
    }
    return p / size
  }

  /// 0101...01h.
  @inline(__always) private static func ones<T: FixedWidthInteger>() -> T {
    T(truncatingIfNeeded: 0x0101_0101 as UInt32)
  }

  /// A unit side by side in 64 bits.
  @inline(__always)
  private static func repeated<T: FixedWidthInteger & UnsignedInteger>(_ value: T) -> UInt64 {
    UInt64(truncatingIfNeeded: value) &* lowBits(T.self)
  }

  /// Bit 0 of each unit in 64 bits.
  @inline(__always)
  private static func lowBits<T: FixedWidthInteger & UnsignedInteger>(_: T.Type) -> UInt64 {
    switch MemoryLayout<T>.size {
    case 1: 0x0101_0101_0101_0101
    case 2: 0x0001_0001_0001_0001
    default: 0x0000_0001_0000_0001
    }
  }

  /// Whether one of the units in 64 bits is zero.
  @inline(__always)
  private static func hasZero<T: FixedWidthInteger & UnsignedInteger>(
    _ x: UInt64, _: T.Type
  ) -> Bool {
    let low = lowBits(T.self)
    return (x &- low) & ~x & (low << UInt64(T.bitWidth - 1)) != 0
  }
}
