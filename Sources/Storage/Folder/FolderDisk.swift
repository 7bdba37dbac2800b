// folder:PATH: a folder of the host as a disk.
//
// Owns: opening it, and the disk that keeps a guest's writes until they go into the folder. Must not know: FAT, drives.

import Host
import State

/// What a folder's disk is to be like.
public struct FolderOptions: Sendable {
  /// A guest's writes go into the folder; otherwise the disk is write-protected.
  public var isWritable = false
  /// FAT16 or FAT32; nil: as the folder's size says.
  public var kind: FATKind?
  /// Bytes of the disk; nil: as the folder's size says.
  public var byteCount: UInt64?
  /// A floppy of 1.44 MB, without partitions.
  public var isFloppy = false
  public var label: String? = "FOLDER"
  /// Hears what the user should know, a line at a time.
  public var report: (@Sendable (String) -> Void)?
  public init() {}

  /// Reads what stands behind "folder:": "PATH" or "PATH,rw,size=1G,label=NAME,fat=32,floppy"; a comma in the path is written twice.
  public static func parse(_ text: String) throws(StorageError) -> (
    path: String, options: FolderOptions
  ) {
    var parts: [String] = [""]
    var rest = text[...]
    while let character = rest.popFirst() {
      if character == ",", rest.first == "," {
        rest.removeFirst()
      } else if character == "," {
        parts.append("")
        continue
      }
      parts[parts.count - 1].append(character)
    }
    var options = FolderOptions()
    for part in parts.dropFirst() {
      let words = part.split(separator: "=", maxSplits: 1).map(String.init)
      switch (words.first, words.count > 1 ? words[1] : nil) {
      case ("rw", nil): options.isWritable = true
      case ("ro", nil): options.isWritable = false
      case ("floppy", nil): options.isFloppy = true
      case ("label", let value?) where FATFormatter.labelBytes(value) != nil: options.label = value
      case ("fat", "16"): options.kind = .fat16
      case ("fat", "32"): options.kind = .fat32
      case ("size", let value?):
        let unit: UInt64 = value.hasSuffix("G") ? 1 << 30 : value.hasSuffix("M") ? 1 << 20 : 1
        let digits = unit == 1 ? value[...] : value.dropLast()
        guard let number = UInt64(digits), number <= 1 << 41, number * unit >= 16 << 20,
          number.multipliedReportingOverflow(by: unit).overflow == false,
          number * unit <= 1 << 41
        else {
          throw StorageError(path: "folder:" + text, reason: "size=\(value): 16M to 2048G")
        }
        options.byteCount = number * unit / 512 * 512
      default:
        throw StorageError(
          path: "folder:" + text, reason: "'\(part)': there are rw, ro, floppy, label=, fat=, size="
        )
      }
    }
    return (parts[0], options)
  }
}

/// Opens folders.
public enum FolderDisk {
  /// The prefix by which a folder is told from an image.
  public static let prefix = "folder:"

  /// A folder as a disk.
  public static func open(_ path: String, options: FolderOptions = FolderOptions())
    throws(StorageError) -> any BlockDevice
  {
    var trimmed = path
    while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed.removeLast() }
    if trimmed.isEmpty { trimmed = "." }
    let layout = try FolderLayout(try FolderTree(trimmed), options)
    for note in layout.notes { options.report?(note) }
    let image = FolderImage(layout)
    if !options.isWritable { return image }
    if HostFiles.facts(trimmed)?.mayBeWritten != true {
      throw StorageError(path: trimmed, reason: "may not be written")
    }
    return WritableFolder(image, options)
  }

  /// As above, with what stands behind "folder:" on a command line.
  public static func open(_ text: String, isWritable: Bool) throws(StorageError)
    -> any BlockDevice
  {
    var (path, options) = try FolderOptions.parse(text)
    if !isWritable { options.isWritable = false }
    return try open(path, options: options)
  }
}

