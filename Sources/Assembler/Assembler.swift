// An emitter of x86-64 machine code.
//
// Owns: encodings: prefixes, REX, ModRM, SIB, displacements, labels within one buffer. Must not know: what the code is for.
// Follows: Intel SDM volume 2, chapter 2 (instruction format) and appendix A.

/// Numbers of the host's registers.
public enum Host64 {
  public static let rax = 0
  public static let rcx = 1
  public static let rdx = 2
  public static let rbx = 3
  public static let rsp = 4
  public static let rbp = 5
  public static let rsi = 6
  public static let rdi = 7
  public static let r8 = 8
  public static let r9 = 9
  public static let r10 = 10
  public static let r11 = 11
  public static let r12 = 12
  public static let r13 = 13
  public static let r14 = 14
  public static let r15 = 15
}

/// Condition codes as in Jcc, SETcc and CMOVcc.
public enum Condition {
  public static let o = 0
  public static let no = 1
  public static let b = 2
  public static let ae = 3
  public static let z = 4
  public static let nz = 5
  public static let be = 6
  public static let a = 7
  public static let s = 8
  public static let ns = 9
  public static let p = 10
  public static let np = 11
  public static let l = 12
  public static let ge = 13
  public static let le = 14
  public static let g = 15
}

/// A memory operand.
public struct MemoryOperand: Equatable, Sendable {
  /// Base register, or -1.
  public var base: Int
  /// Index register, or -1; never RSP.
  public var index: Int
  /// Shift of the index, 0 to 3.
  public var scale: Int
  public var displacement: Int32
  /// A GS override and a 32-bit address size: offsets into a window.
  public var isWindow = false

  public init(base: Int, index: Int = -1, scale: Int = 0, displacement: Int32 = 0) {
    self.base = base
    self.index = index
    self.scale = scale
    self.displacement = displacement
  }
}

/// A place in the code that a jump names before it is known.
public struct Label: Sendable {
  /// Offset of the target, or -1.
  var target = -1
  /// Offsets of 32-bit displacements that wait for it; chained through the places themselves.
  var pending = -1

  public init() {}

  /// The offset it was bound to, or -1.
  public var offset: Int { target }
}

/// Writes instructions one after the other into a buffer.
public final class Assembler {
  /// The writable mapping.
  public let buffer: UnsafeMutablePointer<UInt8>
  public let capacity: Int
  /// Offsets of instructions that reach the window, each with `windowTag` as it was.
  public var windowSites: [(offset: Int, tag: Int)] = []
  public var windowTag = 0
  /// Offset of the next byte.
  public var position = 0

  public init(buffer: UnsafeMutableRawPointer, capacity: Int) {
    self.buffer = buffer.assumingMemoryBound(to: UInt8.self)
    self.capacity = capacity
  }

  // MARK: - Bytes

  @inline(__always) public func byte(_ value: Int) {
    buffer[position] = UInt8(truncatingIfNeeded: value)
    position &+= 1
  }

