// The descriptor of a VMDK image: a text that says of which extents the disk is made.
//
// Owns: reading and writing the text. Must not know: files. After: VMware Virtual Disk Format 5.0 (Virtual Disk Format Technical Note),
// "The Descriptor File".

struct VMDKDescriptor {
  static let firstLine = "# Disk DescriptorFile"
  /// Longer texts are none.
  static let longest: UInt64 = 1 << 20
  static let mostExtents = 4096
  /// The identifier that stands for no parent.
  static let noParent: UInt32 = 0xFFFF_FFFF
  /// The parent's identifier where the parent's format has none.
  static let unknownParent: UInt32 = 0xFFFF_FFFE

  enum ExtentKind: String {
    case flat = "FLAT"
    case sparse = "SPARSE"
    case zero = "ZERO"
    case vmfs = "VMFS"
    case vmfsSparse = "VMFSSPARSE"
    case seSparse = "SESPARSE"
  }

  struct Extent {
    var isWritable: Bool
    var sectorCount: UInt64
    var kind: ExtentKind
    /// Empty for zeros.
    var fileName: String
    /// The first sector in the file.
    var offset: UInt64
    /// Where its line is in the text.
    var place: Range<Int> = 0..<0

    var line: String {
      let isFlat = kind == .flat || kind == .vmfs
      return "RW \(sectorCount) \(kind.rawValue) \"\(fileName)\"" + (isFlat ? " \(offset)" : "")
    }
  }

  var contentID: UInt32 = noParent - 1
  var parentContentID = noParent
  var createType = ""
  var parentFileName = ""
  var extents: [Extent] = []
  /// Where the digits of the content's identifier are in the text, and how many.
  private(set) var contentIDPlace: Range<Int>?

  init() {}

  /// - Parameters:
  ///   - bytes: the text, with zeros behind it or not.
  ///   - offset: where it is in the file, for messages.
  init(_ bytes: [UInt8], _ store: any ByteStore, at offset: UInt64) throws(StorageError) {
    var line: [UInt8] = []
    var start = 0
    for (n, byte) in (bytes + [10]).enumerated() {
      if byte == 0 || byte == 10 {
        if line.last == 13 { line.removeLast() }
        try read(line, start) { store.refusal(at: offset + UInt64(start), $0) }
        line = []
        start = n + 1
        if byte == 0 { break }
      } else {
        line.append(byte)
      }
    }
  }

  private mutating func read(_ bytes: [UInt8], _ start: Int, _ refuse: (String) -> StorageError)
    throws(StorageError)
  {
    guard let first = bytes.first(where: { $0 != 32 }), first != UInt8(ascii: "#") else { return }
    if [UInt8(ascii: "R"), UInt8(ascii: "N")].contains(first) {
      let text = String(decoding: bytes, as: UTF8.self)
      let words = text.split(separator: " ", maxSplits: 3).map(String.init)
      if ["RW", "RDONLY", "NOACCESS"].contains(words[0]), words.count >= 3 {
        var extent = try extent(words, refuse)
        extent.place = start..<start + bytes.count
        extents.append(extent)
        if extents.count > VMDKDescriptor.mostExtents { throw refuse("too many extents") }
        return
      }
    }
    guard let equals = bytes.firstIndex(of: UInt8(ascii: "=")) else { return }
    let key = String(
      decoding: bytes[..<equals].lazy.filter { $0 != 32 && $0 != 9 }, as: UTF8.self
    ).lowercased()
    let quoted = String(decoding: bytes[(equals + 1)...], as: UTF8.self).trimmed
    let value = String(decoding: quoted.utf8.filter { $0 != UInt8(ascii: "\"") }, as: UTF8.self)
    switch key {
    case "cid":
      guard let id = UInt32(value, radix: 16) else {
        throw refuse("an identifier '\(value.prefix(20))'")
      }
      contentID = id
      // The digits are the end of the line.
      if let last = bytes.lastIndex(where: { $0 > 32 }), last + 1 >= value.utf8.count,
        bytes[last + 1 - value.utf8.count...last].elementsEqual(value.utf8)
      {
        contentIDPlace = start + last + 1 - value.utf8.count..<start + last + 1
      }
    case "parentcid":
      guard let id = UInt32(value, radix: 16) else {
        throw refuse("a parent's identifier '\(value.prefix(20))'")
      }
      parentContentID = id
    case "createtype": createType = value
    case "parentfilenamehint": parentFileName = value
    case "encoding", "version": break
    default: break
    }
  }