/// A folder that a guest writes to: its writes are kept in memory, and go into the folder when it flushes and when the disk is closed.
public final class WritableFolder: BlockDevice {
  private let overlay: SnapshotOverlay
  private let image: FolderImage
  private var sync: FolderWriteBack
  /// The overlay's generation when the folder had everything.
  private var synced: UInt64 = 0
  private var isClosed = false
  /// Where an image of the disk was put when the folder could not have everything, and the overlay's generation then.
  private var rescued: (path: String?, generation: UInt64)?
  private let report: (@Sendable (String) -> Void)?
  /// Why the last attempt wrote nothing, or nil.
  public private(set) var problem: String?

  init(_ image: FolderImage, _ options: FolderOptions) {
    self.image = image
    overlay = SnapshotOverlay(base: image)
    sync = FolderWriteBack(image)
    report = options.report
  }

  deinit { close() }

  /// Brings the folder to what the guest's file system says.
  /// - Returns: what was done, a line each; not everything was done where `problem` is set.
  @discardableResult
  public func writeBack() -> [String] {
    if overlay.generation == synced { return [] }
    var lines: [String] = []
    do throws(StorageError) {
      let generation = overlay.generation
      try sync.run(overlay, &lines)
      synced = generation
      problem = nil
    } catch { problem = "\(error)" }
    return lines
  }

  /// The guest wants its writes to be safe. While its file system is being changed it may contradict itself: then the folder waits.
  public func flush() throws(StorageError) { for line in writeBack() { report?(line) } }

  /// - Throws: when not all that the guest wrote could go into the folder, with where it is instead.
  public func finish() throws(StorageError) {
    for line in writeBack() { report?(line) }
    guard let problem else {
      if let path = rescued?.path {
        try? HostFiles.remove(path)
        report?("everything is in the folder now; '\(path)' was removed")
        rescued = nil
      }
      return
    }
    if rescued?.path == nil || rescued?.generation != overlay.generation {
      rescued = (sync.rescue(overlay, replacing: rescued?.path), overlay.generation)
    }
    let place =
      rescued?.path.map { "all of it is in the disk image '\($0)'" }
      ?? "there was no room for an image of the disk"
    throw StorageError(
      path: image.name,
      reason: "what the guest wrote did not all go into the folder: \(problem); \(place)")
  }

  public func close() {
    if isClosed { return }
    isClosed = true
    do throws(StorageError) { try finish() } catch { report?("\(error)") }
    sync.finish()
    image.close()
  }

  // MARK: The overlay's

  public var name: String { overlay.name }
  public var blockSize: Int { overlay.blockSize }
  public var blockCount: UInt64 { overlay.blockCount }
  public var capabilities: BlockCapabilities {
    overlay.capabilities.subtracting(.temporary)
  }
  public func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try overlay.read(block: block, into: buffer)
  }
  public func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    sync.note(block, UInt64(buffer.count / blockSize))
    try overlay.write(block: block, from: buffer)
  }
  public func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    sync.note(block, count)
    try overlay.writeZeroes(block: block, count: count)
  }
  public func discard(block: UInt64, count: UInt64) throws(StorageError) {
    sync.note(block, count)
    try overlay.discard(block: block, count: count)
  }
  public func nextData(from block: UInt64) -> UInt64 { overlay.nextData(from: block) }
  public func clusterHashes() throws(StorageError) -> ClusterHashes { try overlay.clusterHashes() }
  public var generation: UInt64 { overlay.generation }
  public var persistence: BlockPersistence { .overlay }
  public var base: (any BlockDevice)? { image }
  public var layer: BlockLayer {
    BlockLayer(
      kind: "writes to a folder", of: self,
      details: ["\(overlay.writtenBlockCount) blocks written"])
  }
  public func isWritten(_ block: UInt64) -> Bool { overlay.isWritten(block) }
  public var writtenBlockCount: UInt64 { overlay.writtenBlockCount }
  public var writtenBlocks: [UInt64] { overlay.writtenBlocks }
  public func forget(_ block: UInt64) {
    sync.note(block, 1)
    overlay.forget(block)
  }
  public func forgetAll() {
    sync.note(0, blockCount)
    overlay.forgetAll()
  }
  public func saveContents(to writer: inout StateWriter) { overlay.saveContents(to: &writer) }
  public func restoreContents(from reader: inout StateReader) throws(StateError) {
    sync.note(0, blockCount)
    try overlay.restoreContents(from: &reader)
  }
}
