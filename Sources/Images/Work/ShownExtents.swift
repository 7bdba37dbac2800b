// What shows of a disk: data or zeros, through all layers.
//
// Owns: the walk down the layers. Must not know: what is done with it.

import Storage

/// The layers of a device, to be asked for what shows.
struct ShownExtents {
  /// The topmost first; all in blocks of the same size.
  let layers: [any BlockDevice]

  /// What is to be said of a run of blocks.
  struct Run: Equatable {
    /// They read as zeros.
    var isZero: Bool
    var count: UInt64
    /// How many layers above have nothing of their own there.
    var depth: Int
    /// Whether any layer has something to say of them.
    var isPresent: Bool
    var offset: UInt64?
    var isCompressed = false
  }

  init(_ device: any BlockDevice) {
    var layers = [device]
    while let base = layers[layers.count - 1].base {
      layers.append(base.withBlocks(of: device.blockSize))
    }
    self.layers = layers
  }

  /// The run that begins at a block.
  func run(at block: UInt64, limit: UInt64) throws(StorageError) -> Run {
    var limit = min(limit, layers[0].blockCount - block)
    for (depth, layer) in layers.enumerated() {
      // What lies behind a shorter base's end is zeros.
      if block >= layer.blockCount {
        return Run(isZero: true, count: limit, depth: depth, isPresent: false)
      }
      let inside = min(limit, layer.blockCount - block)
      let found = try layer.extent(at: block, limit: inside)
      let count = min(max(1, found.count), inside)
      switch found.kind {
      case .data:
        return Run(
          isZero: false, count: count, depth: depth, isPresent: true, offset: found.offset,
          isCompressed: found.isCompressed)
      case .zero:
        return Run(
          isZero: true, count: count, depth: depth, isPresent: true, offset: found.offset)
      case .absent: limit = count
      }
    }
    return Run(isZero: true, count: limit, depth: max(0, layers.count - 1), isPresent: false)
  }
}
