// Several processors of one machine run one after the other, each for a number of instructions.
//
// Owns: what a processor needs for that. Must not know: whose turn it is, nor how long turns are; that is the machine's.

extension CPU {
  /// Whether `run` would do anything but come back as halted: it is not halted, or what wakes it is there.
  public var canRun: Bool {
    let attention = s.pointee.attention
    if !s.pointee.halted || s.pointee.shutdown || s.pointee.pendingDebug != 0 { return true }
    if attention & (Attention.debugger | Attention.stop) != 0 { return true }
    if attention & Attention.nmi != 0 && !s.pointee.nmiBlocked { return true }
    return attention & Attention.intr != 0 && s.pointee.eflags & EFLAGS.if != 0
  }

  /// Others have run meanwhile: the count of instructions, which is the machine's, and the time-stamp counter move on.
  /// - Parameters:
  ///   - count: the machine's count of instructions now.
  ///   - stamps: by how much more the time-stamp counter moves on than that count says.
  public func waited(to count: UInt64, stamps: UInt64) {
    // Going on at a breakpoint that it stopped at is no new arrival.
    if debug.resumeCount == s.pointee.retired { debug.resumeCount = max(count, s.pointee.retired) }
    if count > s.pointee.retired { s.pointee.retired = count }
    s.pointee.tscBase &+= stamps
  }

  /// Forgets what was noted for a debugger that hears of it from another processor.
  public func forgetDebugEvents() {
    debug.pending = []
    s.pointee.attention &= ~Attention.debugger
  }
}
