// System management mode of one processor: models, RSM's checks, hostile maps, what outlasts an SMI, who sees SMRAM.
// Expectations: Intel SDM volume 3, chapter "System Management Mode"; Intel 82441FX data sheet, SMRAM register. The map, and what a guest sees
// of the mode: TestROMs/devices/smm.

import Bus
import State
import Testing
import Translator
import TranslatorX86_64

@testable import CPU

@Suite struct ManagementTests {
  /// Port B2h is wired to SMI#.
  private final class Wires: SystemBus {
    weak var cpu: CPU?
    override func portWrite(_ port: UInt16, _ value: UInt32, width: Int) {
      if port == 0xB2 { cpu?.raiseSMI() }
    }
  }

  private struct World {
    let memory: PhysicalMemory
    let cpu: CPU

    init(_ engine: Engine, _ model: CPUModel = .pentium2) throws {
      memory = try PhysicalMemory(ramSize: 4 << 20)
      let wires = Wires()
      cpu = try CPU(model: model, memory: memory, bus: wires)
      wires.cpu = cpu
      if engine == .translator { try Translator.attach(to: cpu, options: .all) }
    }

    func put(_ address: UInt32, _ bytes: [UInt8]) {
      bytes.withUnsafeBytes { memory.copyIn(address, from: $0) }
    }
    func put(_ address: UInt32, word: UInt32) {
      withUnsafeBytes(of: word.littleEndian) { memory.copyIn(address, from: $0) }
    }

    /// Begins at the start of a segment in real mode.
    func run(_ selector: UInt16, instructions: UInt64 = 2_000_000) -> RunExit {
      var cs = cpu[segment: SegmentRegister.cs]
      cs.selector = selector
      cs.base = UInt32(selector) << 4
      cpu[segment: SegmentRegister.cs] = cs
      cpu.s.pointee.eip = 0
      cpu.s.pointee.halted = false
      return goOn(instructions)
    }
    func goOn(_ instructions: UInt64) -> RunExit {
      cpu.setDeadline(cpu.instructionCount + instructions)
      return cpu.run()
    }
  }

  /// out B2h,al / hlt
  private static let request: [UInt8] = [0xE6, 0xB2, 0xF4]

  @Test(arguments: romEngines)
  func a386HasNoSuchMode(engine: Engine) throws {
    let world = try World(engine, .i386)
    world.put(0x18, [0x00, 0x00, 0x00, 0x50])
    world.put(0x5_0000, [0xF4])
    world.put(0x2_0000, [0xE6, 0xB2, 0x0F, 0xAA, 0xF4])
    #expect(world.run(0x2000) == .halted)
    #expect(world.cpu[segment: SegmentRegister.cs].selector == 0x5000)
    #expect(!world.cpu.isInManagementMode)
    #expect(world.cpu.snapshot().managementBase == nil)
  }

  @Test(
    arguments: [CPUModel.i486, .pentium, .pentium2, .pentium4], [0x4_0010, 0x4_8000] as [UInt32])
  func onlyLaterModelsHaveTheirMemoryAnywhere(model: CPUModel, base: UInt32) throws {
    let world = try World(.interpreter, model)
    world.put(0x2_0000, Self.request)
    // mov dword [3FEF8h],base / rsm
    world.put(0x3_8000, [0x66, 0x67, 0xC7, 0x05, 0xF8, 0xFE, 0x03, 0x00])
    world.put(0x3_8008, word: base)
    world.put(0x3_800C, [0x0F, 0xAA])
    let isTaken = base & 0x7FFF == 0 || model.features.contains(.p6)
    #expect(world.run(0x2000) == (isTaken ? .halted : .shutdown))
    #expect(world.cpu.managementBase == (isTaken ? base : 0x3_0000))
    #expect(world.cpu.isInManagementMode == !isTaken)
    let report = world.cpu.report()
    #expect(report.contains(isTaken ? "SMBASE=" : "in system management mode, SMBASE=00030000"))
    world.cpu.reset(isInit: true)
    #expect(world.cpu.managementBase == (isTaken ? base : 0x3_0000))
    world.cpu.reset()
    #expect(world.cpu.managementBase == 0x3_0000 && !world.cpu.isInManagementMode)
  }

