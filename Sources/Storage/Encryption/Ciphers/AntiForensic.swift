// A key spread over so many bytes that losing a few of them loses it.
//
// Owns: merging and splitting. Must not know: headers, where the bytes are.
// After: LUKS1 On-Disk Format Specification 1.2.3, "Anti-forensic splitter" (AFsplit, AFmerge, with the hash as diffusion).

enum AntiForensic {
  /// `stripes` runs of `key.count` bytes become the key.
  static func merge(
    _ material: UnsafeRawBufferPointer, stripes: Int, into key: SecretBytes, _ hash: Hash,
    for file: String
  ) throws(StorageError) {
    let count = key.count
    key.buffer.initializeMemory(as: UInt8.self, repeating: 0)
    for stripe in 0..<stripes {
      xor(material.baseAddress! + stripe * count, key)
      if stripe < stripes - 1 { try diffuse(key, hash, for: file) }
    }
  }

  /// The key becomes `stripes` runs of its length; `material` holds random bytes, of which the last run is replaced.
  static func split(
    _ key: SecretBytes, stripes: Int, into material: UnsafeMutableRawBufferPointer, _ hash: Hash,
    for file: String
  ) throws(StorageError) {
    let count = key.count
    let sum = SecretBytes(count: count)
    defer { withExtendedLifetime(sum) {} }
    for stripe in 0..<stripes - 1 {
      xor(material.baseAddress! + stripe * count, sum)
      try diffuse(sum, hash, for: file)
    }
    xor(key.pointer, sum)
    (material.baseAddress! + (stripes - 1) * count).copyMemory(
      from: sum.pointer, byteCount: count)
  }

  private static func xor(_ bytes: UnsafeRawPointer, _ sum: SecretBytes) {
    let target = sum.pointer.assumingMemoryBound(to: UInt8.self)
    let source = bytes.assumingMemoryBound(to: UInt8.self)
    for n in 0..<sum.count { target[n] ^= source[n] }
  }

  /// Each piece of the hash's length becomes the hash of its number and itself.
  private static func diffuse(_ key: SecretBytes, _ hash: Hash, for file: String)
    throws(StorageError)
  {
    // On the stack, so that nothing is left in memory that others get: these functions run thousands of times.
    var failed = false
    withUnsafeTemporaryAllocation(byteCount: 4 + 64 + 64, alignment: 8) { room in
      let start = room.baseAddress!
      var at = 0
      var number: UInt32 = 0
      while at < key.count {
        let count = min(hash.size, key.count - at)
        start.storeBytes(of: number.bigEndian, as: UInt32.self)
        (start + 4).copyMemory(from: key.pointer + at, byteCount: count)
        if !hash.compute(UnsafeRawBufferPointer(start: start, count: 4 + count), into: start + 68) {
          failed = true
        }
        (key.pointer + at).copyMemory(from: start + 68, byteCount: count)
        at += count
        number += 1
      }
      SecretBytes.wipe(start, room.count)
    }
    if failed { throw StorageError(path: file, reason: "OpenSSL's \(hash.name) fails") }
  }
}
