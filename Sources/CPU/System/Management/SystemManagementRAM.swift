// SMRAM: the RAM beneath the video memory, which processors in system management mode see.
//
// Owns: who sees it and when, as data and as code; the video memory as bus masters reach it. Must not know: the bridge's registers, what
// system management mode is.
// Follows: Intel 82441FX data sheet, 3.2.20 (SMRAM register), 4.1 (compatible SMRAM).
//
// As processors run one after the other, `kinds` shows these pages as the one sees them that runs: `show` is asked when one begins, and
// when it enters or leaves the mode. Nothing is dropped then: translations of the mode are in tables of their own, code fetched in it is
// in contexts of its own (`CodeTraits.management`), and blocks of these pages are only ever decoded from RAM: code in the video memory
// is decoded anew each time it is met.

import Bus

/// What of A0000h to BFFFFh is RAM to the processor that runs.
struct SystemManagementRAM {
  /// D_OPEN: processors see RAM in any mode.
  var isOpen = false
  /// G_SMRAME: those in system management mode do.
  var isEnabled = false
  /// D_CLS: as code only.
  var hidesData = false
  /// The processor that runs is in system management mode.
  var inManagement = false
  /// `PhysicalMemory.Kind` of each page as the bus has it.
  var busKinds = [UInt8](repeating: PhysicalMemory.Kind.unmapped, count: ShadowPages.video.count)

  @inline(__always) var showsCode: Bool { isOpen || isEnabled && inManagement }
  @inline(__always) var showsData: Bool { showsCode && !hidesData }
}

extension PhysicalMemory {
  /// Who sees the RAM at A0000h to BFFFFh in place of the video memory. Bus masters never do. Part of the bridge's state, as `setShadow`.
  /// - Parameters:
  ///   - isOpen: processors in any mode do (D_OPEN of a host bridge's SMRAM register).
  ///   - isEnabled: those in system management mode do (G_SMRAME).
  ///   - hidesData: only fetches of code, not data (D_CLS).
  public func setSMRAM(isOpen: Bool, isEnabled: Bool = false, hidesData: Bool = false) {
    let old = shadow.smram
    if (isOpen, isEnabled, hidesData) == (old.isOpen, old.isEnabled, old.hidesData) { return }
    var changed = shadow
    changed.smram.isOpen = isOpen
    changed.smram.isEnabled = isEnabled
    changed.smram.hidesData = hidesData
    change(Array(ShadowPages.video), to: changed)
  }

  /// A processor is about to run, or has entered or left system management mode: from here on these pages are as it sees them.
  @inline(__always)
  func show(inManagement: Bool) {
    if shadow.smram.inManagement != inManagement { showOther() }
  }

  @inline(never)
  private func showOther() {
    let before = shadow.smram.showsData
    shadow.smram.inManagement.toggle()
    if shadow.smram.showsData == before { return }
    for page in ShadowPages.video { showVideo(page) }
  }

  /// What answers at one of the pages on the bus has changed.
  func setVideoKind(_ page: UInt32, _ kind: UInt8) {
    shadow.smram.busKinds[Int(page - ShadowPages.video.lowerBound)] = kind
    showVideo(page)
  }

  private func showVideo(_ page: UInt32) {
    let kind = shadow.smram.showsData ? Kind.ram : busKind(page)
    let isRAM = kind == Kind.ram || kind == Kind.readOnlyRAM
    kinds[Int(page)] = kind | (isRAM && codeGranules[Int(page)] != 0 ? Kind.code : 0)
  }

  private func busKind(_ page: UInt32) -> UInt8 {
    shadow.smram.busKinds[Int(page - ShadowPages.video.lowerBound)]
  }

  /// Where in the host one of the pages may be: in RAM, and in the adapter's memory.
  func videoHosts(_ page: UInt32) -> [Int] {
    [Int(bitPattern: ram) &+ Int(page) << 12]
      + (directHost(page).map { [Int(bitPattern: $0)] } ?? [])
  }

  private func directHost(_ page: UInt32) -> UnsafeMutableRawPointer? {
    for direct in directs where direct.has(page) {
      return direct.bytes.map { $0 + Int(page &- direct.start) << 12 }
    }
    return nil
  }

  // MARK: - Code

  /// Whether the processor that runs fetches code of a page from RAM, so that what was decoded depends on what RAM holds.
  @inline(__always)
  func fetchesRAM(page: UInt32) -> Bool {
    ShadowPages.isVideo(page) && shadow.smram.showsCode || readsRAM(page: page)
  }

  /// The host address of a page that code can be decoded from, or nil: it is a device's.
  @inline(__always)
  func fetchPointer(page: UInt32) -> UnsafeMutableRawPointer? {
    ShadowPages.isVideo(page) && shadow.smram.showsCode
      ? ram + Int(page) << 12 : readPointer(page: page)
  }

  /// A byte of code, with a device's side effects.
  func fetchByte(_ address: Physical) -> UInt8 {
    let page = UInt32(truncatingIfNeeded: address >> 12) & 0xFFFFFF
    if ShadowPages.isVideo(page), shadow.smram.showsCode {
      return ram.load(fromByteOffset: Int(address), as: UInt8.self)
    }
    return UInt8(truncatingIfNeeded: read(address, width: 1))
  }

  // MARK: - Bus masters

  /// Bytes of one page as the bus has them, which knows nothing of SMRAM.
  func readVideo(_ address: UInt64, _ target: UnsafeMutableRawBufferPointer) {
    let page = UInt32(truncatingIfNeeded: address >> 12)
    let offset = Int(address & 0xFFF)
    switch busKind(page) {
    case Kind.ram, Kind.readOnlyRAM:
      target.copyMemory(
        from: UnsafeRawBufferPointer(start: ram + Int(address), count: target.count))
    case Kind.direct:
      guard let host = directHost(page) else { fallthrough }
      target.copyMemory(
        from: UnsafeRawBufferPointer(start: host + offset, count: target.count))
    case Kind.mmio, Kind.writeOnlyRAM:
      guard let region = region(at: address) else { fallthrough }
      for n in target.indices {
        target[n] = UInt8(truncatingIfNeeded: region.read(address &+ UInt64(n), 1))
      }
    default: target.initializeMemory(as: UInt8.self, repeating: 0xFF)
    }
  }

  /// The same for writing.
  func writeVideo(_ address: UInt64, _ bytes: UnsafeRawBufferPointer) {
    let page = UInt32(truncatingIfNeeded: address >> 12)
    switch busKind(page) {
    case Kind.ram, Kind.writeOnlyRAM:
      if codeGranules[Int(page)] != 0 {
        codeWritten(page, UInt32(address & 0xFFF), UInt32(bytes.count))
      }
      dirty[Int(page)] = 0xFF
      (ram + Int(address)).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
    case Kind.direct:
      guard let host = directHost(page) else { return }
      noteDirectWrite(page: page)
      (host + Int(address & 0xFFF)).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
    case Kind.mmio, Kind.readOnlyRAM:
      guard let region = region(at: address) else { return }
      for (n, byte) in bytes.enumerated() { region.write(address &+ UInt64(n), UInt32(byte), 1) }
    default: break
    }
  }
}
