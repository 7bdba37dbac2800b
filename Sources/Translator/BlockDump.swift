// Guest and host code of a block side by side.
//
// Owns: which host bytes belong to which guest instruction. Must not know: how they are disassembled or shown.
// The block is translated once more for it, so that the code is as it would be now, before any link.

import CPU

/// A translated block to be looked at.
public struct BlockDump {
  /// A guest instruction with the host code made of it.
  public struct Part {
    public var eip: UInt32
    public var guest: [UInt8]
    /// Host code on the main path, and at which offset of the block's code it begins.
    public var offset: Int
    public var host: [UInt8]
  }
  /// EIP of the first instruction.
  public var eip: UInt32
  /// The code segment's D bit.
  public var mode: DecodeMode
  /// The count of instructions at the start.
  public var entry: [UInt8]
  public var parts: [Part] = []
  /// The exit for want of budget and the paths seldom taken, behind the main path.
  public var restOffset = 0
  public var rest: [UInt8] = []
  /// The whole as offsets of the back end's code.
  package var range = 0..<0
}

extension Translator {
  /// The block that begins at a linear address, as it would be translated in the present mode.
  /// - Parameter context: another one in its place.
  /// - Returns: nil when no decoded block begins there, or it would not be translated.
  public func dump(linear: LinearAddress) -> BlockDump? { dump(linear: linear, in: nil) }

  package func dump(linear: LinearAddress, in context: CodeContext?) -> BlockDump? {
    cpu.updateCodeTag()
    let context = context ?? cpu.codeContext
    let eip = linear.low &- context.base
    guard let block = cpu.decodedBlock(linear: linear), hasRoom else { return nil }
    var marks: [Int] = []
    // A block that nothing leads to: all books stay in order.
    guard let number = compile(block, eip: eip, in: context, mark: { marks.append($0) }) else {
      return nil
    }
    let code = blocks[number].code
    // CLD and STD may end the code before the records end.
    let count = marks.count - 1
    guard (1...Int(block.pointee.count)).contains(count) else { return nil }
    var dump = BlockDump(
      eip: eip, mode: block.pointee.mode, entry: backend.bytes(code.entry..<marks[0]))
    var before: UInt32 = 0
    for n in 0..<count {
      let next = UInt32(block.pointee.records[n].nextOffset)
      dump.parts.append(
        BlockDump.Part(
          eip: eip &+ before,
          guest: cpu.peekBytes(linear.low &+ before, count: Int(next &- before)),
          offset: marks[n] - code.entry, host: backend.bytes(marks[n]..<marks[n + 1])))
      before = next
    }
    dump.restOffset = marks[count] - code.entry
    dump.rest = backend.bytes(marks[count]..<code.end)
    dump.range = code.entry..<code.end
    return dump
  }
}
