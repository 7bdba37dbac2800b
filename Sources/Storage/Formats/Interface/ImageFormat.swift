// What an image format is: it knows its files, and makes block devices of them.
//
// Owns: the interface of formats, what a format is told, the list of all. Must not know: paths, drives, geometries.
// A new format is a file beside this one and a line in `ImageFormats.all`.

/// How sure a format is that a file is its own.
public enum FormatConfidence: Int, Comparable, Sendable {
  /// Any file can be.
  case possible = 0
  /// The file looks like it, but could be something else.
  case likely = 1
  /// The file says so.
  case certain = 2

  public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}

/// A disk as a format opened it.
public struct ImageContents {
  /// The blocks, of any size.
  public var device: any BlockDevice
  /// What the image has to be, when the format knows it; `.auto` otherwise.
  public var kind = ImageKind.auto
  /// Lines for `explain`.
  public var notes: [String] = []
  /// What the user should hear without asking.
  public var warnings: [String] = []
  /// What a drive reads, when it is a CD; `device` then has the bytes of its files.
  public var cd: CDImage?

  public init(
    _ device: any BlockDevice, kind: ImageKind = .auto, notes: [String] = [],
    warnings: [String] = []
  ) {
    self.device = device
    self.kind = kind
    self.notes = notes
    self.warnings = warnings
  }
}

/// A format of image files.
///
/// Whatever is in a file was perhaps put there by somebody who means harm: each number from it is checked before it is used to compute, to
/// allocate or to seek, and what cannot be right is refused with the file's name, the offset of the field and the reason.
public protocol ImageFormat: Sendable {
  /// What people call it, as in "qcow2".
  var name: String { get }
  /// Looks whether a file is of this format. Reads little; writes nothing.
  /// - Returns: nil when it is not.
  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  /// Makes a device of a file that `probe` recognised. It is writable only if the store is, and writes to it only then, also its headers.
  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents
}

/// What a format is told of the image it opens.
public struct ImageContext {
  /// What the user says the image is, or `.auto`.
  public var kind: ImageKind
  /// The formats there are.
  public var formats: [any ImageFormat]
  /// Where the keys of encrypted images come from, of this one and of those below it; nil: nowhere.
  public var keys: DiskKeys?
  /// Without `keys` an encrypted image opens all the same, and only what is encrypted of it cannot be read.
  public var mayStayLocked = false
  /// How many images stand above this one, each of which names the next as its base.
  public private(set) var depth = 0
  /// Where the image lies, as seen from the topmost: its folder with a "/", or nothing. Names in an image are relative to its own folder.
  private var folder = ""
  /// The image is on the network, whose owner does not choose files of this computer.
  private var remote: String?
  /// The images below are not opened: zeros are in their place. For those who only look at an image whose base is gone.
  public var basesAreAbsent = false
  /// Opens a file beside the image, for reading, or for writing too.
  private let opener: (String, FileUse) throws(StorageError) -> any ByteStore

  /// What a file beside the image is opened for.
  public enum FileUse: Sendable {
    /// An image below: nothing writes it.
    case base
    /// A part of the image itself: as writable as the image is.
    case part
    /// A new part of an image that is being made; it is empty, and there was no such file.
    case newPart
  }

  /// More images than that above each other are a mistake, or name each other.
  static let deepest = 16

  /// - Parameter opener: opens the file of a name that stands in an image. It decides which files an image may name.
  public init(
    kind: ImageKind = .auto, formats: [any ImageFormat] = ImageFormats.all,
    files opener: @escaping (String, FileUse) throws(StorageError) -> any ByteStore
  ) {
    self.kind = kind
    self.formats = formats
    self.opener = opener
  }

  /// As above, where all files are opened for reading, and none can be made.
  public init(
    kind: ImageKind = .auto, formats: [any ImageFormat] = ImageFormats.all,
    opener: @escaping (String) throws(StorageError) -> any ByteStore
  ) {
    self.init(kind: kind, formats: formats) { (name, use) throws(StorageError) in
      if use == .newPart { throw StorageError(path: name, reason: "cannot be made here") }
      return try opener(name)
    }
  }

  /// Another file that belongs to the image, as a part of it (an extent). It is writable if the image's own store is.
  public func file(named name: String) throws(StorageError) -> any ByteStore {
    // What is below is not written, and no part of it.
    try opener(try resolved(name), depth == 0 ? .part : .base)
  }

  /// A new file that belongs to the image that is being made.
  public func newFile(named name: String) throws(StorageError) -> any ByteStore {
    try opener(try resolved(name), .newPart)
  }