  /// A thousand SMIs later the translations from before are in use, though page tables in memory have changed since, and no code was made
  /// twice.
  @Test(arguments: romEngines)
  func translationsAndCodeOutlastSMIs(engine: Engine) throws {
    let world = try World(engine)
    let cpu = world.cpu
    // 4 MiB as they are.
    world.put(0x1_0000, word: 0x1_1003)
    for page in UInt32(0)..<1024 { world.put(0x1_1000 + page * 4, word: page << 12 | 3) }
    #expect(cpu.setControlRegister(3, 0x1_0000))
    #expect(cpu.setControlRegister(0, 0x8000_0011))
    // mov cx,N / top: mov al,[ds:100h] / out B2h,al / loop top / hlt, which is met again with CX as it is
    world.put(0x2_0000, [0xB9, 0xE8, 0x03, 0xA0, 0x00, 0x01, 0xE6, 0xB2, 0xE2, 0xF9, 0xF4])
    // inc dword [60000h] / rsm
    world.put(0x3_8000, [0x66, 0x67, 0xFF, 0x05, 0x00, 0x00, 0x06, 0x00, 0x0F, 0xAA])
    var data = cpu[segment: SegmentRegister.ds]
    data.base = 0x7_0000
    cpu[segment: SegmentRegister.ds] = data
    #expect(world.run(0x2000) == .halted)
    #expect(world.memory.peek(0x6_0000, count: 2) == [0xE8, 0x03])
    let decoded = cpu.codeStatistics.decoded
    let translated = cpu.statistics.translatedBlocks
    // Nobody has the entry walked again.
    world.put(0x1_1000 + 0x70 * 4, word: 0)
    #expect(world.run(0x2000) == .halted)
    #expect(world.memory.peek(0x6_0000, count: 2) == [0xD0, 0x07])
    #expect(world.memory.peek(0x1_1000 + 0x70 * 4, count: 1) == [0])
    #expect(cpu.codeStatistics.decoded == decoded)
    #expect(cpu.statistics.translatedBlocks == translated)
    #expect(cpu.asideTables == nil)
  }

  /// A handler that drops translations drops those from before, too.
  @Test func invalidationInTheModeReachesAll() throws {
    let world = try World(.interpreter)
    let cpu = world.cpu
    world.put(0x1_0000, word: 0x1_1003)
    for page in UInt32(0)..<1024 { world.put(0x1_1000 + page * 4, word: page << 12 | 3) }
    #expect(cpu.setControlRegister(3, 0x1_0000))
    #expect(cpu.setControlRegister(0, 0x8000_0011))
    // mov al,[ds:100h] / out B2h,al / mov al,[ds:100h] / hlt; mov byte [11000h+70h*4+1],0 ... / invlpg [70000h] / rsm
    world.put(0x2_0000, [0xA0, 0x00, 0x01, 0xE6, 0xB2, 0xA0, 0x00, 0x01, 0xF4])
    world.put(0x3_8000, [0x66, 0x67, 0xC7, 0x05, 0xC0, 0x11, 0x01, 0x00, 0x03, 0x00, 0x07, 0x00])
    world.put(0x3_800C, [0x67, 0x0F, 0x01, 0x3D, 0x00, 0x00, 0x07, 0x00, 0x0F, 0xAA])
    world.put(0x1_1000 + 0x70 * 4, word: 0x7_1003)
    world.put(0x7_0100, [0x11])
    world.put(0x7_1100, [0x22])
    var data = cpu[segment: SegmentRegister.ds]
    data.base = 0x7_0000
    cpu[segment: SegmentRegister.ds] = data
    #expect(world.run(0x2000) == .halted)
    #expect(cpu[Register.eax] & 0xFF == 0x11)
  }

