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

extension Translator {
  /// In `CPUState.windowFault`: the block was met with x87 exceptions unmasked.
  static let unitFault: UInt64 = 1 << 41
  typealias H = Host64
  private static let movaps = (load: 0x0F28, store: 0x0F29)
  private static let scratch = 8

  /// TEST m8,imm8.
  private func test(_ m: MemoryOperand, _ mask: UInt8) {
    a.rm(0xF6, 1, reg: 0, m)
    a.byte(Int(mask))
  }

  /// Stores those of the units that are loaded. Destroys the flags.
  func emitStoreUnits(_ units: UInt8) {
    var skip = Label()
    test(StateOperand.hostUnits, units)
    a.jump(Condition.z, &skip)
    a.call(toOffset: units == HostUnits.sse ? thunks.storeSSE : thunks.storeAll)
    a.bind(&skip)
  }

  /// After an interpreted instruction: the x87 does not stay loaded when it is not available any more.
  func emitDropUnits() {
    var skip = Label()
    test(StateOperand.cr0, UInt8(CR0.em | CR0.ts))
    a.jump(Condition.z, &skip)
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
      a.jump(Condition.z, &skip)
      a.call(toOffset: thunk)
      a.bind(&skip)
    }
    a.byte(0xC3)
    emitLoadX87()
    emitLoadSSE()
    emitTranscendentals()
  }

  private func emitStoreX87() {
    thunks.storeX87 = a.position
    a.byte(0x50)
    a.byte(0x51)
    a.rm(0x0FAE, 4, reg: 0, StateOperand.image(0))
    // FNINIT
    a.byte(0xDB)
    a.byte(0xE3)
    a.rm(0x0FB7, 4, reg: H.rax, StateOperand.image(0))
    a.store(StateOperand.fpuControl, H.rax, 2)
    a.rm(0x0FB7, 4, reg: H.rax, StateOperand.image(2))
    a.move(H.rcx, H.rax)
    a.arithmetic(4, H.rax, immediate: 0xC7FF)
    a.store(StateOperand.fpuStatus, H.rax, 2)
    a.rr(0xC1, 4, reg: 5, rm: H.rcx)
    a.byte(11)
    a.arithmetic(4, H.rcx, immediate: 7)
    a.store(StateOperand.fpuTop, H.rcx, 1)
    a.load(H.rax, StateOperand.image(4))
    a.rr(0xF7, 4, reg: 2, rm: H.rax)
    a.store(StateOperand.fpuEmpty, H.rax, 1)
    // ST(i) to its physical register.
    a.rr(0xC1, 4, reg: 4, rm: H.rcx)
    a.byte(4)
    for n in 0..<8 {
      a.rm(Self.movaps.load, 4, reg: Self.scratch, StateOperand.image(32 + 16 * n))
      a.rm(Self.movaps.store, 4, reg: Self.scratch, register(at: H.rcx))
      if n < 7 {
        a.arithmetic(0, H.rcx, immediate: 16)
        a.arithmetic(4, H.rcx, immediate: 0x70)
      }
    }
    a.arithmetic(
      4, StateOperand.hostUnits, immediate: Int32(~(HostUnits.x87 | HostUnits.x87Loaded)), 1)
    a.byte(0x59)
    a.byte(0x58)
    a.byte(0xC3)
  }

  /// The physical register at 16 times the number in a host register.
  private func register(at index: Int) -> MemoryOperand {
    MemoryOperand(base: H.r15, index: index, displacement: Int32(CPU.fpuOffset))
  }

  private func emitLoadX87() {
    var fail = Label()
    var unmasked = Label()
    thunks.loadX87 = a.position
    test(StateOperand.hostUnits, HostUnits.x87Loaded)
    a.jump(Condition.nz, &unmasked)
    a.load(H.r8, StateOperand.fpuControl)
    a.rr(0xF7, 4, reg: 2, rm: H.r8)
    a.rr(0xF6, 1, reg: 0, rm: H.r8)
    a.byte(0x3F)
    a.jump(Condition.nz, &unmasked)
    thunks.loadX87Any = a.position
    test(StateOperand.cr0, UInt8(CR0.em | CR0.ts))
    a.jump(Condition.nz, &fail)
    a.rm(0x0FB7, 4, reg: H.r8, StateOperand.fpuStatus)
    // What is pending is reported by the interpreter.
    a.rr(0xF6, 1, reg: 0, rm: H.r8)
    a.byte(0x80)
    a.jump(Condition.nz, &fail)
    a.rm(0x0FB7, 4, reg: H.r9, StateOperand.fpuControl)
    a.store(StateOperand.image(0), H.r9, 2)
    a.rm(0x0FB6, 4, reg: H.r9, StateOperand.fpuTop)
    a.arithmetic(4, H.r9, immediate: 7)
    a.move(H.r10, H.r9)
    a.rr(0xC1, 4, reg: 4, rm: H.r10)
    a.byte(11)
    a.rr(0x09, 4, reg: H.r10, rm: H.r8)
    a.store(StateOperand.image(2), H.r8, 2)
    a.rm(0x0FB6, 4, reg: H.r8, StateOperand.fpuEmpty)
    a.arithmetic(6, H.r8, immediate: 0xFF)
    a.store(StateOperand.image(4), H.r8)
    a.rr(0xC1, 4, reg: 4, rm: H.r9)
    a.byte(4)
    for n in 0..<8 {
      a.rm(Self.movaps.load, 4, reg: Self.scratch, register(at: H.r9))
      a.rm(Self.movaps.store, 4, reg: Self.scratch, StateOperand.image(32 + 16 * n))
      if n < 7 {
        a.arithmetic(0, H.r9, immediate: 16)
        a.arithmetic(4, H.r9, immediate: 0x70)
      }
    }
    // FXRSTOR loads the XMM registers and MXCSR too.
    a.rm(0x0FAE, 4, reg: 3, StateOperand.image(24))
    var plain = Label()
    test(StateOperand.hostUnits, HostUnits.sse)
    a.jump(Condition.z, &plain)
    for n in 0..<8 { a.rm(Self.movaps.store, 4, reg: n, StateOperand.image(160 + 16 * n)) }
    a.bind(&plain)
    a.rm(0x0FAE, 4, reg: 1, StateOperand.image(0))
    a.arithmetic(1, StateOperand.hostUnits, immediate: Int32(HostUnits.x87Loaded), 1)
    a.load(H.r8, StateOperand.image(0))
    emitNoteMasks(H.r8)
    finishLoad(&fail)
    a.bind(&unmasked)
    a.move(H.r8, immediate: 2)
    a.byte(0xC3)
  }

  /// Notes whether the control word in a register masks all exceptions. Destroys the register and the flags.
  func emitNoteMasks(_ register: Int) {
    var skip = Label()
    a.arithmetic(4, StateOperand.hostUnits, immediate: Int32(~HostUnits.x87), 1)
    a.rr(0xF7, 4, reg: 2, rm: register)
    a.rr(0xF6, 1, reg: 0, rm: register)
    a.byte(0x3F)
    a.jump(Condition.nz, &skip)
    a.arithmetic(1, StateOperand.hostUnits, immediate: Int32(HostUnits.x87), 1)
    a.bind(&skip)
  }

  private func finishLoad(_ fail: inout Label) {
    a.move(H.r8, immediate: 1)
    a.byte(0xC3)
    a.bind(&fail)
    a.rr(0x31, 4, reg: H.r8, rm: H.r8)
    a.byte(0xC3)
  }

  private func emitStoreSSE() {
    thunks.storeSSE = a.position
    for n in 0..<8 { a.rm(Self.movaps.store, 4, reg: n, StateOperand.xmm(n)) }
    a.rm(0x0FAE, 4, reg: 3, StateOperand.mxcsr)
    a.rm(0x0FAE, 4, reg: 2, StateOperand.hostMXCSR)
    a.arithmetic(4, StateOperand.hostUnits, immediate: Int32(~HostUnits.sse), 1)
    a.byte(0xC3)
  }

  private func emitLoadSSE() {
    thunks.loadSSE = a.position
    var fail = Label()
    test(StateOperand.cr0, UInt8(CR0.em | CR0.ts))
    a.jump(Condition.nz, &fail)
    a.load(H.r8, StateOperand.cr4)
    a.rr(0xF7, 4, reg: 0, rm: H.r8)
    a.word32(Int(CR4.osfxsr))
    a.jump(Condition.z, &fail)
    a.load(H.r8, StateOperand.mxcsr)
    a.rr(0xF7, 4, reg: 2, rm: H.r8)
    a.rr(0xF7, 4, reg: 0, rm: H.r8)
    a.word32(0x1F80)
    a.jump(Condition.nz, &fail)
    a.rm(0x0FAE, 4, reg: 2, StateOperand.mxcsr)
    for n in 0..<8 { a.rm(Self.movaps.load, 4, reg: n, StateOperand.xmm(n)) }
    a.arithmetic(1, StateOperand.hostUnits, immediate: Int32(HostUnits.sse), 1)
    finishLoad(&fail)
  }

  /// The thunks around those that call the interpreter.
  func emitUnitInterpretThunks() {
    for ends in [false, true] {
      let target = ends ? interpretEndAt : interpretAt
      if ends { thunks.interpretUnitEnd = a.position } else { thunks.interpretUnit = a.position }
      test(StateOperand.hostUnits, HostUnits.x87Loaded)
      a.jump(Condition.z, toOffset: target)
      a.call(toOffset: thunks.storeX87)
      a.jump(toOffset: target)
    }
    thunks.interpretRest = a.position
    storeRegisters()
    emitStoreUnits(HostUnits.x87Loaded | HostUnits.sse)
    let loop = a.position
    for r in 8...10 {
      a.byte(0x41)
      a.byte(0x50 | r & 7)
    }
    a.arithmetic(5, H.rsp, immediate: 8, 8)
    callInterpreterStored()
    a.arithmetic(0, H.rsp, immediate: 8, 8)
    for r in (8...10).reversed() {
      a.byte(0x41)
      a.byte(0x58 | r & 7)
    }
    var leaves = Label()
    a.rr(0x85, 8, reg: H.rax, rm: H.rax)
    a.jump(Condition.nz, &leaves)
    a.arithmetic(0, H.r8, immediate: Int32(MemoryLayout<Instruction>.stride), 8)
    a.arithmetic(5, H.r9, immediate: 1)
    a.jump(Condition.nz, toOffset: loop)
    a.move(H.r8, immediate: UInt32(CodeExit.plain))
    a.jump(toOffset: leaveStoredAt)
    a.bind(&leaves)
    dispatchResult()
  }
}
