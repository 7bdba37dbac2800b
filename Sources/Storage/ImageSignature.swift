// What a file that is not a raw disk image starts with.
//
// Owns: recognising CDs and other image formats and archives. Must not know: how raw images are read.
// After: ECMA-119 (ISO 9660), the El Torito specification, the published headers of the formats.

/// The look of a file's contents as far as they are not those of a raw floppy or disk.
enum ImageSignature {
  /// A CD: what was seen, and whether it is also a bootable disk (isohybrid).
  case cd(String, isHybrid: Bool)
  /// Another format that cannot be used; the text completes "this is ...".
  case unsupported(String)
  /// A raw disk followed by a footer of this many bytes that is not part of it.
  case fixedVHD(footer: UInt64)
  /// None of these.
  case none

  /// Looks at the places where formats identify themselves.
  init(file: HostFile) throws(StorageError) {
    let head = try file.bytes(at: 0, count: 512)
    func starts(_ signature: [UInt8], at offset: Int = 0) -> Bool {
      head.count >= offset + signature.count
        && Array(head[offset..<offset + signature.count]) == signature
    }
    let isBootSector = head.count >= 512 && head[510] == 0x55 && head[511] == 0xAA

    let formats: [(signature: [UInt8], offset: Int, name: String)] = [
      (Array("QFI\u{FB}".unicodeScalars.map { UInt8($0.value) }), 0, "a qcow2 image"),
      (Array("KDMV".utf8), 0, "a VMDK image"),
      (Array("# Disk DescriptorFile".utf8), 0, "a VMDK descriptor"),
      ([0x7F, 0x10, 0xDA, 0xBE], 64, "a VDI image"),
      (Array("vhdxfile".utf8), 0, "a VHDX image"),
      (Array("conectix".utf8), 0, "a dynamic VHD image"),
    ]
    for format in formats where starts(format.signature, at: format.offset) {
      self = .unsupported("\(format.name); only raw images are supported")
      return
    }
    let archives: [(signature: [UInt8], name: String)] = [
      ([0x1F, 0x8B, 0x08], "compressed by gzip"),
      ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], "compressed by xz"),
      ([0x42, 0x5A, 0x68], "compressed by bzip2"),
      ([0x28, 0xB5, 0x2F, 0xFD], "compressed by zstd"),
      ([0x50, 0x4B, 0x03, 0x04], "a ZIP archive"),
    ]
    if !isBootSector {
      for archive in archives where starts(archive.signature) {
        self = .unsupported("\(archive.name); unpack it first")
        return
      }
      if starts([0x7F, 0x45, 0x4C, 0x46]) {
        self = .unsupported("an ELF program, not a disk; a kernel is started with --kernel")
        return
      }
    }

    // Raw CD dumps begin each 2352-byte sector with a synchronisation pattern.
    if starts([0x00] + [UInt8](repeating: 0xFF, count: 10) + [0x00]) {
      self = .cd("sectors of 2352 bytes", isHybrid: false)
      return
    }
    let volume = try file.bytes(at: 0x8000, count: 0x1000)
    if volume.count >= 6, Array(volume[1...5]) == Array("CD001".utf8) {
      let second = volume.count >= 0x848 ? Array(volume[0x807..<0x81E]) : []
      let bootable = second == Array("EL TORITO SPECIFICATION".utf8)
      self = .cd(
        bootable ? "ISO 9660 with El Torito boot" : "ISO 9660",
        isHybrid: MasterBootRecord(sector: head) != nil)
      return
    }

    if file.size >= 1024, file.size % 512 == 0 {
      let footer = try file.bytes(at: file.size - 512, count: 512)
      if footer.count == 512, Array(footer[0..<8]) == Array("conectix".utf8) {
        self =
          footer[63] == 2
          ? .fixedVHD(footer: 512)
          : .unsupported("a dynamic VHD image; only raw images are supported")
        return
      }
    }
    self = .none
  }
}
