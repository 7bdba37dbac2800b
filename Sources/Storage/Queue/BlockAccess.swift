// What is asked of a device ahead of time.
//
// Owns: the words for it, and what a device answers that does everything at once. Must not know: threads, who asks.
// A guest's command ends at a virtual time that nothing on the host changes. What the host's disk has to do for it can begin before, and
// whoever runs the guest waits at that time for what is not done yet.

import Host

/// Something that will be asked of a device soon.
public enum BlockAccess: Equatable, Sendable {
  case read(block: UInt64, count: UInt64)
  case write(block: UInt64, count: UInt64)
  case flush
}

extension BlockDevice {
  public func prepare(_ access: BlockAccess) {}
  public func isReady(for access: BlockAccess) -> Bool { true }
  public func awaitProgress(nanoseconds: UInt64) {
    let condition = HostCondition()
    condition.locked { condition.wait(nanoseconds: nanoseconds) }
  }
  public var trouble: StorageError? { nil }
}
