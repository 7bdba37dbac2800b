// Direct loading: the port behind the option ROM of Firmware/KernelBoot.
//
// Owns: the choice of format, and putting the pieces into memory when the ROM asks for it (after POST, so that the kernel finds a
// machine as a boot loader would leave it). Must not know: anything of the processor's state; the ROM sets that.
//
//   B00h  write: load; read (dwords): what to start, see kernelboot.asm

import Bus
import CPU
import State

/// A kernel given on the command line.
public struct KernelConfiguration: Sendable {
  public var kernel: LoadFile
  /// The command line without the kernel's name.
  public var commandLine: String
  /// A Linux initrd, or nil.
  public var initrd: LoadFile?
  /// The modules of a multiboot kernel.
  public var modules: [KernelModule]

  public init(
    kernel: LoadFile, commandLine: String = "", initrd: LoadFile? = nil,
    modules: [KernelModule] = []
  ) {
    self.kernel = kernel
    self.commandLine = commandLine
    self.initrd = initrd
    self.modules = modules
  }

  /// Whether the kernel is a multiboot kernel (else Linux); nil when it is neither.
  public static func isMultiboot(_ kernel: LoadFile) -> Bool? {
    if LinuxKernel.isKernel(kernel) { return false }
    return Multiboot.header(of: kernel) != nil ? true : nil
  }

  func plan(memory: LoadMemory) throws(LoadError) -> LoadPlan {
    if LinuxKernel.isKernel(kernel) {
      if let module = modules.first {
        throw module.file.error("a Linux kernel takes one initrd and no modules")
      }
      return try LinuxKernel.plan(
        kernel, commandLine: commandLine, initrd: initrd, memory: memory)
    }
    if let header = Multiboot.header(of: kernel) {
      let name = kernel.path.split(separator: "/").last.map(String.init) ?? kernel.path
      return try Multiboot.plan(
        kernel, header: header,
        commandLine: commandLine.isEmpty ? name : name + " " + commandLine, modules: modules,
        memory: memory)
    }
    throw kernel.error(
      kernel.bytes.isEmpty
        ? "the file is empty"
        : "is neither a Linux kernel (no setup header) nor a multiboot 1 kernel "
          + "(no header in the first 8192 bytes)")
  }
}

/// Puts the kernel into memory when the boot ROM asks.
final class KernelLoader: Device, Registers {
  let stateName = "kernel-loader"
  private let configuration: KernelConfiguration
  private let memory: PhysicalMemory
  private let tables: UInt32
  private var words: [UInt32] = []
  /// Whether the boot ROM has asked for the kernel; a state does not say, and is taken to come from later.
  private(set) var wasAsked = false

  /// Checks the files against the memory there will be.
  /// - Parameter tables: bytes at the end of RAM below 4 GiB that are firmware's.
  init(_ configuration: KernelConfiguration, memory: PhysicalMemory, tables: UInt32)
    throws(LoadError)
  {
    self.configuration = configuration
    self.memory = memory
    self.tables = tables
    _ = try configuration.plan(
      memory: LoadMemory(memory.layout, lowEnd: 0x9F000, tables: tables))
  }

  func read(at offset: UInt32, width: Int) -> UInt32 { words.isEmpty ? 0 : words.removeFirst() }

  func write(at offset: UInt32, _ value: UInt32, width: Int) {
    wasAsked = true
    // The BIOS data area says what the BIOS left of the first 640 KiB.
    let kilobytes = memory.peek(0x413, count: 2)
    let lowEnd = (UInt32(kilobytes[0]) | UInt32(kilobytes[1]) << 8) << 10
    let known = lowEnd >= 0x80000 && lowEnd <= 0xA0000 ? lowEnd : 0x9F000
    guard
      let plan = try? configuration.plan(
        memory: LoadMemory(memory.layout, lowEnd: known, tables: tables))
    else {
      words = [0]
      return
    }
    for piece in plan.pieces {
      piece.bytes.withUnsafeBytes { memory.copyIn(piece.address, from: $0) }
      let zeros = [UInt8](repeating: 0, count: Int(min(piece.zeros, 1 << 16)))
      var done: UInt32 = 0
      while done < piece.zeros {
        let count = min(piece.zeros - done, UInt32(zeros.count))
        zeros.withUnsafeBytes {
          memory.copyIn(
            piece.address &+ UInt32(piece.bytes.count) &+ done,
            from: UnsafeRawBufferPointer(rebasing: $0[..<Int(count)]))
        }
        done += count
      }
    }
    switch plan.start {
    case .multiboot(let entry, let information): words = [1, entry, information]
    case .linux(let segment, let stack): words = [2, UInt32(segment), UInt32(stack)]
    }
  }

  func reset(_ kind: ResetKind) { words = [] }
  func save(to writer: inout StateWriter) { writer.write(array: words) }
  func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    wasAsked = true
    words = try reader.readArray()
    if words.count > 3 { throw reader.error("too many words for the boot ROM") }
  }
}

extension KernelLoader {
  static let part = PartType("kernel-loader", "port B00h, by which the boot ROM gets the kernel") {
    board, _ in
    let loader = try board.need(offer: KernelLoader.self, for: "kernel-loader")
    try board.claim(
      loader, at: 0xB00...0xB00, PortTraits(maxWidth: 4, isSlow: false), owner: loader.stateName)
    try board.add(loader)
  }

  func inspect() -> [Field] { words.enumerated().map { .register("word \($0)", $1) } }
}
