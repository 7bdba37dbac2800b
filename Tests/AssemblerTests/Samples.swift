// Each emitter method with chosen operands.
//
// Owns: the samples; what they must become is in Encodings.txt. Must not know: encodings.

import Assembler

enum Samples {
  private static let registers: [HostRegister] = [.rax, .rbx, .rsp, .rdi, .r8, .r12, .r15]
  private static let bytes: [HostRegister] = [.rax, .rbx, .rsi, .r9, .ah, .bh]
  private static let widths: [Width] = [.byte, .word, .long, .quad]

  /// Of all shapes: bases that need SIB or a displacement, indices, scales, displacements of each size, none at all, the window.
  private static let memory: [MemoryOperand] = {
    var window = MemoryOperand(base: .rbx, index: .rsi, scale: 2, displacement: 8)
    window.isWindow = true
    return [
      MemoryOperand(base: .rax), MemoryOperand(base: .rsp), MemoryOperand(base: .rbp),
      MemoryOperand(base: .r12, displacement: -4), MemoryOperand(base: .r13),
      MemoryOperand(base: .r15, displacement: 0x1234),
      MemoryOperand(base: .r9, index: .rcx), MemoryOperand(base: .r14, index: .r9, scale: 3),
      MemoryOperand(base: .rdx, index: .rbp, scale: 1, displacement: -128),
      MemoryOperand(base: nil, index: .rax, scale: 2, displacement: 0x1000),
      MemoryOperand(base: nil, displacement: 0x7654_3210), window,
    ]
  }()
  private static let place = MemoryOperand(base: .r15, displacement: 0x40)

  /// A register of that width that can be named beside any other.
  private static func pairs(_ width: Width) -> [(HostRegister, HostRegister)] {
    let list = width == .byte ? [.rax, .rbx, .rsi, .r9] : registers
    var pairs = list.indices.map { (list[$0], list[($0 + 1) % list.count]) }
    if width == .byte { pairs += [(.ah, .rcx), (.rdx, .bh), (.ch, .dh)] }
    return pairs
  }

  private static func all(_ width: Width) -> [HostRegister] {
    width == .byte ? bytes : registers
  }

  /// Emits all of them.
  static func emit(_ a: Assembler) {
    moves(a)
    arithmetic(a)
    others(a)
    bits(a)
    control(a)
    system(a)
    x87(a)
    simd(a)
  }

  private static func moves(_ a: Assembler) {
    for m in memory { a.mov(.rcx, m) }
    for width in widths {
      for (to, from) in pairs(width) { a.mov(to, from, width) }
      for r in all(width) {
        a.mov(r, MemoryOperand(base: .rbx, displacement: 1), width)
        a.mov(MemoryOperand(base: .rbx, displacement: 1), r, width)
      }
      a.mov(place, 0x12, width)
      a.mov(place, 0xFFFF_FFFE, width)
    }
    for r in bytes { a.mov(r, 0x7F, .byte) }
    for r in registers {
      a.mov(r, 0x1234, .word)
      a.mov(r, 0x89AB_CDEF)
      a.mov64(r, 0x1234_5678_9ABC_DEF0)
      a.mov64(r, 5)
      a.lea(r, MemoryOperand(base: .rbx, index: .rcx, scale: 1, displacement: 3))
      a.lea(r, MemoryOperand(base: .rbx), .quad)
      a.bswap(r)
      a.push(r)
      a.pop(r)
      a.movzx(r, .rcx, .byte)
      a.movzx(r, .rsi, .byte)
      a.movzx(r, .r10, .word)
      a.movzx(r, place, .byte)
      a.movzx(r, place, .word)
      a.movsx(r, .rcx, .byte)
      a.movsx(r, .r10, .word)
      a.movsx(r, place, .byte, to: .word)
      a.movsx(r, place, .word)
    }
    a.movzx(.rcx, .ah, .byte)
    a.movsx(.rcx, .bh, .byte, to: .word)
    a.extend(.rdx, .rbx, signed: true, .byte)
    a.extend(.rdx, place, signed: false, .word)
    for width in widths { for (x, y) in pairs(width) { a.xchg(x, y, width) } }
    a.push(place)
    a.push(0x202)
    for condition in Condition.allCases {
      a.set(condition, .rbx)
      a.cmov(condition, .rcx, .r9)
    }
    for r in bytes { a.set(.o, r) }
    a.cmov(.e, .r8, .rbp, .word)
  }

