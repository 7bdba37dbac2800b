// `create`: a new image, and the half of it that `convert` needs too.
//
// Owns: from a wish to files that appear at once; what the new image calls its base, and what is noted of it. Must not know: formats,
// the command line.

import Host
import Storage

/// A base as the user names it.
public struct BaseWish: Sendable {
  /// As it stands in the new image: seen from its folder. One that is found only from the current folder is taken, too.
  public var name: String
  public var format: String?
  public init(_ name: String, format: String? = nil) {
    self.name = name
    self.format = format
  }
}

/// What is wished of a new image.
public struct CreateRequest: Sendable {
  /// When the hash of the base's contents is computed: at once, never, or at once only if that is quick (a GiB on the host).
  public enum BaseHash: String, Sendable, CaseIterable {
    case now
    case quick
    case never
  }
  public var path: String
  public var format = "raw"
  /// Bytes of the disk; nil: the base's.
  public var byteCount: UInt64?
  public var base: BaseWish?
  public var options: [String: String] = [:]
  public var provisioning: Provisioning?
  public var sectorSize = 512
  /// A file of that name is replaced.
  public var replaces = false
  public var baseHash = BaseHash.quick
  public var names = ImageFiles.Names.anywhere
  /// Where the keys of the base and those below it come from.
  public var keys: DiskKeys?
  /// Where the passphrase of the new image comes from, if it is encrypted.
  public var newKey: (any KeySource)?

  public init(_ path: String, format: String = "raw") {
    self.path = path
    self.format = format
  }
}

/// What was made.
public struct CreateResult: Codable, Equatable, Sendable {
  public var schema = "apus-image-create"
  public var version = 1
  public var file: String
  public var format: String
  public var virtualSize: UInt64
  public var base: String?
  public var baseFormat: String?
  public var baseHashed: Bool?
  public var notes: [String]
}

/// An image being made: nothing has its name yet.
final class UnfinishedImage {
  let path: String
  let files: NewImageFiles
  let store: any ByteStore
  let format: any CreatableFormat
  let context: ImageContext
  let base: DiskImage?
  let baseName: String?
  var notes: [String] = []

  /// Makes the files.
  init(_ request: CreateRequest, files: NewImageFiles, resuming: Bool = false) throws {
    path = request.path
    self.files = files
    let known = try DiskImage.format(request.format, for: path)
    guard let format = known as? any CreatableFormat else {
      throw StorageError(path: path, reason: "\(known.name) images can be read, but not made")
    }
    self.format = format
    let request = UnfinishedImage.withQemuOptions(request, format)
    (base, baseName) = try UnfinishedImage.base(request)
    context = ImageFiles.context(
      for: path, .writing, names: request.names, kind: .disk,
      formats: DiskImage.formats, new: files, keys: UnfinishedImage.keys(request))
    if resuming {
      store = try files.adopt(path)
      return
    }
    var wish = ImageWish(byteCount: request.byteCount ?? base?.byteCount ?? 0)
    if wish.byteCount == 0, request.byteCount == nil, let base {
      throw ImageUsageError("\(path): its base '\(base.path)' has no bytes: give a size")
    }
    if wish.byteCount == 0 && request.byteCount == nil {
      throw ImageUsageError("\(path): a new image without a base needs a size")
    }
    wish.provisioning = request.provisioning ?? .thin
    wish.sectorSize = request.sectorSize
    wish.options = request.options
    wish.key = request.newKey
    wish.time = UInt64(max(0, HostClock.utcSeconds()))
    if let base, let baseName {
      wish.base = NewBase(name: baseName, formatName: base.formatName, contents: base.contents)
    }
    let rounded = try wish.checked(for: format, name: path)
    if rounded.byteCount != wish.byteCount {
      notes.append(
        "\(wish.byteCount) bytes become \(rounded.byteCount): "
          + "\(format.name) counts in \(format.limits.granularity)")
    }
    store = try files.make(path)
    notes += files.notes
    if let base, let note = UnfinishedImage.noteOfFolder(base, for: path) { notes.append(note) }
    try format.create(store, rounded, context)
  }

