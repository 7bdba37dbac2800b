// The physical address space: RAM, ROM, shadow RAM, memory-mapped devices, and which RAM holds decoded code.
// What is where is an `AddressSpace`; the tables here are what of it is seen.
//
// Owns: host memory behind each guest page and the slow path for everything that is not plain RAM.
// Must not know: linear addresses, any device.
// Follows: the PC/AT memory map (RAM below 640 KiB, adapters at A0000-FFFFF, RAM from 1 MiB, ROM alias below 4 GiB).

import Bus
import Host

/// Physical memory of 36 address bits with 4 KiB granularity.
public final class PhysicalMemory {
  /// RAM as translated code of unpaged modes reaches it, see `openWindow`.
  var window: MemoryWindow?
  /// Notices first writes through the window, once somebody tracks writes.
  var windowGuard: WindowGuard?

  /// What answers at a page.
  enum Kind {
    static let unmapped: UInt8 = 0
    static let ram: UInt8 = 1
    static let rom: UInt8 = 2
    static let mmio: UInt8 = 3
    /// A device's memory that is plain bytes at present; its writes need not be told. Never holds decoded code.
    static let direct: UInt8 = 4
    /// RAM that is only read; writes go to the bus, where what is mapped beneath may take them (write-protected shadow RAM).
    static let readOnlyRAM: UInt8 = 5
    /// Reads go to what is mapped there, writes to the RAM beneath (a ROM about to be copied to its shadow).
    static let writeOnlyRAM: UInt8 = 6
    static let mask: UInt8 = 0x7F
    /// The page holds decoded instructions: writes must look at `codeGranules`.
    static let code: UInt8 = 0x80
  }

  /// Where RAM is.
  public let layout: RAMLayout
  let ramRegion: HostMemory
  /// The first byte of RAM (physical address 0). Its host addresses follow the physical ones also above 4 GiB; the host has no memory
  /// behind what lies between.
  public let ram: UnsafeMutableRawPointer
  /// Pages of RAM below 4 GiB.
  let lowPages: UInt32
  /// One more than the last page of RAM.
  public let pageCount: Int
  /// How many bytes of host addresses from `ram` on may be RAM.
  let ramSpan: UInt
  private let kindRegion: HostMemory
  /// How many pages 36 address bits reach.
  static let pageLimit: UInt32 = 1 << 24
  /// `Kind` of each of the 2^24 pages as reads see it; the host has memory only for the parts that are used.
  let kinds: UnsafeMutablePointer<UInt8>
  private let granuleRegion: HostMemory
  /// For each RAM page one bit per 64 bytes that decoded code covers.
  package let codeGranules: UnsafeMutablePointer<UInt64>
  let dirtyRegion: HostMemory
  /// One byte for each RAM page, FFh from the first write on. Who keeps track of writes owns a bit and clears it, see `WriteTracking`.
  let dirty: UnsafeMutablePointer<UInt8>
  /// What answers at physical addresses. RAM and ROM have the priorities 0 and 1.
  public let space = AddressSpace<PhysicalAddress, MemoryTarget>()
  /// The devices among it, for the slow path.
  private(set) var regions: [DeviceRegion] = []
  /// The one of them that is no more than memory (`DeviceRegion.isMemory`), or one of no length.
  let memoryRegion = UnsafeMutablePointer<DeviceRegion>.allocate(capacity: 1)
  /// Reads and writes of devices' memory, for statistics.
  var deviceAccesses: UInt64 = 0
  /// The page of ROM that was asked for last, and where it is in the host.
  private var lastROM: (page: UInt32, host: UnsafeMutableRawPointer)?
  /// The one of `regions` that was accessed last.
  private(set) var lastRegion: DeviceRegion?
  private let nobody = RegisterFile()
  private var exchanged: [MappingID: RegisterFile] = [:]
  /// Those of them whose mapping went, perhaps in the middle of an access.
  private var gone: [RegisterFile] = []
  /// What the host bridge makes of the pages below 1 MiB.
  var shadow = ShadowPages()
  /// The processors that run from it; each takes itself away before it goes.
  private let processors = UnsafeMutablePointer<Unmanaged<CPU>>.allocate(
    capacity: PhysicalMemory.mostProcessors)
  private(set) var processorCount = 0
  /// How many can run from one memory.
  public static let mostProcessors = 64
  private let windowRegion: HostMemory
  /// For each RAM page how often it has lost its code, and in bit 7 whether the window shows it only for reading.
  let windowStates: UnsafeMutablePointer<UInt8>
  /// Changing what the window lets be written is a system call: a page that got and lost code this often stays as it is.
  static let windowPatience: UInt8 = 4
  static let windowReadOnly: UInt8 = 0x80
  /// Told of what bus masters write, before they do, while a debugger watches memory for a processor.
  private(set) var busMasterWatches:
    [(cpu: Unmanaged<CPU>, body: (UInt64, UnsafeRawBufferPointer) -> Void)] = []
  /// Runs of pages that the window shows only for reading.
  var windowRuns = 0
  /// What devices have as plain memory, by the numbers that `setDirect` was given.
  private(set) var directs = [DirectPages](
    repeating: DirectPages(), count: PhysicalMemory.directSlots)
  /// How many ranges of such memory there can be.
  public static let directSlots = 3

