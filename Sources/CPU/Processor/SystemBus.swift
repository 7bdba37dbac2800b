// What the processor sees of the rest of the machine.
//
// Owns: the interface, as a class to be overridden (a virtual call costs a nanosecond, an existential fourteen); what a processor needs to
// take turns with others. Must not know: any device, whose turn it is.

/// The processor's pins: I/O cycles, interrupt acknowledge, FERR#.
open class SystemBus {
  public init() {}

  /// An I/O read of 1, 2 or 4 bytes.
  open func portRead(_ port: UInt16, width: Int) -> UInt32 { UInt32.max >> UInt32(32 - 8 * width) }
  /// An I/O write of 1, 2 or 4 bytes.
  open func portWrite(_ port: UInt16, _ value: UInt32, width: Int) {}
  /// The interrupt acknowledge cycle: the vector of the highest request.
  open func acknowledgeInterrupt() -> UInt8 { 0xFF }
  /// IA32_APIC_BASE was written: bit 11 enables the local APIC, bits 12-35 are its base. After a reset it is FEE00900h.
  open func apicBaseWritten(_ value: UInt64) {}
  /// FERR#: an unmasked x87 error is pending and CR0.NE is clear (drives IRQ 13).
  open func ferr(_ asserted: Bool) {}
  /// IGNNE#: waiting x87 instructions run although an error is pending and CR0.NE is clear. Asserted where nobody listens to FERR#.
  open var ignoresNumericErrors: Bool { true }
  /// The processor leaves system management mode, and an INIT# came meanwhile (`CPU.holdsInit`).
  open func heldInit() {}
  /// A special cycle after which the processor does nothing more: triple fault.
  open func shutdownCycle() {}
  /// How many units of `width` bytes a port can move at once, up to and with the one that makes something happen; 0: none.
  open func portBlockRoom(_ port: UInt16, width: Int) -> Int { 0 }
  /// Fast string I/O: moves `count` units of `width` bytes, at most `portBlockRoom`, from a port to host memory; returns how many were
  /// moved (0: do it one by one).
  open func portReadBlock(
    _ port: UInt16, width: Int, into buffer: UnsafeMutableRawPointer, count: Int
  ) -> Int { 0 }
  /// The same from host memory to a port.
  open func portWriteBlock(
    _ port: UInt16, width: Int, from buffer: UnsafeRawPointer, count: Int
  ) -> Int { 0 }
}

// MARK: - Turns

extension CPU {
  /// Whether `run` would do anything but come back as halted: it is not halted, or what wakes it is there.
  public var canRun: Bool {
    let attention = s.pointee.attention
    if !s.pointee.halted || s.pointee.shutdown || s.pointee.pendingDebug != 0 { return true }
    if attention & (Attention.debugger | Attention.stop) != 0 { return true }
    if attention & Attention.nmi != 0 && !s.pointee.nmiBlocked { return true }
    if attention & Attention.smi != 0 { return true }
    return attention & Attention.intr != 0 && s.pointee.eflags & EFLAGS.if != 0
  }

  /// Others have run meanwhile: the count of instructions, which is the machine's, moves on.
  /// - Parameter count: the machine's count of instructions now.
  public func waited(to count: UInt64) {
    // Going on at a breakpoint that it stopped at is no new arrival.
    if debug.resumeCount == s.pointee.retired { debug.resumeCount = max(count, s.pointee.retired) }
    if count > s.pointee.retired { s.pointee.retired = count }
  }

  /// The start-up message of another processor: execution begins at a page of the first megabyte. To be called after a reset or INIT.
  public func begin(page: UInt8) {
    let cs = segmentPointer(SegmentRegister.cs)
    cs.pointee.selector = UInt16(page) << 8
    cs.pointee.base = UInt32(page) << 12
    s.pointee.eip = 0
    updateSegmentLimits(SegmentRegister.cs)
    updateMode()
  }

  /// From here on the time-stamp counter counts up from a value, at the rate it has.
  public func setTimeStamps(_ value: UInt64) {
    s.pointee.tscBase = value
    s.pointee.tscBaseCount = s.pointee.retired
  }

  /// From here on the time-stamp counter counts up from a value.
  /// - Parameters:
  ///   - value: what it is now.
  ///   - hertz: of the processor, below 2^32.
  ///   - rate: counts of the machine in a second, at least 1,000.
  public func setTimeStamps(_ value: UInt64, hertz: UInt64, countsPerSecond rate: UInt64) {
    s.pointee.tscBase = value
    s.pointee.tscBaseCount = s.pointee.retired
    s.pointee.tscScale = (hertz << 32) / rate
  }

  /// Forgets what was noted for a debugger that hears of it from another processor.
  public func forgetDebugEvents() {
    debug.pending = []
    s.pointee.attention &= ~Attention.debugger
  }
}