  private func extent(_ words: [String], _ refuse: (String) -> StorageError) throws(StorageError)
    -> Extent
  {
    if words[0] == "NOACCESS" { throw refuse("an extent that nobody may read") }
    guard let count = UInt64(words[1]), count > 0, count <= 1 << 42 else {
      throw refuse("an extent of '\(words[1].prefix(30))' sectors")
    }
    guard let kind = ExtentKind(rawValue: words[2].uppercased()) else {
      throw refuse("an extent of kind '\(words[2].prefix(30))', which cannot be read")
    }
    var extent = Extent(
      isWritable: words[0] == "RW", sectorCount: count, kind: kind, fileName: "", offset: 0)
    if kind == .zero { return extent }
    guard words.count == 4 else { throw refuse("an extent without a file") }
    let rest = words[3].trimmed
    guard rest.hasPrefix("\""), let end = rest.dropFirst().firstIndex(of: "\"") else {
      throw refuse("an extent whose file's name is not in quotes")
    }
    extent.fileName = String(rest[rest.index(after: rest.startIndex)..<end])
    let behind = rest[rest.index(after: end)...].trimmed
    if let word = behind.split(separator: " ").first {
      guard let offset = UInt64(word), offset <= 1 << 42 else {
        throw refuse("an extent that begins at '\(word.prefix(30))'")
      }
      extent.offset = offset
    }
    return extent
  }

  /// Why a file's name cannot stand in a descriptor, whose lines end with control characters and whose names end with quotes; nil: it can.
  static func fault(ofName name: String) -> String? {
    if name.utf8.contains(UInt8(ascii: "\"")) {
      return "has a quotation mark, which no name in a descriptor has"
    }
    if name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
      return "has a line feed or another control character, which no name in a descriptor has"
    }
    return name.utf8.count < 4096 ? nil : "is too long for a descriptor"
  }

  /// The text of a new one.
  func text(sectorCount: UInt64, adapter: String, hardware: String) -> String {
    // What ESX and Workstation show a guest of old hardware; the size counts for all else.
    let isIDE = adapter == "ide"
    let (heads, sectors): (UInt64, UInt64) = isIDE ? (16, 63) : (255, 63)
    let cylinders = min(max(1, sectorCount / (heads * sectors)), isIDE ? 16383 : 65535)
    func hex(_ id: UInt32) -> String {
      let digits = String(id, radix: 16)
      return String(repeating: "0", count: 8 - digits.count) + digits
    }
    var lines = [
      VMDKDescriptor.firstLine, "version=1", "CID=\(hex(contentID))",
      "parentCID=\(hex(parentContentID))", "createType=\"\(createType)\"",
    ]
    if !parentFileName.isEmpty { lines.append("parentFileNameHint=\"\(parentFileName)\"") }
    lines += ["", "# Extent description"]
    for extent in extents { lines.append(extent.line) }
    lines += [
      "", "# The Disk Data Base", "#DDB", "", "ddb.virtualHWVersion = \"\(hardware)\"",
      "ddb.geometry.cylinders = \"\(cylinders)\"", "ddb.geometry.heads = \"\(heads)\"",
      "ddb.geometry.sectors = \"\(sectors)\"", "ddb.adapterType = \"\(adapter)\"", "",
    ]
    return lines.joined(separator: "\n")
  }
}

extension StringProtocol {
  /// Without blanks at both ends.
  fileprivate var trimmed: String {
    var part = self[...]
    while let first = part.first, first == " " || first == "\t" { part.removeFirst() }
    while let last = part.last, last == " " || last == "\t" { part.removeLast() }
    return String(part)
  }
}
