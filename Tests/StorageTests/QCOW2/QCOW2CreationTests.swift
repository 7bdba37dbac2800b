// New QCOW2 images: what is refused, and what QEMU says of them.

import Foundation
import Testing

@testable import Storage

@Suite struct QCOW2CreationTests {
  private func refusal(_ options: String, size: Int = 1 << 20) -> String {
    do {
      _ = try QCOW2Maker.image(size: size, options)
      return "made"
    } catch { return (error as? StorageError)?.reason ?? "\(error)" }
  }

  @Test func wishesThatCannotBeAreRefusedBeforeAnythingIsWritten() throws {
    #expect(refusal("cluster_size=1000").contains("cluster_size"))
    #expect(refusal("cluster_size=4M").contains("cluster_size"))
    #expect(refusal("refcount_bits=3").contains("refcount_bits"))
    #expect(refusal("compat=0.9").contains("compat"))
    #expect(refusal("compat=0.10,refcount_bits=8") == "refcount_bits: only with compat=1.1")
    #expect(refusal("extended_l2=on,cluster_size=8192").contains("16384"))
    #expect(refusal("data_file_raw=on").contains("data_file"))
    #expect(refusal("speed=fast").contains("no option 'speed'"))
    #expect(refusal("cluster_size=512", size: 1 << 40).contains("too small"))
    let store = MemoryStore([])
    #expect(throws: StorageError.self) {
      try QCOW2Maker.make(store, size: 1 << 20, "cluster_size=3")
    }
    #expect(store.size == 0)
  }

  @Test(.enabled(if: QCOW2Oracle.isThere)) func qemuSaysWhatWasWished() throws {
    let scratch = Scratch()
    for (options, texts) in [
      ("", ["cluster_size: 65536", "compat: 1.1", "refcount bits: 16"]),
      ("compat=0.10,cluster_size=4096", ["compat: 0.10", "cluster_size: 4096"]),
      (
        "refcount_bits=1,lazy_refcounts=on,extended_l2=on,compression_type=zstd",
        ["refcount bits: 1", "lazy refcounts: true", "extended l2: true", "compression type: zstd"]
      ),
    ] {
      let path = scratch.file("i.qcow2", [])
      let file = try HostFile(path: path, writable: true)
      try QCOW2Maker.make(file, size: 10 << 30, options)
      file.close()
      let info = try QCOW2Oracle.run("qemu-img", "info", path).output
      for text in texts { #expect(info.contains(text), "\(info)") }
      #expect(info.contains("virtual size: 10 GiB"))
      #expect(try QCOW2Oracle.complaint(path) == "")
    }
  }

  @Test func thickImagesHaveAllTheirRoomAtOnce() throws {
    for provisioning in [Provisioning.thickLazy, .thickEager] {
      let store = MemoryStore([])
      try QCOW2Maker.make(store, size: 3 << 20 + 512, provisioning: provisioning)
      let check = try QCOW2Maker.check(store)
      #expect(check.isClean && check.allocatedUnits == 49)
      let size = store.size
      let image = try QCOW2Maker.open(store)
      try image.write(block: 0, QCOW2Maker.pattern(3 << 20, 4))
      image.close()
      #expect(store.size == size)
      #expect(try QCOW2Maker.check(store).isClean)
    }
  }
}
