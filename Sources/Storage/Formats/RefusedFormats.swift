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
      other("QED", Array("QED\0".utf8), "a QED image of QEMU"),
      other("Parallels", Array("WithoutFreeSpace".utf8), "a Parallels image"),
      other("Parallels 2", Array("WithouFreSpacExt".utf8), "a Parallels image"),
      other(
        "Bochs", Array("Bochs Virtual HD Image".utf8),
        "a Bochs image (growing, undoable or volatile)"),
      other(
        "cloop", Array("#!/bin/sh\n#V2.0 Format\nmodprobe cloop".utf8),
        "a compressed image of cloop"),
      AppleDiskImage(),
    ]

  private static func other(_ name: String, _ signature: [UInt8], _ words: String) -> RefusedFormat
  {
    RefusedFormat(
      name: name, signature: signature, refusal: words + convertFirst, yieldsToBootSectors: true)
  }

  /// What to do with one.
  fileprivate static let convertFirst =
    ", which is not read here; 'qemu-img convert -O qcow2' makes one that is (-f raw takes it as it is)"

  private static func archive(_ name: String, _ signature: [UInt8], _ words: String)
    -> RefusedFormat
  {
    RefusedFormat(
      name: name, signature: signature, refusal: "\(words); unpack it first",
      yieldsToBootSectors: true)
  }
}

/// Apple's compressed disk images, which say at their end what they are.
struct AppleDiskImage: ImageFormat {
  let name = "DMG"

  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    if store.size < 1024 { return nil }
    let tail = try store.bytes(at: store.size - 512, count: 12)
    // The trailer of 512 bytes says how long it is, and its version.
    return tail == Array("koly".utf8) + [0, 0, 0, 4, 0, 0, 2, 0] ? .certain : nil
  }

  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    throw StorageError(
      path: store.name, reason: "is a disk image of Apple (DMG)" + RefusedFormat.convertFirst)
  }
}
