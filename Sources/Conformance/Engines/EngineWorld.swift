// Surroundings for random programs: modes, tables, and two processors in them.
//
// Owns: memory layout, descriptor and page tables, handlers. Must not know: programs, comparing.
// Follows: Intel SDM volume 3, chapters 3 to 6 and 20.
//
//   00000 vectors  01000 page directory  02000 03000 page tables  04000 GDT  05000 IDT  06000 TSS  07000 handlers  08000 stack of level 0
//   0A000 page directory pointers  0B000 page directory  0C000 0D000 page tables of PAE  0E000 page directory with large pages
//   10000-1FFFF data  20000-23FFF code, most often  A0000-AFFFF a device, plain memory at times  200000 the end of memory
// Under paging all addresses from 4 MiB on lead to the data again and again, so that hardly any address faults that is not meant to.

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import Bus
  import CPU
  import Glibc
  import Host
  import Translator
  import TranslatorX86_64

  /// A processor with memory, ready for a program.
  public final class EngineWorld {
    /// A mode.
    public enum Kind: String, CaseIterable, Sendable {
      case real, v86
      case small, big
      case flat
      case paged, pagedUser, pagedSmall
      /// As `paged`, with the tables of PAE, and with large pages; where the model has them.
      case pae, large

      /// Code segment's D bit.
      var isBig: Bool { self != .real && self != .v86 && self != .small && self != .pagedSmall }
      var isPaged: Bool {
        self == .paged || self == .pagedUser || self == .pagedSmall || self == .v86
          || self == .pae || self == .large
      }
      /// Level 0 with segments of 4 GiB.
      var isFlat: Bool { self == .flat || self == .paged || self == .pae || self == .large }
      /// Nearly all addresses lead somewhere.
      var wrapsAll: Bool { self != .big && self != .flat }
      var level: Int { self == .pagedUser || self == .v86 ? 3 : 0 }
      /// Where the code region is, in the code segment.
      var codeBase: UInt32 {
        switch self {
        case .flat: 0x20000
        case .paged, .pagedUser, .pae, .large: 0x0040_0000 + UInt32(EngineWorld.codePage) << 12
        default: 0
        }
      }
      /// Where data is, in the data segment.
      var dataBase: UInt32 {
        switch self {
        case .flat: 0x10000
        case .paged, .pagedUser, .pae, .large: 0x0080_0000
        default: 0
        }
      }
      var stack: UInt32 { dataBase + 0x8000 }
      var codeSelector: UInt16 {
        switch self {
        case .real, .v86: 0x2000
        case .small, .pagedSmall: 0x18
        case .big: 0x28
        case .flat, .paged, .pae, .large: 0x08
        case .pagedUser: 0x3B
        }
      }
      var dataSelector: UInt16 {
        switch self {
        case .real, .v86: 0x1000
        case .small, .pagedSmall: 0x20
        case .big: 0x30
        case .flat, .paged, .pae, .large: 0x10
        case .pagedUser: 0x43
        }
      }
    }

    /// Where in physical memory a program is.
    public enum Home: UInt32, Sendable {
      case usual = 0x20000
      /// Before and in the device, at the end of memory, and where addresses wrap without A20.
      case beforeDevice = 0x9F000
      case device = 0xA0000
      case beforeEnd = 0x1FF000
      case top = 0xFFFF0
    }

    /// Page of the code region in the page table that serves from 4 MiB on.
    static let codePage = 0x300
    static let codeRegion: UInt32 = 0x20000
    static let ramUsed = 0x28000
    static let ramSize: UInt32 = 0x200000
    /// Where pages of RAM begin.
    static let ramPages =
      Array(stride(from: 0, to: 0xA0000, by: 4096))
      + Array(stride(from: 0x100000, to: Int(ramSize), by: 4096))
    enum At {
      static let pointers: UInt32 = 0xA000
      static let directoryPAE: UInt32 = 0xB000
      static let lowTablePAE: UInt32 = 0xC000
      static let tablePAE: UInt32 = 0xD000
      static let directoryLarge: UInt32 = 0xE000
      static let directory: UInt32 = 0x1000
      static let lowTable: UInt32 = 0x2000
      static let table: UInt32 = 0x3000
      static let gdt: UInt32 = 0x4000
      static let idt: UInt32 = 0x5000
      static let tss: UInt32 = 0x6000
      static let handlers: UInt32 = 0x7000
      static let stack: UInt32 = 0x9000
    }

    /// Devices: ports answer by their number, the interrupt controller by the vector it was given. Port 92h masks A20; port 3CEh makes
    /// the memory at A0000h plain memory or a device.
    private final class EngineBus: SystemBus {
      static let deviceStart: UInt32 = 0xA0000
      static let deviceSize = 0x10000
      var vector: UInt8 = 0x20
      weak var cpu: CPU?
      weak var memory: PhysicalMemory?
      var log: UInt64 = 0
      /// The device does not look at the time.
      private var isMemory = false
      let bytes: UnsafeMutableRawPointer = .allocate(
        byteCount: EngineBus.deviceSize, alignment: 4096)
      private var isDirect = false

      deinit { bytes.deallocate() }

      func setDirect(_ direct: Bool) {
        if direct == isDirect { return }
        isDirect = direct
        memory?.setDirect(
          page: EngineBus.deviceStart >> 12, pages: UInt32(EngineBus.deviceSize >> 12),
          to: direct ? bytes : nil
        )
      }

      func map(_ memory: PhysicalMemory, isMemory: Bool) {
        if let mapping { self.memory?.unmap(mapping) }
        self.memory = memory
        self.isMemory = isMemory
        mapping = memory.map(
          .of(Device(self)), at: PhysicalAddress(UInt64(EngineBus.deviceStart)),
          count: UInt64(EngineBus.deviceSize), isMemory: isMemory)
      }

      private var mapping: MappingID?

      private final class Device: Registers {
        private unowned let bus: EngineBus
        init(_ bus: EngineBus) { self.bus = bus }

        func read(at offset: UInt32, width: Int) -> UInt32 {
          bus.note(EngineBus.deviceStart &+ offset, 0)
          var value: UInt32 = 0
          for n in 0..<UInt32(width) {
            let at = Int(offset &+ n) & (EngineBus.deviceSize - 1)
            value |= UInt32(bus.bytes.load(fromByteOffset: at, as: UInt8.self)) << (8 * n)
          }
          return value
        }

        func write(at offset: UInt32, _ value: UInt32, width: Int) {
          bus.note(EngineBus.deviceStart &+ offset, value)
          for n in 0..<UInt32(width) {
            let at = Int(offset &+ n) & (EngineBus.deviceSize - 1)
            bus.bytes.storeBytes(
              of: UInt8(truncatingIfNeeded: value >> (8 * n)), toByteOffset: at, as: UInt8.self)
          }
        }
      }

      /// What was accessed, and at which instruction.
      fileprivate func note(_ address: UInt32, _ value: UInt32) {
        log =
          (log ^ UInt64(address) << 32 ^ UInt64(value)
            ^ (isMemory ? 0 : cpu?.instructionCount ?? 0) << 12) &* 0x100_0000_01B3
      }

      override func portRead(_ port: UInt16, width: Int) -> UInt32 {
        if port == 0x92 { return cpu?.a20 == true ? 2 : 0 }
        log = (log ^ UInt64(port)) &* 0x100_0000_01B3
        return UInt32(truncatingIfNeeded: log >> 16 ^ (cpu?.instructionCount ?? 0))
          >> UInt32(32 - 8 * width)
      }
      override func portWrite(_ port: UInt16, _ value: UInt32, width: Int) {
        log =
          (log ^ UInt64(port) << 32 ^ UInt64(value) ^ (cpu?.instructionCount ?? 0) << 20)
          &* 0x100_0000_01B3
        if port == 0x92 { cpu?.a20 = value & 2 != 0 }
        if port == 0x3CE { setDirect(value & 1 != 0) }
      }
      override func acknowledgeInterrupt() -> UInt8 {
        cpu?.setINTR(false)
        return vector
      }
    }

    let cpu: CPU
    let memory: PhysicalMemory
    private let bus = EngineBus()
    /// What devices were told and when; part of what is compared.
    var portLog: UInt64 { bus.log }
    /// The memory of the device, of 64 KiB.
    var deviceBytes: UnsafeRawPointer { UnsafeRawPointer(bus.bytes) }
    private let pattern: UnsafeMutableRawPointer
    private let model: CPUModel
    private var home = EngineWorld.codeRegion

    /// - Parameter options: nil: the interpreter alone.
    init(model: CPUModel, options: TranslatorOptions?, seed: UInt64) throws(HostError) {
      self.model = model
      memory = try PhysicalMemory(ramSize: UInt64(EngineWorld.ramSize))
      cpu = try CPU(model: model, memory: memory, bus: bus)
      bus.cpu = cpu
      // Every other seed has a device that is no more than memory.
      bus.map(memory, isMemory: seed & 1 != 0)
      pattern = .allocate(byteCount: EngineWorld.ramUsed, alignment: 4096)
      if let options {
        try Translator.attach(to: cpu, options: options)
        cpu.translationThreshold = 1
      }
      build(seed)
      memory.ram.copyMemory(from: pattern, byteCount: EngineWorld.ramUsed)
    }

    deinit { pattern.deallocate() }

    private func put(_ at: UInt32, _ value: UInt32) {
      pattern.storeBytes(of: value, toByteOffset: Int(at), as: UInt32.self)
    }
    private func descriptor(_ at: UInt32, _ base: UInt32, _ limit: UInt32, _ attributes: UInt32) {
      put(at, base << 16 | limit & 0xFFFF)
      put(
        at + 4,
        base & 0xFF00_0000 | base >> 16 & 0xFF | attributes << 8 | limit & 0xF_0000)
    }

    private func build(_ seed: UInt64) {
      var r = CaseRandom(seed ^ 0x5EED)
      for at in stride(from: UInt32(0), to: UInt32(EngineWorld.ramUsed), by: 4) {
        var value = r.edge()
        // Numbers for the x87 and SSE, and selectors, among the bits.
        if r.oneIn(6) { value = Float(Int32(truncatingIfNeeded: r.next()) >> 12).bitPattern }
        if r.oneIn(10) { value = value << 16 | UInt32(r.below(16)) << 3 }
        // What lies around a program stops it.
        put(at, at < 0x10000 ? 0 : at < 0x20000 ? value : 0xF4F4_F4F4)
      }
      for vector in UInt32(0)..<256 {
        // Exceptions and most others stop; interrupts and a few others go on.
        let returns = vector >= 0x20 && vector < 0x34
        let handler = At.handlers + vector * 4
        put(handler, returns ? 0xCFCF_CFCF : 0xF4F4_F4F4)
        put(vector * 4, At.handlers << 12 | vector * 4)
        let attributes: UInt32 = vector & 3 == 3 || vector >= 0x30 ? 0xEE00 : 0x8E00
        put(At.idt + vector * 8, 0x0008_0000 | handler & 0xFFFF)
        put(At.idt + vector * 8 + 4, attributes)
      }
      descriptor(At.gdt + 0x08, 0, 0xFFFFF, 0xC09B)
      descriptor(At.gdt + 0x10, 0, 0xFFFFF, 0xC093)
      descriptor(At.gdt + 0x18, 0x20000, 0xFFFF, 0x009B)
      descriptor(At.gdt + 0x20, 0x10000, 0xFFFF, 0x0093)
      descriptor(At.gdt + 0x28, 0x20000, 0xFFFF, 0x409B)
      descriptor(At.gdt + 0x30, 0x10000, 0xFFFF, 0x4093)
      descriptor(At.gdt + 0x38, 0, 0xFFFFF, 0xC0FB)
      descriptor(At.gdt + 0x40, 0, 0xFFFFF, 0xC0F3)
      descriptor(At.gdt + 0x48, At.tss, 0x67, 0x0089)
      descriptor(At.gdt + 0x50, 0x10000, 0x07FF, 0x0097)
      descriptor(At.gdt + 0x58, 0x10000, 0x7FFF, 0x4091)
      descriptor(At.gdt + 0x60, 0x20000, 0xFFFF, 0x4093)
      descriptor(At.gdt + 0x68, 0x10000, 0xFFF, 0x40F3)
      descriptor(At.gdt + 0x70, 0x10003, 0x8FFF, 0x40F3)
      put(At.tss + 4, At.stack)
      put(At.tss + 8, 0x10)
      put(At.tss + 0x64, 0x0068_0000)
      for n in UInt32(0)..<4 { put(At.pointers + n * 8, At.directoryPAE | 1) }
      for n in UInt32(0)..<512 {
        put(At.directoryPAE + n * 8, (n == 0 ? At.lowTablePAE : At.tablePAE) | 7)
        put(At.lowTablePAE + n * 8, n << 12 | (n < 0x10 ? 3 : 7))
        let code = Int(n) - EngineWorld.codePage & 511
        put(
          At.tablePAE + n * 8,
          ((0..<8).contains(code) ? 0x20000 + UInt32(code) << 12 : 0x10000 + (n & 15) << 12) | 7)
      }
      for n in UInt32(0)..<1024 {
        put(At.directoryLarge + n * 4, n == 0 || n > 2 && n & 1 != 0 ? 0x87 : At.table | 7)
        put(At.directory + n * 4, (n == 0 ? At.lowTable : At.table) | 7)
        // The first 64 KiB belong to level 0; V86 programs see the rest of the first megabyte as it is.
        put(At.lowTable + n * 4, n << 12 | (n < 0x10 ? 3 : 7))
        let code = Int(n) - EngineWorld.codePage
        put(
          At.table + n * 4,
          ((0..<8).contains(code) ? 0x20000 + UInt32(code) << 12 : 0x10000 + (n & 15) << 12) | 7)
      }
    }

    // MARK: - Before a program

    /// Makes memory what it was, with the program in it.
    func load(_ test: EngineCase) {
      bus.setDirect(false)
      memory.restore(pattern, EngineWorld.ramUsed)
      bus.bytes.copyMemory(from: pattern + 0x10000, byteCount: EngineBus.deviceSize)
      bus.log = 0
      let pae = test.world == .pae && model.features.contains(.pae)
      for (index, kind) in test.holes {
        let at = pae ? At.tablePAE + UInt32(index & 511) * 8 : At.table + UInt32(index & 1023) * 4
        var value = pattern.load(fromByteOffset: Int(at), as: UInt32.self)
        switch kind {
        case 0: value = 0
        case 1: value &= ~2
        case 2: value &= ~4
        default: value &= ~6
        }
        // Pages of the program stay there.
        if (EngineWorld.codePage..<EngineWorld.codePage + 8).contains(index) { value |= 4 }
        withUnsafeBytes(of: value) { memory.copyIn(at, from: $0) }
      }
      // The code segments with a base begin where the program is.
      for at in [At.gdt + 0x18, At.gdt + 0x28] {
        let base = test.home.rawValue
        let high = pattern.load(fromByteOffset: Int(at) + 4, as: UInt32.self) & 0x00FF_FF00
        withUnsafeBytes(of: base << 16 | 0xFFFF) { memory.copyIn(at, from: $0) }
        withUnsafeBytes(of: high | base >> 16 & 0xFF) { memory.copyIn(at + 4, from: $0) }
      }
      home = test.home.rawValue
      for (n, byte) in test.bytes.enumerated() { poke(test.offset + n, byte) }
    }

    /// Changes a byte of the program from outside.
    func poke(_ offset: Int, _ value: UInt8) {
      let at = home &+ UInt32(truncatingIfNeeded: offset)
      if Int(at &- EngineBus.deviceStart) < EngineBus.deviceSize {
        bus.bytes.storeBytes(
          of: value, toByteOffset: Int(at &- EngineBus.deviceStart), as: UInt8.self)
      } else if at < EngineWorld.ramSize {
        withUnsafeBytes(of: value) { memory.copyIn(at, from: $0) }
      }
    }

    func interrupt(_ vector: UInt8) {
      bus.vector = vector
      cpu.setINTR(true)
    }

    /// Puts the processor before an instruction of the program.
    func start(_ test: EngineCase, _ round: EngineCase.Round) {
      let kind = test.world
      let s = cpu.s
      let choice = round.segments
      cpu.reset()
      cpu.a20 = true
      bus.setDirect(false)
      s.pointee.cr4 =
        (model.features.contains(.sse) ? CR4.osfxsr : 0)
        | (model.features.contains(.sse) && round.segments & 0x100 != 0 ? CR4.osxmmexcpt : 0)
      s.pointee.gdtBase = At.gdt
      s.pointee.gdtLimit = 0x7F
      if kind == .real {
        s.pointee.cr0 = 0x10
      } else {
        s.pointee.cr0 = 0x31 | (kind.isPaged ? CR0.pg : 0)
        if round.segments & 0x600 == 0x200 { s.pointee.cr0 |= CR0.wp }
        if round.segments & 0x1800 == 0x800 { s.pointee.cr0 |= CR0.am }
        s.pointee.cr3 = At.directory
        if kind == .large && model.features.contains(.pse) {
          s.pointee.cr4 |= CR4.pse
          s.pointee.cr3 = At.directoryLarge
        }
        if kind == .pae && model.features.contains(.pae) {
          s.pointee.cr4 |= CR4.pae
          s.pointee.cr3 = At.pointers
          let entry = UInt64(At.directoryPAE | 1)
          s.pointee.pdpte = (entry, entry, entry, entry)
        }
        if choice & 0x2000_0000 != 0 && model.features.contains(.pge) { s.pointee.cr4 |= CR4.pge }
        s.pointee.idtBase = At.idt
        s.pointee.idtLimit = 0x7FF
      }
      cpu.flushTLB()
      s.pointee.cpl = kind.level
      setSegment(SegmentRegister.tr, 0x48)
      let data = kind.dataSelector
      var selectors = [data, test.codeSelector, data, data, data, data]
      if kind == .real || kind == .v86 {
        // Code as data, and data at another place.
        if choice & 7 == 1 { selectors[3] = 0x2000 }
        if choice & 0x18 == 0x08 { selectors[0] = 0x1001 }
        if choice & 0x60 == 0x20 { selectors[4] = 0x1FF8 }
        // The device, and memory above 1 MiB or its beginning.
        if choice >> 25 & 3 == 1 { selectors[0] = 0xA000 }
        if choice >> 25 & 7 == 2 { selectors[3] = 0xFFFF }
      } else {
        let user = UInt16(kind.level)
        let others: [UInt16] =
          kind.level == 3 ? [0x43, 0x6B, 0x73] : [0x50, 0x58, 0x60, 0x68, 0x70, 0]
        if choice & 3 == 1 { selectors[3] = others[Int(choice >> 16 & 7) % others.count] }
        if choice & 0xC == 4 { selectors[0] = others[Int(choice >> 19 & 7) % others.count] }
        if choice & 0x30 == 0x10 { selectors[4] = others[Int(choice >> 22 & 7) % others.count] }
        if choice & 0xC0 == 0x40 { selectors[5] = 0x40 | user }
      }
      var flags = round.eflags
      if kind == .v86 { flags |= EFLAGS.vm }
      cpu.setEFLAGS(flags)
      for n in 0..<6 { setSegment(n, selectors[n], realMode: kind == .real || kind == .v86) }
      for n in 0..<8 { cpu[n] = round.registers[n] }
      s.pointee.eip = test.codeBase &+ UInt32(test.place(of: min(round.start, test.code.count)))
      cpu.setEFLAGS(flags)
      // Registers were set behind the processor's back: derived state follows CS.
      cpu[segment: SegmentRegister.cs] = cpu[segment: SegmentRegister.cs]
    }

    private func setSegment(_ n: Int, _ selector: UInt16, realMode: Bool = false) {
      var cache = SegmentCache()
      cache.selector = selector
      if realMode {
        cache.base = UInt32(selector) << 4
        cache.limit = 0xFFFF
        cache.attributes = cpu.eflags & EFLAGS.vm != 0 ? 0xF3 : 0x93
      } else if selector & 0xFFF8 != 0 {
        let at = Int(At.gdt) + Int(selector & 0x78)
        let low = memory.ram.load(fromByteOffset: at, as: UInt32.self)
        let high = memory.ram.load(fromByteOffset: at + 4, as: UInt32.self)
        cache.base = low >> 16 | (high & 0xFF) << 16 | high & 0xFF00_0000
        let limit = low & 0xFFFF | high & 0xF_0000
        cache.limit = high & 0x80_0000 != 0 ? limit << 12 | 0xFFF : limit
        cache.attributes = UInt16(high >> 8 & 0xF0FF)
        if n == SegmentRegister.tr { cache.attributes |= 2 }
      }
      cpu[segment: n] = cache
    }
  }

  extension PhysicalMemory {
    /// Writes the pages that differ from a pattern.
    fileprivate func restore(_ pattern: UnsafeRawPointer, _ count: Int) {
      for page in stride(from: 0, to: count, by: 4096)
      where memcmp(ram + page, pattern + page, 4096) != 0 {
        copyIn(
          UInt32(page), from: UnsafeRawBufferPointer(start: pattern + page, count: 4096))
      }
      // What lies above is zero to begin with.
      for page in EngineWorld.ramPages where page >= count && !isZero(ram + page) {
        let zeros = [UInt8](repeating: 0, count: 4096)
        zeros.withUnsafeBytes { copyIn(UInt32(page), from: $0) }
      }
    }

    private func isZero(_ page: UnsafeMutableRawPointer) -> Bool {
      var any: UInt64 = 0
      for at in stride(from: 0, to: 4096, by: 8) {
        any |= page.load(fromByteOffset: at, as: UInt64.self)
      }
      return any == 0
    }
  }
#endif