  /// What is to be said of a base that lies where an image opens nothing without a word.
  static func noteOfFolder(_ base: DiskImage, for path: String) -> String? {
    folderToAllow(base, for: path).map {
      "the base lies elsewhere: whoever uses the image names that folder, too (--allow-bases \($0))"
    }
  }

  /// The folder of a base, where it is not the image's or one within that.
  private static func folderToAllow(_ base: DiskImage, for path: String) -> String? {
    func folder(_ path: String) -> String {
      path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    }
    guard base.store != nil, !NBDAddress.isAddress(base.path),
      let own = HostProcess.resolved(folder(path)), let file = HostProcess.resolved(base.path),
      !file.hasPrefix(own.hasSuffix("/") ? own : own + "/")
    else { return nil }
    return folder(base.path)
  }

  /// For the new image and those below it: the new one's own passphrase is known by then.
  private static func keys(_ request: CreateRequest) -> DiskKeys? {
    guard let new = request.newKey else { return request.keys }
    let others = (request.keys?.sources ?? []).filter { $0 !== new }
    return DiskKeys([new] + others, limits: request.keys?.limits ?? KeyLimits())
  }

  /// The new image as a device.
  func open() throws -> ImageContents { try ImageFormats.open(store, context, as: format) }

  /// What qemu-img has as options and this program has as more than that.
  private static func withQemuOptions(_ request: CreateRequest, _ format: any CreatableFormat)
    -> CreateRequest
  {
    var request = request
    func has(_ name: String) -> Bool { format.options.contains { $0.name == name } }
    if !has("backing_file"), let file = request.options.removeValue(forKey: "backing_file") {
      request.base = request.base ?? BaseWish(file)
    }
    if !has("backing_fmt"), let name = request.options.removeValue(forKey: "backing_fmt") {
      if request.base?.format == nil { request.base?.format = name }
    }
    let ways = ["off": Provisioning.thin, "falloc": .thickLazy, "full": .thickEager]
    if !has("preallocation"), let value = request.options["preallocation"], let way = ways[value] {
      request.options["preallocation"] = nil
      request.provisioning = request.provisioning ?? way
    }
    return request
  }

  /// Opens the base, and says what it is called in the new image.
  static func base(_ request: CreateRequest) throws -> (DiskImage?, String?) {
    guard var wish = request.base else { return (nil, nil) }
    if wish.format == nil, let plain = ImageOpener.rawPath(wish.name) {
      wish = BaseWish(plain, format: "raw")
    }
    let beside = ImageFiles.path(of: wish.name, beside: request.path)
    let isBeside = HostFiles.exists(beside) || NBDAddress.isAddress(wish.name)
    let place = isBeside ? beside : wish.name
    if HostFiles.isSame(place, request.path) {
      throw StorageError(path: request.path, reason: "cannot be its own base")
    }
    let base = try DiskImage(
      ImageReference(place, format: wish.format, names: request.names, keys: request.keys),
      .reading)
    if HostFiles.exists(request.path),
      base.basePaths.contains(where: { HostFiles.isSame($0, request.path) })
    {
      throw ImageUsageError(
        "\(request.path): '\(place)' stands over it: the two would be each other's base")
    }
    let name =
      isBeside ? wish.name : ImageFiles.relativeName(of: wish.name, from: request.path)
    return (base, name)
  }

