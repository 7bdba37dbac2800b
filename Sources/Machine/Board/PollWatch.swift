// Tells a guest that waits for a key in a tight loop from one that works.
//
// Owns: the judgement, from guest-visible things only, so that it is the same in every run. Must not know: the host's time, the BIOS.
//
// DOS programs ask for keys again and again (INT 16h/01h) instead of halting, and would keep the host busy. The own BIOS reads this port
// whenever it has to answer "no key", right after the interrupt mask; where it reads 01h it halts until the next interrupt, as POWER.EXE
// and its like did on portable PCs. In virtual 8086 mode, whose monitor may know no HLT, it spends a millisecond with slow accesses instead.
//
//   8902h read: 01h when the guest only waits, else 00h. A machine without the port reads FFh.
//   8903h read: what happened since that question was the BIOS's waiting, not the guest's work.

import Bus
import Chipset
import State
import Video

/// Ports 8902h and 8903h.
final class PollWatch: Device, Registers {
  let stateName = "poll-watch"

  private let clock: VirtualClock
  /// It is one of its devices itself: a strong reference would keep both, and every image, for ever.
  private unowned let ports: PortSpace
  private let vga: VGA

  /// Retired instructions at the last question.
  private var lastInstruction: UInt64 = 0
  /// The same for port accesses and what the screen shows; a guest that changes either is at work.
  private var lastAccess: UInt64 = 0
  private var lastGeneration: UInt64 = 0
  /// Questions in a row with next to nothing between them.
  private var streak: UInt32 = 0

  /// The most instructions between two questions of a guest that only waits.
  private static let nearby: UInt64 = 3_000
  private static let patience: UInt32 = 32

  init(clock: VirtualClock, ports: PortSpace, vga: VGA) {
    self.clock = clock
    self.ports = ports
    self.vga = vga
  }

  func read(at offset: UInt32, width: Int) -> UInt32 {
    let now = clock.count
    let (access, generation) = (ports.accessCount, vga.frameGeneration)
    if offset == 1 {
      (lastInstruction, lastAccess) = (now, access)
      return 0
    }
    // The accesses are the BIOS's look at the interrupt mask, outside of virtual 8086 mode, and the question itself.
    let idle =
      now &- lastInstruction <= PollWatch.nearby && access &- lastAccess <= 2
      && generation == lastGeneration && !vga.changesUnannounced
    streak = idle ? min(streak + 1, PollWatch.patience) : 0
    (lastInstruction, lastAccess, lastGeneration) = (now, access, generation)
    return streak >= PollWatch.patience ? 1 : 0
  }

  func write(at offset: UInt32, _ value: UInt32, width: Int) {}

  func reset(_ kind: ResetKind) { streak = 0 }

  func save(to writer: inout StateWriter) {
    writer.write(lastInstruction)
    // Neither count is the same in another process; how far they are is.
    writer.write(ports.accessCount &- lastAccess)
    writer.write(vga.frameGeneration == lastGeneration)
    writer.write(streak)
  }

  func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    lastInstruction = try reader.read(UInt64.self)
    lastAccess = ports.accessCount &- (try reader.read(UInt64.self))
    lastGeneration = try reader.readBool() ? vga.frameGeneration : vga.frameGeneration &- 1
    streak = try reader.read(in: 0...PollWatch.patience)
  }
}

extension PollWatch {
  static let part = PartType(
    "poll-watch", "ports 8902h and 8903h, which tell the BIOS of guests that only wait"
  ) {
    board, _ in
    let watch = PollWatch(
      clock: board.clock, ports: board.ports, vga: try board.need(VGA.self, for: "poll-watch"))
    try board.claim(watch, at: 0x8902...0x8903, .quick, owner: watch.stateName)
    try board.add(watch)
  }

  func inspect() -> [Field] {
    [.count("questions in a row", streak), .count("last at instruction", lastInstruction)]
  }
}
