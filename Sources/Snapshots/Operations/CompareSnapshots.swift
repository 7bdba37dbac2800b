// What differs between two snapshots.
//
// Owns: the comparison. Must not know: how it is shown.

import Machine
import State
import Storage
import Store

/// What differs between two snapshots, the first being the earlier one as a rule.
public struct SnapshotDifference: Equatable, Sendable {
  /// Pages of memory that differ, as runs, ascending.
  public var pages: [Range<UInt64>] = []
  /// Devices and other parts whose state differs, by the names of saved states.
  public var parts: [String] = []
  /// For each disk the bytes in which it may differ, in steps of 64 KiB.
  public var disks: [(drive: String, ranges: [Range<UInt64>])] = []
  /// Rows of the text screen that differ: number, first, second.
  public var rows: [(row: Int, before: String, after: String)] = []

  public init() {}

  public static func == (a: SnapshotDifference, b: SnapshotDifference) -> Bool {
    a.pages == b.pages && a.parts == b.parts
      && a.disks.elementsEqual(b.disks, by: { $0.drive == $1.drive && $0.ranges == $1.ranges })
      && a.rows.elementsEqual(b.rows, by: { $0 == $1 })
  }
}

extension SnapshotTree {
  /// Compares two snapshots.
  public func compare(_ first: String, _ second: String) throws(StorageError) -> SnapshotDifference
  {
    try exclusively { () throws(StorageError) in
      let (a, b) = (try find(first), try find(second))
      var result = SnapshotDifference()
      if a.kind == .machine, b.kind == .machine {
        var pages: [UInt64] = []
        let before = try ContentList(a.memory, in: store, count: a.pageCount)
        try ContentList(b.memory, in: store, count: b.pageCount).difference(
          from: before, in: store
        ) { (slot, _, _) throws(StorageError) in pages.append(slot) }
        result.pages = SnapshotTree.runs(pages)
        if let one = try head(of: a), let other = try head(of: b) {
          do throws(StateError) { result.parts = try Machine.differingParts(one, other) } catch {
            throw StorageError(path: folder, reason: "\(error)")
          }
        }
        let (old, new) = (a.text ?? [], b.text ?? [])
        for row in 0..<max(old.count, new.count) {
          let (one, other) = (row < old.count ? old[row] : "", row < new.count ? new[row] : "")
          if one != other { result.rows.append((row, one, other)) }
        }
      }
      for (index, disk) in state.disks.enumerated() {
        result.disks.append((disk.drive, try changes(a, b, index, disk)))
      }
      return result
    }
  }

  /// Where a disk differs between two snapshots: what was overwritten between them, unless it was written back.
  private func changes(_ a: SnapshotRecord, _ b: SnapshotRecord, _ index: Int, _ disk: TreeDisk)
    throws(StorageError) -> [Range<UInt64>]
  {
    let (one, other) = (try differences(a, disk: index), try differences(b, disk: index))
    // A cluster that one of them has from the image and the other not may have become the same again: that is not looked at.
    let clusters = Set(one.names.keys).union(other.names.keys).filter {
      one.names[$0] != other.names[$0]
    }.sorted()
    return SnapshotTree.runs(clusters).map { run in
      run.lowerBound
        * SnapshotTree.clusterSize..<min(
          disk.byteCount, run.upperBound * SnapshotTree.clusterSize)
    }
  }

  private static func runs(_ numbers: [UInt64]) -> [Range<UInt64>] {
    var runs: [Range<UInt64>] = []
    for number in numbers {
      if let last = runs.last, last.upperBound == number {
        runs[runs.count - 1] = last.lowerBound..<number + 1
      } else {
        runs.append(number..<number + 1)
      }
    }
    return runs
  }
}