  private static func arithmetic(_ a: Assembler) {
    for operation in Arithmetic.allCases {
      for width in widths {
        for (to, from) in pairs(width).prefix(operation == .add ? 9 : 2) {
          a.alu(operation, to, from, width)
        }
        // Without extended registers, so that AH can be named.
        let near = MemoryOperand(base: .rbx, displacement: 0x40)
        for r in operation == .add ? all(width) : [.rcx, width == .byte ? .ah : .r9] {
          a.alu(operation, r, near, width)
          a.alu(operation, near, r, width)
          a.alu(operation, r, 5, width)
          a.alu(operation, r, -5, width)
          if width != .byte { a.alu(operation, r, 0x1234, width) }
        }
        a.alu(operation, place, -1, width)
        if width != .byte { a.alu(operation, place, 0x7FFF, width) }
      }
    }
    a.add(.rax, .rbx)
    a.or(.rax, place)
    a.adc(place, .rbx, .word)
    a.sbb(.rax, 1)
    a.and(place, 1, .byte)
    a.sub(.r11, 5)
    a.xor(.rax, .rax)
    a.cmp(.rax, 1, .quad)
    a.subWide(.r11, 3, .quad)
    for width in widths {
      for (x, y) in pairs(width) { a.test(x, y, width) }
      a.test(place, .rcx, width)
      for r in all(width) {
        a.test(r, 0x55, width)
        a.inc(r, width)
        a.dec(r, width)
        a.not(r, width)
        a.neg(r, width)
        a.mul(r, width)
        a.imul(r, width)
        a.div(r, width)
        a.idiv(r, width)
      }
      a.test(place, 0x55, width)
      a.inc(place, width)
      a.dec(place, width)
      a.not(place, width)
      a.neg(place, width)
      a.mul(place, width)
      a.imul(place, width)
      a.div(place, width)
      a.idiv(place, width)
    }
  }

  private static func others(_ a: Assembler) {
    for width in [Width.word, .long, .quad] {
      a.imul(.rcx, .r9, width)
      a.imul(.r9, place, width)
      a.imul(.rcx, .r9, 0x1234, width)
      a.imul(.r9, place, 0x1234, width)
      a.extendAccumulator(to: width)
      a.spreadSign(width)
    }
    for width in widths {
      a.cmpxchg(.rbx, .rcx, width)
      a.cmpxchg(place, .rcx, width)
      a.xadd(.rbx, .r9, width)
      a.xadd(place, .rcx, width)
    }
    a.cmpxchg8b(place)
  }

  private static func bits(_ a: Assembler) {
    for operation in Shift.allCases where operation != .sal {
      for width in widths {
        for r in operation == .rol ? all(width) : [.rcx, width == .byte ? .ah : .r9] {
          a.shift(operation, r, 3, width)
          a.shiftOnce(operation, r, width)
          a.shiftByCL(operation, r, width)
        }
        a.shift(operation, place, 7, width)
        a.shiftByCL(operation, place, width)
      }
    }
    a.shl(.rax, 4)
    a.shr(.rax, 12, .quad)
    a.sar(.rax, 31)
    for width in [Width.word, .long, .quad] {
      for right in [false, true] {
        a.doubleShift(right: right, .rbx, .r9, 5, width)
        a.doubleShift(right: right, place, .rcx, 5, width)
        a.doubleShiftByCL(right: right, .rbx, .r9, width)
        a.doubleShiftByCL(right: right, place, .rcx, width)
      }
      for operation in BitOperation.allCases {
        a.bit(operation, .rbx, .r9, width)
        a.bit(operation, place, .rcx, width)
        a.bit(operation, .r9, 7, width)
        a.bit(operation, place, 7, width)
      }
      a.bsf(.rbx, .r9, width)
      a.bsr(.r9, .rbx, width)
    }
    a.rorx(.r10, .rax, 8)
    a.rorx(.rcx, .r12, 2)
  }

