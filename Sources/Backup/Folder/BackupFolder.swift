// A folder of backups: points of any number of machines over one store of contents.
//
// Owns: the store, its payload, waiting for others who write it. Must not know: how points are made or given back, command lines.
//
//   FOLDER/root, packs, lock    the store (ContentStore)
//
// What is published is there whole or not at all, and stays so when the host fails or the program is killed.

import Host
import Snapshots
import State
import Storage
import Store

/// A folder of backups. It is used by one thread at a time.
public final class BackupFolder {
  /// The folder.
  public let folder: String
  let store: ContentStore
  var state: BackupState

  /// Whether there are backups in a folder.
  public static func exists(in folder: String) -> Bool { HostFiles.exists(folder + "/root") }

  /// Opens the backups in a folder.
  /// - Parameters:
  ///   - writable: there is one who writes at a time.
  ///   - makes: where there are none, they begin.
  ///   - keys: of the disks that are encrypted: contents are, too, and nobody else reads them.
  ///   - patience: seconds to wait for another who writes them.
  public init(
    _ folder: String, writable: Bool, makes: Bool = false, keys: [VolumeKey] = [],
    patience: Int = 60
  ) throws(StorageError) {
    self.folder = folder
    let exists = BackupFolder.exists(in: folder)
    if !exists, HostFiles.isDirectory(folder), !HostFiles.canEnter(folder) {
      throw StorageError(path: folder, reason: "may not be looked into (permission denied)")
    }
    guard exists || makes else {
      var error = StorageError(
        path: folder, reason: "there are no backups ('apus backup create' makes the first)")
      error.isUsage = true
      throw error
    }
    if !exists {
      // What a guest has in its memory is nobody else's.
      do throws(HostError) { try HostFiles.makeFolder(folder, isPrivate: true) } catch {
        throw StorageError(path: folder, reason: error.reason)
      }
    }
    store = try BackupFolder.waiting(patience) { () throws(StorageError) in
      do throws(StorageError) {
        return BackupFolder.exists(in: folder)
          ? try ContentStore(
            opening: folder, writable: writable, keys: BackupFolder.storeKeys(folder, keys))
          : try ContentStore(
            creating: folder, keys: keys.isEmpty ? nil : StoreKeys(keys))
      } catch {
        throw BackupFolder.explained(error, folder, keys)
      }
    }
    state = try BackupFolder.read(store)
    store.quota = state.quota == 0 ? nil : state.quota
    if writable { store.distrust(state.damaged) }
  }

  deinit { store.close() }

  /// Others may write it from here on.
  public func close() { store.close() }

  /// Keys that open what is encrypted; of what is not, none are wanted.
  private static func storeKeys(_ folder: String, _ keys: [VolumeKey]) -> StoreKeys? {
    keys.isEmpty ? nil : StoreKeys(keys)
  }

  private static func explained(_ error: StorageError, _ folder: String, _ keys: [VolumeKey])
    -> StorageError
  {
    var error = error
    if keys.isEmpty, error.reason.contains("the store is encrypted") {
      error.reason =
        "these backups are of encrypted disks, and need their keys: --keys-of IMAGE names an image that has them"
    } else if !keys.isEmpty, error.reason.contains("one that is was expected") {
      error.reason =
        "these backups are not encrypted, and the machine's disks are: what is theirs would be readable here; give another folder"
    }
    return error
  }

  private static func waiting<T>(
    _ seconds: Int, _ body: () throws(StorageError) -> T
  ) throws(StorageError) -> T {
    let start = HostClock.nanoseconds()
    let condition = HostCondition()
    while true {
      do throws(StorageError) { return try body() } catch {
        if !error.asksAgain || HostClock.nanoseconds() &- start > UInt64(seconds) * 1_000_000_000 {
          throw error
        }
      }
      condition.locked { condition.wait(nanoseconds: 50_000_000) }
    }
  }

  private static func read(_ store: ContentStore) throws(StorageError) -> BackupState {
    if store.payload.isEmpty { return BackupState() }
    do throws(StateError) { return try BackupState(store.payload) } catch {
      throw StorageError(
        path: store.folder + "/root",
        reason: error.reason.contains("apus snapshots")
          ? "these are snapshots, no backups" : "holds no backups: in its payload \(error)")
    }
  }

  /// Makes a state the folder's: it is on stable storage when this returns.
  func publish(_ new: BackupState, _ batch: Batch? = nil) throws(StorageError) {
    let bytes = new.bytes
    // What cannot be read again must never be what the folder has.
    do throws(StateError) { _ = try BackupState(bytes) } catch {
      throw StorageError(
        path: folder, reason: "this would make backups that cannot be read: \(error)")
    }
    try store.publish(batch, payload: bytes)
    state = new
  }

  // MARK: Looking

  /// The points, in the order they were made.
  public var points: [BackupPoint] { state.points }

  /// What tells the folder from others.
  public var identity: String { store.identityText }

  /// Whether contents are encrypted.
  public var isSealed: Bool { store.isSealed }

  /// Bytes that the folder takes on the host, and how many of them hold contents.
  public func usage() -> StoreUsage { store.usage() }

  /// Bytes that the folder may take on the host; nil: as many as there are.
  public var quota: UInt64? { state.quota == 0 ? nil : state.quota }

  /// Limits what the folder may take; what is there stays.
  /// - Parameter quota: bytes on the host; nil: as many as there are.
  public func setQuota(_ quota: UInt64?) throws(StorageError) {
    var new = state
    new.quota = quota ?? 0
    try publish(new)
    store.quota = quota
  }

  /// The point that a name or the beginning of an identity means; "latest" is the last that was made.
  /// - Parameter machine: only of this one; nil: of all.
  public func point(_ text: String, of machine: String? = nil) throws(StorageError) -> BackupPoint {
    let all = state.points.filter { machine == nil || $0.machine == machine }
    if let named = all.last(where: { $0.name == text }) { return named }
    if text == "latest", let last = all.last { return last }
    let begun = all.filter { text.utf8.count >= 4 && $0.id.hasPrefix(text.lowercased()) }
    if begun.count == 1 { return begun[0] }
    throw usage(
      begun.isEmpty
        ? "has no point '\(StateError.printable(text))'"
          + (all.isEmpty
            ? "; there are none"
            : "; there are: " + all.suffix(10).map(\.name).joined(separator: ", "))
        : "several points begin with '\(StateError.printable(text))'")
  }

  func usage(_ reason: String) -> StorageError {
    var error = StorageError(path: folder, reason: reason)
    error.isUsage = true
    return error
  }

  /// A small picture of what the screen showed (PNG); nil: there is none.
  public func picture(of point: BackupPoint) throws(StorageError) -> [UInt8]? {
    if point.record.picture == .zero { return nil }
    return try StoredBytes.read(point.record.picture, in: store, limit: 64 << 20)
  }
}
