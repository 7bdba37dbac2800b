// The host's cache takes part in several ways, and the contents are the same in all of them.

import Foundation
import Testing

@testable import Storage

@Suite struct HostCacheTests {
  @Test(arguments: HostCache.allCases)
  func contentsDoNotDependOnTheCache(cache: HostCache) throws {
    // Where the file system has no way past the cache (tmpfs before Linux 6.6), this says so.
    let folder = FileManager.default.currentDirectoryPath + "/.build"
    let path = folder + "/apus-cache-\(UUID().uuidString)"
    _ = FileManager.default.createFile(atPath: path, contents: Data(count: 1 << 20))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let image: OpenedImage
    do throws(StorageError) {
      image = try ImageOpener.open(path: path, kind: .disk, cache: cache)
    } catch {
      #expect(cache == .none && error.reason.contains("past the cache"))
      return
    }
    var model = [UInt8](repeating: 0, count: 1 << 20)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 4096)
    defer { buffer.deallocate() }
    var seed: UInt64 = 7
    for step in 0..<400 {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      // Every second one is aligned.
      let unit = step & 1 == 0 ? 8 : 1
      let count = (Int(seed >> 40) % (step & 1 == 0 ? 15 : 100) + 1) * unit
      let first = Int(seed >> 20 & 0xFFFF) % ((2048 - count) / unit) * unit
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(count * 512)])
      if seed >> 33 & 1 == 0 {
        for n in part.indices { part[n] = UInt8(truncatingIfNeeded: step &+ n / 512) }
        try image.device.write(block: UInt64(first), from: UnsafeRawBufferPointer(part))
        model.replaceSubrange(first * 512..<(first + count) * 512, with: part)
      } else {
        try image.device.read(block: UInt64(first), into: part)
        #expect(part.elementsEqual(model[first * 512..<(first + count) * 512]))
      }
      if step % 50 == 0 { try image.device.flush() }
    }
    try image.device.finish()
    image.device.close()
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data(model))
  }
}
