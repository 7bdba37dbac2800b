// A decoded block: its records, its links to others, and code made of it.
//
// Owns: what is kept of one block, and what is left of one that was dropped. Must not know: where blocks are found, or when they go.

/// Where a block goes on, as it was when it was last looked up.
struct BlockLink {
  /// `CPUState.codeTag` with the linear address.
  var tag: UInt64
  var block: UnsafeMutablePointer<Block>

  static let noTag = UInt64.max

  @inline(__always)
  static func next(of block: UnsafeMutablePointer<Block>) -> UnsafeMutablePointer<BlockLink> {
    (UnsafeMutableRawPointer(block) + 16).assumingMemoryBound(to: BlockLink.self)
  }

  @inline(__always)
  static func branch(of block: UnsafeMutablePointer<Block>) -> UnsafeMutablePointer<BlockLink> {
    (UnsafeMutableRawPointer(block) + 32).assumingMemoryBound(to: BlockLink.self)
  }
}

/// A run of decoded instructions.
package struct Block {
  package var records: UnsafeMutablePointer<Instruction>
  /// How much room before the deadline the block needs: `count`, or out of reach when it is dropped.
  var cost: UInt64
  /// What follows it, and what its branch leads to. Whatever else these hold, they are right where their tags are.
  var next: BlockLink
  var branch: BlockLink
  /// What its forms may rely on: bits of `CPU.flatness`. It is only entered where all of this is so.
  var flatness: UInt8
  /// Its records have forms of their own: something goes on to it again and again. Before that they run by their handlers.
  var hasForms = false
  /// How it was decoded.
  package var mode: DecodeMode
  /// Physical address of the first byte.
  package var physical: UInt64
  /// Number of records.
  package var count: Int32
  /// Bytes covered; set out of reach when the block is dropped, so that the run loop's limit check refuses it.
  package var byteLength: Int64
  /// Granules of its page that it depends on.
  package var granules: UInt64
  /// Those of them that were looked at beside its own bytes when it was translated.
  package var scanned: UInt64 = 0
  /// Second page of a block that crosses, or UInt32.max.
  package var secondPage: UInt32
  /// Next block in the same hash bucket, and in the same page.
  var nextInBucket: UnsafeMutablePointer<Block>?
  var nextInPage: UnsafeMutablePointer<Block>?
  /// Translated code, or nil.
  package var code: UnsafeRawPointer? = nil
  /// `CPUState.codeTag` less the epoch, and the EIP, for which `code` was made.
  package var codeContext: UInt64 = 0
  package var codeEIP: UInt32 = 0
  /// Instructions whose memory accesses do not use the window, by bit.
  package var tableSites: UInt64 = 0
  /// It was met with x87 exceptions unmasked: its code looks for them.
  package var seesFPUErrors = false
  /// How often it was interpreted since it was decoded; begins below zero where code is written again and again.
  var heat: UInt32 = 0
  /// How often in a row it was written again before it had run more than twice.
  var coldWrites: UInt8 = 0
  /// Records there is room for, and how often the block was decoded anew in its place.
  var capacity: Int32 = 0
  var rebirths: UInt32 = 0
  /// The bytes of its records, once it was decoded anew: most of them will be the same the next time.
  var bytes: UnsafeMutablePointer<UInt8>?
  /// The translator's number for it.
  package var codeNumber: Int32 = -1
  /// Code for other contexts, `CodeVersion.others` of them, or nil.
  var others: UnsafeMutablePointer<CodeVersion>?
}

/// Translated code of a block that the present context cannot use, or none.
package struct CodeVersion {
  static let others = 3
  var code: UnsafeRawPointer?
  var context: UInt64 = 0
  var eip: UInt32 = 0
  var number: Int32 = -1
}

/// What a dropped block knew of the code that was where it is to be decoded again.
struct FormerRecords {
  var records: UnsafeMutablePointer<Instruction>?
  var bytes: UnsafeMutablePointer<UInt8>?
  var count = 0

  /// Takes over a record, if the bytes from which it was decoded are there again.
  @inline(__always)
  func reuse(
    _ n: Int, at: Int, _ code: UnsafePointer<UInt8>, room: Int,
    into target: UnsafeMutablePointer<Instruction>
  ) -> Bool {
    guard n < count, let records, let bytes, records[n].handler != .waitJump else { return false }
    let length = Int(records[n].length)
    if Int(records[n].nextOffset) != at &+ length || length > room { return false }
    for k in 0..<length where code[k] != bytes[at &+ k] { return false }
    target[n] = records[n]
    return true
  }
}
