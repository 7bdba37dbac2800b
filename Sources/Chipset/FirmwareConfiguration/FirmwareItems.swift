// What firmware can ask for: numbered items, and files among them by name.
//
// Owns: the numbers, the directory of files, which items may be written. Must not know: ports, what any item means.
// Follows: QEMU's docs/specs/fw_cfg (items, ranges, file directory).

/// The items of a `FirmwareConfiguration`.
public struct FirmwareItems: Sendable {
  /// A file by name.
  public struct File: Sendable {
    public var name: String
    public var bytes: [UInt8]
    /// Whether the guest may change the bytes, though never their number.
    public var isWritable: Bool

    public init(_ name: String, _ bytes: [UInt8], isWritable: Bool = false) {
      (self.name, self.bytes, self.isWritable) = (name, bytes, isWritable)
    }
  }

  /// The number of the directory.
  public static let directory: UInt16 = 0x19
  /// The number of the first file.
  public static let firstFile: UInt16 = 0x20
  /// Generic numbers end below it.
  static let end: UInt16 = 0x4000
  /// A name has a terminating 0 in 56 bytes.
  public static let longestName = 55
  /// How many files there can be.
  public static let mostFiles = Int(end - firstFile)

  private var numbered: [UInt16: [UInt8]] = [:]
  /// Sorted by name, as firmware reads them.
  public private(set) var files: [File] = []

  public init() { updateDirectory() }

  /// An item that is no file.
  /// - Parameter number: below 20h, or 8000h and above for those of the architecture.
  public mutating func set(_ number: UInt16, _ bytes: [UInt8]) {
    precondition(number < FirmwareItems.firstFile || number >= 0x8000)
    numbered[number] = bytes
  }

  /// An item that is one little-endian number.
  public mutating func set<T: FixedWidthInteger>(_ number: UInt16, _ value: T) {
    set(number, FirmwareItems.bytes(value))
  }

  /// Adds a file, or puts it in the place of the one of that name.
  /// - Returns: false when there is no room for it or its name.
  @discardableResult
  public mutating func add(_ file: File) -> Bool {
    let name = Array(file.name.utf8)
    guard (1...FirmwareItems.longestName).contains(name.count), !name.contains(0),
      file.bytes.count <= Int(Int32.max)
    else { return false }
    let at = files.firstIndex { !$0.name.utf8.lexicographicallyPrecedes(name) } ?? files.count
    if at < files.count, files[at].name == file.name {
      files[at] = file
    } else {
      if files.count >= FirmwareItems.mostFiles { return false }
      files.insert(file, at: at)
    }
    updateDirectory()
    return true
  }

  /// The bytes of a file, or nil.
  public subscript(name: String) -> [UInt8]? { files.first { $0.name == name }?.bytes }

  /// Little-endian bytes of a number.
  public static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  private mutating func updateDirectory() {
    func big<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
      withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }
    var bytes = big(UInt32(files.count))
    for (n, file) in files.enumerated() {
      let name = Array(file.name.utf8)
      bytes += big(UInt32(file.bytes.count)) + big(FirmwareItems.firstFile + UInt16(n)) + [0, 0]
      bytes += name + [UInt8](repeating: 0, count: 56 - name.count)
    }
    numbered[FirmwareItems.directory] = bytes
  }

  // MARK: What the device asks

  /// Which file a number stands for, or nil.
  func file(_ number: UInt16) -> Int? {
    guard number >= FirmwareItems.firstFile, number < FirmwareItems.end else { return nil }
    let index = Int(number - FirmwareItems.firstFile)
    return index < files.count ? index : nil
  }

  /// How many bytes an item has; 0: there is none of that number.
  func count(_ number: UInt16) -> Int {
    if let file = file(number) { return files[file].bytes.count }
    return numbered[number]?.count ?? 0
  }

  /// Calls with the bytes of an item, none where there is no such item.
  func withBytes<R>(_ number: UInt16, _ body: (UnsafeRawBufferPointer) -> R) -> R {
    if let file = file(number) { return files[file].bytes.withUnsafeBytes(body) }
    guard let bytes = numbered[number] else {
      return body(UnsafeRawBufferPointer(start: nil, count: 0))
    }
    return bytes.withUnsafeBytes(body)
  }

  /// Replaces bytes of a file that may be written; the range must lie in it.
  mutating func write(file: Int, at offset: Int, _ bytes: [UInt8]) {
    files[file].bytes.replaceSubrange(offset..<offset + bytes.count, with: bytes)
  }

  /// Those that may be written.
  var writableFiles: [Int] { files.indices.filter { files[$0].isWritable } }
}