  private func resolved(_ name: String) throws(StorageError) -> String {
    if NBDAddress.isAddress(name) { return name }
    if let remote {
      throw StorageError(
        path: remote,
        reason:
          "is on the network and names another image, '\(NBD.shown(Array(name.utf8)))': "
          + "no file of this computer is opened for it"
      )
    }
    return name.hasPrefix("/") ? name : folder + name
  }

  /// The image that shows where this one holds nothing: opened for reading.
  /// - Parameter formatName: its format's name, where the image says it: no other is tried then, as the guest of a raw base may have written
  ///   what looks like another format. Nil: whatever its format is.
  public func base(named name: String, formatName: String? = nil) throws(StorageError)
    -> any BlockDevice
  {
    if depth >= ImageContext.deepest {
      throw StorageError(
        path: name, reason: "more than \(ImageContext.deepest) images stand above each other")
    }
    if basesAreAbsent {
      return MemoryImage(bytes: [], sectorCount: 1, isReadOnly: true, name: name)
    }
    let place = try resolved(name)
    let store = try opener(place, .base)
    var inner = self
    if NBDAddress.isAddress(place) { inner.remote = place }
    inner.folder = String(place.lastIndex(of: "/").map { place[...$0] } ?? "")
    inner.depth += 1
    inner.kind = .disk
    guard let formatName else { return try ImageFormats.open(store, inner).device }
    let named = ImageFormats.named(formatName, in: formats)
    guard let format = named ?? (formatName.lowercased() == "raw" ? RawFormat() : nil) else {
      throw StorageError(
        path: store.name, reason: "is said to be of the format '\(formatName)', which is not known")
    }
    if try format.probe(store, inner) == nil {
      throw StorageError(path: store.name, reason: "is said to be \(formatName), but is not")
    }
    return try ImageFormats.open(store, inner, as: format).device
  }
}

/// The formats there are.
public enum ImageFormats {
  /// All formats; of those that are equally sure of a file, the first has it.
  public static let all: [any ImageFormat] =
    [SplitFormat()] + CompressedFormat.all + RefusedFormat.archives + [
      QCOW2Format(), VHDFormat(), VDIFormat(), VHDXFormat(), VMDKFormat(), LUKSFormat(),
      CUEFormat(), CDFormat(), RawFormat(),
    ]

  /// The format of a file: the surest.
  public static func format(of store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> any ImageFormat
  {
    var best: (format: any ImageFormat, confidence: FormatConfidence)?
    for format in context.formats {
      guard let confidence = try format.probe(store, context) else { continue }
      if confidence == .certain { return format }
      if best == nil || confidence > best!.confidence { best = (format, confidence) }
    }
    if let best { return best.format }
    throw StorageError(path: store.name, reason: "is of no format that is known")
  }

  /// A store's contents, by the format they are in.
  public static func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> ImageContents
  {
    try open(store, context, as: try format(of: store, context))
  }

  /// A format by the name that people call it by, or qemu-img does; those that only refuse are none.
  public static func named(_ name: String, in formats: [any ImageFormat] = all)
    -> (any ImageFormat)?
  {
    let others = ["vpc": "vhd", "fixed-vhd": "fixed vhd", "luks1": "luks", "luks2": "luks"]
    let wanted = name.lowercased()
    let names = [wanted, others[wanted] ?? wanted]
    return formats.first {
      !($0 is RefusedFormat || $0 is AppleDiskImage) && names.contains($0.name.lowercased())
    }
  }

  /// A store's contents, in a format that somebody says it is of.
  public static func open(
    _ store: any ByteStore, _ context: ImageContext, as format: any ImageFormat
  ) throws(StorageError) -> ImageContents {
    let contents = try format.open(store, context)
    // Whoever stands above counts on this.
    let device = contents.device
    guard BlockSize.isValid(device.blockSize) else {
      throw StorageError(
        path: store.name,
        reason: "has blocks of \(device.blockSize) bytes, which is no power of two from "
          + "\(BlockSize.smallest) to \(BlockSize.largest)")
    }
    // Some disks may have none, as for QEMU.
    let mayBeEmpty = (format as? any CreatableFormat)?.limits.hasEmptyDisks == true
    guard device.blockCount > 0 || mayBeEmpty else {
      throw StorageError(path: store.name, reason: "is a \(format.name) image without any blocks")
    }
    guard device.blockCount <= UInt64(Int64.max) / UInt64(device.blockSize) else {
      throw StorageError(
        path: store.name,
        reason: "says that it has \(device.blockCount) blocks, more than any disk can have")
    }
    return contents
  }
}