  private static func control(_ a: Assembler) {
    for r in registers {
      a.jmp(r)
      a.call(r)
    }
    a.jmp(place)
    a.call(place)
    a.ret()
    a.lahf()
    a.sahf()
    a.clc()
    a.stc()
    a.cmc()
    a.cld()
    a.pushfq()
    a.popfq()
    for width in widths {
      a.repeated(.movs, width)
      a.repeated(.stos, width)
      a.repeated(.lods, width)
      a.repeated(.cmps, width)
      a.repeated(.cmps, whileDifferent: true, width)
      a.repeated(.scas, width)
      a.repeated(.scas, whileDifferent: true, width)
    }
  }

  private static func system(_ a: Assembler) {
    a.cpuid()
    a.syscall()
    a.iretq()
    a.wrgsbase(.rdi)
    a.wrgsbase(.r9)
    for segment in [HostSegment.es, .ss, .ds, .fs, .gs] {
      a.mov(segment, .rax)
      a.mov(.rcx, segment)
    }
    a.movRAX(fromAddress: 0x1122_3344_5566_7788)
    a.movRAX(toAddress: 0x1122_3344_5566_7788)
    a.fxsave(place)
    a.fxrstor(place)
    a.ldmxcsr(place)
    a.stmxcsr(place)
  }

  private static func x87(_ a: Assembler) {
    for escape in 0..<8 {
      for digit in 0..<8 {
        let i = X87Instruction(escape: escape, digit: digit)
        // Undefined are FLD/FSTP of DB /4, DB /6, D9 /1 and DD /5.
        if ![(1, 1), (3, 4), (3, 6), (5, 5)].contains(where: { $0 == (escape, digit) }) {
          a.x87(i, place)
        }
        if i.hasName(1) { a.x87(i, 1) }
        if i.hasName(2) { a.x87(i, 2) }
      }
    }
    a.fninit()
    a.fincstp()
    a.fdecstp()
    a.fnstswAX()
    a.fstp(0)
    a.fldExtended(place)
    a.fldenv(place)
    a.fldcw(place)
    a.fnstcw(place)
    a.fnstsw(place)
  }

  private static func simd(_ a: Assembler) {
    for opcode in 0x10...0xFF {
      for form in [SIMDInstruction.Form.none, .wide, .single, .double] {
        let i = SIMDInstruction(form, opcode)
        if i.name == "?" { continue }
        let takesImmediate = [0x70, 0xC2, 0xC4, 0xC5, 0xC6].contains(opcode)
        let immediate = takesImmediate ? 1 : nil
        switch opcode {
        case 0x2A where form == .single || form == .double, 0x6E, 0xC4,
          0x7E where form != .single:
          a.simd(i, 3, HostRegister.rcx, immediate: immediate)
          a.simd(i, 3, HostRegister.r12, immediate: immediate)
          a.simd(i, 3, place, immediate: immediate)
        case 0x2C where form == .single || form == .double,
          0x2D where form == .single || form == .double:
          a.simd(i, HostRegister.r12, 5)
          a.simd(i, HostRegister.rcx, place)
        case 0x50, 0xC5, 0xD7: a.simd(i, HostRegister.r12, 5, immediate: immediate)
        case 0xC3: break
        case 0x13, 0x17, 0x2B, 0xE7: a.simd(i, 3, place)
        case 0x12 where form == .wide, 0x16 where form == .wide: a.simd(i, 3, place)
        case 0xD6 where form != .wide: a.simd(i, 3, 5)
        case 0x12, 0x16:
          // Of two registers these have other names.
          a.simd(i, 3, place)
        default:
          a.simd(i, 3, 5, immediate: immediate)
          a.simd(i, 3, place, immediate: immediate)
        }
      }
    }
    for (opcode, digits) in [(0x71, [2, 4, 6]), (0x72, [2, 4, 6]), (0x73, [2, 6])] {
      for digit in digits {
        a.simdShift(SIMDInstruction(.none, opcode), digit: digit, 3, 5)
        a.simdShift(SIMDInstruction(.wide, opcode), digit: digit, 3, 5)
      }
    }
    a.simdShift(SIMDInstruction(.wide, 0x73), digit: 3, 3, 5)
    a.simdShift(SIMDInstruction(.wide, 0x73), digit: 7, 3, 5)
    a.movaps(8, place)
    a.movaps(place, 8)
    a.emms()
  }
}
