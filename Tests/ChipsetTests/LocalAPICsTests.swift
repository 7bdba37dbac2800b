// Messages between local APICs. Expectations from Intel SDM volume 3, "Issuing Interprocessor Interrupts" and "Lowest Priority Delivery
// Mode".

import Bus
import Testing

@testable import Chipset

@Suite struct LocalAPICsTests {
  /// Where APICs' registers are seen.
  private final class Places: MemoryMap {
    let space = AddressSpace<PhysicalAddress, Int>()
    var at: [UInt64] { space.mappings.map(\.addresses.lowerBound.value) }

    func map(
      _ file: RegisterFile, at address: PhysicalAddress, count: UInt64, isMemory: Bool,
      priority: Int
    ) -> MappingID {
      space.map(0, at: address...PhysicalAddress(address.value + count - 1), priority: priority)
    }
    func unmap(_ id: MappingID) { space.unmap(id) }
    func move(_ id: MappingID, to address: PhysicalAddress) { space.move(id, to: address) }
    func setShadow(_ range: ClosedRange<UInt32>, readRAM: Bool, writeRAM: Bool) {}
  }

  private let places = Places()

  private func four(_ kind: LocalAPIC.Kind = .p6) -> LocalAPICs {
    let apics = LocalAPICs(clock: TestClock().clock, kind: kind, count: 4, memory: places)
    for apic in apics.all { apic.write(0x0F0, 0x1FF) }
    return apics
  }

  private func send(_ apic: LocalAPIC, _ low: UInt32, to high: UInt32 = 0) {
    apic.write(0x310, high << 24)
    apic.write(0x300, low)
  }

  /// Which have a request.
  private func requested(_ apics: LocalAPICs) -> [Bool] { apics.all.map(\.output.level) }

  @Test func idsAreTheProcessorsNumbers() {
    #expect(four().all.map { $0.read(0x020) } == [0, 0x0100_0000, 0x0200_0000, 0x0300_0000])
    // Version and number of the last LVT entry.
    #expect(four(.pentium)[0].read(0x030) == 0x0003_0010)
    #expect(four(.p6)[0].read(0x030) == 0x0004_0011)
    #expect(four(.pentium4)[0].read(0x030) == 0x0005_0014)
  }

  @Test func destinationsAndShorthands() {
    var apics = four()
    send(apics[0], 0x40, to: 2)
    #expect(requested(apics) == [false, false, true, false])
    apics = four()
    send(apics[1], 0x40 | 1 << 18)
    #expect(requested(apics) == [false, true, false, false])
    apics = four()
    send(apics[1], 0x40 | 2 << 18)
    #expect(requested(apics) == [true, true, true, true])
    apics = four()
    send(apics[1], 0x40 | 3 << 18)
    #expect(requested(apics) == [true, false, true, true])
    // Physical broadcast: all ones of as many bits as IDs have.
    apics = four()
    send(apics[1], 0x40, to: 0x0F)
    #expect(requested(apics) == [true, true, true, true])
    apics = four(.pentium4)
    send(apics[1], 0x40, to: 0x0F)
    #expect(requested(apics) == [false, false, false, false])
    send(apics[1], 0x40, to: 0xFF)
    #expect(requested(apics) == [true, true, true, true])
  }

  @Test func logicalDestinations() {
    let flat = four()
    for n in 0..<4 { flat[n].write(0x0D0, 1 << UInt32(24 + n)) }
    send(flat[0], 0x40 | 0x800, to: 0b1010)
    #expect(requested(flat) == [false, true, false, true])
    let cluster = four()
    for (n, logical) in ([0x11, 0x12, 0x21, 0x22] as [UInt32]).enumerated() {
      cluster[n].write(0x0E0, 0x0FFF_FFFF)
      cluster[n].write(0x0D0, logical << 24)
    }
    send(cluster[0], 0x40 | 0x800, to: 0x23)
    #expect(requested(cluster) == [false, false, true, true])
    send(cluster[0], 0x40 | 0x800, to: 0xF1)
    #expect(requested(cluster) == [true, false, true, true])
  }

  @Test func lowestPriorityGoesToOne() {
    let apics = four()
    for n in 0..<4 {
      apics[n].write(0x0D0, 1 << UInt32(24 + n))
      apics[n].write(0x080, [0x50, 0x30, 0x20, 0x40][n])
    }
    send(apics[0], 0x60 | 1 << 8 | 0x800, to: 0x0F)
    #expect(requested(apics) == [false, false, true, false])
    // Who has it already is the focus.
    apics[1].write(0x080, 0)
    send(apics[0], 0x60 | 1 << 8 | 0x800, to: 0x0F)
    #expect(requested(apics) == [false, false, true, false])
    #expect(apics[2].acknowledge() == 0x60)
    #expect(requested(apics) == [false, false, false, false])
  }

