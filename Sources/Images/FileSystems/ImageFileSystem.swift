// A file system inside an image, opened for work.
//
// Owns: which image and partition are meant, names with * and ?. Must not know: what is done with the files.

import Host
import Storage

/// A file system in an image: "IMAGE" or "IMAGE:PARTITION".
public struct VolumeReference: Sendable {
  public var image: ImageReference
  public var partition: Int?

  /// - Parameter text: a file that has the whole text as its name is meant before a partition is.
  public init(
    _ text: String, format: String? = nil, names: ImageFiles.Names = .beside, keys: DiskKeys? = nil
  ) {
    image = ImageReference(text, format: format, names: names, keys: keys)
    guard !HostFiles.exists(text), let colon = text.lastIndex(of: ":"),
      let number = Int(text[text.index(after: colon)...]), number > 0
    else { return }
    image.path = String(text[..<colon])
    partition = number
  }

  func open(_ use: ImageFiles.Use) throws -> (image: DiskImage, volume: FATVolume) {
    let image = try DiskImage(image, use)
    return (image, try FATVolume.open(image.device, partition: partition))
  }
}

/// Names with wildcards.
enum Wildcards {
  static func has(_ text: String) -> Bool { text.contains("*") || text.contains("?") }

  /// Whether a file or folder is meant, by either of its names: as in a shell, one whose name begins with a dot only where the pattern does, too.
  static func means(_ pattern: String, _ entry: FATEntry) -> Bool {
    if entry.name.hasPrefix(".") && !pattern.hasPrefix(".") { return false }
    return matches(entry.name, pattern) || matches(entry.shortName, pattern)
  }

  /// Whether a name is meant; letters' sizes make no difference. Takes no more than the product of both lengths.
  static func matches(_ name: String, _ pattern: String) -> Bool {
    let (name, pattern) = (Array(name.uppercased()), Array(pattern.uppercased()))
    // "*.*" is everything, as in DOS.
    if pattern == Array("*.*") { return true }
    var (n, p) = (0, 0)
    var star: Int?
    var mark = 0
    while n < name.count {
      if p < pattern.count, pattern[p] == "*" {
        star = p
        mark = n
        p += 1
      } else if p < pattern.count, pattern[p] == "?" || pattern[p] == name[n] {
        n += 1
        p += 1
      } else if let star {
        p = star + 1
        mark += 1
        n = mark
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy { $0 == "*" }
  }
}

/// A file or folder of a volume with its path.
struct VolumeItem {
  /// Without a "/" before it; empty: the root directory.
  var path: String
  var entry: FATEntry
}

extension FATVolume {
  /// What a path with wildcards means.
  func items(_ path: String) throws -> [VolumeItem] {
    var here = [VolumeItem(path: "", entry: root)]
    for part in FATVolume.parts(path) {
      var next: [VolumeItem] = []
      for folder in here where folder.entry.isFolder {
        for entry in try entries(of: folder.entry, path: folder.path) {
          let isMeant =
            Wildcards.has(part)
            ? Wildcards.means(part, entry)
            : entry.name.uppercased() == part.uppercased()
              || entry.shortName.uppercased() == part.uppercased()
          if isMeant {
            next.append(
              VolumeItem(
                path: folder.path.isEmpty ? entry.name : folder.path + "/" + entry.name,
                entry: entry))
          }
        }
      }
      here = next
    }
    if here.isEmpty {
      throw StorageError(path: name, reason: "has no '\(path)'")
    }
    return here
  }

  /// An item and all that is below it, folders before what is in them.
  func below(_ item: VolumeItem, depth: Int = 0, most: Int = 1 << 20) throws -> [VolumeItem] {
    var found: [VolumeItem] = []
    var waiting = [(item, depth)]
    while let (next, depth) = waiting.popLast() {
      found.append(next)
      // Folders that contain themselves would have no end.
      if found.count > most || depth > 128 {
        throw StorageError(path: name, reason: "'\(item.path)' has folders without an end")
      }
      guard next.entry.isFolder else { continue }
      for entry in try entries(of: next.entry, path: next.path).reversed() {
        let path = next.path.isEmpty ? entry.name : next.path + "/" + entry.name
        waiting.append((VolumeItem(path: path, entry: entry), depth + 1))
      }
    }
    return found
  }
}
