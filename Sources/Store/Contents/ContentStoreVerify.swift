// Whether everything in a store is what it was when it was written.
//
// Owns: reading all of it. Must not know: what to do about damage.

import Storage

/// Something that is not what it was.
public struct StoreDamage: Equatable, Sendable, CustomStringConvertible {
  /// The object; nil: a whole pack, with all its objects.
  public var name: ContentName?
  public var path: String
  /// Where in the file.
  public var offset: UInt64?
  public var reason: String

  init(_ error: StorageError, name: ContentName? = nil) {
    self.name = name
    path = error.path
    offset = error.offset
    reason = error.reason
  }

  public var description: String {
    offset.map { "\(path): at offset \($0): \(reason)" } ?? "\(path): \(reason)"
  }
}

extension ContentStore {
  /// Reads every pack's table and every object.
  /// - Parameter progress: is told how many of how many objects were looked at, now and then; false: stop.
  /// - Returns: what is damaged, at most 10,000 of it.
  public func verify(_ progress: (_ done: Int, _ total: Int) -> Bool = { _, _ in true })
    -> [StoreDamage]
  {
    let most = 10_000
    // What a reader opened may be an old root's. When that cannot be read, neither can be what follows.
    _ = try? refresh()
    var (packs, damages) = writing.locked {
      state.locked { (self.packs.map { ($0, $0.dead) }, lost.map { StoreDamage($0.reason) }) }
    }
    packs.sort { $0.0.identity.number < $1.0.identity.number }
    let total = packs.reduce(0) { $0 + $1.0.table.count - $1.1.count }
    var done = 0
    var room = ByteRoom(count: 64 << 10)
    for (pack, dead) in packs {
      do throws(StorageError) {
        let file = try files.open(pack.path, writable: false)
        _ = try PackTable(file, pack.identity, store: identity, seal: naming.seal)
      } catch {
        // A sweep may have removed it meanwhile, here or in another program.
        _ = try? refresh()
        if isListed(pack) { damages.append(StoreDamage(error)) }
      }
      for index in 0..<pack.table.count where !dead.contains(index) {
        if damages.count >= most { return damages }
        if done % 256 == 0 && !progress(done, total) { return damages }
        done += 1
        let length = pack.table.entry(index).length
        if room.count < length { room = ByteRoom(count: length) }
        do throws(StorageError) {
          try withExtendedLifetime(room) { () throws(StorageError) in
            try pack.read(index, into: room.slice(0, length), checks: true)
          }
        } catch {
          let name = pack.table.name(index)
          // Swept meanwhile, or moved; what is still needed is looked at where it is now.
          if isListed(pack) || contains(name) {
            do throws(StorageError) { try read(name, into: room.slice(0, length)) } catch {
              damages.append(StoreDamage(error, name: name))
            }
          }
        }
      }
    }
    _ = progress(done, total)
    return damages
  }

  private func isListed(_ pack: Pack) -> Bool {
    state.locked { packs.contains { $0 === pack } }
  }
}
