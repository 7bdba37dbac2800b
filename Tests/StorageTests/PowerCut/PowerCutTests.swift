// The driver itself: formats that keep the order pass, one that does not is caught.

import Testing

@testable import Storage

/// The made-up format, with a check that finds nothing: opening refuses what is wrong.
private struct CheckedSparse: CheckableFormat {
  let format = SparseFormat()
  var name: String { format.name }
  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  { try format.probe(store, context) }
  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    try format.open(store, context)
  }
  func check(_ store: any ByteStore, _ repair: ImageRepair, _ context: ImageContext)
    throws(StorageError) -> ImageCheck
  {
    _ = try format.open(store, context)
    return ImageCheck()
  }
}

/// Flushes nothing, so the order of its writes is lost.
private final class Unordered: ByteStore {
  let store: any ByteStore
  init(_ store: any ByteStore) { self.store = store }
  var name: String { store.name }
  var size: UInt64 { store.size }
  var isWritable: Bool { true }
  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try store.read(at: offset, into: buffer)
  }
  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try store.write(at: offset, from: buffer)
  }
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try store.zero(at: offset, count: count, releasing: releasing)
  }
  func setSize(_ size: UInt64) throws(StorageError) { try store.setSize(size) }
  func flush() throws(StorageError) {}
}

@Suite struct PowerCutTests {
  @Test func aFormatThatKeepsTheOrderLosesNothing() throws {
    try PowerCuts(CheckedSparse(), image: sparse(blocks: 64)).run(
      count: PowerCuts.count(normally: 200), seed: 1, PowerCuts.busyGuest(steps: 40, longest: 4))
  }

  /// What is flushed is there in every image, what is not may be missing.
  @Test func theImagesOfACutDifferOnlyInWhatWasNotFlushed() throws {
    let disk = PowerCutDisk()
    let store = disk.add("file", [UInt8](repeating: 1, count: 4096))
    try store.write(at: 0, [UInt8](repeating: 2, count: 1024))
    try store.flush()
    try store.write(at: 512, [UInt8](repeating: 3, count: 1024))
    try store.setSize(8192)
    try store.write(at: 7000, [UInt8](repeating: 4, count: 100))
    var cursor = PowerCutDisk.Cursor(disk)
    cursor.advance(to: disk.log.count)
    var random = PowerCutRandom(seed: 7)
    var (seen, sizes) = (Set<[UInt8]>(), Set<Int>())
    for _ in 0..<500 {
      let image = cursor.images(&random)[0]
      #expect(image[..<512].allSatisfy { $0 == 2 })
      #expect(image[1536..<4096].allSatisfy { $0 == 1 })
      seen.insert([image[512], image[1024], image.count > 7000 ? image[7000] : 9])
      sizes.insert(image.count)
    }
    #expect(sizes == [4096, 8192])
    // Each sector old or new, the last write there, absent, or without room.
    #expect(seen.count == 2 * 2 * 3)
  }

  @Test func aFormatThatDoesNotFlushIsCaught() throws {
    let disk = PowerCutDisk()
    let store = Unordered(disk.add("image", sparse(blocks: 64)))
    let context = PowerCuts.context(formats: withSparse) { _ in nil }
    let witness = try GuestWitness(try SparseFormat().open(store, context).device, disk)
    var random = PowerCutRandom(seed: 3)
    try PowerCuts.busyGuest(steps: 40, longest: 4)(witness, &random)
    var cursor = PowerCutDisk.Cursor(disk)
    var complaints = 0
    for cut in 0...disk.log.count {
      cursor.advance(to: cut)
      for _ in 0..<4 {
        let image = MemoryStore(cursor.images(&random)[0])
        let device = try? SparseFormat().open(image, context).device
        let found = try device.map { try witness.complaint(GuestWitness.hashes(of: $0), cut: cut) }
        if found != .some(nil) { complaints += 1 }
      }
    }
    #expect(complaints > 20)
  }
}
