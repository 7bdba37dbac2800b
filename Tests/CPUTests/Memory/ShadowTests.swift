// RAM beneath the adapters: PAM and SMRAM registers as processors, bus masters and debuggers see them.
// Expectations: Intel 82441FX data sheet, PAM and SMRAM registers.

import Bus
import Testing
import Translator
import TranslatorX86_64

@testable import CPU

@Suite struct ShadowTests {
  private static let segment: UInt32 = 0xC8000
  private let memory: PhysicalMemory

  init() throws {
    memory = try PhysicalMemory(ramSize: 4 << 20)
    try memory.mapROM([0x55, 0xAA, 0x01, 0x02], at: Self.segment)
  }

  private func set(read: Bool, write: Bool) {
    memory.setShadow(Self.segment...Self.segment + 0x3FFF, readRAM: read, writeRAM: write)
  }

  private func byte(_ offset: UInt32) -> UInt32 {
    memory.read(Physical(Self.segment + offset), width: 1)
  }

  private func dma(_ offset: UInt32, _ bytes: [UInt8]) {
    bytes.withUnsafeBytes {
      BusMasterView(memory).write(PhysicalAddress(UInt64(Self.segment + offset)), from: $0)
    }
  }

  private func dma(_ address: UInt64) -> UInt8 {
    var bytes: [UInt8] = [0]
    bytes.withUnsafeMutableBytes {
      BusMasterView(memory).read(PhysicalAddress(address), into: $0)
    }
    return bytes[0]
  }

  @Test func readsAndWritesGoTheirOwnWays() {
    let place = Physical(Self.segment)
    // Only written: the ROM is read while the RAM beneath takes what is written.
    set(read: false, write: true)
    memory.write(place, 0x11, width: 1)
    dma(1, [0x22])
    #expect((byte(0), byte(1)) == (0x55, 0xAA))
    #expect(dma(UInt64(place)) == 0x55)
    // Only read.
    set(read: true, write: false)
    #expect((byte(0), byte(1)) == (0x11, 0x22))
    memory.write(place, 0x99, width: 1)
    dma(1, [0x99])
    #expect((byte(0), byte(1)) == (0x11, 0x22))
    #expect(dma(UInt64(place) + 1) == 0x22)
    // A debugger changes what it sees.
    let debugger = DebuggerView(memory)
    #expect(debugger.kind(at: PhysicalAddress(place)) == .ram)
    #expect(debugger.change(PhysicalAddress(place), [0x33]) == 1)
    #expect(byte(0) == 0x33)
    set(read: true, write: true)
    memory.write(place, 0x44, width: 1)
    #expect(byte(0) == 0x44)
    set(read: false, write: false)
    memory.write(place, 0x99, width: 1)
    #expect(byte(0) == 0x55)
    #expect(debugger.kind(at: PhysicalAddress(place)) == .rom)
    #expect(debugger.change(PhysicalAddress(place), [0x99]) == 0)
    // The neighbours are nobody's.
    #expect(memory.read(place + 0x4000, width: 1) == 0xFF)
    set(read: true, write: true)
    #expect(byte(0) == 0x44)
  }

  private final class Card: Registers {
    var log: [String] = []
    func read(at offset: UInt32, width: Int) -> UInt32 {
      log.append("r\(offset)")
      return 0x77
    }
    func write(at offset: UInt32, _ value: UInt32, width: Int) { log.append("w\(offset)") }
  }

  /// What does not go to RAM goes to the bus.
  @Test func aDeviceBeneathGetsItsHalf() {
    let card = Card()
    memory.map(.of(card), at: 0xD0000, count: 0x4000)
    let range = UInt32(0xD0000)...0xD3FFF
    memory.setShadow(range, readRAM: true, writeRAM: false)
    #expect(memory.read(0xD0004, width: 1) == 0)
    memory.write(0xD0004, 1, width: 1)
    #expect(card.log == ["w4"])
    memory.setShadow(range, readRAM: false, writeRAM: true)
    #expect(memory.read(0xD0008, width: 1) == 0x77)
    memory.write(0xD0008, 0x12, width: 1)
    #expect(card.log == ["w4", "r8"])
    memory.setShadow(range, readRAM: true, writeRAM: true)
    #expect(memory.read(0xD0008, width: 1) == 0x12)
  }

  // MARK: Code

  /// mov cx,3000; top: mov byte [cs:patch],55h; mov al,11h; patch is its operand; loop top; hlt
  private static let patching: [UInt8] = [
    0xB9, 0xB8, 0x0B, 0x2E, 0xC6, 0x06, 0x0A, 0x00, 0x55, 0xB0, 0x11, 0xE2, 0xF6, 0xF4,
  ]

