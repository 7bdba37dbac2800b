// Pages with watched bytes, and writes to them by others than instructions.
//
// Owns: translations that are held out of the tables while a watchpoint needs to see every access, records of writes by bus masters
// and by the page walk, the place where an interrupted instruction starts again. Must not know: consoles.
// A held translation is as good as one in the tables: the guest's page tables are not walked again, so accessed and dirty bits become
// what they are without watchpoints.

/// A translation that is not in the tables.
struct HeldTranslation {
  /// Supervisor read, supervisor write, user read, user write, as in the tables.
  var entries = [0, 0, 0, 0]
  var isGlobal = false
}

/// An instruction that was about to run, with the stack it would have run on.
struct RestartPlace: Equatable {
  var linear: UInt32
  var stack: UInt32
  var directory: UInt32
  var cpl: Int
}

extension CPU {
  // MARK: - Held translations

  /// Keeps the translation of a page that may not enter the tables.
  func holdBack(
    linear: UInt32, physicalPage: UInt32, _ host: UnsafeMutableRawPointer, _ access: Access,
    global: Bool
  ) {
    let page = linear >> 12
    var held = debug.held[page] ?? HeldTranslation(isGlobal: global)
    if held.entries == [0, 0, 0, 0] {
      tables.list(page, isGlobal: global)
    }
    let delta = Int(bitPattern: host) &- Int(page) << 12
    let user = access.contains(.user) ? 2 : 0
    held.entries[user] = delta
    if access.contains(.write),
      memory.isRAM(page: physicalPage) || memory.isDirect(page: physicalPage)
    {
      held.entries[user + 1] = delta
    }
    debug.held[page] = held
  }

  /// The entry that a page would have in the tables; 0 when absent.
  func heldEntry(_ page: UInt32, _ access: Access) -> Int {
    guard let held = debug.held[page] else { return 0 }
    return held.entries[(access.contains(.user) ? 2 : 0) + (access.contains(.write) ? 1 : 0)]
  }

  /// The tables are flushed.
  func dropHeld(keepGlobal: Bool) {
    if debug.held.isEmpty { return }
    debug.held = keepGlobal ? debug.held.filter { $0.value.isGlobal } : [:]
  }

  /// INVLPG, with the neighbours of a large page.
  func dropHeld(page: UInt32, large: Bool) {
    if debug.held.isEmpty { return }
    debug.held[page] = nil
    if !large { return }
    let mask: UInt32 = s.pointee.cr4 & CR4.pae != 0 ? ~511 : ~1023
    debug.held = debug.held.filter { $0.key & mask != page & mask }
  }

  // MARK: - Writes by others

  /// A bus master is about to write.
  func noteBusMaster(_ address: Physical, _ bytes: UnsafeRawBufferPointer) {
    noteOther(.busMaster, address, bytes)
  }

  /// The page walk is about to set bits in an entry.
  func noteWalk(_ address: Physical, _ value: UInt32) {
    withUnsafeBytes(of: value.littleEndian) { noteOther(.pageWalk, address, $0) }
  }

  private func noteOther(
    _ writer: DebugWriter, _ address: Physical, _ bytes: UnsafeRawBufferPointer
  ) {
    let count = UInt64(bytes.count)
    if count == 0 { return }
    for w in debug.conditions.watchpoints where w.onWrite {
      var done: UInt64 = 0
      // A linear range may lie on any pages.
      while done < w.length {
        let watched = w.address &+ done
        let linear = UInt32(truncatingIfNeeded: watched)
        let room = w.isPhysical ? w.length : min(w.length &- done, 0x1000 &- (watched & 0xFFF))
        defer { done &+= max(room, 1) }
        guard let place = w.isPhysical ? watched : peekPhysical(linear) else { continue }
        guard place &- address < count || address &- place < room else { continue }
        let start = place &- address < count ? place : address
        let offset = start &- address
        let size = min(8, count &- offset, room &- (start &- place))
        var old: UInt64 = 0
        var new: UInt64 = 0
        for n in 0..<size {
          let shift = 8 &* n
          old |= UInt64(memory.peek(start &+ n, count: 1)[0]) << shift
          new |= UInt64(bytes[Int(offset &+ n)]) << shift
        }
        noteDebug(
          .otherWrite(
            by: writer,
            linear: w.isPhysical
              ? UInt32(truncatingIfNeeded: start)
              : linear &+ UInt32(truncatingIfNeeded: start &- place),
            physical: start,
            size: Int(size), old: old, new: new))
        return
      }
    }
  }

  // MARK: - Starting again

  /// Where an instruction would run now.
  func restartPlace(_ linear: UInt32) -> RestartPlace {
    let ss = segmentPointer(SegmentRegister.ss).pointee
    return RestartPlace(
      linear: linear, stack: ss.base &+ (gpr32[Register.esp] & stackMask),
      directory: s.pointee.cr3, cpl: s.pointee.cpl)
  }

  /// Something is about to be delivered before the next instruction, or because of a fault of it. One whose breakpoint has just
  /// been met will come again, and that is no new arrival.
  /// - Parameter counted: what `retired` already counts for it.
  func noteInterruption(counted: UInt64) {
    let linear = nextLinear
    if debug.resumeLinear == linear, debug.resumeCount &+ counted == s.pointee.retired {
      debug.restart = restartPlace(linear)
    }
  }
}
