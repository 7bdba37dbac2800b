// Which exits of blocks may be plain jumps, and what may be left undone at them.
//
// Owns: the conditions. Must not know: how a jump is encoded.

import CPU

extension Translator {
  /// Whether an exit may lead straight to the block of its target: as long as both exist, the linear address means the same code.
  /// - Parameter start: linear address at which the block with the exit begins.
  package func mayJoin(
    from start: LinearAddress, to target: UInt32, in context: CodeContext
  ) -> Bool {
    let linear = context.linear(target)
    let paged = context.has(.paged)
    // Under paging an instruction at a page's end depends on the next page too.
    let direct =
      isSamePage(linear, start) && (linear.value & 0xFFF <= 0x1000 - 16 || !paged)
      || !paged && !context.has(.a20Masked)
    return direct && target <= context.limit
  }

  package func isSamePage(_ linear: LinearAddress, _ other: LinearAddress) -> Bool {
    linear.page == other.page
  }

  /// Whether the code at an EIP in a block's page replaces all flags before anything can see them.
  /// - Parameter mayExit: whether a fault, a device or the interpreter can come in at an instruction.
  package func flagsAreReplaced(
    at eip: UInt32, pageOf block: BlockPointer, in context: CodeContext,
    mayExit: (Instruction) -> Bool
  ) -> Bool {
    var seen = FlagInformation.all
    return cpu.scanCode(block, at: (context.base &+ eip) & 0xFFF) { [flagInformation] i in
      let effect = flagInformation(i)
      if effect.reads & seen != 0 || mayExit(i) { return false }
      seen &= ~effect.replaces
      if seen == 0 { return true }
      return i.flags & InstructionFlags.endsBlock != 0 ? false : nil
    }
  }
}
