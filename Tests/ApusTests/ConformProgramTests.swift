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
    #expect(try Program.run(["--headless", "--fpu", "host"]).code == 64)
  }
}
