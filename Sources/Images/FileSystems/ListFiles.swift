// `ls`: files in an image.
//
// Owns: what is told of them. Must not know: the words for people.

import Storage

public struct FilesResult: Codable, Equatable, Sendable {
  public struct Entry: Codable, Equatable, Sendable {
    public var path: String
    /// "file" or "folder".
    public var kind: String
    public var size: UInt64
    /// Local time, as in "1994-05-31 06:22:00".
    public var time: String
    /// As in "-r--a".
    public var attributes: String
    public var shortName: String
  }
  public var schema = "apus-image-files"
  public var version = 1
  public var file: String
  public var volume: String?
  public var entries: [Entry]
  /// What the user should hear of the disk, or nil.
  public var note: String?
}

extension ImageOperations {
  /// Lists what paths mean; of a folder without a wildcard, what is in it.
  public static func list(
    _ reference: VolumeReference, _ paths: [String] = [], isRecursive: Bool = false,
    namesFolders: Bool = false
  ) throws -> FilesResult {
    let (image, volume) = try reference.open(.reading)
    defer { image.close() }
    var result = FilesResult(
      file: image.path, volume: try volume.label(), entries: [], note: volume.note)
    for path in paths.isEmpty ? [""] : paths {
      for item in try volume.items(path) {
        if isRecursive {
          for each in try volume.below(item) where !each.path.isEmpty || paths.isEmpty {
            if !each.path.isEmpty { result.entries.append(FilesResult.Entry(each)) }
          }
        } else if item.entry.isFolder && !Wildcards.has(path) && !namesFolders {
          for entry in try volume.entries(of: item.entry, path: item.path) {
            let inner = item.path.isEmpty ? entry.name : item.path + "/" + entry.name
            result.entries.append(FilesResult.Entry(VolumeItem(path: inner, entry: entry)))
          }
        } else {
          result.entries.append(FilesResult.Entry(item))
        }
      }
    }
    return result
  }
}

extension FilesResult.Entry {
  init(_ item: VolumeItem) {
    path = item.path
    kind = item.entry.isFolder ? "folder" : "file"
    size = item.entry.isFolder ? 0 : UInt64(item.entry.size)
    time = item.entry.time.description
    attributes = item.entry.attributeText
    shortName = item.entry.shortName
  }
}
