// `apus conform` as a user runs it: ROM images, kernels, expected states, tests in JSON.

import Foundation
import Testing

/// A 64 KB ROM: the code at F0000h, and a jump to it where the processor starts.
private func rom(_ code: [UInt8]) -> [UInt8] {
  var bytes = code + [UInt8](repeating: 0xF4, count: 0x10000 - code.count)
  bytes.replaceSubrange(0xFFF0..<0xFFF5, with: [0xEA, 0x00, 0x00, 0x00, 0xF0])
  return bytes
}

/// POST codes 11h and AAh, "Hi" on port E9h, EAX 12345678h, `cli / hlt`.
private let romCode: [UInt8] = [
  0xB0, 0x11, 0xE6, 0x80, 0xB0, 0x48, 0xE6, 0xE9, 0xB0, 0x69, 0xE6, 0xE9, 0xB0, 0xAA, 0xE6, 0x80,
  0x66, 0xB8, 0x78, 0x56, 0x34, 0x12, 0xFA, 0xF4,
]

/// A multiboot kernel of 32-bit code at 100000h, by the address fields of its header.
private func kernel(_ code: [UInt8]) -> [UInt8] {
  let load: UInt32 = 0x10_0000
  let flags: UInt32 = 0x1_0000
  let magic: UInt32 = 0x1BAD_B002
  let end = load + 32 + UInt32(code.count)
  let words = [magic, flags, 0 &- magic &- flags, load, load, end, end, load + 32]
  return words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    + code
}

