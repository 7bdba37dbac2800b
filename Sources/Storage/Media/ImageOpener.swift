// From a path to a disk: what kind of image it is, and its geometry.
//
// Owns: the decision and its reasons in words (for --explain). Must not know: controllers, the command line.

import Host

/// What the user says an image is.
public enum ImageKind: String, Sendable {
  /// To be found out.
  case auto
  case floppy
  case disk
  case cd
}

/// An image that is ready for a drive.
public struct OpenedImage {
  /// What the image is.
  public enum Medium: Equatable, Sendable {
    /// A floppy of this format.
    case floppy(FloppyFormat)
    /// A hard disk: what the drive reports (at most 16 heads), and the geometry the BIOS shows (at most 1024 cylinders).
    case disk(physical: DiskGeometry, translated: DiskGeometry)
    /// A CD or DVD. The contents are then the bytes of its files, not its sectors.
    case cd(CDImage)
    /// A flash memory's contents.
    case flash
  }

  /// The file's name as it was given.
  public var path: String
  /// The contents.
  public var device: any BlockDevice
  public var medium: Medium
  /// Why this kind and geometry were concluded, a line each.
  public var reasons: [String]
  /// What the user should hear without asking, a line each.
  public var warnings: [String]
  /// The keys of its encrypted layers: what is kept of the machine elsewhere (`SealedFile`) is sealed by them.
  public var keys: [VolumeKey] { device.volumeKeys }

  /// One that is known already.
  public init(
    path: String, device: any BlockDevice, medium: Medium, reasons: [String] = [],
    warnings: [String] = []
  ) {
    self.path = path
    self.device = device
    self.medium = medium
    self.reasons = reasons
    self.warnings = warnings
  }
}

/// Opens images.
public enum ImageOpener {
  /// Before a path: the file's bytes are the disk's, whatever they look like. So a disk that a guest has encrypted as a whole, or wrote an
  /// image's header to, is a disk all the same.
  public static let rawPrefix = "raw:"

  /// The path that a name with `rawPrefix` means; nil: it has none, or a file has that very name.
  public static func rawPath(_ name: String) -> String? {
    guard name.hasPrefix(rawPrefix), !HostFiles.exists(name) else { return nil }
    return String(name.dropFirst(rawPrefix.count))
  }

  /// Opens an image and finds out what it is.
  /// - Parameters:
  ///   - path: a file, `folder:` and a folder, `raw:` and a file, or an NBD address.
  ///   - kind: what it must be, or `.auto`.
  ///   - readOnly: the guest sees a write-protected medium.
  ///   - snapshot: writes stay in memory.
  ///   - looksOnly: nothing will be written; the file is neither locked nor opened for that, but what is concluded is the same.
  ///   - keys: where the keys of encrypted images come from; asked only when one is. Nil: nowhere.
  ///   - allowBases: folders beside the image's own in which images below may lie.
  ///   - cache: how the host's cache takes part.
  ///   - formats: what it may be.
  /// - Throws: one line that says what is wrong.
  public static func open(
    path: String, kind: ImageKind = .auto, readOnly: Bool = false, snapshot: Bool = false,
    looksOnly: Bool = false, keys: DiskKeys? = nil, allowBases: [String] = [],
    cache: HostCache = .writeback, formats: [any ImageFormat] = ImageFormats.all
  ) throws(StorageError) -> OpenedImage {
    if let plain = rawPath(path) {
      if kind == .cd {
        throw StorageError(
          path: path, reason: "a raw image is a disk or a floppy; a CD needs no word")
      }
      var image = try open(
        path: plain, kind: kind, readOnly: readOnly, snapshot: snapshot, looksOnly: looksOnly,
        cache: cache, formats: [RawFormat()])
      image.path = path
      image.reasons.insert("raw, as its name says", at: 0)
      return image
    }
    if path.hasPrefix(FolderDisk.prefix) {
      return try openFolder(
        path, kind, isWritable: !readOnly && !snapshot && !looksOnly, isProtected: readOnly,
        snapshot)
    }
    let file = try ImageFiles.open(
      path, writable: !readOnly && !snapshot && kind != .cd, looksOnly: looksOnly,
      cache: cache)
    let isWritable = file.isWritable
    var context = ImageContext(kind: kind, formats: formats) { (name, use) throws(StorageError) in
      switch use {
      case .base:
        return try ImageFiles.open(
          siblingPath(name, of: path, allowed: allowBases), writable: false, looksOnly: looksOnly,
          cache: cache)
      case .part:
        return try HostFile(
          path: siblingPath(name, of: path), writable: isWritable, looksOnly: looksOnly,
          cache: cache)
      case .newPart: throw StorageError(path: name, reason: "cannot be made here")
      }
    }
    context.keys = keys
    var image = try open(
      file, context, isProtected: readOnly, snapshot: snapshot, writeRefusal: file.writeRefusal)
    image.path = path
    return image
  }