  private func processor(_ engine: Engine) throws -> CPU {
    let cpu = try CPU(model: .pentium2, memory: memory, bus: SystemBus())
    if engine == .translator { try Translator.attach(to: cpu, options: .all) }
    return cpu
  }

  private func run(_ cpu: CPU, _ selector: UInt16) -> UInt32 {
    var cs = cpu[segment: SegmentRegister.cs]
    cs.selector = selector
    cs.base = UInt32(selector) << 4
    cpu[segment: SegmentRegister.cs] = cs
    cpu.s.pointee.eip = 0
    cpu.s.pointee.halted = false
    cpu[Register.eax] = 0
    cpu.setDeadline(cpu.instructionCount + 100_000)
    #expect(cpu.run() == .halted)
    return cpu[Register.eax] & 0xFF
  }

  @Test(arguments: romEngines)
  func protectedCodeDoesNotChangeItself(engine: Engine) throws {
    let cpu = try processor(engine)
    set(read: false, write: true)
    dma(0, Self.patching)
    set(read: true, write: false)
    #expect(run(cpu, 0xC800) == 0x11)
    // A write by a bus master is lost as well; a debugger's is not, and the old code goes.
    dma(10, [0x66])
    #expect(run(cpu, 0xC800) == 0x11)
    #expect(DebuggerView(memory).change(PhysicalAddress(UInt64(Self.segment) + 10), [0x22]) == 1)
    #expect(run(cpu, 0xC800) == 0x22)
    // Nor does what a snapshot puts back leave old code behind.
    let old = [UInt8](memory.page(0xC8))
    var page = old
    page[10] = 0x33
    page.withUnsafeBytes { memory.setPage(0xC8, $0.baseAddress) }
    #expect(run(cpu, 0xC800) == 0x33)
    set(read: true, write: true)
    #expect(run(cpu, 0xC800) == 0x55)
    // Protected again it is what it has become.
    set(read: true, write: false)
    #expect(run(cpu, 0xC800) == 0x55)
  }

  /// A change of one segment leaves code and translations elsewhere.
  @Test(arguments: romEngines)
  func aChangeDropsWhatItConcernsOnly(engine: Engine) throws {
    let cpu = try processor(engine)
    Self.patching.withUnsafeBytes { memory.copyIn(0x2_0000, from: $0) }
    #expect(run(cpu, 0x2000) == 0x55)
    let (decoded, entries) = (cpu.codeStatistics.decoded, cpu.tables.filled.count)
    set(read: true, write: true)
    dma(0, Self.patching)
    set(read: true, write: false)
    // The same again: nothing at all.
    let before = cpu.codeStatistics.invalidated
    set(read: true, write: false)
    #expect(cpu.codeStatistics.invalidated == before)
    #expect(cpu.codeStatistics.decoded == decoded)
    #expect(cpu.codeStatistics.flushes <= 2)
    #expect(cpu.tables.filled.count == entries)
    #expect(cpu.tables.supervisorRead[0x20] != 0 || cpu.tables.supervisorWrite[0x20] != 0)
  }

  // MARK: SMRAM

  @Test(arguments: romEngines)
  func openSMRAMIsSeenByProcessorsOnly(engine: Engine) throws {
    let card = Card()
    memory.map(.of(card), at: 0xA0000, count: 0x20000, isMemory: true)
    let cpu = try processor(engine)
    memory.setSMRAM(isOpen: true)
    #expect(memory.deviceMemory(at: 0xA0000) == nil)
    for (n, byte) in Self.patching.enumerated() {
      memory.write(0xA0000 + Physical(n), UInt32(byte), width: 1)
    }
    #expect(run(cpu, 0xA000) == 0x55)
    #expect(card.log.isEmpty)
    // Bus masters reach the card.
    #expect(dma(0xA0000) == 0x77)
    [UInt8(0x99)].withUnsafeBytes { BusMasterView(memory).write(0xA0000, from: $0) }
    #expect(card.log == ["r0", "w0"])
    card.log = []
    #expect(memory.read(0xA0000, width: 1) == 0xB9)
    #expect(DebuggerView(memory).kind(at: 0xA0000) == .ram)
    memory.setSMRAM(isOpen: false)
    #expect(memory.read(0xA0000, width: 1) == 0x77)
    #expect(card.log == ["r0"])
    #expect(DebuggerView(memory).kind(at: 0xA0000) == .device)
    memory.setSMRAM(isOpen: true)
    #expect(run(cpu, 0xA000) == 0x55)
  }
}
