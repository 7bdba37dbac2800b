// An image in a drive as the machine holds it: passes everything through, and can undo what was written since a time.
//
// Owns: which blocks were written, what they held before, a running hash of all writes, whether somebody else has changed the image
// file meanwhile. Must not know: controllers, which kind of device it has: what differs is asked of the device.
// While writes are kept undoable an image file is not written: its blocks gather in memory until `commit`.

import Host
import State
import Storage

/// Why a guest waits for the host.
struct DiskWait {
  /// The host has refused it, and is asked again after a while.
  var isRefused: Bool
  /// What it said.
  var error: StorageError?
}

/// A disk whose writes can be undone.
final class MachineDisk: BlockDevice {
  /// The name for messages.
  let name: String
  /// What was put into the drive.
  let original: any BlockDevice
  private var target: any BlockDevice
  let blockSize: Int
  let blockCount: UInt64
  /// Where a state has its contents.
  let persistence: BlockPersistence
  /// What it is when it goes into a floppy drive.
  let format: FloppyFormat?
  /// What it is when it goes into a CD drive; the blocks are then the bytes of its files.
  let cd: CDImage?
  /// Told of what the host refuses; the guest sees an error of the device.
  var refused: (StorageError) -> Void = { _ in }
  /// Whether the guest is to wait for what the host refuses.
  var mayWait: (StorageError) -> Bool = { _ in false }
  /// Told of a block whose access failed for the guest.
  var reported: (UInt64) -> Void = { _ in }
  /// Whether the run that is repeated had an error at this block, here and now.
  var repeated: (UInt64) -> Bool = { _ in false }
  /// Why the guest waits for the host.
  private(set) var waiting: DiskWait?
  private var isTroubled = false
  /// Of every write so far: which blocks, which bytes.
  var writeHash: UInt64 = 0
  /// How many sectors the guest has written to it; a saved state carries the number on.
  var generation: UInt64 = 0

  /// Whether writes can be undone.
  private(set) var isTracking = false
  /// Written since they were last taken.
  private var written = Set<UInt64>()
  /// What blocks held before their first write since tracking began; nil: nothing above the image.
  private var before: [UInt64: [UInt8]?] = [:]
  /// The layer that keeps writes off an image file, or nil.
  private var layerAbove: (any BlockDevice)?
  /// Whether the layer holds what the file does not.
  private(set) var hasUncommittedWrites = false

  init(_ image: MachineImage) {
    original = image.device
    target = image.device
    name = image.name
    if case .floppy(let format) = image.medium { self.format = format } else { format = nil }
    if case .cd(let cd) = image.medium { self.cd = cd } else { cd = nil }
    blockSize = original.blockSize
    blockCount = original.blockCount
    persistence = original.persistence
    if persistence == .overlay || original.isReadOnly { reliedOn = original.mark() }
  }

