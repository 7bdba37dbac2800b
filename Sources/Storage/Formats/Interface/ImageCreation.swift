// How images are made: what a format offers to whoever creates one.
//
// Owns: the wish for a new image, the options and limits a format says it has, and the check of a wish against them. Must not know: any
// format, paths, the command line.

/// When an image gets its room.
public enum Provisioning: String, CaseIterable, Sendable {
  /// Room is taken as it is written.
  case thin
  /// All room is taken at once, and made zeros when it is first used.
  case thickLazy = "thick-lazy"
  /// All room is taken at once and holds zeros.
  case thickEager = "thick-eager"
}

/// An option a format has for new images, as `apus image create --format vdi -o NAME=VALUE` sets it.
public struct ImageOption: Equatable, Sendable {
  /// As in "cluster_size"; qemu-img's name where it has the same.
  public var name: String
  /// What it is when nobody says.
  public var standard: String
  /// The values there are, for people, as in "512 to 2097152, a power of two".
  public var values: String
  public var help: String

  public init(_ name: String, standard: String, values: String, help: String) {
    self.name = name
    self.standard = standard
    self.values = values
    self.help = help
  }
}

/// What a format can hold.
public struct ImageLimits: Equatable, Sendable {
  /// The largest disk, in bytes.
  public var largest: UInt64
  /// A disk's size is a multiple of that; a wish is rounded up to it.
  public var granularity: UInt64
  /// The sizes that a sector of the disk can have.
  public var sectorSizes: [Int]
  public var provisionings: [Provisioning]
  /// Whether an image can stand over a base.
  public var hasBases: Bool
  /// Whether a disk can have no bytes at all.
  public var hasEmptyDisks: Bool

  public init(
    largest: UInt64, granularity: UInt64 = 512, sectorSizes: [Int] = [512],
    provisionings: [Provisioning] = [.thin], hasBases: Bool = false, hasEmptyDisks: Bool = false
  ) {
    self.largest = largest
    self.granularity = granularity
    self.sectorSizes = sectorSizes
    self.provisionings = provisionings
    self.hasBases = hasBases
    self.hasEmptyDisks = hasEmptyDisks
  }

  /// The largest disk in words; numbers of bytes end below 8 EiB (8192P), which itself is no size.
  public var sizeWords: String {
    largest > UInt64(Int64.max) - granularity
      ? "has less than 8 EiB (8192P, \(UInt64(1) << 63) bytes)" : "has at most \(largest) bytes"
  }
}

/// The image below a new one.
public struct NewBase {
  /// The name that goes into the new image: as its format wants it, relative to the new image's folder unless it is absolute.
  public var name: String
  /// The name of the base's format, as in "qcow2".
  public var formatName: String
  /// The base itself, opened for reading: its size, and what of it the new image has to name (a UUID, an identifier).
  public var contents: ImageContents

  public init(name: String, formatName: String, contents: ImageContents) {
    self.name = name
    self.formatName = formatName
    self.contents = contents
  }
}

/// What somebody wants of a new image.
public struct ImageWish {
  /// The disk's bytes.
  public var byteCount: UInt64
  public var provisioning = Provisioning.thin
  public var sectorSize = 512
  public var base: NewBase?
  /// Values of the format's options.
  public var options: [String: String] = [:]
  /// Where identifiers (UUIDs, write IDs) come from: the host's random numbers, or a fixed sequence in tests.
  public var random: () -> UInt64 = { UInt64.random(in: .min ... .max) }
  /// Seconds since 1970 for formats that note when they were made.
  public var time: UInt64 = 0
  /// Where the passphrase of a new encrypted image comes from.
  public var key: (any KeySource)?

  public init(byteCount: UInt64) { self.byteCount = byteCount }

  /// 16 bytes of a random UUID (version 4, RFC 4122 section 4.4), in the order in which they are written as text.
  public func uuid() -> [UInt8] {
    let (high, low) = (random(), random())
    var bytes = [high, low].flatMap { word in
      (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * $0)) }
    }
    bytes[6] = bytes[6] & 0x0F | 0x40
    bytes[8] = bytes[8] & 0x3F | 0x80
    return bytes
  }
}

/// A format that can make images.
public protocol CreatableFormat: ImageFormat {
  var options: [ImageOption] { get }
  var limits: ImageLimits { get }
  /// Whether a new image shows zeros where nothing was written to it.
  var newImagesAreZeros: Bool { get }
  /// Makes an image in an empty, writable store; other files it needs come from `context.newFile(named:)`.
  ///
  /// The wish fits `limits` and names no options but those in `options` (`ImageWish.check(for:)`); their values are checked here, before
  /// anything is written.
  func create(_ store: any ByteStore, _ wish: ImageWish, _ context: ImageContext)
    throws(StorageError)
}

extension CreatableFormat {
  public var newImagesAreZeros: Bool { true }
}

