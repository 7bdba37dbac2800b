// Overlays of the real formats: another base, into the base, work that is cut off, sizes that change.

import Foundation
import Images
import Storage
import Testing

extension WorkOnImages {
  @Suite struct Overlays {
    /// An overlay in a format over a base, filled with a disk.
    private func overlay(
      _ scratch: Scratch, _ format: String, over base: String, options: [String: String] = [:],
      size: UInt64? = nil
    ) throws -> ImageReference {
      var wish = CreateRequest(scratch.path("top." + format), format: format)
      wish.base = BaseWish(base)
      wish.options = options
      wish.byteCount = size
      _ = try ImageOperations.create(wish)
      return ImageReference(scratch.path("top." + format))
    }

    private func fill(_ image: ImageReference, _ scratch: Scratch, _ disk: [UInt8]) throws {
      var request = ConvertRequest(
        ImageReference(scratch.file("source", disk)), to: image.path, format: "")
      request.intoExisting = true
      _ = try ImageOperations.convert(request)
    }

    /// Where the old base has holes the new one may have data: the overlay then has zeros of its own.
    @Test(arguments: [
      [:], ["compat": "v2"], ["extended_l2": "on"], ["cluster_size": "512"],
    ])
    func anotherBaseShowsNowhere(options: [String: String]) throws {
      let scratch = Scratch()
      var old = CreateRequest(scratch.path("old.img"), format: "raw")
      old.byteCount = 1 << 20
      _ = try ImageOperations.create(old)
      scratch.file("new.img", [UInt8](repeating: 0x5A, count: 3 << 20))
      // The overlay is longer than its base, too.
      let top = try overlay(
        scratch, "qcow2", over: "old.img", options: options, size: 2 << 20)
      var disk = [UInt8](repeating: 0, count: 2 << 20)
      let image = try DiskImage(top, .writing)
      try image.device.write(block: 77, [UInt8](repeating: 9, count: 1024))
      disk.replaceSubrange(77 * 512..<79 * 512, with: repeatElement(9, count: 1024))
      try image.flush()
      image.close()
      var rebase = RebaseRequest(top)
      rebase.base = BaseWish("new.img")
      _ = try ImageOperations.rebase(rebase)
      let expected = ImageReference(scratch.file("expected", disk))
      #expect(try ImageOperations.compare(top, expected).isEqual)
      #expect(try ImageOperations.check(top).exitCode == 0)
    }

    /// QEMU takes what is before a colon for a protocol. Images that have the bare name are read all the same.
    @Test func aBaseMayHaveAColonInItsName() throws {
      let scratch = Scratch()
      let disk = randomDisk(1 << 20, seed: 5)
      scratch.file("a:b.img", disk)
      scratch.file("file:c.img", disk)
      for name in ["a:b.img", "file:c.img"] {
        let top = try overlay(scratch, "qcow2", over: name, options: [:])
        let expected = ImageReference(scratch.path(name), format: "raw")
        #expect(try ImageOperations.compare(top, expected).isEqual)
        #expect(try ImageOperations.info(top).images[0].base == "./" + name)
        if let theirs = tool(
          "qemu-img", ["compare", "-f", "qcow2", "-F", "raw", top.path, scratch.path(name)])
        {
          #expect(theirs.code == 0, "\(theirs.text)")
        }
        var rebase = RebaseRequest(top)
        rebase.base = BaseWish(name)
        _ = try ImageOperations.rebase(rebase)
        #expect(try ImageOperations.info(top).images[0].base == "./" + name)
        try FileManager.default.removeItem(atPath: top.path)
      }
      if let made = tool(
        "qemu-img",
        [
          "create", "-q", "-u", "-f", "qcow2", "-b", "a:b.img", "-F", "raw",
          scratch.path("theirs"), "1M",
        ]), made.code == 0
      {
        let expected = ImageReference(scratch.path("a:b.img"), format: "raw")
        #expect(
          try ImageOperations.compare(ImageReference(scratch.path("theirs")), expected).isEqual)
      }
    }

    /// Without a word nothing is opened outside an image's folder: who makes it so hears of that then.
    @Test func aBaseElsewhereIsSaidToNeedAWord() throws {
      let scratch = Scratch()
      scratch.file("base.img", randomDisk(1 << 20, seed: 6))
      try FileManager.default.createDirectory(
        atPath: scratch.path("inner"), withIntermediateDirectories: true)
      var wish = CreateRequest(scratch.path("inner/top.qcow2"), format: "qcow2")
      wish.base = BaseWish("../base.img")
      let made = try ImageOperations.create(wish)
      #expect(made.notes.contains { $0.contains("--allow-bases \(scratch.path("inner/.."))") })
      let image = ImageReference(wish.path)
      #expect(throws: StorageError.self) { try DiskImage(image, .reading) }
      var rebase = RebaseRequest(ImageReference(wish.path, names: .anywhere))
      rebase.base = BaseWish("../base.img")
      let result = try ImageOperations.rebase(rebase)
      #expect(result.notes.contains { $0.contains("--allow-bases") })
      // Within the folder it needs none.
      scratch.file("inner/own.img", randomDisk(1 << 20, seed: 6))
      rebase.base = BaseWish("own.img")
      #expect(try ImageOperations.rebase(rebase).notes.isEmpty)
    }

