// Every x87 instruction as the hosts' own x87 carries it out: result bits, stack, status word with C1, memory. What was agreed upon is
// kept as digests, so that no test depends on this host's processor.
//
// Owns: which instructions are run with which operands, and which bits the manual leaves undefined.
// Must not know: the arithmetic.

#if os(Linux) && arch(x86_64)
  import TestSupport
  import Testing

  @testable import CPU

  /// What one comparison looks at.
  private struct Plan {
    var name: String
    var opcode: UInt8
    var modrm: UInt8
    /// Condition codes the manual defines after the instruction.
    var conditions: UInt16 = FPUStatus.c1
    /// Differences of the significand allowed (transcendental instructions).
    var ulps: UInt64 = 0
    /// Bytes of memory written.
    var writes = 0
    /// Bytes of memory read, and the format.
    var reads: Operand = .none
    /// Range of operands (random encodings otherwise).
    var operands: Operands = .any
  }

  private enum Operand { case none, single, double, integer, decimal, extended, control }
  private enum Operands { case any, moderate, unit, remainder }

  /// Two machines in lockstep.
  private struct Comparison {
    let host: HostX87
    let machine: Machine
    var random: Random
    var digest = Digest()
    /// Cases in which a result differs within the allowance, and the largest difference.
    var inexact = 0
    var largest: UInt64 = 0

    private static let allConditions = FPUStatus.conditions

    mutating func operand(_ plan: Plan, _ n: Int) -> Float80Bits {
      var value = random.anyValue()
      switch plan.operands {
      case .any: break
      case .moderate:
        if !random.oneIn(8) {
          value = Float80Bits(
            signExponent: value.signExponent & 0x8000 | UInt16(0x3FFF - 12 + random.below(20)),
            significand: random.significand())
        }
      case .unit:
        if n == 0 && !random.oneIn(8) {
          value = Float80Bits(
            signExponent: value.signExponent & 0x8000 | UInt16(0x3FFE - random.below(10)),
            significand: random.significand())
        }
      case .remainder:
        if n == 1 && !random.oneIn(8) {
          value = Float80Bits(
            signExponent: value.signExponent & 0x8000 | UInt16(0x3FFF - 70 + random.below(140)),
            significand: random.significand())
        }
      }
      return value
    }

    /// Fills the host's image and the machine with the same state.
    mutating func prepare(_ plan: Plan) {
      let top = random.below(8)
      var control = UInt16(0x40 | random.below(4) << 10 | 0x3F)
      control |= [0, 2, 3, 3, 3, 1][random.below(6)] << 8
      if random.oneIn(3) { control &= ~UInt16(random.below(64)) }
      var empty: UInt8 = 0
      // ST(7) is usually free.
      if !random.oneIn(8) { empty |= 1 << UInt8((top + 7) & 7) }
      if random.oneIn(16) { empty |= UInt8(random.below(256)) }
      // Old exceptions stay; unmasked ones would be pending.
      var sw = UInt16(truncatingIfNeeded: random.next()) & Self.allConditions
      if random.oneIn(4) { sw |= UInt16(random.below(64)) & control & 0x3F }
      let fpu = machine.fpu
      fpu.pointee = FPUState()
      fpu.pointee.cw = control
      fpu.pointee.sw = sw
      fpu.pointee.top = UInt8(top)
      fpu.pointee.empty = empty
      for n in 0..<8 { machine.cpu.fpuRegisters[(top + n) & 7] = operand(plan, n) }
      if random.oneIn(3) {
        // Similar operands.
        let like = machine.cpu.st(0)
        var other = machine.cpu.st(1)
        other.signExponent =
          other.signExponent & 0x8000
          | (like.signExponent & 0x7FFF &+ UInt16(random.below(5)) &- 2) & 0x7FFF
        if plan.operands == .any { machine.cpu.fpuRegisters[(top + 1) & 7] = other }
      }
      let image = host.input
      image.storeBytes(of: control, toByteOffset: 0, as: UInt16.self)
      image.storeBytes(of: sw | UInt16(top) << 11, toByteOffset: 2, as: UInt16.self)
      image.storeBytes(of: UInt16(~empty), toByteOffset: 4, as: UInt16.self)
      for n in 0..<8 {
        let value = machine.cpu.st(n)
        image.storeBytes(of: value.significand, toByteOffset: 32 + 16 * n, as: UInt64.self)
        image.storeBytes(of: value.signExponent, toByteOffset: 40 + 16 * n, as: UInt16.self)
      }
      prepareMemory(plan)
      let flags = UInt32(truncatingIfNeeded: random.next()) & EFLAGS.arithmetic
      host.flags = UInt64(flags) | 0x202
      machine.cpu.setArithmeticFlags(flags)
    }

    private mutating func prepareMemory(_ plan: Plan) {
      var low = random.next()
      var high = random.next()
      let like = machine.cpu.st(0)
      switch plan.reads {
      case .none: break
      case .control: low = low & 0x1F00 | 0x7F
      case .single:
        switch random.below(10) {
        case 0: low &= 0x807F_FFFF
        case 1: low |= 0x7F80_0000
        case 2: low = low & 0x8000_0000 | 0x7F80_0000
        case 3: low &= 0x8000_0000
        case 4, 5, 6: low = low & 0x81FF_FFFF | 0x3E00_0000
        default: break
        }
      case .double:
        switch random.below(10) {
        case 0: low &= 0x800F_FFFF_FFFF_FFFF
        case 1: low |= 0x7FF0_0000_0000_0000
        case 2: low = low & (1 << 63) | 0x7FF0_0000_0000_0000
        case 3: low &= 1 << 63
        case 4, 5, 6: low = low & 0x81FF_FFFF_FFFF_FFFF | 0x3E00_0000_0000_0000
        default: break
        }
      case .integer: if random.oneIn(4) { low &= 0xFFFF_FFFF_0000_0003 }
      case .decimal:
        low = 0
        for _ in 0..<16 { low = low << 4 | UInt64(random.below(10)) }
        high = UInt64(random.below(10) << 4 | random.below(10)) | high & 0x8000
      case .extended:
        let value = random.oneIn(4) ? like : random.anyValue()
        low = value.significand
        high = UInt64(value.signExponent)
      }
      host.memory.storeBytes(of: low, as: UInt64.self)
      host.memory.storeBytes(of: high, toByteOffset: 8, as: UInt64.self)
      machine.store(low, 0x1000)
      machine.store(high, 0x1008)
    }

    /// What the manual defines of the outcome.
    private mutating func addToDigest(_ plan: Plan) {
      let fpu = machine.fpu.pointee
      digest.add(fpu.cw)
      digest.add(machine.cpu.fpuStatusWord & ~(Self.allConditions & ~plan.conditions))
      digest.add(fpu.empty)
      for n in 0..<8 {
        let value = machine.cpu.st(n)
        digest.add(value.significand)
        digest.add(value.signExponent)
      }
      digest.add(machine.qword(0x1000))
      digest.add(machine.qword(0x1008))
      digest.add(machine.cpu.arithmeticFlags)
    }

    /// Runs one case; a description of the difference, or nil.
    mutating func differs(_ plan: Plan) throws -> String? {
      prepare(plan)
      let before = Agreement.comparesHost ? describe(plan) : ""
      try machine.execute(UInt16(plan.opcode), plan.modrm)
      addToDigest(plan)
      guard Agreement.comparesHost else { return nil }
      host.run(plan.opcode, plan.modrm)
      let image = host.output
      let cw = image.load(fromByteOffset: 0, as: UInt16.self)
      let sw = image.load(fromByteOffset: 2, as: UInt16.self)
      let tags = image.load(fromByteOffset: 4, as: UInt8.self)
      let status = machine.cpu.fpuStatusWord
      var problems: [String] = []
      let ignored = Self.allConditions & ~plan.conditions
      var different = (sw ^ status) & ~ignored
      // After a stack fault or invalid operand only C1 means anything; it tells nothing of a result within the allowance either.
      if plan.ulps > 0 && different == FPUStatus.c1 { different = 0 }
      // A result at the edge of what is tiny may be a unit off, and with it the underflow.
      if plan.ulps > 0 && different & ~0x8292 == 0 && different & 0x10 != 0 { return nil }
      if different != 0 {
        problems.append(
          "sw host \(String(sw, radix: 16)) ours \(String(status, radix: 16))")
      }
      if cw != machine.fpu.pointee.cw { problems.append("cw") }
      if tags != ~machine.fpu.pointee.empty { problems.append("tags") }
      for n in 0..<8 {
        let theirs = Float80Bits(
          signExponent: image.load(fromByteOffset: 40 + 16 * n, as: UInt16.self),
          significand: image.load(fromByteOffset: 32 + 16 * n, as: UInt64.self))
        let ours = machine.cpu.st(n)
        if ours == theirs { continue }
        let distance = Self.distance(ours, theirs)
        if plan.ulps > 0 && distance <= plan.ulps {
          inexact += 1
          largest = max(largest, distance)
          continue
        }
        problems.append("st\(n) host \(theirs) ours \(ours)")
      }
      for n in 0..<16
      where host.memory.load(fromByteOffset: n, as: UInt8.self)
        != machine.memory.ram.load(fromByteOffset: 0x1000 + n, as: UInt8.self)
      {
        problems.append(
          "memory host \(String(host.memory.load(as: UInt64.self), radix: 16)) ours "
            + String(machine.qword(0x1000), radix: 16))
        break
      }
      let flags = UInt32(truncatingIfNeeded: host.flags) & EFLAGS.arithmetic
      if flags != machine.cpu.arithmeticFlags {
        problems.append(
          "eflags host \(String(flags, radix: 16)) ours "
            + String(machine.cpu.arithmeticFlags, radix: 16))
      }
      if problems.isEmpty { return nil }
      return before + " => " + problems.joined(separator: "; ")
    }

    /// Units in the last place between two finite values of one sign; UInt64.max otherwise.
    private static func distance(_ a: Float80Bits, _ b: Float80Bits) -> UInt64 {
      guard a.sign == b.sign, a.exponent != 0x7FFF, b.exponent != 0x7FFF else { return .max }
      if a.exponent == b.exponent {
        return a.significand > b.significand
          ? a.significand - b.significand : b.significand - a.significand
      }
      let (large, small) = a.exponent > b.exponent ? (a, b) : (b, a)
      if large.exponent - small.exponent > 1 { return .max }
      if large.exponent == 1 { return large.significand &- small.significand }
      return large.significand == 1 << 63 ? 0 &- small.significand : .max
    }

    private func describe(_ plan: Plan) -> String {
      let f = machine.fpu.pointee
      return
        "\(plan.name) cw \(String(f.cw, radix: 16)) sw \(String(f.sw, radix: 16)) empty "
        + "\(String(f.empty, radix: 16)) top \(f.top) st0 \(machine.cpu.st(0)) st1 "
        + "\(machine.cpu.st(1)) st3 \(machine.cpu.st(3)) mem "
        + String(machine.qword(0x1000), radix: 16)
    }
  }

  private let hostWorks = HostX87() != nil

  @Suite("Host x87", .enabled(if: hostWorks, "the host gives no executable memory"))
  struct HostComparisonTests {
    /// Runs a plan's cases; prints and records what differs.
    private func check(_ plan: Plan, cases: Int) throws {
      let host = try #require(HostX87())
      var comparison = Comparison(
        host: host, machine: try Machine(),
        random: Random(seed: UInt64(plan.opcode) << 8 | UInt64(plan.modrm)))
      var failures = 0
      for _ in 0..<cases {
        guard let difference = try comparison.differs(plan) else { continue }
        failures += 1
        if failures <= 6 { Issue.record("\(difference)") }
      }
      let name = "\(plan.name) \(plan.operands) \(cases)"
      #expect(
        agreed.holds(name, comparison.digest), "\(name) (APUS_COMPARE_HOST=1 shows the cases)")
      #expect(failures == 0, "\(plan.name): \(failures) of \(cases) cases differ")
      if plan.ulps > 0 && Agreement.comparesHost {
        print(
          "\(plan.name): \(comparison.inexact) of \(cases) results differ, at most by",
          "\(comparison.largest) ulp")
      }
    }

    private static let arithmetic = ["add", "mul", "com", "comp", "sub", "subr", "div", "divr"]

    @Test(arguments: 0..<8)
    func arithmetic(digit: Int) throws {
      let name = Self.arithmetic[digit]
      let codes = digit & 6 == 2 ? FPUStatus.conditions : FPUStatus.c1
      let row = UInt8(0xC0 + digit * 8)
      try check(
        Plan(name: "f\(name) st,st1", opcode: 0xD8, modrm: row + 1, conditions: codes),
        cases: 100_000)
      try check(
        Plan(name: "f\(name) st,st3", opcode: 0xD8, modrm: row + 3, conditions: codes),
        cases: 20_000)
      try check(
        Plan(name: "f\(name) st0", opcode: 0xD8, modrm: row, conditions: codes), cases: 5000)
      try check(
        Plan(name: "DC f\(name)", opcode: 0xDC, modrm: row + 1, conditions: codes), cases: 20_000)
      if digit != 3 {
        try check(
          Plan(name: "DE f\(name)p", opcode: 0xDE, modrm: row + 1, conditions: codes),
          cases: 20_000)
      }
      let memory = UInt8(digit * 8)
      for (opcode, reads) in [
        (0xD8, Operand.single), (0xDA, .integer), (0xDC, .double), (0xDE, .integer),
      ] {
        try check(
          Plan(
            name: "f\(name) \(opcode) memory", opcode: UInt8(opcode), modrm: memory,
            conditions: codes, reads: reads), cases: 30_000)
      }
    }

    @Test func compareForms() throws {
      let codes = FPUStatus.conditions
      for (name, opcode, modrm) in [
        ("fucom", 0xDD, 0xE1), ("fucomp", 0xDD, 0xE9), ("fucompp", 0xDA, 0xE9),
        ("fcompp", 0xDE, 0xD9), ("ftst", 0xD9, 0xE4), ("fxam", 0xD9, 0xE5),
        ("fcomi", 0xDB, 0xF1), ("fucomi", 0xDB, 0xE9), ("fcomip", 0xDF, 0xF1),
        ("fucomip", 0xDF, 0xE9),
      ] {
        let isInteger = name.hasPrefix("fcomi") || name.hasPrefix("fucomi")
        try check(
          Plan(
            name: name, opcode: UInt8(opcode), modrm: UInt8(modrm),
            conditions: isInteger ? 0 : codes), cases: 30_000)
      }
    }

    @Test func loadsAndMoves() throws {
      let plans = [
        Plan(name: "fld m32", opcode: 0xD9, modrm: 0x00, reads: .single),
        Plan(name: "fld m64", opcode: 0xDD, modrm: 0x00, reads: .double),
        Plan(name: "fld m80", opcode: 0xDB, modrm: 0x28, reads: .extended),
        Plan(name: "fild m16", opcode: 0xDF, modrm: 0x00, reads: .integer),
        Plan(name: "fild m32", opcode: 0xDB, modrm: 0x00, reads: .integer),
        Plan(name: "fild m64", opcode: 0xDF, modrm: 0x28, reads: .integer),
        Plan(name: "fbld", opcode: 0xDF, modrm: 0x20, reads: .decimal),
        Plan(name: "fldcw", opcode: 0xD9, modrm: 0x28, conditions: 0, reads: .control),
        Plan(name: "fld st3", opcode: 0xD9, modrm: 0xC3),
        Plan(name: "fxch", opcode: 0xD9, modrm: 0xC9),
        Plan(name: "fst st2", opcode: 0xDD, modrm: 0xD2),
        Plan(name: "fstp st2", opcode: 0xDD, modrm: 0xDA),
        Plan(name: "ffree", opcode: 0xDD, modrm: 0xC2, conditions: 0),
        Plan(name: "fchs", opcode: 0xD9, modrm: 0xE0),
        Plan(name: "fabs", opcode: 0xD9, modrm: 0xE1),
        Plan(name: "fdecstp", opcode: 0xD9, modrm: 0xF6),
        Plan(name: "fincstp", opcode: 0xD9, modrm: 0xF7),
        Plan(name: "fnop", opcode: 0xD9, modrm: 0xD0, conditions: 0),
        Plan(name: "fnclex", opcode: 0xDB, modrm: 0xE2, conditions: 0),
        Plan(name: "fnstsw", opcode: 0xDD, modrm: 0x38, conditions: FPUStatus.conditions),
        Plan(name: "fnstcw", opcode: 0xD9, modrm: 0x38, conditions: FPUStatus.conditions),
      ]
      for plan in plans { try check(plan, cases: 10_000) }
      for n in 0..<7 {
        try check(
          Plan(name: "constant \(n)", opcode: 0xD9, modrm: UInt8(0xE8 + n)), cases: 2000)
      }
      for (opcode, row) in [(0xDA, 0xC0), (0xDB, 0xC0)] {
        for digit in 0..<4 {
          try check(
            Plan(
              name: "fcmov \(opcode) \(digit)", opcode: UInt8(opcode),
              modrm: UInt8(row + digit * 8 + 1)), cases: 4000)
        }
      }
    }

    @Test func stores() throws {
      let plans = [
        Plan(name: "fst m32", opcode: 0xD9, modrm: 0x10, writes: 4),
        Plan(name: "fstp m32", opcode: 0xD9, modrm: 0x18, writes: 4),
        Plan(name: "fst m64", opcode: 0xDD, modrm: 0x10, writes: 8),
        Plan(name: "fstp m64", opcode: 0xDD, modrm: 0x18, writes: 8),
        Plan(name: "fstp m80", opcode: 0xDB, modrm: 0x38, writes: 10),
        Plan(name: "fist m16", opcode: 0xDF, modrm: 0x10, writes: 2),
        Plan(name: "fistp m16", opcode: 0xDF, modrm: 0x18, writes: 2),
        Plan(name: "fist m32", opcode: 0xDB, modrm: 0x10, writes: 4),
        Plan(name: "fistp m32", opcode: 0xDB, modrm: 0x18, writes: 4),
        Plan(name: "fistp m64", opcode: 0xDF, modrm: 0x38, writes: 8),
        Plan(name: "fbstp", opcode: 0xDF, modrm: 0x30, writes: 10),
      ]
      for plan in plans {
        try check(plan, cases: 60_000)
        var near = plan
        near.operands = .moderate
        try check(near, cases: 30_000)
      }
    }

    @Test func functions() throws {
      let codes = FPUStatus.conditions
      let plans = [
        Plan(name: "fsqrt", opcode: 0xD9, modrm: 0xFA),
        Plan(name: "frndint", opcode: 0xD9, modrm: 0xFC),
        Plan(name: "fscale", opcode: 0xD9, modrm: 0xFD),
        Plan(name: "fxtract", opcode: 0xD9, modrm: 0xF4),
        Plan(name: "fprem", opcode: 0xD9, modrm: 0xF8, conditions: codes),
        Plan(name: "fprem1", opcode: 0xD9, modrm: 0xF5, conditions: codes),
      ]
      for plan in plans {
        try check(plan, cases: 100_000)
        var near = plan
        near.operands = plan.modrm == 0xFD ? .moderate : .remainder
        try check(near, cases: 50_000)
      }
    }

    @Test func transcendentals() throws {
      let c1c2 = FPUStatus.c1 | FPUStatus.c2
      let plans = [
        Plan(name: "fsin", opcode: 0xD9, modrm: 0xFE, conditions: c1c2, ulps: 1),
        Plan(name: "fcos", opcode: 0xD9, modrm: 0xFF, conditions: c1c2, ulps: 1),
        Plan(name: "fsincos", opcode: 0xD9, modrm: 0xFB, conditions: c1c2, ulps: 1),
        Plan(name: "fptan", opcode: 0xD9, modrm: 0xF2, conditions: c1c2, ulps: 1),
        Plan(name: "fpatan", opcode: 0xD9, modrm: 0xF3, ulps: 1),
        Plan(name: "f2xm1", opcode: 0xD9, modrm: 0xF0, ulps: 1, operands: .unit),
        Plan(name: "fyl2x", opcode: 0xD9, modrm: 0xF1, ulps: 1),
        Plan(name: "fyl2xp1", opcode: 0xD9, modrm: 0xF9, ulps: 1, operands: .unit),
      ]
      for plan in plans {
        try check(plan, cases: 40_000)
        if plan.operands == .any {
          var near = plan
          near.operands = .moderate
          try check(near, cases: 40_000)
        }
      }
    }
  }
#endif
