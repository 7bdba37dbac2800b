// A QCOW2 image as a block device.
//
// Owns: its parts (header, L1 table, caches, refcounts, files) and the order in which what changed is written. Must not know: how images are
// found, what a base is made of. Mapping, reading, writing and the rest are extensions in the files beside this one.
// After: QEMU, docs/interop/qcow2.txt.
//
// The order, so that a power failure at any moment leaves an image that is whole:
//   1. data go to clusters that nothing in the file refers to, or to those that are the block's own already; counts go up;
//   2. flush; L2 entries and L1 entries refer to them; flush;
//   3. what nothing refers to any more is counted down, and used again.
// 2 and 3 wait for a flush of the guest, or until too much waits (`writeBack`); so many writes cost two flushes.

/// The blocks of a QCOW2 image, 512 bytes each.
public final class QCOW2Image: BlockDevice {
  let store: any ByteStore
  /// Where guest data are: the image itself, or its external data file; what is read of it is decrypted.
  let data: any ByteStore
  var header: QCOW2Header
  let layout: QCOW2Layout
  let isExternal: Bool
  /// In the host's byte order.
  var l1: [UInt64]
  var changedL1: Range<Int>?
  var settling: Settling?
  /// After so many bytes in new places the tables are brought on even when nobody calls `settle`.
  var mostNewBytes: UInt64 = 512 << 20
  let l2: QCOW2Cache
  /// Only of an image that may be written; made by the first write.
  var refcounts: QCOW2Refcounts?
  public private(set) var base: (any BlockDevice)?
  /// The base with the size it has.
  private let wholeBase: (any BlockDevice)?
  public internal(set) var blockCount: UInt64
  public private(set) var capabilities: BlockCapabilities
  public internal(set) var generation: UInt64 = 0
  /// What the last compressed cluster that was read holds.
  var unpacked: (word: UInt64, memory: UnsafeMutableRawBufferPointer)?
  /// A cluster, for those that are written in part.
  lazy var scratch = UnsafeMutableRawBufferPointer.allocate(
    byteCount: layout.clusterSize, alignment: 4096)
  private var hasScratch = false
  /// Hashes of what it held, and what was written since.
  var hashes = NotedHashes()
  public var zeroesAreOwn = false
  /// Where the next compressed cluster goes: behind the last one.
  var compressedEnd: UInt64?
  /// Why it cannot be written although its files can, or nil.
  let writeRefusal: String?
  /// nil: nothing is encrypted.
  let encryption: QCOW2Encryption?
  /// The snapshot that it shows, or nil: the active state.
  let snapshotName: String?

  public let blockSize = 512

  init(
    _ store: any ByteStore, _ header: QCOW2Header, data: (any ByteStore)?,
    base: (any BlockDevice)?, snapshot: QCOW2Snapshot? = nil, encryption: QCOW2Encryption? = nil
  ) throws(StorageError) {
    self.store = store
    self.header = header
    self.encryption = encryption
    if let encryption {
      let cipher = try encryption.key.map { (key) throws(StorageError) in
        try encryption.container.sectorCipher(key, for: store.name)
      }
      self.data = EncryptedStore(data ?? store, cipher)
    } else {
      self.data = data ?? store
    }
    isExternal = data != nil
    layout = header.layout
    snapshotName = snapshot?.name
    let size = snapshot?.diskSize ?? header.size
    blockCount = size / 512 + (size % 512 == 0 ? 0 : 1)
    l1 = try QCOW2Table.read(
      store, at: snapshot?.l1TableOffset ?? header.l1TableOffset,
      count: snapshot?.l1Size ?? header.l1Size)
    l2 = QCOW2Cache(
      store, sliceSize: min(layout.clusterSize, 4096), bytes: 8 << 20, writesAnyTime: false)
    wholeBase = base?.withBlocks(of: 512)
    var refusal: String?
    if snapshot != nil {
      refusal = "is a snapshot"
    } else if header.incompatible & QCOW2Header.Incompatible.corrupt != 0 {
      refusal = "is marked as corrupt; repair it"
    }
    writeRefusal = refusal
    var capabilities: BlockCapabilities = [
      .discards, .zeroesCheaply, .growable, .knowsAllocation,
    ]
    if store.isWritable && self.data.isWritable && refusal == nil { capabilities.insert(.writable) }
    self.capabilities = capabilities
    setBlockCount(blockCount)
  }

  /// Gives the disk another size, here only; a base may be shorter or longer.
  func setBlockCount(_ count: UInt64) {
    hashes.forget()
    blockCount = count
    base = wholeBase?.view(blockCount: count, isWriteProtected: true)
  }

  deinit {
    if hasScratch { scratch.deallocate() }
    unpacked?.memory.deallocate()
  }

