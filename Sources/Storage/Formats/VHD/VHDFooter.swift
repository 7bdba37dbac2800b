// The footer of a VHD image, which is at the end of every one, and a copy at the beginning of all but fixed ones.
//
// Owns: its fields, its check sum, the disk's size as its creators mean it, the geometry. Must not know: blocks.
// After: Virtual Hard Disk Image Format Specification 1.0 (Microsoft), "Hard Disk Footer Format" and the appendix "CHS Calculation".

/// What kind of image it is ("Disk Type").
enum VHDKind: UInt32 {
  case fixed = 2
  case dynamic = 3
  case differencing = 4

  var words: String {
    switch self {
    case .fixed: "fixed VHD"
    case .dynamic: "dynamic VHD"
    case .differencing: "differencing VHD"
    }
  }
}

/// A footer whose check sum is right.
struct VHDFooter {
  static let size: UInt64 = 512
  static let cookie = Array("conectix".utf8)
  /// The largest disk: Virtual PC and Hyper-V have no larger ones.
  static let largest: UInt64 = 2040 << 30
  /// Where the fields are.
  enum Offset {
    static let features = 8
    static let version = 12
    static let dataOffset = 16
    static let timeStamp = 24
    static let creatorApplication = 28
    static let creatorVersion = 32
    static let creatorHostOS = 36
    static let originalSize = 40
    static let currentSize = 48
    static let geometry = 56
    static let kind = 60
    static let checksum = 64
    static let uniqueID = 68
    static let savedState = 84
  }

  private(set) var fields: Fields

  /// - Parameter bytes: 512, or 511 as old versions of Virtual PC wrote them.
  /// - Returns: nil when it is no footer, or a damaged one.
  init?(_ bytes: [UInt8]) {
    guard bytes.count >= 511, bytes.starts(with: VHDFooter.cookie) else { return nil }
    fields = Fields(Array(bytes.prefix(512)) + (bytes.count == 511 ? [0] : []))
    guard fields.big(Offset.checksum) == VHDFooter.checksum(fields, Offset.checksum) else {
      return nil
    }
  }

  /// A new one.
  init(
    kind: VHDKind, byteCount: UInt64, creator: String, uniqueID: GUID, time: UInt64
  ) {
    fields = Fields(count: 512)
    fields.set(0, VHDFooter.cookie)
    fields.setBig(Offset.features, UInt32(2))
    fields.setBig(Offset.version, UInt32(0x0001_0000))
    fields.setBig(Offset.dataOffset, kind == .fixed ? UInt64.max : 512)
    fields.setBig(Offset.timeStamp, VHDFooter.timeStamp(time))
    fields.set(Offset.creatorApplication, Array(creator.utf8))
    fields.setBig(Offset.creatorVersion, UInt32(0x0005_0003))
    fields.set(Offset.creatorHostOS, Array("Wi2k".utf8))
    fields.setBig(Offset.originalSize, byteCount)
    fields.setBig(Offset.kind, kind.rawValue)
    fields.set(Offset.uniqueID, uniqueID.bytes)
    setSize(byteCount)
  }

  /// Seconds since the beginning of 2000.
  static func timeStamp(_ time: UInt64) -> UInt32 {
    UInt32(truncatingIfNeeded: max(time, 946_684_800) - 946_684_800)
  }

  /// The ones' complement of the sum of all bytes but its own.
  static func checksum(_ fields: Fields, _ at: Int) -> UInt32 {
    var sum: UInt32 = 0
    for (n, byte) in fields.bytes.enumerated() where n < at || n >= at + 4 { sum &+= UInt32(byte) }
    return ~sum
  }

  /// Gives it another size, the geometry that belongs to it, and a check sum.
  mutating func setSize(_ byteCount: UInt64) {
    let geometry = VHDGeometry(sectorCount: byteCount / 512)
    fields.setBig(Offset.currentSize, byteCount)
    fields.setBig(Offset.geometry, UInt16(geometry.cylinders))
    fields.bytes[Offset.geometry + 2] = UInt8(geometry.heads)
    fields.bytes[Offset.geometry + 3] = UInt8(geometry.sectors)
    fields.setBig(Offset.checksum, VHDFooter.checksum(fields, Offset.checksum))
  }

  /// Says who wrote it; the check sum comes with the next `setSize`.
  mutating func setCreator(_ creator: String) {
    fields.set(Offset.creatorApplication, Array(creator.utf8))
  }

