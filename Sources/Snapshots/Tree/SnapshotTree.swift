// The snapshots of a machine, in a folder beside its first image.
//
// Owns: the folder, the store in it, the tree's state and its publishing, one operation at a time. Must not know: command lines, windows.
//
//   IMAGE.snapshots/store   contents by name, and the tree (Store)
//   IMAGE.snapshots/undo    what the present period has overwritten (UndoLog), until it goes into the store
//   IMAGE.snapshots/control where a machine that runs listens (a socket)

import Host
import Machine
import State
import Storage
import Store

/// A disk that is open, and what keeps its overwritten clusters.
public struct TreeAttachment {
  /// The drive's name in saved states.
  public var drive: String
  /// Its image as it was named.
  public var path: String
  /// The whole device, with what writes to it in the background.
  public var device: any BlockDevice
  /// The layer of it that keeps what is overwritten; nil: it is not written by this program.
  public var undo: UndoDevice?
  /// Runs something while nobody else uses the layer.
  public var alone: (() throws(StorageError) -> Void) throws(StorageError) -> Void

  public init(
    drive: String, path: String, device: any BlockDevice, undo: UndoDevice?,
    alone: @escaping (() throws(StorageError) -> Void) throws(StorageError) -> Void
  ) {
    self.drive = drive
    self.path = path
    self.device = device
    self.undo = undo
    self.alone = alone
  }

  var byteCount: UInt64 { device.blockCount * UInt64(device.blockSize) }
}

/// A machine's snapshots. Used from any thread; operations wait for each other.
public final class SnapshotTree: @unchecked Sendable {
  /// The folder.
  public let folder: String
  let store: ContentStore
  private let lock = HostCondition()
  private var isBusy = false
  /// Pieces of disks that are being read beside operations, and whether none may begin any more.
  private var pieces = 0
  private var isOver = false
  // Of the one whose operation goes on.
  var state: TreeState
  /// The disks of the machine that runs, or of images that are open, by their numbers in `state.disks`.
  var attachments: [Int: TreeAttachment] = [:]
  /// The next number for a period or a log: what was used by an attempt that failed is not used again.
  var nextNumber: UInt64
  /// For each disk the number of the log that is being written.
  var openLogs: [Int: UInt64] = [:]
  /// The memory that the machine's pages were last taken or put back as; pages written since are known.
  var memoryBase: ContentList?
  /// What the memory was at bases of this run, by their identities: where names mean nothing elsewhere, the next backup compares with it.
  var baseMemories: [String: ContentList] = [:]
  /// Pages that are known no more because what they were copied for failed.
  var lostPages: Set<UInt32> = []
  /// Something was deleted while the machine ran.
  var hasDeleted = false
  let pool = CapturePool()
  /// What logs are sealed by, where a disk is encrypted.
  let secret: ContentSecret?

  /// Where an image's snapshots are.
  public static func folder(of image: String) -> String {
    let plain = ImageOpener.rawPath(image) ?? image
    let own = plain + ".snapshots"
    // What a link leads to has one tree, whatever names lead there.
    guard HostFiles.facts(plain, followsLinks: false)?.kind == .link, !exists(in: own),
      let real = HostProcess.resolved(plain), HostFiles.facts(real)?.kind == .file
    else { return own }
    return real + ".snapshots"
  }

  /// Whether there is a tree in a folder.
  public static func exists(in folder: String) -> Bool {
    HostFiles.exists(folder + "/store/root")
  }

  /// Removes a tree with everything in it: its image is the disk, as always.
  public static func remove(_ folder: String) {
    for part in ["/store/packs", "/store", "/undo", ""] { HostProcess.removeFolder(folder + part) }
  }

  static func undoFolder(_ folder: String) -> String { folder + "/undo" }

