// What a QCOW2 overlay knows of its base, in a header extension of its own.
//
// Owns: the extension's bytes. Must not know: what a record says.
// After: QEMU, docs/interop/qcow2.txt, "Header extensions": those that a program does not know it leaves alone.
//
// In the image it goes where the image goes; a file beside it is lost when the image is copied. Where the first sector has no room (clusters
// of 512 bytes with long names, many layers), the file beside it has to do.

extension QCOW2Image: BaseRecordingDevice {
  /// "APUS".
  static let recordExtension: UInt64 = 0x4150_5553

  /// The record is that of this base, and whole: another program may have given the image another base.
  private func seal(_ bytes: [UInt8]) -> [UInt8] {
    var sum = SHA256()
    sum.add(bytes)
    sum.add(Array((header.backingName ?? "").utf8))
    return Array(sum.finish().prefix(8))
  }

  public var baseRecord: [UInt8]? {
    guard header.backingName != nil, let bytes = try? store.bytes(at: 0, count: 4096) else {
      return nil
    }
    let head = BigEndianBytes(bytes)
    let length = header.version == 2 ? 72 : Int(head.number(100, 4))
    guard length < bytes.count else { return nil }
    let found = QCOW2Rebasing.extensions(head, from: length).0.first {
      $0.kind == QCOW2Image.recordExtension
    }
    guard let data = found?.data, data.count > 8 else { return nil }
    let record = Array(data.dropLast(8))
    return seal(record) == Array(data.suffix(8)) ? record : nil
  }

  public func setBaseRecord(_ bytes: [UInt8]?) throws(StorageError) -> Bool {
    guard let name = header.backingName else { return bytes == nil }
    if bytes == nil && baseRecord == nil { return true }
    if isReadOnly { throw StorageError(path: self.name, reason: "the image is write-protected") }
    return try QCOW2Rebasing.write(
      store, name: Array(name.utf8), formatName: header.backingFormat.map { Array($0.utf8) },
      record: bytes.map { $0 + seal($0) })
  }
}