@Suite(.enabled(if: Program.path != nil), .serialized) struct ConformProgramTests {
  private func conform(_ arguments: [String]) throws -> Finished {
    try Program.run(["conform"] + arguments)
  }

  @Test func romsAreJudgedByPostCodesAndOutput() throws {
    let scratch = try Scratch()
    let image = try scratch.file("rom.bin", rom(romCode))
    let output = try scratch.file("output.txt", Array("Hi".utf8))
    let other = try scratch.file("other.txt", Array("Ho".utf8))
    #expect(try conform(["program", image, "--expect-post", "11,aa"]).code == 0)
    #expect(try conform(["program", image, "--expect-post", "aa,11"]).code == 1)
    #expect(
      try conform(["program", image, "--text-port", "e9", "--expect-output", output]).code == 0)
    let wrong = try conform(["program", image, "--text-port", "e9", "--expect-output", other])
    #expect(wrong.code == 1)
    #expect(wrong.output.contains("at offset 1, line 1"))
    // Nothing to judge by.
    #expect(try conform(["program", image]).code == 64)
  }

  @Test func romsAndKernelsAreJudgedByTheirState() throws {
    let scratch = try Scratch()
    let image = try scratch.file("rom.bin", rom(romCode))
    func state(_ name: String, _ body: String) throws -> String {
      let json = "{ \"format\": \"apus-state-test/1\", \"expected\": { \(body) } }"
      return try scratch.file(name, Array(json.utf8))
    }
    let good = try state("good.json", "\"eax\": \"12345678\", \"cs\": \"F000\"")
    let bad = try state("bad.json", "\"eax\": \"12345679\"")
    #expect(try conform(["program", image, "--expect-state", good]).code == 0)
    let wrong = try conform(["program", image, "--expect-state", bad])
    #expect(wrong.code == 1)
    #expect(wrong.output.contains("eax: 12345678, expected 12345679, differs in 00000001"))
    // fld1 / mov [200000h],esp is not needed: st0 and memory tell enough. mov byte [200000h],5 / cli / hlt
    let code: [UInt8] = [0xDB, 0xE3, 0xD9, 0xE8, 0xC6, 0x05, 0, 0, 0x20, 0, 5, 0xFA, 0xF4]
    let file = try scratch.file("kernel.bin", kernel(code))
    let after = try state(
      "kernel.json",
      "\"st0\": \"3FFF8000000000000000\", \"ftw\": \"3FFF\", "
        + "\"memory\": [ { \"address\": \"200000\", \"bytes\": \"05\" } ]")
    #expect(try conform(["program", file, "--expect-state", after]).code == 0)
    let damaged = try scratch.file("damaged.json", Array("{ \"format\": ".utf8))
    let text = try conform(["program", file, "--expect-state", damaged])
    #expect(text.code == 2)
    #expect(text.output.contains("damaged.json: at offset 12"))
  }

  @Test(arguments: ["interpreter", "translator", "lockstep"])
  func romsRunInEveryEngine(engine: String) throws {
    let scratch = try Scratch()
    let image = try scratch.file("rom.bin", rom(romCode))
    let arguments = ["program", image, "--engine", engine]
    #expect(try conform(arguments + ["--expect-post", "11,aa"]).code == 0)
    #expect(try conform(arguments + ["--post-port", "e9", "--expect-post", "48,69"]).code == 0)
    #expect(try conform(arguments + ["--expect-post", "aa,12"]).code == 1)
  }

  @Test func whatCannotBeMeantIsToldAtOnce() throws {
    let scratch = try Scratch()
    let image = try scratch.file("rom.bin", rom(romCode))
    let vectors = try scratch.file(
      "extF80_add.near_even.p80.txt",
      Array("3FFF8000000000000000 3FFF8000000000000000 40008000000000000000 00\n".utf8))
    for (arguments, words) in [
      (["program", image, "--expect-exit", "200"], "0 to 127"),
      (
        ["program", image, "--post-port", "20", "--expect-post", "aa"], "port 20h belongs to 'pic'"
      ),
      (["host", "--cases", "0"], "nothing to run"),
      (["engines", "--filter", "nosuch"], "no instruction matches 'nosuch'"),
      (["engines", "--first", "18446744073709551615", "--cases", "9"], "numbers of cases end"),
      ([vectors, "--explain", "extF80_add*:2"], "no test 2"),
      ([vectors, "--json", "-", "--junit", "-"], "only one of them"),
    ] as [([String], String)] {
      let run = try conform(arguments)
      if run.code == 74 { continue }
      #expect(run.code == 64, "\(arguments)")
      #expect(run.error.contains(words), "\(arguments): \(run.error)")
    }
    #expect(try conform([vectors, "--explain", "extF80_add*:1"]).output.contains("passes"))
  }

  @Test func theX87IsChosenWhereThereIsAChoice() throws {
    let scratch = try Scratch()
    let image = try scratch.file("rom.bin", rom(romCode))
    let refused = try conform(["program", image, "--expect-post", "aa", "--fpu", "host"])
    #expect(refused.code == 64)
    #expect(refused.error.contains("the interpreter's x87 is portable software"))
  }

  @Test func kernelsFindTheTestDevice() throws {
    let scratch = try Scratch()
    // mov eax,11223344h / out E0h,eax / in al,E1h / mov [FF000005h],al / mov al,[FF000005h] / sub al,33h / out F4h,al / jmp $
    let code: [UInt8] = [
      0xB8, 0x44, 0x33, 0x22, 0x11, 0xE7, 0xE0, 0xE4, 0xE1, 0xA2, 5, 0, 0, 0xFF, 0xB0, 0, 0xA0, 5,
      0, 0, 0xFF, 0x2C, 0x33, 0xE6, 0xF4, 0xEB, 0xFE,
    ]
    let file = try scratch.file("kernel.bin", kernel(code))
    #expect(try conform(["program", file]).code == 0)
  }

  @Test func kernelsMayFindNothingToTest() throws {
    let scratch = try Scratch()
    // mov al,38 / out F4h,al / jmp $
    let file = try scratch.file("kernel.bin", kernel([0xB0, 38, 0xE6, 0xF4, 0xEB, 0xFE]))
    let run = try conform(["program", file])
    #expect(run.code == 0)
    #expect(run.output.contains("excluded 1: exit status 77"))
    #expect(try conform(["program", file, "--expect-exit", "0"]).code == 1)
  }

  @Test func tripleFaultsMayReset() throws {
    let scratch = try Scratch()
    // A mark in memory: mov bx,[500h] / cmp bx,1234h / je done / mov word [500h],1234h / lidt [cs:zero] / int3 / done: mov al,AAh / out
    // 80h,al / cli / hlt; zero: six zeros
    let code: [UInt8] = [
      0x31, 0xC0, 0x8E, 0xD8, 0x8B, 0x1E, 0x00, 0x05, 0x81, 0xFB, 0x34, 0x12, 0x74, 0x0D, 0xC7,
      0x06, 0x00, 0x05, 0x34, 0x12, 0x2E, 0x0F, 0x01, 0x1E, 0x21, 0x00, 0xCC, 0xB0, 0xAA, 0xE6,
      0x80, 0xFA, 0xF4, 0, 0, 0, 0, 0, 0,
    ]
    let image = try scratch.file("rom.bin", rom(code))
    #expect(try conform(["program", image, "--expect-post", "aa"]).code == 1)
    #expect(
      try conform(["program", image, "--expect-post", "aa", "--reset-on-triple-fault"]).code == 0)
  }

  @Test func kernelsAreJudgedByTheirExitValue() throws {
    let scratch = try Scratch()
    // xor eax,eax (or mov al,3) / out F4h,al / jmp $
    let passes = try scratch.file("passes.bin", kernel([0x31, 0xC0, 0xE6, 0xF4, 0xEB, 0xFE]))
    let fails = try scratch.file("fails.bin", kernel([0xB0, 0x03, 0xE6, 0xF4, 0xEB, 0xFE]))
    #expect(try conform(["program", passes]).code == 0)
    let both = try conform(["program", passes, fails])
    #expect(both.code == 1)
    #expect(both.output.contains("exit value 3, expected exit value 0"))
    #expect(try conform(["program", fails, "--expect-exit", "3"]).code == 0)
  }

  @Test func imagesWithTheirOwnModeNeedNoMachine() throws {
    let scratch = try Scratch()
    let image = try scratch.file("add.bin", [0x01, 0xD8, 0xF4])
    let json = """
      { "format": "apus-state-test/1", "mode": "protected32", "address": "200000",
        "initial": { "eax": 1, "ebx": 2 }, "expected": { "eax": 3, "eip": "200003" } }
      """
    let test = try scratch.file("add.json", Array(json.utf8))
    #expect(try conform(["program", image, "--expect-state", test]).code == 0)
    // Without an image the test itself cannot run.
    #expect(try conform([test]).code == 2)
    let whole = json.replacingOccurrences(of: "\"mode\"", with: "\"image\": \"add.bin\", \"mode\"")
    let other = try scratch.file("whole.json", Array(whole.utf8))
    #expect(try conform([other]).code == 0)
    #expect(try conform([other, "--engine", "translator"]).code == 0)
  }

  @Test func enginesAndUnitsThatAreNotThereAreTold() throws {
    #expect(try conform(["x", "--engine", "lockstep"]).code == 64)
    #expect(try conform(["x", "--engine", "magic"]).code == 64)
    #expect(try conform(["x", "--fpu", "host"]).code == 64)
    #expect(try conform(["host", "--cases", "1", "--fpu", "soft"]).code == 64)
    #expect(try Program.run(["--headless", "--engine", "interpreter", "--fpu", "host"]).code == 64)
  }
}
