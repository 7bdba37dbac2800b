// A session's snapshots for the console.
//
// Owns: the words. Must not know: commands, how snapshots are taken.

import Debugger
import Session
import Snapshots
import Storage

/// Snapshots of the session that a console belongs to.
final class SessionSnapshots: DebuggerSnapshots {
  private weak var session: Session?

  init(_ session: Session) { self.session = session }

  private func own() throws(StorageError) -> Session {
    guard let session else { throw StorageError(path: "snapshots", reason: "the session is over") }
    return session
  }

  func list() throws -> [String] {
    guard let tree = try own().snapshotTree else { return ["no snapshots"] }
    let (snapshots, current) = (tree.snapshots, tree.current)
    if snapshots.isEmpty { return ["no snapshots"] }
    return snapshots.map { snapshot in
      (snapshot == current ? "* " : "  ") + snapshot.name
        + (snapshot.kind == .machine ? "  #\(snapshot.instruction)" : "  disks alone")
        + (snapshot.note.isEmpty ? "" : "  \(snapshot.note)")
    }
  }

  func take(_ name: String?) throws -> String {
    let (snapshot, _) = try own().takeSnapshot(SnapshotWish(name))
    return "snapshot '\(snapshot.name)' at #\(snapshot.instruction)"
  }

  func goBack(to name: String) throws -> String {
    let (snapshot, _) = try own().goBack(to: name)
    return "the machine is what it was at '\(snapshot.name)'"
  }

  func delete(_ name: String) throws -> String {
    _ = try own().deleteSnapshots([name])
    return "'\(name)' is deleted"
  }
}
