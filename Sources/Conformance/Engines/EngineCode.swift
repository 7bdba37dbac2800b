// Chosen instructions for random programs.
//
// Owns: writing an instruction that is named by operation and kinds of operands, as the instruction table has it. Must not know: what the
// programs are for.
// Follows: Intel SDM volume 2, chapter 2.

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import CPU

  /// Instructions one after the other, in code whose operands and addresses have one size.
  struct EngineCode {
    private(set) var bytes: [UInt8] = []
    /// Bytes of an operand and of an address.
    private let size: Int

    init(isBig: Bool) { size = isBig ? 4 : 2 }

    static func bytes(_ value: UInt32, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
    }

    /// Appends an instruction.
    /// - Parameters:
    ///   - prefixes: in front of it.
    ///   - kinds: its operands, as in the table.
    ///   - register: the one in the opcode or in ModRM.reg.
    ///   - rm: the one in ModRM.rm.
    ///   - place: the offset of the operand, where it is memory.
    ///   - immediate: or a relative target.
    mutating func add(
      prefixes: [UInt8] = [], _ op: Op, _ kinds: OperandKind..., register: Int = 0, rm: Int = 0,
      at place: UInt32? = nil, immediate: UInt32 = 0
    ) {
      let wanted = kinds + [OperandKind](repeating: .none, count: 3 - kinds.count)
      let line = OpcodeTable.shared.entries.first {
        $0.op == op && !$0.isAlias && $0.operands == (wanted[0], wanted[1], wanted[2])
      }
      guard let line else { preconditionFailure("no \(op) with \(kinds)") }
      bytes += prefixes
      if line.opcode >= 0x0F00 { bytes.append(0x0F) }
      let isInOpcode = kinds.contains { $0 == .zb || $0 == .zv }
      bytes.append(UInt8(line.opcode & 0xFF) | (isInOpcode ? UInt8(register) : 0))
      if line.usesModRM {
        let middle = line.digit >= 0 ? UInt8(line.digit) : UInt8(register)
        if let place {
          // An offset alone.
          bytes.append(middle << 3 | (size == 4 ? 5 : 6))
          bytes += EngineCode.bytes(place, size)
        } else {
          bytes.append(0xC0 | middle << 3 | UInt8(rm))
        }
      }
      for kind in kinds {
        switch kind {
        case .ib, .jb: bytes += EngineCode.bytes(immediate, 1)
        case .iz, .iv, .jz: bytes += EngineCode.bytes(immediate, size)
        default: break
        }
      }
    }
  }
#endif
