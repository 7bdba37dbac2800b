// A disk that boots Linux through the BIOS into the workloads: the same bytes for every emulator.
//
// Owns: the cpio archive, the kernel's setup header, the layout of the disk. Must not know: who boots it.
// Follows: the kernel's Documentation/arch/x86/boot.rst and driver-api/early-userspace/buffer-format.rst.

import Host

/// A cpio archive in the "newc" format, as the kernel unpacks it.
struct CPIOArchive {
  private(set) var bytes: [UInt8] = []
  private var count: UInt32 = 0

  /// Adds an entry.
  /// - Parameter mode: type and permissions as in `st_mode`.
  mutating func add(
    _ name: String, mode: UInt32, _ data: [UInt8] = [], device: (UInt32, UInt32) = (0, 0)
  ) {
    count += 1
    let fields: [UInt32] = [
      count, mode, 0, 0, 1, 0, UInt32(data.count), 0, 0, device.0, device.1,
      UInt32(name.utf8.count + 1), 0,
    ]
    bytes += Array("070701".utf8)
    for field in fields {
      let digits = String(field, radix: 16, uppercase: true)
      bytes += Array((String(repeating: "0", count: 8 - digits.count) + digits).utf8)
    }
    bytes += Array(name.utf8) + [0]
    pad()
    bytes += data
    pad()
  }

  /// The end of the archive.
  mutating func close() { add("TRAILER!!!", mode: 0) }

  private mutating func pad() {
    bytes += [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
  }
}

/// The kernel, the programs and what they are to do.
public struct LinuxWorkload {
  /// A bzImage.
  public var kernel: [UInt8]
  /// An archive with `/bin/busybox`, or none.
  public var initrd: [UInt8]?
  /// A static 32-bit busybox; used where there is no archive, and natively.
  public var busybox: [UInt8]?

  /// The pieces of work after the boot, in order.
  public static let pieces = ["gzip", "shell", "fork", "pipe"]

  static let initrdAddress = 80 << 20

  /// - Throws: `BenchmarkError` when the kernel is none, or there is no busybox.
  public init(kernel: [UInt8], initrd: [UInt8]?, busybox: [UInt8]?) throws {
    guard kernel.count > 0x400, Array(kernel[0x202..<0x206]) == Array("HdrS".utf8) else {
      throw BenchmarkError("the Linux kernel is no bzImage")
    }
    if let busybox, !LinuxWorkload.isStatic386(busybox) {
      throw BenchmarkError("busybox must be a static 32-bit x86 program")
    }
    if initrd == nil && busybox == nil {
      throw BenchmarkError(
        "the Linux workloads need busybox: --initrd with an archive that holds /bin/busybox, or --busybox with a static 32-bit one "
          + "(apt-get download busybox-static:i386)")
    }
    (self.kernel, self.initrd, self.busybox) = (kernel, initrd, busybox)
    if (initrd?.count ?? 0) + (busybox?.count ?? 0) > 32 << 20 {
      throw BenchmarkError("the initial RAM disk is larger than 32 MB")
    }
  }

  /// Whether it is an ELF program for the 80386 that needs no interpreter.
  static func isStatic386(_ file: [UInt8]) -> Bool {
    func word(_ at: Int, _ count: Int) -> Int {
      guard at >= 0, at + count <= file.count else { return -1 }
      return (0..<count).reduce(0) { $0 | Int(file[at + $1]) << (8 * $1) }
    }
    guard file.count > 52, Array(file[0..<5]) == [0x7F, 0x45, 0x4C, 0x46, 1], word(18, 2) == 3
    else { return false }
    let (table, size, count) = (word(28, 4), word(42, 2), word(44, 2))
    guard size >= 32 else { return false }
    // PT_INTERP
    return !(0..<count).contains { word(table + $0 * size, 4) == 3 }
  }

  /// What the kernel unpacks: the given archive, then ours.
  func archive() -> [UInt8] {
    var own = CPIOArchive()
    for folder in ["bin", "dev", "proc", "tmp"] { own.add(folder, mode: 0o040755) }
    own.add("dev/console", mode: 0o020600, device: (5, 1))
    if initrd == nil, let busybox { own.add("bin/busybox", mode: 0o100755, busybox) }
    for (name, file) in [("workload.sh", "workload.sh"), ("bench-init", "init.sh")] {
      own.add(name, mode: 0o100755, BenchmarkSources.files[file]?() ?? [])
    }
    own.close()
    var bytes = initrd ?? []
    bytes += [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512)
    return bytes + own.bytes
  }

  /// Builds the disk.
  /// - Returns: the image's path and its cylinders of 16 heads and 63 sectors.
  func disk(with tools: Toolchain) throws -> (path: String, cylinders: Int) {
    let setupSectors = Int(kernel[0x1F1] == 0 ? 4 : kernel[0x1F1]) + 1
    guard setupSectors * 512 <= 0xC000, kernel.count > setupSectors * 512 else {
      throw BenchmarkError("the Linux kernel's setup code is too large")
    }
    let ramDisk = archive()
    var setup = Array(kernel[..<(setupSectors * 512)])
    setup += [UInt8](repeating: 0, count: 0xE000 - setup.count)
    func set(_ at: Int, _ value: Int, _ count: Int) {
      for n in 0..<count { setup[at + n] = UInt8(truncatingIfNeeded: value >> (8 * n)) }
    }
    set(0x210, 0xFF, 1)
    setup[0x211] |= 0x80
    set(0x218, LinuxWorkload.initrdAddress, 4)
    set(0x21C, ramDisk.count, 4)
    set(0x224, 0xDE00, 2)
    set(0x228, 0x9E000, 4)
    setup += Array("console=ttyS0 quiet rdinit=/bench-init".utf8) + [0]
    let parts = [setup, Array(kernel[(setupSectors * 512)...]), ramDisk].map {
      $0 + [UInt8](repeating: 0, count: (512 - $0.count % 512) % 512)
    }
    try tools.compile(
      "linux.S", to: "linux.o",
      defines: [
        "SETUP_SECTORS=\(parts[0].count / 512)", "KERNEL_SECTORS=\(parts[1].count / 512)",
        "INITRD_SECTORS=\(parts[2].count / 512)",
        "INITRD_ADDRESS=\(LinuxWorkload.initrdAddress)",
      ])
    try tools.link(["linux.o"], script: "flat.ld", to: "linux.bin", flat: true)
    let path = "\(tools.folder)/linux.img"
    do {
      var image = try HostFiles.read("\(tools.folder)/linux.bin", limit: 512)
      for part in parts { image += part }
      let cylinder = Toolchain.sectorsPerCylinder * 512
      image += [UInt8](repeating: 0, count: (cylinder - image.count % cylinder) % cylinder)
      try HostFiles.writeAtomically(path, image)
      return (path, image.count / cylinder)
    } catch { throw BenchmarkError("\(path): \(error)") }
  }
}
