import Testing

@testable import Bus

@Suite struct AddressSpaceTests {
  typealias Space = AddressSpace<PhysicalAddress, String>

  private func pieces(_ space: Space, _ range: ClosedRange<PhysicalAddress>) -> [String] {
    var list: [String] = []
    space.forEachPiece(of: range) { piece, mapping in
      list.append("\(piece.lowerBound)-\(piece.upperBound) \(mapping?.target ?? "-")")
    }
    return list
  }

  @Test func theHighestPriorityIsSeenAndAmongEqualOnesTheLatest() {
    let space = Space()
    space.map("ram", at: 0...0xFFFFF)
    space.map("rom", at: 0xF0000...0xFFFFF, priority: 1)
    space.map("card", at: 0xE0000...0xF7FFF)
    #expect(space.seen(at: 0xDFFFF)?.target == "ram")
    #expect(space.seen(at: 0xE0000)?.target == "card")
    #expect(space.seen(at: 0xF0000)?.target == "rom")
    #expect(space.seen(at: 0x100000) == nil)
    #expect(
      pieces(space, 0xD0000...0x10FFFF) == [
        "D0000h-DFFFFh ram", "E0000h-EFFFFh card", "F0000h-F7FFFh rom", "F8000h-FFFFFh rom",
        "100000h-10FFFFh -",
      ])
  }

  @Test func whatStoodBelowIsSeenWhenAMappingMovesIsSwitchedOffOrGoes() {
    let space = Space()
    var changes: [String] = []
    space.changed = { changes.append("\($0.lowerBound)-\($0.upperBound)") }
    space.map("ram", at: 0...0xFFFF)
    let bar = space.map("bar", at: 0x1000...0x1FFF, isEnabled: false)
    #expect(space.seen(at: 0x1000)?.target == "ram")
    space.setEnabled(bar, true)
    #expect(space.seen(at: 0x1000)?.target == "bar")
    space.move(bar, to: 0x8000)
    #expect(space.seen(at: 0x1000)?.target == "ram")
    #expect(space.seen(at: 0x8FFF)?.target == "bar")
    space.unmap(bar)
    space.unmap(bar)
    #expect(space.seen(at: 0x8FFF)?.target == "ram")
    #expect(
      changes == [
        "0000h-FFFFh", "1000h-1FFFh", "1000h-1FFFh", "8000h-8FFFh", "8000h-8FFFh",
      ])
  }

  @Test func theLastAddressCanBeMapped() {
    let space = AddressSpace<Port, String>()
    space.map("all", at: 0...0xFFFF)
    let last = space.map("last", at: 0xFFFE...0xFFFF)
    var list: [String] = []
    space.forEachPiece(of: 0xFFF0...0xFFFF) { piece, mapping in
      list.append("\(piece.lowerBound)-\(piece.upperBound) \(mapping?.target ?? "-")")
    }
    #expect(list == ["FFF0h-FFFDh all", "FFFEh-FFFFh last"])
    space.move(last, to: 0)
    #expect(space.seen(at: 1)?.target == "last")
    #expect(space.seen(at: 0xFFFF)?.target == "all")
  }

  @Test func piecesAgreeWithSingleLooks() {
    var state: UInt64 = 7
    func random(_ bound: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % bound
    }
    for _ in 0..<200 {
      let space = Space()
      var ids: [MappingID] = []
      for n in 0..<12 {
        let first = random(60)
        ids.append(
          space.map(
            "\(n)", at: PhysicalAddress(first)...PhysicalAddress(first + random(20)),
            priority: Int(random(3)), isEnabled: random(4) != 0))
        if random(3) == 0 { space.move(ids[Int(random(UInt64(ids.count)))], to: .init(random(70))) }
        if random(5) == 0 { space.unmap(ids[Int(random(UInt64(ids.count)))]) }
      }
      var next: UInt64 = 0
      space.forEachPiece(of: 0...99) { piece, mapping in
        #expect(piece.lowerBound.value == next)
        for address in piece.lowerBound.value...piece.upperBound.value {
          #expect(space.seen(at: PhysicalAddress(address))?.target == mapping?.target)
        }
        next = piece.upperBound.value + 1
      }
      #expect(next == 100)
    }
  }
}
