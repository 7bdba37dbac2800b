// An image in a drive as the machine holds it: passes everything through, and can undo what was written since a time.
//
// Owns: which sectors were written, what they held before, a running hash of all writes, whether somebody else has changed the image
// file meanwhile. Must not know: controllers, how files are read.
// While writes are kept undoable an image file is not written: its sectors gather in memory until `commit`.

import State
import Storage

/// A disk whose writes can be undone.
final class MachineDisk: BlockDevice {
  /// The name for messages.
  let name: String
  /// What was put into the drive.
  let original: any BlockDevice
  private var target: any BlockDevice
  /// What it is when it goes into a floppy drive.
  let format: FloppyFormat?
  /// Told of what the host refuses; the guest sees an error of the device.
  var refused: (StorageError) -> Void = { _ in }
  /// Of every write so far: which sectors, which bytes.
  var writeHash: UInt64 = 0
  /// How many sectors the guest has written to it; a saved state carries the number on.
  var generation: UInt64 = 0

  /// Whether writes can be undone.
  private(set) var isTracking = false
  /// Written since they were last taken.
  private var written = Set<UInt64>()
  /// What sectors held before their first write since tracking began; nil: nothing above the image.
  private var before: [UInt64: [UInt8]?] = [:]
  /// The layer that keeps writes off an image file, or nil.
  private var layer: SnapshotOverlay?
  /// Whether the layer holds what the file does not.
  private(set) var hasUncommittedWrites = false

  init(_ image: MachineImage) {
    original = image.device
    target = image.device
    name = image.name
    if case .floppy(let format) = image.medium { self.format = format } else { format = nil }
    if original is SnapshotOverlay || original.isReadOnly { mark = file?.mark() }
  }

  var sectorCount: UInt64 { original.sectorCount }
  var isReadOnly: Bool { original.isReadOnly }

  func read(sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    do { try target.read(sector: sector, into: buffer) } catch {
      refused(error)
      throw error
    }
  }

  func write(sector: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    if isTracking && !isReadOnly {
      for n in 0..<UInt64(buffer.count / 512) {
        let at = sector &+ n
        if at < sectorCount, written.insert(at).inserted, before.index(forKey: at) == nil {
          before.updateValue(try contents(at), forKey: at)
        }
      }
    }
    do { try target.write(sector: sector, from: buffer) } catch {
      refused(error)
      throw error
    }
    if layer != nil { hasUncommittedWrites = true } else { hasWrittenFile = true }
    var hash = StateHash()
    hash.add(writeHash)
    hash.add(sector)
    hash.add(buffer)
    writeHash = hash.value
    generation &+= UInt64(buffer.count / 512)
  }

  func flush() throws(StorageError) {
    do { try target.flush() } catch {
      refused(error)
      throw error
    }
  }

  /// Of what the guest sees.
  func clusterHashes() throws(StorageError) -> ClusterHashes { try target.clusterHashes() }

  // MARK: The file below

  /// The image file, if there is one.
  private var file: RawImage? {
    (original as? RawImage) ?? ((original as? SnapshotOverlay)?.base as? RawImage)
  }

  /// The file when the guest's view of it began to depend on nobody else writing it; nil where we write it ourselves.
  private var mark: RawImage.Mark?

  /// Why the image file is not what the guest has seen of it any more; nil: all is well, or we write it ourselves.
  var changeByOthers: String? { mark.flatMap { mark in file.flatMap { $0.change(since: mark) } } }

  /// Whether the guest's writes have gone to the image file.
  private var hasWrittenFile = false

  /// Why what the guest wrote is not where its user will look for it, or nil: the file has lost its name.
  var loss: String? { hasWrittenFile && original is RawImage ? file?.replacement : nil }

  /// The disk is out, and kept only for going back: the file gets everything, and others may have it.
  func release() throws(StorageError) {
    defer { unlock() }
    try commit()
  }

  /// Others may have the file.
  func unlock() { if !(original is SnapshotOverlay) { file?.unlock() } }

  /// The disk goes in again after `release`.
  func takeAgain() throws(StorageError) {
    if !(original is SnapshotOverlay) { try file?.lockAgain() }
  }

  // MARK: Going back

  /// Keeps writes undoable from now on.
  func startTracking() {
    if isTracking { return }
    isTracking = true
    if !(original is SnapshotOverlay || original is MemoryImage) && !isReadOnly {
      let layer = SnapshotOverlay(base: original)
      self.layer = layer
      target = layer
      mark = file?.mark()
    }
  }

  /// Whether the image is a file that is only written by `commit` now.
  var isHeldBack: Bool { layer != nil }

  /// The sectors written since the last call, with what they hold now.
  func takeWritten() -> [UInt64: [UInt8]?] {
    var taken: [UInt64: [UInt8]?] = [:]
    for sector in written {
      // What cannot be read cannot have been written either.
      if let contents = try? contents(sector) { taken.updateValue(contents, forKey: sector) }
    }
    written.removeAll(keepingCapacity: true)
    return taken
  }

  /// The sectors written since the last `takeWritten`.
  var writtenSectors: Set<UInt64> { written }

  /// What a sector held when tracking began.
  func contentsBefore(_ sector: UInt64) -> [UInt8]? { before[sector] ?? nil }

  /// Puts a sector's contents back; nil: what the image holds.
  func putBack(_ sector: UInt64, _ contents: [UInt8]?) {
    if let contents {
      contents.withUnsafeBytes { try? target.write(sector: sector, from: $0) }
    } else if let contents = committed[sector] {
      contents.withUnsafeBytes { try? target.write(sector: sector, from: $0) }
    } else {
      (target as? SnapshotOverlay)?.forget(sector)
    }
    if layer != nil { hasUncommittedWrites = true }
  }

  /// Everything is as it was put back: nothing was written since.
  func forgetWritten() { written.removeAll(keepingCapacity: true) }

  /// Writes what was held back to the image, which then holds what the guest sees now. Going back further is still possible.
  func commit() throws(StorageError) {
    guard let layer, hasUncommittedWrites else { return }
    if let change = changeByOthers {
      // What the guest wrote belongs to what was there before.
      throw StorageError(
        path: name,
        reason: "\(change) while the machine kept its own writes back: these "
          + "(\(layer.writtenSectors) sectors) are not written, as they belong to the former contents"
      )
    }
    for sector in layer.writtenSectorNumbers {
      guard let contents = try contents(sector) else { continue }
      if committed[sector] == nil {
        committed[sector] = try Self.sector(sector, of: original)
      }
      try writeOriginal(sector, contents)
    }
    try original.flush()
    hasWrittenFile = true
    hasUncommittedWrites = false
    mark = file?.mark()
  }

  /// What the image held where `commit` has written it; such sectors stay in the layer.
  private var committed: [UInt64: [UInt8]] = [:]

  private func writeOriginal(_ sector: UInt64, _ contents: [UInt8]) throws(StorageError) {
    var failure: StorageError?
    contents.withUnsafeBytes { bytes in
      do throws(StorageError) { try original.write(sector: sector, from: bytes) } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }

  private func contents(_ sector: UInt64) throws(StorageError) -> [UInt8]? {
    if let overlay = target as? SnapshotOverlay, !overlay.isWritten(sector) { return nil }
    return try Self.sector(sector, of: target)
  }

  private static func sector(_ sector: UInt64, of device: any BlockDevice) throws(StorageError)
    -> [UInt8]
  {
    var bytes = [UInt8](repeating: 0, count: 512)
    var failure: StorageError?
    bytes.withUnsafeMutableBytes { buffer in
      do throws(StorageError) { try device.read(sector: sector, into: buffer) } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }
}
