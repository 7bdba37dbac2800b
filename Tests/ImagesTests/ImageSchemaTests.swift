// The published schema has what results have.

import Foundation
import Testing

@testable import Images
@testable import Storage

extension WorkOnImages {
  @Suite struct ImageSchemaTests {
    private func check(_ result: some Encodable) throws {
      let schema = try #require(
        try JSONSerialization.jsonObject(with: Data(ImageSchema.text.utf8)) as? [String: Any])
      let object = try #require(
        try JSONSerialization.jsonObject(with: Data(try JSONText.encode(result).utf8))
          as? [String: Any])
      let name = try #require(object["schema"] as? String)
      #expect(name.hasPrefix("apus-image-") && object["version"] as? Int == 1)
      let short = String(name.dropFirst("apus-image-".count))
      #expect(ImageSchema.names.contains(short))
      let definition = try #require((schema["$defs"] as? [String: Any])?[short] as? [String: Any])
      #expect(
        ((definition["properties"] as? [String: Any])?["schema"] as? [String: Any])?["const"]
          as? String == name)
      compare(object, definition, name)
    }

    /// Each member is described, and each that has to be there is.
    private func compare(_ object: [String: Any], _ rule: [String: Any], _ place: String) {
      let properties = rule["properties"] as? [String: Any] ?? [:]
      for name in object.keys { #expect(properties[name] != nil, "\(place).\(name)") }
      for name in rule["required"] as? [String] ?? [] {
        #expect(object[name] != nil, "\(place).\(name)")
      }
      for (name, value) in object {
        guard let items = (properties[name] as? [String: Any])?["items"] as? [String: Any],
          let list = value as? [[String: Any]]
        else { continue }
        for item in list { compare(item, items, "\(place).\(name)") }
      }
    }

    @Test func resultsFollowTheSchema() throws {
      let scratch = Scratch()
      let a = ImageReference(scratch.file("a.img", randomDisk(1 << 20, seed: 1)))
      let b = ImageReference(scratch.file("b.img", randomDisk(1 << 20, seed: 2)))
      try check(try ImageOperations.info(a))
      try check(try ImageOperations.check(a))
      try check(try ImageOperations.compare(a, b))
      try check(try ImageOperations.map(a))
      try check(try ImageOperations.resize(a, .by(512)))
      try check(try ImageOperations.bench(BenchRequest(a)))
      try check(try ImageOperations.convert(ConvertRequest(a, to: scratch.path("c.img"))))
      try withModel {
        var wish = CreateRequest(scratch.path("top.model"), format: "model")
        wish.base = BaseWish("b.img")
        try check(try ImageOperations.create(wish))
        let top = ImageReference(scratch.path("top.model"))
        try check(try ImageOperations.info(top, chain: true))
        try check(try ImageOperations.snapshot(top, .create("one")))
        try check(try ImageOperations.commit(top))
        var rebase = RebaseRequest(top)
        rebase.base = BaseWish("b.img")
        try check(try ImageOperations.rebase(rebase))
      }
      let floppy = CreateRequest(scratch.path("f.img"))
      var sized = floppy
      sized.byteCount = 1440 << 10
      _ = try ImageOperations.create(sized)
      let volume = VolumeReference(scratch.path("f.img"))
      try check(try ImageOperations.format(FormatRequest(volume)))
      try check(try ImageOperations.put(volume, [a.path]))
      try check(try ImageOperations.list(volume))
    }

    @Test func textIsQuoted() throws {
      struct Value: Codable {
        var text = "a\"b\\c\n\u{1}é\u{85}"
        var number: UInt64 = .max
        var nothing: Int?
        var list: [Bool] = [true, false]
        var empty: [Int] = []
        var real = 0.5
      }
      #expect(
        try JSONText.encode(Value())
          == #"{"text":"a\"b\\c\n\u0001é\u0085","number":18446744073709551615,"list":[true,false],"empty":[],"real":0.5}"#
      )
    }
  }
}
