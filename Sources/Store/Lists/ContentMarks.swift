// What lives: all names that lists lead to, for a sweep.
//
// Owns: going through each chunk once, however many lists share it. Must not know: sweeping.

import Storage

/// Names that are needed.
public struct ContentMarks: Sendable {
  /// All of them.
  public private(set) var live: Set<ContentName> = []
  /// Chunks that were gone through. What is only in `live` may be an object of a guest's making that looks like a chunk.
  private var chunks: Set<ContentName> = []

  public init() {}

  /// An object is needed by itself.
  public mutating func insert(_ name: ContentName) {
    if name != .zero { live.insert(name) }
  }

  /// A list is needed with everything in it.
  public mutating func insert(_ list: ContentList, in store: ContentStore) throws(StorageError) {
    insert(list.name)
    let reader = ContentListReader(list, in: store)
    let new = list.chunks.reduce(0) { $0 + ($1 == .zero || chunks.contains($1) ? 0 : 1) }
    live.reserveCapacity(live.count + new * ContentList.slotsPerChunk)
    for (index, chunk) in list.chunks.enumerated() where chunk != .zero {
      if !chunks.insert(chunk).inserted { continue }
      live.insert(chunk)
      try reader.open(index)
      // All of the chunk: another list may share it and be longer.
      for slot in 0..<ContentList.slotsPerChunk { insert(reader.chunkName(slot)) }
    }
  }
}
