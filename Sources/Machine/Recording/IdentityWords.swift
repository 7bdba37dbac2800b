// What a state or a recording and this machine do not have in common, in the words of who runs it.
//
// Owns: for each thing that both depend on: how it is chosen, what its absence means. Must not know: what is compared (MachineState.swift,
// RecordingHashes.swift), files.

import Chipset
import State

/// The words for a difference.
struct IdentityWords {
  /// "saved" or "recorded".
  var verb: String

  /// Says what differs.
  /// - Parameters:
  ///   - key: what it is, as identities name it.
  ///   - other: the value in the file; nil: it has none.
  ///   - own: this machine's; nil: it has none.
  func difference(_ key: String, other: String?, own: String?) -> String {
    let (name, option, absent) = IdentityWords.thing(key)
    let theirs = other.map { IdentityWords.value(key, StateError.printable($0)) } ?? absent
    let ours = own.map { IdentityWords.value(key, $0) } ?? absent
    let hint = option.isEmpty ? "" : " (\(option))"
    guard let ours else {
      return "\(verb) with \(name) \(theirs ?? ""), which this machine has not\(hint)"
    }
    guard let theirs else {
      // What separates the name from a value separates nothing here.
      let bare = name.hasSuffix(":") ? String(name.dropLast()) : name
      return "\(verb) without \(bare), but this machine has \(ours)\(hint)"
    }
    return "\(verb) with \(name) \(theirs), but this machine has \(ours)\(hint)"
  }

  /// The keys of both, those first that decide about others: who has another processor has another board by itself, and with that another
  /// display adapter.
  static func keys(_ own: [String], _ other: [String]) -> [String] {
    var seen = Set<String>()
    return (["apus", "memory", "cpu", "board"] + own + other).filter { seen.insert($0).inserted }
  }

  /// What a key is about: its name, the option that chooses it, and what it is where nothing is said of it (nil: it is not there).
  private static func thing(_ key: String) -> (name: String, option: String, absent: String?) {
    let shown = StateError.printable(key)
    switch key {
    case "apus": return ("Apus", "", nil)
    case "memory": return ("memory", "--memory", nil)
    case "cpu": return ("cpu", "--cpu", nil)
    case "serial ports":
      return ("serial ports", "each --serial behind the second and --device uart adds one", nil)
    case "bios": return ("the BIOS", "--bios", "its own")
    case "vga bios": return ("the VGA BIOS", "--vga, --vga-bios", nil)
    case "video BIOS": return ("the video BIOS", "--vga-bios", "its own")
    case "display": return ("display adapter", "--vga, --vram", nil)
    case "acpi": return ("ACPI", "--acpi", "off")
    case "board": return ("board", "--board", "isa")
    case "disk latency":
      return ("disk latency", "--disk-latency", value(key, "\(IDEDrive.defaultLatency) ns"))
    case "processors": return ("processors", "--processors", "1")
    case "boot order": return ("boot order", "--boot", nil)
    case "boot menu": return ("boot menu", "--boot menu", "no")
    case "reset on triple fault": return ("reset on triple faults:", "--on-triple-fault", "no")
    case "exit port": return ("exit port", "--exit-port", nil)
    case "cd drives": return ("CD drives:", "--cdrom, --cdrom-at", nil)
    case "kernel": return ("the kernel", "--kernel", nil)
    case "kernel command line": return ("the kernel's command line", "--append", nil)
    case "initrd": return ("the initrd", "--initrd", nil)
    case "drive A without a disk": return ("an empty drive A:", "--floppy-a empty", nil)
    case "drive B without a disk": return ("an empty drive B:", "--floppy-b empty", nil)
    default: break
    }
    if key.hasPrefix("rom ") { return (shown, "--rom", nil) }
    if key.hasPrefix("module ") { return (shown, "--initrd", nil) }
    if key.hasPrefix("device ") { return (shown, "--device", nil) }
    if key.hasPrefix(firmwareFile) {
      return (
        "the file '\(shown.dropFirst(firmwareFile.count))' for firmware", "--fw-cfg", nil
      )
    }
    return (shown, "", nil)
  }

  /// How the key of a file for firmware begins.
  static let firmwareFile = "firmware's file "

  /// A value as its option takes it.
  private static func value(_ key: String, _ text: String) -> String {
    if key == "processors" {
      // Models, each for itself; boards may mix them.
      let models = text.split(separator: ",").map { $0.drop { $0 == " " } }
      return "\(models.count)" + (Set(models).count > 1 ? " (\(text))" : "")
    }
    guard key == "disk latency", text.hasSuffix(" ns"), let time = UInt64(text.dropLast(3)) else {
      return text
    }
    for (unit, factor) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)]
    where time > 0 && time % UInt64(factor) == 0 {
      return "\(time / UInt64(factor))\(unit)"
    }
    return time == 0 ? "0" : "\(time)ns"
  }
}
