// The disassembler against objdump's output, and what it says beside the text.

import TestSupport
import Testing

@testable import CPU
@testable import X86ISA

@Suite struct DisassemblerTests {
  private let disassembler = Disassembler(model: .pentium4)

  @Test func textIsObjdumps() {
    var count = 0
    let table = DisassemblerTable.entries.description.filter { !$0.isNewline }
    for entry in table.split(separator: ";") {
      let words = entry.split(separator: " ", maxSplits: 2)
      guard words.count == 3 else { continue }
      let code = bytes(words[1])
      let shown = disassembler.instruction(
        code, mode: DecodeMode(big: words[0] == "32"), eip: 0, syntax: .att)
      #expect(shown?.text == String(words[2]), "\(entry)")
      #expect(shown?.length == code.count, "\(entry)")
      count += 1
    }
    #expect(count > 1500)
  }

  @Test(
    arguments: [
      ("d9c3", true, "fld st3"), ("dc0510000000", true, "fadd qword [0x10]"),
      ("8b08", true, "mov ecx,dword [eax]"), ("8bc8", true, "mov ecx,eax"),
      ("66c3", true, "o16 ret"), ("c3", false, "ret"), ("26a4", false, "es movsb"),
      ("64a4", false, "fs movsb"), ("67e2fe", true, "loop 1,cx"), ("f390", true, "pause"),
      ("0fc2c102", true, "cmpleps xmm0,xmm1"), ("f30f6f00", true, "movdqu xmm0,oword [eax]"),
      ("ff1e3412", false, "call far dword [0x1234]"), ("0f0b", true, "ud2"),
    ] as [(String, Bool, String)])
  func intelNotation(hex: String, big: Bool, text: String) {
    #expect(disassembler.text(bytes(hex), mode: DecodeMode(big: big), eip: 0)?.text == text)
  }

  @Test func targetsAndOperandsAreTold() throws {
    let jump = try #require(
      disassembler.instruction(
        [0x75, 0x10], mode: .bits16, eip: 0x100, syntax: .intel,
        symbol: { $0 == 0x112 ? "there" : nil }))
    #expect(jump.text == "jnz 0x112 <there>")
    #expect(jump.flow == .conditional)
    #expect(jump.target == 0x112)
    // NZ.
    #expect(jump.condition == .flags(5))
    let far = try #require(
      disassembler.instruction([0xEA, 0, 1, 0, 0xF0], mode: .bits16, eip: 0, syntax: .intel))
    #expect(far.flow == .jump && far.farSelector == 0xF000 && far.target == 0x100)
    let load = try #require(
      disassembler.instruction([0x8B, 0x44, 0x8D, 0x08], mode: .bits32, eip: 0, syntax: .intel))
    #expect(
      load.memory
        == MemoryReference(
          segment: 2, base: 5, index: 1, scale: 2, displacement: 8, addressMask: UInt32.max,
          size: 4, isAddressOnly: false))
    #expect(
      disassembler.instruction([0x8D, 0x00], mode: .bits32, eip: 0, syntax: .intel)?.memory?
        .isAddressOnly == true)
    #expect(
      disassembler.instruction([0xF3, 0xA4], mode: .bits32, eip: 0, syntax: .intel)?.flow
        == .repeated)
    #expect(disassembler.instruction([0xE8, 0, 0], mode: .bits32, eip: 0, syntax: .intel) == nil)
  }

  @Test func everythingHasATextOrIsBad() {
    var seed: UInt64 = 1
    for _ in 0..<200_000 {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let value = seed ^ seed >> 29
      let code = (0..<15).map { UInt8(truncatingIfNeeded: (value &* UInt64($0 + 1)) >> 23) }
      for syntax in [AssemblySyntax.intel, .att] {
        let shown = disassembler.instruction(
          code, mode: DecodeMode(big: seed >> 63 != 0), eip: 0, syntax: syntax)
        #expect(shown.map { !$0.text.isEmpty && (1...15).contains($0.length) } ?? true)
      }
    }
  }
}
