// Command lines as people type them who come from elsewhere, or in a hurry: what they are told.

import Testing
import Translator

@testable import ApusCommand

private func complaint(_ arguments: String...) -> String? {
  do {
    _ = try ArgumentScan(arguments)
    return nil
  } catch let failure as Failure {
    return failure.message
  } catch { return "\(error)" }
}

@Suite struct WrongOptionTests {
  @Test func theFirstLookKnowsTheOptionsOfTheParser() throws {
    let help = ApusOptions.helpMessage(includeHidden: true)
    var names: Set<String> = []
    for line in help.split(separator: "\n") where line.hasPrefix("  -") {
      for word in line.split(whereSeparator: { " ,/".contains($0) }) where word.hasPrefix("-") {
        // Words of the explanation may hold options, too; they exist all the same.
        names.insert(String(word.prefix { $0 == "-" || $0 == "_" || $0.isLetter }))
      }
    }
    names.subtract(["-", "--"])
    #expect(names.count > 50)
    for name in names {
      let isKnown = ArgumentScan.flags.contains(name) || ArgumentScan.valued.contains(name)
      #expect(isKnown, "\(name)")
    }
    for name in ArgumentScan.flags.subtracting(["--help", "-h", "--version"]) {
      #expect(throws: Never.self, "\(name)") { try ApusOptions.parse([name]) }
    }
    for name in ArgumentScan.valued {
      #expect(throws: Never.self, "\(name)") { try ApusOptions.parse([name, "x"]) }
    }
  }

