// Raw disks of 0 bytes: what qemu-img 7.2 does with them (info, create, convert, compare, resize take them).

import Foundation
import Testing

@testable import Images
@testable import Storage

extension WorkOnImages {
  @Suite struct EmptyDiskTests {
    @Test func emptyRawDisksAreMadeToldOfCopiedAndCompared() throws {
      let scratch = Scratch()
      var wish = CreateRequest(scratch.path("a.raw"))
      wish.byteCount = 0
      for way in Provisioning.allCases {
        wish.provisioning = way
        wish.replaces = true
        #expect(try ImageOperations.create(wish).virtualSize == 0)
      }
      #expect(scratch.contents("a.raw").isEmpty)
      // Not only those that were made here.
      let empty = scratch.file("b.img", [])
      let info = try ImageOperations.info(ImageReference(empty)).images[0]
      #expect(info.format == "raw" && info.virtualSize == 0)
      let copy = scratch.path("copy.raw")
      let result = try ImageOperations.convert(ConvertRequest(ImageReference(empty), to: copy))
      #expect(result.virtualSize == 0 && result.dataBytes == 0)
      #expect(FileManager.default.fileExists(atPath: copy) && scratch.contents("copy.raw").isEmpty)
      for strict in [false, true] {
        #expect(
          try ImageOperations.compare(
            ImageReference(empty), ImageReference(copy), isStrict: strict
          ).isEqual)
      }
      // Where one is longer, it has to be zeros; strictly the sizes differ.
      let one = scratch.file("one.raw", [UInt8](repeating: 0, count: 512))
      let other = scratch.file("other.raw", [UInt8](repeating: 7, count: 512))
      func isEqual(_ path: String, strict: Bool = false) throws -> Bool {
        try ImageOperations.compare(
          ImageReference(empty), ImageReference(path), isStrict: strict
        ).isEqual
      }
      #expect(try isEqual(one) && !isEqual(one, strict: true) && !isEqual(other))
      #expect(try ImageOperations.map(ImageReference(empty)).entries.isEmpty)
      #expect(try !ImageOperations.check(ImageReference(empty)).isSupported)
      #expect(
        try ImageOperations.resize(ImageReference(empty), .to(1 << 20)).virtualSize == 1 << 20)
    }

    /// Where qemu-img makes an empty image of an empty file. Both read each other's, and they grow.
    @Test(arguments: ["qcow2", "vdi", "vhd", "vhdx"])
    func emptyImagesAreMadeOfEmptyDisks(format: String) throws {
      let scratch = Scratch()
      let empty = scratch.file("empty.img", [])
      let path = scratch.path("disk." + format)
      let made = try ImageOperations.convert(
        ConvertRequest(ImageReference(empty), to: path, format: format))
      #expect(made.virtualSize == 0)
      var images = [path]
      let qemuName = format == "vhd" ? "vpc" : format
      if let info = tool("qemu-img", ["info", "-f", qemuName, path]) {
        #expect(info.text.contains("virtual size: 0 B"), "\(info.text)")
        let theirs = scratch.path("theirs." + format)
        let done = tool("qemu-img", ["convert", "-f", "raw", "-O", qemuName, empty, theirs])
        #expect(done?.code == 0)
        images.append(theirs)
      }
      for image in images {
        let reference = ImageReference(image, format: format)
        #expect(try ImageOperations.info(reference).images[0].virtualSize == 0)
        let check = try ImageOperations.check(reference)
        // QEMU keeps room for blocks in VHDX images, also for none.
        #expect(
          check.corruptions + check.unreadables == 0 && (check.leaks == 0 || image != path),
          "\(check.findings)")
        #expect(try ImageOperations.map(reference).entries.isEmpty)
        #expect(try ImageOperations.compare(reference, ImageReference(empty)).isEqual)
        var back = ConvertRequest(reference, to: scratch.path("back.img"))
        back.replaces = true
        #expect(try ImageOperations.convert(back).virtualSize == 0)
        #expect(scratch.contents("back.img").isEmpty)
        let drive = #expect(throws: StorageError.self) {
          try ImageOpener.open(path: image, kind: .disk)
        }
        #expect(drive?.reason.contains("0 bytes") == true)
        #expect(try ImageOperations.resize(reference, .to(3 << 20)).virtualSize == 3 << 20)
        let disk = randomDisk(3 << 20, seed: 8)
        var fill = ConvertRequest(
          ImageReference(scratch.file("source", disk)), to: image, format: format)
        fill.intoExisting = true
        _ = try ImageOperations.convert(fill)
        #expect(try ImageOperations.check(reference).corruptions == 0)
        let source = scratch.path("source")
        #expect(try ImageOperations.compare(reference, ImageReference(source)).isEqual)
        let theirs = tool(
          "qemu-img", ["compare", "-f", qemuName, "-F", "raw", image, source])
        #expect(theirs?.code ?? 0 == 0, "\(theirs?.text ?? "")")
      }
    }

    @Test func snapshotsOfAnEmptyDiskLeakNothing() throws {
      let scratch = Scratch()
      var wish = CreateRequest(scratch.path("disk.qcow2"), format: "qcow2")
      wish.byteCount = 0
      _ = try ImageOperations.create(wish)
      let reference = ImageReference(wish.path)
      for step in ["make", "apply", "delete"] {
        _ = try ImageOperations.snapshot(
          reference, step == "make" ? .create("s") : step == "apply" ? .apply("s") : .delete("s"))
        let check = try ImageOperations.check(reference)
        #expect(check.exitCode == 0 && check.leaks == 0, "\(step): \(check.findings)")
      }
    }

    /// The largest sizes are told of without one that cannot be.
    @Test func largestSizesAreNotRoundedUp() throws {
      #expect(ImageSize.most(UInt64(Int64.max) & ~511) == "less than 8 EiB")
      #expect(ImageSize.most(1 << 50) == "up to 1 PiB")
      #expect(ImageSize.text(8192 << 50) == "8 EiB")
      let scratch = Scratch()
      var wish = CreateRequest(scratch.path("a.raw"))
      wish.byteCount = 8192 << 50
      let error = #expect(throws: StorageError.self) { try ImageOperations.create(wish) }
      #expect(error?.reason.contains("less than 8 EiB (8192P") == true)
    }

    @Test func whatNeedsASectorSaysSo() throws {
      let scratch = Scratch()
      let empty = scratch.file("a.raw", [])
      let drive = #expect(throws: StorageError.self) {
        try ImageOpener.open(path: empty, kind: .disk)
      }
      #expect(drive?.reason.contains("a sector at least") == true)
      let bench = #expect(throws: StorageError.self) {
        try ImageOperations.bench(BenchRequest(ImageReference(empty)))
      }
      #expect(bench?.reason.contains("0 bytes") == true)
      // Nothing else is an empty file.
      for format in ["qcow2", "vdi", "vmdk", "vhd", "vhdx"] {
        #expect(throws: StorageError.self) {
          try ImageOperations.info(ImageReference(empty, format: format))
        }
      }
      // The specifications of VMDK and LUKS, and qemu-img, have no disk of 0 bytes there.
      for format in ["vmdk", "luks"] {
        var wish = CreateRequest(scratch.path("new"), format: format)
        wish.byteCount = 0
        let error = #expect(throws: StorageError.self) { try ImageOperations.create(wish) }
        #expect(error?.isUsage == true && error?.reason.contains("at least 512 bytes") == true)
      }
      #expect(throws: (any Error).self) {
        try ImageOperations.resize(ImageReference(scratch.file("b.raw", [1])), .to(0))
      }
    }
  }
}
