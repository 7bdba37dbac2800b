// What clusters of a disk held when a period began.
//
// Owns: the file: when it is made, appending, bringing it to stable storage, reading what it has. Must not know: devices, snapshots, which
// cluster is to be kept when.
//
// A machine's disk image is always current. What a cluster of it held before it was overwritten for the first time in a period (from one
// snapshot to the next) is in that period's log. A snapshot at the beginning of a period is: of each cluster what the first of that log and
// the later ones has that has the cluster, otherwise the image. A program that begins anew begins a period, and with it a log: a log is
// never appended to again.
//
// A record may be missing, in part or as a whole, if the power fails before `sync` returns, and those behind it may be there: reading ends
// there. Nothing was overwritten that such a record stands for.

import Host

/// What clusters of a disk held when a period began. An append-only file, which is made when the first cluster is appended. Used by one
/// thread at a time.
public final class UndoLog {
  /// The file, as it was given.
  public let path: String
  let header: UndoHeader
  /// Makes the file, empty; nil: the log is only read.
  private let make: (() throws(StorageError) -> any ByteStore)?
  /// Brings the file's name to stable storage.
  private let settleName: () -> Void

  private var file: (any ByteStore)?
  private var index: UndoIndex
  /// Behind the last record.
  private(set) var end: UInt64
  private(set) var syncedEnd: UInt64
  /// The flush that was begun, and what it brings to stable storage.
  private var underWay: (number: UInt64, end: UInt64)?
  /// nil: it is not sealed.
  private let seal: UndoSeal?
  /// A whole record: exactly as many bytes as it has.
  private var scratch: [UInt8] = []
  /// Whether the log was closed in order: whatever is missing of it is damage.
  public private(set) var isComplete: Bool

  // MARK: Writing

  /// A log that is to be written; nothing happens yet.
  /// - Parameters:
  ///   - path: where it is made; there must be no file of that name.
  ///   - identity: 16 bytes that say whose it is; best random ones that no guest knows.
  ///   - period: the number of the period.
  ///   - diskSize: bytes that the disk has at the beginning of the period.
  public convenience init(path: String, identity: [UInt8], period: UInt64, diskSize: UInt64) {
    self.init(
      path, identity, period, diskSize,
      make: { () throws(StorageError) in try HostFile(creating: path, named: path) },
      settleName: { HostFiles.syncFolder(of: path) })
  }

  /// The same, sealed: nobody reads what clusters held who has not the secret.
  /// - Parameter secret: nil: it is not sealed.
  public convenience init(
    path: String, identity: [UInt8], period: UInt64, diskSize: UInt64, secret: ContentSecret?
  ) throws(StorageError) {
    var seal: UndoSeal?
    if let secret { seal = try UndoSeal(secret, for: path) }
    self.init(
      path, identity, period, diskSize, seal: seal,
      make: { () throws(StorageError) in try HostFile(creating: path, named: path) },
      settleName: { HostFiles.syncFolder(of: path) })
  }

  /// The same where files are something else than the host's.
  init(
    _ path: String, _ identity: [UInt8], _ period: UInt64, _ diskSize: UInt64,
    seal: UndoSeal? = nil,
    make: @escaping () throws(StorageError) -> any ByteStore, settleName: @escaping () -> Void = {}
  ) {
    precondition(identity.count == 16 && diskSize <= UndoHeader.largestDisk)
    self.path = path
    var header = UndoHeader(diskSize: diskSize, identity: identity, period: period)
    if let seal { (header.salt, header.proof) = (seal.salt, seal.proof) }
    self.header = header
    self.seal = seal
    self.make = make
    self.settleName = settleName
    index = UndoIndex()
    end = UInt64(UndoHeader.size)
    syncedEnd = end
    isComplete = false
  }

  deinit { file?.close() }

  /// The period's number.
  public var period: UInt64 { header.period }
  /// 16 bytes that say whose it is.
  public var identity: [UInt8] { header.identity }
  /// Bytes that the disk had at the beginning of the period.
  public var diskSize: UInt64 { header.diskSize }
  /// Whether nobody reads it without its secret.
  public var isSealed: Bool { header.isSealed }
  /// How many clusters that are.
  public var clusterCount: UInt64 { header.clusterCount }
  /// How many bytes a cluster (below `clusterCount`) has: fewer at the disk's end.
  public func length(of cluster: UInt64) -> Int { header.length(of: cluster) }
  /// How many bytes of the file are on stable storage, as far as is known; 0: there is no file yet.
  public var byteCount: UInt64 { file == nil ? 0 : syncedEnd }
  /// How many bytes have yet to be brought to stable storage.
  public var unsyncedBytes: UInt64 { end - syncedEnd }
  /// Whether there are records.
  public var isEmpty: Bool { index.count == 0 }

