// The seam between the translator and what makes a host's code.
//
// Owns: what one asks of the other. The translator decides which blocks are translated, keeps them and joins them; a back end turns one
// decoded block into host code and changes its exits when told. Must not know: any host.
// Each is called a few times a block, never by translated code: the protocol costs nothing while a guest runs.

import CPU

/// Makes code for one kind of host.
package protocol TranslatorBackend: AnyObject {
  /// Whom exits are told to; set before anything is compiled. The translator owns the back end.
  var translator: Translator! { get set }
  /// How the processor gets into translated code.
  var entries: CodeEntries { get }
  /// Whether the longest of blocks has room.
  var hasRoom: Bool { get }

  /// Makes code for a block; nil when that is not worth it.
  /// - Parameters:
  ///   - context: what the code may rely on.
  ///   - number: what the code calls itself where it tells of a fault; exits are its.
  ///   - mark: told where the code of each instruction begins and where that of the last one ends.
  func compile(
    _ block: BlockPointer, eip: UInt32, in context: CodeContext, number: Int,
    mark: ((Int) -> Void)?
  ) -> BlockCode?
  /// An exit leads to a block from now on.
  func join(_ sites: ExitSites, to code: BlockCode)
  /// An exit leads back to its stub.
  func part(_ sites: ExitSites)
  /// A block's entry becomes a jump to whatever code there is for its linear address.
  func redirect(_ code: BlockCode, toLookupOf linear: LinearAddress)
  /// All blocks are gone.
  func reset()
  /// Where an offset of the code can be executed.
  func address(of offset: Int) -> UnsafeRawPointer
  /// The code between two offsets.
  func bytes(_ range: Range<Int>) -> [UInt8]
}

/// How the processor gets into translated code.
package struct CodeEntries {
  package var enter: EnterCode
  /// Where code goes that finds no code.
  package var noCode: UnsafeRawPointer
  /// Makes the window's base known to the host, where it has a register for that.
  package var enterWindow: @convention(c) (UnsafeMutableRawPointer) -> Void

  package init(
    enter: @escaping EnterCode, noCode: UnsafeRawPointer,
    enterWindow: @escaping @convention(c) (UnsafeMutableRawPointer) -> Void
  ) {
    self.enter = enter
    self.noCode = noCode
    self.enterWindow = enterWindow
  }
}

/// Where a block's code is, as offsets.
package struct BlockCode {
  /// Counts the instructions; the body follows.
  package var entry: Int
  /// Where other blocks come in that have counted them.
  package var body: Int
  /// Where they go for want of budget.
  package var exit: Int
  /// Behind the last byte.
  package var end: Int
  /// How many instructions it has.
  package var count: Int

  package init(entry: Int, body: Int, exit: Int, end: Int, count: Int) {
    self.entry = entry
    self.body = body
    self.exit = exit
    self.end = end
    self.count = count
  }
}

/// What of an exit is written when it is joined, as offsets; only the back end knows what stands there.
package struct ExitSites {
  /// How many instructions the target has.
  package var count = 0
  /// The way to its body.
  package var jump = 0
  /// The way to its exit for want of budget.
  package var budgetJump = 0
  /// Where `jump` leads while it is not joined.
  package var stub = 0

  package init() {}
}

/// An exit of a block that can be joined to another block.
struct Exit {
  var sites: ExitSites
  /// For a transfer that cannot be a plain jump, its code place; otherwise 0.
  var place = 0
  /// The block it belongs to and the one it leads to, or -1.
  var owner: Int
  var target = -1
  var targetEIP: UInt32
}

/// A block in the books.
struct CodeBlock {
  var code: BlockCode
  var context: UInt64
  var eip: UInt32
  var linear: LinearAddress
  var block: BlockPointer
  var exits: Range<Int>
  var incoming: [Int] = []
}

/// What code leaves in `CPUState.windowFault` when it is to be made again in another way.
package struct CodeFault {
  package let rawValue: UInt64
  private static let unit: UInt64 = 1 << 41

  init(rawValue: UInt64) { self.rawValue = rawValue }

  /// An instruction's access through the window has faulted.
  package init(window number: Int, _ index: Int) {
    rawValue = 1 << 40 | UInt64(number) << 8 | UInt64(index)
  }

  /// A block was met with x87 exceptions unmasked.
  package init(unit number: Int, _ index: Int) {
    rawValue = CodeFault.unit | UInt64(number) << 8 | UInt64(index)
  }

  var isOfUnit: Bool { rawValue & CodeFault.unit != 0 }
  var number: Int { Int(rawValue >> 8 & 0xFFFF_FFFF) }
  var index: Int { Int(rawValue & 63) }
}
