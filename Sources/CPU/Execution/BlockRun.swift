// The interpreter's loop over whole blocks, and the way from one block to the next.
//
// Owns: executing blocks from their start while nothing is pending and the deadline leaves room, and the links between them. What each
// form does is made from forms.txt (`carryOut`); what an instruction does beside registers and memory behind the tables of the fast path
// is left to its handler (the long way).
// Must not know: what is pending; `run` looks at that.

/// How execution goes on behind a form.
enum BlockStep: UInt8 {
  /// With the next record.
  case next
  /// The form has done nothing: the handler is called.
  case slow
  /// A handler was called, which may have changed anything.
  case done
  /// A conditional jump is taken, or not.
  case yes, no
  /// With another block; EIP is known.
  case branched
}

extension CPU {
  /// Runs a block and, as long as nothing needs the run loop, those that follow. There is room for the block before the deadline.
  @inline(never)
  func runBlocks(_ first: BlockPointer, _ firstEIP: UInt32) throws(Fault) {
    let s = self.s
    let trail = self.trail
    var block = first
    var eip = firstEIP
    while true {
      var p = UnsafePointer(block.pointee.records)
      let codeBase = segmentPointer(SegmentRegister.cs).pointee.base
      trail[trailIndex & 31] = codeBase &+ eip
      trailIndex = trailIndex &+ 1
      let link: UnsafeMutablePointer<BlockLink>
      linked: do {
        branched: do {
          yes: do {
            no: do {
              while true {
                switch try carryOut(&p, &eip, block, s) {
                case .next:
                  p += 1
                  continue
                case .yes: break yes
                case .no: break no
                case .branched: break branched
                case .slow:
                  s.begin(p, block, eip)
                  try executeOne(p)
                case .done: break
                }
                // What was called may have changed anything.
                p += 1
                let end = UnsafePointer(block.pointee.records) + Int(block.pointee.count)
                if p == end {
                  eip = s.pointee.eip
                  break branched
                }
                if s.pointee.end == end && s.pointee.codeTag != 0 { continue }
                // The block is to end earlier, or segments are not what the forms rely on.
                if p < s.pointee.end { p = try executeRecords(p) }
                s.pointee.retired &+= UInt64(p - s.pointee.blockStart)
                if p != end {
                  s.pointee.eip = s.pointee.blockEIP &+ UInt32((p - 1).pointee.nextOffset)
                }
                leaveBlock()
                return
              }
            }
            eip = s.next(p, eip)
            link = BlockLink.next(of: block)
            break linked
          }
          let target = s.target(p, eip)
          if target > s.codeLimit {
            s.begin(p, block, eip)
            throw .gp(0)
          }
          eip = target
        }
        link = BlockLink.branch(of: block)
      }
      let retired = s.pointee.retired &+ UInt64(UInt32(bitPattern: block.pointee.count))
      s.pointee.retired = retired
      let tag = s.codeKey(codeBase &+ eip)
      if link.pointee.tag != tag && !follow(link, eip, tag)
        || (s.pointee.attention != 0 && waits) || retired >= s.pointee.deadline
        || link.pointee.block.pointee.cost > s.pointee.deadline &- retired
      {
        s.pointee.eip = eip
        leaveBlock()
        return
      }
      block = link.pointee.block
    }
  }

  /// Sets a link to the block that follows, if that can be entered as it is.
  @inline(never)
  private func follow(_ link: UnsafeMutablePointer<BlockLink>, _ eip: UInt32, _ tag: UInt64) -> Bool
  {
    // With a translator the run loop counts how often a block is met.
    guard enterCode == nil, s.pointee.codeTag != 0 else { return false }
    let slot = blocks.slot(UInt32(truncatingIfNeeded: tag))
    guard slot.pointee.tag == tag, let block = slot.pointee.block,
      Int64(eip) &+ block.pointee.byteLength &- 1
        <= Int64(segmentPointer(SegmentRegister.cs).pointee.limit),
      block.pointee.flatness & ~flatness == 0
    else { return false }
    if !block.pointee.hasForms { blocks.chooseForms(block) }
    link.pointee = BlockLink(tag: tag, block: block)
    return true
  }

  /// Shifts and rotates of any kind; true where the instruction has to go the long way.
  @inline(__always)
  func shiftRM<T: FixedWidthInteger & UnsignedInteger>(
    _ i: Insn, _ m: UnsafeMutableRawPointer?, _: T.Type
  ) -> Bool {
    guard let m else { return true }
    let count = (i.pointee.countsByCL ? s.reg(4) : i.pointee.imm) & 31
    m.storeBytes(of: shift(i, m.loadUnaligned(as: T.self), count), as: T.self)
    return false
  }

  /// An instruction's handler.
  @inline(never)
  func executeOne(_ p: Insn) throws(Fault) { try execute(p) }
}
