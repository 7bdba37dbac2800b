// The disks that somebody at the window or the console may put in one after another.
//
// Owns: the list for each drive and its place in it. Must not know: what the images are, the machine.

import Synchronization

/// Lists of floppies' paths, for any thread.
public final class FloppyQueue: Sendable {
  private struct Drive {
    var paths: [String] = []
    var present: Int?
  }
  private let drives = Mutex([Drive(), Drive()])

  /// - Parameter lists: for A and B, the first of each being in the drive.
  public init(_ lists: [[String]] = []) {
    for (index, paths) in lists.prefix(2).enumerated() {
      drives.withLock { $0[index] = Drive(paths: paths, present: paths.isEmpty ? nil : 0) }
    }
  }

  /// The disk after the present one, round and round; nil: there is no other. It counts as the present one from now on.
  public func next(_ drive: Int) -> String? {
    drives.withLock {
      guard $0.indices.contains(drive), !$0[drive].paths.isEmpty else { return nil }
      let next = $0[drive].present.map { ($0 + 1) } ?? 0
      let index = next % $0[drive].paths.count
      if index == $0[drive].present { return nil }
      $0[drive].present = index
      return $0[drive].paths[index]
    }
  }

  /// A disk goes in that may be new to the list.
  public func insert(_ path: String, _ drive: Int) {
    drives.withLock {
      guard $0.indices.contains(drive) else { return }
      if let known = $0[drive].paths.firstIndex(of: path) {
        $0[drive].present = known
      } else {
        $0[drive].paths.append(path)
        $0[drive].present = $0[drive].paths.count - 1
      }
    }
  }

  /// The drive is empty; the next one is the one that was in it.
  public func eject(_ drive: Int) {
    drives.withLock {
      guard $0.indices.contains(drive), let present = $0[drive].present else { return }
      $0[drive].present = nil
      // So that the next one is what was taken out.
      let paths = $0[drive].paths
      $0[drive].paths = Array(paths[present...] + paths[..<present])
    }
  }
}
