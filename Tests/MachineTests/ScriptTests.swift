// Scripts: what counts as new, on the screen and on serial ports, in a guest that echoes, scrolls, clears and draws (TestROMs/script).

import CPU
import Chipset
import Machine
import Session
import TestSupport
import Testing

/// Generated from TestROMs/script.
enum ScriptROMs {}

@Suite struct ScriptTests {
  private struct Run {
    var stop: StopReason
    var done: Int
    var instructions: UInt64
    var hash: UInt64
    var screen: [String]
  }

  private func type(_ text: String) throws -> ScriptStep { .type(try KeyScript.parse(text), text) }
  private func expect(
    _ kind: Awaited.Kind, _ text: String, within seconds: Double? = nil
  ) throws -> ScriptStep {
    .await(try Awaited(kind, text, limit: seconds.map { UInt64($0 * 1e9) }))
  }

  /// Boots the shell. Ten seconds of the guest are a long time for all that is tested here.
  private func run(_ steps: [ScriptStep], engine: Engine? = nil) throws -> Run {
    let shell = try #require(ScriptROMs.all["shell"])
    let configuration = MachineConfiguration.small(floppy: shell(), name: "shell") {
      if let engine { $0.engine = engine }
    }
    let machine = try Machine(configuration)
    let script = Script(steps)
    machine.script = script
    machine.serialOutput = { script.serialOutput($0, $1) }
    let stop = machine.run(untilInstruction: 1_000_000_000)
    return Run(
      stop: stop, done: script.done, instructions: machine.cpu.instructionCount,
      hash: machine.stateHash(), screen: machine.screenText ?? [])
  }

  @Test func thePromptAfterACommandIsAnotherPrompt() throws {
    // Typing takes .2 s, the answer comes a quarter of a second after Enter.
    let first = try run([.expect("A:\\>"), try type("v<enter>")])
    #expect(first.stop == .instructionLimit && first.done == 2)
    let run = try run([
      .expect("A:\\>"), try type("v<enter>"), .expect("A:\\>"),
    ])
    #expect(run.stop == .expectationMet)
    let text = run.screen.joined(separator: "\n")
    #expect(text.contains("A:\\>v\nver is 1.0\nA:\\>"), "\(text)")
  }

  /// Waits count from power-on: keys come when that is over and the keyboard is set up, at the latest a second after power-on. A BIOS that
  /// offers its menu gets them while it still asks.
  @Test(arguments: ["<f12>", "<wait 100><f12>", "<wait 700><f12>", "<wait 300><wait 300><f12>"])
  func theBootMenuOpensAlsoAfterAWait(keys: String) throws {
    let shell = try #require(ScriptROMs.all["shell"])
    for rate in [20_000_000, 100_000_000, 1_000_000_000] as [UInt64] {
      let machine = try Machine(
        .small(floppy: shell(), name: "shell") {
          $0.offersBootMenu = true
          $0.instructionsPerSecond = rate
        })
      let script = Script([try type(keys), .expect("Number (Esc")])
      machine.script = script
      #expect(machine.run(untilInstruction: 3 * rate) == .expectationMet, "\(rate)")
    }
  }

  @Test func theBootMenuOpensWhenItsPromptWasAwaited() throws {
    let shell = try #require(ScriptROMs.all["shell"])
    let machine = try Machine(
      .small(floppy: shell(), name: "shell") { $0.offersBootMenu = true })
    machine.script = Script([
      .expect("F12: boot menu"), try type("<wait 200><f12>"), .expect("Number (Esc"),
    ])
    #expect(machine.run(untilInstruction: 1_000_000_000) == .expectationMet)
  }

