// The device of an encrypted disk.
//
// Owns: the way from blocks to encrypted sectors in the store. Must not know: headers, passphrases, what is on the disk.
//
// Where the file has a hole the disk has what its zeros decrypt to, as with dm-crypt and QEMU: nothing is known to be zeros, and zeros are
// written as anything else. So nothing that is encrypted tells by its place in the file what it is either, but how much was written.

/// The blocks of a LUKS container: sectors of 512 to 4096 bytes.
public final class LUKSImage: EncryptedDevice {
  private let store: any ByteStore
  private(set) var container: LUKSContainer
  public let volumeKey: VolumeKey?
  private let cipher: SectorCipher?
  /// The first byte of the disk in the store.
  private let start: UInt64
  public let blockSize: Int
  public private(set) var blockCount: UInt64
  public let capabilities: BlockCapabilities
  public private(set) var generation: UInt64 = 0
  private var hashes = NotedHashes()
  /// Room for what is encrypted; made by the first write.
  private lazy var scratch = UnsafeMutableRawBufferPointer.allocate(
    byteCount: LUKSImage.scratchSize, alignment: 4096)
  private var hasScratch = false
  /// As much as stays in a processor's cache.
  private static let scratchSize = 256 << 10

  /// - Parameter key: nil: the disk is there, but cannot be read.
  init(_ store: any ByteStore, _ container: LUKSContainer, key: VolumeKey?) throws(StorageError) {
    self.store = store
    self.container = container
    start = container.payloadOffset
    volumeKey = key
    cipher = try key.map { (key) throws(StorageError) in
      try container.sectorCipher(key, for: store.name)
    }
    blockSize = container.sectorSize
    let room = store.size - min(store.size, container.payloadOffset)
    blockCount = (container.payloadSize ?? room) / UInt64(container.sectorSize)
    capabilities = store.isWritable && key != nil ? [.writable] : []
  }

  deinit { if hasScratch { scratch.deallocate() } }

  public var name: String { store.name }
  public var layer: BlockLayer {
    BlockLayer(
      kind: "LUKS\(container.version) container", file: store.name, of: self,
      details: [container.cipher.text] + (cipher == nil ? ["locked"] : []))
  }

  public func keyContainer() throws(StorageError) -> KeyContainer? {
    try KeyContainer(container, store, at: 0, count: start)
  }

  private func open() throws(StorageError) -> SectorCipher {
    guard let cipher else { throw DiskKeys.missing(name) }
    return cipher
  }

  /// The number that goes into a block's vector.
  private func sector(_ block: UInt64) -> UInt64 {
    container.ivTweak &+ block &* UInt64(blockSize / 512)
  }

  public func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError)
  {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    let cipher = try open()
    var done = 0
    // In pieces, so that what was read is still in the processor's cache when it is decrypted.
    while done < buffer.count {
      let count = min(LUKSImage.scratchSize, buffer.count - done)
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
      let at = block + UInt64(done / blockSize)
      try store.read(at: start + at * UInt64(blockSize), into: part)
      try cipher.decrypt(part, sector: sector(at))
      done += count
    }
  }

  public func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try BlockRange.check(name, block, buffer.count, blockCount, blockSize)
    let cipher = try open()
    if isReadOnly { throw StorageError(path: name, reason: "the image is write-protected") }
    if buffer.count == 0 { return }
    generation &+= 1
    let sectors = UInt64(blockSize / 512)
    hashes.note(block * sectors, UInt64(buffer.count / 512))
    hasScratch = true
    let room = scratch
    var done = 0
    while done < buffer.count {
      let count = min(room.count, buffer.count - done)
      let at = block + UInt64(done / blockSize)
      try cipher.encrypt(
        UnsafeRawBufferPointer(rebasing: buffer[done..<done + count]), into: room.baseAddress!,
        sector: sector(at))
      try store.write(
        at: start + at * UInt64(blockSize), from: UnsafeRawBufferPointer(rebasing: room[..<count]))
      done += count
    }
  }

  public func flush() throws(StorageError) { try store.flush() }

  public func clusterHashes() throws(StorageError) -> ClusterHashes {
    try hashes.current(of: self)
  }

  public func extent(at block: UInt64, limit: UInt64) throws(StorageError) -> BlockExtent {
    try checkBlocks(block, 1)
    return BlockExtent(.data, count: min(max(limit, 1), blockCount - block))
  }

  public func resize(to newCount: UInt64) throws(StorageError) {
    _ = try open()
    func refuse(_ reason: String) -> StorageError { StorageError(path: name, reason: reason) }
    if isReadOnly { throw refuse("the image is write-protected") }
    if container.payloadSize != nil {
      throw refuse("its header says how large the disk is, and is not changed here")
    }
    let (size, overflow) = newCount.multipliedReportingOverflow(by: UInt64(blockSize))
    if overflow || newCount == 0 || size > UInt64(Int64.max) - start {
      throw refuse("\(newCount) blocks are no size for a disk")
    }
    let old = blockCount
    try store.setSize(start + size)
    generation &+= 1
    hashes.forget()
    blockCount = newCount
    // New blocks are zeros for whoever reads them, and so not in the file.
    if newCount > old { try writeAsZeros(old, newCount - old) }
    try store.flush()
  }

  // MARK: The file

  public func mark() -> FileMark { store.mark() }
  public func change(since mark: FileMark) -> String? { store.change(since: mark) }
  public var displacement: String? { store.displacement }
  public func unlock() { store.unlock() }
  public func lockAgain() throws(StorageError) { try store.lockAgain(exclusive: !isReadOnly) }
  public func close() { store.close() }
  public func view(blockCount: UInt64, isWriteProtected: Bool) -> any BlockDevice {
    if isWriteProtected { store.shareLock() }
    if blockCount == self.blockCount && (isReadOnly || !isWriteProtected) { return self }
    return DeviceView(self, blockCount: blockCount, isWriteProtected: isWriteProtected)
  }
}

extension LUKSImage: DescribedDevice {
  public var imageFacts: ImageFacts {
    var facts = ImageFacts()
    facts.isEncrypted = true
    facts.encryption = container.facts
    return facts
  }
}