  /// Makes the file, whose header and name are there to stay when this returns.
  private func writable() throws(StorageError) -> any ByteStore {
    if let file { return file }
    guard let make, !isComplete else {
      throw StorageError(path: path, reason: "the undo log is not written any more")
    }
    let new = try make()
    do throws(StorageError) {
      try new.extend(at: 0, header.bytes)
      try new.flush()
    } catch {
      new.remove()
      throw error
    }
    settleName()
    file = new
    return new
  }

  /// Adds what a cluster held. The caller sees to it that there is one record of each.
  /// - Parameter bytes: all of the cluster's; zeros take next to no room.
  /// - Throws: also when there is no room for it; the log is then what it was.
  public func append(_ cluster: UInt64, _ bytes: UnsafeRawBufferPointer) throws(StorageError) {
    if cluster >= clusterCount || bytes.count != length(of: cluster) {
      throw StorageError(
        path: path, reason: "cluster \(cluster) with \(bytes.count) bytes is not the disk's")
    }
    try append(cluster, data: ZeroSearch.isZero(bytes) ? nil : bytes)
  }

  /// Adds that a cluster held zeros.
  public func appendZeros(_ cluster: UInt64) throws(StorageError) {
    if cluster >= clusterCount {
      throw StorageError(path: path, reason: "cluster \(cluster) is not the disk's")
    }
    try append(cluster, data: nil)
  }

  private func append(_ cluster: UInt64, data: UnsafeRawBufferPointer?) throws(StorageError) {
    let file = try writable()
    let isEnd = cluster == UndoHead.endMark
    let length = isEnd ? 0 : header.recordLength(of: cluster, isZero: data == nil)
    let size = UndoHead.size + length
    if scratch.count != size { scratch = [UInt8](repeating: 0, count: size) }
    let isDone = scratch.withUnsafeMutableBytes { record in
      let room = UnsafeMutableRawBufferPointer(rebasing: record[UndoHead.size...])
      if let seal, !isEnd {
        let contents = data ?? UnsafeRawBufferPointer(start: nil, count: 0)
        if !seal.seal(contents, of: cluster, at: end, header, into: room) { return false }
      } else if let data {
        room.copyMemory(from: data)
      }
      let head = UndoHead(
        cluster: cluster, length: length, synced: syncedEnd,
        dataSum: CRC32C.sum(UnsafeRawBufferPointer(room)))
      head.put(
        UnsafeMutableRawBufferPointer(rebasing: record[..<UndoHead.size]), at: end, header)
      return true
    }
    if !isDone { throw StorageError(path: path, reason: "OpenSSL's AES-256-GCM fails") }
    do throws(StorageError) { try file.extend(at: end, scratch) } catch {
      // Half of it takes room that somebody needs.
      if file.size > end { try? file.setSize(end) }
      throw error
    }
    if !isEnd { index.add(cluster, at: end) }
    end += UInt64(size)
  }

  /// Returns when all that was appended is on stable storage.
  /// - Throws: then nobody knows what is there of what was appended since the last time, not even if this is called again: it is to be
  ///   taken back (`dropUnsynced`) and appended anew.
  public func sync() throws(StorageError) {
    underWay = nil
    guard let file, end > syncedEnd else { return }
    try file.flush()
    syncedEnd = end
  }

  /// Begins what `sync` does for all that was appended, and does not wait for it.
  func beginSync() throws(StorageError) {
    guard let file, end > syncedEnd else { return }
    underWay = (try file.beginFlush(), end)
  }

  /// Whether a `beginSync` has yet to end.
  var isSyncing: Bool { underWay != nil }

  /// Looks whether what was begun is done; `unsyncedBytes` are then fewer.
  /// - Throws: as `sync`.
  func lookAtSync() throws(StorageError) {
    guard let file, let (number, place) = underWay else { return }
    if try file.hasFlushed(number) {
      underWay = nil
      syncedEnd = max(syncedEnd, place)
    }
  }

  /// Takes back what was appended and is not on stable storage for certain.
  public func dropUnsynced() throws(StorageError) {
    underWay = nil
    guard let file, end > syncedEnd else { return }
    index.cut(at: syncedEnd)
    end = syncedEnd
    try file.setSize(end)
  }

