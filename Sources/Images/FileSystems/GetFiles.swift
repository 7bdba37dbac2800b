// `get`: files out of an image.
//
// Owns: names that are safe on the host, files that are there whole or not at all. Must not know: FAT.

import Host
import Storage

extension ImageOperations {
  /// Copies files to the host.
  /// - Parameters:
  ///   - target: a folder, or the name of the one file; nil: the current folder.
  ///   - replaces: files of the same names are replaced.
  public static func get(
    _ reference: VolumeReference, _ paths: [String], to target: String?, isRecursive: Bool = false,
    replaces: Bool = false, _ job: ImageJob = ImageJob()
  ) throws -> FilesResult {
    let (image, volume) = try reference.open(.reading)
    defer { image.close() }
    var result = FilesResult(
      file: image.path, volume: try volume.label(), entries: [], note: volume.note)
    let items = try paths.flatMap { try volume.items($0) }
    let intoFolder =
      target == nil || target?.hasSuffix("/") == true || HostFiles.isDirectory(target ?? ".")
    if !intoFolder && items.count != 1 {
      throw ImageUsageError("\(target ?? ""): several files need a folder, which this is not")
    }
    var work: [(VolumeItem, String)] = []
    for item in items {
      if item.entry.isFolder && !isRecursive {
        throw ImageUsageError("'\(item.path)' is a folder; -r copies what is in it, too")
      }
      let folder = target.map { $0.hasSuffix("/") ? $0 : $0 + "/" } ?? ""
      let top = intoFolder ? folder + hostName(item.entry.name) : target ?? ""
      for each in try volume.below(item) {
        let rest = FATVolume.parts(String(each.path.dropFirst(item.path.count))).map(hostName)
        work.append((each, ([top] + rest).filter { !$0.isEmpty }.joined(separator: "/")))
      }
    }
    var targets: [String: String] = [:]
    for (item, path) in work where !item.entry.isFolder {
      if let other = targets.updateValue(item.path, forKey: path) {
        throw ImageUsageError("'\(other)' and '\(item.path)' would both be '\(path)'")
      }
    }
    let total = work.reduce(UInt64(0)) { $0 + ($1.0.entry.isFolder ? 0 : UInt64($1.0.entry.size)) }
    let meter = job.meter(total: total)
    var done: UInt64 = 0
    if let target, target.hasSuffix("/") {
      try host(target) { () throws(HostError) in try HostFiles.makeFolder(String(target.dropLast()))
      }
    }
    for (item, path) in work {
      if item.entry.isFolder {
        if !path.isEmpty {
          try host(path) { () throws(HostError) in try HostFiles.makeFolder(path) }
        }
      } else {
        try getOne(volume, item, path, replaces: replaces) { count in
          done += UInt64(count)
          try meter.update(done)
        }
      }
      result.entries.append(FilesResult.Entry(item))
    }
    try meter.update(total, isLast: true)
    return result
  }

  static func host(_ path: String, _ body: () throws(HostError) -> Void) throws {
    do throws(HostError) { try body() } catch {
      throw StorageError(path: path, reason: "\(error)")
    }
  }

  /// A name of an image as one of the host: whoever made the image chose it.
  static func hostName(_ name: String) -> String {
    var safe = String.UnicodeScalarView()
    for scalar in name.unicodeScalars {
      let isHarmful = scalar.value < 0x20 || scalar.value == 0x7F || scalar == "/" || scalar == "\\"
      safe.append(isHarmful ? "_" : scalar)
    }
    let text = String(safe)
    return text == "." || text == ".." ? "_" : text
  }

  private static func getOne(
    _ volume: FATVolume, _ item: VolumeItem, _ path: String, replaces: Bool,
    _ step: (Int) throws -> Void
  ) throws {
    if let facts = HostFiles.facts(path, followsLinks: false) {
      if !replaces { throw StorageError(path: path, reason: "exists already") }
      if facts.kind != .file {
        throw StorageError(path: path, reason: "is no regular file, and is not replaced")
      }
    }
    let temporary = HostPath.beside(path, suffix: ".\(HostProcess.ownNumber).new")
    try host(path) { () throws(HostError) in try HostFiles.remove(temporary) }
    var output: HostAppendFile?
    try host(path) { () throws(HostError) in output = try HostAppendFile(temporary) }
    guard let output else { return }
    do {
      try volume.read(item.entry, path: item.path) { bytes in
        let array = Array(bytes)
        try host(path) { () throws(HostError) in try output.append(array) }
        try step(bytes.count)
      }
      try host(path) { () throws(HostError) in try output.close() }
      if let seconds = item.entry.time.localSeconds {
        HostFiles.setTime(temporary, seconds: utcSeconds(local: seconds))
      }
      try host(path) { () throws(HostError) in try HostFiles.move(temporary, to: path) }
    } catch {
      output.discard()
      try? HostFiles.remove(temporary)
      throw error
    }
  }

  /// The moment at which the host's clocks show a local time.
  static func utcSeconds(local: Int64) -> Int64 {
    let first = local - (HostClock.localSeconds(atUTC: local) - local)
    return local - (HostClock.localSeconds(atUTC: first) - first)
  }
}
