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
      if global { tables.filledGlobal.append(UInt32(n)) } else { tables.filled.append(UInt32(n)) }
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

  /// A page that is mapped several times, with entries that come and go between looks.
  @Test func codeMarksTheWriteEntriesOfAllItsMappings() throws {
    let tables = try TranslationTables()
    let host = 0x7000_0000_0000
    func map(_ page: Int) {
      tables.filled.append(UInt32(page))
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
    tables.filled.append(1)
    tables.filledGlobal.append(2)
    tables.supervisorRead[1] = 0x1000
    tables.supervisorRead[2] = 0x2000
    tables.flush(keepGlobal: true)
    #expect(tables.supervisorRead[1] == 0)
    #expect(tables.supervisorRead[2] == 0x2000)
    tables.flush(keepGlobal: false)
    #expect(tables.supervisorRead[2] == 0)
  }
}
