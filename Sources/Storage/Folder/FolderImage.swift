// The read-only disk that a folder is.
//
// Owns: sectors made on the fly, files read when they are asked for. Must not know: names, FAT's structures (the layout makes them), writes.

import Host

/// A folder's disk as it was when it was opened.
final class FolderImage: BlockDevice {
  let blockSize = 512
  let blockCount: UInt64
  let capabilities: BlockCapabilities = [.knowsAllocation]
  let generation: UInt64 = 0
  let layout: FolderLayout
  private let path: String
  /// Files that are open, by their place in the tree; those used longest ago are closed.
  private var open: [Int: (file: HostFile, mark: FileMark, used: UInt64)] = [:]
  private var clock: UInt64 = 0
  private static let mostOpen = 32
  /// Files that were replaced or removed since: what they were is elsewhere.
  private var moved: [Int: String] = [:]

  init(_ layout: FolderLayout) {
    self.layout = layout
    path = layout.tree.items[0].path
    blockCount = layout.sectorCount
  }

  var name: String { "folder:" + path }
  var layer: BlockLayer {
    BlockLayer(
      kind: "folder", file: path, of: self,
      details: ["\(layout.tree.items.count - 1) files and folders, \(layout.measures.kind.name)"])
  }

  private var dataStart: UInt64 { layout.start + layout.dataStart }

  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    let end = block + UInt64(buffer.count / 512)
    var sector = block
    while sector < end {
      let at = Int(sector - block) * 512
      if sector < dataStart {
        put(
          layout.headSector(sector), UnsafeMutableRawBufferPointer(rebasing: buffer[at..<at + 512]))
        sector += 1
        continue
      }
      let perCluster = UInt64(layout.measures.sectorsPerCluster)
      let number = (sector - dataStart) / perCluster + 2
      guard number < UInt64(layout.usedEnd), let extent = layout.extent(of: UInt32(number)) else {
        // Nothing is behind the last file.
        UnsafeMutableRawBufferPointer(rebasing: buffer[at...]).initializeMemory(
          as: UInt8.self, repeating: 0)
        return
      }
      let first = dataStart + UInt64(extent.first - 2) * perCluster
      let last = min(end, first + UInt64(extent.count) * perCluster)
      let part = UnsafeMutableRawBufferPointer(
        rebasing: buffer[at..<at + Int(last - sector) * 512])
      if layout.tree.items[extent.item].isFolder {
        let bytes = layout.folders[extent.item] ?? []
        for n in 0..<last - sector {
          put(
            layout.slice(bytes, sector - first + n),
            UnsafeMutableRawBufferPointer(rebasing: part[Int(n) * 512..<Int(n) * 512 + 512]))
        }
      } else {
        try read(extent.item, (sector - first) * 512, part)
      }
      sector = last
    }
  }

  private func put(_ bytes: [UInt8], _ buffer: UnsafeMutableRawBufferPointer) {
    buffer.copyBytes(from: bytes)
    if bytes.count < buffer.count {
      UnsafeMutableRawBufferPointer(rebasing: buffer[bytes.count...]).initializeMemory(
        as: UInt8.self, repeating: 0)
    }
  }

  /// A file's bytes; behind its end are zeros.
  private func read(_ item: Int, _ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    let size = layout.tree.items[item].facts.size
    let inside = offset >= size ? 0 : Int(min(UInt64(buffer.count), size - offset))
    if inside > 0 {
      try file(item).read(
        at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<inside]))
    }
    if inside < buffer.count {
      UnsafeMutableRawBufferPointer(rebasing: buffer[inside...]).initializeMemory(
        as: UInt8.self, repeating: 0)
    }
  }

  /// An open file that is what it was when the disk was made.
  private func file(_ item: Int) throws(StorageError) -> HostFile {
    clock += 1
    let known = layout.tree.items[item]
    if let found = open[item] {
      if let change = found.file.change(since: found.mark), moved[item] == nil {
        throw StorageError(
          path: known.path, reason: "changed while it was a part of a disk: \(change)")
      }
      open[item]?.used = clock
      return found.file
    }
    let place = moved[item] ?? known.path
    let file = try HostFile(path: place, writable: false, looksOnly: true)
    let facts = HostFiles.facts(place)
    guard let facts, facts.size == known.facts.size, facts.seconds == known.facts.seconds,
      facts.nanoseconds == known.facts.nanoseconds
    else {
      throw StorageError(path: known.path, reason: "changed since it became a part of a disk")
    }
    if open.count >= FolderImage.mostOpen,
      let oldest = open.min(by: { $0.value.used < $1.value.used })
    {
      open[oldest.key] = nil
    }
    open[item] = (file, file.mark(), clock)
    return file
  }

  /// What a file was is at another path from now on.
  func moved(_ item: Int, to place: String) {
    moved[item] = place
    open[item] = nil
  }

  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    throw StorageError(path: name, reason: "the folder is only read")
  }

  func flush() throws(StorageError) {}

  func nextData(from block: UInt64) -> UInt64 {
    let end =
      dataStart
      + UInt64(layout.usedEnd - 2) * UInt64(layout.measures.sectorsPerCluster)
    return block < min(end, blockCount) ? block : blockCount
  }

  func extent(at block: UInt64, limit: UInt64) throws(StorageError) -> BlockExtent {
    try checkBlocks(block, 1)
    let most = min(max(1, limit), blockCount - block)
    let end =
      nextData(from: block) == block
      ? dataStart + UInt64(layout.usedEnd - 2) * UInt64(layout.measures.sectorsPerCluster)
      : blockCount
    return BlockExtent(
      end == blockCount ? .zero : .data, count: min(most, max(1, min(end, blockCount) - block)))
  }

  func close() { open = [:] }
}
