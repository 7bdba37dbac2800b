// Formats that are known but cannot be read: refused by name, so that nobody boots a VMDK file as a raw disk.
//
// Owns: recognising other image formats, archives and programs, and the words of their refusal. Must not know: how any of them is read.
// After: the published headers of the formats.

/// A format that begins with a signature and is refused. Whoever adds it takes its line out here.
struct RefusedFormat: ImageFormat {
  let name: String
  let signature: [UInt8]
  var offset = 0
  /// What is to be said; completes "is ...".
  let refusal: String
  /// A boot sector that happens to begin so is a boot sector.
  var yieldsToBootSectors = false

  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    let head = try store.bytes(at: 0, count: 512)
    guard head.dropFirst(offset).starts(with: signature) else { return nil }
    if yieldsToBootSectors && BootSector.isSigned(head) { return nil }
    return .certain
  }

  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    throw StorageError(path: store.name, reason: "is \(refusal)")
  }

  /// Archives and programs.
  static let archives: [any ImageFormat] =
    [
      archive("xz", [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], "compressed by xz"),
      archive("bzip2", [0x42, 0x5A, 0x68], "compressed by bzip2"),
      archive("ZIP", [0x50, 0x4B, 0x03, 0x04], "a ZIP archive"),
      RefusedFormat(
        name: "ELF", signature: [0x7F, 0x45, 0x4C, 0x46],
        refusal: "an ELF program, not a disk; a kernel is started with --kernel",
        yieldsToBootSectors: true),
    ]

  private static func archive(_ name: String, _ signature: [UInt8], _ words: String)
    -> RefusedFormat
  {
    RefusedFormat(
      name: name, signature: signature, refusal: "\(words); unpack it first",
      yieldsToBootSectors: true)
  }
}
