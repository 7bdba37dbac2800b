// Delivery of exceptions and interrupts by direct calls: the double-fault table, shutdown, real-mode vectors, NMI, hostile states.
// Expectations: Intel SDM volume 3, chapter 6 (table 6-5), section 20.1.

import Host
import State
import Testing

@testable import CPU

/// A bus that counts shutdowns.
private final class QuietBus: SystemBus {
  var shutdowns = 0
  override func shutdownCycle() { shutdowns += 1 }
}

@Suite struct ExceptionTests {
  private let bus = QuietBus()
  private let memory: PhysicalMemory
  private let cpu: CPU

  init() throws {
    memory = try PhysicalMemory(ramSize: 1 << 20)
    cpu = try CPU(model: .pentium2, memory: memory, bus: bus)
  }

  private func put(_ address: UInt32, _ value: UInt32) {
    memory.write(UInt64(address), value, width: 4)
  }
  private func get(_ address: UInt32) -> UInt32 { memory.read(UInt64(address), width: 4) }

  /// A flat 32-bit ring 0 with a GDT at 1000h and an IDT at 2000h whose gates lead to 5000h + vector.
  private func enterProtected() throws {
    put(0x1008, 0x0000_FFFF)
    put(0x100C, 0x00CF_9A00)
    put(0x1010, 0x0000_FFFF)
    put(0x1014, 0x00CF_9200)
    for vector in UInt32(0)..<32 {
      put(0x2000 + vector * 8, 0x0008_0000 | (0x5000 + vector))
      put(0x2004 + vector * 8, 0x8E00)
    }
    cpu.s.pointee.gdtBase = 0x1000
    cpu.s.pointee.gdtLimit = 0x17
    cpu.s.pointee.idtBase = 0x2000
    cpu.s.pointee.idtLimit = 0xFF
    try cpu.setCR0(CR0.pe)
    try cpu.farJump(selector: 8, offset: 0x4000, operand32: true)
    for index in [0, 2, 3, 4, 5] { try cpu.loadSegment(index, 0x10) }
    cpu[Register.esp] = 0x8000
  }

  /// Makes the gate of a vector absent, so that its delivery raises #NP.
  private func removeGate(_ vector: UInt32) { put(0x2004 + vector * 8, 0x0E00) }

  @Test func faultPushesErrorCodeAndRF() throws {
    try enterProtected()
    cpu.setEFLAGS(0x202)
    cpu.deliverFault(.gp(0x1234))
    #expect(cpu.s.pointee.eip == 0x500D)
    #expect(cpu[Register.esp] == 0x7FF0)
    #expect(get(0x7FF0) == 0x1234)
    #expect(get(0x7FF4) == 0x4000)
    #expect(get(0x7FF8) == 8)
    #expect(get(0x7FFC) == 0x1_0202)
    #expect(cpu.eflags == 2)
  }

  @Test func benignThenContributoryIsServedAlone() throws {
    try enterProtected()
    removeGate(6)
    cpu.deliverFault(.ud)
    // #NP for the absent gate of #UD: IDT bit and EXT.
    #expect(cpu.s.pointee.eip == 0x500B)
    #expect(get(0x7FF0) == 6 * 8 + 3)
  }

  @Test func contributoryTwiceIsDoubleFault() throws {
    for vector in [UInt8(0), 10, 11, 12, 13] {
      try enterProtected()
      removeGate(UInt32(vector))
      if vector == 11 {
        // #NP cannot tell of its own gate.
        cpu.deliverFault(.np(4))
      } else {
        cpu.deliverFault(Fault(vector: vector, errorCode: vector == 0 ? nil : 4))
      }
      #expect(cpu.s.pointee.eip == 0x5008, "vector \(vector)")
      #expect(get(0x7FF0) == 0)
    }
  }

  @Test func pageFaultThenContributoryIsDoubleFault() throws {
    try enterProtected()
    removeGate(14)
    cpu.deliverFault(.pf(2))
    #expect(cpu.s.pointee.eip == 0x5008)
  }

  @Test func contributoryThenPageFaultIsPageFault() throws {
    try enterProtected()
    // Everything is mapped but the page that ends with the gate of #GP; the gate of #PF begins the next one.
    put(0x10000, 0x11007)
    for page in UInt32(0)..<256 { put(0x11000 + page * 4, page << 12 | 7) }
    put(0x11000 + 0x20 * 4, 0)
    put(0x21000, 0x0008_0000 | 0x500E)
    put(0x21004, 0x8E00)
    cpu.s.pointee.cr3 = 0x10000
    try cpu.setCR0(CR0.pe | CR0.pg)
    cpu.s.pointee.idtBase = 0x21000 - 14 * 8
    cpu.deliverFault(.gp(0))
    #expect(cpu.s.pointee.eip == 0x500E)
    #expect(cpu.s.pointee.cr2 == 0x20FF8)
    #expect(get(0x7FF0) == 0)
  }

  @Test func faultInDoubleFaultShutsDown() throws {
    try enterProtected()
    removeGate(13)
    removeGate(8)
    cpu.deliverFault(.gp(0))
    #expect(cpu.s.pointee.shutdown)
    #expect(bus.shutdowns == 1)
    cpu.setDeadline(1000)
    #expect(cpu.run() == .shutdown)
    #expect(cpu.report().contains("shut down"))
  }

