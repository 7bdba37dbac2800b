// Which points stay: deleting them, the rule of pruning, giving room back.
//
// Owns: the rule, what lives. Must not know: command lines, how points were made.
//
// Points need no other points: each names all of its clusters and pages. So any may go, and nothing is merged.

import Host
import Snapshots
import Storage
import Store

/// How many points of a machine stay: the last ones, and the last one of each of so many days and so on in which there are any.
public struct PruneRule: Equatable, Sendable {
  /// The last ones.
  public var last = 0
  /// One of each of so many hours, days, weeks from Monday, months and years.
  public var hourly = 0, daily = 0, weekly = 0, monthly = 0, yearly = 0

  public init() {}

  /// Without any number everything would go.
  public var isEmpty: Bool { self == PruneRule() }

  /// Which points stay.
  /// - Parameters:
  ///   - created: when each was made, ascending, in seconds since 1970, UTC.
  ///   - local: what a clock there shows at that time, as seconds since 1970.
  public func keeps(_ created: [Int64], local: (Int64) -> Int64) -> [Bool] {
    var keeps = created.map { _ in false }
    for at in created.indices.suffix(max(0, last)) { keeps[at] = true }
    func keep(_ count: Int, _ period: (Int64) -> Int64) {
      var (seen, left): (Int64?, Int) = (nil, count)
      for at in created.indices.reversed() {
        if left <= 0 { return }
        let number = period(local(created[at]))
        if number == seen { continue }
        seen = number
        keeps[at] = true
        left -= 1
      }
    }
    keep(hourly) { PruneRule.floor($0, 3600) }
    keep(daily) { PruneRule.floor($0, 86400) }
    // 1 January 1970 was a Thursday; weeks begin on Monday.
    keep(weekly) { PruneRule.floor($0 + 3 * 86400, 7 * 86400) }
    keep(monthly) { PruneRule.month($0) }
    keep(yearly) { PruneRule.floor(PruneRule.month($0), 12) }
    return keeps
  }

  private static func floor(_ value: Int64, _ step: Int64) -> Int64 {
    let part = value / step
    return value % step < 0 ? part - 1 : part
  }

  /// Months since the year 0, of a date in the Gregorian calendar.
  /// After: Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2014): years are counted from March, so that the leap day is a year's last.
  private static func month(_ seconds: Int64) -> Int64 {
    let days = floor(seconds, 86400) + 719_468
    let era = floor(days, 146_097)
    let day = days - era * 146_097
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365
    let dayOfYear = day - (365 * year + year / 4 - year / 100)
    let month = (5 * dayOfYear + 2) / 153
    // March is 0 there.
    return (year + era * 400) * 12 + month + 2
  }
}

extension BackupFolder {
  /// Deletes points. They are gone when this returns, also for whoever is killed meanwhile; the room is given back before it returns, too.
  /// - Returns: bytes of the host that were given back.
  @discardableResult public func delete(_ ids: Set<String>) throws(StorageError) -> UInt64 {
    var new = state
    new.points.removeAll { ids.contains($0.id) }
    if new.points.count != state.points.count { try publish(new) }
    return try collect()
  }

  /// Which points would stay and go by a rule, each machine by itself.
  public func pruned(_ rule: PruneRule, of machine: String? = nil) -> (
    kept: [BackupPoint], gone: [BackupPoint]
  ) {
    var kept = Set<String>()
    for name in Set(state.points.map(\.machine)) {
      let own = state.points.filter { $0.machine == name }.sorted {
        $0.record.created < $1.record.created
      }
      if let machine, machine != name {
        kept.formUnion(own.map(\.id))
        continue
      }
      let keeps = rule.keeps(own.map(\.record.created)) { HostClock.localSeconds(atUTC: $0) }
      for (point, stays) in zip(own, keeps) where stays { kept.insert(point.id) }
    }
    return (
      state.points.filter { kept.contains($0.id) }, state.points.filter { !kept.contains($0.id) }
    )
  }

  /// Gives the room back that no point needs.
  /// - Parameter discardsLost: also files that cannot be used any more, where points lack something without them: they may come back.
  /// - Returns: bytes of the host.
  @discardableResult public func collect(discardsLost: Bool = false) throws(StorageError) -> UInt64
  {
    let sequence = store.sequence
    let discardsLost = discardsLost || (!store.lostPacks.isEmpty && needsNothingLost())
    var marks = ContentMarks()
    for point in state.points {
      do throws(StorageError) { try mark(point, &marks) } catch {
        // What a damaged point still has is worth keeping, and cannot be told from what nobody needs.
        if !discardsLost { throw error }
      }
    }
    return try store.sweep(live: marks.live, asOf: sequence, discardsLost: discardsLost)
  }

  /// Notes all that a point needs.
  func mark(_ point: BackupPoint, _ marks: inout ContentMarks) throws(StorageError) {
    try StoredBytes.mark(point.record.head, in: store, &marks)
    try StoredBytes.mark(point.record.picture, in: store, &marks)
    if point.record.memory != .zero {
      try marks.insert(
        ContentList(point.record.memory, in: store, count: point.record.pageCount), in: store)
    }
    for disk in point.disks where disk.contents != .zero {
      try marks.insert(
        ContentList(
          disk.contents, in: store, count: BackupDisk.clusterCount(disk.byteCount)), in: store)
    }
  }
}
