// The rule of pruning, against days counted by Foundation's calendar.

import Foundation
import Testing

@testable import Backup

@Suite struct PruneTests {
  @Test func rulesKeepTheLastOfEachPeriod() throws {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = try #require(TimeZone(identifier: "UTC"))
    var random = TestRandom(seed: 3)
    for round in 0..<200 {
      let created = (0..<60).map { _ in
        Int64(random.next() % (4 * 365 * 86400)) + 951_000_000
      }.sorted()
      var rule = PruneRule()
      let parts: [(WritableKeyPath<PruneRule, Int>, Set<Calendar.Component>)] = [
        (\.hourly, [.year, .month, .day, .hour]), (\.daily, [.year, .month, .day]),
        (\.monthly, [.year, .month]), (\.yearly, [.year]),
      ]
      let (part, components) = parts[round % parts.count]
      rule[keyPath: part] = Int(random.next() % 20) + 1
      rule.last = Int(random.next() % 3)
      let keeps = rule.keeps(created) { $0 }
      var expected = Set(created.indices.suffix(rule.last))
      var seen: [DateComponents] = []
      for at in created.indices.reversed() where seen.count < rule[keyPath: part] {
        let date = Date(timeIntervalSince1970: Double(created[at]))
        let found = calendar.dateComponents(components, from: date)
        if seen.last == found { continue }
        seen.append(found)
        expected.insert(at)
      }
      #expect(Set(created.indices.filter { keeps[$0] }) == expected)
    }
  }

  @Test func weeksBeginOnMonday() {
    var rule = PruneRule()
    rule.weekly = 2
    // A Sunday, the Monday behind it, and the Wednesday of that week: 2000-01-02 was a Sunday.
    let sunday: Int64 = 946_771_200
    let created = [sunday - 3600, sunday + 3600, sunday + 86400, sunday + 3 * 86400]
    #expect(rule.keeps(created) { $0 } == [false, true, false, true])
  }
}
