// A host that is not as one would like it: closed descriptors, pipes in place of files, names that are no text, ignored signals.

import Foundation
import Host
import Testing

@testable import ApusCommand

@Suite(.enabled(if: Program.path != nil), .serialized) struct HostileStartTests {
  @Test func closedDescriptorsDoNotBecomeTheImage() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", halts)
    let before = try Data(contentsOf: URL(fileURLWithPath: image))
    for closed in ["2>&-", ">&-", "<&-", ">&- 2>&-", "<&- >&-", "<&- >&- 2>&-"] {
      _ = try shell("$APUS --headless '\(image)' \(closed)")
      #expect(try Data(contentsOf: URL(fileURLWithPath: image)) == before, "\(closed)")
    }
    #expect(try shell("$APUS --headless '\(image)' >&-").code == 0)
    // Output that was asked for is lost.
    #expect(try shell("$APUS --headless --json '\(image)' >&-").code == 74)
    #expect(try shell("$APUS --help >&-").code == 74)
    #expect(try shell("$APUS schema run >&-").code == 74)
  }

  @Test func namedPipesAreNoOutput() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", halts)
    let pipe = scratch.path("pipe")
    _ = try shell("mkfifo '\(pipe)'")
    for option in [
      "--save-state", "--debug-console", "--screenshot", "--record", "--serial file:",
    ] {
      let word = option.hasSuffix(":") ? "\(option)\(pipe)" : "\(option) '\(pipe)'"
      let result = try shell("$APUS --headless --timeout 20 '\(image)' \(word)")
      #expect(result.code == 64 && result.error.contains("named pipe"), "\(word): \(result.error)")
    }
    let conform = try shell("$APUS conform engines --cases 1 --json '\(pipe)'")
    #expect(conform.code == 64)
    // What is open already is none that could hold anything up.
    let output = try shell(
      "$APUS --headless --save-state /dev/stdout '\(image)' | head -c 4 | wc -c")
    #expect(output.output.contains("4"))
  }

  @Test func namesThatAreNoTextStayAsTheyAre() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", halts)
    let folder = scratch.folder.path
    let result = try shell(
      """
      cd '\(folder)' && n=$(printf 'q\\351\\n.img') && cp '\(image)' "$n" &&
      $APUS --headless "$n" --save-state "$(printf 's\\377')" && test -s "$(printf 's\\377')" && ls -b | wc -l
      """)
    #expect(result.code == 0, "\(result.error)")
    #expect(result.output.contains("3"))
    let missing = try shell("$APUS --headless \"$(printf 'no\\351\\nx')\"")
    #expect(missing.code == 64 && missing.error.contains("no\\xe9\\x0ax"), "\(missing.error)")
  }

  @Test func everyNameComesBack() {
    var bytes: [UInt8] = (1...255).map { $0 } + Array("é\u{F7C1}\u{10FFFF}".utf8) + [0xC3]
    for _ in 0..<256 {
      #expect(HostPath.bytes(HostPath.decode(bytes)) == bytes)
      #expect(HostPath.bytes(HostPath.decode(bytes, controls: false)) == bytes)
      bytes.append(bytes.removeFirst())
    }
    #expect(HostPath.text(HostPath.decode(Array("a\nb".utf8))) == "a\nb")
  }

  @Test func whatWasIgnoredAtTheStartStaysIgnored() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", loops)
    for (name, ends) in [("HUP", false), ("INT", false), ("TERM", true)] {
      let ignored = ends ? "" : "trap '' \(name);"
      let result = try shell(
        "\(ignored) $APUS --headless --timeout 3 '\(image)' & p=$!; sleep 1; kill -\(name) $p; wait $p; echo $?"
      )
      #expect(result.output == (ends ? "143\n" : "2\n"), "\(name): \(result.error)")
    }
  }

  @Test func signalsEndTheDebuggerAndGdb() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", loops)
    let (socket, state) = (scratch.path("gdb"), scratch.path("state"))
    let gdb = try shell(
      "$APUS --headless --json --gdb 'unix:\(socket)' --save-state '\(state)' '\(image)' & p=$!; sleep 1; "
        + "kill -TERM $p; wait $p; echo $? >&2")
    #expect(gdb.error.hasSuffix("143\n") && gdb.output.contains("apus-run"), "\(gdb.error)")
    #expect(FileManager.default.fileExists(atPath: state))
    #expect(!FileManager.default.fileExists(atPath: socket))
    let pipe = scratch.path("pipe")
    let console = try shell(
      "mkfifo '\(pipe)'; sleep 4 > '\(pipe)' & $APUS debug --headless '\(image)' < '\(pipe)' & p=$!; sleep 1; "
        + "kill -TERM $p; wait $p; echo $?")
    #expect(console.output.hasSuffix("143\n"), "\(console.error)")
  }

  @Test func aDeletedImageIsMissed() throws {
    let scratch = try Scratch()
    // INT 13h AH=03 for ever: `mov dx, 80h / mov cx, 2 / mov ax, 0301h / mov bx, 7C00h / int 13h / jmp`
    let writes: [UInt8] = [
      0x31, 0xC0, 0x8E, 0xC0, 0xBA, 0x80, 0x00, 0xB9, 0x02, 0x00, 0xB8, 0x01, 0x03, 0xBB, 0x00,
      0x7C, 0xCD, 0x13, 0xEB, 0xF0,
    ]
    let floppy = try scratch.floppy("boot.img", writes)
    let disk = try scratch.file("disk.img", [UInt8](repeating: 0, count: 4 << 20))
    let result = try shell(
      "$APUS --headless --floppy-a '\(floppy)' --disk '\(disk)' --timeout 3 & p=$!; sleep 1.5; rm '\(disk)'; wait $p"
    )
    #expect(result.code == 74 && result.error.contains("deleted"), "\(result.error)")
  }

  @Test func theDebuggerDoesNotWriteOverTheMachine() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", loops)
    let before = try Data(contentsOf: URL(fileURLWithPath: image))
    for command in [
      "trace on \(image)", "screen \(image)", "save state \(image)", "save memory \(image) 0 10",
      "trace on /nonexistent/x",
    ] {
      let result = try Program.run([
        "debug", "--headless", image, "--command", command, "--command", "s",
      ])
      #expect(result.code == 10 && result.output.contains("error"), "\(command): \(result.output)")
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: image)) == before)
  }

  @Test func commandLinesThatDropSomethingAreRefused() throws {
    func complaint(_ arguments: [String]) -> String {
      do {
        try ArgumentScan(arguments).check()
        _ = try ApusOptions.parse(arguments)
        return ""
      } catch { return (error as? Failure)?.message ?? "\(error)" }
    }
    #expect(complaint(["--screenshot", "a", "--screenshot", "b"]).contains("given twice"))
    #expect(complaint(["--device", "lpt", "--device", "uart"]) == "")
    #expect(complaint(["-m", "4", "--memory", "8"]).contains("the same"))
    #expect(complaint(["-hda", "a", "--hda=b"]).contains("the same"))
    #expect(complaint(["--expect", "a", "--expect", "b", "-fda", "x", "-fda", "y"]).isEmpty)
    #expect(complaint([""]).contains("an image's name is empty"))
    #expect(complaint(["--bios", ""]).contains("--bios"))
    for (option, value, words) in [
      ("-m", "-1", "1 to 16384"), ("--timeout", "-1", "more than 0"), ("--speed", "-1", "factor"),
    ] {
      let result = try Program.run(["--headless", option, value])
      #expect(result.code == 64 && result.error.contains(words), "\(result.error)")
    }
  }

  @Test func anImageThatIsOnlyReadMayBeGivenTwice() throws {
    let scratch = try Scratch()
    let image = try scratch.floppy("boot.img", halts)
    #expect(
      try Program.run(["--headless", "-fda", image + ":ro", "-fdb", image + ":ro"]).code == 0)
    #expect(try Program.run(["--headless", "-fda", image + ":ro", "-fdb", image]).code == 64)
  }
}
