// What a store should hold, beside the store.
//
// Owns: a workload of publishing and sweeping, what is right after each step of it. Must not know: files.

import Storage
import Testing

@testable import Store

/// Payloads are lists of names, 32 bytes each.
final class StoreModel {
  /// Contents of all objects there ever were.
  private(set) var contents: [ContentName: [UInt8]] = [:]
  /// Payloads that were there, and the step in the record behind which they are.
  private(set) var history: [(step: Int, payload: [UInt8])] = []
  private(set) var payload: [UInt8] = []
  private var pool: [[UInt8]] = []

  func note(_ step: Int) { history.append((step, payload)) }

  /// Publishes something: some old objects, some new ones.
  func publish(_ store: ContentStore, _ random: inout StoreRandom) throws {
    let batch = store.begin(compress: random.one(in: 2))
    var names: [ContentName] = payload.names.filter { _ in !random.one(in: 3) }
    for _ in 0..<random.below(6) {
      let bytes: [UInt8]
      if random.one(in: 4), let old = pool.randomElement(using: &random) {
        bytes = old
      } else if random.one(in: 3) {
        bytes = random.text(4096 * (1 + random.below(2)))
      } else {
        bytes = random.bytes(random.one(in: 2) ? 4096 : 1 + random.below(3000))
      }
      let name = try batch.add(bytes)
      if name == .zero { continue }
      contents[name] = bytes
      pool.append(bytes)
      names.append(name)
    }
    if pool.count > 20 { pool.removeFirst(pool.count - 20) }
    if random.one(in: 10) {
      batch.abandon()
      return
    }
    let isEmpty = random.one(in: 15)
    if isEmpty { names.removeAll { !store.contains($0) } }
    try store.publish(isEmpty ? nil : batch, payload: names.flatMap(\.bytes))
    payload = store.payload
  }

  /// Whether a store holds one of some payloads with everything in it.
  func check(
    _ store: ContentStore, _ payloads: [[UInt8]], _ what: @autoclosure () -> String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) -> Bool {
    let now = store.payload
    guard payloads.contains(now) else {
      Issue.record("\(what()): another payload", sourceLocation: sourceLocation)
      return false
    }
    let damages = store.verify()
    guard damages.isEmpty, store.lostPacks.isEmpty else {
      Issue.record("\(what()): \(damages)", sourceLocation: sourceLocation)
      return false
    }
    for name in now.names {
      guard let bytes = try? store.bytes(name), bytes == contents[name] else {
        Issue.record("\(what()): object \(name.short)", sourceLocation: sourceLocation)
        return false
      }
    }
    return true
  }
}