    @Test(arguments: ["qcow2", "vdi", "vhd", "vhdx", "vmdk"], [false, true])
    func whatWentIntoTheBaseIsStillShown(format: String, isOfOneKind: Bool) throws {
      let scratch = Scratch()
      let base = isOfOneKind ? "base." + format : "base.img"
      var wish = CreateRequest(scratch.path(base), format: isOfOneKind ? format : "raw")
      wish.byteCount = 4 << 20
      _ = try ImageOperations.create(wish)
      let top = try overlay(scratch, format, over: base)
      let disk = randomDisk(4 << 20, seed: 21)
      try fill(top, scratch, disk)
      let expected = ImageReference(scratch.file("expected", disk))

      // Work that is cut off leaves an overlay that shows the same, and can be done again.
      let job = ImageJob()
      job.cancel()
      _ = try? ImageOperations.commit(top, job)
      #expect(try ImageOperations.compare(top, expected).isEqual)
      _ = try ImageOperations.commit(top)
      #expect(try ImageOperations.compare(top, expected).isEqual)
      #expect(try ImageOperations.compare(ImageReference(scratch.path(base)), expected).isEqual)
      _ = try ImageOperations.commit(top)
      #expect(try ImageOperations.compare(top, expected).isEqual)
    }

    @Test(arguments: ["vmdk", "vdi", "vhd", "vhdx", "qcow2"])
    func aBaseThatIsAnOverlayBecomesLonger(format: String) throws {
      let scratch = Scratch()
      // Its own base does not end where its blocks do.
      let disk = randomDisk(3_670_016 + 512, seed: 5)
      scratch.file("base.img", disk)
      var wish = CreateRequest(scratch.path("middle." + format), format: format)
      wish.base = BaseWish("base.img")
      _ = try ImageOperations.create(wish)
      var second = CreateRequest(scratch.path("top.qcow2"), format: "qcow2")
      second.base = BaseWish("middle." + format)
      _ = try ImageOperations.create(second)
      let top = ImageReference(scratch.path("top.qcow2"))
      _ = try ImageOperations.resize(top, .to(9 << 20))
      let image = try DiskImage(top, .writing)
      try image.device.write(block: 7300, [UInt8](repeating: 9, count: 512))
      try image.flush()
      image.close()
      _ = try ImageOperations.commit(top)
      var shown = disk + [UInt8](repeating: 0, count: (9 << 20) - disk.count)
      shown.replaceSubrange(7300 * 512..<7301 * 512, with: repeatElement(9, count: 512))
      let expected = ImageReference(scratch.file("expected", shown))
      #expect(try ImageOperations.compare(top, expected).isEqual)
      #expect(
        try ImageOperations.compare(ImageReference(wish.path), expected).isEqual)
    }

    @Test(arguments: ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat"])
    func aSplitImageGetsFurtherFiles(subformat: String) throws {
      let scratch = Scratch()
      var wish = CreateRequest(scratch.path("disk.vmdk"), format: "vmdk")
      wish.byteCount = 8 << 20
      wish.options = ["subformat": subformat]
      _ = try ImageOperations.create(wish)
      let image = ImageReference(wish.path)
      func put(_ value: UInt8) throws {
        let open = try DiskImage(image, .writing)
        try open.device.write(
          block: open.device.blockCount - 1, [UInt8](repeating: value, count: 512))
        try open.flush()
        open.close()
      }
      _ = try ImageOperations.resize(image, .to(5 << 30))
      try put(7)
      #expect(try ImageOperations.check(image).exitCode == 0)
      // Smaller, and larger again: the files that are left are not taken for new ones.
      _ = try ImageOperations.resize(image, .to(1 << 20), shrinks: true)
      let result = try ImageOperations.resize(image, .to(5 << 30))
      #expect(result.virtualSize == 5 << 30)
      let open = try DiskImage(image, .reading)
      #expect(
        try open.device.bytes(at: (5 << 30) - 512, count: 512).allSatisfy { $0 == 0 })
      open.close()
      try put(8)
    }

    @Test(arguments: ["qcow2", "vdi", "vhd", "vhdx", "vmdk"])
    func aSmallerDiskLeavesNoLeak(format: String) throws {
      let scratch = Scratch()
      let disk = randomDisk(12 << 20, seed: 3)
      _ = try ImageOperations.convert(
        ConvertRequest(
          ImageReference(scratch.file("source", disk)), to: scratch.path("disk"), format: format))
      let image = ImageReference(scratch.path("disk"))
      _ = try ImageOperations.resize(image, .to(5 << 20), shrinks: true)
      #expect(try ImageOperations.check(image).exitCode == 0)
      let expected = ImageReference(scratch.file("expected", Array(disk[..<(5 << 20)])))
      #expect(try ImageOperations.compare(image, expected).isEqual)
    }

    /// Each image asks the one below where its data are, but not again and again; what is noted of a long chain has its place.
    @Test func aLongChainIsMadeQuickly() throws {
      let scratch = Scratch()
      var below = scratch.file("0.img", [UInt8](repeating: 0, count: 1 << 20))
      let begin = ContinuousClock.now
      for n in 1...14 {
        var wish = CreateRequest(scratch.path("\(n).qcow2"), format: "qcow2")
        wish.base = BaseWish(below)
        wish.options = ["cluster_size": "512"]
        let made = try ImageOperations.create(wish)
        #expect(made.baseHashed == true)
        below = wish.path
      }
      #expect(ContinuousClock.now - begin < .seconds(20))
      let image = try DiskImage(ImageReference(below), .reading)
      #expect(image.basePaths.count == 14)
      image.close()
      // Each has its record: one that is changed is refused.
      scratch.file("0.img", [UInt8](repeating: 1, count: 1 << 20))
      #expect(throws: StorageError.self) { try DiskImage(ImageReference(below), .reading) }
    }

    /// An entry that points into a block which nothing is wrong with: that one keeps its contents, whichever of the two is moved.
    @Test(arguments: ["vhd", "vhdx"])
    func aRepairKeepsTheBlockThatAnotherPointsInto(format: String) throws {
      let scratch = Scratch()
      let block = format == "vhd" ? 2 << 20 : 8 << 20
      var disk = randomDisk(3 * block, seed: 9)
      disk.replaceSubrange(block..<2 * block, with: repeatElement(0, count: block))
      for n in 0..<block { disk[2 * block + n] = UInt8(truncatingIfNeeded: n &* 7 >> 5 ^ n >> 11) }
      var request = ConvertRequest(
        ImageReference(scratch.file("source", disk)), to: scratch.path("disk"), format: format)
      request.options = format == "vhd" ? ["force_size": "on"] : ["block_size": "8M"]
      _ = try ImageOperations.convert(request)
      var bytes = scratch.contents("disk")
      if format == "vhd" {
        // The table at 600h: sectors, big-endian. The second one begins 100 sectors before the third.
        let third = (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(bytes[0x608 + $1]) } - 100
        for n in 0..<4 { bytes[0x604 + n] = UInt8(truncatingIfNeeded: third >> UInt32(24 - 8 * n)) }
      } else {
        // The table at 3 MB: states and places in MB, little-endian. The second begins 4 MB before the third.
        let third = (0..<8).reduce(UInt64(0)) {
          $0 | UInt64(bytes[0x300010 + $1]) << UInt64(8 * $1)
        }
        try #require(third & 7 == 6)
        for n in 0..<8 {
          bytes[0x300008 + n] = UInt8(truncatingIfNeeded: (third - (4 << 20)) >> UInt64(8 * n))
        }
      }
      let image = ImageReference(scratch.file("disk", bytes))
      let found = try ImageOperations.check(image, .all)
      #expect(found.corruptions > 0)
      #expect(try ImageOperations.check(image).exitCode == 0)
      let open = try DiskImage(image, .reading)
      #expect(
        try open.device.bytes(at: UInt64(2 * block), count: block) == Array(disk[(2 * block)...]))
      open.close()
    }

    /// A table of counts that has to be longer while a run is looked for; at other sizes it becomes longer at other moments.
    @Test(arguments: ["8", "16", "32", "64"])
    func countsOfTheSmallestClustersGrow(bits: String) throws {
      let scratch = Scratch()
      let size = (8 << 20) * 16 / Int(bits)! - 65536
      var numbers = Numbers(state: 77)
      let disk = (0..<size).map { _ in UInt8(truncatingIfNeeded: numbers.next()) }
      var request = ConvertRequest(
        ImageReference(scratch.file("source", disk)), to: scratch.path("disk.qcow2"),
        format: "qcow2")
      request.options = ["cluster_size": "512", "refcount_bits": bits]
      _ = try ImageOperations.convert(request)
      let image = ImageReference(scratch.path("disk.qcow2"))
      #expect(try ImageOperations.check(image).exitCode == 0)
      #expect(
        try ImageOperations.compare(image, ImageReference(scratch.path("source"))).isEqual)
    }
  }
}