  /// A folder as a disk, or as a floppy.
  private static func openFolder(
    _ path: String, _ kind: ImageKind, isWritable: Bool, isProtected: Bool, _ snapshot: Bool
  ) throws(StorageError) -> OpenedImage {
    if kind == .cd {
      throw StorageError(path: path, reason: "a folder is a disk or a floppy, no CD")
    }
    var (folder, options) = try FolderOptions.parse(
      String(path.dropFirst(FolderDisk.prefix.count)))
    if kind == .disk && options.isFloppy {
      throw StorageError(path: path, reason: "a floppy does not go into a hard disk's place")
    }
    if kind == .floppy { options.isFloppy = true }
    // Who only looks wants to hear what would be.
    let takesWrites = options.isWritable && !isProtected && !snapshot
    if !isWritable { options.isWritable = false }
    var device = try FolderDisk.open(folder, options: options)
    let plan = try MediumPlan(device, kind: options.isFloppy ? .floppy : .disk)
    var reasons = ["a folder as a disk"] + plan.reasons
    if snapshot {
      device = SnapshotOverlay(base: device, isReadOnly: isProtected)
      reasons.append("a snapshot: writes stay in memory")
    }
    if takesWrites {
      reasons.append("the guest's writes go into the folder")
    } else if device.isReadOnly {
      reasons.append("write-protected")
    }
    return OpenedImage(
      path: path, device: device, medium: plan.medium, reasons: reasons, warnings: [])
  }

  /// Opens the contents of a flash memory, which are the file's bytes whatever they look like.
  /// - Parameters:
  ///   - blockSize: bytes of the chip's blocks, of which there is a whole number.
  ///   - mostBytes: as large as a chip can be.
  /// - Throws: one line that says what is wrong.
  public static func openFlash(
    path: String, blockSize: Int, mostBytes: Int, readOnly: Bool = false, snapshot: Bool = false,
    looksOnly: Bool = false
  ) throws(StorageError) -> OpenedImage {
    let file = try HostFile(path: path, writable: !readOnly && !snapshot, looksOnly: looksOnly)
    guard file.size > 0, file.size % UInt64(blockSize) == 0 else {
      throw StorageError(
        path: path,
        reason:
          "a flash memory has whole blocks of \(blockSize) bytes, but the file has \(file.size) bytes"
      )
    }
    guard file.size <= UInt64(mostBytes) else {
      throw StorageError(
        path: path,
        reason:
          "a flash memory has at most \(mostBytes >> 20) MB, but the file has \(file.size) bytes")
    }
    var warnings: [String] = []
    if let refusal = file.writeRefusal {
      warnings.append(
        "\(path): may not be written (\(refusal)): the flash memory is write-protected")
    }
    let image = RawImage(file).view(
      blockCount: file.size / 512, isWriteProtected: readOnly)
    var reasons = ["\(file.size / UInt64(blockSize)) blocks of \(blockSize) bytes"]
    var device: any BlockDevice = image
    if snapshot {
      device = SnapshotOverlay(base: image, isReadOnly: readOnly)
      reasons.append("a snapshot: writes stay in memory")
    }
    if device.isReadOnly { reasons.append("write-protected") }
    return OpenedImage(
      path: path, device: device, medium: .flash, reasons: reasons, warnings: warnings)
  }

  /// A CD in memory: the sectors of one data track, or whatever an image file of a CD holds.
  public static func disc(_ bytes: [UInt8], name: String) throws(StorageError) -> OpenedImage {
    try disc(MemoryStore(bytes, name: name, isWritable: false))
  }

  /// The same in a store of any kind.
  public static func disc(_ store: any ByteStore) throws(StorageError) -> OpenedImage {
    let name = store.name
    let context = ImageContext(kind: .cd) { file throws(StorageError) in
      throw StorageError(
        path: name, reason: "names another file, '\(file)', but has none beside it")
    }
    return try open(store, context, isProtected: true, snapshot: false)
  }

