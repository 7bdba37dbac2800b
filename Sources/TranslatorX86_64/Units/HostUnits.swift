// The guest's x87, MMX and SSE registers in the host's own units: moving them there and back.
//
// Owns: the thunks that load and store the units, and the ways to the interpreter for what needs the registers in memory.
// Must not know: single instructions.
// Follows: Intel SDM volume 1, section 10.5 (FXSAVE image); System V AMD64 ABI (x87 empty, default MXCSR for code called).
//
// The units are loaded when a block first uses them and stay loaded across blocks. They are stored when translated code is left. The
// interpreter gets XMM registers and MXCSR back in memory for every instruction, because Swift code uses them itself; the x87, which it
// does not use, only for x87 and SIMD instructions. They are loaded only while the instructions are available (CR0, CR4) and all SSE
// exceptions masked, so no instruction needs to look at that: what changes it is interpreted. Blocks met with x87 exceptions unmasked
// look for one after each instruction, other blocks use the x87 only while all are masked.

import Assembler
import CPU

/// Offsets of the thunks in the code buffer.
struct UnitThunks {
  /// Load a unit; R8D is 1 when that is done, 2 when unmasked exceptions forbid it, 0 when something else does. Destroy R8 to R10,
  /// XMM8 and the flags.
  var loadX87 = 0
  /// The same with exceptions unmasked or not.
  var loadX87Any = 0
  var loadSSE = 0
  /// Store a unit that is loaded. Destroy XMM8 and the flags.
  var storeX87 = 0
  var storeSSE = 0
  var storeAll = 0
  /// `interpretAt` and `interpretEndAt` for instructions that use the units.
  var interpretUnit = 0
  var interpretUnitEnd = 0
  /// Transcendental functions by shape (HostTranscendentals).
  var transcendentals = [0, 0, 0]
  /// Interprets the rest of a block: R8 record, R9D how many, R10D EIP of the block. Jumped to; the flags are in memory.
  var interpretRest = 0
}

extension StateOperand {
  static let hostUnits = field(MemoryLayout<CPUState>.offset(of: \.hostUnits))
  static let cr0 = field(MemoryLayout<CPUState>.offset(of: \.cr0))
  static let cr4 = field(MemoryLayout<CPUState>.offset(of: \.cr4))
  static func selector(_ n: Int) -> MemoryOperand {
    segment(n, MemoryLayout<SegmentCache>.offset(of: \.selector))
  }
  static func fpu(_ offset: Int?) -> MemoryOperand {
    field(CPU.fpuOffset + offset.unsafelyUnwrapped)
  }
  static let fpuControl = fpu(MemoryLayout<FPUState>.offset(of: \.cw))
  static let fpuStatus = fpu(MemoryLayout<FPUState>.offset(of: \.sw))
  static let fpuTop = fpu(MemoryLayout<FPUState>.offset(of: \.top))
  static let fpuEmpty = fpu(MemoryLayout<FPUState>.offset(of: \.empty))
  static let fpuOpcode = fpu(MemoryLayout<FPUState>.offset(of: \.fop))
  static let fpuIP = fpu(MemoryLayout<FPUState>.offset(of: \.fip))
  static let fpuCS = fpu(MemoryLayout<FPUState>.offset(of: \.fcs))
  static let fpuDP = fpu(MemoryLayout<FPUState>.offset(of: \.fdp))
  static let fpuDS = fpu(MemoryLayout<FPUState>.offset(of: \.fds))
  static let mxcsr = fpu(MemoryLayout<FPUState>.offset(of: \.mxcsr))
  static func xmm(_ n: Int) -> MemoryOperand {
    fpu(MemoryLayout<FPUState>.offset(of: \.xmm).unsafelyUnwrapped + 16 * n)
  }
  /// The FXSAVE image through which the x87 is moved.
  static func image(_ offset: Int) -> MemoryOperand { field(CPU.unitScratchOffset + offset) }
  /// A scratch word, and the MXCSR that Swift code expects.
  static let unitScratch = field(CPU.unitScratchOffset + 512)
  static let hostMXCSR = field(CPU.unitScratchOffset + 516)
}

extension X86Backend {
  private static let scratch = 8

  /// TEST m8,imm8.
  private func test(_ m: MemoryOperand, _ mask: UInt8) {
    a.test(m, UInt32(mask), .byte)
  }