  /// RAM below 4 GiB only.
  /// - Parameter ramSize: see `RAMLayout.low`.
  public convenience init(ramSize: UInt64) throws(HostError) {
    try self.init(RAMLayout(low: ramSize))
  }

  /// - Parameter source: what the RAM begins with; it is not written, and has as many bytes as `layout.end`. Nil: zeros.
  /// - Throws: `HostError` when the host cannot map it.
  public init(_ layout: RAMLayout, from source: MemorySource? = nil) throws(HostError) {
    precondition(layout.low >= 1 << 20 && layout.low <= 3584 << 20 && layout.low & 0xFFFF == 0)
    precondition(layout.high <= 60 << 30 && layout.high & 0xFFFF == 0)
    self.layout = layout
    lowPages = UInt32(layout.low >> 12)
    let pageCount = Int(layout.end >> 12)
    self.pageCount = pageCount
    ramSpan = UInt(layout.end)
    ramRegion = try HostMemory(shareableCount: Int(layout.end), from: source)
    ram = ramRegion.base
    let limit = Int(PhysicalMemory.pageLimit)
    kindRegion = try HostMemory(count: limit)
    kinds = kindRegion.base.bindMemory(to: UInt8.self, capacity: limit)
    granuleRegion = try HostMemory(count: pageCount * 8)
    codeGranules = granuleRegion.base.bindMemory(to: UInt64.self, capacity: pageCount)
    dirtyRegion = try HostMemory(count: pageCount)
    dirty = dirtyRegion.base.bindMemory(to: UInt8.self, capacity: pageCount)
    windowRegion = try HostMemory(count: Int(lowPages))
    windowStates = windowRegion.base.bindMemory(to: UInt8.self, capacity: Int(lowPages))
    memoryRegion.initialize(
      to: DeviceRegion(
        start: 0, length: 0, file: Unmanaged.passUnretained(nobody), isMemory: false))
    space.changed = { [unowned self] in renew($0) }
    // The 384 KiB below 1 MiB are shadow RAM.
    space.map(.ram, at: 0...0x9FFFF)
    if layout.low > 0x100000 { space.map(.ram, at: 0x100000...PhysicalAddress(layout.low - 1)) }
    if layout.high > 0 { space.map(.ram, at: 0x1_0000_0000...PhysicalAddress(layout.end - 1)) }
  }

  deinit {
    memoryRegion.deallocate()
    processors.deallocate()
  }

  // MARK: - Processors