  @Test func waitsAreOverWhenTheirTimeIs() throws {
    let strokes = try KeyScript.parse("<wait 300><wait 400>a<wait 500>")
    #expect(KeyScript.strokes(strokes, waited: 0) == strokes)
    #expect(
      try KeyScript.strokes(strokes, waited: 500_000_000)
        == KeyScript.parse("<wait 200>a<wait 500>"))
    #expect(
      try KeyScript.strokes(strokes, waited: 9_000_000_000) == KeyScript.parse("a<wait 500>"))
  }

  @Test func oldTextIsNoNewText() throws {
    let run = try run([.expect("A:\\>"), .expect("A:\\>")])
    #expect(run.stop == .instructionLimit && run.done == 1)
  }

  @Test func theEchoOfTypedTextIsNothingNew() throws {
    // The command does not exist: nothing but the echo and the next prompt come.
    #expect(try run([.expect(">"), try type("xver<enter>"), .expect("xver")]).done == 2)
    #expect(try run([.expect(">"), try type("xver<enter>"), .expect(">xver")]).done == 2)
    #expect(
      try run([.expect(">"), try type("xver<enter>"), try expect(.regex, "x.*r")]).done == 2)
    #expect(
      try run([.expect(">"), try type("xver<enter>"), try expect(.line, "A:\\>xver")]).done == 2)
    // On COM1, too.
    #expect(try run([.expect(">"), try type("sabc<enter>"), .expect("sabc")]).done == 2)
  }

  /// As a terminal sends it: ECMA-48, VT220.
  @Test func textForASerialPortIsWhatATerminalSends() throws {
    func bytes(_ text: String) throws -> [UInt8] {
      try SerialText.parse(text).flatMap { step -> [UInt8] in
        if case .bytes(let bytes) = step { return bytes }
        return []
      }
    }
    #expect(try bytes("ls<enter>") == [0x6C, 0x73, 0x0D])
    #expect(try bytes("a\nb") == [0x61, 0x0D, 0x62])
    #expect(try bytes("<ctrl-c><bs><esc><tab>") == [0x03, 0x7F, 0x1B, 0x09])
    #expect(try bytes("<lt><gt><alt-x>") == [0x3C, 0x3E, 0x1B, 0x78])
    #expect(try bytes("<up>") == [0x1B, 0x5B, 0x41])
    #expect(try bytes("<f1><f5><f12>") == Array("\u{1B}OP\u{1B}[15~\u{1B}[24~".utf8))
    #expect(try bytes("für") == Array("für".utf8))
    #expect(try SerialText.parse("a<wait 5>b").count == 3)
    for wrong in ["<x", "<ctrl-alt-del", "<nokey>", "<caps>", "<ctrl-f1>"] {
      #expect(throws: SerialTextError.self, "\(wrong)") { try SerialText.parse(wrong) }
    }
  }

  /// A boot sector that sends back what comes to COM1, with "ok" before a CR.
  @Test func whatIsTypedAtASerialPortArrivesThere() throws {
    // xor dx, dx / mov ax, 00E3h / int 14h; loop: mov ah, 2 / int 14h / test ah, 80h / jnz loop / mov ah, 1 / int 14h /
    // cmp al, 0Dh / jne loop / mov ax, 016Fh / int 14h / mov ax, 016Bh / int 14h / jmp loop
    let code: [UInt8] = [
      0x31, 0xD2, 0xB8, 0xE3, 0x00, 0xCD, 0x14, 0xB4, 0x02, 0xCD, 0x14, 0xF6, 0xC4, 0x80, 0x75,
      0xF7,
      0xB4, 0x01, 0xCD, 0x14, 0x3C, 0x0D, 0x75, 0xEF, 0xB8, 0x6F, 0x01, 0xCD, 0x14, 0xB8, 0x6B,
      0x01,
      0xCD, 0x14, 0xEB, 0xE3,
    ]
    func run(_ steps: [ScriptStep]) throws -> (StopReason, Int) {
      let machine = try Machine(.small(floppy: bootFloppy(code), name: "echo"))
      let script = Script(steps)
      machine.script = script
      machine.serialOutput = { script.serialOutput($0, $1) }
      return (machine.run(untilInstruction: 1_000_000_000), script.done)
    }
    let hello = ScriptStep.send(port: 0, try SerialText.parse("hello<wait 100><enter>"), "")
    #expect(try run([hello, .expect("ok")]) == (.expectationMet, 2))
    // Its echo is nothing new.
    #expect(try run([hello, .expect("hello")]) == (.instructionLimit, 1))
    #expect(try run([hello, .expect("ok"), hello, .expect("ok")]) == (.expectationMet, 4))
  }

  @Test func whatIsPrintedAfterItsEchoCounts() throws {
    #expect(
      try run([.expect(">"), try type("ver<enter>"), .expect("ver")]).stop == .expectationMet)
    let run = try run([.expect(">"), try type("ver<enter>"), .expect("ver")])
    #expect(run.screen.contains { $0.hasPrefix("ver") })
    #expect(
      try self.run([.expect(">"), try type("sCOM<enter>"), .expect("COM")]).stop == .expectationMet)
  }

  @Test func aPasswordThatIsNotEchoedConfusesNothing() throws {
    let run = try run([
      .expect(">"), try type("p<enter>"), .expect("Password: "), try type("guest<enter>"),
      .expect("in as"), .expect(">"), try type("n<enter>"), .expect("A:\\>"), try type("v<enter>"),
      .expect("ver is"),
    ])
    #expect(run.stop == .expectationMet)
  }

  @Test func aPromptOnAClearedScreenIsNew() throws {
    let run = try run([
      .expect(">"), try type("c<enter>"), .expect("A:\\>"), try type("c<enter>"), .expect("A:\\>"),
      try type("c<enter>"), .expect("A:\\>"),
    ])
    #expect(run.stop == .expectationMet)
    #expect(run.screen[0] == "A:\\>" && !run.screen.dropFirst().contains { !$0.isEmpty })
  }

  @Test func textThatScrollsAwayAtOnceIsSeen() throws {
    let steps: [ScriptStep] = [.expect(">"), try type("m<enter>")]
    let run = try run(steps + [.expect("needle"), .expect("hay"), .expect("A:\\>")])
    #expect(run.stop == .expectationMet)
    #expect(!run.screen.joined().contains("needle"))
    #expect(try self.run(steps + [try expect(.line, "a needle")]).stop == .expectationMet)
    #expect(try self.run(steps + [try expect(.regex, "n[e]+dle$")]).stop == .expectationMet)
    // In the order they came.
    #expect(try self.run(steps + [.expect("A:\\>"), .expect("needle")]).done == 3)
  }

  @Test func scrollingMakesNothingNew() throws {
    // 23 prompts fill the screen; each further one moves them all.
    let fill = String(repeating: "n<enter>", count: 30)
    let run = try run([
      .expect("A:\\>"), try type(fill + "v<enter>"), .expect("ver is 1.0"),
      try type("n<enter>n<enter>m<enter>"), .expect("ver is 1.0"),
    ])
    #expect(run.stop == .instructionLimit && run.done == 4)
    let prompts = try self.run([
      .expect("A:\\>"), try type(fill + "v<enter>"), .expect("ver is 1.0"), .expect("A:\\>"),
      .expect("A:\\>"),
    ])
    #expect(prompts.stop == .instructionLimit && prompts.done == 4)
  }

  @Test func drawingTheScreenAnewMakesNothingNew() throws {
    let run = try run([
      .expect("A:\\>"), try type("v<enter>"), .expect("ver is 1.0"), .expect("A:\\>"),
      try type("d<enter>"), .expect("ver is 1.0"),
    ])
    #expect(run.stop == .instructionLimit && run.done == 5)
    // But the prompt that follows is.
    let prompt = try self.run([
      .expect("A:\\>"), try type("v<enter>"), .expect("ver is 1.0"), .expect("A:\\>"),
      try type("d<enter>"), .expect("A:\\>"),
    ])
    #expect(prompt.stop == .expectationMet)
  }

  @Test func blanksAtTheEndCount() throws {
    #expect(
      try run([.expect(">"), try type("s<enter>"), .expect("# ")]).stop == .expectationMet)
    #expect(
      try run([.expect(">"), try type("p<enter>"), .expect("Password: ")]).stop == .expectationMet)
    #expect(try run([.expect(">"), try type("v<enter>"), .expect("ver is 1.0x")]).done == 2)
  }

  @Test func textThatIsOverwrittenIsSeen() throws {
    let run = try run([
      .expect(">"), try type("k<enter>"), .expect("50%"), .expect("57%"), .expect(">"),
    ])
    #expect(run.stop == .expectationMet)
  }

  @Test func aLineIsAllOfALine() throws {
    let steps: [ScriptStep] = [.expect(">"), try type("v<enter>")]
    #expect(try run(steps + [try expect(.line, "ver is 1.0")]).stop == .expectationMet)
    #expect(try run(steps + [try expect(.line, "A:\\>")]).stop == .expectationMet)
    #expect(try run(steps + [try expect(.line, "ver is")]).done == 2)
    let serial: [ScriptStep] = [.expect(">"), try type("s<enter>")]
    #expect(try run(serial + [try expect(.line, "over COM1")]).stop == .expectationMet)
    #expect(try run(serial + [try expect(.line, "#")]).stop == .expectationMet)
    #expect(try run(serial + [try expect(.line, "COM1")]).done == 2)
  }

  @Test func aRegularExpressionMatchesWithinALine() throws {
    let steps: [ScriptStep] = [.expect(">"), try type("v<enter>")]
    #expect(try run(steps + [try expect(.regex, "is [0-9]+\\.[0-9]$")]).stop == .expectationMet)
    #expect(try run(steps + [try expect(.regex, "^is")]).done == 2)
    let serial: [ScriptStep] = [.expect(">"), try type("s<enter>")]
    #expect(try run(serial + [try expect(.regex, "^over COM\\d$")]).stop == .expectationMet)
    #expect(try run(serial + [try expect(.regex, "^# $")]).stop == .expectationMet)
    // As a line that is expected, blanks aside.
    #expect(try run(serial + [try expect(.regex, "^#$")]).stop == .expectationMet)
  }

  @Test func goneIsGone() throws {
    let run = try run([
      .expect(">"), try type("b<enter>"), .expect("Busy"), try expect(.gone, "Busy"),
    ])
    #expect(run.stop == .expectationMet)
    #expect(!run.screen.joined().contains("Busy"))
    let stays = try self.run([.expect("A:\\>"), try expect(.gone, "A:\\>")])
    #expect(stays.stop == .instructionLimit)
  }

  @Test func anExpectationHasItsOwnTime() throws {
    let late = try run([
      .expect(">"), try type("v<enter>"), try expect(.text, "ver is", within: 0.1),
    ])
    #expect(late.stop == .expectationMissed && late.done == 2)
    let early = try run([
      .expect(">"), try type("v<enter>"), try expect(.text, "ver is", within: 1),
    ])
    #expect(early.stop == .expectationMet)
  }

  @Test func whatCanNeverBeMetIsRefused() {
    for (kind, text) in [
      (Awaited.Kind.text, ""), (.text, "  "), (.line, "a\nb"), (.regex, "(a"), (.gone, ""),
    ] {
      #expect(throws: Awaited.Problem.self) { try Awaited(kind, text) }
    }
  }

  @Test func aRunWithAScriptIsRepeatable() throws {
    let steps: [ScriptStep] = [
      .expect(">"), try type("m<enter>"), .expect("needle"), .expect(">"), try type("c<enter>"),
      .expect(">"),
    ]
    let first = try run(steps)
    #expect(first.stop == .expectationMet)
    for engine in [Engine.interpreter, nil] {
      let again = try run(steps, engine: engine)
      #expect(again.instructions == first.instructions && again.hash == first.hash)
    }
  }

  @Test func watchingNeverShowsInTheGuest() throws {
    let steps = [try type("m<enter>c<enter>v<enter>")]
    #expect(try run(steps).hash == run(steps + [.expect("never")]).hash)
  }
}