  /// Stores those of the units that are loaded. Destroys the flags.
  func emitStoreUnits(_ units: UInt8) {
    var skip = Label()
    test(StateOperand.hostUnits, units)
    a.j(.e, &skip)
    a.call(toOffset: units == HostUnits.sse ? thunks.storeSSE : thunks.storeAll)
    a.bind(&skip)
  }

  /// After an interpreted instruction: the x87 does not stay loaded when it is not available any more.
  func emitDropUnits() {
    var skip = Label()
    test(StateOperand.cr0, UInt8(CR0.em | CR0.ts))
    a.j(.e, &skip)
    emitStoreUnits(HostUnits.x87Loaded | HostUnits.sse)
    a.bind(&skip)
  }

  /// The thunks that nothing else has to stand before.
  func emitUnitThunks() {
    UnsafeMutableRawPointer(cpu.s).storeBytes(
      of: 0x1F80, toByteOffset: Int(StateOperand.hostMXCSR.displacement), as: UInt32.self)
    emitStoreX87()
    emitStoreSSE()
    thunks.storeAll = a.position
    for (unit, thunk) in [(HostUnits.x87Loaded, thunks.storeX87), (HostUnits.sse, thunks.storeSSE)]
    {
      var skip = Label()
      test(StateOperand.hostUnits, unit)
      a.j(.e, &skip)
      a.call(toOffset: thunk)
      a.bind(&skip)
    }
    a.ret()
    emitLoadX87()
    emitLoadSSE()
    emitTranscendentals()
  }

  private func emitStoreX87() {
    thunks.storeX87 = a.position
    a.push(.rax)
    a.push(.rcx)
    a.fxsave(StateOperand.image(0))
    a.fninit()
    a.movzx(.rax, StateOperand.image(0), .word)
    a.mov(StateOperand.fpuControl, .rax, .word)
    a.movzx(.rax, StateOperand.image(2), .word)
    a.mov(.rcx, .rax)
    a.and(.rax, 0xC7FF)
    a.mov(StateOperand.fpuStatus, .rax, .word)
    a.shr(.rcx, 11)
    a.and(.rcx, 7)
    a.mov(StateOperand.fpuTop, .rcx, .byte)
    a.mov(.rax, StateOperand.image(4))
    a.not(.rax)
    a.mov(StateOperand.fpuEmpty, .rax, .byte)
    // ST(i) to its physical register.
    a.shl(.rcx, 4)
    for n in 0..<8 {
      a.movaps(Self.scratch, StateOperand.image(32 + 16 * n))
      a.movaps(register(at: .rcx), Self.scratch)
      if n < 7 {
        a.add(.rcx, 16)
        a.and(.rcx, 0x70)
      }
    }
    a.and(StateOperand.hostUnits, Int32(~(HostUnits.x87 | HostUnits.x87Loaded)), .byte)
    a.pop(.rcx)
    a.pop(.rax)
    a.ret()
  }

  /// The physical register at 16 times the number in a host register.
  private func register(at index: HostRegister) -> MemoryOperand {
    MemoryOperand(base: .r15, index: index, displacement: Int32(CPU.fpuOffset))
  }

  private func emitLoadX87() {
    var fail = Label()
    var unmasked = Label()
    thunks.loadX87 = a.position
    test(StateOperand.hostUnits, HostUnits.x87Loaded)
    a.j(.ne, &unmasked)
    a.mov(.r8, StateOperand.fpuControl)
    a.not(.r8)
    a.test(.r8, 0x3F, .byte)
    a.j(.ne, &unmasked)
    thunks.loadX87Any = a.position
    test(StateOperand.cr0, UInt8(CR0.em | CR0.ts))
    a.j(.ne, &fail)
    a.movzx(.r8, StateOperand.fpuStatus, .word)
    // What is pending is reported by the interpreter.
    a.test(.r8, 0x80, .byte)
    a.j(.ne, &fail)
    a.movzx(.r9, StateOperand.fpuControl, .word)
    a.mov(StateOperand.image(0), .r9, .word)
    a.movzx(.r9, StateOperand.fpuTop, .byte)
    a.and(.r9, 7)
    a.mov(.r10, .r9)
    a.shl(.r10, 11)
    a.or(.r8, .r10)
    a.mov(StateOperand.image(2), .r8, .word)
    a.movzx(.r8, StateOperand.fpuEmpty, .byte)
    a.xor(.r8, 0xFF)
    a.mov(StateOperand.image(4), .r8)
    a.shl(.r9, 4)
    for n in 0..<8 {
      a.movaps(Self.scratch, register(at: .r9))
      a.movaps(StateOperand.image(32 + 16 * n), Self.scratch)
      if n < 7 {
        a.add(.r9, 16)
        a.and(.r9, 0x70)
      }
    }
    // FXRSTOR loads the XMM registers and MXCSR too.
    a.stmxcsr(StateOperand.image(24))
    var plain = Label()
    test(StateOperand.hostUnits, HostUnits.sse)
    a.j(.e, &plain)
    for n in 0..<8 { a.movaps(StateOperand.image(160 + 16 * n), n) }
    a.bind(&plain)
    a.fxrstor(StateOperand.image(0))
    a.or(StateOperand.hostUnits, Int32(HostUnits.x87Loaded), .byte)
    a.mov(.r8, StateOperand.image(0))
    emitNoteMasks(.r8)
    finishLoad(&fail)
    a.bind(&unmasked)
    a.mov(.r8, 2)
    a.ret()
  }