  public var name: String { store.name }
  public var byteCount: UInt64 { blockCount * 512 }
  /// Bytes of the disk.
  var diskSize: UInt64 { blockCount * 512 }

  public var layer: BlockLayer {
    var details = ["clusters of \(layout.clusterSize) bytes"]
    if isExternal { details.append("data in \(data.name)") }
    if let encryption {
      details.append(encryption.container.cipher.text + (encryption.key == nil ? ", locked" : ""))
    }
    if header.snapshotCount > 0 { details.append("\(header.snapshotCount) snapshots") }
    return BlockLayer(kind: "qcow2 image", file: store.name, of: self, details: details)
  }

  // MARK: Before the first write

  /// Makes the image ready to be written, and returns its refcounts.
  func prepareWrite() throws(StorageError) -> QCOW2Refcounts {
    generation &+= 1
    if let refcounts { return refcounts }
    if isReadOnly {
      throw StorageError(
        path: name, reason: writeRefusal.map { "the image \($0)" } ?? "the image is write-protected"
      )
    }
    if header.incompatible & QCOW2Header.Incompatible.dirty != 0 { try mendDirty() }
    try prepareBitmaps()
    let refcounts = try QCOW2Refcounts(store, header)
    refcounts.tableMoves = { [unowned self] (offset, clusters) throws(StorageError) in
      try changeHeader {
        $0.refcountTableOffset = offset
        $0.refcountTableClusters = clusters
      }
    }
    refcounts.isOffLimits = { [unowned self] in isTable($0) }
    self.refcounts = refcounts
    _ = scratch
    hasScratch = true
    return refcounts
  }

  /// Changes fields of the header, in the file and then here. What they name is in the file; a flush is to follow.
  func changeHeader(_ change: (inout QCOW2Header) -> Void) throws(StorageError) {
    var new = header
    change(&new)
    try new.writeFields(store)
    header = new
  }

  /// Refcounts of an image that was not closed may be wrong ("Dirty bit"): they are counted again.
  private func mendDirty() throws(StorageError) {
    // What is lost stays an error: only who asks for a repair has it replaced by zeros.
    let check = try QCOW2Checker(store, repair: .all, dropsLost: false).run()
    guard check.isClean else {
      throw StorageError(
        path: name, reason: "was not closed, and its tables cannot be mended; see what a check says"
      )
    }
    header = try QCOW2Header(store)
    l2.forgetAll()
    l1 = try QCOW2Table.read(store, at: header.l1TableOffset, count: header.l1Size)
  }

  /// Whether bytes of the file hold tables that are known without looking for them.
  func isTable(_ range: Range<UInt64>) -> Bool {
    func touches(_ offset: UInt64, _ count: Int) -> Bool {
      count > 0 && range.lowerBound < offset + UInt64(count) && offset < range.upperBound
    }
    let (offset, clusters) =
      refcounts.map { ($0.tableOffset, $0.tableClusters) }
      ?? (header.refcountTableOffset, header.refcountTableClusters)
    if let area = header.encryption, touches(area.offset, Int(area.length)) { return true }
    return touches(0, layout.clusterSize) || touches(header.l1TableOffset, header.l1Size * 8)
      || touches(offset, clusters << layout.clusterBits)
  }

  // MARK: The order of writes

  func setL1(_ index: Int, _ word: UInt64) {
    l1[index] = word
    let changed = changedL1 ?? index..<index + 1
    changedL1 = min(changed.lowerBound, index)..<max(changed.upperBound, index + 1)
  }

  public func clusterHashes() throws(StorageError) -> ClusterHashes {
    try hashes.current(of: self)
  }

  // MARK: The files

  public func mark() -> FileMark {
    store.mark() + (isExternal ? data.mark() : FileMark()) + (base?.mark() ?? FileMark())
  }

  public func change(since mark: FileMark) -> String? {
    var (own, below) = mark.split
    if let change = store.change(since: own) { return change }
    if isExternal {
      (own, below) = below.split
      if let change = data.change(since: own) { return change }
    }
    return base?.change(since: below)
  }

  public var displacement: String? { store.displacement ?? (isExternal ? data.displacement : nil) }

  public func unlock() {
    // Others find everything that was written.
    if refcounts != nil { try? writeBack() }
    store.unlock()
    if isExternal { data.unlock() }
    base?.unlock()
  }

  public func lockAgain() throws(StorageError) {
    try store.lockAgain(exclusive: !isReadOnly)
    if isExternal { try data.lockAgain(exclusive: !isReadOnly) }
    try base?.lockAgain()
  }

  public func close() {
    // What was not flushed need not be kept; but nothing speaks against it, and leaks are avoided.
    if let refcounts, (try? writeBack()) != nil {
      let end = refcounts.end << UInt64(layout.clusterBits)
      if end < store.size { try? store.setSize(end) }
    }
    store.close()
    if isExternal { data.close() }
    base?.close()
  }
}
