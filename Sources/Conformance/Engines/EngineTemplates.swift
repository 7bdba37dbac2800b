// Sequences that random instructions hardly ever make: they change what code runs in.
//
// Owns: the sequences. Must not know: how they run, what is compared.
// A20, device memory that becomes plain memory and back, page tables with and without invalidation, CR0.WP, CR4.PGE, descriptors,
// stacks and strings over the ends of memory, code that writes over itself.

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import CPU

  extension EngineCase {
    /// One sequence, or nil when the one chosen does not fit into the program's world.
    func template(_ lists: Lists, _ r: inout CaseRandom) -> [UInt8]? {
      var code = EngineCode(isBig: world.isBig)
      switch r.below(9) {
      case 0:
        // A20 is turned over.
        if world.level != 0 { return nil }
        code.add(.in, .al, .ib, immediate: 0x92)
        code.add(.xor, .al, .ib, immediate: 2)
        code.add(.out, .ib, .al, immediate: 0x92)
      case 1:
        code.add(.mov, .zb, .ib, immediate: UInt32(r.below(2)))
        code.add(.mov, .zv, .iv, register: Register.edx, immediate: 0x3CE)
        code.add(.out, .dx, .al)
      case 2, 3: return pageChange(lists, &r)
      case 4:
        guard world.isFlat, lists.features.contains(.i486) else { return nil }
        code.turnOver(CR0.wp, ofControl: 0)
      case 5:
        // A byte of the program, most often one that comes soon.
        let place = codeBase &+ UInt32(offset + bytes.count + r.below(r.oneIn(2) ? 24 : 200))
        let value = UInt32(truncatingIfNeeded: r.edge())
        // CS where other segments lie elsewhere.
        let prefixes: [UInt8] = world.isFlat || world == .pagedUser ? [] : [0x2E]
        code.add(prefixes: prefixes, .mov, .eb, .ib, at: place, immediate: value)
      case 6:
        let ends: [UInt32] = [0x9FFF8, 0xAFFF8, EngineWorld.ramSize &- 8, 0xFFFF_FFF8]
        var place = ends[r.below(4)] &+ UInt32(r.below(12))
        if r.oneIn(3) { place = codeBase &+ UInt32(offset + r.below(bytes.count + 40)) }
        let kind = r.below(4)
        code.add(.mov, .zv, .iv, register: Register.edi, immediate: place)
        code.add(.mov, .zv, .iv, register: Register.ecx, immediate: UInt32(r.below(24)))
        switch kind {
        case 0: code.add(prefixes: [0xF3], .stos, .yb, .al)
        case 1: code.add(prefixes: [0xF3], .stos, .yv, .eax)
        case 2: code.add(prefixes: [0xF3], .movs, .yb, .xb)
        default: code.add(prefixes: [0xF3], .movs, .yv, .xv)
        }
      case 7:
        let ends: [UInt32] = [0, 0x10000, 0xA0000, EngineWorld.ramSize, 0xB0000]
        let place = ends[r.below(5)] &+ UInt32(r.below(12)) &- 6
        code.add(.mov, .zv, .iv, register: Register.esp, immediate: place)
      default:
        // A descriptor, and ES, FS or GS loaded with it.
        guard world.isFlat else { return nil }
        let low = r.oneIn(2) ? r.edge() : UInt32(r.below(0x10000)) | 0x8000_0000
        let kinds: [UInt32] = [0x4093, 0x4097, 0x0093, 0xC093, 0x4091, 0xC097, 0x409B, 0x0013]
        let high = kinds[r.below(8)] << 8 | UInt32(r.below(2)) | UInt32(r.below(16)) << 16
        let register = [SegmentRegister.es, SegmentRegister.fs, SegmentRegister.gs][r.below(3)]
        code.add(.mov, .ev, .iz, at: EngineWorld.At.gdt + 0x50, immediate: low)
        code.add(.mov, .ev, .iz, at: EngineWorld.At.gdt + 0x54, immediate: high)
        code.add(.mov, .zv, .iv, register: Register.eax, immediate: 0x50)
        code.add(.movToSeg, .sw, .ew, register: register, rm: Register.eax)
      }
      return code.bytes
    }

    /// A page table entry that leads elsewhere or nowhere, and an invalidation, or none.
    private func pageChange(_ lists: Lists, _ r: inout CaseRandom) -> [UInt8]? {
      guard world.isFlat && world.isPaged else { return nil }
      let index = r.oneIn(3) ? r.below(16) : EngineWorld.codePage + r.below(3)
      let pages: [UInt32] = [
        0x10000, 0x11000, 0x20000, 0x21000, 0xA0000, 0x1FF000, 0x200000, 0x12000,
      ]
      var entry = pages[r.below(8)] | [7, 7, 7, 5, 3, 0x107, 0x67, 0][r.below(8)]
      if r.oneIn(2) { entry = 0x20000 + UInt32(index & 7) << 12 | (r.oneIn(2) ? 7 : 5) }
      let isPAE = world == .pae && lists.features.contains(.pae)
      let place =
        isPAE
        ? EngineWorld.At.tablePAE + UInt32(index & 511) * 8
        : EngineWorld.At.table + UInt32(index) * 4
      var code = EngineCode(isBig: world.isBig)
      code.add(.mov, .ev, .iz, at: place, immediate: entry)
      switch r.below(4) {
      case 0: break
      case 1 where lists.features.contains(.i486):
        let linear = index < 16 ? 0x80_0000 + UInt32(index) << 12 : 0x40_0000 + UInt32(index) << 12
        code.add(.invlpg, .m, at: linear)
      case 2 where lists.features.contains(.pge): code.turnOver(CR4.pge, ofControl: 4)
      default:
        code.add(.movFromCR, .rd, .cd, register: 3)
        code.add(.movToCR, .cd, .rd, register: 3)
      }
      return code.bytes
    }
  }

  extension EngineCode {
    /// Turns bits of a control register over, in EAX.
    fileprivate mutating func turnOver(_ bits: UInt32, ofControl register: Int) {
      add(.movFromCR, .rd, .cd, register: register)
      add(.xor, .eax, .iz, immediate: bits)
      add(.movToCR, .cd, .rd, register: register)
    }
  }
#endif