  /// Opens what is in a store.
  /// - Parameter writeRefusal: why the store may not be written although that was wished, or nil.
  static func open(
    _ store: any ByteStore, _ context: ImageContext, isProtected: Bool, snapshot: Bool,
    writeRefusal: String? = nil
  ) throws(StorageError) -> OpenedImage {
    let name = store.name
    if store.size == 0 {
      throw StorageError(
        path: name, reason: "the file is empty: what goes into a drive has a sector at least")
    }
    // A CUE sheet is a text, and may be a short one; so is the descriptor of a VMDK image.
    let maySheet = context.kind == .auto || context.kind == .cd
    let isSheet = maySheet ? try CUEFormat.isLikely(store) : false
    if store.size < 512, !isSheet, try !VMDKFormat.isDescriptor(store),
      !(maySheet && [".cue", ".ccd", ".mds"].contains(where: name.lowercased().hasSuffix))
    {
      throw StorageError(
        path: name,
        reason:
          "the file has only \(store.size) \(store.size == 1 ? "byte" : "bytes"), less than one sector: truncated, or not a "
          + "disk image")
    }
    let contents = try ImageFormats.open(store, context)
    if let cd = contents.cd {
      return OpenedImage(
        path: name, device: contents.device, medium: .cd(cd), reasons: contents.notes,
        warnings: contents.warnings)
    }
    if contents.device.blockCount == 0 {
      throw StorageError(
        path: name, reason: "is a disk of 0 bytes: what goes into a drive has a sector at least")
    }
    try BaseCheck.verifyAll(contents.device, mayNote: (store as? HostFile)?.looksOnly != true)
    // Drives have sectors of 512 bytes, whatever the image has.
    let blocks = contents.device.withBlocks(of: 512)
    let kind = context.kind == .auto ? contents.kind : context.kind
    let plan = try MediumPlan(blocks, kind: kind)
    var reasons = contents.notes + plan.reasons
    var warnings = contents.warnings + plan.warnings
    if let writeRefusal {
      warnings.append(
        "\(name): may not be written (\(writeRefusal)): the medium is write-protected")
    }

    // A padded floppy must not look writable: what the guest wrote behind the file's end could not be kept.
    let image = blocks.view(
      blockCount: plan.sectorCount, isWriteProtected: isProtected || plan.isPadded)
    if plan.isPadded && !snapshot && !isProtected && store.isWritable {
      warnings.append(
        "\(name): the image is shorter than its format: write-protected, as the file would have to grow "
          + "(make it \(plan.sectorCount * 512) bytes long, or use a snapshot, to write)")
    }
    var device = image
    if snapshot {
      device = SnapshotOverlay(base: image, isReadOnly: isProtected)
      reasons.append("a snapshot: writes stay in memory")
    }
    if device.isReadOnly { reasons.append("write-protected") }
    return OpenedImage(
      path: name, device: device, medium: plan.medium, reasons: reasons, warnings: warnings)
  }

  /// Where a file is that an image names. Whoever made the image chose the name, not its user, and the guest reads what is in the file: so it
  /// lies in the image's folder, or in one inside that.
  /// - Parameter allowed: other folders that the user allows.
  static func siblingPath(_ name: String, of path: String, allowed: [String] = [])
    throws(StorageError) -> String
  {
    if NBDAddress.isAddress(name) { return try networkName(name, of: path, allowed) }
    if NBDAddress.isAddress(path) {
      throw StorageError(
        path: path,
        reason:
          "is on the network and names another image, '\(NBD.shown(Array(name.utf8)))': no file of this computer is opened for it"
      )
    }
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    let isPlain = name.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
    let folder = String(path.lastIndex(of: "/").map { path[...$0] } ?? "")
    if isPlain && (name.hasPrefix("/") || parts.contains("..")),
      let found = distant(name, from: folder, allowed)
    {
      return found
    }
    if !isPlain || parts.contains("") || parts.contains("..") || name.contains("\\") {
      throw StorageError(
        path: path,
        reason: "names another file, "
          + (isPlain
            ? "'\(name)', that does not lie in its folder"
              + (allowed.isEmpty
                ? " (--allow-bases FOLDER allows one more for images below)"
                : " nor in one that is allowed for images below")
            : "with characters no name has")
      )
    }
    var file = folder
    for (n, part) in parts.enumerated() {
      file = present(String(part), in: file) + (n < parts.count - 1 ? "/" : "")
    }
    return file
  }

  /// An image on the network that another names: only where the user allows it, as whoever made the image chose whom this program talks to.
  private static func networkName(_ name: String, of path: String, _ allowed: [String])
    throws(StorageError) -> String
  {
    let isAllowed = allowed.contains { root in
      NBDAddress.isAddress(root)
        && (name == root || name.hasPrefix(root.hasSuffix("/") ? root : root + "/")
          || name.hasPrefix(root + "?"))
    }
    if isAllowed { return name }
    throw StorageError(
      path: path,
      reason:
        "names another image on the network, '\(NBD.shown(Array(name.utf8)))', which has to be allowed"
    )
  }

  /// Where an absolute name leads to, or one with "..", if that is in the folder or in one that is allowed, symbolic links followed.
  private static func distant(_ name: String, from folder: String, _ allowed: [String]) -> String? {
    let place = name.hasPrefix("/") ? name : folder + name
    guard let cut = place.lastIndex(of: "/"), let file = HostProcess.resolved(place),
      place[cut...] != "/.."
    else { return nil }
    for root in [folder.isEmpty ? "." : folder] + allowed {
      guard let real = HostProcess.resolved(root) else { continue }
      if file.hasPrefix(real.hasSuffix("/") ? real : real + "/") { return file }
    }
    return nil
  }

  /// The path of a name in a folder. The system that the image was made on may not have told large letters from small ones: where the very
  /// name is not there, the only one that differs in nothing else is meant.
  private static func present(_ name: String, in folder: String) -> String {
    if HostFiles.exists(folder + name) { return folder + name }
    let same = HostFiles.names(in: folder.isEmpty ? "." : folder).filter {
      $0.lowercased() == name.lowercased()
    }
    return folder + (same.count == 1 ? same[0] : name)
  }
}
