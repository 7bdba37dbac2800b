// What people try that cannot be done: refused in words that help, and what is left lying about.

import Foundation
import Host
import Testing

@testable import Images
@testable import Storage

extension WorkOnImages {
  @Suite struct RefusalTests {
    private func words(_ body: () throws -> Void) -> String {
      do {
        try body()
        return "done"
      } catch { return "\(error)" }
    }

    private func isUsage(_ body: () throws -> Void) -> Bool {
      do { try body() } catch {
        return error is ImageUsageError || (error as? StorageError)?.isUsage == true
      }
      return false
    }

    private func overlay(_ scratch: Scratch, _ name: String, over base: String) throws {
      var wish = CreateRequest(scratch.path(name), format: "qcow2")
      wish.base = BaseWish(base)
      _ = try ImageOperations.create(wish)
    }

    /// What is before a colon is a drive, a protocol or Apus's own word, unless "./" is before it.
    @Test(arguments: ["qcow2", "vmdk", "vdi", "vhd", "vhdx"])
    func basesMayHaveColonsInTheirNames(_ format: String) throws {
      let scratch = Scratch()
      for name in ["P:q.img", "a:b.img", "folder/P:q.img"] {
        let bytes = [UInt8](repeating: 0x31, count: 1 << 20)
        try? FileManager.default.createDirectory(
          atPath: scratch.path("folder"), withIntermediateDirectories: true)
        scratch.file(name, bytes)
        for written in ["./" + name, "raw:" + scratch.path(name)] {
          let path = scratch.path("top.\(format)")
          var wish = CreateRequest(path, format: format)
          wish.base = BaseWish(written, format: written.hasPrefix("raw:") ? nil : "raw")
          wish.replaces = true
          _ = try ImageOperations.create(wish)
          let opened = try ImageOpener.open(path: path, kind: .disk, readOnly: true)
          #expect(
            try opened.device.bytes(at: 0, count: 512) == [UInt8](repeating: 0x31, count: 512))
          opened.device.close()
          try? HostFiles.remove(path)
        }
      }
    }

    @Test func aBaseWithoutBytesIsNamed() throws {
      let scratch = Scratch()
      let base = scratch.file("empty", [])
      let text = words { try overlay(scratch, "top.qcow2", over: base) }
      #expect(text.contains("'\(base)' has no bytes"), "\(text)")
    }

    @Test func wordsThatAreNearlyRightAreFound() {
      let words = ["info", "create", "convert", "resize", "check", "compare", "ls", "dd"]
      #expect(NearWord.of("infoo", in: words) == "info")
      #expect(NearWord.of("ocnvert", in: words) == "convert")
      #expect(NearWord.of("Chekc", in: words) == "check")
      #expect(NearWord.of("sl", in: words) == "ls")
      #expect(NearWord.of("frobnicate", in: words) == nil)
      #expect(NearWord.of("", in: words) == nil)
    }

    @Test func formatsAndOptionsThatAreNoneListThoseThereAre() {
      let scratch = Scratch()
      var wish = CreateRequest(scratch.path("a.img"), format: "qcow3")
      wish.byteCount = 1 << 20
      let text = words { _ = try ImageOperations.create(wish) }
      #expect(text.contains("qcow2") && text.contains("raw"))
      #expect(isUsage { _ = try ImageOperations.create(wish) })
      wish.format = "qcow2"
      wish.options = ["clustersize": "64k"]
      #expect(isUsage { _ = try ImageOperations.create(wish) })
      #expect(words { _ = try ImageOperations.create(wish) }.contains("cluster_size"))
      wish.options = ["cluster_size": "63"]
      #expect(isUsage { _ = try ImageOperations.create(wish) })
      wish.options = ["lazy_refcounts": "perhaps"]
      #expect(isUsage { _ = try ImageOperations.create(wish) })
      wish.options = [:]
      wish.format = "vmdk"
      wish.byteCount = 0
      #expect(isUsage { _ = try ImageOperations.create(wish) })
      #expect(words { _ = try ImageOperations.create(wish) }.contains("512 bytes, not of 0"))
      let folder = CreateRequest("folder:" + scratch.path("x"))
      var sized = folder
      sized.byteCount = 1 << 20
      #expect(words { _ = try ImageOperations.create(sized) }.contains("nothing is made"))
      sized.path = "nbd://localhost/x"
      #expect(words { _ = try ImageOperations.create(sized) }.contains("made by its server"))
      #expect(scratch.names.isEmpty)
    }

