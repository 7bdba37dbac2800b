// Encrypted images through the operations of `apus image`: made, told of, converted, over each other, resized.

import Foundation
import Host
import Testing

@testable import Images
@testable import Storage

extension WorkOnImages {
  @Suite(.enabled(if: OpenSSL.isThere, "OpenSSL 3 is not installed")) struct EncryptedTests {
    private final class Files {
      let scratch = Scratch()
      let first: KeyFile
      let second: KeyFile
      init() {
        first = KeyFile(scratch.file("first.key", Array("one".utf8)))
        second = KeyFile(scratch.file("second.key", Array("two".utf8)))
      }
      var keys: DiskKeys { DiskKeys([first]) }
      func reference(_ name: String, _ key: KeyFile? = nil) -> ImageReference {
        ImageReference(scratch.path(name), keys: key.map { DiskKeys([$0]) })
      }
    }

    private static func options(_ format: String) -> [String: String] {
      format == "qcow2" ? ["encrypt.format": "luks", "encrypt.iter-time": "1"] : ["iter-time": "1"]
    }

    private func contents(_ reference: ImageReference) throws -> [UInt8] {
      let image = try DiskImage(reference, .reading)
      defer { image.close() }
      return try image.device.bytes(at: 0, count: Int(image.byteCount))
    }

    @Test(arguments: ["luks", "qcow2"]) func aDiskStaysTheSameThroughEncryption(_ format: String)
      throws
    {
      let files = Files()
      let disk = randomDisk(5 << 20, seed: 7)
      files.scratch.file("disk.img", disk)
      // Into it, with one passphrase.
      var request = ConvertRequest(
        files.reference("disk.img"), to: files.scratch.path("a"), format: format)
      request.options = Self.options(format)
      #expect(throws: StorageError.self) { try ImageOperations.convert(request) }
      request.newKey = files.first
      _ = try ImageOperations.convert(request)
      #expect(same(try contents(files.reference("a", files.first)), disk))
      #expect(throws: StorageError.self) { try contents(files.reference("a")) }
      #expect(throws: StorageError.self) { try contents(files.reference("a", files.second)) }
      // The file has nothing of the disk.
      let start = try #require(disk.firstIndex { $0 != 0 })
      let shows = files.scratch.contents("a").firstRange(of: disk[start..<start + 64]) != nil
      #expect(!shows)
      // On to another passphrase, by several threads.
      request = ConvertRequest(
        files.reference("a", files.first), to: files.scratch.path("b"), format: format)
      request.options = Self.options(format)
      request.newKey = files.second
      request.readers = 3
      _ = try ImageOperations.convert(request)
      #expect(same(try contents(files.reference("b", files.second)), disk))
      let both = DiskKeys([files.first, files.second])
      #expect(
        try ImageOperations.compare(
          ImageReference(files.scratch.path("a"), keys: both),
          ImageReference(files.scratch.path("b"), keys: both)
        ).isEqual)
      // And out.
      _ = try ImageOperations.convert(
        ConvertRequest(
          files.reference("b", files.second), to: files.scratch.path("c"), format: "raw"))
      #expect(same(files.scratch.contents("c"), disk))
      // Into one that exists.
      files.scratch.file("other.img", randomDisk(5 << 20, seed: 8))
      request = ConvertRequest(
        files.reference("other.img"), to: files.scratch.path("b"), format: "")
      request.intoExisting = true
      request.newKey = files.second
      _ = try ImageOperations.convert(request)
      #expect(
        same(try contents(files.reference("b", files.second)), files.scratch.contents("other.img")))
      #expect(try ImageOperations.check(files.reference("b")).exitCode == 0)
    }

    @Test func infoMapAndCheckNeedNoKey() throws {
      let files = Files()
      for format in ["luks", "qcow2"] {
        var wish = CreateRequest(files.scratch.path(format), format: format)
        wish.byteCount = 1 << 20
        wish.options = Self.options(format)
        wish.newKey = files.first
        _ = try ImageOperations.create(wish)
        let info = try ImageOperations.info(files.reference(format)).images[0]
        #expect(info.isEncrypted && info.format == format && info.virtualSize == 1 << 20)
        let secret = try #require(info.encryption)
        #expect(secret.format == "luks1" && secret.cipher == "aes-xts-plain64")
        #expect(
          secret.keyBits == 512 && secret.slots.map(\.number) == [0] && secret.uuid.count == 36)
        #expect(try ImageOperations.check(files.reference(format)).exitCode == 0)
        let map = try ImageOperations.map(files.reference(format))
        #expect(map.entries.count == 1 && map.entries[0].zero == (format == "qcow2"))
        let schema = try #require(
          try JSONSerialization.jsonObject(with: Data(ImageSchema.text.utf8)) as? [String: Any])
        let items =
          ((((schema["$defs"] as? [String: Any])?["info"] as? [String: Any])?["properties"]
          as? [String: Any])?["images"] as? [String: Any])?["items"] as? [String: Any]
        let rule = (items?["properties"] as? [String: Any])?["encryption"] as? [String: Any]
        let object = try #require(
          try JSONSerialization.jsonObject(with: Data(try JSONText.encode(secret).utf8))
            as? [String: Any])
        #expect(Set(object.keys) == Set(rule?["required"] as? [String] ?? []))
      }
    }

    @Test func overlaysOfEncryptedBases() throws {
      let files = Files()
      let disk = randomDisk(3 << 20, seed: 9)
      files.scratch.file("disk.img", disk)
      var request = ConvertRequest(
        files.reference("disk.img"), to: files.scratch.path("base.luks"), format: "luks")
      request.options = Self.options("luks")
      request.newKey = files.first
      _ = try ImageOperations.convert(request)
      // One that is encrypted too, by another passphrase, and one that is not.
      var wish = CreateRequest(files.scratch.path("top"), format: "qcow2")
      wish.base = BaseWish("base.luks")
      wish.options = Self.options("qcow2")
      #expect(throws: StorageError.self) { try ImageOperations.create(wish) }
      wish.keys = files.keys
      wish.newKey = files.second
      var made = try ImageOperations.create(wish)
      #expect(made.baseFormat == "luks" && made.baseHashed == false)
      wish.path = files.scratch.path("open")
      wish.options = [:]
      wish.newKey = nil
      made = try ImageOperations.create(wish)
      #expect(
        made.notes.contains { $0.contains("not: what is written") || $0.contains("readable") })
      var reference = ImageReference(
        files.scratch.path("top"), keys: DiskKeys([files.first, files.second]))
      #expect(same(try contents(reference), disk))
      #expect(throws: StorageError.self) { try contents(files.reference("top", files.second)) }
      #expect(throws: StorageError.self) { try contents(files.reference("top", files.first)) }
      // Written to, and committed.
      let image = try DiskImage(reference, .writing)
      #expect(image.device.volumeKeys.count == 2)
      try image.device.write(block: 77, [UInt8](repeating: 3, count: 512))
      try image.flush()
      image.close()
      var expected = disk
      expected.replaceSubrange(77 * 512..<78 * 512, with: [UInt8](repeating: 3, count: 512))
      #expect(same(try contents(reference), expected))
      _ = try ImageOperations.commit(reference)
      #expect(same(try contents(files.reference("base.luks", files.first)), expected))
      // Alone.
      var rebase = RebaseRequest(reference)
      rebase.base = nil
      _ = try ImageOperations.rebase(rebase)
      reference = files.reference("top", files.second)
      #expect(same(try contents(reference), expected))
      #expect(try ImageOperations.check(reference).exitCode == 0)
    }

    @Test(arguments: ["luks", "qcow2"]) func growingShowsZeros(_ format: String) throws {
      let files = Files()
      let disk = randomDisk(2 << 20, seed: 10)
      files.scratch.file("disk.img", disk)
      var request = ConvertRequest(
        files.reference("disk.img"), to: files.scratch.path("a"), format: format)
      request.options = Self.options(format)
      request.newKey = files.first
      _ = try ImageOperations.convert(request)
      let reference = files.reference("a", files.first)
      _ = try ImageOperations.resize(reference, .by(1 << 20))
      #expect(same(try contents(reference), disk + [UInt8](repeating: 0, count: 1 << 20)))
      _ = try ImageOperations.resize(reference, .to(1 << 20), shrinks: true)
      #expect(same(try contents(reference), Array(disk.prefix(1 << 20))))
      #expect(try ImageOperations.check(reference).exitCode == 0)
    }

    @Test func encryptedClustersAreNotCompressed() throws {
      let files = Files()
      files.scratch.file("disk.img", [UInt8](repeating: 5, count: 1 << 20))
      var request = ConvertRequest(
        files.reference("disk.img"), to: files.scratch.path("a"), format: "qcow2")
      request.options = Self.options("qcow2")
      request.newKey = files.first
      request.compresses = true
      #expect(throws: ImageUsageError.self) { try ImageOperations.convert(request) }
      #expect(!files.scratch.names.contains("a"))
    }
  }
}
