// What a power failure leaves of a recorded file system.
//
// Owns: going through the record, the states that a failure at any point of it could leave. Must not know: stores.
//
// What holds of a host's file system is assumed and no more. What was synced of a file is there; of what was written since, each write is
// there, is not, or is there in part, sector by sector (512 bytes), in any order, and the file may be longer than what is there of it. Names
// are there when their folder was synced; of what was done to names since, each change is there or is not.

@testable import Store

struct CutDisk {
  private let log: [FileStep]
  private(set) var position = 0
  private var durable: [Int: [UInt8]] = [:]
  /// Indices in the log.
  private var pending: [Int: [Int]] = [:]
  private var names: [String: Int] = [:]
  private var pendingNames: [Int] = []
  private var folders: Set<String> = []

  init(_ log: [FileStep]) { self.log = log }

  private static func folder(_ path: String) -> String {
    path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
  }

  /// Goes on until the first `end` steps were made.
  mutating func advance(to end: Int) {
    while position < end {
      switch log[position] {
      case .create(_, let file):
        durable[file] = []
        pendingNames.append(position)
      case .write(let file, _, _), .punch(let file, _, _):
        pending[file, default: []].append(position)
      case .sync(let file):
        var bytes = durable[file] ?? []
        for index in pending[file] ?? [] { CutDisk.apply(log[index], to: &bytes, torn: nil) }
        durable[file] = bytes
        pending[file] = nil
      case .makeFolder, .rename, .remove: pendingNames.append(position)
      case .syncFolder(let path):
        let log = log
        let isOf = { (index: Int) -> Bool in
          switch log[index] {
          case .create(let place, _), .makeFolder(let place), .remove(let place),
            .rename(let place, _, _):
            CutDisk.folder(place) == path
          default: false
          }
        }
        for index in pendingNames where isOf(index) {
          CutDisk.apply(log[index], &names, &folders)
        }
        pendingNames.removeAll(where: isOf)
      }
      position += 1
    }
  }

  private static func apply(
    _ step: FileStep, _ names: inout [String: Int], _ folders: inout Set<String>
  ) {
    switch step {
    case .create(let path, let file): names[path] = file
    case .makeFolder(let path): folders.insert(path)
    case .remove(let path): names[path] = nil
    case .rename(let path, let other, let file):
      names[path] = nil
      names[other] = file
    default: break
    }
  }

  private static func apply(_ step: FileStep, to bytes: inout [UInt8], torn: UInt64?) {
    switch step {
    case .write(_, let offset, let part):
      if bytes.count < offset + part.count {
        bytes += repeatElement(0, count: offset + part.count - bytes.count)
      }
      var at = 0
      var number = 0
      while at < part.count {
        let next = min(part.count, ((offset + at) / 512 + 1) * 512 - offset)
        if torn.map({ ($0 >> UInt64(number % 60)) & 1 != 0 }) ?? true {
          bytes.replaceSubrange(offset + at..<offset + next, with: part[at..<next])
        }
        at = next
        number += 1
      }
    case .punch(_, let offset, let count):
      let end = min(bytes.count, offset + count)
      if offset < end {
        bytes.replaceSubrange(offset..<end, with: repeatElement(0, count: end - offset))
      }
    default: break
    }
  }

  /// The files as a failure here could leave them.
  /// - Parameter kill: only the program was ended: everything it did is there.
  func left(_ random: inout StoreRandom, kill: Bool = false) -> MemoryFiles {
    // Sometimes nothing is lost, sometimes everything, mostly something.
    let mood = kill ? 0 : random.below(6)
    var (names, folders) = (names, folders)
    for index in pendingNames {
      if mood == 0 || (mood > 1 && random.one(in: 2)) {
        CutDisk.apply(log[index], &names, &folders)
      }
    }
    var files: [String: [UInt8]] = [:]
    for (path, file) in names {
      var bytes = durable[file] ?? []
      var order = pending[file] ?? []
      if mood > 1 { order.shuffle(using: &random) }
      for index in order {
        switch mood == 0 ? 0 : mood == 1 ? 1 : random.below(4) {
        case 0: CutDisk.apply(log[index], to: &bytes, torn: nil)
        case 1: break
        case 2: CutDisk.apply(log[index], to: &bytes, torn: random.next())
        // It is longer, and nothing is there.
        default: CutDisk.apply(log[index], to: &bytes, torn: 0)
        }
      }
      files[path] = bytes
    }
    return MemoryFiles(folders: folders, names: files)
  }
}