  var bytes: [UInt8] { fields.bytes }
  var kind: VHDKind? { VHDKind(rawValue: fields.big(Offset.kind)) }
  var rawKind: UInt32 { fields.big(Offset.kind) }
  var version: UInt32 { fields.big(Offset.version) }
  /// Where the header of a dynamic image is.
  var dataOffset: UInt64 { fields.big(Offset.dataOffset) }
  var originalSize: UInt64 { fields.big(Offset.originalSize) }
  var currentSize: UInt64 { fields.big(Offset.currentSize) }
  var uniqueID: GUID { GUID(bytes: fields.slice(Offset.uniqueID, 16)) }
  var timeStamp: UInt32 { fields.big(Offset.timeStamp) }
  var isSavedState: Bool { fields.bytes[Offset.savedState] != 0 }
  var creator: [UInt8] { fields.slice(Offset.creatorApplication, 4) }
  /// The creator's name as far as it can be shown.
  var creatorText: String {
    let text = String(
      decoding: creator.filter { $0 > 0x20 && $0 < 0x7F }, as: UTF8.self)
    return text.isEmpty ? "(unnamed)" : text
  }
  var geometry: VHDGeometry {
    VHDGeometry(
      cylinders: Int(fields.big(Offset.geometry, as: UInt16.self)),
      heads: Int(fields.bytes[Offset.geometry + 2]), sectors: Int(fields.bytes[Offset.geometry + 3])
    )
  }

  /// Those who mean the current size; Connectix and Virtual PC ('vpc '), and others that went after them, mean the geometry, whose disk is a
  /// little smaller.
  private static let exactCreators: [[UInt8]] = [
    "win ", "qem2", "d2v ", "tap ", "CTXS", "vbox",
  ].map { Array($0.utf8) }

  /// The disk's sectors, and why.
  var sectorCount: (count: UInt64, reason: String) {
    let current = currentSize / 512
    // Short names end with blanks or with zeros.
    if VHDFooter.exactCreators.contains(creator.map { $0 == 0 ? 32 : $0 }) {
      return (current, "the size as \(creatorText) means it")
    }
    let byGeometry = geometry.sectorCount
    if byGeometry >= VHDGeometry.mostSectors {
      return (current, "the size, as no geometry is so large")
    }
    if byGeometry == 0 || byGeometry > current {
      return (current, "the size, as the geometry does not go with it")
    }
    return (byGeometry, byGeometry == current ? "size and geometry agree" : "the geometry's size")
  }
}

/// Cylinders, heads and sectors of a VHD's disk.
struct VHDGeometry: Equatable {
  var cylinders: Int
  var heads: Int
  var sectors: Int

  /// What the largest geometry has.
  static let mostSectors: UInt64 = 65535 * 16 * 255

  var sectorCount: UInt64 { UInt64(cylinders) * UInt64(heads) * UInt64(sectors) }

  init(cylinders: Int, heads: Int, sectors: Int) {
    self.cylinders = cylinders
    self.heads = heads
    self.sectors = sectors
  }

  /// The geometry of a disk of a size, as the specification's appendix calculates it.
  init(sectorCount: UInt64) {
    let total = Int(min(sectorCount, VHDGeometry.mostSectors))
    if total >= 65535 * 16 * 63 {
      self.init(cylinders: min(65535, total / 255 / 16), heads: 16, sectors: 255)
      return
    }
    var sectors = 17
    var tracks = total / sectors
    var heads = max(4, (tracks + 1023) / 1024)
    if tracks >= heads * 1024 || heads > 16 {
      sectors = 31
      heads = 16
      tracks = total / sectors
    }
    if tracks >= heads * 1024 {
      sectors = 63
      heads = 16
      tracks = total / sectors
    }
    self.init(cylinders: min(65535, tracks / heads), heads: heads, sectors: sectors)
  }

  /// The smallest geometry of these that holds so many sectors.
  static func holding(_ sectorCount: UInt64) -> VHDGeometry? {
    if sectorCount > mostSectors { return nil }
    var wish = sectorCount
    // What the calculation cuts off is less than a cylinder.
    for _ in 0..<64 {
      let geometry = VHDGeometry(sectorCount: wish)
      if geometry.sectorCount >= sectorCount { return geometry }
      wish += UInt64(geometry.heads * geometry.sectors)
    }
    return nil
  }
}
