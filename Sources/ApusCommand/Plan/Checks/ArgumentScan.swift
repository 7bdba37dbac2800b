// A first look at the command line, before it is parsed.
//
// Owns: which words are options, which are their values, in the order they were written; what is said of an option that Apus does not have.
// Must not know: what options mean.
//
// The parser takes `-net x` apart letter by letter and sorts options from images; here words stay as they were typed.

/// The words of a command line, sorted.
struct ArgumentScan {
  enum Word: Equatable {
    /// An option as it was typed (without "=VALUE"), and its value.
    case option(String, value: String?)
    case positional(String)
  }
  private(set) var words: [Word] = []

  /// Options without a value. Every other known option has one.
  static let flags: Set<String> = [
    "--snapshot", "-snapshot", "--headless", "--nographic", "-nographic",
    "--reset-on-triple-fault", "--debug", "-s", "-S", "--screen-text", "--json", "--stats",
    "--with-snapshots", "--no-snapshots", "--no-resume", "--suspend-on-exit",
    "--explain", "--force", "--allow-slow-keys", "--help", "-h", "--version",
  ]
  /// Options with a value.
  static let valued: Set<String> = [
    "--floppy-a", "-fda", "--floppy-b", "-fdb", "--disk", "--hda", "-hda", "--hdb", "-hdb",
    "--hdc", "-hdc", "--hdd", "-hdd", "--cdrom", "-cdrom", "--cdrom-at",
    "--cdrom-next", "--boot", "-boot",
    "--memory", "-m",
    "--cpu", "-cpu", "--processors", "-smp", "--engine", "--translator-disable", "--fpu", "--bios",
    "-bios", "--flash", "--rom",
    "--vga", "-vga", "--vram", "--vga-bios",
    "--fw-cfg", "-fw_cfg",
    "--kernel", "-kernel", "--initrd", "-initrd", "--append", "-append", "--serial", "-serial",
    "--debug-console", "--board", "--acpi", "--device", "--exit-port", "--on-triple-fault",
    "--mouse-speed",
    "--code-page",
    "--speed", "--cpu-speed", "--disk-latency", "--disk-key", "--allow-bases", "--disk-cache",
    "--on-disk-error",
    "--disk-thread", "--rtc", "-rtc",
    "--type", "--type-serial",
    "--change", "--press",
    "--expect",
    "--expect-line", "--expect-regex", "--expect-gone", "--within", "--timeout",
    "--max-instructions", "--command", "--script", "--history", "--gdb", "-gdb", "--screenshot",
    "--dump-block", "--save-state", "--load-state", "--take", "--snapshots-in", "--record",
    "--replay", "--json-file", "--control",
  ]

  /// - Throws: `Failure` that names an option that does not exist, as it was typed.
  init(_ arguments: [String]) throws {
    var index = 0
    while index < arguments.count {
      let word = arguments[index]
      index += 1
      if word == "--" {
        words += arguments[index...].map { .positional($0) }
        return
      }
      guard word.hasPrefix("-"), word != "-" else {
        words.append(.positional(word))
        continue
      }
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts[0])
      if parts.count == 2, ArgumentScan.valued.contains(name) {
        words.append(.option(name, value: String(parts[1])))
      } else if ArgumentScan.valued.contains(word) {
        if index == arguments.count {
          throw Failure.usage("\(word): its value is missing")
        }
        words.append(.option(word, value: arguments[index]))
        index += 1
      } else if ArgumentScan.flags.contains(word) {
        words.append(.option(word, value: nil))
      } else if parts.count == 2, ArgumentScan.flags.contains(name) {
        throw Failure.usage("\(name) takes no value")
      } else if word.hasPrefix("--generate-completion-script") || word.hasPrefix("--help-")
        || word == "--experimental-dump-help" || ArgumentScan.isFlags(word)
      {
        words.append(.option(word, value: nil))
      } else {
        let next =
          parts.count == 2 ? String(parts[1]) : index < arguments.count ? arguments[index] : nil
        throw Failure.usage(ForeignOptions.words(for: name, value: next))
      }
    }
  }

  /// Several letters in one word: `-sS`.
  private static func isFlags(_ word: String) -> Bool {
    !word.hasPrefix("--") && word.dropFirst().allSatisfy { "sSh".contains($0) }
  }

  /// What goes into the drives without a place of its own, in the order it was written: images, and those of --disk.
  var media: [(path: String, isDisk: Bool)] {
    words.compactMap {
      switch $0 {
      case .positional(let path): (path, false)
      case .option("--disk", let path?): (path, true)
      default: nil
      }
    }
  }
}

