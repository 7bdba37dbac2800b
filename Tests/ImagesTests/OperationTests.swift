// Creating, converting, comparing, committing, rebasing: against arrays, and against qemu-img where it is installed.

import Foundation
import Host
import Testing

@testable import Images
@testable import Storage

extension WorkOnImages {
  @Suite struct OperationTests {
    private func convert(_ from: String, _ to: String, _ format: String = "raw") throws
      -> ConvertResult
    {
      try ImageOperations.convert(
        ConvertRequest(ImageReference(from), to: to, format: format))
    }

    @Test func sizesAreReadAsQemuImgReadsThem() {
      #expect(ImageSize.parse("512") == 512)
      #expect(ImageSize.parse("1.5G") == 3 << 29)
      #expect(ImageSize.parse("64k") == 65536 && ImageSize.parse("64KiB") == 65536)
      #expect(ImageSize.parse("16E") == nil && ImageSize.parse("-1") == nil)
      #expect(ImageSize.parse("") == nil && ImageSize.parse("G") == nil)
      #expect(ImageSize.parse("1.5") == nil && ImageSize.parse("1..5k") == nil)
      #expect(ImageSize.parse("18446744073709551616") == nil)
      #expect(SizeChange("+1M") == .by(1 << 20) && SizeChange("-5") == .less(5))
      #expect(ImageSize.text(1536) == "1.5 KiB" && ImageSize.text(5) == "5 B")
      #expect(throws: ImageUsageError.self) { try ImageOptionText.parse(["a"]) }
      #expect(
        (try? ImageOptionText.parse(["a=1,b=x,,y", "c="])) == ["a": "1", "b": "x,y", "c": ""])
    }

