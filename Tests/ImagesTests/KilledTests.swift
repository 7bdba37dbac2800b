// Images in several files whose maker is killed: whatever is found afterwards is one image or another, and the work can be done again.

import Foundation
import Host
import Images
import Synchronization
import Testing

@testable import Storage

extension WorkOnImages {
  @Suite struct KilledTests {
    /// More than two files of 2 GB.
    static let size: UInt64 = 5 << 30
    static let places: [UInt64] = [4096, 2 << 30, (3 << 30) - 512, (5 << 30) - 512]
    static let kinds = ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "monolithicFlat"]

    /// A disk with the same byte in some sectors of each file.
    private func source(_ scratch: Scratch, _ value: UInt8) throws -> String {
      let path = scratch.file("\(value).img", [])
      let handle = try #require(FileHandle(forWritingAtPath: path))
      try handle.truncate(atOffset: KilledTests.size)
      for place in KilledTests.places {
        try handle.seek(toOffset: place)
        try handle.write(contentsOf: Data(repeating: value, count: 512))
      }
      try handle.close()
      return path
    }

    private func convert(_ from: String, _ to: String, _ kind: String, replaces: Bool) throws {
      var request = ConvertRequest(ImageReference(from), to: to, format: "vmdk")
      request.options = ["subformat": kind]
      request.replaces = replaces
      _ = try ImageOperations.convert(request)
    }

    /// The values of the sectors; nil: there is no image.
    private func values(_ path: String) throws -> Set<UInt8>? {
      if !HostFiles.exists(path) { return nil }
      let disk = try DiskImage(ImageReference(path), .reading)
      defer { disk.close() }
      #expect(disk.byteCount == KilledTests.size)
      var found: Set<UInt8> = []
      for place in KilledTests.places {
        found.formUnion(try disk.device.bytes(at: place, count: 512))
      }
      return found
    }

    /// Does something that is killed before the change of names of that number.
    /// - Returns: whether it came to that.
    private func killed(at number: Int, _ path: String, _ work: () throws -> Void) rethrows -> Bool
    {
      let count = Atomic(0)
      let hasCome = Atomic(false)
      let kills: @Sendable () -> Bool = {
        let isIt = count.wrappingAdd(1, ordering: .relaxed).oldValue == number
        if isIt { hasCome.store(true, ordering: .relaxed) }
        return isIt
      }
      NewImageFiles.kills.withLock { $0[path] = kills }
      defer { NewImageFiles.kills.withLock { $0[path] = nil } }
      do { try work() } catch {
        if !hasCome.load(ordering: .relaxed) { throw error }
      }
      return hasCome.load(ordering: .relaxed)
    }

    @Test(arguments: kinds) func anImageInSeveralFilesIsReplacedAsAWhole(_ kind: String) throws {
      let sources = Scratch()
      let (old, new) = (try source(sources, 0xA1), try source(sources, 0xB2))
      var number = 0
      while true {
        let scratch = Scratch()
        let path = scratch.path("x.vmdk")
        try convert(old, path, kind, replaces: false)
        let names = scratch.names
        let wasKilled = try killed(at: number, path) {
          try convert(new, path, kind, replaces: true)
        }
        if let found = try values(path) {
          #expect(found == [0xA1] || found == [0xB2], "killed before change \(number)")
        }
        try convert(new, path, kind, replaces: true)
        #expect(try values(path) == [0xB2])
        #expect(scratch.names == names, "killed before change \(number)")
        if !wasKilled { break }
        number += 1
      }
      #expect(number > 3)
    }

    @Test(arguments: kinds) func whatWasKilledIsDoneAgain(_ kind: String) throws {
      let sources = Scratch()
      let new = try source(sources, 0xB2)
      var number = 0
      while true {
        let scratch = Scratch()
        let path = scratch.path("x.vmdk")
        let wasKilled = try killed(at: number, path) {
          try convert(new, path, kind, replaces: false)
        }
        // Once it has its name it is an image like any other.
        if HostFiles.exists(path) {
          #expect(throws: StorageError.self) { try convert(new, path, kind, replaces: false) }
        } else {
          try convert(new, path, kind, replaces: false)
          let count = kind == "monolithicFlat" ? 2 : 4
          #expect(scratch.names.count == count, "\(number): \(scratch.names)")
        }
        #expect(try values(path) == [0xB2])
        if !wasKilled { break }
        number += 1
      }
      #expect(number > 2)
    }

    @Test func whatSomebodyElsePutThereStays() throws {
      let scratch = Scratch()
      let new = try source(scratch, 0xB2)
      let path = scratch.path("x.vmdk")
      scratch.file("x-s002.vmdk", [1, 2, 3])
      #expect(throws: StorageError.self) {
        try convert(new, path, KilledTests.kinds[0], replaces: false)
      }
      #expect(scratch.names == ["178.img", "x-s002.vmdk"])
      // Put there instead of what a killed run had left.
      try FileManager.default.removeItem(atPath: scratch.path("x-s002.vmdk"))
      #expect(
        try killed(at: 3, path) { try convert(new, path, KilledTests.kinds[0], replaces: false) })
      #expect(scratch.names.contains("x-s002.vmdk"))
      try FileManager.default.removeItem(atPath: scratch.path("x-s002.vmdk"))
      scratch.file("x-s002.vmdk", [1, 2, 3])
      #expect(throws: StorageError.self) {
        try convert(new, path, KilledTests.kinds[0], replaces: false)
      }
      #expect(scratch.contents("x-s002.vmdk") == [1, 2, 3])
    }

    @Test func workThatGoesOnGoesOnAmongItsOwnFiles() throws {
      let scratch = Scratch()
      let new = try source(scratch, 0xB2)
      let path = scratch.path("x.vmdk")
      var request = ConvertRequest(ImageReference(new), to: path, format: "vmdk")
      request.options = ["subformat": "twoGbMaxExtentSparse"]
      request.resumes = true
      for number in 0..<4 {
        #expect(try killed(at: number, path) { _ = try ImageOperations.convert(request) })
        _ = try ImageOperations.convert(request)
        #expect(try values(path) == [0xB2])
        #expect(
          scratch.names == ["178.img", "x-s001.vmdk", "x-s002.vmdk", "x-s003.vmdk", "x.vmdk"])
        for name in scratch.names where name.hasPrefix("x") {
          try FileManager.default.removeItem(atPath: scratch.path(name))
        }
      }
    }

    @Test func theNoteOfABaseIsNotFoundBesideTheImageBefore() throws {
      let scratch = Scratch()
      let bases =
        [scratch.file("a.img", randomDisk(1 << 20, seed: 1))]
        + [scratch.file("b.img", randomDisk(1 << 20, seed: 2))]
      var request = CreateRequest(scratch.path("x.vmdk"), format: "vmdk")
      request.base = BaseWish(bases[0], format: "raw")
      _ = try ImageOperations.create(request)
      request.base = BaseWish(bases[1], format: "raw")
      request.replaces = true
      #expect(try killed(at: 0, scratch.path("x.vmdk")) { _ = try ImageOperations.create(request) })
      let disk = try DiskImage(ImageReference(request.path), .reading)
      #expect(same(try disk.device.bytes(at: 0, count: 1 << 20), scratch.contents("a.img")))
      disk.close()
    }
  }
}
