// Translations of system management mode beside those of what it interrupts.
//
// Owns: which tables are the present ones, when those that were put aside still hold. Must not know: what the mode is for.
//
// A handler runs without paging, for some hundred instructions, perhaps a thousand times a second. So that what it interrupts finds its
// translations again, the mode has tables of its own, which are emptied when it ends. Those put aside are as good as the processor's: they
// go when paging comes back otherwise than it went, and with whatever drops translations in the mode.

/// What translations depend on.
struct PagingRegisters: Equatable {
  var cr0: UInt32 = 0
  var cr3: UInt32 = 0
  var cr4: UInt32 = 0
  var pdpte: [UInt64] = [0, 0, 0, 0]

  init() {}

  init(_ s: StatePointer) {
    (cr0, cr3, cr4) = (s.pointee.cr0, s.pointee.cr3, s.pointee.cr4)
    let p = s.pointee.pdpte
    pdpte = [p.0, p.1, p.2, p.3]
  }

  /// Bits that translations do not depend on do not count.
  static func == (a: PagingRegisters, b: PagingRegisters) -> Bool {
    let mode = CR0.pg | CR0.wp
    let extensions = CR4.pse | CR4.pae | CR4.pge
    return a.cr0 & mode == b.cr0 & mode && a.cr3 == b.cr3
      && a.cr4 & extensions == b.cr4 & extensions
      && (a.cr4 & CR4.pae == 0 || a.pdpte == b.pdpte)
  }
}

extension CPU {
  @inline(__always)
  func forEachTables(_ body: (TranslationTables) -> Void) {
    body(tables)
    if let asideTables { body(asideTables) }
  }

  /// As `onlyLinearPage`, for the tables that were put aside.
  func onlyAsidePage(_ page: UInt32) -> UInt32? {
    management.paging.cr0 & CR0.pg == 0 ? page : nil
  }

  /// Drops the translations that were put aside.
  func flushAside() {
    asideTables?.flush(keepGlobal: false)
    asideHeld = [:]
  }

  /// Puts the present translations aside.
  func useManagementTables() {
    if managementTables == nil {
      managementTables = try? TranslationTables(pages: memory.pageCount)
    }
    // Without memory for them there is one set, which serves one mode at a time.
    guard let own = managementTables else { return flushTLB() }
    asideTables = tables
    asideHeld = debug.held
    debug.held = [:]
    use(own)
  }

  /// Takes up those that were put aside.
  /// - Parameter keeps: whether they still hold.
  func useUsualTables(keeps: Bool) {
    guard let aside = asideTables else { return flushTLB() }
    tables.flush(keepGlobal: false)
    debug.held = asideHeld
    asideHeld = [:]
    asideTables = nil
    use(aside)
    if !keeps { flushTLB() }
  }

  private func use(_ tables: TranslationTables) {
    self.tables = tables
    s.pointee.pageNotes = UnsafePointer(tables.notes)
    s.pointee.readTable = tables.supervisorRead
    s.pointee.writeTable = tables.supervisorWrite
  }
}