  /// Notes what the base is like in the image, where its format has room.
  func noteBase(
    _ device: any BlockDevice, _ when: CreateRequest.BaseHash, _ job: ImageJob
  ) throws -> (record: BaseRecord, isBeside: Bool)? {
    guard let below = device.base?.whole else { return nil }
    let size = (base.map { [$0.path] + $0.basePaths } ?? []).reduce(UInt64(0)) {
      $0 &+ (HostFiles.facts($1)?.allocated ?? 0)
    }
    // The hash tells whoever has it whether a guess at what is encrypted is right.
    let isSecret = !below.volumeKeys.isEmpty
    let hashes = when == .now || (when == .quick && size <= 1 << 30 && !isSecret)
    var hash: [UInt8]?
    if hashes {
      let meter = job.meter(total: below.blockCount * UInt64(below.blockSize))
      hash = try hashed(below, meter)
    }
    let record = BaseRecord(of: below, hash: hash)
    let isBeside = try !BaseCheck.noteInside(record, of: device)
    return (record, isBeside)
  }

  /// The image gets its name; what is noted beside it is there before.
  func finish(_ files: NewImageFiles, _ noted: (record: BaseRecord, isBeside: Bool)?) throws {
    guard let noted, noted.isBeside else { return try files.finish() }
    if HostFiles.exists(path) {
      // The note would be the old image's until the new one has its place.
      try BaseCheck.noteBeside(nil, at: path)
      try files.finish()
      return try BaseCheck.noteBeside(noted.record, at: path)
    }
    try BaseCheck.noteBeside(noted.record, at: path)
    do { try files.finish() } catch {
      try? HostFiles.remove(BaseCheck.sideFile(of: path))
      throw error
    }
  }

  private func hashed(_ device: any BlockDevice, _ meter: ImageMeter) throws -> [UInt8] {
    try BaseHashing.hash(device, meter)
  }
}

/// The hash of a base with progress.
enum BaseHashing {
  static func hash(_ device: any BlockDevice, _ meter: ImageMeter) throws -> [UInt8] {
    // What stops the work is no error of the base's.
    var other: (any Error)?
    do throws(StorageError) {
      return try BaseRecord.hash(device) { done throws(StorageError) in
        do { try meter.update(done) } catch {
          other = error
          throw StorageError(path: device.name, reason: "\(error)")
        }
      }
    } catch { throw other ?? error }
  }
}

extension CreateRequest {
  /// What is to be said of an image over a base of another format, which the programs that the image's format comes from do not open.
  static func foreignBase(_ format: String, over base: String) -> String? {
    let owners = [
      "vmdk": "VMware's programs", "vdi": "VirtualBox", "vhd": "Virtual PC and Hyper-V",
      "vhdx": "Hyper-V",
    ]
    guard let owner = owners[format], base != format else { return nil }
    return
      "a \(format) image over a \(base) base works here; \(owner) needs a base of the same format"
  }
}

extension ImageOperations {
  /// Makes an image.
  public static func create(_ request: CreateRequest, _ job: ImageJob = ImageJob()) throws
    -> CreateResult
  {
    let files = NewImageFiles(replaces: request.replaces)
    let image = try UnfinishedImage(request, files: files)
    let contents = try image.open()
    let device = contents.device
    let noted = try image.noteBase(device, request.baseHash, job)
    if let base = device.base, !base.volumeKeys.isEmpty,
      (device.whole as? any EncryptedDevice)?.volumeKey == nil
    {
      image.notes.append(
        "the base is encrypted, but this image is not: what is written to it is readable")
    }
    try device.finish()
    var result = CreateResult(
      file: request.path, format: image.format.name,
      virtualSize: device.blockCount * UInt64(device.blockSize), base: image.baseName,
      baseFormat: image.base?.formatName, baseHashed: noted.map { $0.record.hash != nil },
      notes: image.notes)
    if let base = image.base?.formatName,
      let note = CreateRequest.foreignBase(image.format.name, over: base)
    {
      result.notes.append(note)
    }
    let side = BaseCheck.sideFile(of: request.path)
    try image.finish(files, noted)
    if let noted, noted.isBeside {
      result.notes.append("what the base is like is noted in '\(side)'")
    } else if request.replaces, HostFiles.exists(side) {
      // It spoke of what was replaced.
      try? HostFiles.remove(side)
    }
    device.close()
    image.base?.close()
    return result
  }
}
