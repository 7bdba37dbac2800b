// Paths for those who work on images, not with a machine: stores of files, and which other files an image may name.
//
// Owns: opening by path for looking, reading and writing; what a name inside an image leads to. Must not know: formats, what is done with
// an image.

import Host

/// Files of images by their paths.
public enum ImageFiles {
  /// What a file is opened for.
  public enum Use: Sendable {
    /// To be read without a lock: whoever asks writes it elsewhere, or only tells what it is.
    case looking
    /// To be read; nobody writes it meanwhile.
    case reading
    /// To be written; nobody else has it meanwhile.
    case writing
  }

  /// Which files an image may name. Whoever made the image chose the names.
  public enum Names: Sendable {
    /// Files in its own folder, and in folders there.
    case beside
    /// Those, and as images below files in these folders, or at these addresses of the network (or their beginnings).
    case allowed([String])
    /// Any: the user trusts the image.
    case anywhere
  }

  /// A file's bytes.
  /// - Throws: also when it is to be written and may not.
  public static func store(_ path: String, _ use: Use) throws(StorageError) -> any ByteStore {
    let file = try open(path, writable: use == .writing, looksOnly: use == .looking)
    if use == .writing, let refusal = file.writeRefusal {
      throw StorageError(path: path, reason: "may not be written: \(refusal)")
    }
    return file
  }

  /// A file of the host, or an export of the network. One that may not be written is read, and its `writeRefusal` says why.
  static func open(
    _ path: String, writable: Bool, looksOnly: Bool, cache: HostCache = .writeback
  ) throws(StorageError) -> any ByteStore {
    if NBDAddress.isAddress(path) {
      return try NBDStore(path, writable: writable && !looksOnly)
    }
    return try HostFile(path: path, writable: writable, looksOnly: looksOnly, cache: cache)
  }

  /// What a format is told of an image at a path: files beside it are opened as it is, those below it are read.
  /// - Parameters:
  ///   - use: what the image's own parts are opened for.
  ///   - baseUse: what images below are opened for; `.writing` is none of it.
  ///   - new: where new parts are made; nil: none can be.
  ///   - keys: of encrypted images, this one and those below it.
  ///   - mayStayLocked: without keys encrypted images open all the same, for what is not encrypted of them.
  ///   - opened: hears of each file that is opened, with the name that leads to it.
  public static func context(
    for path: String, _ use: Use, names: Names = .beside, kind: ImageKind = .auto,
    baseUse: Use = .reading, formats: [any ImageFormat] = ImageFormats.all,
    new: NewImageFiles? = nil, keys: DiskKeys? = nil, mayStayLocked: Bool = false,
    opened: @escaping (_ path: String, ImageContext.FileUse) -> Void = { _, _ in }
  ) -> ImageContext {
    var context = ImageContext(kind: kind, formats: formats) {
      (name, wanted) throws(StorageError) in
      if wanted == .newPart {
        guard let new else {
          // An image that becomes longer has more files, which it names when they are there.
          guard use == .writing else {
            throw StorageError(path: name, reason: "cannot be made here")
          }
          let place = try locate(name, from: path, names, .part)
          return try HostFile(creating: place, named: place)
        }
        return try new.make(ImageFiles.path(of: name, beside: path))
      }
      let place = try locate(name, from: path, names, wanted)
      if wanted == .part, let new {
        if let store = new.store(of: place) { return store }
        if HostFiles.exists(new.place(of: place)) { return try new.adopt(place) }
      }
      let store = try store(place, wanted == .base ? baseUse : use)
      opened(place, wanted)
      return store
    }
    context.keys = keys
    context.mayStayLocked = mayStayLocked
    return context
  }

  /// Where a name in an image leads to: as it stands if it is absolute, otherwise from the image's folder.
  public static func path(of name: String, beside image: String) -> String {
    if name.hasPrefix("/") || NBDAddress.isAddress(name) { return name }
    return String(image.lastIndex(of: "/").map { image[...$0] } ?? "") + name
  }

  /// The last part of a path.
  public static func lastName(_ path: String) -> String {
    String(path.lastIndex(of: "/").map { path[path.index(after: $0)...] } ?? path[...])
  }

  private static func locate(
    _ name: String, from path: String, _ names: Names, _ use: ImageContext.FileUse
  ) throws(StorageError) -> String {
    switch names {
    case .beside: return try ImageOpener.siblingPath(name, of: path)
    case .allowed(let roots):
      return try ImageOpener.siblingPath(name, of: path, allowed: use == .base ? roots : [])
    case .anywhere: break
    }
    if name.isEmpty || name.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F })
    {
      throw StorageError(path: path, reason: "names another file with characters no name has")
    }
    return ImageFiles.path(of: name, beside: path)
  }

  /// The shortest name that leads from a file's folder to another file: what an overlay calls its base, so that both can be moved
  /// together.
  /// - Returns: an absolute path where the two are not below one folder that both paths name.
  public static func relativeName(of file: String, from image: String) -> String {
    if NBDAddress.isAddress(file) { return file }
    func folder(_ path: String) -> String {
      String(path.lastIndex(of: "/").map { path[..<$0] } ?? ".")
    }
    guard let real = HostProcess.resolved(folder(file).isEmpty ? "/" : folder(file)),
      let own = HostProcess.resolved(folder(image).isEmpty ? "/" : folder(image))
    else { return file }
    let target = real.split(separator: "/")
    let start = own.split(separator: "/")
    var common = 0
    while common < min(target.count, start.count), target[common] == start[common] { common += 1 }
    if common == 0 && !start.isEmpty {
      return "/" + (target + [lastName(file)[...]]).joined(separator: "/")
    }
    let up = Array(repeating: "..", count: start.count - common)
    return (up + target[common...].map(String.init) + [lastName(file)]).joined(separator: "/")
  }
}
