// The flat tables: which entries are told that their page holds code. Expectations from their description in MMU.swift.

import Testing

@testable import CPU

struct TranslationTableTests {
  /// A write entry through which code is overwritten unseen would leave old code running.
  @Test(arguments: [false, true])
  func codeMarksWriteEntriesOfItsPage(global: Bool) throws {
    let tables = try TranslationTables()
    let host = 0x7000_0000_0000
    let (page, other) = (0xC1234, 0xC1235)
    for n in [page, other] {
      tables.list(UInt32(n), isGlobal: global)
    }
    tables.noteWriter(page, physical: 7)
    tables.supervisorWrite[page] = host - page << 12
    tables.userWrite[page] = host - page << 12
    tables.noteWriter(other, physical: 8)
    tables.supervisorWrite[other] = host + 0x1000 - other << 12
    tables.protectWrites(to: host, physical: 7, only: nil)
    #expect(tables.supervisorWrite[page] < 0)
    #expect(tables.userWrite[page] < 0)
    #expect(tables.supervisorWrite[other] > 0)
    tables.unprotectWrites(to: host, physical: 7, only: nil)
    #expect(tables.supervisorWrite[page] == host - page << 12)
    #expect(tables.userWrite[page] == host - page << 12)
  }

  /// Entries that go and come again (INVLPG, shadow RAM switched on and off) make nothing longer.
  @Test func aPageIsListedOnce() throws {
    let tables = try TranslationTables()
    for n in 0..<1000 as Range<Int> {
      tables.list(7, isGlobal: false)
      tables.userRead[7] = n + 1
      tables.clear(7)
    }
    #expect(tables.filled == [7])
    // Global now: it goes with either list.
    tables.list(7, isGlobal: true)
    tables.userRead[7] = 1
    tables.flush(keepGlobal: true)
    #expect(tables.filled.isEmpty && tables.filledGlobal == [7] && tables.userRead[7] == 0)
    tables.list(7, isGlobal: false)
    tables.flush(keepGlobal: false)
    #expect(tables.filled.isEmpty && tables.filledGlobal.isEmpty)
    tables.list(7, isGlobal: true)
    #expect(tables.filledGlobal == [7])
  }

  /// A page that is mapped several times, with entries that come and go between looks.
  @Test func codeMarksTheWriteEntriesOfAllItsMappings() throws {
    let tables = try TranslationTables()
    let host = 0x7000_0000_0000
    func map(_ page: Int) {
      tables.list(UInt32(page), isGlobal: false)
      tables.noteWriter(page, physical: 7)
      tables.userWrite[page] = host - page << 12
    }
    func marked() -> [Int] { (1...5).filter { tables.userWrite[$0] < 0 } }
    func look() {
      tables.unprotectWrites(to: host, physical: 7, only: nil)
      #expect(marked() == [])
      tables.protectWrites(to: host, physical: 7, only: nil)
    }
    look()
    map(1)
    look()
    #expect(marked() == [1])
    tables.clear(1)
    map(2)
    look()
    #expect(marked() == [2])
    map(3)
    map(4)
    look()
    #expect(marked() == [2, 3, 4])
    tables.clear(3)
    tables.clear(2)
    look()
    #expect(marked() == [4])
    map(5)
    look()
    #expect(marked() == [4, 5])
    tables.flush(keepGlobal: false)
    look()
    map(1)
    look()
    #expect(marked() == [1])
  }

  @Test func globalEntriesSurviveALoadOfCR3() throws {
    let tables = try TranslationTables()
    tables.list(1, isGlobal: false)
    tables.list(2, isGlobal: true)
    tables.supervisorRead[1] = 0x1000
    tables.supervisorRead[2] = 0x2000
    tables.flush(keepGlobal: true)
    #expect(tables.supervisorRead[1] == 0)
    #expect(tables.supervisorRead[2] == 0x2000)
    tables.flush(keepGlobal: false)
    #expect(tables.supervisorRead[2] == 0)
  }
}
