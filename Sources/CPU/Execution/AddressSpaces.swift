// Address spaces that come back, and their code with them.
//
// Owns: which pages each of the last address spaces (values of CR3) fetched code from, the check that they are where they were when the
// space comes back, and the epochs that hold again then. Must not know: blocks, translated code.
// Follows: Intel SDM volume 3, sections 4.8 (accessed flags), 4.10.2 (what may be cached, and when), 4.10.4.1 (MOV to CR3).
//
// Systems that switch page tables at each system call load CR3 more than a hundred thousand times a second, and nearly always all code is
// where it was. A processor may translate what it may need later at any time, as far as accessed flags are set already. Here it does so
// for the pages of code of a space when CR3 is loaded: if none has moved, all that is known of code under the epoch of that time (links
// among blocks, lookaside entries) holds without another look.
//
// The lists are a matter of what was executed and what CR3 was, whatever the engine, so that both make the same entries; epochs are the
// host's affair. Pages that are global stay translated anyway and are in no list. Code below CPL 3 is mostly the same in all spaces:
// spaces share lists of it as long as they agree.

/// Pages of code of one privilege, with where they are.
final class CodePageList {
  /// More than a system's hot paths have; a list that has filled begins anew the next time.
  static let capacity = 128
  /// Linear page numbers in the lower halves, physical ones in the upper.
  let pages: UnsafeMutablePointer<UInt64>
  var count = 0
  /// Code was fetched from a page that is not in the list, though it may move.
  var isPartial = false
  /// The epoch in which all of the code is known, while `spaces.generation` is `generation`.
  var epoch: UInt64 = 0
  var generation: UInt64 = 0

  init() { pages = .allocate(capacity: CodePageList.capacity) }
  deinit { pages.deallocate() }
}

/// The spaces of a processor.
struct AddressSpaces {
  struct Space {
    var cr3: UInt32
    var supervisor: CodePageList
    var user: CodePageList
  }

  /// With page tables of their own for system calls, eight processes.
  static let capacity = 16
  /// The last ones, the present one first; it is there once CR3 was loaded.
  var known: [Space] = []
  var supervisor = CodePageList()
  var user = CodePageList()
  /// Grows whenever no epoch before may hold again.
  var generation: UInt64 = 1
  /// The last epoch that was used.
  var lastEpoch: UInt64 = 2
  /// How often all code was found in place, and how often CR3 was loaded.
  var returns: UInt64 = 0
  var loads: UInt64 = 0
}

extension CPU {
  // MARK: - Epochs

  /// Translations changed: lookaside entries no longer hold.
  func codeEpochChanged() {
    spaces.generation &+= 1
    reserveEpochs()
    supervisorEpoch = newEpoch()
    userEpoch = newEpoch()
    contextChanged()
  }

  /// There are two more epochs.
  private func reserveEpochs() {
    if spaces.lastEpoch &+ 2 < CodeTag.epochs { return }
    spaces.lastEpoch = 0
    spaces.generation &+= 1
    blocks.clearLookaside()
    translator?.forgetPlaces()
  }

  private func newEpoch() -> UInt64 {
    spaces.lastEpoch &+= 1
    return spaces.lastEpoch
  }

  // MARK: - Pages

  /// Code was fetched from a page.
  @inline(__always)
  func noteCodePage(_ linear: Linear, physicalPage: UInt32) {
    let n = Int(linear >> 12)
    tables.notes[n] |= TranslationTables.Note.code
    let isUser = s.pointee.cpl == 3
    let listed = isUser ? TranslationTables.Note.userCode : TranslationTables.Note.supervisorCode
    if tables.notes[n] & (listed | TranslationTables.Note.global) != 0 { return }
    list(n, physicalPage, listed, in: isUser ? spaces.user : spaces.supervisor)
  }

  @inline(never)
  private func list(_ n: Int, _ physicalPage: UInt32, _ listed: UInt8, in pages: CodePageList) {
    if s.pointee.cr0 & CR0.pg == 0 || asideTables != nil { return }
    guard pages.count < CodePageList.capacity, memory.isRAM(page: physicalPage) else {
      pages.isPartial = true
      return
    }
    tables.notes[n] |= listed
    pages.pages[pages.count] = UInt64(physicalPage) << 32 | UInt64(n)
    pages.count += 1
  }

  /// Nothing is known of any space.
  func forgetSpaces() {
    mark(spaces.supervisor, TranslationTables.Note.supervisorCode, false)
    mark(spaces.user, TranslationTables.Note.userCode, false)
    spaces.known.removeAll(keepingCapacity: true)
    spaces.supervisor = CodePageList()
    spaces.user = CodePageList()
  }