  /// Notes whether the control word in a register masks all exceptions. Destroys the register and the flags.
  func emitNoteMasks(_ register: HostRegister) {
    var skip = Label()
    a.and(StateOperand.hostUnits, Int32(~HostUnits.x87), .byte)
    a.not(register)
    a.test(register, 0x3F, .byte)
    a.j(.ne, &skip)
    a.or(StateOperand.hostUnits, Int32(HostUnits.x87), .byte)
    a.bind(&skip)
  }

  private func finishLoad(_ fail: inout Label) {
    a.mov(.r8, 1)
    a.ret()
    a.bind(&fail)
    a.xor(.r8, .r8)
    a.ret()
  }

  private func emitStoreSSE() {
    thunks.storeSSE = a.position
    for n in 0..<8 { a.movaps(StateOperand.xmm(n), n) }
    a.stmxcsr(StateOperand.mxcsr)
    a.ldmxcsr(StateOperand.hostMXCSR)
    a.and(StateOperand.hostUnits, Int32(~HostUnits.sse), .byte)
    a.ret()
  }

  private func emitLoadSSE() {
    thunks.loadSSE = a.position
    var fail = Label()
    test(StateOperand.cr0, UInt8(CR0.em | CR0.ts))
    a.j(.ne, &fail)
    a.mov(.r8, StateOperand.cr4)
    a.test(.r8, CR4.osfxsr)
    a.j(.e, &fail)
    a.mov(.r8, StateOperand.mxcsr)
    a.not(.r8)
    a.test(.r8, 0x1F80)
    a.j(.ne, &fail)
    a.ldmxcsr(StateOperand.mxcsr)
    for n in 0..<8 { a.movaps(n, StateOperand.xmm(n)) }
    a.or(StateOperand.hostUnits, Int32(HostUnits.sse), .byte)
    finishLoad(&fail)
  }

  /// The thunks around those that call the interpreter.
  func emitUnitInterpretThunks() {
    for ends in [false, true] {
      let target = ends ? interpretEndAt : interpretAt
      if ends { thunks.interpretUnitEnd = a.position } else { thunks.interpretUnit = a.position }
      test(StateOperand.hostUnits, HostUnits.x87Loaded)
      a.j(.e, toOffset: target)
      a.call(toOffset: thunks.storeX87)
      a.jmp(toOffset: target)
    }
    thunks.interpretRest = a.position
    storeRegisters()
    emitStoreUnits(HostUnits.x87Loaded | HostUnits.sse)
    let loop = a.position
    for r in [HostRegister.r8, .r9, .r10] { a.push(r) }
    a.sub(.rsp, 8, .quad)
    callInterpreterStored()
    a.add(.rsp, 8, .quad)
    for r in [HostRegister.r10, .r9, .r8] { a.pop(r) }
    var leaves = Label()
    a.test(.rax, .rax, .quad)
    a.j(.ne, &leaves)
    a.add(.r8, Int32(MemoryLayout<Instruction>.stride), .quad)
    a.sub(.r9, 1)
    a.j(.ne, toOffset: loop)
    a.mov(.r8, UInt32(CodeExit.plain))
    a.jmp(toOffset: leaveStoredAt)
    a.bind(&leaves)
    dispatchResult()
  }
}