/// Options of other emulators, and mistyped ones.
enum ForeignOptions {
  /// What to do instead, by the name without dashes.
  static let table: [String: String] = {
    var table: [String: String] = [:]
    func add(_ names: String, _ words: String) {
      for name in names.split(separator: " ") { table[String(name)] = words }
    }
    add(
      "net netdev nic", "there is no network yet; leave it out")
    add(
      "monitor mon qmp qmp-pretty chardev",
      "there is no monitor; the debugger is the console (apus debug, or --debug)")
    add(
      "machine M", "--board isa or --board pc chooses the machine, --cpu its processor")
    add(
      "enable-kvm accel no-hpet nodefaults global no-kvm cpu-pm "
        + "overcommit object msg win2k-hack no-fd-bootchk no-user-config usb realtime",
      "the machine is always the same PC; leave it out")
    add(
      "soundhw audiodev audio",
      "there are no sound cards yet, and the PC speaker is always heard; leave it out")
    add("usbdevice", "mouse and keyboard are always there (PS/2); leave it out")
    add("curses vnc spice", "there is a window (the default), or none (--headless)")
    add("sdl gtk", "a window is the default; leave it out")
    add("full-screen fullscreen", "Alt+Enter is full screen in the window")
    add("debugcon", "--debug-console FILE takes what is written to port E9h (- is standard output)")
    add("loadvm", "--load-state FILE continues a saved state")
    add("savevm", "--save-state FILE saves the state at the end")
    add("incoming", "--load-state FILE continues a saved state")
    add(
      "icount", "every run is exact; --cpu-speed N says how many million instructions make a second"
    )
    add("rr", "--record FILE and --replay FILE")
    add(
      "no-reboot",
      "a triple fault ends a headless run anyway; --on-triple-fault stop ends one in a window, too")
    add("no-shutdown", "the debugger keeps a machine that has ended (--debug)")
    add("pflash", "--bios FILE is the firmware's code, --flash FILE its variables")
    add("L", "--bios FILE is another BIOS; own ROMs go in with --rom FILE@ADDRESS")
    add(
      "option-rom",
      "--rom FILE@ADDRESS, or with another BIOS --fw-cfg name=genroms/NAME,file=FILE")
    add("d D trace dfilter", "the debugger traces (apus debug, then help trace), --stats counts")
    add("parallel", "what is printed goes nowhere yet; leave it out")
    add("k keyboard", "the keyboard is the guest's; leave it out")
    add("name pidfile daemonize runas sandbox uuid", "leave it out")
    add("sd mtdblock", "there is no such drive; --disk FILE is a hard disk")
    add("cd dvd", "--cdrom FILE")
    add("hard-disk harddisk hd", "--disk FILE is a hard disk")
    add("floppy fd", "--floppy-a FILE")
    add("ram mem", "--memory MB")
    add("cpus", "--processors N")
    add("no-acpi", "--acpi off")
    add("initramfs ramdisk", "--initrd FILE")
    add("gdbserver gdbstub", "--gdb tcp:PORT")
    add("input keys sendkeys", "--type TEXT")
    add("wait", "--expect TEXT waits for text; <wait 500> in --type waits for time")
    add(
      "f rc bochsrc conf config",
      "configuration files of other emulators are not read (apus --help tells the options)")
    add("q", "there is no menu to leave out")
    add("no-window nogui noui", "--headless")
    add("dump", "--screenshot FILE, --screen-text, --json")
    return table
  }()