  private func mark(_ list: CodePageList, _ bit: UInt8, _ isListed: Bool) {
    // Those of a mode that was interrupted were put aside with its tables.
    let notes = (asideTables ?? tables).notes
    for n in 0..<list.count {
      let page = Int(UInt32(truncatingIfNeeded: list.pages[n]))
      if isListed { notes[page] |= bit } else { notes[page] &= ~bit }
    }
  }

  // MARK: - Loading CR3

  /// CR3 has another value or the same again, and the translations that go with that are gone.
  func enterSpace(_ cr3: UInt32) {
    guard s.pointee.cr0 & CR0.pg != 0, asideTables == nil,
      tables.count < TranslationTables.maximumFilled - 2 * CodePageList.capacity
    else {
      forgetSpaces()
      codeEpochChanged()
      return
    }
    let old = (supervisor: spaces.supervisor, user: spaces.user)
    (old.supervisor.epoch, old.supervisor.generation) = (supervisorEpoch, spaces.generation)
    (old.user.epoch, old.user.generation) = (userEpoch, spaces.generation)
    // Only now: where the numbers begin anew, those just noted are no more than the others.
    reserveEpochs()
    mark(old.supervisor, TranslationTables.Note.supervisorCode, false)
    mark(old.user, TranslationTables.Note.userCode, false)

    var space: AddressSpaces.Space
    if let known = spaces.known.first, known.cr3 == cr3 {
      space = known
    } else if let n = spaces.known.firstIndex(where: { $0.cr3 == cr3 }) {
      space = spaces.known.remove(at: n)
      spaces.known.insert(space, at: 0)
    } else {
      let shares = !old.supervisor.isPartial && agrees(old.supervisor)
      space = AddressSpaces.Space(
        cr3: cr3, supervisor: shares ? old.supervisor : CodePageList(), user: CodePageList())
      if spaces.known.count == AddressSpaces.capacity { spaces.known.removeLast() }
      spaces.known.insert(space, at: 0)
    }
    spaces.supervisor = space.supervisor
    spaces.user = space.user
    spaces.loads &+= 1
    let isSame = (adopt(space.supervisor, isUser: false), adopt(space.user, isUser: true))
    if isSame.0 && isSame.1 { spaces.returns &+= 1 }
    supervisorEpoch = isSame.0 ? space.supervisor.epoch : newEpoch()
    userEpoch = isSame.1 ? space.user.epoch : newEpoch()
    contextChanged()
  }

  /// Whether all pages of a list are in the present space where they were.
  private func agrees(_ list: CodePageList) -> Bool {
    for n in 0..<list.count {
      let entry = list.pages[n]
      guard let found = fetchMapping(UInt32(truncatingIfNeeded: entry) << 12, isUser: false),
        found.page == UInt32(truncatingIfNeeded: entry >> 32)
      else { return false }
    }
    return true
  }

  /// Translates the pages of a list; those that are elsewhere or not ready leave it.
  /// - Returns: whether all that is known of the code holds.
  private func adopt(_ list: CodePageList, isUser: Bool) -> Bool {
    if list.isPartial {
      list.isPartial = false
      list.count = 0
      return false
    }
    let listed = isUser ? TranslationTables.Note.userCode : TranslationTables.Note.supervisorCode
    var kept = 0
    let (pages, count) = (list.pages, list.count)
    for n in 0..<count {
      let entry = pages[n]
      let index = UInt32(truncatingIfNeeded: entry)
      let page = UInt32(truncatingIfNeeded: entry >> 32)
      guard let found = fetchMapping(index << 12, isUser: isUser), found.page == page else {
        continue
      }
      let known = (isUser ? tables.userRead : tables.supervisorRead)[Int(index)]
      if known != 0 {
        // A global translation that stayed counts, whatever the tables say now.
        guard memory.physical(ofHost: (known & Int.max) &+ Int(index) << 12) == Physical(page) << 12
        else { continue }
        tables.notes[Int(index)] |= listed
        pages[kept] = entry
        kept += 1
        continue
      }
      if found.isLarge { tables.largeRegions[Int(index >> 10)] = 1 }
      fill(
        linear: index << 12, physical: Physical(page) << 12, isUser ? .user : [], global: false,
        true, true)
      tables.notes[Int(index)] |= listed
      pages[kept] = entry
      kept += 1
    }
    let isWhole = kept == count
    list.count = kept
    return isWhole && list.generation == spaces.generation
  }

