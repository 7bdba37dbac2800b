// How often clusters are referred to: what refcounts should be.
//
// Owns: the counts, in memory bounded by how many clusters are referred to. Must not know: where references come from.

/// Counts for clusters, most of which may be nobody's.
struct QCOW2References {
  static let pageBits: UInt64 = 9
  /// 2 GB: as many as 32 TB of data in clusters of 64 KB need.
  private static let mostPages = 1 << 20
  /// References are to more places than any image of this world has; those that came later were not counted.
  private(set) var isFull = false
  private var pages: [[UInt32]] = []
  private var index: [UInt64: Int] = [:]
  private var recentNumber = UInt64.max
  private var recent = 0
  /// Behind the last cluster that is referred to.
  private(set) var end: UInt64 = 0

  subscript(cluster: UInt64) -> UInt32 {
    guard let page = index[cluster >> QCOW2References.pageBits] else { return 0 }
    return pages[page][Int(cluster & (1 << QCOW2References.pageBits - 1))]
  }

  mutating func add(_ cluster: UInt64, _ count: UInt32 = 1) {
    let number = cluster >> QCOW2References.pageBits
    if number != recentNumber {
      if let page = index[number] {
        recent = page
      } else if pages.count >= QCOW2References.mostPages {
        isFull = true
        return
      } else {
        recent = pages.count
        index[number] = recent
        pages.append([UInt32](repeating: 0, count: 1 << Int(QCOW2References.pageBits)))
      }
      recentNumber = number
    }
    let at = Int(cluster & (1 << QCOW2References.pageBits - 1))
    pages[recent][at] =
      pages[recent][at].addingReportingOverflow(count).overflow
      ? .max : pages[recent][at] + count
    end = max(end, cluster + 1)
  }

  /// The clusters that are referred to, ascending.
  func each(_ body: (UInt64, UInt32) throws(StorageError) -> Void) throws(StorageError) {
    for number in index.keys.sorted() {
      let page = pages[index[number]!]
      for (n, count) in page.enumerated() where count > 0 {
        try body(number << QCOW2References.pageBits + UInt64(n), count)
      }
    }
  }
}
