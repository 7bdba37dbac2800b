// The command line.
//
// Owns: the options, their help, which contradict each other. Must not know: what carries them out.
// QEMU's short forms are names of the same options.

import ArgumentParser
import Bus
import Chipset
import Host
import Machine
import SDLFrontend
import Session
import Translator

/// Text with its place among all texts of the command line, and the option it came with.
struct OrderedText {
  let text: String
  let order: Int

  private nonisolated(unsafe) static var count = 0

  /// - Parameter text: no name; that is put in by `init(name:)`.
  init(_ text: String) { self.init(name: HostPath.text(text)) }

  init(name: String) {
    // Options are parsed in the order they were written, on one thread.
    OrderedText.count += 1
    text = name
    order = OrderedText.count
  }
}

struct ApusOptions: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apus",
    abstract: "A PC that boots legacy operating systems, in a window or headless.",
    usage: """
      apus [IMAGE ...] [options]
      apus debug [IMAGE ...] [options]    in the debugger's console
      apus explain IMAGE ...              what images are taken for, and why
      apus devices [DEVICE]               what a machine can have, and the options of each
      apus image ...                      disk images: make, convert, check, files in them
      apus snapshot ...                   snapshots of machines
      apus backup ...                     backups of machines in a folder, while they run
      apus store ...                      room and health of folders of snapshots and backups
      apus template ...                   machines that have booted, as files
      apus fork FILE ...                  many machines from one
      apus migrate ...                    machines that go on in another process
      apus conform ...                    the processor against test suites
      apus bench ...                      speed, beside other emulators
      apus schema [NAME]                  what --json prints
      apus completions bash|zsh|fish      for the shell
      """,
    discussion: """
      Each IMAGE goes into the next free drive of its kind: floppy, hard disk or CD, found out from its size and contents \
      (apus explain tells how). Without an image a demo disk boots.

      --type, --type-serial, --change and what is to be expected are obeyed in the order given. An expectation is met by what appears after the \
      step before it: on the text screen or from a serial port, wherever it scrolls, but never by the echo of what --type typed.

      Keys for --type stand in angle brackets:
      \(KeyScript.help)

      Keys of the window:
      \(Shortcut.text)

      \(ApusExit.help)
      """,
    version: "apus \(ApusVersion.text)")

  @Argument(help: ArgumentHelp("Disk images.", valueName: "image"))
  var images: [String] = []

  // MARK: Drives

  @Option(
    name: [.customLong("floppy-a"), .customLong("fda", withSingleDash: true)],
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "The image in drive A; FILE:ro is write-protected. Given again: further disks, which Ctrl+Alt+N puts in one after the other. 'empty' is a 1.44 MB drive without a disk, 'none' no drive.",
      valueName: "file"))
  var floppyA: [String] = []
  @Option(
    name: [.customLong("floppy-b"), .customLong("fdb", withSingleDash: true)],
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "The same for drive B, which is there only with an image or 'empty'.", valueName: "file"))
  var floppyB: [String] = []
  @Option(
    name: [.customLong("disk")],
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("A hard disk image; up to four.", valueName: "file"))
  var disks: [String] = []
  @Option(
    name: [.customLong("hda"), .customLong("hda", withSingleDash: true)],
    parsing: .unconditional,
    help: ArgumentHelp("The first hard disk; -hdb, -hdc, -hdd the others.", valueName: "file"))
  var hda: String?
  @Option(
    name: [.customLong("hdb"), .customLong("hdb", withSingleDash: true)], parsing: .unconditional,
    help: .hidden)
  var hdb: String?
  @Option(
    name: [.customLong("hdc"), .customLong("hdc", withSingleDash: true)], parsing: .unconditional,
    help: .hidden)
  var hdc: String?
  @Option(
    name: [.customLong("hdd"), .customLong("hdd", withSingleDash: true)], parsing: .unconditional,
    help: .hidden)
  var hdd: String?
  @Option(
    name: [.customLong("cdrom"), .customLong("cdrom", withSingleDash: true)],
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "A CD or DVD (ISO, raw dump, CUE sheet) in a drive of its own; 'empty' is a drive without a disc, 'none' no drive. Given again: another drive.",
      valueName: "file"))
  var cdrom: [String] = []
  @Option(
    name: .customLong("cdrom-at"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Where the CD drive is: hda, hdb, hdc or hdd (primary master to secondary slave); given again: where that of the next --cdrom is. (default: hdc, or what is free)",
      valueName: "place"))
  var cdromAt: [String] = []
  @Option(
    name: .customLong("cdrom-next"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "A further disc, which Ctrl+Alt+B puts into the first CD drive or the one that Ctrl+Alt+K chose; repeatable.",
      valueName: "file"))
  var cdromNext: [String] = []
  @Option(
    name: .customLong("allow-bases"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "A folder, or nbd://HOST, in which the images below an image may lie, besides the image's own folder; repeatable.",
      valueName: "path"))
  var allowBases: [String] = []
  @Option(
    name: .customLong("disk-key"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "The passphrase of an encrypted disk: file:PATH (all its bytes; file:- is standard input), ring:NAME (the host's key ring) or prompt; "
        + "N= before it for the hard disk N alone, from 1. Repeatable. (default: asked for at the terminal)",
      valueName: "[N=]key"))
  var diskKey: [String] = []
  @Flag(help: "Key slots of encrypted disks may want any time and memory.")
  var allowSlowKeys = false
  @Flag(
    name: [.customLong("snapshot"), .customLong("snapshot", withSingleDash: true)],
    help: "Writes to images go nowhere.")
  var snapshot = false
  @Option(
    name: [.customLong("boot"), .customLong("boot", withSingleDash: true)],
    parsing: .unconditional,
    help: ArgumentHelp(
      "What to boot from, in this order: a (floppy), c (hard disk), d (CD), n (network, by an option ROM); a drive without a disk is skipped, an empty drive of a disk to come may be named. menu, alone or after a comma: F12 opens a menu during the first second, as it does in a window, and where it is the first key of --type. (default: acdn)",
      valueName: "acdn"))
  var boot: String?

  // MARK: Machine

  @Option(
    name: [.customLong("memory"), .customShort("m")],
    parsing: .unconditional,
    help: ArgumentHelp(
      "Megabytes of memory, 1 to 16384, or with G gigabytes; more than 3584 only with pentium2 and later. (default: 64)",
      valueName: "MB"))
  var memory: String?
  @Option(
    name: [.customLong("cpu"), .customLong("cpu", withSingleDash: true)],
    parsing: .unconditional,
    help: ArgumentHelp(
      "386, 486, pentium, pentium-mmx, pentium2, pentium3 or pentium4. (default: pentium2)",
      valueName: "model"))
  var cpu: String?
  @Option(
    name: [.customLong("processors"), .customLong("smp", withSingleDash: true)],
    parsing: .unconditional,
    help: ArgumentHelp(
      "How many processors: with an APIC (from the Pentium on) up to 14, of pentium4 up to 16; Linux takes at most 8 of other models than pentium4. (default: 1)",
      valueName: "N"))
  var processors: String?
  @Option(
    name: .customLong("engine"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "interpreter, translator, or lockstep: both, compared; the first difference ends the run and is told. (default: "
        + "translator where the host can)", valueName: "name"))
  var engine: String?
  @Option(
    name: .customLong("translator-disable"),
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Leave out an optimisation of the translator: "
        + TranslatorOptions.named.map(\.name).joined(separator: ", ") + "; repeatable.",
      valueName: "name"))
  var translatorDisable: [String] = []
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "What carries out x87 instructions: software, or host (which only the translator can). (default: what the engine does best)",
      valueName: "unit"))
  var fpu: String?
  @Option(
    name: [.customLong("bios"), .customLong("bios", withSingleDash: true)],
    parsing: .unconditional,
    help: ArgumentHelp(
      "Another system BIOS (64, 128 or 256 KB), or firmware for UEFI such as OVMF (512 KB to 8 MB; for IA32 it needs --cpu pentium3 or pentium4).",
      valueName: "file"))
  var bios: String?
  @Option(
    name: .customLong("flash"), parsing: .unconditional,
    help: ArgumentHelp(
      "Flash memory below the firmware, where UEFI keeps its variables; the guest writes to the file (:ro behind it: write-protected).",
      valueName: "file"))
  var flash: String?
  @Option(
    name: [.customLong("vga"), .customLong("vga", withSingleDash: true)],
    help: ArgumentHelp(
      "The display adapter: \(DisplayAdapter.allCases.map(\.rawValue).joined(separator: ", ")). (default: cirrus, on board isa std)",
      valueName: "name"))
  var vga: String?
  @Option(
    name: .customLong("vram"), parsing: .unconditional,
    help: ArgumentHelp(
      "Its memory in megabytes: std has 4 to 32, cirrus 1 to 4. (default: 16 and 4)",
      valueName: "MB"))
  var vram: String?
  @Option(
    name: .customLong("vga-bios"),
    parsing: .unconditional,
    help: ArgumentHelp("Another video BIOS (up to 64 KB).", valueName: "file"))
  var vgaBIOS: String?
  @Option(
    name: [.customLong("fw-cfg"), .customLong("fw_cfg", withSingleDash: true)],
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "A file that firmware can ask for: name=opt/NAME,file=FILE or name=opt/NAME,string=TEXT (a comma in a value is written twice); a name "
        + "that is there already (bootorder, etc/boot-menu-wait) is replaced; repeatable.",
      valueName: "what"))
  var firmwareFiles: [String] = []
  @Option(
    name: .customLong("rom"),
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "A ROM at a hexadecimal address, say ext.rom@D0000; repeatable.", valueName: "file@address"))
  var roms: [String] = []
  @Option(
    name: [.customLong("kernel"), .customLong("kernel", withSingleDash: true)],
    parsing: .unconditional,
    help: ArgumentHelp("A Linux (bzImage) or multiboot 1 kernel to start.", valueName: "file"))
  var kernel: String?
  @Option(
    name: [.customLong("initrd"), .customLong("initrd", withSingleDash: true)],
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Linux: the initial RAM disk. Multiboot: a module with its command line; repeatable.",
      valueName: "file"))
  var initrd: [String] = []
  @Option(
    name: [.customLong("append"), .customLong("append", withSingleDash: true)],
    parsing: .unconditional,
    help: ArgumentHelp("The kernel's command line.", valueName: "text"))
  var append: String?

  // MARK: Outside

  @Flag(name: .customLong("headless"), help: "No window.")
  var headless = false
  @Flag(
    name: [.customLong("nographic"), .customLong("nographic", withSingleDash: true)],
    help: "The same, with --serial stdio unless --serial is given.")
  var nographic = false
  @Option(
    name: [.customLong("serial"), .customLong("serial", withSingleDash: true)],
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Where a serial port leads: stdio (Ctrl-A X leaves), file:PATH, pty, tcp:PORT (a server on this host), tcp:HOST:PORT, unix:PATH (a "
        + "server, unless one is there already) or null; the first is COM1, repeatable.",
      valueName: "target"))
  var serial: [String] = []
  @Option(
    name: .customLong("debug-console"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "What is written to port E9h (and 402h); - is standard output.", valueName: "file"))
  var debugConsole: String?
  @Option(
    name: .customLong("board"),
    help: ArgumentHelp(
      "What the machine is built on: \(BoardDescription.boards.keys.sorted().joined(separator: ", ")). (default: pc from the Pentium on, else isa)",
      valueName: "name"))
  var board: String?
  @Option(
    name: .customLong("device"),
    help: ArgumentHelp(
      "Another device, say uart,port=3E8,irq=5; apus devices lists them. Repeatable.",
      valueName: "name[,option=value...]"))
  var devices: [String] = []
  @Option(
    name: .customLong("acpi"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "off; 1: tables of ACPI 1.0 and power management; 2: those of ACPI 2.0 (XSDT) beside them. (default: 1 on board pc from the P6 on, else off)",
      valueName: "off|1|2"))
  var acpi: String?
  @Option(
    name: .customLong("exit-port"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "A port (hexadecimal, say f4) by which the guest ends the run with its own exit code.",
      valueName: "port"))
  var exitPort: String?
  @Option(
    name: .customLong("on-triple-fault"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "reset: as PCs do, but a machine that does nothing else is stopped; or stop: end with a report. (default: reset in a window, stop "
        + "headless)", valueName: "what"))
  var onTripleFault: String?
  @Flag(
    name: .customLong("reset-on-triple-fault"), help: "The same as --on-triple-fault reset.")
  var resetOnTripleFault = false
  @Option(
    name: .customLong("mouse-speed"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "How fast the guest's mouse moves, 0.1 to 10. (default: 1)", valueName: "factor"))
  var mouseSpeed: String?
  @Option(
    name: .customLong("code-page"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "437 or 850: what the guest's characters beyond ASCII are, for pasting. (default: 437)",
      valueName: "number"))
  var codePage: String?

  // MARK: Time

  @Option(
    name: .customLong("speed"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "max, realtime, or a factor of real time. (default: realtime in a window, and when a person types at the serial port in a terminal; "
        + "max when headless otherwise: scripts, limits, pipes)",
      valueName: "speed"))
  var speed: String?
  @Option(
    name: .customLong("cpu-speed"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "Millions of instructions per virtual second; or auto: what the host can do in real time, up to what software of the processor's time "
        + "bears (386 20, 486 60, Pentium 150, later ones 500); or max: the same without that bound. (default: auto in a window or for a "
        + "person at a terminal, 100 headless)", valueName: "auto|max|N"))
  var cpuSpeed: String?
  @Option(
    name: .customLong("disk-latency"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "What a command of a hard disk or CD drive that moves sectors takes at least, in the guest's time: up to 1s, as in 500us, 2.5ms or 0. (default: 1ms)",
      valueName: "time"))
  var diskLatency: String?
  @Option(
    name: .customLong("on-disk-error"),
    help: ArgumentHelp(
      "When the host refuses an access to a hard disk's image: stop (the machine stands still until it succeeds; nothing is lost), report (the "
        + "guest sees an error of the disk), or full: stop where room lacks, report the rest. (default: full)",
      valueName: "stop|report|full"))
  var onDiskError: String?
  @Option(
    name: .customLong("disk-cache"),
    help: ArgumentHelp(
      "What the host's cache does with images: writeback (a flush of the guest brings what it wrote to the disk), writethrough (each write "
        + "does), none (past the cache, where that is possible), unsafe (flushes are not waited for). (default: writeback)",
      valueName: "writeback|writethrough|none|unsafe"))
  var diskCache: String?
  @Option(
    name: .customLong("disk-thread"),
    help: ArgumentHelp(
      "Whether a thread does the host's part of hard disk accesses beside the machine: auto (where the host's disk is slow), on or off. Nothing "
        + "of it shows in the guest. (default: auto)", valueName: "auto|on|off"))
  var diskThread: String?
  @Option(
    name: [.customLong("rtc"), .customLong("rtc", withSingleDash: true)],
    parsing: .unconditional,
    help: ArgumentHelp(
      "What the guest's clock shows at the start: host or localtime (the host's local time), utc, or a date of 1980 to 2099 "
        + "(1995-08-24, 1995-08-24T12:30:00). (default: host in a window, 2000-01-01 headless)",
      valueName: "date"))
  var rtc: String?

  // MARK: Automation

  @Option(
    name: .customLong("type"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp("Keystrokes to type.", valueName: "text"), transform: { OrderedText($0) })
  var type: [OrderedText] = []
  @Option(
    name: .customLong("type-serial"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "The same at the first serial port, as a terminal sends it; 2:TEXT at the second one.",
      valueName: "text"), transform: { OrderedText($0) })
  var typeSerial: [OrderedText] = []
  @Option(
    name: .customLong("change"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Another disk: a=FILE, b=FILE or cd=FILE (cd2 the second CD drive) puts an image into that drive (FILE:ro write-protected), a= b= cd= takes out what is in it. Where the guest has locked a CD's tray, it is asked to let go, and the step waits for that; '!cd=FILE' opens the tray by force. A change that is not possible ends the run (exit code 10).",
      valueName: "drive=file"), transform: { OrderedText($0) })
  var change: [OrderedText] = []
  @Option(
    name: .customLong("press"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "A button of the machine's: power (a guest with ACPI shuts down; without one the machine is turned off) or reset.",
      valueName: "button"), transform: { OrderedText($0) })
  var press: [OrderedText] = []
  @Option(
    name: .customLong("expect"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Text to wait for, on the text screen or a serial port; blanks at its end count. When the last step is an expectation, meeting it "
        + "ends the run with success.", valueName: "text"), transform: { OrderedText($0) })
  var expect: [OrderedText] = []
  @Option(
    name: .customLong("expect-line"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "The same, but a line that holds nothing else (blanks around it aside).", valueName: "text"),
    transform: { OrderedText($0) })
  var expectLine: [OrderedText] = []
  @Option(
    name: .customLong("expect-regex"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "The same, for a regular expression that matches within a line (^ and $ leave blanks around it aside).",
      valueName: "re"),
    transform: { OrderedText($0) })
  var expectRegex: [OrderedText] = []
  @Option(
    name: .customLong("expect-gone"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp("Waits until a text is not on the screen.", valueName: "text"),
    transform: { OrderedText($0) })
  var expectGone: [OrderedText] = []
  @Option(
    name: .customLong("within"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "The expectation before it must be met (or the tray of the --change before it unlocked) in this many seconds of the guest after the step before; else the run ends (exit code 10). "
        + "(default: \(Plan.expectationSeconds) headless, unless --timeout or --max-instructions limits the run)",
      valueName: "seconds"), transform: { OrderedText($0) })
  var within: [OrderedText] = []
  @Option(
    name: .customLong("timeout"),
    parsing: .unconditional,
    help: ArgumentHelp("End after this many seconds of the host's time.", valueName: "seconds"))
  var timeout: String?
  @Option(
    name: .customLong("max-instructions"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "End exactly after this many instructions since power-on (idle time counts at the CPU speed).",
      valueName: "N"))
  var maxInstructions: String?
  // MARK: Debugger

  @Flag(
    name: .customLong("debug"),
    help:
      "Run under the debugger: Ctrl-C stops the guest for it. (apus debug starts there; without this Ctrl-\\, in the window Ctrl+Alt+D, with --nographic Ctrl-A D open it.)"
  )
  var debug = false
  @Option(
    name: .customLong("command"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp("A command for the debugger; repeatable.", valueName: "text"),
    transform: { OrderedText(name: HostPath.lines($0)) })
  var commands: [OrderedText] = []
  @Option(
    name: .customLong("script"),
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("A file of commands for the debugger; repeatable.", valueName: "file"),
    transform: { OrderedText(name: $0) })
  var scripts: [OrderedText] = []
  @Option(
    name: .customLong("history"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "Memory for the past that the debugger (--debug, --gdb) can go back to; 0 keeps none. (default: 256)",
      valueName: "MB"))
  var history: String?

  @Option(
    name: [.customLong("gdb"), .customLong("gdb", withSingleDash: true)],
    parsing: .unconditional,
    help: ArgumentHelp(
      "Serve gdb's remote protocol at tcp:PORT (on this host only) or unix:PATH.",
      valueName: "place"))
  var gdb: String?
  @Flag(name: .customShort("s"), help: "The same as --gdb tcp:1234.")
  var gdbDefault = false
  @Flag(name: .customShort("S"), help: "Start stopped, until gdb lets the machine run.")
  var startsStopped = false

  @Option(
    name: .customLong("screenshot"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "Write the screen at the end as PNG; - is standard output.", valueName: "file"))
  var screenshot: String?
  @Flag(name: .customLong("screen-text"), help: "Print the text screen at the end.")
  var screenText = false
  @Flag(
    name: .customLong("json"),
    help:
      "Print one report object on standard output at the end; --json=FILE writes it there (--json FILE, too, where the name ends in .json)."
  )
  var json = false
  /// What `JSONTarget` makes of --json=FILE.
  @Option(name: .customLong("json-file"), parsing: .unconditional, help: .hidden)
  var jsonFile: String?
  @Flag(
    name: .customLong("stats"),
    help:
      "Tell at the end where the time went and what translated code left to the interpreter; with --json as part of it."
  )
  var stats = false
  @Option(
    name: .customLong("dump-block"),
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "At the end, print guest and host code of the translated block that begins at a linear address (hexadecimal); repeatable.",
      valueName: "address"))
  var dumpBlock: [String] = []
  @Flag(
    name: .customLong("explain"),
    help:
      "Tell what each image was taken for and why, then run. (apus explain tells it without running.)"
  )
  var explain = false
  @Option(
    name: .customLong("save-state"),
    parsing: .unconditional,
    help: ArgumentHelp("Save the machine's state at the end.", valueName: "file"))
  var saveState: String?
  @Option(
    name: .customLong("load-state"),
    parsing: .unconditional,
    help: ArgumentHelp("Continue from a saved state, given the same machine.", valueName: "file"))
  var loadState: String?
  @Flag(
    name: .customLong("force"),
    help:
      "With --load-state and --snapshot: continue even if the images hold something else than when the state was saved."
  )
  var force = false

  // MARK: Snapshots

  @Flag(
    name: .customLong("with-snapshots"),
    help: "Let 'apus snapshot' take snapshots of this run; a machine that has some lets it anyway.")
  var withSnapshots = false
  @Flag(
    name: .customLong("no-snapshots"),
    help: "Run without the snapshots of the disk; they are worth nothing when it is written.")
  var noSnapshots = false
  @Flag(
    name: .customLong("no-resume"),
    help: "Boot, although 'apus snapshot restore' would have the machine go on as it was.")
  var noResume = false
  @Flag(
    name: .customLong("suspend-on-exit"),
    help:
      "When the window is closed, or by a signal as at logout, keep the machine as it is: it goes on from there at its next start."
  )
  var suspendOnExit = false
  @Option(
    name: .customLong("take"), parsing: .unconditional,
    help: ArgumentHelp("Take a snapshot when the run ends.", valueName: "name"))
  var take: String?
  @Option(
    name: .customLong("snapshots-in"), parsing: .unconditional,
    help: ArgumentHelp("Where snapshots are. (default: IMAGE.snapshots)", valueName: "folder"))
  var snapshotsIn: String?

  @Option(
    name: .customLong("control"), parsing: .unconditional,
    help: ArgumentHelp(
      "A socket at which this run is asked: 'apus migrate send FILE ...'.", valueName: "file"))
  var control: String?

  // MARK: Record and replay

  @Option(
    name: .customLong("record"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "Write down everything that comes from outside (keys, mouse, serial input, ...), to repeat the run.",
      valueName: "file"))
  var record: String?
  @Option(
    name: .customLong("replay"),
    parsing: .unconditional,
    help: ArgumentHelp(
      "Repeat a recorded run to the byte, given the same machine and images; images are not written.",
      valueName: "file"))
  var replay: String?
}
