// The hooks of debuggers: breakpoints, watchpoints, events, and that a run is the same with them and without.
// Expectations follow from the programs, which are given as bytes with their assembly beside them.

import Host
import Testing

@testable import CPU

/// Ports that answer with their number.
private final class EchoBus: SystemBus {
  override func portRead(_ port: UInt16, width: Int) -> UInt32 {
    UInt32(port) & (UInt32.max >> UInt32(32 - 8 * width))
  }
}

@Suite struct DebugHookTests {
  private let memory: PhysicalMemory
  private let cpu: CPU

  init() throws {
    memory = try PhysicalMemory(ramSize: 1 << 20)
    cpu = try CPU(model: .pentium2, memory: memory, bus: EchoBus())
  }

  /// Puts a real-mode program at 0:address and goes there; the stack is at 0:7000h.
  private func load(_ bytes: [UInt8], at address: UInt32 = 0x1000) {
    bytes.withUnsafeBytes { memory.copyIn(address, from: $0) }
    for index in 0..<6 {
      var cache = cpu[segment: index]
      cache.selector = 0
      cache.base = 0
      cpu[segment: index] = cache
    }
    cpu.s.pointee.eip = address
    cpu[Register.esp] = 0x7000
  }

  private func run(_ count: UInt64 = 100_000) -> RunExit {
    cpu.setDeadline(cpu.instructionCount + count)
    return cpu.run()
  }

  /// mov cx,3; top: inc ax; inc bx; loop top; hlt
  private static let loop: [UInt8] = [0xB9, 3, 0, 0x40, 0x43, 0xE2, 0xFC, 0xF4]

  @Test func breakpointInTheMiddleOfABlockStopsAtEachArrival() {
    load(Self.loop)
    #expect(run(2) == .deadline)
    cpu.debugConditions.linear = [0x1004]
    for turn in UInt32(1)...3 {
      #expect(run() == .breakpoint(0x1004))
      #expect(cpu.s.pointee.eip == 0x1004)
      #expect(cpu[Register.eax] == turn)
      #expect(cpu[Register.ebx] == turn - 1)
    }
    #expect(run() == .halted)
    #expect(cpu[Register.ebx] == 3)
  }

  @Test func countsAreTheSameWithBreakpoints() {
    load(Self.loop)
    #expect(run() == .halted)
    let count = cpu.instructionCount
    cpu.reset()
    load(Self.loop)
    let start = cpu.instructionCount
    cpu.debugConditions.linear = [0x1003, 0x1004, 0x1005, 0x1007]
    var stops = 0
    while case .breakpoint = run() { stops += 1 }
    #expect(stops == 10)
    #expect(cpu.instructionCount - start == count)
  }

  @Test func physicalBreakpointIsSeenThroughA20() {
    load(Self.loop)
    cpu.debugConditions.physical = [0x1007]
    #expect(run() == .breakpoint(0x1007))
    cpu.debugConditions.physical = []
    #expect(run() == .halted)
  }

  @Test func skippingRunsTheInstructionOnce() {
    load(Self.loop)
    cpu.debugConditions.linear = [0x1000, 0x1003]
    cpu.skipBreakpointOnce()
    #expect(run() == .breakpoint(0x1003))
  }

  @Test func repetitionIsOneArrival() {
    // mov cx,100; mov di,2000h; rep stosb; hlt
    load([0xB9, 100, 0, 0xBF, 0, 0x20, 0xF3, 0xAA, 0xF4])
    cpu.debugConditions.linear = [0x1006]
    #expect(run() == .breakpoint(0x1006))
    #expect(run(10) == .deadline)
    #expect(cpu[Register.ecx] == 90)
    #expect(run(10) == .deadline)
    #expect(run() == .halted)
    #expect(cpu[Register.ecx] == 0)
  }