  @Test func realModeUsesTheVectorTable() throws {
    cpu[Register.esp] = 0x1000
    put(0x21 * 4, 0x1234_5678)
    cpu.setEFLAGS(0x302)
    cpu.s.pointee.eip = 0x100
    cpu.deliverExternalInterrupt(vector: 0x21)
    #expect(cpu[segment: 1].base == 0x12340)
    #expect(cpu.s.pointee.eip == 0x5678)
    #expect(cpu.eflags & 0x300 == 0)
    #expect(get(0xFFA) == 0xF000_0100)
    #expect(memory.read(0xFFE, width: 2) == 0x302)
  }

  @Test func realModeBeyondTheTableIsGeneralProtection() throws {
    cpu[Register.esp] = 0x1000
    cpu.s.pointee.idtLimit = 0x7F
    put(13 * 4, 0x0100_0013)
    cpu.deliverExternalInterrupt(vector: 0x21)
    #expect(cpu.s.pointee.eip == 0x13)
    // And a table without #GP and #DF shuts down.
    cpu.s.pointee.idtLimit = 0x1F
    cpu.deliverFault(.ud)
    #expect(!cpu.s.pointee.shutdown)
    cpu.deliverExternalInterrupt(vector: 0x21)
    #expect(cpu.s.pointee.shutdown)
  }

  @Test func nmiIsBlockedUntilIRET() throws {
    cpu[Register.esp] = 0x1000
    put(2 * 4, 0x0100_0022)
    cpu.raiseNMI()
    cpu.deliverNMI()
    #expect(cpu.s.pointee.eip == 0x22)
    #expect(cpu.s.pointee.nmiBlocked)
    try cpu.interruptReturn(operand32: false)
    #expect(!cpu.s.pointee.nmiBlocked)
    #expect(cpu.s.pointee.eip == 0xFFF0)
  }

  @Test func nmiWakesHaltWithInterruptsDisabled() throws {
    try enterProtected()
    memory.write(0x4000, 0xF4, width: 1)
    memory.write(0x5002, 0x90, width: 1)
    cpu.setDeadline(cpu.instructionCount + 10)
    #expect(cpu.run() == .halted)
    #expect(cpu.s.pointee.eflags & EFLAGS.if == 0)
    cpu.raiseNMI()
    cpu.setDeadline(cpu.instructionCount + 2)
    #expect(cpu.run() == .deadline)
    #expect(cpu.s.pointee.eip == 0x5003)
    #expect(get(cpu[Register.esp]) == 0x4001)
  }

  @Test func resetKeepsTheLevelOfINTR() {
    cpu.setINTR(true)
    cpu.reset()
    #expect(cpu.s.pointee.attention & Attention.intr != 0)
    cpu.setINTR(false)
    cpu.reset()
    #expect(cpu.s.pointee.attention & Attention.intr == 0)
  }

  @Test func disassemblerTellsFencesFromCacheLines() {
    let disassembler = Disassembler(model: .pentium4)
    #expect(disassembler.text([0x0F, 0xAE, 0xF8], mode: .bits32, eip: 0)?.text == "sfence")
    #expect(
      disassembler.text([0x0F, 0xAE, 0x3B], mode: .bits32, eip: 0)?.text == "clflush byte [ebx]")
  }

  @Test func hostileStatesAreRefused() throws {
    var writer = StateWriter()
    cpu.save(to: &writer)
    // Cut anywhere: an error, never a trap.
    for count in 0..<writer.bytes.count {
      var reader = StateReader(Array(writer.bytes[..<count]))
      #expect(throws: StateError.self) {
        try cpu.restore(from: &reader, version: CPU.stateVersion)
      }
    }
    // Any byte spoiled: refused or taken, and then still runnable.
    for at in writer.bytes.indices {
      for value in [UInt8(0xFF), 0x80, 0x01] {
        var bytes = writer.bytes
        bytes[at] ^= value
        var reader = StateReader(bytes)
        try? cpu.restore(from: &reader, version: CPU.stateVersion)
        cpu.s.pointee.retired = 0
        cpu.setDeadline(20)
        _ = cpu.run()
        _ = cpu.report()
        cpu.reset()
      }
    }
  }

  /// What protected mode made unusable is usable in real mode again, with its old limit.
  @Test func nullSegmentsComeBackInRealMode() throws {
    try enterProtected()
    try cpu.loadSegment(SegmentRegister.fs, 0)
    #expect(throws: Fault.gp(0)) { try cpu.linearForRead(SegmentRegister.fs, 0, 1) }
    try cpu.setCR0(0)
    try cpu.loadSegment(SegmentRegister.fs, 0x1234)
    #expect(try cpu.linearForRead(SegmentRegister.fs, 0xFFFF, 1) == 0x2233F)
  }

  @Test func unknownMSRFaults() throws {
    #expect(throws: Fault.gp(0)) { try cpu.readMSR(0x12345) }
    try cpu.writeMSR(MSR.sysenterCS, 8)
    #expect(try cpu.readMSR(MSR.sysenterCS) == 8)
    let old = try CPU(model: .i486, memory: memory, bus: bus)
    #expect(throws: Fault.ud) { try old.executeRDMSR() }
  }
}