  var byteCount: UInt64 { original.byteCount }
  var capabilities: BlockCapabilities { original.capabilities }

  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try repeatError(block)
    do throws(StorageError) {
      try target.read(block: block, into: buffer)
      isTroubled = false
    } catch {
      throw judged(error, block)
    }
  }

  // MARK: The host's errors

  /// As it was when the run was recorded.
  private func repeatError(_ block: UInt64) throws(StorageError) {
    if repeated(block * UInt64(blockSize / 512)) {
      throw StorageError(path: name, reason: "an error of the host's disk, as it was recorded")
    }
  }

  /// An error as whoever asked gets it: it has happened, or nothing has and the same is to be asked again.
  private func judged(_ error: StorageError, _ block: UInt64) -> StorageError {
    if mayWait(error) {
      var error = error
      waiting = DiskWait(isRefused: true, error: error)
      error.asksAgain = true
      return error
    }
    refused(error)
    reported(block * UInt64(blockSize / 512))
    return error
  }

  func prepare(_ access: BlockAccess) { target.prepare(access) }

  func isReady(for access: BlockAccess) -> Bool {
    if target.isReady(for: access) { return true }
    waiting = DiskWait(isRefused: false, error: target.trouble)
    return false
  }

  /// Whether the guest waits for the host.
  var isWaitedFor: Bool { waiting != nil || cd?.isWaitedFor == true }

  /// What is waited for; whoever asks does so now.
  func takeWaiting() -> DiskWait {
    defer { waiting = nil }
    return waiting ?? DiskWait(isRefused: false, error: nil)
  }

  /// Whether somebody is to be told that the host refuses something: once for each time.
  func tellsOfTrouble() -> Bool {
    defer { isTroubled = true }
    return !isTroubled
  }

  /// - Parameter always: also when nothing is under way.
  func awaitProgress(nanoseconds: UInt64, always: Bool) {
    if always {
      let condition = HostCondition()
      condition.locked { condition.wait(nanoseconds: nanoseconds) }
    } else if let cd {
      cd.awaitProgress(nanoseconds: nanoseconds)
    } else {
      target.awaitProgress(nanoseconds: nanoseconds)
    }
  }

  var trouble: StorageError? { target.trouble }
  func settle() throws(StorageError) -> Bool { try target.settle() }

  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    if isTracking && !isReadOnly { try track(block, UInt64(buffer.count / blockSize)) }
    try repeatError(block)
    do throws(StorageError) {
      try target.write(block: block, from: buffer)
      isTroubled = false
    } catch {
      throw judged(error, block)
    }
    if layerAbove != nil { hasUncommittedWrites = true } else { hasWrittenFile = true }
    var hash = StateHash()
    hash.add(writeHash)
    hash.add(block)
    hash.add(MachineDisk.hash(buffer))
    writeHash = hash.value
    generation &+= UInt64(buffer.count / 512)
  }

  /// Of whole blocks; four lanes side by side, which keep up with memory.
  private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    let prime: UInt64 = 0x9E37_79B9_7F4A_7C15
    var lanes: (UInt64, UInt64, UInt64, UInt64) = (1, 2, 3, 4)
    for offset in stride(from: 0, to: bytes.count & ~31, by: 32) {
      func word(_ n: Int) -> UInt64 {
        bytes.loadUnaligned(fromByteOffset: offset + n, as: UInt64.self).littleEndian
      }
      lanes.0 = (lanes.0 ^ word(0)) &* prime
      lanes.1 = (lanes.1 ^ word(8)) &* prime
      lanes.2 = (lanes.2 ^ word(16)) &* prime
      lanes.3 = (lanes.3 ^ word(24)) &* prime
      lanes.0 ^= lanes.0 >> 29
      lanes.1 ^= lanes.1 >> 29
      lanes.2 ^= lanes.2 >> 29
      lanes.3 ^= lanes.3 >> 29
    }
    var hash = StateHash()
    for lane in [lanes.0, lanes.1, lanes.2, lanes.3] { hash.add(lane) }
    return hash.value
  }

  func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    try zero(block, count) { () throws(StorageError) in
      try target.writeZeroes(block: block, count: count)
    }
  }

  func discard(block: UInt64, count: UInt64) throws(StorageError) {
    try zero(block, count) { () throws(StorageError) in
      try target.discard(block: block, count: count)
    }
  }

  /// Zeros are a write of whose bytes only the number is hashed.
  private func zero(_ block: UInt64, _ count: UInt64, _ body: () throws(StorageError) -> Void)
    throws(StorageError)
  {
    try checkBlocks(block, count)
    if isTracking && !isReadOnly { try track(block, count) }
    try repeatError(block)
    do throws(StorageError) {
      try body()
      isTroubled = false
    } catch {
      throw judged(error, block)
    }
    if layerAbove != nil { hasUncommittedWrites = true } else { hasWrittenFile = true }
    var hash = StateHash()
    hash.add(writeHash)
    hash.add(block)
    hash.add(count)
    writeHash = hash.value
    generation &+= count * UInt64(blockSize / 512)
  }

  /// Keeps what blocks hold before their first write.
  private func track(_ block: UInt64, _ count: UInt64) throws(StorageError) {
    for n in 0..<count {
      let at = block &+ n
      if at < blockCount, written.insert(at).inserted, before.index(forKey: at) == nil {
        before.updateValue(try held(at), forKey: at)
      }
    }
  }

  func flush() throws(StorageError) {
    try repeatError(blockCount)
    do throws(StorageError) {
      try target.flush()
      isTroubled = false
    } catch {
      throw judged(error, blockCount)
    }
  }

  /// Of what the guest sees.
  func clusterHashes() throws(StorageError) -> ClusterHashes { try target.clusterHashes() }

  func nextData(from block: UInt64) -> UInt64 { target.nextData(from: block) }
  var base: (any BlockDevice)? { original.base }
  var layers: [BlockLayer] { target.layers }
  func isWritten(_ block: UInt64) -> Bool { original.isWritten(block) }
  var writtenBlockCount: UInt64 { original.writtenBlockCount }
  var writtenBlocks: [UInt64] { original.writtenBlocks }
  var layer: BlockLayer { target.layer }
  func forget(_ block: UInt64) { original.forget(block) }
  func forgetAll() { original.forgetAll() }
  func saveContents(to writer: inout StateWriter) { original.saveContents(to: &writer) }
  func restoreContents(from reader: inout StateReader) throws(StateError) {
    try original.restoreContents(from: &reader)
  }

  // MARK: The files below

  func mark() -> FileMark { original.mark() }
  func change(since mark: FileMark) -> String? { original.change(since: mark) }

  /// The files when the guest's view of them began to depend on nobody else writing them; nil where we write them ourselves.
  private var reliedOn: FileMark?

  /// Why the image file is not what the guest has seen of it any more; nil: all is well, or we write it ourselves.
  var changeByOthers: String? { reliedOn.flatMap { original.change(since: $0) } }

  /// Whether the guest's writes have gone to the image file.
  private var hasWrittenFile = false

  /// Why what the guest wrote is not where its user will look for it, or nil: the file has lost its name.
  var displacement: String? {
    hasWrittenFile && persistence == .file ? original.displacement : nil
  }

  /// The disk is out, and kept only for going back: the file gets everything, and others may have it.
  func release() throws(StorageError) {
    defer { unlock() }
    try commit()
  }

  /// Others may have the files; those below an overlay are relied on as they are.
  func unlock() { if persistence == .file { original.unlock() } }

  /// The disk goes in again after `release`.
  func lockAgain() throws(StorageError) { if persistence == .file { try original.lockAgain() } }

  func close() { original.close() }

  // MARK: Going back

  /// Keeps writes undoable from now on.
  func startTracking() {
    if isTracking { return }
    isTracking = true
    if persistence == .file && !isReadOnly {
      // What waits above the file is its own doing, and nobody else's later.
      try? original.flush()
      let layer = SnapshotOverlay(base: original)
      layerAbove = layer
      target = layer
      reliedOn = original.mark()
    }
  }

  /// Whether the image is a file that is only written by `commit` now.
  var isHeldBack: Bool { layerAbove != nil }

  /// The blocks written since the last call, with what they hold now.
  func takeWritten() -> [UInt64: [UInt8]?] {
    var taken: [UInt64: [UInt8]?] = [:]
    for block in written {
      // What cannot be read cannot have been written either.
      if let contents = try? held(block) { taken.updateValue(contents, forKey: block) }
    }
    written.removeAll(keepingCapacity: true)
    return taken
  }

  /// The blocks written since the last `takeWritten`.
  var recentlyWritten: Set<UInt64> { written }

  /// What a block held when tracking began.
  func contentsBefore(_ block: UInt64) -> [UInt8]? { before[block] ?? nil }

  /// Puts a block's contents back; nil: what the image holds.
  func putBack(_ block: UInt64, _ contents: [UInt8]?) {
    if let contents {
      try? target.write(block: block, contents)
    } else if let contents = committed[block] {
      try? target.write(block: block, contents)
    } else {
      target.forget(block)
    }
    if layerAbove != nil { hasUncommittedWrites = true }
  }

  /// Nobody goes back further than this: what blocks held before is not needed.
  func forgetBefore() {
    written.removeAll(keepingCapacity: true)
    before = [:]
    committed = [:]
  }

  /// The image below holds something else now, and all that the guest is to see.
  func startOver() {
    forgetBefore()
    layerAbove?.forgetAll()
    hasUncommittedWrites = false
    if reliedOn != nil { reliedOn = original.mark() }
  }

  /// The file was written by who runs this machine: what it is like now is relied on.
  func relyOnFileAgain() { if layerAbove != nil { reliedOn = original.mark() } }

  /// Everything is as it was put back: nothing was written since.
  func forgetWritten() { written.removeAll(keepingCapacity: true) }

  /// Writes what was held back to the image, which then holds what the guest sees now. Going back further is still possible.
  func commit() throws(StorageError) {
    guard let layer = layerAbove, hasUncommittedWrites else { return }
    if let change = changeByOthers {
      // What the guest wrote belongs to what was there before.
      throw StorageError(
        path: name,
        reason: "\(change) while the machine kept its own writes back: these "
          + "(\(layer.writtenBlockCount) sectors) are not written, as they belong to the former contents"
      )
    }
    // Also when not all could be written (no room left): what was is ours, and the rest can be tried again.
    defer { reliedOn = original.mark() }
    for block in layer.writtenBlocks {
      let contents = try layer.contents(of: block)
      if committed[block] == nil { committed[block] = try original.contents(of: block) }
      hasWrittenFile = true
      try original.write(block: block, contents)
    }
    try original.flush()
    hasUncommittedWrites = false
  }

  /// What the image held where `commit` has written it; such blocks stay in the layer.
  private var committed: [UInt64: [UInt8]] = [:]

  /// What a block holds; nil: what the device below the layer in memory does.
  private func held(_ block: UInt64) throws(StorageError) -> [UInt8]? {
    if target.persistence == .overlay && !target.isWritten(block) { return nil }
    return try target.contents(of: block)
  }
}