  @Test func optionsOfOthersAreNamedAsTypedWithTheWayHere() {
    let table: [(arguments: [String], parts: [String])] = [
      (["-net", "none"], ["-net:", "no network"]), (["-netdev", "user,id=n"], ["-netdev:"]),
      (["-monitor", "stdio"], ["-monitor:", "debugger"]),
      (["-drive", "file=x.img,format=raw,if=floppy"], ["-drive:", "--floppy-a x.img"]),
      (["-drive", "if=ide,file=y.img,snapshot=on"], ["--disk y.img --snapshot"]),
      (["-drive", "file=z.iso,media=cdrom"], ["write --cdrom z.iso"]),
      (["-display", "none"], ["-display:", "--headless"]), (["-display", "gtk"], ["leave it out"]),
      (["-enable-kvm"], ["-enable-kvm:"]),
      (["-M", "pc"], ["-M:"]), (["-machine", "isapc"], ["-machine:"]),
      (["-device", "isa-debug-exit,iobase=0xf4,iosize=4"], ["--exit-port f4"]),
      (["-device", "e1000"], ["-device:"]), (["-debugcon", "stdio"], ["--debug-console"]),
      (["-no-reboot"], ["--on-triple-fault stop", "headless"]),
      (["-loadvm", "x"], ["--load-state"]),
      (["-f", "bochsrc"], ["-f:", "configuration files"]), (["-q"], ["-q:"]),
      (["-soundhw", "sb16"], ["-soundhw:"]), (["-curses"], ["-curses:", "--headless"]),
      (["-headless"], ["-headless, but --headless"]), (["--m", "64"], ["--m, but -m"]),
      (["--HEADLESS"], ["--HEADLESS, but --headless"]), (["-memory", "4"], ["--memory"]),
    ]
    for (arguments, parts) in table {
      let text = (try? ArgumentScan(arguments)) == nil ? message(arguments) : ""
      for part in parts { #expect(text.contains(part), "\(arguments): \(text)") }
    }
  }

  private func message(_ arguments: [String]) -> String {
    do {
      _ = try ArgumentScan(arguments)
      return ""
    } catch { return (error as? Failure)?.message ?? "" }
  }

  @Test func suggestionsAreCloseOrAreNotMade() {
    #expect(complaint("--headles")?.contains("--headless") == true)
    #expect(complaint("--expct", "x")?.contains("--expect") == true)
    #expect(complaint("--snapshto")?.contains("--snapshot") == true)
    #expect(complaint("--screnshot", "x")?.contains("--screenshot") == true)
    for far in ["--network", "--xyz", "-zz", "--abc", "--fullspeed", "-o"] {
      #expect(complaint(far)?.contains("did you mean") == false, "\(far)")
      #expect(complaint(far)?.contains(far) == true, "\(far)")
    }
  }

  @Test func theParsersSuggestionsAreHeldToTheSame() {
    func words(_ text: String) -> String { ApusProgram.withoutFarSuggestion(text) }
    #expect(words("Unknown option '--x'. Did you mean '--svg'?") == "Unknown option '--x'")
    let close = "Unknown option '--shrad'. Did you mean '--shard'?"
    #expect(words(close) == close)
  }

  @Test func valuesAreNoOptions() throws {
    let scan = try ArgumentScan([
      "--type", "-net", "a.img", "--disk", "b.img", "--append", "--x", "--", "-c.img",
    ])
    #expect(scan.media.map(\.path) == ["a.img", "b.img", "-c.img"])
    #expect(scan.media.map(\.isDisk) == [false, true, false])
    #expect(complaint("--type") == "--type: its value is missing")
    #expect(complaint("--headless=yes") == "--headless takes no value")
  }

  @Test func drivesAreFilledInTheOrderWritten() throws {
    let scratch = try Scratch()
    let a = try scratch.file("a.img", [UInt8](repeating: 0, count: 4 << 20))
    let b = try scratch.file("b.img", [UInt8](repeating: 0, count: 5 << 20))
    let c = try scratch.file("c.img", [UInt8](repeating: 0, count: 6 << 20))
    func disks(_ arguments: String...) throws -> [String?] {
      let plan = try Plan(
        try ApusOptions.parse(arguments), media: try ArgumentScan(arguments).media)
      return plan.configuration.disks.map { $0.map { String($0.name.suffix(5)) } }
    }
    #expect(try disks(a, "--disk", b) == ["a.img", "b.img", nil, nil])
    #expect(try disks("--disk", b, a) == ["b.img", "a.img", nil, nil])
    #expect(try disks(a, b, "-hda", c) == ["c.img", "a.img", "b.img", nil])
    #expect(try disks(a, "-hdb", c, b) == ["a.img", "c.img", "b.img", nil])
  }

  @Test func anImageMayBeGivenTwiceWhenNothingIsWritten() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("a.img", halts)
    let plan = try Plan(
      try ApusOptions.parse(["--snapshot", "--floppy-a", image, "--floppy-b", image]))
    #expect(plan.images.count == 2)
    #expect(throws: Failure.self) {
      try Plan(try ApusOptions.parse(["--floppy-a", image, "--floppy-b", image]))
    }
  }

  @Test func expectationsAreChecked() throws {
    func refused(_ arguments: String...) -> Bool {
      (try? Plan(try ApusOptions.parse(["--headless"] + arguments))) == nil
    }
    #expect(refused("--expect", " "))
    #expect(refused("--expect-regex", "("))
    #expect(refused("--within", "1"))
    #expect(refused("--type", "x", "--within", "1"))
    #expect(refused("--expect", "x", "--within", "0"))
    #expect(refused("--expect", "x", "--within", "1", "--within", "2"))
    let plan = try Plan(
      try ApusOptions.parse([
        "--headless", "--expect-line", "a", "--within", "1.5", "--type", "b", "--expect-gone", "c",
        "--expect-regex", "d+",
      ]))
    let steps = plan.steps.map {
      switch $0 {
      case .type(_, let text): "type \(text)"
      case .send(let port, _, let text): "send \(port) \(text)"
      case .change(_, let text, _): "change \(text)"
      case .await(let e): "\(e.kind) \(e.text) \(e.limit ?? 0)"
      }
    }
    #expect(
      steps == ["line a 1500000000", "type b", "gone c 600000000000", "regex d+ 600000000000"])
  }

  @Test func keysThatAreMissingAreAllNamed() {
    do {
      _ = try Plan(try ApusOptions.parse(["--headless", "--type", "für Österreich"]))
      Issue.record("accepted")
    } catch {
      let message = (error as? Failure)?.message ?? ""
      #expect(message.contains("'ü', 'Ö'"), "\(message)")
    }
  }

  @Test func theHelpNamesEveryCommandAndKey() {
    let help = ApusOptions.helpMessage()
    for name in Apus.subcommands { #expect(help.contains("apus \(name)"), "\(name)") }
    for word in ["<lt>", "<gt>", "<wait 500>", "ctrl-", "kpenter", "--expect-regex", "--within"] {
      #expect(help.contains(word), "\(word)")
    }
  }

  @Test func completionsKnowCommandsOptionsValuesAndWhereFilesGo() {
    func answer(_ words: String...) -> [String] {
      let answer = CompletionProgram.answer(words)
      return answer.words + (answer.files ? ["<files>"] : [])
    }
    #expect(answer("con") == ["conform", "<files>"])
    #expect(answer("devices", "lp") == ["lpt"])
    #expect(answer("x.img", "--device", "ua") == ["uart"])
    #expect(answer("--translator-disable", "") == TranslatorOptions.named.map(\.name))
    #expect(answer("--on-triple-fault", "s") == ["stop"])
    #expect(answer("") == Apus.subcommands + ["<files>"])
    #expect(answer("x.img", "--expect-") == ["--expect-gone", "--expect-line", "--expect-regex"])
    #expect(answer("debug", "--load-state", "") == ["<files>"])
    #expect(answer("-fda", "") == ["<files>"])
    #expect(answer("--engine", "l") == ["lockstep"])
    #expect(answer("-cpu", "pentium-") == ["pentium-mmx"])
    #expect(answer("--type", "") == [])
    #expect(answer("conform", "m") == ["merge", "<files>"])
    #expect(answer("conform", "--sha") == ["--shard"])
    #expect(answer("conform", "host", "--see") == ["--seed"])
    #expect(answer("conform", "vectors", "--junit", "") == ["<files>"])
    #expect(answer("image", "con") == ["convert", "<files>"])
    #expect(answer("image", "convert", "--res") == ["--resume"])
    #expect(answer("snapshot", "ta") == ["take", "<files>"])
    #expect(answer("snapshot", "take", "--no") == ["--note"])
    #expect(answer("bench", "int") == ["intmix"])
    #expect(answer("bench", "--agai") == ["--against"])
    #expect(answer("schema", "r") == ["run"])
    #expect(answer("schema", "apus-r") == ["apus-run"])
    #expect(answer("schema", "") == Schemas.all.map(\.name))
    #expect(answer("--cd") == ["--cdrom", "--cdrom-at", "--cdrom-next"])
    #expect(answer("-cd") == ["-cdrom"])
    #expect(answer("completions", "") == CompletionProgram.shells)
    for shell in CompletionProgram.shells {
      #expect(CompletionProgram.script(shell)?.contains("apus completions --for") == true)
    }
    #expect(CompletionProgram.script("csh") == nil)
  }
}