  /// Nothing will be appended any more: what was is on stable storage, and the file is closed.
  public func close() throws(StorageError) {
    try sync()
    guard let file, make != nil, !isComplete else { return }
    // Nobody has to find this: it only tells that what is missing was there.
    try? append(UndoHead.endMark, data: nil)
    isComplete = true
    file.close()
    self.file = nil
  }

  // MARK: Reading

  /// Opens a log for reading. One that is still being written, by whomever, has what was appended so far.
  ///
  /// A tail that a power failure cut is not there, nor is that an error. A file that was cut before it had a header is a log without records.
  /// - Parameters:
  ///   - identity: what it was made with.
  ///   - atLeast: bytes of the file (`byteCount`) that are known to have been on stable storage: with fewer it is damaged.
  ///   - secret: what it was sealed by; nil: it is not sealed.
  /// - Throws: where it is damaged in the middle, or is not the one that is expected.
  public static func open(
    _ path: String, expecting identity: [UInt8], period: UInt64, atLeast: UInt64 = 0,
    secret: ContentSecret? = nil
  ) throws(StorageError) -> UndoLog {
    let file = try HostFile(path: path, writable: false, looksOnly: true)
    return try UndoLog(
      reading: file, expecting: identity, period: period, atLeast: atLeast, secret: secret)
  }

  init(
    reading file: any ByteStore, expecting identity: [UInt8], period: UInt64, atLeast: UInt64 = 0,
    secret: ContentSecret? = nil
  ) throws(StorageError) {
    let scan = try UndoLogScan(file, expecting: identity, period: period)
    if scan.end < atLeast {
      throw file.refusal(
        at: scan.end, "the undo log ends here, it had \(atLeast) bytes: it is damaged")
    }
    path = file.name
    header = scan.header
    // One that has no header yet has nothing that could be read.
    if scan.end == 0 {
      seal = nil
    } else if let secret {
      seal = try UndoSeal(secret, scan.header, for: file.name)
    } else if header.isSealed {
      throw file.refusal(
        at: 48, "the undo log is sealed by the keys of encrypted disks, which are not open")
    } else {
      seal = nil
    }
    make = nil
    settleName = {}
    self.file = file
    index = scan.index
    end = scan.end
    syncedEnd = scan.end
    isComplete = scan.isComplete
  }

  /// The clusters that it has, ascending.
  public var clusters: [UInt64] { index.clusters() }

  /// Whether it has a cluster.
  public func has(_ cluster: UInt64) -> Bool { index.place(of: cluster) != nil }

  /// Fills `buffer`, of the cluster's length, with what a cluster held.
  /// - Returns: whether the log has it; otherwise nothing is filled.
  public func read(_ cluster: UInt64, into buffer: UnsafeMutableRawBufferPointer)
    throws(StorageError) -> Bool
  {
    guard let place = index.place(of: cluster) else { return false }
    if buffer.count != length(of: cluster) {
      throw StorageError(path: path, reason: "cluster \(cluster) has not \(buffer.count) bytes")
    }
    guard let file else {
      throw StorageError(path: path, reason: "the undo log was closed")
    }
    guard let head = try UndoLogScan.head(file, place, header), head.cluster == cluster else {
      throw file.refusal(at: place, "the record of cluster \(cluster) is damaged")
    }
    func damaged() -> StorageError {
      file.refusal(at: place, "what cluster \(cluster) held is damaged")
    }
    let isZero = head.length == header.recordLength(of: cluster, isZero: true)
    let start = place + UInt64(UndoHead.size)
    if let seal {
      let sealed = try file.bytes(at: start, count: head.length)
      guard sealed.count == head.length, CRC32C.sum(sealed) == head.dataSum else {
        throw damaged()
      }
      let contents = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(isZero ? 0 : buffer.count)])
      let isOpen = sealed.withUnsafeBytes {
        seal.open($0, of: cluster, at: place, header, into: contents)
      }
      if !isOpen { throw file.refusal(at: place, "the record of cluster \(cluster) was changed") }
    } else if !isZero {
      try file.read(at: start, into: buffer)
      if CRC32C.sum(UnsafeRawBufferPointer(buffer)) != head.dataSum { throw damaged() }
    }
    if isZero { buffer.initializeMemory(as: UInt8.self, repeating: 0) }
    return true
  }

  /// Reads everything.
  /// - Throws: where something is damaged.
  public func verify() throws(StorageError) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: UndoDevice.clusterSize, alignment: 64)
    defer { buffer.deallocate() }
    for cluster in clusters {
      _ = try read(
        cluster, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<length(of: cluster)]))
    }
  }
}
