// Whether points are what they were made as.
//
// Owns: reading everything, which points lack what, remembering it. Must not know: who asks.
//
// What is damaged is remembered in the folder: it is written anew when a backup brings it again, and no backup goes on from a point that
// lacks it.

import Storage
import Store

/// What is wrong with a folder.
public struct BackupDamage: Sendable {
  /// Objects and packs, with where in which file.
  public var damages: [StoreDamage] = []
  /// Points that cannot be given back as a whole.
  public var incomplete: [(point: BackupPoint, reason: String)] = []

  /// Whether there is nothing.
  public var isSound: Bool { damages.isEmpty && incomplete.isEmpty }
}

extension BackupFolder {
  /// Reads everything, and compares it with its names.
  /// - Parameter progress: is told how many of how many objects were looked at; false: stop.
  public func verify(_ progress: (_ done: Int, _ total: Int) -> Bool = { _, _ in true })
    -> BackupDamage
  {
    var result = BackupDamage(damages: store.verify(progress))
    let damaged = Set(result.damages.compactMap(\.name))
    for point in state.points {
      if let reason = lack(of: point, damaged) { result.incomplete.append((point, reason)) }
    }
    return result
  }

  /// Why a point cannot be given back as a whole; nil: it can.
  private func lack(of point: BackupPoint, _ damaged: Set<ContentName>) -> String? {
    var marks = ContentMarks()
    do throws(StorageError) { try mark(point, &marks) } catch { return "\(error)" }
    if let name = marks.live.first(where: damaged.contains) {
      return "object \(name.short) is damaged"
    }
    let names = Array(marks.live)
    for (name, isThere) in zip(names, store.contains(names)) where !isThere {
      return "object \(name.short) is not there"
    }
    return nil
  }

  /// Remembers what was found. The folder is open for writing.
  public func note(_ found: BackupDamage) throws(StorageError) {
    var new = state
    // So many are told; a folder with more is told anew by the next look.
    new.damaged = Array(Set(found.damages.compactMap(\.name)).prefix(10_000))
    for at in new.points.indices {
      let reason = found.incomplete.first { $0.point.id == new.points[at].id }?.reason ?? ""
      new.points[at].damage = String(decoding: reason.utf8.prefix(1000), as: UTF8.self)
    }
    if new == state { return }
    try publish(new)
    store.distrust(new.damaged)
  }

  /// Looks again at what was damaged, after contents were added: some of it may be there anew.
  func noteMended() throws(StorageError) {
    let isDamaged = state.points.contains { !$0.damage.isEmpty }
    if state.damaged.isEmpty && !isDamaged && store.lostPacks.isEmpty { return }
    var new = state
    new.damaged = store.distrusted(among: state.damaged)
    let damaged = Set(new.damaged)
    for at in new.points.indices where !new.points[at].damage.isEmpty {
      new.points[at].damage = lack(of: new.points[at], damaged) ?? ""
    }
    if new != state { try publish(new) }
    if !store.lostPacks.isEmpty { try collect() }
  }

  /// Whether nothing that a point needs was in files that cannot be used any more.
  func needsNothingLost() -> Bool { state.points.allSatisfy { lack(of: $0, []) == nil } }
}
