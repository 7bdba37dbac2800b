// From sources to disk images and Linux programs, with the clang and lld that come with Swift.
//
// Owns: finding the tools, their options, the size of an image. Must not know: who runs what it makes.

import Host

/// Why there is no result.
public struct BenchmarkError: Error, CustomStringConvertible {
  public var description: String
  public init(_ description: String) { self.description = description }
}

/// The tools and the folder they work in.
public struct Toolchain {
  /// Paths of the compiler and the linker.
  public let clang: String
  public let lld: String
  /// Where sources, objects and results are.
  public let folder: String

  static let sectorsPerCylinder = 16 * 63

  /// Finds the tools and writes the sources into a folder.
  /// - Throws: `BenchmarkError` in words for people.
  public init(folder: String) throws {
    var beside: [String] = []
    // Swift's own first on the way: its folder holds both.
    if let swift = HostProcess.find("swift"), let real = HostProcess.resolved(swift) {
      for path in [real, swift] {
        beside.append(path.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" })
      }
    }
    let more = [
      "/opt/homebrew/opt/llvm/bin", "/opt/homebrew/opt/lld/bin", "/usr/local/opt/llvm/bin",
      "/usr/lib/llvm/bin",
    ]
    func tool(_ names: [String]) -> String? {
      for name in names {
        for place in beside {
          if let path = HostProcess.find("\(place)/\(name)") { return path }
        }
        if let path = HostProcess.find(name, folders: more) { return path }
      }
      return nil
    }
    guard let clang = tool(["clang"]) else {
      throw BenchmarkError(
        "clang is needed to build the kernels: it comes with Swift, beside swift; or apt-get install clang"
      )
    }
    guard let lld = tool(["ld.lld"]) else {
      throw BenchmarkError(
        "ld.lld is needed to link the kernels: it comes with Swift on Linux; or apt-get install lld, brew install lld"
      )
    }
    (self.clang, self.lld, self.folder) = (clang, lld, folder)
    for (name, bytes) in BenchmarkSources.files {
      do { try HostFiles.writeAtomically("\(folder)/\(name)", bytes()) } catch {
        throw BenchmarkError("\(folder)/\(name): \(error)")
      }
    }
  }

  private func run(_ arguments: [String], making what: String) throws {
    let result: HostProcess.Result
    do { result = try HostProcess.run(arguments, folder: folder) } catch {
      throw BenchmarkError("\(what): \(error)")
    }
    if result.code != 0 {
      let text = String(decoding: result.error, as: UTF8.self)
      throw BenchmarkError("\(what) cannot be built:\n\(text)")
    }
  }

  private static let compilerOptions = [
    "--target=i386-unknown-none-elf", "-march=i686", "-O2", "-ffreestanding", "-fno-pic",
    "-fno-stack-protector", "-fomit-frame-pointer", "-fno-asynchronous-unwind-tables", "-mno-sse",
    "-mno-mmx", "-nostdlibinc", "-c",
  ]

  func compile(_ source: String, to object: String, defines: [String] = []) throws {
    try run(
      [clang] + Toolchain.compilerOptions + defines.map { "-D\($0)" }
        + [source, "-o", object], making: source)
  }

  func link(_ objects: [String], script: String?, to output: String, flat: Bool) throws {
    var arguments = [lld, "-m", "elf_i386", "-o", output]
    if let script { arguments += ["-T", script] }
    if flat { arguments += ["--oformat", "binary"] }
    try run(arguments + objects, making: output)
  }

  /// Builds a bootable hard disk image of a kernel.
  /// - Parameters:
  ///   - rounds: the amount of work.
  ///   - paging: whether kernels without page tables of their own run under paging, too.
  /// - Returns: the image's path.
  public func image(_ kernel: Kernel, rounds: UInt32, paging: Bool = false) throws -> String {
    let stem = "\(kernel.name)-\(rounds)\(paging ? "-paging" : "")"
    var defines = ["GUEST", "ROUNDS=\(rounds)", "FLAGS=\(paging ? 1 : 0)"]
    var sources = ["boot.S", "start.S", "guest.c", "\(kernel.name).c"]
    switch kernel.name {
    case "vga13": defines.append("VIDEO_MODE=0x13")
    case "vgaplane": defines.append("VIDEO_MODE=0x12")
    case "real16":
      defines.append("REAL_MODE")
      sources.append("real16.S")
    default: break
    }
    var objects: [String] = []
    for source in sources {
      let object = "\(stem)-\(source).o"
      try compile(source, to: object, defines: defines)
      objects.append(object)
    }
    try link(objects, script: "guest.ld", to: "\(stem).img", flat: true)
    let path = "\(folder)/\(stem).img"
    try pad(path, cylinders: 2)
    return path
  }

  /// Builds a kernel as a Linux program that takes the rounds as its argument.
  /// - Returns: the program's path.
  public func program(_ kernel: Kernel) throws -> String {
    try compile("native.c", to: "native.o")
    try compile("\(kernel.name).c", to: "\(kernel.name)-native.o")
    try link(
      ["native.o", "\(kernel.name)-native.o"], script: nil, to: "\(kernel.name).elf", flat: false)
    HostProcess.allowExecution("\(folder)/\(kernel.name).elf")
    return "\(folder)/\(kernel.name).elf"
  }

  private func pad(_ path: String, cylinders: Int) throws {
    let size = cylinders * Toolchain.sectorsPerCylinder * 512
    do {
      var bytes = try HostFiles.read(path, limit: size)
      bytes += [UInt8](repeating: 0, count: size - bytes.count)
      try HostFiles.writeAtomically(path, bytes)
    } catch { throw BenchmarkError("\(path): \(error)") }
  }
}