  /// A line for an option that does not exist.
  /// - Parameters:
  ///   - typed: the option as it was typed.
  ///   - value: what follows it.
  static func words(for typed: String, value: String?) -> String {
    let name = String(typed.drop { $0 == "-" })
    if let special = special(name, value) { return "there is no \(typed): \(special)" }
    // A known name with the wrong number of dashes, or in capitals.
    for known in ["--" + name, "-" + name, "--" + name.lowercased()]
    where known != typed
      && (ArgumentScan.flags.contains(known) || ArgumentScan.valued.contains(known))
    {
      return "there is no \(typed), but \(known)"
    }
    if let words = table[name] { return "there is no \(typed): \(words)" }
    if let close = close(to: typed) { return "there is no \(typed); did you mean \(close)?" }
    return "there is no option \(typed) (apus --help lists them)"
  }

  /// Options whose value decides.
  private static func special(_ name: String, _ value: String?) -> String? {
    func field(_ name: String) -> String? {
      value?.split(separator: ",").first { $0.hasPrefix(name + "=") }
        .map { String($0.dropFirst(name.count + 1)) }
    }
    switch name {
    case "drive", "blockdev":
      let file = field("file") ?? field("filename") ?? "FILE"
      if field("media") == "cdrom" { return "write --cdrom \(file)" }
      let isFloppy = field("if") == "floppy"
      let index = Int(field("index") ?? field("unit") ?? "") ?? 0
      let option = isFloppy ? (index == 1 ? "--floppy-b" : "--floppy-a") : "--disk"
      let snapshot = field("snapshot") == "on" ? " --snapshot" : ""
      return "write \(option) \(file)\(snapshot)"
    case "display":
      return value == "none" ? "write --headless" : "a window is the default; leave it out"
    case "device":
      switch value?.split(separator: ",").first {
      case "isa-debug-exit"?:
        var port = field("iobase") ?? "f4"
        if port.hasPrefix("0x") { port.removeFirst(2) }
        return "write --exit-port \(port)"
      case "isa-debugcon"?: return "write --debug-console FILE (- is standard output)"
      case "isa-serial"?: return "write --serial TARGET, once for each port"
      default: return "what --device can add, apus devices lists"
      }
    case "append", "initrd", "kernel": return nil
    default: return nil
    }
  }

  /// A known option that differs by a slip of the fingers.
  static func close(to typed: String) -> String? {
    let name = typed.drop { $0 == "-" }
    // A letter or two leave nothing to compare.
    if name.count < 4 { return nil }
    let known = ArgumentScan.flags.union(ArgumentScan.valued).filter { $0.hasPrefix("--") }.sorted()
    let most = name.count < 6 ? 1 : 2
    var best: (distance: Int, name: String)?
    for candidate in known {
      let distance = distance(Array(name), Array(candidate.dropFirst(2)))
      if distance <= most, distance < best?.distance ?? Int.max { best = (distance, candidate) }
    }
    return best?.name
  }

  /// Letters to be added, dropped, replaced, or exchanged with their neighbour.
  static func distance(_ a: [Character], _ b: [Character]) -> Int {
    var older: [Int] = []
    var row = Array(0...b.count)
    for i in 1..<max(a.count + 1, 1) {
      var next = [i]
      for j in 1..<max(b.count + 1, 1) {
        var best = min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
        if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
          best = min(best, older[j - 2] + 1)
        }
        next.append(best)
      }
      (older, row) = (row, next)
    }
    return row[b.count]
  }

  /// For an image that does not exist: the subcommand that was perhaps meant, or nil.
  static func subcommand(near word: String) -> String? {
    if word.contains("/") || word.contains(".") { return nil }
    if ["run", "start", "boot"].contains(word) { return "apus IMAGE" }
    // Words shorter than three letters are near everything.
    if word.count < 3 { return nil }
    let near = (Apus.subcommands + ["help", "version"]).map {
      (name: $0, distance: distance(Array(word.lowercased()), Array($0)))
    }.filter { $0.distance <= ($0.name.count < 5 ? 1 : 2) }
    return near.min { $0.distance < $1.distance }.map { "apus \($0.name)" }
  }
}
