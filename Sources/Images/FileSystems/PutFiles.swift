// `put`, `mkdir`, `rm`: files into an image, and out of the world.
//
// Owns: which files of the host are meant and what they are called in the image. Must not know: FAT.

import Host
import Storage

extension ImageOperations {
  /// Copies files of the host into an image.
  /// - Parameters:
  ///   - target: a folder of the image, or the name that the one file gets; empty: the root directory.
  public static func put(
    _ reference: VolumeReference, _ sources: [String], to target: String = "",
    isRecursive: Bool = false, replaces: Bool = false, _ job: ImageJob = ImageJob()
  ) throws -> FilesResult {
    let (image, volume) = try reference.open(.writing)
    defer { image.close() }
    try volume.prepareToWrite()
    let existing = try volume.entry(at: target)
    let intoFolder = existing?.isFolder == true || target.hasSuffix("/")
    if !intoFolder && sources.count != 1 {
      throw ImageUsageError("'\(target)': several files need a folder, which this is not")
    }
    var work: [(host: String, path: String, facts: HostFileFacts)] = []
    for source in sources {
      let trimmed = source.count > 1 && source.hasSuffix("/") ? String(source.dropLast()) : source
      let name = ImageFiles.lastName(trimmed)
      let folder = FATVolume.parts(target).joined(separator: "/")
      let path = intoFolder ? (folder.isEmpty ? name : folder + "/" + name) : folder
      try gather(trimmed, path, isRecursive, &work)
    }
    var hosts: [String: String] = [:]
    for (host, path, facts) in work where facts.kind == .file {
      let key = FATVolume.parts(path).joined(separator: "/").lowercased()
      if let other = hosts.updateValue(host, forKey: key) {
        throw ImageUsageError("'\(other)' and '\(host)' would both be '\(path)'")
      }
    }
    let total = work.reduce(UInt64(0)) { $0 + ($1.facts.kind == .file ? $1.facts.size : 0) }
    let meter = job.meter(total: total)
    var done: UInt64 = 0
    var result = FilesResult(
      file: image.path, volume: try volume.label(), entries: [], note: volume.note)
    if target.hasSuffix("/"), existing == nil {
      try volume.makeFolder(target, time: now())
    }
    for (host, path, facts) in work {
      let time = FATTime(localSeconds: HostClock.localSeconds(atUTC: facts.seconds))
      if facts.kind == .folder {
        try volume.makeFolder(path, time: time)
      } else {
        if let present = try volume.entry(at: path) {
          if !replaces {
            throw StorageError(path: volume.name, reason: "'\(path)' exists already")
          }
          let name = FATVolume.parts(path).last ?? ""
          if present.name.lowercased() != name.lowercased() {
            throw StorageError(
              path: volume.name,
              reason: "'\(path)' is the short name of '\(present.name)', which is not replaced")
          }
        }
        let file = try ImageFiles.store(host, .looking)
        defer { file.close() }
        var offset: UInt64 = 0
        try volume.write(path, size: file.size, time: time) { buffer in
          try file.read(at: offset, into: buffer)
          offset += UInt64(buffer.count)
          done += UInt64(buffer.count)
          try meter.update(done)
        }
      }
      if let entry = try volume.entry(at: path) {
        result.entries.append(FilesResult.Entry(VolumeItem(path: path, entry: entry)))
      }
    }
    try volume.finish()
    try image.flush()
    try meter.update(total, isLast: true)
    return result
  }

  private static func now() -> FATTime { FATTime(localSeconds: HostClock.localSeconds()) }

  private static func gather(
    _ host: String, _ path: String, _ isRecursive: Bool,
    _ work: inout [(host: String, path: String, facts: HostFileFacts)]
  ) throws {
    var waiting = [(host, path, 0)]
    while let (host, path, depth) = waiting.popLast() {
      guard let facts = HostFiles.facts(host) else {
        throw StorageError(path: host, reason: "there is no such file")
      }
      switch facts.kind {
      case .file: work.append((host, path, facts))
      case .folder:
        if !isRecursive {
          throw ImageUsageError("'\(host)' is a folder; -r copies what is in it, too")
        }
        if depth > 64 { throw StorageError(path: host, reason: "folders without an end") }
        work.append((host, path, facts))
        for name in HostFiles.names(in: host).sorted().reversed() where name != "." && name != ".."
        {
          waiting.append((host + "/" + name, path + "/" + name, depth + 1))
        }
      default: throw StorageError(path: host, reason: "is neither a file nor a folder")
      }
    }
  }

  /// Makes folders in an image.
  /// - Parameter makesParents: those above them, too.
  public static func makeFolders(
    _ reference: VolumeReference, _ paths: [String], makesParents: Bool = false
  ) throws -> FilesResult {
    let (image, volume) = try reference.open(.writing)
    defer { image.close() }
    var result = FilesResult(
      file: image.path, volume: try volume.label(), entries: [], note: volume.note)
    for path in paths {
      let parts = FATVolume.parts(path)
      if !makesParents, try volume.entry(at: path) != nil {
        throw StorageError(path: volume.name, reason: "'\(path)' exists already")
      }
      for length in (makesParents ? 1 : parts.count)...max(parts.count, 1) {
        try volume.makeFolder(parts.prefix(length).joined(separator: "/"), time: now())
      }
      if let entry = try volume.entry(at: path) {
        result.entries.append(FilesResult.Entry(VolumeItem(path: path, entry: entry)))
      }
    }
    try volume.finish()
    try image.flush()
    return result
  }

  /// Removes files, and folders where that is wished.
  public static func remove(
    _ reference: VolumeReference, _ paths: [String], isRecursive: Bool = false
  ) throws -> FilesResult {
    let (image, volume) = try reference.open(.writing)
    defer { image.close() }
    try volume.prepareToWrite()
    var result = FilesResult(
      file: image.path, volume: try volume.label(), entries: [], note: volume.note)
    for path in paths {
      if let last = path.split(whereSeparator: { $0 == "/" || $0 == "\\" }).last,
        last == "." || last == ".."
      {
        throw ImageUsageError("'\(path)': '\(last)' is no name of something that could be removed")
      }
      for item in try volume.items(path) {
        if item.path.isEmpty { throw ImageUsageError("the root directory cannot be removed") }
        if item.entry.isFolder && !isRecursive {
          throw ImageUsageError("'\(item.path)' is a folder; -r removes it with what is in it")
        }
        for each in try volume.below(item).reversed() {
          try volume.remove(each.path)
          result.entries.append(FilesResult.Entry(each))
        }
      }
    }
    try volume.finish()
    try image.flush()
    return result
  }
}