    @Test func formatsSayWhatTheyCan() throws {
      let all = try ImageOperations.formats().formats
      let qcow2 = try #require(all.first { $0.name == "qcow2" })
      #expect(qcow2.creates && qcow2.resizes && qcow2.checks && qcow2.snapshots && qcow2.compresses)
      #expect(qcow2.hasBases && qcow2.options.contains { $0.name == "cluster_size" })
      let raw = try #require(all.first { $0.name == "raw" })
      #expect(raw.creates && raw.resizes && !raw.checks && !raw.snapshots)
      #expect(!all.contains { ["QED", "DMG", "xz"].contains($0.name) })
      #expect(try ImageOperations.formats("vpc").formats.map(\.name) == ["vhd"])
      #expect(isUsage { _ = try ImageOperations.formats("vhs") })
    }

    @Test func loopsOfBasesAreRefused() throws {
      let scratch = Scratch()
      scratch.file("base.img", randomDisk(1 << 20, seed: 1))
      try overlay(scratch, "a.qcow2", over: "base.img")
      try overlay(scratch, "b.qcow2", over: "a.qcow2")
      var rebase = RebaseRequest(ImageReference(scratch.path("a.qcow2")))
      for isUnsafe in [false, true] {
        rebase.isUnsafe = isUnsafe
        rebase.base = BaseWish("b.qcow2")
        #expect(words { _ = try ImageOperations.rebase(rebase) }.contains("each other's base"))
        rebase.base = BaseWish("a.qcow2")
        #expect(words { _ = try ImageOperations.rebase(rebase) }.contains("its own base"))
      }
      var convert = ConvertRequest(
        ImageReference(scratch.path("b.qcow2")), to: scratch.path("base.img"))
      convert.replaces = true
      #expect(words { _ = try ImageOperations.convert(convert) }.contains("is made of"))
      #expect(
        try ImageOperations.info(ImageReference(scratch.path("b.qcow2"))).images[0].base
          == "a.qcow2")
    }

    @Test(arguments: ["qcow2", "vhdx", "vhd", "vdi", "vmdk"])
    func anImageWhoseBaseIsGoneOrAnotherIsStillTold(format: String) throws {
      let scratch = Scratch()
      var base = CreateRequest(scratch.path("base.img"), format: format)
      base.byteCount = 4 << 20
      _ = try ImageOperations.create(base)
      var wish = CreateRequest(scratch.path("top.img"), format: format)
      wish.base = BaseWish("base.img")
      _ = try ImageOperations.create(wish)
      let top = ImageReference(scratch.path("top.img"))
      #expect(try ImageOperations.info(top).images[0].warnings == [])
      let image = try DiskImage(ImageReference(scratch.path("base.img")), .writing)
      try image.device.write(block: 0, [UInt8](repeating: 7, count: image.device.blockSize))
      try image.flush()
      image.close()
      let changed = try ImageOperations.info(top).images[0]
      #expect(changed.format == format && changed.virtualSize == 4 << 20)
      #expect(changed.warnings.contains { $0.contains("base.img") }, "\(changed.warnings)")
      try FileManager.default.removeItem(atPath: scratch.path("base.img"))
      let alone = try ImageOperations.info(top, chain: true).images
      #expect(alone.count == 1 && alone[0].virtualSize == 4 << 20)
      #expect(alone[0].warnings.contains { $0.contains("cannot be used") }, "\(alone[0].warnings)")
      #expect(throws: StorageError.self) { try DiskImage(top, .reading) }
    }

    @Test func imagesThatAreNotReadAreNotTakenForRaw() throws {
      let scratch = Scratch()
      for (head, name) in [
        ("QED\0", "QED"), ("WithoutFreeSpace", "Parallels"), ("WithouFreSpacExt", "Parallels"),
        ("Bochs Virtual HD Image\0Growing", "Bochs"),
        ("#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount", "cloop"),
      ] {
        let bytes = Array(head.utf8) + [UInt8](repeating: 0, count: 65536 - head.utf8.count)
        let path = scratch.file("x.img", bytes)
        #expect(words { _ = try DiskImage(ImageReference(path), .reading) }.contains(name))
        #expect(
          words { _ = try DiskImage(ImageReference(path, format: "raw"), .reading) } == "done")
      }
      var dmg = [UInt8](repeating: 3, count: 65536)
      dmg.replaceSubrange(65024..<65036, with: Array("koly".utf8) + [0, 0, 0, 4, 0, 0, 2, 0])
      let path = scratch.file("x.dmg", dmg)
      #expect(words { _ = try DiskImage(ImageReference(path), .reading) }.contains("DMG"))
      for name in ["qed", "parallels"] {
        if let (code, _) = tool("qemu-img", ["create", "-f", name, scratch.path("q"), "1M"]) {
          #expect(code == 0)
          #expect(
            words { _ = try DiskImage(ImageReference(scratch.path("q")), .reading) }.contains(
              "not read here"))
        }
      }
    }

    @Test func whatAKilledProgramLeftIsTakenAway() throws {
      let scratch = Scratch()
      scratch.file("a.img.4711.new", [1, 2, 3])
      scratch.file("a.img.x.new", [1])
      scratch.file("b.img.4711.new", [1])
      let busy = try HostFile(path: scratch.file("a.img.4712.new", [5]), writable: true)
      var wish = CreateRequest(scratch.path("a.img"))
      wish.byteCount = 1 << 20
      let result = try ImageOperations.create(wish)
      #expect(result.notes.contains { $0.contains("a.img.4711.new") })
      #expect(scratch.names == ["a.img", "a.img.4712.new", "a.img.x.new", "b.img.4711.new"])
      busy.close()
    }

    @Test func workThatIsCancelledEarlyIsContinued() throws {
      let scratch = Scratch()
      let disk = [UInt8](repeating: 3, count: 40 << 20)
      let source = ImageReference(scratch.file("disk.img", disk))
      var request = ConvertRequest(source, to: scratch.path("new.qcow2"), format: "qcow2")
      request.resumes = true
      nonisolated(unsafe) weak var running: ImageJob?
      let job = ImageJob(interval: 0) { if $0.done > 10 << 20 { running?.cancel() } }
      running = job
      #expect(throws: ImageCancelled.self) { try ImageOperations.convert(request, job) }
      #expect(HostFiles.exists(scratch.path("new.qcow2.partial.journal")))
      let result = try ImageOperations.convert(request)
      #expect((result.resumedAt ?? 0) > 8 << 20)
      #expect(
        try ImageOperations.compare(source, ImageReference(scratch.path("new.qcow2"))).isEqual)
      #expect(scratch.names == ["disk.img", "new.qcow2"])
    }

    @Test(arguments: ["qcow2", "vhd", "vhdx", "vdi", "vmdk"])
    func basesInOtherFoldersHaveToBeAllowed(format: String) throws {
      let scratch = Scratch()
      for folder in ["bases", "work"] {
        try FileManager.default.createDirectory(
          atPath: scratch.path(folder), withIntermediateDirectories: true)
      }
      var base = CreateRequest(scratch.path("bases/base.img"), format: format)
      base.byteCount = 4 << 20
      _ = try ImageOperations.create(base)
      var wish = CreateRequest(scratch.path("work/top.img"), format: format)
      wish.base = BaseWish("../bases/base.img")
      _ = try ImageOperations.create(wish)
      let path = scratch.path("work/top.img")
      #expect(throws: StorageError.self) { try DiskImage(ImageReference(path), .reading) }
      let names = ImageFiles.Names.allowed([scratch.path("bases")])
      let image = try DiskImage(ImageReference(path, names: names), .reading)
      #expect(image.device.base != nil)
      #expect(throws: StorageError.self) {
        try DiskImage(ImageReference(path, names: .allowed([scratch.path("wor")])), .reading)
      }
    }
  }
}
