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

  public init(
    largest: UInt64, granularity: UInt64 = 512, sectorSizes: [Int] = [512],
    provisionings: [Provisioning] = [.thin], hasBases: Bool = false
  ) {
    self.largest = largest
    self.granularity = granularity
    self.sectorSizes = sectorSizes
    self.provisionings = provisionings
    self.hasBases = hasBases
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
  /// Makes an image in an empty, writable store; other files it needs come from `context.newFile(named:)`.
  ///
  /// The wish fits `limits` and names no options but those in `options` (`ImageWish.check(for:)`); their values are checked here, before
  /// anything is written.
  func create(_ store: any ByteStore, _ wish: ImageWish, _ context: ImageContext)
    throws(StorageError)
}

extension ImageWish {
  /// The wish with a size that the format can have.
  /// - Throws: what the format cannot do, in words for the user, before anything is written.
  public func checked(for format: any CreatableFormat, name: String) throws(StorageError)
    -> ImageWish
  {
    func refuse(_ reason: String) -> StorageError { StorageError(path: name, reason: reason) }
    let limits = format.limits
    var wish = self
    if byteCount == 0 { throw refuse("an image needs a size above 0") }
    let (padded, overflow) = byteCount.addingReportingOverflow(limits.granularity - 1)
    wish.byteCount = padded - padded % limits.granularity
    if overflow || wish.byteCount > limits.largest {
      throw refuse("\(format.name) holds at most \(limits.largest) bytes, not \(byteCount)")
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

/// A device that can keep blocks compressed, for whoever fills a new image (`convert -c`).
public protocol CompressingDevice: BlockDevice {
  /// Bytes that are compressed together: a whole number of blocks, at a multiple of themselves.
  var compressionUnit: Int { get }
  /// Compresses a unit, or what is left of one at the disk's end; nil when that saves nothing. It may be called on any thread, several at
  /// once: where time is spent.
  var compressor: @Sendable (UnsafeRawBufferPointer) -> [UInt8]? { get }
  /// Writes what `compressor` made of the unit that begins at a block.
  func writeCompressed(block: UInt64, packed: [UInt8]) throws(StorageError)
}

extension CompressingDevice {
  /// Writes a unit, or what is left of one at the disk's end: compressed where that saves room, as zeros where it holds nothing else.
  public func writeCompressed(block: UInt64, from contents: UnsafeRawBufferPointer)
    throws(StorageError)
  {
    try BlockRange.check(name, block, contents.count, blockCount, blockSize)
    if contents.allSatisfy({ $0 == 0 }) {
      try writeZeroes(block: block, count: UInt64(contents.count / blockSize))
    } else if let packed = compressor(contents) {
      try writeCompressed(block: block, packed: packed)
    } else {
      try write(block: block, from: contents)
    }
  }
}
