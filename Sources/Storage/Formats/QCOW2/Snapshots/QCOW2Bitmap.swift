// Persistent dirty bitmaps of a QCOW2 file.
//
// Owns: reading their directory, and marking those as out of date that would have to follow what is written. Must not know: what they are for.
// After: QEMU, docs/interop/qcow2.txt, "Bitmaps extension", "Bitmap directory".

/// An entry of the bitmap directory.
struct QCOW2Bitmap {
  static let inUse: UInt64 = 1
  static let auto: UInt64 = 2

  var name: String
  var tableOffset: UInt64
  var tableSize: Int
  var flags: UInt64
  /// Where the flags are in the file.
  var flagsOffset: UInt64

  private static let mostDirectoryBytes: UInt64 = 64 << 20
  private static let mostTableEntries: UInt64 = 32 << 20 / 8

  /// All bitmaps of an image.
  static func directory(_ store: any ByteStore, _ header: QCOW2Header) throws(StorageError)
    -> [QCOW2Bitmap]
  {
    guard let place = header.bitmaps else {
      throw StorageError(
        path: store.name, offset: 88, reason: "has no bitmaps, but says that they are valid")
    }
    let layout = header.layout
    guard place.size <= min(mostDirectoryBytes, store.size), place.offset & layout.clusterMask == 0,
      place.offset <= store.size - place.size, place.count <= 65535
    else {
      throw StorageError(
        path: store.name, offset: place.offset,
        reason: "a bitmap directory of \(place.size) bytes cannot be here")
    }
    let bytes = BigEndianBytes(try store.bytes(at: place.offset, count: Int(place.size)))
    var found: [QCOW2Bitmap] = []
    var at = 0
    var entries: UInt64 = 0
    for number in 0..<place.count {
      func refuse() -> StorageError {
        StorageError(
          path: store.name, offset: place.offset + UInt64(at),
          reason: "bitmap \(number) cannot be so")
      }
      guard at + 24 <= bytes.bytes.count else { throw refuse() }
      let (offset, size) = (bytes.number(at, 8), bytes.number(at + 8, 4))
      let (nameLength, extra) = (Int(bytes.number(at + 18, 2)), Int(bytes.number(at + 20, 4)))
      entries += size
      guard entries <= mostTableEntries, offset & layout.clusterMask == 0, offset <= store.size,
        size * 8 <= store.size - offset, extra <= bytes.bytes.count,
        at + 24 + extra + nameLength <= bytes.bytes.count
      else { throw refuse() }
      let nameStart = at + 24 + extra
      found.append(
        QCOW2Bitmap(
          name: String(decoding: bytes.bytes[nameStart..<nameStart + nameLength], as: UTF8.self),
          tableOffset: offset, tableSize: Int(size), flags: bytes.number(at + 12, 4),
          flagsOffset: place.offset + UInt64(at) + 12))
      at += (24 + extra + nameLength + 7) & ~7
    }
    return found
  }
}

extension QCOW2Image {
  /// Bitmaps that are enabled would have to follow all writes: they are marked as not kept ("in_use"), so that nobody takes them for true; those
  /// that are disabled stay valid. What other autoclear bits mean is not known here, so they go.
  func prepareBitmaps() throws(StorageError) {
    guard header.version >= 3 else { return }
    var bits = header.autoclear & QCOW2Header.Autoclear.known
    if bits & QCOW2Header.Autoclear.bitmaps != 0 {
      do {
        for bitmap in try QCOW2Bitmap.directory(store, header)
        where bitmap.flags & QCOW2Bitmap.auto != 0 && bitmap.flags & QCOW2Bitmap.inUse == 0 {
          var flags = BigEndianBytes(count: 4)
          flags.put(bitmap.flags | QCOW2Bitmap.inUse, 0, 4)
          try store.write(at: bitmap.flagsOffset, flags.bytes)
        }
      } catch {
        bits &= ~QCOW2Header.Autoclear.bitmaps
      }
      try store.flush()
    }
    if bits == header.autoclear { return }
    try changeHeader { $0.autoclear = bits }
    try store.flush()
  }
}

extension QCOW2Header {
  /// No bitmap is valid any more, as when the disk's size changes.
  mutating func dropBitmaps() { autoclear &= ~Autoclear.bitmaps }
}