  /// A processor runs from this memory from now on.
  func attach(_ cpu: CPU) {
    precondition(processorCount < PhysicalMemory.mostProcessors, "too many processors")
    (processors + processorCount).initialize(to: Unmanaged.passUnretained(cpu))
    processorCount += 1
  }

  /// The last that a processor does here.
  func detach(_ cpu: CPU) {
    let own = Unmanaged.passUnretained(cpu).toOpaque()
    for n in 0..<processorCount where processors[n].toOpaque() == own {
      processorCount -= 1
      for k in n..<processorCount { processors[k] = processors[k + 1] }
      break
    }
    watchBusMasters(for: cpu, nil)
  }

  /// Has a processor's debugger told of what bus masters write, before they do; nil: no longer.
  func watchBusMasters(
    for cpu: CPU, _ body: ((UInt64, UnsafeRawBufferPointer) -> Void)?
  ) {
    let cpu = Unmanaged.passUnretained(cpu)
    busMasterWatches.removeAll { $0.cpu.toOpaque() == cpu.toOpaque() }
    if let body { busMasterWatches.append((cpu, body)) }
  }

  @inline(__always)
  func forEachProcessor(_ body: (CPU) -> Void) {
    for n in 0..<processorCount { processors[n]._withUnsafeGuaranteedRef(body) }
  }

  /// Bytes of granules that were decoded are about to change: every processor's blocks made of them go.
  func codeWritten(_ page: UInt32, _ offset: UInt32, _ count: UInt32) {
    var left: UInt64 = 0
    var dropped = false
    forEachProcessor { cpu in
      let before = cpu.blocks.invalidations
      left |= cpu.blocks.invalidate(page: page, offset: offset, count: count)
      if cpu.blocks.invalidations != before { dropped = true }
    }
    // Writes to data beside code drop nothing.
    if !dropped && left != 0 { return }
    keepCode(page, granules: left)
    forEachProcessor { $0.stopAfterCurrent() }
  }

  /// A processor has dropped all code of a page.
  func codeDropped(_ page: UInt32, by cpu: CPU) {
    var left: UInt64 = 0
    if processorCount > 1 {
      forEachProcessor { if $0 !== cpu { left |= $0.blocks.granules(inPage: page) } }
    }
    keepCode(page, granules: left, written: false)
  }

  /// Of a page's granules only these hold code any more.
  private func keepCode(_ page: UInt32, granules: UInt64, written: Bool = true) {
    if granules != 0 {
      codeGranules[Int(page)] = granules
      return
    }
    clearCode(page: page, written: written)
    if readPointer(page: page) != nil { forEachProcessor { $0.unprotectWrites(page: page) } }
  }

  private func directChanged() {
    forEachProcessor {
      $0.flushTLB()
      $0.stopAfterCurrent()
    }
  }

  private func mapChanged() { forEachProcessor { $0.memoryMapChanged() } }

  // MARK: - The map

