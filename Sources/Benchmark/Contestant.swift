// Who takes part: Apus, QEMU, Bochs, the host's own processor, and how each is started.
//
// Owns: command lines and configuration files of the emulators. Must not know: what is measured and reported.
// All get the same disk image, 128 MB, no window, no network; the guest prints on port E9h or COM1 and ends by a port.

import Host

/// A way to run a workload.
public struct Contestant: Sendable {
  enum Kind: Sendable {
    case apus(String, options: [String])
    case qemu(String)
    case bochs(String, BochsSetup)
    case native
  }

  /// What reports call it.
  public var name: String
  /// What it says about itself.
  public var version: String
  var kind: Kind

  /// Whether it is Apus, whose ratio to the others is of interest.
  public var isApus: Bool { if case .apus = kind { true } else { false } }
  var isNative: Bool { if case .native = kind { true } else { false } }

  /// Apus with an engine, or its default one, and further options of the command line.
  public static func apus(_ path: String, engine: String?, options: [String] = []) -> Contestant {
    Contestant(
      name: engine.map { "apus \($0)" } ?? "apus", version: options.joined(separator: " "),
      kind: .apus(path, options: (engine.map { ["--engine", $0] } ?? []) + options))
  }

  /// The host's processor; nil where 32-bit Linux programs do not run.
  public static func native(with tools: Toolchain) -> Contestant? {
    #if os(Linux) && arch(x86_64)
      guard let kernel = Kernel.named("smc"), let path = try? tools.program(kernel),
        let result = try? HostProcess.run([path, "1"], timeout: 20), result.code == 0
      else { return nil }
      return Contestant(name: "native", version: "", kind: .native)
    #else
      return nil
    #endif
  }

  /// QEMU with its translator (TCG), when it is installed.
  public static func qemu() -> Contestant? {
    guard
      let path = HostProcess.find("qemu-system-i386") ?? HostProcess.find("qemu-system-x86_64"),
      let result = try? HostProcess.run([path, "--version"], timeout: 20)
    else { return nil }
    return Contestant(name: "qemu", version: firstLine(result.output), kind: .qemu(path))
  }

  /// What someone who was asked for and does not run lacks, in words.
  public static func missing(_ name: String) -> String {
    switch name {
    case "qemu": return "qemu-system-i386 is not installed"
    case "bochs":
      guard let path = HostProcess.find("bochs") else { return "bochs is not installed" }
      if BochsSetup.candidates(path).isEmpty {
        return
          "bochs's BIOS images are not installed (BIOS-bochs-latest and VGABIOS-lgpl-latest in "
          + "/usr/share/bochs, or where BXSHARE says: packages bochsbios and vgabios)"
      }
      return "bochs does not run without a display (its display library nogui or rfb is wanted)"
    default:
      #if os(Linux) && arch(x86_64)
        return "this host does not run 32-bit programs"
      #else
        return "only x86-64 Linux runs the kernels natively"
      #endif
    }
  }

  /// Bochs, when it is installed and runs `image` without a display.
  public static func bochs(trying image: String, folder: String) -> Contestant? {
    guard let path = HostProcess.find("bochs") else { return nil }
    for setup in BochsSetup.candidates(path) {
      var contestant = Contestant(name: "bochs", version: "", kind: .bochs(path, setup))
      guard
        let arguments = try? contestant.arguments(
          image: image, cylinders: 2, folder: folder, serial: false),
        let result = try? HostProcess.run(arguments, folder: folder, timeout: 30)
      else { continue }
      if Contestant.checksum(in: result.output) == nil { continue }
      let text = String(decoding: result.output + result.error, as: UTF8.self)
      for line in text.split(separator: "\n") where line.contains("Bochs x86 Emulator") {
        contestant.version = line.split(separator: " ").joined(separator: " ")
        break
      }
      if setup.hasDebugger { contestant.version += " (with debugger: slower)" }
      return contestant
    }
    return nil
  }

