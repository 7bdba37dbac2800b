// Linux kernels (zImage and bzImage) by their real-mode entry.
//
// Owns: reading and filling in the setup header, placing setup code, kernel, command line and initrd.
// Must not know: how the pieces get into memory or how the processor gets there.
// Follows: Documentation/arch/x86/boot.rst of Linux, protocol 2.00 and later.

import Host

enum LinuxKernel {
  /// Whether the file has a setup header.
  static func isKernel(_ file: LoadFile) -> Bool {
    guard file.bytes.count >= 0x230 else { return false }
    return Array(file.bytes[0x202..<0x206]) == Array("HdrS".utf8)
      && file.bytes[0x1FE] == 0x55 && file.bytes[0x1FF] == 0xAA
  }

  /// Lays out a kernel with its initrd.
  static func plan(
    _ file: LoadFile, commandLine: String, initrd: LoadFile?, memory: LoadMemory
  ) throws(LoadError) -> LoadPlan {
    let version = try file.read(UInt16.self, at: 0x206, "the protocol version")
    if version < 0x200 {
      throw file.error("boot protocol \(hexText(UInt64(version))) is older than 2.00", at: 0x206)
    }
    let loadHigh = try file.read(UInt8.self, at: 0x211, "loadflags") & 1 != 0
    let sectors = try file.read(UInt8.self, at: 0x1F1, "setup_sects")
    let setupSize = (Int(sectors == 0 ? 4 : sectors) + 1) * 512
    var setup = try file.slice(0, UInt64(setupSize), "the setup code")
    let kernelSize = file.bytes.count - setupSize
    if kernelSize == 0 { throw file.error("no kernel follows the setup code", at: setupSize) }
    let kernel = Array(file.bytes[setupSize...])
    if version >= 0x204 {
      // In units of 16 bytes; before 2.04 the field had 16 bits and was not to be relied on.
      let told = UInt64(try file.read(UInt32.self, at: 0x1F4, "syssize")) << 4
      if UInt64(kernel.count + 15) < told {
        throw file.error(
          "the file is cut short: the kernel in it has \(kernel.count) bytes, but its header says \(told)",
          at: 0x1F4)
      }
    }

    // The protocol lets newer kernels be anywhere below 640 KiB; older ones are at 90000h.
    let isModern = version >= 0x202 && loadHigh
    let realAddress: UInt32 = isModern ? 0x10000 : 0x90000
    let protectedAddress: UInt32 = loadHigh ? 0x100000 : 0x10000
    let commandBytes = HostPath.bytes(commandLine) + [0]
    let commandAddress: UInt32
    if isModern {
      commandAddress = 0x20000
    } else {
      let top = min(memory.lowEnd, 0x9A000) & ~0xF
      let room = UInt32((commandBytes.count + 15) & ~15)
      if top < room || top - room < 0x90000 + UInt32(setupSize) + 0x1000 {
        throw file.error("no room for the setup code and a command line below 640 KB")
      }
      commandAddress = top - room
    }
    let limit =
      version >= 0x206
      ? UInt64(try file.read(UInt32.self, at: 0x238, "cmdline_size")) : 255
    if UInt64(commandBytes.count - 1) > limit || commandBytes.count > 0x10000 {
      throw file.error(
        "the command line has \(commandBytes.count - 1) bytes, but this kernel takes \(limit)")
    }

    func put<T: FixedWidthInteger>(_ offset: Int, _ value: T) {
      withUnsafeBytes(of: value.littleEndian) {
        for i in 0..<$0.count where offset + i < setup.count { setup[offset + i] = $0[i] }
      }
    }
    let heapEnd = UInt16(truncatingIfNeeded: min(commandAddress - realAddress, 0x10000) - 0x200)
    put(0x210, UInt8(0xFF))
    if version >= 0x201 {
      put(0x211, setup[0x211] | 0x80)
      put(0x224, heapEnd)
    }
    if version >= 0x202 {
      put(0x228, commandAddress)
    } else {
      put(0x20, UInt16(0xA33F))
      put(0x22, UInt16(truncatingIfNeeded: commandAddress - realAddress))
    }
    if let mode = videoMode(commandLine) { put(0x1FA, mode) }

    var pieces = [
      LoadPiece(address: protectedAddress, bytes: kernel),
      LoadPiece(address: commandAddress, bytes: commandBytes),
    ]
    if !loadHigh && kernel.count > 0x80000 {
      throw file.error("a kernel of \(kernel.count) bytes does not fit below 640 KB")
    }
    try memory.check(pieces[0], "the kernel", file)
    if let initrd {
      let piece = try place(initrd, file, version, kernelEnd: pieces[0].end, memory: memory)
      pieces.append(piece)
      put(0x218, piece.address)
      put(0x21C, UInt32(piece.bytes.count))
    }
    let real = LoadPiece(address: realAddress, bytes: setup)
    if real.end > UInt64(commandAddress) || real.end > UInt64(memory.lowEnd) {
      throw file.error("the setup code of \(setupSize) bytes does not fit", at: 0x1F1)
    }
    pieces.append(real)
    return LoadPlan(
      pieces: pieces, start: .linux(segment: UInt16(realAddress >> 4), stack: heapEnd &+ 0x1F0))
  }

  /// As high as kernel and memory allow; the top megabyte may hold tables of the BIOS.
  private static func place(
    _ initrd: LoadFile, _ kernel: LoadFile, _ version: UInt16, kernelEnd: UInt64,
    memory: LoadMemory
  ) throws(LoadError) -> LoadPiece {
    if initrd.bytes.isEmpty { throw initrd.error("the file is empty") }
    let highest =
      version >= 0x203
      ? UInt64(try kernel.read(UInt32.self, at: 0x22C, "initrd_addr_max")) : 0x37FF_FFFF
    let top = min(highest + 1, UInt64(memory.ramSize) - 0x100000)
    var lowest = max(kernelEnd, 0x100000)
    if version >= 0x20A, kernel.bytes.count >= 0x264 {
      // The kernel unpacks itself there before it looks at the initrd.
      let preferred = try kernel.read(UInt64.self, at: 0x258, "pref_address")
      let needed = try kernel.read(UInt32.self, at: 0x260, "init_size")
      if preferred <= UInt64(UInt32.max) { lowest = max(lowest, preferred + UInt64(needed)) }
    }
    let count = UInt64(initrd.bytes.count)
    guard count <= top, (top - count) & ~0xFFF >= lowest else {
      throw initrd.error(
        "the initrd's \(count) bytes do not fit into the guest's \(memory.ramSize >> 20) MB of memory "
          + "beside the kernel")
    }
    return LoadPiece(address: UInt32((top - count) & ~0xFFF), bytes: initrd.bytes)
  }

  /// `vga=` of the command line, which is the boot loader's to obey.
  private static func videoMode(_ commandLine: String) -> UInt16? {
    for word in commandLine.split(separator: " ") where word.hasPrefix("vga=") {
      let value = word.dropFirst(4)
      switch value {
      case "normal": return 0xFFFF
      case "ext": return 0xFFFE
      case "ask": return 0xFFFD
      default:
        return value.hasPrefix("0x") ? UInt16(value.dropFirst(2), radix: 16) : UInt16(value)
      }
    }
    return nil
  }
}