  @Test func initAndStartUpReachTheProcessor() {
    let apics = four()
    var told: [String] = []
    for (n, apic) in apics.all.enumerated() {
      // The processor takes it at once.
      apic.initReceived = { [unowned apic] in
        told.append("init \(n)")
        apic.initialize()
      }
      apic.startReceived = { told.append("start \(n) at \($0)") }
    }
    apics[2].write(0x080, 0x33)
    send(apics[0], 0x0000_C500, to: 2)
    // De-assert starts nobody anew.
    send(apics[0], 0x0000_8500 | 2 << 18)
    send(apics[0], 0x0000_0612, to: 2)
    #expect(told == ["init 2", "start 2 at 18"])
    // INIT: the state after power-up but for the ID.
    #expect(apics[2].read(0x080) == 0)
    #expect(apics[2].read(0x0F0) == 0xFF)
    #expect(apics[2].read(0x020) == 0x0200_0000)
    // The first has virtual wire mode, the others masked pins.
    #expect(apics[0].read(0x350) == 0x700)
    #expect(apics[2].read(0x350) == 0x10000)
  }

  /// SDM volume 3, "Local and I/O APIC": SMI and NMI are delivered also while the APIC is disabled by software; the vector means nothing.
  @Test func managementAndNonMaskableInterruptsAreMessages() {
    let apics = four()
    var told: [String] = []
    for (n, apic) in apics.all.enumerated() {
      apic.smi = { told.append("smi \(n)") }
      apic.nmi = { told.append("nmi \(n)") }
    }
    apics[2].write(0x0F0, 0xFF)
    send(apics[0], 2 << 8, to: 2)
    send(apics[1], 2 << 8 | 3 << 18)
    send(apics[3], 4 << 8 | 1 << 18)
    #expect(told == ["smi 2", "smi 0", "smi 2", "smi 3", "nmi 3"])
    #expect(requested(apics) == [false, false, false, false])
    apics[2].setBase(UInt64(LocalAPIC.baseAddress))
    send(apics[0], 2 << 8, to: 2)
    #expect(told.count == 5)
  }

  @Test func whatWouldWakeAProcessorWithIFClear() {
    let apics = four()
    let io = IOAPIC(bus: apics)
    func set(_ input: UInt32, _ low: UInt32, to high: UInt32) {
      io.write(0, 0x11 + 2 * input)
      io.write(0x10, high << 24)
      io.write(0, 0x10 + 2 * input)
      io.write(0x10, low)
    }
    func all() -> [ForcedRequests] { (0..<4).map { apics.forcedRequests($0) } }
    // ExtINT asks for IF, as fixed delivery does; masked inputs send nothing.
    set(1, 0x41, to: 0xF)
    set(2, 7 << 8, to: 0xF)
    set(3, 2 << 8 | 0x10000, to: 0xF)
    #expect(all() == [[], [], [], []])
    set(3, 2 << 8, to: 1)
    set(4, 4 << 8, to: 1)
    set(5, 5 << 8, to: 3)
    #expect(all() == [[], [.smi, .nmi], [], .initialize])
    apics[2].write(0x350, 4 << 8)
    apics[3].write(0x350, 2 << 8 | 0x10000)
    #expect(all() == [[], [.smi, .nmi], .nmi, .initialize])
    apics[1].setBase(UInt64(LocalAPIC.baseAddress))
    #expect(all()[1] == [])
  }

  @Test func nobodyThereIsAnErrorBeforeThePentium4() {
    let apics = four()
    send(apics[0], 0x40, to: 9)
    apics[0].write(0x280, 0)
    #expect(apics[0].read(0x280) == 1 << 2)
    let later = four(.pentium4)
    send(later[0], 0x40, to: 9)
    later[0].write(0x280, 0)
    #expect(later[0].read(0x280) == 0)
  }

  @Test func aRemoteReadBringsARegister() {
    let apics = four()
    apics[3].write(0x080, 0x7B)
    // Register 08h is the TPR at 080h.
    send(apics[0], 0x08 | 3 << 8, to: 3)
    #expect(apics[0].read(0x0C0) == 0x7B)
    #expect(apics[0].read(0x300) >> 16 & 3 == 2)
  }

  @Test func eachSeesItsOwnWhereItsBaseSays() {
    let apics = four()
    #expect(places.at == [0xFEE0_0000])
    apics.current = 1
    #expect(places.at == [0xFEE0_0000])
    apics[1].setBase(0x1234_5800)
    #expect(places.at == [0x1234_5000])
    apics.current = 0
    #expect(places.at == [0xFEE0_0000])
    apics.current = 1
    #expect(places.at == [0x1234_5000])
    // Switched off it is nowhere.
    apics[1].setBase(0x1234_5000)
    #expect(places.at == [])
    apics.current = 2
    #expect(places.at == [0xFEE0_0000])
  }

  @Test func anIOAPICReachesAll() {
    let apics = four()
    let io = IOAPIC(bus: apics)
    for n in 0..<4 { apics[n].write(0x0D0, 1 << UInt32(24 + n)) }
    // Input 10, level, logical, to processors 1 and 2; fixed.
    io.write(0, 0x25)
    io.write(0x10, 0x0600_0000)
    io.write(0, 0x24)
    io.write(0x10, 0x8000 | 0x800 | 0x51)
    io.setInput(10, true)
    #expect(requested(apics) == [false, true, true, false])
    #expect(apics[1].acknowledge() == 0x51)
    apics[1].write(0x0B0, 0)
    // The line is still high: with the end it comes again.
    #expect(requested(apics) == [false, true, true, false])
  }
}
