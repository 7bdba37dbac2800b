// Sequences that random instructions hardly ever make: they change what code runs in.
//
// Owns: the sequences. Must not know: how they run, what is compared.
// A20, device memory that becomes plain memory and back, page tables with and without invalidation, CR0.WP, CR4.PGE, descriptors,
// stacks and strings over the ends of memory, code that writes over itself.

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import CPU

  extension EngineCase {
    private static func bytes(_ value: UInt32, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
    }

    /// One sequence, or nil when the one chosen does not fit into the program's world.
    func template(_ lists: Lists, _ r: inout CaseRandom) -> [UInt8]? {
      let long = { EngineCase.bytes($0, 4) }
      let word = { EngineCase.bytes($0, world.isBig ? 4 : 2) }
      switch r.below(9) {
      case 0:
        // in al, 92h; xor al, 2; out 92h, al
        return world.level == 0 ? [0xE4, 0x92, 0x34, 0x02, 0xE6, 0x92] : nil
      case 1:
        // mov al, n; mov dx, 3CEh; out dx, al
        return [0xB0, UInt8(r.below(2)), 0xBA] + word(0x3CE) + [0xEE]
      case 2, 3: return pageChange(lists, &r)
      case 4:
        // mov eax, cr0; xor eax, WP; mov cr0, eax
        guard world.isFlat, lists.features.contains(.i486) else { return nil }
        return [0x0F, 0x20, 0xC0, 0x35] + long(0x10000) + [0x0F, 0x22, 0xC0]
      case 5:
        // A byte of the program, most often one that comes soon: mov byte [place], n
        let place = codeBase &+ UInt32(offset + bytes.count + r.below(r.oneIn(2) ? 24 : 200))
        let value = UInt8(truncatingIfNeeded: r.edge())
        if world.isFlat || world == .pagedUser { return [0xC6, 0x05] + long(place) + [value] }
        return [0x2E, 0xC6, 0x06] + EngineCase.bytes(place, 2) + [value]
      case 6:
        // mov edi, place; mov ecx, n; rep stos or movs
        let ends: [UInt32] = [0x9FFF8, 0xAFFF8, EngineWorld.ramSize &- 8, 0xFFFF_FFF8]
        var place = ends[r.below(4)] &+ UInt32(r.below(12))
        if r.oneIn(3) { place = codeBase &+ UInt32(offset + r.below(bytes.count + 40)) }
        let code: UInt8 = [0xAA, 0xAB, 0xA4, 0xA5][r.below(4)]
        return [0xBF] + word(place) + [0xB9] + word(UInt32(r.below(24))) + [0xF3, code]
      case 7:
        // mov esp, place
        let ends: [UInt32] = [0, 0x10000, 0xA0000, EngineWorld.ramSize, 0xB0000]
        return [0xBC] + word(ends[r.below(5)] &+ UInt32(r.below(12)) &- 6)
      default:
        // A descriptor, and ES, FS or GS loaded with it.
        guard world.isFlat else { return nil }
        let low = r.oneIn(2) ? r.edge() : UInt32(r.below(0x10000)) | 0x8000_0000
        let kinds: [UInt32] = [0x4093, 0x4097, 0x0093, 0xC093, 0x4091, 0xC097, 0x409B, 0x0013]
        let high = kinds[r.below(8)] << 8 | UInt32(r.below(2)) | UInt32(r.below(16)) << 16
        let register: UInt8 = [0xC0, 0xE0, 0xE8][r.below(3)]
        return [0xC7, 0x05] + long(EngineWorld.At.gdt + 0x50) + long(low) + [0xC7, 0x05]
          + long(EngineWorld.At.gdt + 0x54) + long(high) + [0xB8] + long(0x50) + [0x8E, register]
      }
    }

    /// A page table entry that leads elsewhere or nowhere, and an invalidation, or none.
    private func pageChange(_ lists: Lists, _ r: inout CaseRandom) -> [UInt8]? {
      guard world.isFlat && world.isPaged else { return nil }
      let long = { EngineCase.bytes($0, 4) }
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
      let change = [0xC7, 0x05] + long(place) + long(entry)
      switch r.below(4) {
      case 0: return change
      case 1 where lists.features.contains(.i486):
        let linear = index < 16 ? 0x80_0000 + UInt32(index) << 12 : 0x40_0000 + UInt32(index) << 12
        return change + [0x0F, 0x01, 0x3D] + long(linear)
      case 2 where lists.features.contains(.pge):
        // mov eax, cr4; xor eax, PGE; mov cr4, eax
        return change + [0x0F, 0x20, 0xE0, 0x35] + long(0x80) + [0x0F, 0x22, 0xE0]
      default: return change + [0x0F, 0x20, 0xD8, 0x0F, 0x22, 0xD8]
      }
    }
  }
#endif
