// RAM below 4 GiB as translated code of unpaged modes reaches it: a window of the host's address space.
//
// Owns: what the window shows, and which of its pages cannot be written because they hold decoded code. Must not know: who runs.

import Host

extension PhysicalMemory {
  /// Makes conventional and extended memory appear in a window of the host's address space, pages with decoded code only for reading.
  /// - Returns: where physical address 0 is, or nil when the host has no such thing.
  func openWindow() -> UnsafeMutableRawPointer? {
    if let window { return window.base }
    guard MemoryWindow.isSupported, let new = try? MemoryWindow() else { return nil }
    guard new.map(ramRegion, offset: 0, at: 0, count: 0xA0000) else { return nil }
    if layout.low > 0x100000 {
      let count = Int(layout.low) - 0x100000
      guard new.map(ramRegion, offset: 0x100000, at: 0x100000, count: count) else { return nil }
    }
    for page in 0..<lowPages where isInWindow(page) {
      if !isRAM(page: page) {
        new.hide(at: Int(page) << 12)
      } else if hasCode(page: page) && !protect(new, page) {
        return nil
      }
    }
    window = new
    return new.base
  }

  /// - Returns: false when the host refuses.
  func protect(_ window: MemoryWindow, _ page: UInt32) -> Bool {
    if windowStates[Int(page)] & PhysicalMemory.windowReadOnly != 0 { return true }
    windowGuard?.release(Int(page))
    if !window.setWritable(false, at: Int(page) << 12) { return false }
    windowStates[Int(page)] |= PhysicalMemory.windowReadOnly
    windowRuns += 1 - readOnlyNeighbours(page)
    return true
  }

  func readOnlyNeighbours(_ page: UInt32) -> Int {
    func readOnly(_ n: UInt32) -> Int {
      n < lowPages ? Int(windowStates[Int(n)] >> 7) : 0
    }
    return readOnly(page &- 1) + readOnly(page &+ 1)
  }

  /// So many runs of pages that can only be read, each a mapping of the host's, of which a process has some ten thousand, that they must
  /// be given up.
  var isWindowFragmented: Bool { windowRuns > 12_000 }

  /// Lets all of the window be written; no page may hold code.
  func joinWindow() {
    guard let window, windowRuns > 0 else { return }
    windowGuard?.giveUp(0..<Int(lowPages))
    for (start, end) in [(0, 0xA0000), (0x100000, Int(layout.low))] where start < end {
      _ = window.setWritable(true, at: start, count: end - start)
    }
    windowStates.update(repeating: 0, count: Int(lowPages))
    windowRuns = 0
  }

  /// Whether the window shows a page only for reading on account of code.
  func isReadOnlyInWindow(_ page: Int) -> Bool {
    windowStates[page] & PhysicalMemory.windowReadOnly != 0
  }

  @inline(__always) func isInWindow(_ page: UInt32) -> Bool {
    page < lowPages && !(0xA0..<0x100).contains(page)
  }
}