  static func firstLine(_ bytes: [UInt8]) -> String {
    String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self)
  }

  /// The checksum that a kernel printed.
  static func checksum(in output: [UInt8]) -> UInt32? {
    for line in String(decoding: output, as: UTF8.self).split(whereSeparator: \.isNewline)
    where line.hasPrefix("bench: ") && line.utf8.count == 15 {
      if let value = UInt32(line.dropFirst(7), radix: 16) { return value }
    }
    return nil
  }

  /// The words that start the emulator with a disk. A configuration file is written where one is needed.
  /// - Parameter serial: whether COM1 leads to standard output; else port E9h does.
  func arguments(
    image: String, cylinders: Int, folder: String, serial: Bool
  ) throws -> [String] {
    switch kind {
    case .apus(let path, let options):
      let words =
        [
          path, "--headless", "--disk", image, "--snapshot", "--memory", "128", "--exit-port", "f4",
        ] + options
      return words + (serial ? ["--serial", "stdio"] : ["--debug-console", "-"])
    case .qemu(let path):
      return [
        path, "-nodefaults", "-accel", "tcg", "-m", "128", "-display", "none", "-vga", "std",
        "-drive", "file=\(image),format=raw,if=ide,snapshot=on", "-device",
        "isa-debug-exit,iobase=0xf4,iosize=4", "-no-reboot",
      ] + (serial ? ["-serial", "stdio"] : ["-debugcon", "stdio"])
    case .bochs(let path, let setup):
      let text = setup.text(image: image, cylinders: cylinders, folder: folder, serial: serial)
      let file = "\(folder)/bochsrc"
      do {
        try HostFiles.writeAtomically(file, Array(text.utf8))
        try HostFiles.writeAtomically("\(folder)/bochs-commands", Array("continue\n".utf8))
      } catch { throw BenchmarkError("\(file): \(error)") }
      return [path, "-q", "-f", file] + (setup.hasDebugger ? ["-rc", "bochs-commands"] : [])
    case .native: return []
    }
  }

  /// Whether an exit code is that of a good end.
  func isGood(_ code: Int32) -> Bool {
    switch kind {
    case .apus, .qemu: code == 1
    // It ends through a "panic" that was asked for.
    case .bochs: code == 0 || code == 1
    case .native: code == 0
    }
  }
}

/// A configuration of Bochs.
struct BochsSetup: Sendable {
  var display: String
  var bios: String
  var videoBIOS: String
  /// Whether it waits for a command at the start.
  var hasDebugger: Bool

  /// Configurations that may work with the installed program, best first.
  static func candidates(_ path: String) -> [BochsSetup] {
    var folders: [String] = []
    if let folder = HostProcess.environment("BXSHARE") { folders.append(folder) }
    let parts = path.split(separator: "/").dropLast(2)
    folders.append(parts.reduce("") { "\($0)/\($1)" } + "/share/bochs")
    folders += ["/usr/share/bochs", "/usr/local/share/bochs"]
    func file(_ names: [String]) -> String? {
      for folder in folders {
        for name in names where HostFiles.exists("\(folder)/\(name)") { return "\(folder)/\(name)" }
      }
      return nil
    }
    guard let bios = file(["BIOS-bochs-latest", "BIOS-bochs-legacy"]),
      let video = file([
        "VGABIOS-lgpl-latest", "VGABIOS-lgpl-latest.bin", "VGABIOS-elpin-2.40",
      ])
    else { return [] }
    let help = try? HostProcess.run([path, "--help"], timeout: 20)
    let text = String(decoding: (help?.output ?? []) + (help?.error ?? []), as: UTF8.self)
    let hasDebugger = text.contains("-rc ")
    return ["nogui", "rfb, options=\"timeout=0\""].map {
      BochsSetup(display: $0, bios: bios, videoBIOS: video, hasDebugger: hasDebugger)
    }
  }

  func text(image: String, cylinders: Int, folder: String, serial: Bool) -> String {
    """
    megs: 128
    romimage: file=\(bios)
    vgaromimage: file=\(videoBIOS)
    ata0-master: type=disk, path=\(image), mode=volatile, cylinders=\(cylinders), heads=16, spt=63
    boot: disk
    display_library: \(display)
    log: \(folder)/bochs.log
    port_e9_hack: enabled=\(serial ? 0 : 1)
    clock: sync=none
    cpu: ips=100000000, reset_on_triple_fault=0
    panic: action=fatal
    \(serial ? "com1: enabled=1, mode=file, dev=/dev/stdout" : "")

    """
  }
}
