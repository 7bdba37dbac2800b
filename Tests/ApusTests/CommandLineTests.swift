// The command line: what options mean, and what is refused. Values only; the built program is run in ProgramTests.

import Host
import Machine
import Session
import Testing

@testable import ApusCommand

private func parsed(_ arguments: String...) throws -> Plan {
  try Plan(try ApusOptions.parse(arguments))
}

private func refusal(_ arguments: String...) -> String? {
  do {
    _ = try Plan(try ApusOptions.parse(arguments))
    return nil
  } catch let failure as Failure {
    return failure.exit == .usage ? failure.message : nil
  } catch {
    return ApusOptions.exitCode(for: error).rawValue == 64 ? ApusOptions.message(for: error) : nil
  }
}

@Suite struct CommandLineTests {
  @Test func displayAdaptersAndTheirMemory() throws {
    #expect(try parsed("--headless").configuration.display == .cirrus)
    #expect(try parsed("--headless", "--cpu", "486").configuration.display == .std)
    #expect(try parsed("--headless", "--board", "isa").configuration.display == .std)
    #expect(
      try parsed("--headless", "--vga", "std", "--vram", "32").configuration.videoMegabytes == 32)
    let cirrus = "adapter cirrus has 1, 2 or 4 megabytes"
    let std = "adapter std has 4, 8, 16 or 32 megabytes"
    for (arguments, message) in [
      (["--vram", "8"], "--vram 8: \(cirrus)"), (["--vram", "-1"], "--vram -1: \(cirrus)"),
      (["--vga", "std", "--vram", "2"], "--vram 2: \(std)"),
      (["--vga", "std", "--vram", "x"], "--vram x: \(std)"),
      (["--vga", "none", "--vram", "4"], "--vram 4: there is no display adapter (--vga none)"),
      (["--vga", "s3"], "--vga s3: there is no such adapter (there are: std, cirrus, none)"),
      (
        ["--vga", "cirrus", "--board", "isa"],
        "--vga cirrus: it is on PCI, which board isa has not (--board pc has)"
      ),
    ] {
      #expect(throws: Failure.self, "\(arguments)") { try Plan(try ApusOptions.parse(arguments)) }
      do {
        _ = try Plan(try ApusOptions.parse(arguments))
      } catch let failure as Failure {
        #expect(failure.message == message)
      }
    }
  }

  @Test func noDisplayAdapterIsSaidOnTheWay() throws {
    let quiet = try parsed("--vga", "none")
    #expect(quiet.warnings.contains { $0.hasPrefix("--vga none: the screen stays black") })
    for arguments in [
      ["--vga", "none", "--serial", "stdio"], ["--vga", "none", "--nographic"], [],
    ] {
      let plan = try Plan(try ApusOptions.parse(arguments))
      #expect(!plan.warnings.contains { $0.hasPrefix("--vga none") }, "\(arguments)")
    }
  }

  @Test func defaultsAreThoseOfTheHelp() throws {
    let headless = try parsed("--headless")
    #expect(headless.configuration.memoryMegabytes == 64)
    #expect(headless.configuration.cpu.name == "pentium2")
    #expect(headless.configuration.instructionsPerSecond == 100_000_000)
    #expect(headless.configuration.initialTime == 946_684_800)
    #expect(headless.speed == .max && !headless.adaptsRate)
    #expect(headless.configuration.floppies[0]?.name == "demo disk")
    let window = try parsed()
    #expect(window.speed == .factor(1) && window.adaptsRate && window.session.limitsRate)
    let now = HostClock.localSeconds()
    #expect((0...60).contains(now - window.configuration.initialTime))
  }

  @Test func theGuestsClockBeginsWhereItIsTold() throws {
    func begins(_ arguments: String...) throws -> Int64 {
      try Plan(try ApusOptions.parse(arguments)).configuration.initialTime
    }
    // date -u -d 1995-08-24T12:30 +%s
    #expect(try begins("--headless", "--rtc", "1995-08-24T12:30:00") == 809_267_400)
    #expect(try begins("--rtc", "1995-08-24") == 809_222_400)
    #expect(try begins("--headless", "-rtc", "base=1995-08-24") == 809_222_400)
    for text in ["host", "localtime", "base=localtime"] {
      let time = try begins("--headless", "--rtc", text)
      #expect((0...60).contains(HostClock.localSeconds() - time))
    }
    let utc = try begins("--headless", "--rtc", "utc")
    #expect((0...60).contains(HostClock.utcSeconds() - utc))
    for text in ["", "now", "1995-13-01", "1995-08-24T12", "base=", "utc,clock=vm"] {
      #expect(refusal("--headless", "--rtc", text)?.contains("--rtc") == true, "\(text)")
    }
    let told = try parsed("--headless", "--rtc", "2001-02-03").explanations
    #expect(told.contains { $0.contains("2001-02-03 00:00:00") })
  }

  @Test func theRateHasABoundOrNot() throws {
    let free = try parsed("--cpu-speed", "max")
    #expect(free.adaptsRate && !free.session.limitsRate)
    #expect(try parsed("--cpu-speed", "auto").session.limitsRate)
    #expect(try parsed("--headless", "--cpu-speed", "max", "--speed", "realtime").adaptsRate)
    #expect(refusal("--headless", "--cpu-speed", "max")?.contains("--speed max") == true)
    #expect(refusal("--cpu-speed", "fast")?.contains("auto, max or") == true)
  }

  @Test func aFloppyDriveMayBeThereWithoutADisk() throws {
    let plan = try parsed("--floppy-b", "empty")
    #expect(plan.configuration.floppyTypes == [nil, .threeInch1440])
    #expect(plan.configuration.floppies[0]?.name == "demo disk" && plan.floppyLists[1].isEmpty)
    let machine = try Machine(plan.configuration)
    #expect(machine.floppyDrives[1].type == .threeInch1440 && machine.floppyDrives[1].disk == nil)
    let empty = try parsed("--floppy-a", "empty")
    #expect(empty.configuration.floppies.allSatisfy { $0 == nil })
    #expect(refusal("--floppy-b", "empty", "--floppy-b", "x.img")?.contains("no other") == true)
  }

  @Test func headlessExpectationsEndSomeTime() throws {
    func limits(_ arguments: String...) throws -> [UInt64?] {
      try Plan(try ApusOptions.parse(arguments)).steps.map {
        if case .await(let expectation) = $0 { expectation.limit } else { nil }
      }
    }
    #expect(
      try limits("--headless", "--expect", "a", "--within", "5", "--expect", "b")
        == [5_000_000_000, 600_000_000_000])
    #expect(try limits("--headless", "--expect", "a", "--timeout", "5") == [nil])
    #expect(try limits("--headless", "--expect", "a", "--max-instructions", "5") == [nil])
    #expect(try limits("--headless", "--debug", "--expect", "a") == [nil])
    #expect(try limits("--expect", "a") == [nil])
  }

  @Test func aPersonAtATerminalHasRealTime() throws {
    func plan(_ arguments: String..., terminal: Bool = true) throws -> Plan {
      try Plan(try ApusOptions.parse(arguments), hasTerminal: terminal)
    }
    for person in [try plan("--nographic"), try plan("--headless", "--serial", "stdio")] {
      #expect(person.speed == .factor(1) && person.adaptsRate)
    }
    #expect(try plan("--nographic", terminal: false).speed == .max)
    #expect(try plan("--headless").speed == .max)
    #expect(try plan("--nographic", "--serial", "null").speed == .max)
    #expect(try plan("--nographic", "--speed", "max").speed == .max)
    #expect(try plan("--nographic", "--timeout", "5").speed == .max)
    #expect(try plan("--nographic", "--max-instructions", "5").speed == .max)
    #expect(try plan("--nographic", "--expect", "login:").speed == .max)
    #expect(try plan("--nographic", "--type", "x").speed == .max)
    let fixed = try plan("--nographic", "--cpu-speed", "25")
    #expect(fixed.speed == .factor(1) && !fixed.adaptsRate)
    func latency(_ text: String) throws -> UInt64 {
      try plan("--headless", "--disk-latency", text).configuration.diskLatency
    }
    #expect(try plan("--headless").configuration.diskLatency == 1_000_000)
    #expect(try latency("2.5ms") == 2_500_000)
    #expect(try latency("500us") == 500_000 && latency("20ns") == 20)
    #expect(
      try latency("0") == 0 && latency("1s") == 1_000_000_000 && latency("0.01") == 10_000_000)
  }

  @Test func shortFormsOfQEMUMeanTheSame() throws {
    let plan = try parsed("-m", "32", "-cpu", "486", "-nographic", "-serial", "null", "-snapshot")
    #expect(plan.configuration.memoryMegabytes == 32)
    #expect(plan.configuration.cpu.name == "486")
    #expect(plan.headless)
    #expect(plan.serial == [.null])
    #expect(try parsed("-nographic").serial == [.stdio])
    #expect(try parsed("-m", "1G", "--headless").configuration.memoryMegabytes == 1024)
  }

  @Test func stepsKeepTheirOrder() throws {
    let plan = try parsed(
      "--headless", "--cdrom", "empty", "--expect", "A:", "--type", "dir<enter>", "--type", "-x",
      "--type-serial",
      "uname",
      "--type-serial", "2:x:y", "--change", "cd=", "--expect", "--free")
    let texts = plan.steps.map {
      switch $0 {
      case .type(_, let text): "type " + text
      case .send(let port, _, let text): "send \(port) " + text
      case .change(_, let text, _): "change " + text
      case .await(let expectation): "\(expectation.kind) " + expectation.text
      }
    }
    #expect(
      texts == [
        "text A:", "type dir<enter>", "type -x", "send 0 uname", "send 1 x:y", "change cd=",
        "text --free",
      ])
  }

  @Test func filesForFirmwareAreRead() throws {
    let files = try parsed(
      "--fw-cfg", "name=opt/a,string=x,,y=z", "-fw_cfg", "opt/b,file=\(#filePath)"
    ).configuration.firmwareFiles
    #expect(files.map(\.name) == ["opt/a", "opt/b"])
    #expect(files[0].bytes == Array("x,y=z".utf8))
    #expect(files[1].bytes.starts(with: Array("//".utf8)))
    for text in [
      "", "opt/a", "name=opt/a", "name=opt/a,string=x,file=/dev/null", "name=opt/a,text=x",
      "string=x", "name=,string=x", "opt/a,string=x,string=y", "opt/a,string", "opt/a,file=",
      "opt/a,file=/nonexistent", String(repeating: "n", count: 56) + ",string=x",
    ] { #expect(refusal("--fw-cfg", text) != nil, "\(text)") }
    #expect(refusal("--fw-cfg", "opt/a,string=x", "--fw-cfg", "opt/a,string=y") != nil)
  }

  @Test func acpiIsChosenAndButtonsArePressed() throws {
    #expect(try parsed().configuration.acpiRevision == .first)
    #expect(try parsed("--cpu", "pentium").configuration.acpiRevision == .off)
    #expect(try parsed("--cpu", "pentium", "--acpi", "1").configuration.acpiRevision == .first)
    #expect(try parsed("--acpi", "off").configuration.acpiRevision == .off)
    #expect(try parsed("--acpi", "2").configuration.acpiRevision == .second)
    #expect(refusal("--acpi", "3")?.contains("off, 1, 2") == true)
    #expect(refusal("--acpi", "1", "--board", "isa")?.contains("--board pc") == true)
    #expect(
      try parsed("--press", "power", "--press", "reset").steps == [
        .change(.powerButton, "power"), .change(.reset(.system), "reset"),
      ])
    #expect(refusal("--press", "turbo")?.contains("power or reset") == true)
  }

  @Test func aTripleFaultResetsInAWindowUnlessToldOtherwise() throws {
    #expect(try parsed().configuration.resetsOnTripleFault)
    #expect(try !parsed("--on-triple-fault", "stop").configuration.resetsOnTripleFault)
    #expect(try !parsed("--headless").configuration.resetsOnTripleFault)
    for option in [["--on-triple-fault", "reset"], ["--reset-on-triple-fault"]] {
      let plan = try Plan(try ApusOptions.parse(["--headless"] + option))
      #expect(plan.configuration.resetsOnTripleFault)
    }
    #expect(refusal("--on-triple-fault", "ignore") != nil)
    #expect(refusal("--on-triple-fault", "stop", "--reset-on-triple-fault") != nil)
    #expect(refusal("--code-page", "1252") != nil)
    #expect(refusal("--mouse-speed", "0") != nil)
  }

  @Test func serialTargetsAreRead() throws {
    #expect(try CharacterTarget("tcp:4444") == .tcpServer(port: 4444))
    #expect(try CharacterTarget("tcp::4444,server,nowait") == .tcpServer(port: 4444))
    #expect(try CharacterTarget("tcp:host:1") == .tcpClient(host: "host", port: 1))
    #expect(try CharacterTarget("unix:/tmp/x") == .unix("/tmp/x"))
    #expect(try CharacterTarget("file:a:b") == .file("a:b"))
    for text in [
      "", "tcp", "tcp:", "tcp:0", "tcp:70000", "tcp:x", "file:", "file", "stdio:1", "com1",
    ] {
      #expect(throws: HostError.self) { try CharacterTarget(text) }
    }
  }

  @Test func theTerminalsEscapeIsFound() {
    var escape = TerminalEscape(isActive: true)
    #expect(escape.filter([65, 1]).bytes == [65])
    #expect(escape.filter([1, 66]).bytes == [1, 66])
    let (bytes, command) = escape.filter([67, 1, UInt8(ascii: "x"), 68])
    #expect(bytes == [67] && command == .quit)
    #expect(escape.filter([1, UInt8(ascii: "d")]) == ([], .debugger))
    #expect(escape.filter([1, UInt8(ascii: "h")]) == ([], .help))
    #expect(escape.filter([1, 1]) == ([1], nil))
    var inactive = TerminalEscape(isActive: false)
    #expect(inactive.filter([1, UInt8(ascii: "x")]).command == nil)
  }

  @Test func contradictionsAndImpossibleValuesAreRefused() {
    #expect(refusal("--memory", "0") != nil)
    #expect(refusal("--memory", "16385") != nil)
    #expect(refusal("--memory", "17G") != nil)
    #expect(refusal("--memory", "many") != nil)
    #expect(refusal("--memory", "9999999999999999G") != nil)
    #expect(refusal("--cpu", "8086") != nil)
    #expect(refusal("--boot", "x") != nil)
    #expect(refusal("--boot", "aa") != nil)
    for text in ["c", "d", "n", "dc", "", "c,", "menu,x", "menu=off", "cc,menu"] {
      #expect(refusal("--boot", text) != nil, "\(text)")
    }
    #expect(refusal("--speed", "0") != nil)
    #expect(refusal("--speed", "nan") != nil)
    #expect(refusal("--cpu-speed", "-1") != nil)
    #expect(refusal("--headless", "--cpu-speed", "auto") != nil)
    for text in ["-1ms", "1.1s", "ms", "1 ms", "1min", "nan", "inf"] {
      #expect(refusal("--disk-latency", text) != nil)
    }
    #expect(refusal("--timeout", "0") != nil)
    #expect(refusal("--timeout", "inf") != nil)
    #expect(refusal("--max-instructions", "-5") != nil)
    #expect(refusal("--exit-port", "10000") != nil)
    #expect(refusal("--exit-port", "xyz") != nil)
    #expect(refusal("--type", "<nokey>") != nil)
    #expect(refusal("--expect", "") != nil)
    #expect(refusal("--serial", "stdio", "--serial", "stdio") != nil)
    #expect(refusal("--append", "x") != nil)
    #expect(refusal("--initrd", "x") != nil)
    #expect(refusal("--kernel", "/nonexistent") != nil)
    #expect(refusal("--rom", "x") != nil)
    #expect(refusal("--rom", "/nonexistent@D0000") != nil)
    #expect(refusal("-cdrom", "/nonexistent.iso")?.contains("there is no such file") == true)
    #expect(refusal("--cdrom-at", "hdb")?.contains("goes with --cdrom") == true)
    #expect(refusal("--cdrom", "empty", "--cdrom-at", "sda")?.contains("hda, hdb") == true)
    #expect(refusal("--cdrom-next", "x.iso")?.contains("goes with a CD drive") == true)
    for text in ["d=/nonexistent", "d=", "c=x", "=x", "cd5=", "!x="] {
      #expect(refusal("--change", text)?.contains("a drive is a, b or cd") == true, "\(text)")
    }
    #expect(refusal("--change", "!a=")?.contains("only the tray of a CD drive") == true)
    #expect(refusal("--change", "a=/nonexistent")?.contains("no file '/nonexistent'") == true)
    #expect(refusal("--change", "cd=")?.contains("there is no CD drive (--cdrom") == true)
    #expect(
      refusal("--cdrom", "empty", "--change", "cd2=")?.contains("there is no CD drive 2") == true)
    #expect(refusal("--change", "b=")?.contains("no floppy drive B") == true)
    #expect(refusal("--change", "a=", "--within", "3")?.contains("--within 3: belongs") == true)
    #expect(refusal("--change", "cd")?.contains("DRIVE=FILE") == true)
    #expect(refusal("--no-such-option") != nil)
    #expect(refusal("--screenshot", "/nonexistent/x.png") != nil)
    #expect(refusal("--screenshot", "/tmp") != nil)
    #expect(refusal("/nonexistent.img") != nil)
  }

  @Test func severalCDDrivesAreGivenInOrder() throws {
    let scratch = try Scratch()
    func iso(_ name: String) throws -> String {
      try scratch.file(name, [UInt8](repeating: 0x20, count: 40 * 2048))
    }
    let (a, b) = (try iso("a.iso"), try iso("b.iso"))
    let disk = try scratch.file("hard.img", [UInt8](repeating: 0, count: 4 << 20))
    func drives(_ arguments: String...) throws -> [String] {
      try Plan(try ApusOptions.parse(arguments)).configuration.cds.map {
        switch $0 {
        case .disc(let image): String(image.name.suffix(5))
        case .empty: "empty"
        case nil: ""
        }
      }
    }
    #expect(try drives("--cdrom", a) == ["", "", "a.iso", ""])
    #expect(try drives("--cdrom", a, "--cdrom", "empty") == ["", "", "a.iso", "empty"])
    #expect(try drives("--cdrom", "empty", "--cdrom", b) == ["", "", "empty", "b.iso"])
    #expect(
      try drives("--cdrom", a, "--cdrom-at", "hda", "--cdrom", b, "--cdrom-at", "hdd")
        == ["a.iso", "", "", "b.iso"])
    #expect(
      try drives("--cdrom", a, "--cdrom", b, "--cdrom-at", "hdb") == ["", "a.iso", "b.iso", ""])
    #expect(try drives("-hdc", disk, "-cdrom", a) == ["", "", "", "a.iso"])
    #expect(try drives("-hdb", disk, "-cdrom", a) == ["", "", "a.iso", ""])
    // A plan has its images open as long as there is one.
    let warnings = try parsed("-hdc", disk, "-cdrom", a).warnings
    #expect(warnings.contains { $0.contains("hdd") && $0.contains("hard.img") })
    #expect(!(try parsed("-hdb", disk, "-cdrom", a).warnings.contains { $0.contains("hard.img") }))
    #expect(try drives("--cdrom", "none") == ["", "", "", ""])
    #expect(refusal("--cdrom", "none", "--cdrom", a)?.contains("goes with no other") == true)
    let taken = refusal("-hdc", disk, "--cdrom", a, "--cdrom-at", "hdc")
    #expect(taken?.contains("the hard disk \(disk) is there") == true)
    let both = refusal("--cdrom", a, "--cdrom-at", "hdb", "--cdrom", b, "--cdrom-at", "hdb")
    #expect(both?.contains("the CD drive with \(a) is there") == true)
    let more = refusal("--cdrom", a, "--cdrom-at", "hdb", "--cdrom-at", "hdc")
    #expect(more?.contains("--cdrom-at hdc: each goes with a --cdrom") == true)
    let five = refusal(
      "--cdrom", "empty", "--cdrom", "empty", "--cdrom", "empty", "--cdrom", "empty", "--cdrom", a)
    #expect(five?.contains("no place left for a CD drive (hda: an empty CD drive") == true)

    let list = try parsed("--cdrom", a, "--cdrom-next", b)
    #expect(list.session.cdList == [a, b] && !list.session.beginsWithoutCD)
    let later = try parsed("--cdrom", "empty", "--cdrom-next", b)
    #expect(later.session.cdList == [b] && later.session.beginsWithoutCD)
    #expect(refusal("--cdrom", a, "--cdrom-next", "/none.iso")?.contains("no such file") == true)
  }

  @Test func emptyDrivesMayBeBootedFrom() throws {
    for order in ["d", "dc", "cd"] {
      #expect(try parsed("--cdrom", "empty", "--boot", order).configuration.bootOrder.count > 0)
      #expect(refusal("--boot", order)?.contains("no CD drive (--cdrom FILE or empty)") == true)
    }
    #expect(try parsed("--floppy-a", "empty", "--boot", "a").configuration.floppies[0] == nil)
    #expect(refusal("--floppy-a", "none", "--boot", "a")?.contains("no image") == true)
    // The demo disk is for who boots from A.
    #expect(try parsed("--cdrom", "empty").usesDemoDisk)
    #expect(try !parsed("--cdrom", "empty", "--boot", "d").usesDemoDisk)
  }

  @Test func theTitleNamesWhatBoots() throws {
    let scratch = try Scratch()
    let floppy = try scratch.floppy("dos.img", halts)
    let iso = try scratch.file("cd.iso", [UInt8](repeating: 0x20, count: 40 * 2048))
    let disk = try scratch.file("hard.img", [UInt8](repeating: 0, count: 4 << 20))
    func title(_ arguments: String...) throws -> String? {
      let plan = try Plan(
        try ApusOptions.parse(arguments), media: try ArgumentScan(arguments).media)
      return plan.subject.name
    }
    #expect(try title(floppy, "--cdrom", iso) == "dos.img")
    #expect(try title("--cdrom", iso, "--floppy-a", floppy) == "dos.img")
    #expect(try title("--cdrom", iso, "--floppy-a", floppy, "--boot", "d") == "cd.iso")
    #expect(try title(disk, "--cdrom", iso) == "hard.img")
    #expect(try title() == "demo disk")
    #expect(try title("--cdrom", "empty", "--boot", "d") == nil)
  }

  /// As on a PC: who presses F12 at its start wants the menu.
  @Test func theFirstKeyMayAskForTheBootMenu() throws {
    func offers(_ arguments: String...) throws -> Bool {
      try Plan(try ApusOptions.parse(["--headless"] + arguments)).configuration.offersBootMenu
    }
    #expect(try offers("--type", "<f12>1") && offers("--type", "<wait 900>", "--type", "<f12>"))
    #expect(try offers("--boot", "menu") && !offers())
    #expect(try !offers("--type", "x<f12>") && !offers("--type", "<wait 1000><f12>"))
    #expect(try !offers("--expect", "A:", "--type", "<f12>"))
  }

  @Test func devicesTellTheOptionsTheyComeFrom() {
    let lines = DevicesProgram.list()
    for (name, option) in [
      ("cirrus", "--vga cirrus"), ("processor", "--processors"), ("piix4-pm", "--acpi"),
      ("cd-drive", "--cdrom"), ("kernel-loader", "--kernel"), ("debug-exit", "--exit-port"),
    ] {
      #expect(
        lines.contains { $0.hasPrefix(name + " ") && $0.contains("; by \(option)") }, "\(name)")
    }
  }

  @Test func deviceTestsTakeNoOptionsOfARun() throws {
    for arguments in [
      ["--type", "x"], ["--timeout", "1"], ["--json"], ["-s"], ["--max-instructions", "5"],
      ["--replay", "x"], ["--expect-gone", "x"], ["--press", "power"],
    ] {
      #expect(ConformDevices.runOption(try ApusOptions.parse(arguments)) == arguments[0])
    }
    #expect(
      ConformDevices.runOption(try ApusOptions.parse(["--board", "pc", "--cdrom", "x"])) == nil)
    #expect(ConformDevices.help.split(separator: "\n").allSatisfy { $0.count <= 84 })
  }

  @Test func severalProcessorsHaveAPICs() throws {
    #expect(try parsed("--processors", "14").configuration.processorCount == 14)
    #expect(try parsed("-smp", "cpus=4,sockets=4").configuration.processorCount == 4)
    #expect(try parsed("--cpu", "pentium4", "-smp", "16").configuration.processorCount == 16)
    #expect(refusal("-smp", "99")?.contains("14 at most") == true)
    #expect(refusal("--cpu", "pentium4", "-smp", "17")?.contains("16 at most") == true)
    #expect(refusal("--cpu", "486", "-smp", "2")?.contains("no APIC") == true)
    #expect(refusal("-smp", "0")?.contains("1 to 14") == true)
    #expect(refusal("-smp", "x")?.contains("of pentium2 1 to 14") == true)
    #expect(refusal("--cpu", "pentium4", "-smp", "x")?.contains("of pentium4 1 to 16") == true)
    #expect(refusal("--cpu", "486", "-smp", "x")?.contains("of 486 only 1") == true)
    #expect(try parsed("-smp", "2").warnings.isEmpty)
    #expect(
      try parsed("-smp", "2", "--board", "isa").warnings.contains { $0.contains("--board pc") })
  }

  @Test func memoryIsWhatTheProcessorReaches() throws {
    #expect(refusal("-m", "0")?.contains("with G 1 to 16 gigabytes") == true)
    for model in ["386", "486", "pentium", "pentium-mmx"] {
      #expect(try parsed("--cpu", model, "-m", "3584").configuration.memoryMegabytes == 3584)
      let refused = refusal("-m", "16G", "--cpu", model, "--board", "isa")
      #expect(refused?.contains("the \(model) has 32 address lines") == true)
      #expect(refused?.contains("3584 MB") == true)
    }
    #expect(try parsed("--cpu", "pentium2", "-m", "16G").configuration.memoryMegabytes == 16384)
  }

  @Test func stepsOfChangesHaveTheirTime() throws {
    let scratch = try Scratch()
    let iso = try scratch.file("cd.iso", [UInt8](repeating: 0x20, count: 40 * 2048))
    func limits(_ arguments: String...) throws -> [UInt64?] {
      try Plan(try ApusOptions.parse(arguments)).steps.map {
        if case .change(_, _, let limit) = $0 { limit } else { nil }
      }
    }
    let second: UInt64 = 1_000_000_000
    let change = "cd=\(iso)"
    #expect(
      try limits("--headless", "--cdrom", "empty", "--change", change) == [
        Plan.expectationSeconds * second
      ])
    #expect(
      try limits("--headless", "--cdrom", "empty", "--change", change, "--within", "2") == [
        2 * second
      ])
    #expect(
      try limits("--cdrom", "empty", "--change", "!" + change, "--change", "cd=", "--change", "a=")
        == [nil, nil, nil])
  }

  @Test func codesAreDistinct() {
    let own: [ApusExit] = [
      .success, .timeout, .instructionLimit, .tripleFault, .unimplemented, .notMet, .usage, .host,
      .signal(2), .signal(15),
    ]
    #expect(Set(own.map(\.code)).count == own.count)
    let signals: Set<Int32> = [130, 143]
    #expect(
      own.allSatisfy { $0.code & 1 == 0 || signals.contains($0.code) }, "odd codes are the guest's")
  }

  @Test func jsonIsEscaped() {
    #expect(JSON.string("a\"\\\n\u{1}é").text == "\"a\\\"\\\\\\n\\u0001é\"")
    #expect(
      JSON.object([("x", .array([.null, .bool(true), .real(0.5)]))]).text
        == "{\"x\":[null,true,0.5]}")
  }
}
