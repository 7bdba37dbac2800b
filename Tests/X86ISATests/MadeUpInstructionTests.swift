// A made-up instruction: the module X86ISA once more, with a table that has two lines more. Nothing else knows of them.
// Expectations: the form of the table as told in Sources/X86ISA/Table/integer.txt; Intel SDM volume 2, chapter 2 (ModRM).

import Testing
import X86ISAFixture

@Suite("An instruction added to the table") struct MadeUpInstructionTests {
  private let all = CPUFeatures(rawValue: .max)

  private func decode(_ bytes: [UInt8], _ features: CPUFeatures? = nil) -> Instruction {
    var i = Instruction()
    let padded = bytes + [UInt8](repeating: 0x90, count: 15)
    let result = Decoder(features: features ?? all).decode(
      padded, count: padded.count, mode: .bits32, into: &i)
    #expect(result == .ok)
    return i
  }

  private func text(_ bytes: [UInt8], _ syntax: AssemblySyntax = .intel) -> String? {
    Disassembler(features: all).instruction(
      bytes + [0x90, 0x90], mode: .bits32, eip: 0, syntax: syntax)?.text
  }

  @Test("is decoded with its operands") func decoded() {
    let i = decode([0x0F, 0x04, 0xC8])
    #expect(i.op == .frob)
    #expect(i.handler == .mulDiv)
    #expect(i.length == 3)
    #expect(!i.hasMemory)
    // ECX and EAX in the register file.
    #expect(i.reg == 4 && i.rm == 0)
  }

  @Test("is undefined where the model lacks its feature") func feature() {
    #expect(decode([0x0F, 0x04, 0xC8], .i486).handler == .ud)
    #expect(decode([0x0F, 0x04, 0xC8], .p6).op == .frob)
  }

  @Test("takes memory, LOCK and immediates as its line says") func memoryForm() {
    let i = decode([0xF0, 0x0F, 0x05, 0x5B, 0x10, 0x07])
    #expect(i.op == .frobMemory)
    #expect(i.handler == .system)
    #expect(i.length == 6)
    #expect(i.hasLock && i.hasMemory)
    #expect(i.base == 12 && i.disp == 0x10 && i.imm == 7)
    // Another digit, a register, LOCK with the line that does not allow it.
    #expect(decode([0x0F, 0x05, 0x63, 0x10, 0x07]).handler == .ud)
    #expect(decode([0x0F, 0x05, 0xD8, 0x07]).handler == .ud)
    #expect(decode([0xF0, 0x0F, 0x04, 0x08]).handler == .ud)
  }

  @Test("is disassembled in both notations") func disassembled() {
    #expect(text([0x0F, 0x04, 0xC8]) == "frob ecx,eax")
    #expect(text([0x66, 0x0F, 0x04, 0xC8]) == "frob cx,ax")
    #expect(text([0x0F, 0x04, 0xC8], .att) == "frob %eax,%ecx")
    #expect(text([0x0F, 0x05, 0x5B, 0x10, 0x07]) == "frob qword [ebx+0x10],7")
  }

  @Test("has the flags of its line") func flags() {
    let entry = OpcodeTable.shared.entries[Int(decode([0x0F, 0x04, 0xC8]).entry)]
    #expect(entry.flagsRead == 1)
    #expect(entry.flagsWritten == 0x8D5)
    #expect(entry.flagsUndefined == 0)
    #expect(entry.features == .p6)
    let memory = OpcodeTable.shared.entries[Int(decode([0x0F, 0x05, 0x5B, 0x10, 0x07]).entry)]
    #expect(memory.flagsWritten == 0x40)
    #expect(memory.isLockable && memory.memorySize == 8)
  }

  @Test("leaves the others as they were") func others() {
    #expect(text([0x01, 0xC8]) == "add eax,ecx")
    #expect(text([0xD8, 0xC1]) == "fadd st0,st1")
    #expect(text([0x0F, 0x58, 0xC1]) == "addps xmm0,xmm1")
  }
}
