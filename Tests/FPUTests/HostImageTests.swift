// The images of FSAVE, FSTENV and FXSAVE against the host's: control, status and tag words, registers.
//
// Owns: loading random images on both sides and storing them again. Instruction and data pointers are left out: processors of today keep
// them only when an exception is pending.

#if os(Linux) && arch(x86_64)
  import TestSupport
  import Testing

  @testable import CPU

  @Suite("Host x87 images", .enabled(if: HostX87() != nil, "the host gives no executable memory"))
  struct HostImageTests {
    private let host: HostX87
    private let machine: Machine

    init() throws {
      host = try #require(HostX87())
      machine = try Machine()
    }

    /// A clean state on both sides, with `sw` and `cw` random (no exception pending) and random registers.
    private func reset(_ random: inout Random) throws {
      let cw = UInt16(truncatingIfNeeded: random.next())
      let sw = UInt16(truncatingIfNeeded: random.next())
      prepare(cw: cw, sw: sw & (cw & 0x3F | 0x7F40), &random)
      try load()
    }

    private func prepare(cw: UInt16, sw: UInt16, _ random: inout Random) {
      host.input.storeBytes(of: cw, toByteOffset: 0, as: UInt16.self)
      host.input.storeBytes(of: sw, toByteOffset: 2, as: UInt16.self)
      host.input.storeBytes(
        of: UInt16(random.next() & 0xFF), toByteOffset: 4, as: UInt16.self)
      for n in 0..<8 {
        let value = random.anyValue()
        host.input.storeBytes(of: value.significand, toByteOffset: 32 + 16 * n, as: UInt64.self)
        host.input.storeBytes(of: value.signExponent, toByteOffset: 40 + 16 * n, as: UInt16.self)
      }
    }

    /// FXRSTOR of the host's input image.
    private func load() throws {
      (machine.memory.ram + 0x8000).copyMemory(from: host.input, byteCount: 512)
      try machine.execute(0x0FAE, 0x08, address: 0x8000)
    }

    /// Adds FXSAVE's image here, pointers aside.
    private func add(to digest: inout Digest) throws {
      try machine.execute(0x0FAE, 0x00, address: 0x9000)
      for offset in [0, 2, 4] as [UInt32] { digest.add(machine.word(0x9000 + offset)) }
      for n in 0..<8 {
        let place = UInt32(0x9020 + 16 * n)
        digest.add(machine.qword(place))
        digest.add(machine.word(place + 8))
      }
    }

    /// Compares the host's stored image with FXSAVE here; a description of the first difference.
    private func difference() throws -> String? {
      guard Agreement.comparesHost else { return nil }
      try machine.execute(0x0FAE, 0x00, address: 0x9000)
      for offset in [0, 2, 4] {
        let theirs = host.output.load(fromByteOffset: offset, as: UInt16.self)
        let ours = machine.word(0x9000 + UInt32(offset))
        if theirs != ours {
          return
            "word \(offset): host \(String(theirs, radix: 16)) ours \(String(ours, radix: 16))"
        }
      }
      for n in 0..<8 {
        let place = UInt32(0x9020 + 16 * n)
        let theirs = Float80Bits(
          signExponent: host.output.load(fromByteOffset: 40 + 16 * n, as: UInt16.self),
          significand: host.output.load(fromByteOffset: 32 + 16 * n, as: UInt64.self))
        let ours = Float80Bits(
          signExponent: machine.word(place + 8), significand: machine.qword(place))
        if theirs != ours { return "st\(n): host \(theirs) ours \(ours)" }
      }
      return nil
    }

    @Test func fxrstorOfAnyWords() throws {
      var random = Random(seed: 1)
      var digest = Digest()
      for _ in 0..<5000 {
        let cw = UInt16(truncatingIfNeeded: random.next())
        let sw = UInt16(truncatingIfNeeded: random.next())
        prepare(cw: cw, sw: sw, &random)
        try load()
        try add(to: &digest)
        // FNSTSW m16 as the instruction that does nothing.
        if Agreement.comparesHost { host.run(0xDD, 0x38) }
        if let difference = try difference() {
          Issue.record(
            "cw \(String(cw, radix: 16)) sw \(String(sw, radix: 16)): \(difference)")
          break
        }
      }
      #expect(agreed.holds("fxrstor", digest), "APUS_COMPARE_HOST=1 shows the cases")
    }

    @Test(arguments: [UInt8(0x20), 0x60])
    func restoredImages(which: UInt8) throws {
      // FLDENV (D9 /4), FRSTOR (DD /4).
      let opcode: UInt8 = which == 0x20 ? 0xD9 : 0xDD
      var random = Random(seed: UInt64(which))
      var digest = Digest()
      for _ in 0..<5000 {
        try reset(&random)
        for n in 0..<14 {
          host.memory.storeBytes(of: random.next(), toByteOffset: 8 * n, as: UInt64.self)
        }
        for n in 0..<8 where random.oneIn(2) {
          let value = random.anyValue()
          host.memory.storeBytes(of: value.signExponent, toByteOffset: 36 + 10 * n, as: UInt16.self)
        }
        (machine.memory.ram + 0x1000).copyMemory(from: host.memory, byteCount: 112)
        if Agreement.comparesHost { host.run(opcode, 0x20) }
        try machine.execute(UInt16(opcode), 0x20)
        try add(to: &digest)
        if let difference = try difference() {
          Issue.record("\(opcode): \(difference)")
          break
        }
      }
      #expect(agreed.holds("restored \(opcode)", digest), "APUS_COMPARE_HOST=1 shows the cases")
    }

    @Test(arguments: [UInt8(0xD9), 0xDD])
    func storedImages(opcode: UInt8) throws {
      // FNSTENV (D9 /6), FNSAVE (DD /6).
      var random = Random(seed: UInt64(opcode) + 1000)
      var digest = Digest()
      for _ in 0..<5000 {
        try reset(&random)
        try machine.execute(UInt16(opcode), 0x30)
        for n in UInt32(0)..<3 { digest.add(machine.dword(0x1000 + 4 * n)) }
        if opcode == 0xDD {
          for n in 28..<108 {
            digest.add(machine.memory.ram.load(fromByteOffset: 0x1000 + n, as: UInt8.self))
          }
        }
        if Agreement.comparesHost {
          host.run(opcode, 0x30)
          let isSame = (opcode == 0xDD ? Array(0..<12) + Array(28..<108) : Array(0..<12)).allSatisfy
          {
            host.memory.load(fromByteOffset: $0, as: UInt8.self)
              == machine.memory.ram.load(fromByteOffset: 0x1000 + $0, as: UInt8.self)
          }
          #expect(isSame)
          if !isSame { return }
        }
        try add(to: &digest)
        if let difference = try difference() {
          Issue.record("\(opcode): \(difference)")
          break
        }
      }
      #expect(agreed.holds("stored \(opcode)", digest), "APUS_COMPARE_HOST=1 shows the cases")
    }
  }
#endif
