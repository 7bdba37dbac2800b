// A store whose bytes are encrypted, sector by sector, by where they are in it.
//
// Owns: encrypting what is written and decrypting what is read, both in whole sectors. Must not know: formats, headers.
// After: QEMU, docs/interop/qcow2.txt, "Data encryption" (the physical disk sector is the input of the vector).

/// The guest's data of an image whose tables are not encrypted.
final class EncryptedStore: ByteStore {
  private let store: any ByteStore
  /// nil: there is no key, and nothing can be read.
  private let cipher: SectorCipher?
  private lazy var scratch = UnsafeMutableRawBufferPointer.allocate(
    byteCount: 256 << 10, alignment: 4096)
  private var hasScratch = false

  init(_ store: any ByteStore, _ cipher: SectorCipher?) {
    self.store = store
    self.cipher = cipher
  }

  deinit { if hasScratch { scratch.deallocate() } }

  var name: String { store.name }
  var size: UInt64 { store.size }
  var isWritable: Bool { store.isWritable && cipher != nil }
  var zeroesCheaply: Bool { store.zeroesCheaply }

  private func open(_ offset: UInt64, _ count: Int) throws(StorageError) -> SectorCipher {
    guard let cipher else { throw DiskKeys.missing(name) }
    guard offset & 511 == 0, count & 511 == 0 else {
      throw StorageError(
        path: name, offset: offset, reason: "encrypted bytes come in whole sectors")
    }
    return cipher
  }

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    let cipher = try open(offset, buffer.count)
    var done = 0
    while done < buffer.count {
      let count = min(256 << 10, buffer.count - done)
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
      try store.read(at: offset + UInt64(done), into: part)
      try cipher.decrypt(part, sector: (offset + UInt64(done)) / 512)
      done += count
    }
  }

  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    let cipher = try open(offset, buffer.count)
    hasScratch = true
    let room = scratch
    var done = 0
    while done < buffer.count {
      let count = min(room.count, buffer.count - done)
      try cipher.encrypt(
        UnsafeRawBufferPointer(rebasing: buffer[done..<done + count]), into: room.baseAddress!,
        sector: (offset + UInt64(done)) / 512)
      try store.write(
        at: offset + UInt64(done), from: UnsafeRawBufferPointer(rebasing: room[..<count]))
      done += count
    }
  }

  /// Room: what is in it afterwards decrypts to nothing that means anything, and is not shown.
  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try store.zero(at: offset, count: count, releasing: releasing)
  }

  func setSize(_ size: UInt64) throws(StorageError) { try store.setSize(size) }
  func flush() throws(StorageError) { try store.flush() }
  func nextData(from offset: UInt64) -> UInt64 { store.nextData(from: offset) }
  func nextHole(from offset: UInt64) -> UInt64 { store.nextHole(from: offset) }
  func mark() -> FileMark { store.mark() }
  func change(since mark: FileMark) -> String? { store.change(since: mark) }
  var displacement: String? { store.displacement }
  func shareLock() { store.shareLock() }
  func unlock() { store.unlock() }
  func lockAgain(exclusive: Bool) throws(StorageError) { try store.lockAgain(exclusive: exclusive) }
  func close() { store.close() }
}