  @inline(__always) public func word32(_ value: Int) {
    UnsafeMutableRawPointer(buffer + position).storeBytes(
      of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
    position &+= 4
  }

  @inline(__always) public func word64(_ value: UInt64) {
    UnsafeMutableRawPointer(buffer + position).storeBytes(of: value, as: UInt64.self)
    position &+= 8
  }

  /// Writes a 32-bit value at an earlier offset.
  public func patch32(_ offset: Int, _ value: Int) {
    UnsafeMutableRawPointer(buffer + offset).storeBytes(
      of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
  }

  /// Reads a 32-bit value at an earlier offset.
  public func read32(_ offset: Int) -> Int {
    Int(UnsafeRawPointer(buffer + offset).loadUnaligned(as: Int32.self))
  }

  // MARK: - Labels

  /// The label stands here.
  public func bind(_ label: inout Label) {
    label.target = position
    var p = label.pending
    while p >= 0 {
      let next = read32(p)
      patch32(p, position - (p + 4))
      p = next
    }
    label.pending = -1
  }

  private func reference(_ label: inout Label) {
    if label.target >= 0 {
      word32(label.target - (position + 4))
    } else {
      let at = position
      word32(label.pending)
      label.pending = at
    }
  }

  /// JMP rel32.
  public func jump(_ label: inout Label) {
    byte(0xE9)
    reference(&label)
  }

  /// Jcc rel32.
  public func jump(_ condition: Int, _ label: inout Label) {
    byte(0x0F)
    byte(0x80 | condition)
    reference(&label)
  }

  /// JMP rel32 to an offset in the buffer.
  public func jump(toOffset target: Int) {
    byte(0xE9)
    word32(target - (position + 4))
  }

  /// Jcc rel32 to an offset in the buffer.
  public func jump(_ condition: Int, toOffset target: Int) {
    byte(0x0F)
    byte(0x80 | condition)
    word32(target - (position + 4))
  }

  /// CALL rel32 to an offset in the buffer.
  public func call(toOffset target: Int) {
    byte(0xE8)
    word32(target - (position + 4))
  }

  // MARK: - Encoding

  @inline(__always)
  private func opcode(_ op: Int) {
    if op > 0xFFFF { byte(op >> 16) }
    if op > 0xFF { byte(op >> 8 & 0xFF) }
    byte(op & 0xFF)
  }

  /// An instruction with ModRM and two registers. `op` is an opcode, 0Fxx for the two-byte map; with a mandatory prefix give it in `prefix`.
  /// - Parameter size: 1, 2, 4 or 8 bytes. Byte registers 4 to 7 are AH, CH, DH, BH, which exist only together with registers below 8.
  public func rr(_ op: Int, _ size: Int, reg: Int, rm: Int, prefix: Int = 0) {
    if size == 2 { byte(0x66) }
    if prefix != 0 { byte(prefix) }
    let rex = (size == 8 ? 8 : 0) | (reg >> 3) << 2 | rm >> 3
    if rex != 0 { byte(0x40 | rex) }
    opcode(op)
    byte(0xC0 | (reg & 7) << 3 | rm & 7)
  }

  /// An instruction with ModRM, a register and memory.
  public func rm(_ op: Int, _ size: Int, reg: Int, _ m: MemoryOperand, prefix: Int = 0) {
    if m.isWindow {
      windowSites.append((position, windowTag))
      byte(0x65)
      byte(0x67)
    }
    if size == 2 { byte(0x66) }
    if prefix != 0 { byte(prefix) }
    let rex =
      (size == 8 ? 8 : 0) | (reg >> 3) << 2 | (m.index > 7 ? 2 : 0) | (m.base > 7 ? 1 : 0)
    if rex != 0 { byte(0x40 | rex) }
    opcode(op)
    let r = (reg & 7) << 3
    let d = m.displacement
    if m.base < 0 {
      // No base: SIB with base 5 and mod 0.
      byte(r | 4)
      byte(m.scale << 6 | (m.index < 0 ? 4 : m.index & 7) << 3 | 5)
      word32(Int(d))
      return
    }
    let b = m.base & 7
    let mod: Int
    if d == 0 && b != 5 {
      mod = 0
    } else if d >= -128 && d <= 127 {
      mod = 0x40
    } else {
      mod = 0x80
    }
    if m.index >= 0 {
      byte(mod | r | 4)
      byte(m.scale << 6 | (m.index & 7) << 3 | b)
    } else if b == 4 {
      byte(mod | r | 4)
      byte(0x24)
    } else {
      byte(mod | r | b)
    }
    if mod == 0x40 { byte(Int(d)) } else if mod == 0x80 { word32(Int(d)) }
  }

  /// An immediate of the operand's size, at most 32 bits.
  public func immediate(_ value: UInt32, _ size: Int) {
    switch size {
    case 1: byte(Int(value & 0xFF))
    case 2:
      byte(Int(value & 0xFF))
      byte(Int(value >> 8 & 0xFF))
    default: word32(Int(value))
    }
  }

  // MARK: - Often used instructions

  public func move(_ to: Int, _ from: Int, _ size: Int = 4) {
    rr(size == 1 ? 0x88 : 0x89, size, reg: from, rm: to)
  }
  public func load(_ to: Int, _ m: MemoryOperand, _ size: Int = 4) {
    rm(size == 1 ? 0x8A : 0x8B, size, reg: to, m)
  }
  public func store(_ m: MemoryOperand, _ from: Int, _ size: Int = 4) {
    rm(size == 1 ? 0x88 : 0x89, size, reg: from, m)
  }
  public func lea(_ to: Int, _ m: MemoryOperand, _ size: Int = 4) { rm(0x8D, size, reg: to, m) }

  /// MOV r32,imm32.
  public func move(_ to: Int, immediate value: UInt32) {
    if to > 7 { byte(0x41) }
    byte(0xB8 | to & 7)
    word32(Int(value))
  }

  /// MOV r64,imm64, or shorter where it fits.
  public func move64(_ to: Int, immediate value: UInt64) {
    if value <= 0xFFFF_FFFF {
      move(to, immediate: UInt32(value))
      return
    }
    byte(to > 7 ? 0x49 : 0x48)
    byte(0xB8 | to & 7)
    word64(value)
  }

  /// MOV m32,imm32 (or a smaller size).
  public func store(_ m: MemoryOperand, immediate value: UInt32, _ size: Int = 4) {
    rm(size == 1 ? 0xC6 : 0xC7, size, reg: 0, m)
    immediate(value, size)
  }

  /// A group-1 operation (0 ADD, 1 OR, 2 ADC, 3 SBB, 4 AND, 5 SUB, 6 XOR, 7 CMP) with an immediate.
  public func arithmetic(_ operation: Int, _ to: Int, immediate value: Int32, _ size: Int = 4) {
    if size == 1 {
      rr(0x80, 1, reg: operation, rm: to)
      byte(Int(value))
    } else if value >= -128 && value <= 127 {
      rr(0x83, size, reg: operation, rm: to)
      byte(Int(value))
    } else {
      rr(0x81, size, reg: operation, rm: to)
      immediate(UInt32(bitPattern: value), size)
    }
  }

  public func arithmetic(_ operation: Int, _ m: MemoryOperand, immediate value: Int32, _ size: Int)
  {
    if size == 1 {
      rm(0x80, 1, reg: operation, m)
      byte(Int(value))
    } else if value >= -128 && value <= 127 {
      rm(0x83, size, reg: operation, m)
      byte(Int(value))
    } else {
      rm(0x81, size, reg: operation, m)
      immediate(UInt32(bitPattern: value), size)
    }
  }

  /// RORX r32,r32,imm8: a rotation that leaves the flags.
  public func rorx(_ to: Int, _ from: Int, _ count: Int) {
    // VEX.LZ.F2.0F3A.W0 F0 /r ib
    byte(0xC4)
    byte((to < 8 ? 0x80 : 0) | 0x40 | (from < 8 ? 0x20 : 0) | 3)
    byte(0x7B)
    byte(0xF0)
    byte(0xC0 | (to & 7) << 3 | from & 7)
    byte(count)
  }
}