  @Test func interruptShadowSurvivesABreakpoint() {
    // cli; sti; nop; nop; hlt with INTR high: the interrupt comes after the first NOP.
    load([0xFA, 0xFB, 0x90, 0x90, 0xF4])
    memory.write(0xFF * 4, 0x0000_3000, width: 4)
    cpu.setINTR(true)
    cpu.debugConditions.linear = [0x1002]
    #expect(run() == .breakpoint(0x1002))
    cpu.debugConditions.linear = [0x1002, 0x3000]
    #expect(run() == .breakpoint(0x3000))
    #expect(memory.read(0x6FFA, width: 2) == 0x1003)
  }

  @Test func writesAreWatched() {
    // mov word [2001h],1234h; mov al,[2002h]; inc byte [2003h]; hlt
    load([0xC7, 0x06, 0x01, 0x20, 0x34, 0x12, 0xA0, 0x02, 0x20, 0xFE, 0x06, 0x03, 0x20, 0xF4])
    cpu.debugConditions.watchpoints = [
      Watchpoint(address: 0x2002, length: 1, onRead: false, onWrite: true)
    ]
    #expect(run() == .watchpoint)
    let records = cpu.takeDebugRecords()
    #expect(
      records.map(\.event) == [
        .memory(linear: 0x2001, physical: 0x2001, size: 2, isWrite: true, old: 0, new: 0x1234)
      ])
    #expect(records.first?.linear == 0x1000)
    #expect(cpu.s.pointee.eip == 0x1006)
    #expect(run() == .halted)
    #expect(cpu.takeDebugRecords().isEmpty)
  }

  @Test func readsAreWatchedAlsoInReadModifyWrite() {
    load([0xC7, 0x06, 0x01, 0x20, 0x34, 0x12, 0xA0, 0x02, 0x20, 0xFE, 0x06, 0x02, 0x20, 0xF4])
    cpu.debugConditions.watchpoints = [
      Watchpoint(address: 0x2002, length: 1, onRead: true, onWrite: false)
    ]
    #expect(run() == .watchpoint)
    #expect(cpu.s.pointee.eip == 0x1009)
    #expect(run() == .watchpoint)
    #expect(cpu.s.pointee.eip == 0x100D)
    #expect(run() == .halted)
  }

  @Test func watchpointsSeeAccessesThatCrossPagesAndStrings() {
    // mov dword [2FFEh],eax; mov cx,16; mov di,2FF8h; rep stosb; hlt
    load([
      0x66, 0xA3, 0xFE, 0x2F, 0xB9, 16, 0, 0xBF, 0xF8, 0x2F, 0xF3, 0xAA, 0xF4,
    ])
    cpu.debugConditions.watchpoints = [
      Watchpoint(address: 0x3000, length: 2, onRead: false, onWrite: true)
    ]
    #expect(run() == .watchpoint)
    #expect(cpu.s.pointee.eip == 0x1004)
    #expect(run() == .watchpoint)
    #expect(cpu.s.pointee.eip == 0x100A)
    #expect(cpu[Register.edi] & 0xFFFF == 0x3001)
    #expect(run() == .watchpoint)
    #expect(cpu[Register.edi] & 0xFFFF == 0x3002)
    #expect(run() == .halted)
  }

  @Test func physicalWatchpointSeesAliases() throws {
    // Paging maps linear 5000h to physical 2000h.
    load([0xC6, 0x05, 0x04, 0x50, 0x00, 0x00, 0x07, 0xF4])  // mov byte [5004h],7; hlt (32-bit)
    memory.write(0x10000, 0x11003, width: 4)
    for page in UInt32(0)..<256 {
      memory.write(UInt64(0x11000 + page * 4), page << 12 | 3, width: 4)
    }
    memory.write(0x11000 + 5 * 4, 0x2003, width: 4)
    cpu.s.pointee.cr3 = 0x10000
    try cpu.setCR0(CR0.pe | CR0.pg)
    var cs = cpu[segment: SegmentRegister.cs]
    cs.attributes |= 0x4000
    cpu[segment: SegmentRegister.cs] = cs
    cpu.debugConditions.watchpoints = [
      Watchpoint(address: 0x2004, length: 4, onRead: true, onWrite: true, isPhysical: true)
    ]
    #expect(run() == .watchpoint)
    #expect(
      cpu.takeDebugRecords().map(\.event) == [
        .memory(linear: 0x5004, physical: 0x2004, size: 1, isWrite: true, old: 0, new: 7)
      ])
  }

  @Test func portsAreEvents() {
    // mov dx,3f8h; in al,dx; out 80h,al; mov di,2000h; mov cx,2; rep insw; hlt
    load([
      0xBA, 0xF8, 0x03, 0xEC, 0xE6, 0x80, 0xBF, 0x00, 0x20, 0xB9, 2, 0, 0xF3, 0x6D, 0xF4,
    ])
    cpu.debugConditions.events = .ports
    cpu.debugConditions.ports = [
      WatchedPorts(ports: 0x3F9...0x3FF, onRead: true, onWrite: true),
      WatchedPorts(ports: 0x80...0x80, onRead: false, onWrite: true),
    ]
    #expect(run() == .debugEvent)
    #expect(
      cpu.takeDebugRecords().map(\.event) == [
        .port(port: 0x80, width: 1, isWrite: true, value: 0xF8)
      ])
    for _ in 0..<2 {
      #expect(run() == .debugEvent)
      #expect(
        cpu.takeDebugRecords().map(\.event) == [
          .port(port: 0x3F8, width: 2, isWrite: false, value: 0x3F8)
        ])
    }
    #expect(run() == .halted)
  }

  @Test func interruptsAndExceptionsAreEvents() {
    // int 21h; ud2; with handlers that are IRET and HLT
    load([0xCD, 0x21, 0x0F, 0x0B])
    memory.write(0x21 * 4, 0x3000, width: 4)
    memory.write(6 * 4, 0x3001, width: 4)
    memory.write(0x3000, 0xF4CF, width: 2)
    cpu.debugConditions.events = .interrupts
    cpu.debugConditions.software[0x21] = true
    cpu.debugConditions.exceptions[6] = true
    #expect(run() == .debugEvent)
    var records = cpu.takeDebugRecords()
    #expect(
      records.map(\.event) == [.interrupt(vector: 0x21, source: .software, errorCode: nil)])
    #expect(records.first?.eip == 0x1000)
    #expect(cpu.s.pointee.eip == 0x3000)
    #expect(run() == .debugEvent)
    records = cpu.takeDebugRecords()
    #expect(records.map(\.event) == [.interrupt(vector: 6, source: .exception, errorCode: nil)])
    #expect(records.first?.eip == 0x1002)
    #expect(run() == .halted)
  }

  @Test func modeChangesAreEvents() {
    // mov eax,cr0; or al,1; mov cr0,eax; nop; hlt
    load([0x0F, 0x20, 0xC0, 0x0C, 0x01, 0x0F, 0x22, 0xC0, 0x90, 0xF4])
    cpu.debugConditions.events = [.modes, .control, .halt]
    cpu.debugConditions.modeMask = .protected
    #expect(run() == .debugEvent)
    let events = cpu.takeDebugRecords().map(\.event)
    #expect(events.contains(.mode(from: [], to: .protected)))
    #expect(events.contains(.control(register: 0, old: 0x6000_0010, new: 0x6000_0011)))
    #expect(cpu.s.pointee.eip == 0x1008)
    #expect(run() == .debugEvent)
    #expect(cpu.takeDebugRecords().map(\.event) == [.halt])
    #expect(run() == .halted)
  }

  @Test func magicInstructionStops() {
    load([0x40, 0x87, 0xDB, 0x40, 0xF4])
    cpu.debugConditions.events = .magic
    #expect(run() == .debugEvent)
    #expect(cpu.takeDebugRecords().map(\.event) == [.magic])
    #expect(cpu.s.pointee.eip == 0x1001)
    #expect(run() == .halted)
  }

  @Test func tripleFaultIsAnEventBeforeShutdown() {
    load([0x0F, 0x0B])
    cpu.s.pointee.idtLimit = 0
    cpu.debugConditions.events = .tripleFault
    #expect(run() == .debugEvent)
    #expect(cpu.takeDebugRecords().map(\.event) == [.tripleFault])
    #expect(run() == .shutdown)
  }
}