  @Test(arguments: romEngines)
  func busMastersSeeTheVideoMemoryWhileAProcessorIsInTheMode(engine: Engine) throws {
    final class Card: Registers {
      var byte: UInt32 = 0x77
      func read(at offset: UInt32, width: Int) -> UInt32 { byte }
      func write(at offset: UInt32, _ value: UInt32, width: Int) { byte = value }
    }
    let world = try World(engine)
    let card = Card()
    world.memory.map(.of(card), at: 0xA0000, count: 0x20000, isMemory: true)
    world.memory.setSMRAM(isOpen: false, isEnabled: true)
    func dma() -> UInt8 {
      var bytes: [UInt8] = [0]
      bytes.withUnsafeMutableBytes { BusMasterView(world.memory).read(0xA0010, into: $0) }
      return bytes[0]
    }
    world.put(0x2_0000, Self.request)
    // mov byte [A0010h],33h / top: jmp top
    world.put(0x3_8000, [0x67, 0xC6, 0x05, 0x10, 0x00, 0x0A, 0x00, 0x33, 0xEB, 0xFE])
    #expect(world.run(0x2000, instructions: 1000) == .deadline)
    #expect(world.cpu.isInManagementMode)
    #expect(world.cpu.busRead(0xA0010, width: 1) == 0x33)
    #expect(world.memory.page(0xA0)[0x10] == 0x33)
    #expect(dma() == 0x77)
    [UInt8(0x99)].withUnsafeBytes { BusMasterView(world.memory).write(0xA0010, from: $0) }
    #expect(card.byte == 0x99)
    #expect(world.cpu.busRead(0xA0010, width: 1) == 0x33)
    // So does another processor.
    let other = try CPU(model: .pentium2, memory: world.memory, bus: SystemBus())
    #expect(other.busRead(0xA0010, width: 1) == 0x99)
    #expect(world.cpu.busRead(0xA0010, width: 1) == 0x33)
  }

  /// INIT# waits until the mode ends, when the bus hears of it.
  @Test func initWaitsForRSM() throws {
    final class Waiting: SystemBus {
      var inits = 0
      override func heldInit() { inits += 1 }
    }
    let memory = try PhysicalMemory(ramSize: 4 << 20)
    let bus = Waiting()
    let cpu = try CPU(model: .pentium2, memory: memory, bus: bus)
    [UInt8(0x90), 0x0F, 0xAA].withUnsafeBytes { memory.copyIn(0x3_8000, from: $0) }
    #expect(!cpu.holdsInit())
    cpu.raiseSMI()
    cpu.setDeadline(cpu.instructionCount + 2)
    _ = cpu.run()
    #expect(cpu.isInManagementMode && cpu.holdsInit() && bus.inits == 0)
    cpu.setDeadline(cpu.instructionCount + 1)
    _ = cpu.run()
    #expect(!cpu.isInManagementMode && bus.inits == 1)
  }

  /// Whatever is in the map: a defined result, the same in both engines.
  @Test func hostileMapsEndSomehow() throws {
    let worlds = try romEngines.map { try World($0) }
    var seed: UInt64 = 0x9E37_79B9_7F4A_7C15
    func random() -> UInt32 {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt32(truncatingIfNeeded: seed >> 33)
    }
    var ends: [Bool: Int] = [:]
    for round in 0..<1500 {
      var map = (0..<128).map { _ in random() }
      func set(_ offset: UInt32, _ value: UInt32) { map[Int(offset - 0xFE00) / 4] = value }
      // Mostly something that RSM takes, so that what comes after is tried as well.
      if round % 4 != 0 {
        set(ManagementMap.cr0, random() & 0x8000_0021 | (round % 3 == 0 ? 1 : 0))
        set(ManagementMap.cr4, random() & 0xB0)
        if round % 8 < 6 { set(ManagementMap.cr3, 0x1_0000) }
        set(ManagementMap.base, random() & 0xF_FFFF)
        set(ManagementMap.restart, random() & 0x1_00FF)
      }
      if round % 2 == 0 {
        for place in ManagementMap.segments {
          set(place.hidden, 0xC093 | random() & 0x68)
          set(place.hidden + 4, 0xFFFF_FFFF)
          set(place.hidden + 8, random() & 0xF_FFFF)
        }
        set(ManagementMap.eip, random() & 0xFFF)
      }
      let filler = random()
      var states: [[UInt8]] = []
      for world in worlds {
        world.cpu.reset()
        for page in 0..<0x20 { world.memory.setPage(page, nil) }
        for n in UInt32(0)..<512 { world.put(0x1_0000 + 4 * n, word: filler &* n | 0x87) }
        world.put(0x3_8000, [0x0F, 0xAA])
        world.cpu.raiseSMI()
        _ = world.goOn(1)
        #expect(world.cpu.isInManagementMode)
        for (n, word) in map.enumerated() { world.put(0x3_FE00 + UInt32(n) * 4, word: word) }
        _ = world.goOn(1)
        ends[world.cpu.s.pointee.shutdown, default: 0] += 1
        _ = world.goOn(200)
        _ = world.cpu.report()
        var writer = StateWriter()
        world.cpu.save(to: &writer)
        states.append(writer.bytes)
      }
      #expect(states.allSatisfy { $0 == states[0] }, "round \(round)")
    }
    #expect(ends[true, default: 0] > 300 && ends[false, default: 0] > 300)
  }
}