  /// Makes a tree without snapshots.
  /// - Parameters:
  ///   - attachments: the disks of which it has snapshots.
  ///   - keys: of those that are encrypted: nobody else reads the snapshots.
  public init(creating folder: String, for attachments: [TreeAttachment], keys: [VolumeKey] = [])
    throws(StorageError)
  {
    self.folder = folder
    do throws(HostError) {
      // What a guest has in its memory is nobody else's.
      try HostFiles.makeFolder(folder, isPrivate: true)
      try HostFiles.makeFolder(SnapshotTree.undoFolder(folder))
    } catch { throw StorageError(path: folder, reason: error.reason) }
    // One that was begun and not finished is as good as none.
    store =
      SnapshotTree.exists(in: folder)
      ? try ContentStore(
        opening: folder + "/store", writable: true, keys: SnapshotTree.storeKeys(keys))
      : try ContentStore(creating: folder + "/store", keys: SnapshotTree.storeKeys(keys))
    guard store.payload.isEmpty else {
      throw StorageError(path: folder, reason: "there are snapshots already")
    }
    state = TreeState()
    nextNumber = 1
    secret = keys.isEmpty ? nil : try ContentSecret(sealing: keys, for: folder)
    state.secret = secret?.header ?? []
    try match(attachments)
    state.isInUse = true
    try store.publish(nil, payload: state.bytes)
    HostFiles.syncFolder(of: folder)
  }

  /// Opens the tree in a folder.
  /// - Parameters:
  ///   - writable: there is one who writes at a time.
  ///   - keys: of the disks that are encrypted.
  public init(opening folder: String, writable: Bool, keys: [VolumeKey] = [])
    throws(StorageError)
  {
    self.folder = folder
    store = try ContentStore(
      opening: folder + "/store", writable: writable, keys: SnapshotTree.storeKeys(keys))
    state = try SnapshotTree.read(store)
    secret =
      state.secret.isEmpty
      ? nil : try ContentSecret(opening: state.secret, keys, for: folder)
    nextNumber = state.nextNumber
    if state.quota > 0 { store.quota = state.quota }
  }

  private static func storeKeys(_ keys: [VolumeKey]) -> StoreKeys? {
    keys.isEmpty ? nil : StoreKeys(keys)
  }

  private static func read(_ store: ContentStore) throws(StorageError) -> TreeState {
    // Making it was cut off: there is nothing in it.
    if store.payload.isEmpty { return TreeState() }
    do throws(StateError) { return try TreeState(store.payload) } catch {
      throw StorageError(path: store.folder + "/root", reason: "in its payload \(error)")
    }
  }