extension ImageWish {
  /// The wish with a size that the format can have.
  /// - Throws: what the format cannot do, in words for the user, before anything is written.
  public func checked(for format: any CreatableFormat, name: String) throws(StorageError)
    -> ImageWish
  {
    func refuse(_ reason: String) -> StorageError { .usage(name, reason) }
    let limits = format.limits
    var wish = self
    if byteCount == 0 && !limits.hasEmptyDisks {
      throw refuse(
        "a \(format.name) image has a disk of at least \(limits.granularity) bytes, not of 0; sizes are as in 512, 64k, 10G"
      )
    }
    let (padded, overflow) = byteCount.addingReportingOverflow(limits.granularity - 1)
    wish.byteCount = padded - padded % limits.granularity
    if overflow || wish.byteCount > limits.largest {
      throw refuse("a \(format.name) disk \(limits.sizeWords), not \(byteCount)")
    }
    if !limits.sectorSizes.contains(sectorSize) {
      let sizes = limits.sectorSizes.map(String.init).joined(separator: ", ")
      throw refuse("\(format.name) has sectors of \(sizes) bytes, not of \(sectorSize)")
    }
    if !limits.provisionings.contains(provisioning) {
      let all = limits.provisionings.map(\.rawValue).joined(separator: ", ")
      throw refuse("\(format.name) has the provisionings \(all), not \(provisioning.rawValue)")
    }
    if base != nil && !limits.hasBases { throw refuse("\(format.name) images have no base") }
    for option in options.keys.sorted() where !format.options.contains(where: { $0.name == option })
    {
      let all = format.options.map(\.name).joined(separator: ", ")
      throw refuse(
        "\(format.name) has no option '\(option)'" + (all.isEmpty ? "" : "; it has \(all)"))
    }
    return wish
  }
}

// MARK: What some formats can do besides

/// A format whose images can be given another base.
public protocol RebasableFormat: ImageFormat {
  /// Changes what an image names as its base; nil: it stands alone from then on. What its own blocks hold stays as it is. Nothing else has
  /// the store open as a device, and the change is made at once: whenever the host stops, the image names the old one or the new one.
  func setBase(_ store: any ByteStore, _ base: NewBase?, _ context: ImageContext)
    throws(StorageError)
}

/// A device of an image that gets another base.
public protocol RebasedDevice: BlockDevice {
  /// Zeros are written as such also where the base of now shows zeros: the next one may show something else.
  var zeroesAreOwn: Bool { get set }
}

/// A device whose format has an identifier that is another one each time that somebody begins to write.
public protocol CommittedDevice: BlockDevice {
  /// The identifier stays: what is written is what the image above shows already. Those above it are as right as before.
  func keepIdentifier()
}

/// A state of a disk that is kept inside its image.
public struct ImageSnapshot: Equatable, Sendable {
  public var id: String
  public var name: String
  /// Seconds since 1970.
  public var time: UInt64
  /// The disk's bytes then.
  public var byteCount: UInt64
  /// Bytes of a machine's state that are kept with it, 0: none.
  public var stateByteCount: UInt64

  public init(
    id: String, name: String, time: UInt64, byteCount: UInt64, stateByteCount: UInt64 = 0
  ) {
    self.id = id
    self.name = name
    self.time = time
    self.byteCount = byteCount
    self.stateByteCount = stateByteCount
  }
}

/// A device whose image keeps states of it. A snapshot is meant by its identifier, or by its name where no identifier is that.
public protocol SnapshottingDevice: BlockDevice {
  var imageSnapshots: [ImageSnapshot] { get }
  func createSnapshot(named name: String, time: UInt64) throws(StorageError)
  /// The disk is again what it was; what was written since is lost.
  func applySnapshot(_ which: String) throws(StorageError)
  func deleteSnapshot(_ which: String) throws(StorageError)
}

/// A device that can keep blocks compressed, for images that are written once from front to back.
public protocol CompressingDevice: BlockDevice {
  /// Blocks that are compressed as one.
  var compressionUnit: UInt64 { get }
  /// What makes a unit smaller; several threads call it at once. It returns nil where the unit becomes no smaller.
  var compressor: @Sendable (UnsafeRawBufferPointer) -> [UInt8]? { get }
  /// Writes what the compressor made of a unit.
  func writeCompressed(block: UInt64, _ bytes: [UInt8]) throws(StorageError)
}

/// An overlay that can be made as if nothing had ever been written to it: all blocks are the base's again.
public protocol EmptiableDevice: BlockDevice {
  func makeEmpty() throws(StorageError)
}

/// What a format tells of an image besides what every device says.
public struct ImageFacts: Equatable, Sendable {
  /// Bytes in its unit of allocation.
  public var clusterSize: UInt64?
  public var isEncrypted = false
  /// How it is encrypted.
  public var encryption: EncryptionFacts?
  /// It was not closed as it should have been.
  public var isDirty = false
  /// What it calls its base, and the format that it says it is of.
  public var baseName: String?
  public var baseFormat: String?
  /// What else there is to say, as in "version: 3".
  public var others: [(name: String, value: String)] = []

  public init() {}

  public static func == (a: Self, b: Self) -> Bool {
    a.clusterSize == b.clusterSize && a.isEncrypted == b.isEncrypted && a.isDirty == b.isDirty
      && a.encryption == b.encryption
      && a.baseName == b.baseName && a.baseFormat == b.baseFormat
      && a.others.elementsEqual(b.others, by: ==)
  }
}

/// A device that tells such facts.
public protocol DescribedDevice: BlockDevice {
  var imageFacts: ImageFacts { get }
}

/// A device whose image has room for what it knows of its base (`BaseRecord`); others have a file beside them.
public protocol BaseRecordingDevice: BlockDevice {
  /// What was put there; nil: nothing.
  var baseRecord: [UInt8]? { get }
  /// Puts it there, at most 4096 bytes; nil: takes it away.
  /// - Returns: false: this image has no room for it.
  func setBaseRecord(_ bytes: [UInt8]?) throws(StorageError) -> Bool
}
