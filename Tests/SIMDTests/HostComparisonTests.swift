// Every MMX, SSE and SSE2 instruction of the opcode table as the hosts' processors carry it out. What was agreed upon is kept as digests,
// so that no test depends on this host's processor.
//
// Owns: the forms of each table line, the comparison of all registers. Must not know: what the instructions do.

#if os(Linux) && arch(x86_64)
  import TestSupport
  import Testing

  @testable import CPU

  @Suite("MMX and SSE against the host", .serialized) struct HostComparisonTests {
    /// An encoding to compare; the immediate follows.
    private struct Form {
      var bytes: [UInt8]
      var hasImmediate: Bool
    }

    private static func forms(_ entry: OpcodeEntry) -> [Form] {
      var prefix: [UInt8] = []
      switch entry.prefix {
      case .none: break
      case .operandSize: prefix = [0x66]
      case .rep: prefix = [0xF3]
      case .repne: prefix = [0xF2]
      }
      let opcode = prefix + [0x0F, UInt8(entry.opcode & 0xFF)]
      let kinds = [entry.operands.0, entry.operands.1, entry.operands.2]
      let hasImmediate = kinds.contains(.ib)
      if entry.opcode == 0x0F77 { return [Form(bytes: opcode, hasImmediate: false)] }
      let general = kinds.contains(.ev)
      var digits: [UInt8] = kinds.contains(.gv) ? [0] : [1, 6]
      if entry.opcode >= 0x0F71 && entry.opcode <= 0x0F73 {
        // The table has one line for each digit.
        digits = [UInt8(entry.digit)]
      }
      var forms: [Form] = []
      for digit in digits {
        let memoryOnly = kinds.contains(.m) && entry.form != .memory
        let registerOnly = kinds.contains(.nq) || kinds.contains(.ux)
        if !memoryOnly {
          for rm: UInt8 in general ? [0] : [6, 3] {
            forms.append(Form(bytes: opcode + [0xC0 | digit << 3 | rm], hasImmediate: hasImmediate))
          }
        }
        if !registerOnly {
          forms.append(Form(bytes: opcode + [digit << 3 | 2], hasImmediate: hasImmediate))
        }
      }
      return forms
    }

    private static func word<T>(_ p: UnsafeMutableRawPointer, _ at: Int, _: T.Type) -> T {
      p.loadUnaligned(fromByteOffset: at, as: T.self)
    }

    /// Puts the same random state into both.
    private static func prepare(
      _ machine: Machine, _ host: HostSIMD, _ random: inout Random, control: UInt32
    ) {
      let fpu = machine.fpu
      let top = random.below(8)
      let tags = UInt8(truncatingIfNeeded: random.next())
      fpu.pointee.top = UInt8(top)
      fpu.pointee.empty = ~tags
      fpu.pointee.cw = 0x37F
      fpu.pointee.sw = 0
      fpu.pointee.mxcsr = control
      host.input.storeBytes(of: 0x37F, toByteOffset: 0, as: UInt16.self)
      host.input.storeBytes(of: UInt16(top) << 11, toByteOffset: 2, as: UInt16.self)
      host.input.storeBytes(of: UInt16(tags), toByteOffset: 4, as: UInt16.self)
      host.input.storeBytes(of: control, toByteOffset: 24, as: UInt32.self)
      for n in 0..<8 {
        let value = Float80Bits(
          signExponent: random.oneIn(2)
            ? 0xFFFF : UInt16(truncatingIfNeeded: random.next()), significand: random.quad())
        machine.cpu.fpuRegisters[n] = value
        let place = 32 + ((n - top) & 7) * 16
        host.input.storeBytes(of: value.significand, toByteOffset: place, as: UInt64.self)
        host.input.storeBytes(of: value.signExponent, toByteOffset: place + 8, as: UInt16.self)
        let wide = random.vector()
        machine.cpu.xmm[n] = wide
        host.input.storeBytes(of: wide.low, toByteOffset: 160 + n * 16, as: UInt64.self)
        host.input.storeBytes(of: wide.high, toByteOffset: 168 + n * 16, as: UInt64.self)
      }
      for n in 0..<2 {
        let wide = random.vector()
        for (at, value) in [(n * 16, wide.low), (n * 16 + 8, wide.high)] {
          machine.store(value, Machine.operand + UInt32(at))
          host.memory.storeBytes(of: value, toByteOffset: at, as: UInt64.self)
        }
      }
      let eax = UInt32(truncatingIfNeeded: random.quad())
      machine.cpu[Register.eax] = eax
      host.registers[0] = 0x202 | 0x8D5
      host.registers[1] = UInt64(eax)
      machine.cpu.setArithmeticFlags(0x8D5)
    }

    private static func add(_ machine: Machine, to digest: inout Digest) {
      let fpu = machine.fpu.pointee
      digest.add(fpu.top)
      digest.add(fpu.empty)
      digest.add(fpu.mxcsr)
      for n in 0..<8 {
        digest.add(machine.cpu.fpuRegisters[n].significand)
        digest.add(machine.cpu.fpuRegisters[n].signExponent)
        digest.add(machine.cpu.xmm[n].low)
        digest.add(machine.cpu.xmm[n].high)
      }
      digest.add(machine.cpu[Register.eax])
      digest.add(machine.cpu.arithmeticFlags)
      for n in 0..<4 {
        let value: UInt64 = machine.load(Machine.operand + UInt32(n * 8))
        digest.add(value)
      }
    }

    /// What differs, or nil.
    private static func difference(_ machine: Machine, _ host: HostSIMD) -> String? {
      let fpu = machine.fpu.pointee
      let top = Int(word(host.output, 2, UInt16.self) >> 11 & 7)
      func hex<T: BinaryInteger>(_ value: T) -> String { String(value, radix: 16) }
      if top != Int(fpu.top) { return "TOP \(fpu.top), host \(top)" }
      let tags = word(host.output, 4, UInt8.self)
      if tags != ~fpu.empty { return "tags \(hex(~fpu.empty)), host \(hex(tags))" }
      for n in 0..<8 {
        let place = 32 + ((n - top) & 7) * 16
        let value = Float80Bits(
          signExponent: word(host.output, place + 8, UInt16.self),
          significand: word(host.output, place, UInt64.self))
        let mine = machine.cpu.fpuRegisters[n]
        if mine != value {
          return "MM\(n) \(hex(mine.signExponent)):\(hex(mine.significand)), host "
            + "\(hex(value.signExponent)):\(hex(value.significand))"
        }
        let low = word(host.output, 160 + n * 16, UInt64.self)
        let high = word(host.output, 168 + n * 16, UInt64.self)
        let own = machine.cpu.xmm[n]
        if own != XMMBits(low, high) {
          return "XMM\(n) \(hex(own.high)):\(hex(own.low)), host \(hex(high)):\(hex(low))"
        }
      }
      let mxcsr = word(host.output, 24, UInt32.self)
      if mxcsr != fpu.mxcsr { return "MXCSR \(hex(fpu.mxcsr)), host \(hex(mxcsr))" }
      let eax = UInt32(truncatingIfNeeded: host.registers[1])
      if eax != machine.cpu[Register.eax] {
        return "EAX \(hex(machine.cpu[Register.eax])), host \(hex(eax))"
      }
      let flags = UInt32(truncatingIfNeeded: host.registers[0]) & EFLAGS.arithmetic
      if flags != machine.cpu.arithmeticFlags {
        return "EFLAGS \(hex(machine.cpu.arithmeticFlags)), host \(hex(flags))"
      }
      for n in 0..<4 {
        let value = word(host.memory, n * 8, UInt64.self)
        let mine: UInt64 = machine.load(Machine.operand + UInt32(n * 8))
        if mine != value { return "memory \(hex(mine)), host \(hex(value))" }
      }
      return nil
    }

    private func compare(_ features: CPUFeatures, _ model: CPUModel, rounds: Int) throws {
      guard let host = HostSIMD() else { return }
      let machine = try Machine(model: model)
      var random = Random(seed: UInt64(features.rawValue))
      for entry in OpcodeTable.shared.entries where entry.features.contains(features) {
        // Approximations and MXCSR have tests of their own.
        if [0x0F52, 0x0F53, 0x0FAE].contains(entry.opcode) { continue }
        // MOVHLPS and MOVLHPS are compared with the memory forms of their opcodes.
        if entry.form == .register { continue }
        var digest = Digest()
        defer {
          let prefix = "\(entry.prefix)"
          let name =
            "\(model.name) \(entry.op.mnemonic) \(String(entry.opcode, radix: 16)) \(prefix) \(entry.digit)"
          #expect(agreed.holds(name, digest), "\(name) (APUS_COMPARE_HOST=1 shows the cases)")
        }
        for form in Self.forms(entry) {
          var wrong = 0
          for round in 0..<rounds where wrong < 2 {
            var bytes = form.bytes
            if form.hasImmediate {
              bytes.append(
                UInt8(truncatingIfNeeded: random.oneIn(2) ? random.next() : random.next() & 31))
            }
            // Round the flags, rounding modes, DAZ and FTZ; all exceptions masked.
            let control =
              0x1F80 | (round & 1 == 0 ? 0 : UInt32(truncatingIfNeeded: random.next()) & 0xE07F)
            Self.prepare(machine, host, &random, control: control)
            let before = (machine.cpu.xmm[1], machine.cpu.xmm[6], machine.cpu.xmm[3])
            machine.decode(bytes)
            var outcome: String?
            do {
              try machine.execute()
              Self.add(machine, to: &digest)
              if Agreement.comparesHost {
                host.run(bytes)
                outcome = Self.difference(machine, host)
              }
            } catch {
              outcome = "\(error)"
            }
            if let outcome {
              wrong += 1
              let text = bytes.map { String($0, radix: 16) }.joined(separator: " ")
              Issue.record(
                "\(entry.op) [\(text)] MXCSR \(String(control, radix: 16)): \(outcome) \(before)")
            }
          }
        }
      }
    }

    @Test func mmx() throws { try compare(.mmx, .pentium2, rounds: 1000) }
    @Test func sse() throws { try compare(.sse, .pentium4, rounds: 2000) }
    @Test func sse2() throws { try compare(.sse2, .pentium4, rounds: 2000) }
  }
#endif
