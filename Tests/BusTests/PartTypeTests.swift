// What parts say of their options.

import Testing

@testable import Bus

@Suite struct PartTypeTests {
  @Test func anEmptyWordIsNoneOfTheChoicesThatAreTold() throws {
    let type = PartType(
      "thing", "", options: [PartOption("size", .choice(["", "1", "2"]), "", "")]
    ) { _, _ in }
    #expect(type.options[0].values == "1, 2")
    #expect(try type.values("")["size"] == "")
    #expect(try type.values("size=2")["size"] == "2")
    do {
      _ = try type.values("size=3")
      Issue.record("taken")
    } catch {
      #expect(error.reason == "thing: size=3 is none of 1, 2")
    }
  }
}
