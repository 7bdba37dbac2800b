// Files that have lost their ends: repair, resize and a conversion that is gone on with leave what is there, and hide nothing.

import Foundation
import Testing

@testable import Images
@testable import Storage

extension WorkOnImages {
  @Suite struct CutOffTests {
    private func cut(_ path: String, to size: UInt64) throws {
      let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
      try file.truncate(atOffset: size)
      try file.close()
    }

    /// Bytes without a repetition: what is where can be told.
    private func noise(_ count: Int) -> [UInt8] {
      var random = SystemRandomNumberGenerator()
      return (0..<count / 8).flatMap { _ in
        withUnsafeBytes(of: random.next() as UInt64) { Array($0) }
      }
    }

    @Test(arguments: ["vhd", "vhdx", "vdi", "vmdk"])
    func aRepairKeepsWhatIsLeft(format: String) throws {
      let scratch = Scratch()
      let disk = noise(10_000_384)
      let source = scratch.file("disk.img", disk)
      let image = scratch.path("disk.\(format)")
      _ = try ImageOperations.convert(
        ConvertRequest(ImageReference(source), to: image, format: format))
      try cut(image, to: 6_000_128)
      let kept = scratch.contents("disk.\(format)")
      // Another size would make zeros of what is lost.
      #expect(throws: StorageError.self) {
        try ImageOperations.resize(ImageReference(image), .to(40 << 20))
      }
      #expect(same(scratch.contents("disk.\(format)"), kept))
      let first = try ImageOperations.check(ImageReference(image), .all)
      #expect(first.exitCode == 0, "\(first.findings.map(\.text))")
      #expect(try ImageOperations.check(ImageReference(image)).exitCode == 0)
      #expect(scratch.contents("disk.\(format)").count >= kept.count)
      _ = try ImageOperations.convert(
        ConvertRequest(ImageReference(image), to: scratch.path("back.img")))
      let back = scratch.contents("back.img")
      // All but tables and what did not fit is there, and what is missing is zeros.
      let right = stride(from: 0, to: disk.count - 511, by: 512).filter {
        back[$0..<$0 + 512] == disk[$0..<$0 + 512]
      }.count
      let zeros = stride(from: 0, to: disk.count - 511, by: 512).filter { at in
        back[at..<at + 512].allSatisfy { $0 == 0 }
      }.count
      #expect(right + zeros >= disk.count / 512 - 1)
      // VHDX has tables and a log before its blocks, VDI a table.
      let tables = ["vhdx": 4 << 20, "vdi": 1 << 20][format] ?? 1 << 18
      #expect(right * 512 >= 6_000_128 - tables)
      _ = try ImageOperations.resize(ImageReference(image), .to(40 << 20))
    }

    @Test(arguments: ["raw", "qcow2"])
    func aConversionIsNotGoneOnWithInAFileThatWasCutOff(format: String) throws {
      for replaced in [false, true] {
        let scratch = Scratch()
        let disk = noise(40 << 20)
        let source = ImageReference(scratch.file("disk.img", disk))
        let target = scratch.path("new")
        var request = ConvertRequest(source, to: target, format: format)
        request.resumes = true
        nonisolated(unsafe) weak var running: ImageJob?
        let job = ImageJob(interval: 0) { if $0.done > 10 << 20 { running?.cancel() } }
        running = job
        #expect(throws: ImageCancelled.self) { try ImageOperations.convert(request, job) }
        if replaced {
          let bytes = [UInt8](repeating: 0, count: scratch.contents("new.partial").count)
          let other = scratch.file("other", bytes)
          try FileManager.default.moveItem(atPath: target + ".partial", toPath: target + ".kept")
          try FileManager.default.moveItem(atPath: other, toPath: target + ".partial")
        } else {
          try cut(target + ".partial", to: 1 << 20)
        }
        let result = try ImageOperations.convert(request)
        #expect(result.resumedAt == nil)
        #expect(try ImageOperations.compare(source, ImageReference(target)).isEqual)
      }
    }

    /// A file that was removed and made again can have the number and the size of the old one.
    @Test(arguments: [false, true])
    func aConversionIsNotGoneOnWithInAFileThatWasMadeAnew(knowsBirth: Bool) throws {
      let scratch = Scratch()
      let source = ImageReference(scratch.file("disk.img", noise(40 << 20)))
      let target = scratch.path("new")
      var request = ConvertRequest(source, to: target)
      request.resumes = true
      nonisolated(unsafe) weak var running: ImageJob?
      let job = ImageJob(interval: 0) { if $0.done > 10 << 20 { running?.cancel() } }
      running = job
      #expect(throws: ImageCancelled.self) { try ImageOperations.convert(request, job) }
      let journal = ConvertJournal.path(of: target)
      var lines = String(decoding: scratch.contents("new.partial.journal"), as: UTF8.self)
        .split(separator: "\n").map(String.init)
      let place = try #require(lines.firstIndex { $0.hasPrefix("partial=") })
      let old = lines[place].split(separator: " ")
      let size = scratch.contents("new.partial").count
      try FileManager.default.removeItem(atPath: target + ".partial")
      scratch.file("new.partial", [UInt8](repeating: 0, count: size))
      var new = ConvertJournal.partial(of: target).split(separator: " ")
      // Without a birth that the host knows, the contents tell.
      if knowsBirth && new[2] != "-" {
        #expect(new[2] != old[2])
        new[2] = old[2]
      }
      lines[place] = new.joined(separator: " ")
      try Data((lines.joined(separator: "\n") + "\n").utf8).write(
        to: URL(fileURLWithPath: journal))
      let result = try ImageOperations.convert(request)
      #expect(result.resumedAt == nil)
      #expect(try ImageOperations.compare(source, ImageReference(target)).isEqual)
    }

    @Test func filesThatMeetInANameAreRefusedBeforeAnythingIsWritten() throws {
      let scratch = Scratch()
      var wish = CreateRequest(scratch.path("disk.img"))
      wish.byteCount = 20 << 20
      _ = try ImageOperations.create(wish)
      let reference = VolumeReference(scratch.path("disk.img"))
      _ = try ImageOperations.format(FormatRequest(reference))
      for folder in ["a", "b"] {
        try FileManager.default.createDirectory(
          atPath: scratch.path(folder), withIntermediateDirectories: true)
      }
      let one = scratch.file("a/Same.txt", [1])
      let other = scratch.file("b/SAME.TXT", [2])
      let before = scratch.contents("disk.img")
      #expect(throws: ImageUsageError.self) {
        try ImageOperations.put(reference, [one, other], replaces: true)
      }
      #expect(same(scratch.contents("disk.img"), before))
      // A short name that the volume has given is nobody's name.
      _ = try ImageOperations.put(
        reference, [scratch.file("Long name of a file.text", [3])])
      let short = scratch.file("LONGNA~1.TEX", [4])
      #expect(throws: StorageError.self) {
        try ImageOperations.put(reference, [short], replaces: true)
      }
      let listed = try ImageOperations.list(reference).entries
      #expect(listed.map(\.path) == ["Long name of a file.text"])
    }
  }
}