  /// Puts a ROM at a physical address; `bytes` are padded to whole pages with FFh. RAM beneath stays as shadow RAM.
  public func mapROM(_ bytes: [UInt8], at address: UInt32) throws(HostError) {
    let pages = UInt32((bytes.count + 0xFFF) >> 12)
    guard address & 0xFFF == 0, pages > 0, UInt64(address) + UInt64(pages) << 12 <= 1 << 32 else {
      throw HostError("a ROM of \(bytes.count) bytes does not fit at \(hex(address))")
    }
    let memory = try HostMemory(count: Int(pages) << 12)
    memory.base.initializeMemory(as: UInt8.self, repeating: 0xFF, count: Int(pages) << 12)
    bytes.withUnsafeBytes { memory.base.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
    let first = UInt64(address)
    space.map(
      .rom(memory),
      at: PhysicalAddress(first)...PhysicalAddress(first + UInt64(pages) << 12 - 1), priority: 1)
  }

  /// Something else may be seen at some addresses: the tables follow.
  private func renew(_ range: ClosedRange<PhysicalAddress>) {
    lastROM = nil
    for n in directs.indices { directs[n].follow(space) }
    renewKinds(range)
    listRegions()
    mapChanged()
  }

  func renewKinds(_ range: ClosedRange<PhysicalAddress>) {
    space.forEachPiece(of: range) { piece, mapping in
      // What lies higher, no processor reaches.
      let limit = UInt64(PhysicalMemory.pageLimit)
      guard piece.lowerBound.value >> 12 < limit else { return }
      let first = UInt32(piece.lowerBound.value >> 12)
      let last = UInt32(min(piece.upperBound.value >> 12, limit - 1))
      for page in first...last { setKind(page, kind(page, mapping)) }
    }
  }

  /// The devices that are seen, the uppermost first.
  private func listRegions() {
    let ordered = space.mappings.enumerated().filter { $0.element.isEnabled }.sorted {
      ($0.element.priority, $0.offset) > ($1.element.priority, $1.offset)
    }
    regions = ordered.compactMap { _, mapping in
      guard case .registers(let file, let isMemory) = mapping.target,
        mapping.addresses.upperBound.value >> 12 < UInt64(PhysicalMemory.pageLimit)
      else { return nil }
      let first = mapping.addresses.lowerBound.value
      return DeviceRegion(
        start: first, length: mapping.addresses.upperBound.value - first + 1,
        file: Unmanaged.passUnretained(exchanged[mapping.id] ?? file), isMemory: isMemory)
    }
    // Who asks for it looks at no other: none may stand above.
    let memory = regions.firstIndex { $0.isMemory }.flatMap { n in
      regions[..<n].contains { $0.overlaps(regions[n]) } ? nil : regions[n]
    }
    memoryRegion.pointee =
      memory
      ?? DeviceRegion(
        start: 0, length: 0, file: Unmanaged.passUnretained(nobody), isMemory: false)
    lastRegion = nil
  }

  private func kind(_ page: UInt32, _ mapping: AddressSpace<PhysicalAddress, MemoryTarget>.Mapping?)
    -> UInt8
  {
    switch shadow.access(page) {
    case .none: break
    case .readWrite: return Kind.ram
    case .read: return Kind.readOnlyRAM
    case .write: return Kind.writeOnlyRAM
    }
    switch mapping?.target {
    case nil: return Kind.unmapped
    case .ram: return Kind.ram
    case .rom: return Kind.rom
    case .registers:
      guard let direct = directs.first(where: { $0.holds(page, of: mapping?.id) }) else {
        return Kind.mmio
      }
      return direct.isReadOnly ? Kind.rom : Kind.direct
    }
  }

  private func setKind(_ page: UInt32, _ kind: UInt8) {
    let old = kinds[Int(page)]
    if ShadowPages.isVideo(page) { return setVideoKind(page, kind) }
    kinds[Int(page)] = kind | old & Kind.code
    guard let window, isInWindow(page), (old & Kind.mask == Kind.ram) != (kind == Kind.ram) else {
      return
    }
    if kind == Kind.ram {
      _ = window.show(ramRegion, offset: Int(page) << 12, at: Int(page) << 12)
    } else {
      if windowStates[Int(page)] & PhysicalMemory.windowReadOnly != 0 {
        windowRuns += readOnlyNeighbours(page) - 1
      }
      windowGuard?.release(Int(page))
      windowStates[Int(page)] = 0
      window.hide(at: Int(page) << 12)
    }
  }

  /// Puts other registers in the place of those that are mapped under an id. Nothing that was derived from the map changes, so that
  /// this never shows in the guest.
  /// - Parameter file: nil: the mapping's own again.
  public func exchangeRegisters(_ id: MappingID, _ file: RegisterFile?) {
    exchanged[id] = file
    listRegions()
  }

  /// Makes pages of a mapped device plain memory of the host, or gives them back to the device's functions. They stay so where the
  /// device moves to, and wherever it is seen again.
  /// - Parameters:
  ///   - page: where the device is now.
  ///   - bytes: where the first page is; valid until the next call.
  ///   - written: a byte for each page, which becomes FFh when it is written (`watchDirectWrites`); nil: nobody wants to know.
  ///   - mapping: the device's; nil: what is no more than memory, or the uppermost there.
  ///   - slot: which of the ranges that there can be, 0 to `directSlots` - 1.
  ///   - isReadOnly: only reads are plain, as of a ROM, and instructions may be fetched; writes go to the device. Before it changes a
  ///     byte, it takes the pages back.
  public func setDirect(
    page: UInt32, pages: UInt32, to bytes: UnsafeMutableRawPointer?,
    written: UnsafeMutablePointer<UInt8>? = nil, slot: Int = 0, of mapping: MappingID? = nil,
    isReadOnly: Bool = false
  ) {
    if isReadOnly {
      lastROM = nil
      for page in page..<page + pages {
        forEachProcessor { _ = $0.blocks.invalidate(page: page, offset: 0, count: 0x1000) }
      }
    }
    let first = UInt64(page) << 12
    let range =
      PhysicalAddress(first)...PhysicalAddress(first + UInt64(max(pages, 1)) << 12 - 1)
    let old = directs[slot]
    directs[slot] = DirectPages(
      space, range, bytes, written: written, of: mapping, isReadOnly: isReadOnly)
    if let bytes = old.bytes, directs[slot].hasPlace(of: old) {
      // Another bank is seen at the same addresses.
      forEachProcessor { $0.forgetDirect(bytes, count: Int(pages) << 12) }
      return
    }
    if let old = old.range, old != range { renewKinds(old) }
    renewKinds(range)
    directChanged()
  }

  // MARK: - Host pointers

  /// The host address of a page that reads can use directly, or nil.
  @inline(__always)
  func readPointer(page: UInt32) -> UnsafeMutableRawPointer? {
    let kind = kinds[Int(page & 0xFFFFFF)] & Kind.mask
    return kind == Kind.ram ? ram + Int(page) << 12 : otherPointer(page, kind)
  }

  /// The same where it is not plain RAM, which would make the usual way longer.
  @inline(never)
  private func otherPointer(_ page: UInt32, _ kind: UInt8) -> UnsafeMutableRawPointer? {
    switch kind {
    case Kind.readOnlyRAM: return ram + Int(page) << 12
    case Kind.rom, Kind.writeOnlyRAM:
      if let lastROM, page == lastROM.page { return lastROM.host }
      guard let mapping = space.seen(at: PhysicalAddress(UInt64(page) << 12)) else { return nil }
      if let direct = directs.first(where: { $0.isReadOnly && $0.holds(page, of: mapping.id) }) {
        return direct.bytes.map { $0 + Int(page &- direct.start) << 12 }
      }
      guard case .rom(let memory) = mapping.target else { return nil }
      let host = memory.base + Int(UInt64(page) << 12 - mapping.addresses.lowerBound.value)
      lastROM = (page, host)
      return host
    default: return nil
    }
  }

  /// The host address of a page that data accesses can use directly, or nil; code is only fetched from `fetchPointer`.
  func dataPointer(page: UInt32) -> UnsafeMutableRawPointer? {
    if kinds[Int(page & 0xFFFFFF)] & Kind.mask == Kind.direct {
      for direct in directs where direct.has(page) {
        return direct.bytes.map { $0 + Int(page &- direct.start) << 12 }
      }
    }
    return readPointer(page: page)
  }

  @inline(__always) func isDirect(page: UInt32) -> Bool {
    kinds[Int(page & 0xFFFFFF)] & Kind.mask == Kind.direct
  }

  /// The physical address of an address of the host that an entry of the translation tables leads to; nil: it is ROM's.
  @inline(__always)
  func physical(ofHost host: Int) -> Physical? {
    let offset = UInt(bitPattern: host &- Int(bitPattern: ram))
    return offset < ramSpan ? Physical(offset) : directPhysical(host)
  }

  @inline(never)
  private func directPhysical(_ host: Int) -> Physical? {
    for direct in directs {
      // Another device may stand above a page of one range, and not of another that has the same bytes.
      if let found = direct.physical(host), isDirect(page: UInt32(found >> 12)) { return found }
    }
    return nil
  }

  /// A page of a device's plain memory is, or may from now on be, written.
  func noteDirectWrite(page: UInt32) {
    for direct in directs where direct.has(page) {
      direct.written?[Int(page &- direct.start)] = 0xFF
    }
  }

  /// Has the next write to each page of devices' plain memory noticed. The guest sees nothing of it.
  public func watchDirectWrites() {
    if directs.contains(where: { $0.written != nil }) {
      forEachProcessor { $0.watchDirectWrites() }
    }
  }

  /// Whether a page is RAM that writes can use directly (it may hold code, see `hasCode`).
  @inline(__always) func isRAM(page: UInt32) -> Bool {
    kinds[Int(page & 0xFFFFFF)] & Kind.mask == Kind.ram
  }

  /// Whether reads of a page see RAM, so that code decoded from it depends on what RAM holds.
  @inline(__always) func readsRAM(page: UInt32) -> Bool {
    let kind = kinds[Int(page & 0xFFFFFF)] & Kind.mask
    return kind == Kind.ram || kind == Kind.readOnlyRAM
  }

  /// Whether writes to a page reach RAM.
  @inline(__always) func writesRAM(page: UInt32) -> Bool {
    let kind = kinds[Int(page & 0xFFFFFF)] & Kind.mask
    return kind == Kind.ram || kind == Kind.writeOnlyRAM
  }

  @inline(__always) func hasCode(page: UInt32) -> Bool {
    kinds[Int(page & 0xFFFFFF)] & Kind.code != 0
  }

  /// Marks granules of a page as decoded code; ROM pages need no marks.
  /// - Returns: false when the host does not keep writes through the window away from the page.
  func markCode(page: UInt32, granules: UInt64) -> Bool {
    guard fetchesRAM(page: page) else { return true }
    var isProtected = true
    if kinds[Int(page)] & Kind.code == 0, readsRAM(page: page) {
      kinds[Int(page)] |= Kind.code
      if let window, isInWindow(page) { isProtected = protect(window, page) }
    }
    codeGranules[Int(page)] |= granules
    return isProtected
  }

  /// A page holds no decoded code any more: it was written, or everything was dropped.
  func clearCode(page: UInt32, written: Bool = true) {
    guard isRAMPage(page) else { return }
    let state = page < lowPages ? windowStates[Int(page)] : 0
    if state & PhysicalMemory.windowReadOnly != 0 {
      let losses = state & ~PhysicalMemory.windowReadOnly
      if losses < PhysicalMemory.windowPatience {
        windowGuard?.release(Int(page))
        _ = window?.setWritable(true, at: Int(page) << 12)
        windowStates[Int(page)] = written ? losses + 1 : losses
        windowRuns += readOnlyNeighbours(page) - 1
      }
    }
    kinds[Int(page)] &= ~Kind.code
    codeGranules[Int(page)] = 0
    // Its write entries take the fast path again, which tells nobody.
    dirty[Int(page)] = 0xFF
  }

  // MARK: - Slow path, by physical address

  /// Reads 1, 2 or 4 bytes that lie in one page; addresses have 36 bits.
  func read(_ address: Physical, width: UInt32) -> UInt32 {
    let page = UInt32(truncatingIfNeeded: address >> 12) & 0xFFFFFF
    let kind = kinds[Int(page)] & Kind.mask
    // Mostly page tables.
    if kind == Kind.ram { return load(ram + Int(address), width: width) }
    if kind == Kind.mmio {
      if let region = region(at: address) { return region.read(address, width) }
    } else if let host = dataPointer(page: page) {
      return load(host + Int(address & 0xFFF), width: width)
    }
    if kind == Kind.writeOnlyRAM, let region = region(at: address) {
      return region.read(address, width)
    }
    return UInt32.max >> (32 - 8 * width)
  }

  @inline(__always)
  private func load(_ p: UnsafeMutableRawPointer, width: UInt32) -> UInt32 {
    switch width {
    case 1: UInt32(p.load(as: UInt8.self))
    case 2: UInt32(p.loadUnaligned(as: UInt16.self))
    default: p.loadUnaligned(as: UInt32.self)
    }
  }

  /// The device at an address.
  @inline(__always)
  func region(at address: Physical) -> DeviceRegion? {
    deviceAccesses &+= 1
    if let lastRegion, address &- lastRegion.start < lastRegion.length { return lastRegion }
    for (n, region) in regions.enumerated() where address &- region.start < region.length {
      // Where another stands above a part of it, it has to be looked for again.
      lastRegion = regions[..<n].contains { $0.overlaps(region) } ? nil : region
      return region
    }
    return nil
  }

  /// Writes 1, 2 or 4 bytes that lie in one page; addresses have 36 bits.
  func write(_ address: Physical, _ value: UInt32, width: UInt32) {
    let page = UInt32(truncatingIfNeeded: address >> 12) & 0xFFFFFF
    let kind = kinds[Int(page)]
    switch kind & Kind.mask {
    case Kind.ram:
      if kind & Kind.code != 0 {
        let offset = UInt32(truncatingIfNeeded: address & 0xFFF)
        let mask = PhysicalMemory.granuleMask(offset: offset, count: width)
        // Flags beside code are set again and again, most often to what they are.
        if codeGranules[Int(page)] & mask != 0,
          read(address, width: width) != value & (UInt32.max >> (32 &- 8 &* width))
        {
          codeWritten(page, offset, width)
        }
      }
      dirty[Int(page)] = 0xFF
      store(ram + Int(address), value, width: width)
    case Kind.mmio, Kind.readOnlyRAM, Kind.rom:
      // Of a ROM: where it is a device's that takes commands, or covers a device.
      if let region = region(at: address) { region.write(address, value, width) }
    case Kind.direct:
      if let host = dataPointer(page: page) {
        noteDirectWrite(page: page)
        store(host + Int(address & 0xFFF), value, width: width)
      }
    case Kind.writeOnlyRAM:
      dirty[Int(page)] = 0xFF
      store(ram + Int(address), value, width: width)
    default: break
    }
  }

  @inline(__always)
  private func store(_ p: UnsafeMutableRawPointer, _ value: UInt32, width: UInt32) {
    switch width {
    case 1: p.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
    case 2: p.storeBytes(of: UInt16(truncatingIfNeeded: value), as: UInt16.self)
    default: p.storeBytes(of: value, as: UInt32.self)
    }
  }
}

extension PhysicalMemory: MemoryMap {
  /// Maps a device's registers; whole pages.
  @discardableResult
  public func map(
    _ file: RegisterFile, at address: PhysicalAddress, count: UInt64,
    isMemory: Bool = false, priority: Int = 0
  ) -> MappingID {
    precondition(address.value & 0xFFF == 0 && count & 0xFFF == 0 && count > 0)
    return space.map(
      .registers(file, isMemory: isMemory),
      at: address...PhysicalAddress(address.value + count - 1), priority: priority)
  }

  public func unmap(_ id: MappingID) {
    if let file = exchanged.removeValue(forKey: id) { gone.append(file) }
    space.unmap(id)
  }
  public func move(_ id: MappingID, to address: PhysicalAddress) { space.move(id, to: address) }

  /// Lets go of what was unmapped; to be called where no access is under way.
  public func releaseUnmapped() {
    space.releaseUnmapped()
    if !gone.isEmpty { gone.removeAll() }
  }
}
