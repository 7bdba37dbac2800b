// Which clusters of a disk: a set that is handed out.
//
// Owns: what may be asked of it. Must not know: what is with these clusters.

/// Numbers of clusters of `UndoDevice.clusterSize` bytes. Copies are cheap.
public struct ClusterSet: Sendable {
  var numbers = BlockSet()

  public init() {}
  init(_ numbers: BlockSet) { self.numbers = numbers }
  init(_ clusters: some Sequence<UInt64>) {
    var run: Range<UInt64>?
    for cluster in clusters {
      if let begun = run, begun.upperBound == cluster {
        run = begun.lowerBound..<cluster + 1
      } else {
        if let run { numbers.insert(run) }
        run = cluster..<cluster + 1
      }
    }
    if let run { numbers.insert(run) }
  }

  /// Those of another set, too.
  public mutating func formUnion(_ other: ClusterSet) {
    other.forEachRun { numbers.insert($0) }
  }

  /// How many there are.
  public var count: UInt64 { numbers.count }
  /// Whether there are none.
  public var isEmpty: Bool { numbers.isEmpty }
  /// Whether a cluster is one of them.
  public func contains(_ cluster: UInt64) -> Bool { numbers.contains(cluster) }
  /// Runs of neighbours, ascending; what is without a gap may be in several runs.
  public func forEachRun(_ body: (Range<UInt64>) -> Void) { numbers.forEachRun(body) }
}
