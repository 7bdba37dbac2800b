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
        var wish = CreateRequest(scratch.path("new"), format: format)
        wish.byteCount = 0
        let error = #expect(throws: StorageError.self) { try ImageOperations.create(wish) }
        #expect(error?.isUsage == true)
      }
      #expect(throws: (any Error).self) {
        try ImageOperations.resize(ImageReference(scratch.file("b.raw", [1])), .to(0))
      }
    }
  }
}