  /// Where code at a linear address is fetched from, if no walk has to set a flag for it and the page is not global.
  @inline(__always)
  private func fetchMapping(_ linear: Linear, isUser: Bool) -> (page: UInt32, isLarge: Bool)? {
    // Present, accessed, and for CPL 3 user.
    let needed: UInt64 = isUser ? 0x25 : 0x21
    let globalMask: UInt64 = s.pointee.cr4 & CR4.pge != 0 ? 0x100 : 0
    let directory: UInt64
    let isPAE = s.pointee.cr4 & CR4.pae != 0
    if isPAE {
      let p = s.pointee.pdpte
      let pointer =
        linear >> 30 == 0 ? p.0 : linear >> 30 == 1 ? p.1 : linear >> 30 == 2 ? p.2 : p.3
      guard pointer & 1 != 0 else { return nil }
      directory = pointer & 0xF_FFFF_F000 | UInt64(linear >> 18 & 0xFF8)
    } else {
      directory = UInt64(s.pointee.cr3 & 0xFFFF_F000 | linear >> 20 & 0xFFC)
    }
    guard let pde = tableEntry(directory, isPAE), pde & needed == needed else { return nil }
    if pde & 0x80 != 0, isPAE || s.pointee.cr4 & CR4.pse != 0 {
      if pde & globalMask != 0 { return nil }
      let physical: UInt64
      if isPAE {
        if pde & (~0xF_FFFF_FFFF | 0x1F_E000) != 0 { return nil }
        physical = pde & 0xF_FFE0_0000 | UInt64(linear & 0x1F_F000)
      } else {
        // Address bits above 32, or what is reserved.
        if pde & 0x003F_E000 != 0 { return nil }
        physical = pde & 0xFFC0_0000 | UInt64(linear & 0x3F_F000)
      }
      return (UInt32(truncatingIfNeeded: (physical & view.allLines) >> 12), true)
    }
    let table =
      isPAE
      ? pde & 0xF_FFFF_F000 | UInt64(linear >> 9 & 0xFF8)
      : pde & 0xFFFF_F000 | UInt64(linear >> 10 & 0xFFC)
    guard let pte = tableEntry(table, isPAE), pte & needed == needed, pte & globalMask == 0
    else { return nil }
    if isPAE && (pde | pte) & ~0xF_FFFF_FFFF != 0 { return nil }
    let physical = pte & 0xF_FFFF_F000 & view.allLines
    return (UInt32(truncatingIfNeeded: physical >> 12), false)
  }

  /// An entry of a page table in RAM.
  @inline(__always)
  private func tableEntry(_ address: UInt64, _ isPAE: Bool) -> UInt64? {
    let bus = view.bus(address).value
    let page = UInt32(truncatingIfNeeded: bus >> 12)
    guard memory.isRAM(page: page) else { return nil }
    let entry = memory.ram + Int(bus)
    return isPAE
      ? entry.loadUnaligned(as: UInt64.self).littleEndian
      : UInt64(entry.loadUnaligned(as: UInt32.self).littleEndian)
  }
}

// MARK: - Snapshots

/// The spaces of a processor as they are at one moment: lists, and which are whose.
struct SavedSpaces: Sendable {
  var lists: [[UInt64]] = []
  var isPartial: [Bool] = []
  var known: [(cr3: UInt32, supervisor: Int, user: Int)] = []
  var supervisor = 0
  var user = 0

  var byteCount: Int { lists.reduce(known.count * 24) { $0 + $1.count * 8 } }
}

extension CPU {
  func saveSpaces() -> SavedSpaces {
    var saved = SavedSpaces()
    var numbers: [ObjectIdentifier: Int] = [:]
    func number(_ list: CodePageList) -> Int {
      if let n = numbers[ObjectIdentifier(list)] { return n }
      numbers[ObjectIdentifier(list)] = saved.lists.count
      saved.lists.append(Array(UnsafeBufferPointer(start: list.pages, count: list.count)))
      saved.isPartial.append(list.isPartial)
      return saved.lists.count - 1
    }
    for space in spaces.known {
      saved.known.append((space.cr3, number(space.supervisor), number(space.user)))
    }
    saved.supervisor = number(spaces.supervisor)
    saved.user = number(spaces.user)
    return saved
  }

  /// Replaces what is known; the epochs of that time hold no longer.
  func restoreSpaces(_ saved: SavedSpaces) {
    forgetSpaces()
    if saved.lists.isEmpty { return }
    let lists = zip(saved.lists, saved.isPartial).map { pages, isPartial in
      let list = CodePageList()
      list.isPartial = isPartial
      list.count = pages.count
      for (n, page) in pages.enumerated() { list.pages[n] = page }
      return list
    }
    spaces.known = saved.known.map {
      AddressSpaces.Space(cr3: $0.cr3, supervisor: lists[$0.supervisor], user: lists[$0.user])
    }
    spaces.supervisor = lists[saved.supervisor]
    spaces.user = lists[saved.user]
    mark(spaces.supervisor, TranslationTables.Note.supervisorCode, true)
    mark(spaces.user, TranslationTables.Note.userCode, true)
  }
}
