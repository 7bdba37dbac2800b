// `snapshot`: states of a disk inside its image.
//
// Owns: the four things that can be done. Must not know: formats.

import Host
import Storage

/// What is to be done.
public enum SnapshotAction: Equatable, Sendable {
  case list
  case create(String)
  case apply(String)
  case delete(String)
}

public struct SnapshotResult: Codable, Equatable, Sendable {
  public var schema = "apus-image-snapshot"
  public var version = 1
  public var file: String
  /// Those there are afterwards.
  public var snapshots: [ImageInfo.Snapshot]
}

extension ImageOperations {
  /// Lists, makes, goes back to, or deletes a snapshot.
  public static func snapshot(_ reference: ImageReference, _ action: SnapshotAction) throws
    -> SnapshotResult
  {
    let image = try DiskImage(reference, action == .list ? .reading : .writing)
    defer { image.close() }
    guard let device = image.device as? any SnapshottingDevice else {
      throw StorageError(
        path: image.path, reason: "\(image.formatName) images keep no snapshots")
    }
    switch action {
    case .list: break
    case .create(let name):
      if device.imageSnapshots.contains(where: { $0.name == name }) {
        throw StorageError(path: image.path, reason: "has a snapshot '\(name)' already")
      }
      try device.createSnapshot(named: name, time: UInt64(max(0, HostClock.utcSeconds())))
    case .apply(let which): try device.applySnapshot(which)
    case .delete(let which): try device.deleteSnapshot(which)
    }
    if action != .list { try image.flush() }
    return SnapshotResult(file: image.path, snapshots: info(of: image).snapshots)
  }
}