  /// Runs an operation when no other goes on.
  func exclusively<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
    lock.locked {
      while isBusy { lock.wait() }
      isBusy = true
    }
    return try running(body)
  }

  /// The same for the machine's thread, which others may wait for: it does not wait for them.
  func atOnce<T>(_ waits: Bool, _ body: () throws(StorageError) -> T) throws(StorageError) -> T {
    if waits { return try exclusively(body) }
    let isFree = lock.locked { () -> Bool in
      defer { isBusy = true }
      return !isBusy
    }
    if !isFree {
      var error = StorageError(
        path: folder,
        reason: "something else is being done with the snapshots: ask again in a moment")
      error.asksAgain = true
      throw error
    }
    return try running(body)
  }

  /// Reads a piece of a disk beside operations: the disks stay open until it is done.
  func piece(_ body: () throws(StorageError) -> Void) throws(StorageError) {
    let mayRead = lock.locked { () -> Bool in
      if isOver { return false }
      pieces += 1
      return true
    }
    guard mayRead else {
      throw StorageError(path: folder, reason: "the run has ended while its disks were read")
    }
    defer {
      lock.locked { pieces -= 1 }
      lock.broadcast()
    }
    try body()
  }

  /// No piece is read any more when this returns.
  func endPieces() {
    lock.locked {
      isOver = true
      while pieces > 0 { lock.wait() }
    }
  }

  private func running<T, E: Error>(_ body: () throws(E) -> T) throws(E) -> T {
    defer {
      lock.locked { isBusy = false }
      lock.broadcast()
    }
    return try body()
  }

  /// Makes a state the tree's: it is on stable storage when this returns.
  func publish(_ new: TreeState, _ batch: Batch? = nil) throws(StorageError) {
    var new = new
    new.nextNumber = max(new.nextNumber, nextNumber)
    let bytes = new.bytes
    // What cannot be read again must never be the tree.
    do throws(StateError) { _ = try TreeState(bytes) } catch {
      throw StorageError(
        path: folder, reason: "this would make a tree that cannot be read: \(error)")
    }
    // A quota is for who takes snapshots: what is kept already has its place.
    let quota = store.quota
    store.quota = nil
    defer { store.quota = quota }
    try store.publish(batch, payload: bytes)
    state = new
  }

  // MARK: Looking

  /// The snapshots, in the order they were taken.
  public var snapshots: [SnapshotRecord] { exclusively { state.snapshots } }

  /// The one that the machine comes from.
  public var current: SnapshotRecord? { exclusively { state.snapshot(state.current) } }

  /// The snapshot with which the machine goes on at its next start, where it was gone back to; nil: it boots.
  public var resumed: SnapshotRecord? {
    exclusively { state.resumes ? state.snapshot(state.current) : nil }
  }

  /// The disks that snapshots have.
  public var disks: [TreeDisk] { exclusively { state.disks } }

  /// Bytes that the tree takes on the host, and how many of them hold contents.
  public func usage() -> StoreUsage { store.usage() }

  /// The snapshot that a name or the beginning of an identity means.
  /// - Throws: when there is none, or more than one.
  public func snapshot(_ text: String) throws(StorageError) -> SnapshotRecord {
    try exclusively { () throws(StorageError) in try find(text) }
  }

  func find(_ text: String) throws(StorageError) -> SnapshotRecord {
    if let named = state.snapshots.last(where: { $0.name == text }) { return named }
    let begun = state.snapshots.filter {
      text.utf8.count >= 4 && $0.id.hasPrefix(text.lowercased())
    }
    if begun.count == 1 { return begun[0] }
    var error = StorageError(
      path: folder,
      reason: begun.isEmpty
        ? "has no snapshot '\(StateError.printable(text))'"
          + (state.snapshots.isEmpty
            ? "; there are none"
            : "; there are: " + state.snapshots.suffix(10).map(\.name).joined(separator: ", "))
        : "several snapshots begin with '\(StateError.printable(text))'")
    error.isUsage = true
    throw error
  }

  /// A small picture of what the screen showed (PNG); nil: there is none.
  public func picture(of snapshot: SnapshotRecord) throws(StorageError) -> [UInt8]? {
    if snapshot.picture == .zero { return nil }
    return try StoredBytes.read(snapshot.picture, in: store, limit: 64 << 20)
  }

  /// The capture's head; nil: the snapshot is of disks alone.
  public func head(of snapshot: SnapshotRecord) throws(StorageError) -> [UInt8]? {
    if snapshot.head == .zero { return nil }
    return try StoredBytes.read(snapshot.head, in: store, limit: 4 << 30)
  }

  /// Which machine a snapshot is of; nothing where it is of disks alone.
  public func identity(of snapshot: SnapshotRecord) throws(StorageError) -> [(
    key: String, value: String
  )] {
    guard let head = try head(of: snapshot) else { return [] }
    do throws(StateError) { return try Machine.captureIdentity(ofHead: head) } catch {
      throw StorageError(path: folder, reason: "snapshot '\(snapshot.name)': \(error)")
    }
  }

  // MARK: Names

  /// Why a name is none for a snapshot; nil: it is one.
  public static func obstacle(toName name: String) -> String? {
    if name.isEmpty { return "a snapshot's name has a character at least" }
    if name.utf8.count > SnapshotRecord.longestName {
      return "a snapshot's name has at most \(SnapshotRecord.longestName) bytes"
    }
    if name.unicodeScalars.contains(where: {
      $0.value < 0x20 || (0x7F...0x9F).contains($0.value) || HostPath.stands($0)
    }) {
      return "a snapshot's name has no control characters"
    }
    return nil
  }

  /// How the image is noted beside which the tree lies, whatever it is called.
  public static let ownImage = "(image)"

  /// A path as the tree notes it: from the folder that the tree lies in, where the file lies there or below, otherwise from the root.
  static func noted(_ path: String, from folder: String) -> String {
    if SnapshotTree.folder(of: path) == folder { return ownImage }
    let plain = ImageOpener.rawPath(path) ?? path
    let real = HostProcess.resolved(plain) ?? plain
    let place = HostProcess.resolved(folder) ?? folder
    if SnapshotTree.folder(of: real) == place { return ownImage }
    let above = parent(of: place)
    return !above.isEmpty && real.hasPrefix(above) ? String(real.dropFirst(above.count)) : real
  }

  /// The folder that a path lies in, with a slash behind it; "" where it names none.
  static func parent(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
  }

  /// The name of the format of a disk's image.
  public static func formatName(of device: any BlockDevice) -> String {
    device.layers.last { $0.file != nil }?.kind ?? device.layer.kind
  }
}