    @Test func aDiskStaysTheSameThroughFormats() throws {
      let scratch = Scratch()
      let disk = randomDisk(9 << 20, seed: 1)
      let source = scratch.file("disk.img", disk)
      try withModel {
        let first = try convert(source, scratch.path("disk.model"), "model")
        #expect(first.virtualSize == 9 << 20 && first.dataBytes + first.zeroBytes == 9 << 20)
        let second = try convert(scratch.path("disk.model"), scratch.path("again.img"))
        #expect(second.format == "raw")
        #expect(same(scratch.contents("again.img"), disk))
        #expect(
          try ImageOperations.compare(
            ImageReference(source), ImageReference(scratch.path("disk.model"))
          ).isEqual)
        #expect(scratch.names == ["again.img", "disk.img", "disk.model"])
      }
      // Zeros became holes, where the file system has them.
      if let again = HostFiles.facts(scratch.path("again.img")) {
        #expect(again.allocated < again.size)
      }
      if let (code, text) = tool("qemu-img", ["compare", source, scratch.path("again.img")]) {
        #expect(code == 0, "\(text)")
      }
    }

    /// `raw:` in front of a name is understood wherever an image is named.
    @Test func aDiskIsRawWhateverItLooksLike() throws {
      let scratch = Scratch()
      let qcow2 = scratch.path("a.qcow2")
      _ = try convert(scratch.file("disk.img", randomDisk(1 << 20, seed: 2)), qcow2, "qcow2")
      let raw = "raw:" + qcow2
      #expect(ImageReference(raw).path == qcow2 && ImageReference(raw).format == "raw")
      #expect(try ImageOperations.check(ImageReference(qcow2)).isSupported)
      #expect(try ImageOperations.check(ImageReference(raw)).format == "raw")
      #expect(try !ImageOperations.check(ImageReference(raw)).isSupported)
      #expect(throws: StorageError.self) {
        try ImageOperations.rebase(RebaseRequest(ImageReference(raw)))
      }
      _ = try convert(raw, scratch.path("copy.img"))
      #expect(scratch.contents("copy.img") == scratch.contents("a.qcow2"))
    }

    @Test func nothingIsLeftOfWhatFails() throws {
      let scratch = Scratch()
      let source = scratch.file("a.img", randomDisk(8 << 20, seed: 2))
      let job = ImageJob()
      job.cancel()
      #expect(throws: ImageCancelled.self) {
        try ImageOperations.convert(
          ConvertRequest(ImageReference(source), to: scratch.path("b.img")), job)
      }
      #expect(scratch.names == ["a.img"])
      // What is there stays.
      let other = scratch.file("c.img", [1, 2, 3])
      #expect(throws: StorageError.self) {
        try ImageOperations.convert(ConvertRequest(ImageReference(source), to: other))
      }
      #expect(scratch.contents("c.img") == [1, 2, 3])
      var request = ConvertRequest(ImageReference(source), to: other)
      request.replaces = true
      _ = try ImageOperations.convert(request)
      #expect(same(scratch.contents("c.img"), scratch.contents("a.img")))
      request.target = source
      #expect(throws: ImageUsageError.self) { try ImageOperations.convert(request) }
    }

    @Test func workThatWasCutOffGoesOn() throws {
      let scratch = Scratch()
      let disk = randomDisk(12 << 20, seed: 3)
      let source = scratch.file("a.img", disk)
      let target = scratch.path("b.img")
      var request = ConvertRequest(ImageReference(source), to: target)
      request.resumes = true
      final class Box: @unchecked Sendable { var job: ImageJob? }
      let box = Box()
      let job = ImageJob(interval: 0) { progress in if progress.done > 4 << 20 { box.job?.cancel() }
      }
      box.job = job
      #expect(throws: ImageCancelled.self) { try ImageOperations.convert(request, job) }
      #expect(scratch.names == ["a.img", "b.img.partial", "b.img.partial.journal"])
      // As if the journal had been written at 4 MiB; what is behind that is written again.
      var journal = ConvertJournal(request, try DiskImage(ImageReference(source), .looking))
      journal.done = 4 << 20
      try journal.write(for: target)
      let result = try ImageOperations.convert(request)
      #expect(result.resumedAt == 4 << 20)
      #expect(same(scratch.contents("b.img"), disk))
      #expect(scratch.names == ["a.img", "b.img"])
    }

    @Test func aJournalOfOtherWorkIsNotFollowed() throws {
      let scratch = Scratch()
      let source = scratch.file("a.img", randomDisk(4 << 20, seed: 4))
      let target = scratch.path("b.img")
      var request = ConvertRequest(ImageReference(source), to: target)
      request.resumes = true
      var journal = ConvertJournal(request, try DiskImage(ImageReference(source), .looking))
      journal.done = 2 << 20
      try journal.write(for: target)
      scratch.file("b.img.partial", [UInt8](repeating: 7, count: 4 << 20))
      // The source is another one now.
      let disk = randomDisk(4 << 20, seed: 5)
      try FileManager.default.removeItem(atPath: source)
      scratch.file("a.img", disk)
      let result = try ImageOperations.convert(request)
      #expect(result.resumedAt == nil)
      #expect(same(scratch.contents("b.img"), disk))
    }

    @Test func intoAnImageThatIsThere() throws {
      let scratch = Scratch()
      let disk = randomDisk(3 << 20, seed: 6)
      let source = scratch.file("a.img", disk)
      let target = scratch.file("b.img", [UInt8](repeating: 9, count: 4 << 20))
      var request = ConvertRequest(ImageReference(source), to: target)
      request.intoExisting = true
      _ = try ImageOperations.convert(request)
      #expect(same(scratch.contents("b.img"), disk + [UInt8](repeating: 9, count: 1 << 20)))
      let small = scratch.file("c.img", [UInt8](repeating: 9, count: 1 << 20))
      request.target = small
      #expect(throws: StorageError.self) { try ImageOperations.convert(request) }
    }

    @Test func comparisonTellsTheFirstDifference() throws {
      let scratch = Scratch()
      var disk = randomDisk(5 << 20, seed: 7)
      let a = ImageReference(scratch.file("a.img", disk))
      disk[4_000_123] ^= 1
      disk[5_000_000] ^= 1
      let b = ImageReference(scratch.file("b.img", disk))
      let result = try ImageOperations.compare(a, b)
      #expect(!result.isEqual && result.offset == 4_000_123)
      // A longer one with zeros is the same, but not strictly.
      let c = ImageReference(scratch.file("c.img", disk + [UInt8](repeating: 0, count: 1 << 20)))
      #expect(try ImageOperations.compare(b, c).isEqual)
      #expect(try !ImageOperations.compare(b, c, isStrict: true).isEqual)
      #expect(try ImageOperations.compare(b, b, isStrict: true).isEqual)
      let d = ImageReference(scratch.file("d.img", disk + [UInt8](repeating: 1, count: 512)))
      #expect(try ImageOperations.compare(b, d).offset == 5 << 20)
    }

    @Test func anOverlayGoesIntoItsBaseAndToAnother() throws {
      let scratch = Scratch()
      try withModel {
        let disk = randomDisk(1 << 20, seed: 8)
        let base = scratch.file("base.img", disk)
        var wish = CreateRequest(scratch.path("top.model"), format: "model")
        wish.base = BaseWish("base.img")
        let made = try ImageOperations.create(wish)
        #expect(made.base == "base.img" && made.virtualSize == 1 << 20 && made.baseHashed == true)
        // The format has no room for a record.
        #expect(scratch.names == ["base.img", "top.model", "top.model.base"])
        let top = ImageReference(scratch.path("top.model"))
        var image = try DiskImage(top, .writing)
        try image.device.write(block: 3, [UInt8](repeating: 5, count: 8192))
        try image.device.writeZeroes(block: 100, count: 2)
        try image.flush()
        image.close()
        var shown = disk
        shown.replaceSubrange(3 * 4096..<5 * 4096, with: repeatElement(5, count: 8192))
        shown.replaceSubrange(100 * 4096..<102 * 4096, with: repeatElement(0, count: 8192))

        // Another base, safely: the disk shows the same.
        var other = disk
        other.replaceSubrange(50 * 4096..<60 * 4096, with: repeatElement(0x77, count: 40960))
        scratch.file("other.img", other)
        var rebase = RebaseRequest(top)
        rebase.base = BaseWish("other.img")
        let rebased = try ImageOperations.rebase(rebase)
        #expect(rebased.base == "other.img" && rebased.bytes >= 40960)
        let expected = ImageReference(scratch.file("expected.img", shown))
        #expect(try ImageOperations.compare(top, expected).isEqual)
        let map = try ImageOperations.map(top)
        #expect(map.entries.reduce(0) { $0 + $1.length } == 1 << 20)
        #expect(map.entries.contains { $0.depth == 1 && $0.file == scratch.path("other.img") })

        let commit = try ImageOperations.commit(top)
        #expect(commit.isEmptied)
        #expect(same(scratch.contents("other.img"), shown))
        #expect(try ImageOperations.compare(top, expected).isEqual)
        #expect(same(scratch.contents("base.img"), disk))

        // On its own feet.
        rebase.base = nil
        _ = try ImageOperations.rebase(rebase)
        try FileManager.default.removeItem(atPath: scratch.path("other.img"))
        #expect(try ImageOperations.compare(top, expected).isEqual)
        #expect(!scratch.names.contains("top.model.base"))
        image = try DiskImage(top, .reading)
        #expect(image.device.base == nil)
        _ = base
      }
    }

    @Test func aBaseThatChangedIsRefused() throws {
      let scratch = Scratch()
      try withModel {
        var disk = randomDisk(1 << 20, seed: 9)
        scratch.file("base.img", disk)
        var wish = CreateRequest(scratch.path("top.model"), format: "model")
        wish.base = BaseWish("base.img")
        _ = try ImageOperations.create(wish)
        let top = ImageReference(scratch.path("top.model"))
        // A copy with the same contents is as good, and is noted.
        try FileManager.default.removeItem(atPath: scratch.path("base.img"))
        scratch.file("base.img", disk)
        try DiskImage(top, .writing).close()
        disk[77] ^= 1
        let handle = FileHandle(forWritingAtPath: scratch.path("base.img"))!
        try handle.seek(toOffset: 77)
        try handle.write(contentsOf: [disk[77]])
        try handle.close()
        do {
          _ = try DiskImage(top, .reading)
          Issue.record("opened")
        } catch { #expect("\(error)".contains("holds something else"), "\(error)") }
        // Looking is always possible; accepting it makes it the base.
        #expect(try ImageOperations.info(top, chain: true).images.count == 2)
        var rebase = RebaseRequest(top)
        rebase.accepts = true
        _ = try ImageOperations.rebase(rebase)
        try DiskImage(top, .reading).close()
      }
    }

    @Test func anImageOverABaseKeepsOnlyWhatDiffers() throws {
      let scratch = Scratch()
      try withModel {
        let disk = randomDisk(4 << 20, seed: 10)
        scratch.file("base.img", disk)
        var other = disk
        other.replaceSubrange(1 << 20..<(1 << 20) + 65536, with: repeatElement(3, count: 65536))
        other.replaceSubrange(0..<65536, with: repeatElement(0, count: 65536))
        let source = scratch.file("other.img", other)
        var request = ConvertRequest(
          ImageReference(source), to: scratch.path("over.model"), format: "model")
        request.base = BaseWish("base.img")
        let result = try ImageOperations.convert(request)
        #expect(result.dataBytes == 65536)
        #expect(
          try ImageOperations.compare(
            ImageReference(source), ImageReference(scratch.path("over.model"))
          ).isEqual)
      }
    }

    @Test func partsOfADiskAreCopied() throws {
      let scratch = Scratch()
      let disk = randomDisk(2 << 20, seed: 11)
      let a = scratch.file("a.img", disk)
      let words = try CopyBlocksRequest(
        ["if=\(a)", "of=\(scratch.path("b.img"))", "bs=100", "count=1000", "skip=7"])
      _ = try ImageOperations.copyBlocks(words)
      var wanted = Array(disk[700..<100_700])
      wanted += [UInt8](repeating: 0, count: scratch.contents("b.img").count - wanted.count)
      #expect(same(scratch.contents("b.img"), wanted) && wanted.count == 100_352)
      // Without skip=, of which qemu-img lets count= take some.
      let head = try CopyBlocksRequest([
        "if=\(a)", "of=\(scratch.path("c.img"))", "bs=4k", "count=9",
      ])
      _ = try ImageOperations.copyBlocks(head)
      if let (code, text) = tool(
        "qemu-img",
        [
          "dd", "-f", "raw", "-O", "raw", "if=\(a)", "of=\(scratch.path("q.img"))", "bs=4k",
          "count=9",
        ])
      {
        #expect(code == 0, "\(text)")
        #expect(same(scratch.contents("q.img"), scratch.contents("c.img")))
      }
      #expect(throws: ImageUsageError.self) { try CopyBlocksRequest(["if=a"]) }
      #expect(throws: ImageUsageError.self) { try CopyBlocksRequest(["if=a", "of=b", "bs=0"]) }
    }

    @Test func sizesChangeOnlyAsTheyAreMeantTo() throws {
      let scratch = Scratch()
      let a = ImageReference(scratch.file("a.img", randomDisk(1 << 20, seed: 12)))
      #expect(try ImageOperations.resize(a, .by(1 << 20)).virtualSize == 2 << 20)
      #expect(throws: StorageError.self) { try ImageOperations.resize(a, .to(1 << 20)) }
      #expect(try ImageOperations.resize(a, .to(1 << 20), shrinks: true).virtualSize == 1 << 20)
      #expect(same(scratch.contents("a.img"), randomDisk(1 << 20, seed: 12)))
      #expect(throws: StorageError.self) { try ImageOperations.resize(a, .by(.max)) }
      #expect(throws: StorageError.self) {
        try ImageOperations.resize(a, .less(1 << 20), shrinks: true)
      }
    }

    @Test func newRawImagesGetTheirRoomAsWished() throws {
      let scratch = Scratch()
      for (way, isFull) in [(Provisioning.thin, false), (.thickLazy, true), (.thickEager, true)] {
        var wish = CreateRequest(scratch.path(way.rawValue))
        wish.byteCount = 1 << 20
        wish.provisioning = way
        _ = try ImageOperations.create(wish)
        let facts = try #require(HostFiles.facts(wish.path))
        #expect(facts.size == 1 << 20 && (facts.allocated >= 1 << 20) == isFull, "\(way)")
      }
      var wish = CreateRequest(scratch.path("x"))
      #expect(throws: ImageUsageError.self) { try ImageOperations.create(wish) }
      wish.byteCount = 1000
      #expect(try ImageOperations.create(wish).notes.count == 1)
      wish.options = ["nonsense": "1"]
      wish.replaces = true
      #expect(throws: StorageError.self) { try ImageOperations.create(wish) }
    }

    @Test func checksHaveTheExitCodesOfQemuImg() throws {
      let scratch = Scratch()
      let raw = ImageReference(scratch.file("a.img", randomDisk(1 << 20, seed: 13)))
      #expect(try ImageOperations.check(raw).exitCode == 63)
      try withModel {
        _ = try convert(raw.path, scratch.path("a.model"), "model")
        let model = ImageReference(scratch.path("a.model"))
        #expect(try ImageOperations.check(model).exitCode == 0)
        var bytes = scratch.contents("a.model")
        bytes[19] = 0xEE
        scratch.file("a.model", bytes)
        #expect(try ImageOperations.check(model).exitCode == 3)
        #expect(try ImageOperations.check(model, .all).exitCode == 0)
        #expect(try ImageOperations.check(model).exitCode == 0)
      }
    }

    @Test func compressedUnitsAreWrittenAsSuch() throws {
      let scratch = Scratch()
      var disk = [UInt8](repeating: 0, count: 1 << 20)
      disk.replaceSubrange(131072..<262144, with: repeatElement(7, count: 131072))
      disk.replaceSubrange(300_000..<300_010, with: repeatElement(8, count: 10))
      let a = scratch.file("a.img", disk)
      try withModel {
        var request = ConvertRequest(
          ImageReference(a), to: scratch.path("a.model"), format: "model")
        request.compresses = true
        let result = try ImageOperations.convert(request)
        #expect(result.compressedFrom == 131072 && result.compressedTo == 2)
        #expect(result.dataBytes == 196608)
        _ = try convert(scratch.path("a.model"), scratch.path("b.img"))
        #expect(same(scratch.contents("b.img"), disk))
        request.target = scratch.path("c.img")
        request.format = "raw"
        #expect(throws: ImageUsageError.self) { try ImageOperations.convert(request) }
      }
    }

    @Test func measurementsLeaveReadDisksAlone() throws {
      let scratch = Scratch()
      let disk = randomDisk(4 << 20, seed: 14)
      let a = scratch.file("a.img", disk)
      var request = BenchRequest(ImageReference(a))
      let result = try ImageOperations.bench(request)
      #expect(result.measurements.map(\.kind) == [.sequentialRead, .randomRead])
      #expect(same(scratch.contents("a.img"), disk))
      request.kinds = [.sequentialWrite]
      #expect(try ImageOperations.bench(request).measurements[0].bytes == 4 << 20)
    }

    /// Images of several files, and those that say while they are written that they are, are whole as soon as they have their names.
    @Test(arguments: [
      ["vmdk", "monolithicSparse"], ["vmdk", "monolithicFlat"], ["vmdk", "twoGbMaxExtentSparse"],
      ["vmdk", "twoGbMaxExtentFlat"], ["vmdk", "streamOptimized"], ["vhdx"], ["vdi"], ["vhd"],
      ["qcow2"],
    ])
    func convertedImagesAreWhole(kind: [String]) throws {
      let scratch = Scratch()
      let a = ImageReference(scratch.file("a.img", randomDisk(6 << 20, seed: 15)))
      let target = ImageReference(scratch.path("b.x"))
      var request = ConvertRequest(a, to: target.path, format: kind[0])
      if kind.count > 1 { request.options = ["subformat": kind[1]] }
      _ = try ImageOperations.convert(request)
      let check = try ImageOperations.check(target)
      #expect(check.exitCode == 0 || check.exitCode == 63, "\(check.findings.first?.text ?? "")")
      #expect(try ImageOperations.compare(a, target).isEqual)
      if kind[0] == "vhdx" {
        // [MS-VHDX] 2.2.2: the header with the larger sequence number names no log.
        let bytes = scratch.contents("b.x")
        let headers = [64 << 10, 128 << 10].map { Array(bytes[$0..<$0 + 64]) }
        let numbers = headers.map { $0[8..<16].reversed().reduce(0) { $0 << 8 | UInt64($1) } }
        let newest = headers[numbers[0] > numbers[1] ? 0 : 1]
        #expect(newest[48..<64].allSatisfy { $0 == 0 })
      }
    }

    /// The bitmap of a chunk takes a megabyte, whatever a block takes.
    @Test func anOverlayThatWasWrittenToChecksClean() throws {
      let scratch = Scratch()
      var request = CreateRequest(scratch.path("base.vhdx"), format: "vhdx")
      request.byteCount = 16 << 20
      _ = try ImageOperations.create(request)
      var over = CreateRequest(scratch.path("over.vhdx"), format: "vhdx")
      over.base = BaseWish(scratch.path("base.vhdx"))
      _ = try ImageOperations.create(over)
      for _ in 0..<2 {
        let image = try DiskImage(ImageReference(over.path), .writing)
        try image.device.write(block: 9, [UInt8](repeating: 5, count: 512))
        try image.flush()
        image.close()
        #expect(try ImageOperations.check(ImageReference(over.path)).exitCode == 0)
      }
    }

    /// QEMU has a name of its own for VHD, which stands in its images.
    @Test func aBaseHasTheFormatNameThatQEMUKnows() throws {
      let scratch = Scratch()
      var request = CreateRequest(scratch.path("base.vhd"), format: "vhd")
      request.byteCount = 4 << 20
      _ = try ImageOperations.create(request)
      var over = CreateRequest(scratch.path("over.qcow2"), format: "qcow2")
      over.base = BaseWish(scratch.path("base.vhd"))
      _ = try ImageOperations.create(over)
      let head = String(decoding: scratch.contents("over.qcow2").prefix(1024), as: UTF8.self)
      #expect(head.contains("vpc"))
      #expect(try ImageOperations.check(ImageReference(over.path)).exitCode == 0)
    }
  }
}
