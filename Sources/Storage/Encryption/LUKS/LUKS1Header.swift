// The header of LUKS1.
//
// Owns: reading it with all its checks, and writing it. Must not know: devices, passphrases.
// After: LUKS1 On-Disk Format Specification 1.2.3, "Partition header" (phdr), "Key slot".

enum LUKS1Header {
  static let size = 592
  static let slotCount = 8
  private static let slotsAt = 208
  private static let slotSize = 48
  private static let active: UInt32 = 0x00AC_71F3
  private static let inactive: UInt32 = 0x0000_DEAD

  /// Reads the header.
  /// - Parameters:
  ///   - base: where it begins in the store.
  ///   - limit: bytes that belong to it, where it is inside another format; nil: as many as the store has, and the payload lies in it.
  static func read(_ store: any ByteStore, at base: UInt64 = 0, limit: UInt64? = nil)
    throws(StorageError) -> LUKSContainer
  {
    let fields = Fields(try store.bytes(at: base, count: min(size, Int(clamping: limit ?? .max))))
    func refuse(_ at: Int, _ reason: String) -> StorageError {
      StorageError(path: store.name, offset: base + UInt64(at), reason: reason)
    }
    guard fields.count == size, fields.bytes.starts(with: LUKSContainer.magic) else {
      throw refuse(0, "is no LUKS header, or one that is cut short")
    }
    let version: UInt16 = fields.big(6)
    guard version == 1 else { throw refuse(6, "is a LUKS header of version \(version), not 1") }
    func text(_ at: Int, _ count: Int) throws(StorageError) -> String {
      let bytes = fields.bytes[at..<at + count].prefix { $0 != 0 }
      guard bytes.count < count, bytes.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else {
        throw refuse(at, "a name of other characters than letters and digits, or without an end")
      }
      return String(decoding: bytes, as: UTF8.self)
    }
    let mode = try text(40, 32)
    let hash = try text(72, 32)
    let cipher: CipherSpecification
    do throws(CipherRefusal) {
      cipher = try CipherSpecification.parse(try joined(try? text(8, 32), mode))
    } catch { throw refuse(8, error.reason) }
    let keySize = Int(fields.big(108, as: UInt32.self))
    guard keySize <= LUKSContainer.longestKey, cipher.bits(keySize) != nil else {
      throw refuse(108, "\(cipher.text) has no keys of \(keySize) bytes")
    }
    let payload = UInt64(fields.big(104, as: UInt32.self)) * 512
    let whole = limit ?? store.size - min(base, store.size)
    if limit == nil {
      guard payload >= UInt64(size), payload <= whole else {
        throw refuse(
          104,
          payload == 0
            ? "the header of a disk that is elsewhere (detached)"
            : "the disk begins at \(payload), in a file of \(whole) bytes")
      }
    }
    let iterations = UInt64(fields.big(164, as: UInt32.self))
    guard iterations > 0, iterations <= UInt64(Int32.max) else {
      throw refuse(164, "a digest of \(iterations) iterations")
    }
    let end = limit ?? payload
    var slots: [LUKSContainer.Slot] = []
    for number in 0..<slotCount {
      let at = slotsAt + number * slotSize
      let state: UInt32 = fields.big(at)
      if state == inactive { continue }
      guard state == active else {
        throw refuse(at, "key slot \(number) is neither in use nor free")
      }
      let rounds = UInt64(fields.big(at + 4, as: UInt32.self))
      guard rounds > 0, rounds <= UInt64(Int32.max) else {
        throw refuse(at + 4, "key slot \(number) has \(rounds) iterations")
      }
      let stripes: UInt32 = fields.big(at + 44)
      guard stripes == LUKSContainer.stripes else {
        throw refuse(at + 44, "key slot \(number) has \(stripes) stripes instead of 4000")
      }
      let offset = UInt64(fields.big(at + 40, as: UInt32.self)) * 512
      let slot = LUKSContainer.Slot(
        number: number, keySize: keySize, derivation: .pbkdf2(hash: hash, iterations: rounds),
        salt: Array(fields.bytes[at + 8..<at + 40]), offset: offset,
        size: (UInt64(keySize) * 4000 + 511) & ~511, cipher: cipher, areaKeySize: keySize,
        stripes: Int(stripes), hash: hash, digest: 0)
      guard offset >= UInt64(size), offset <= end, slot.size <= end - offset else {
        throw refuse(
          at + 40,
          "key slot \(number) has its key at \(offset), outside of the header's \(end) bytes")
      }
      if let other = slots.first(where: {
        $0.offset < offset + slot.size && offset < $0.offset + $0.size
      }) {
        throw refuse(
          at + 40, "key slots \(other.number) and \(number) have their keys in one place")
      }
      slots.append(slot)
    }
    let digest = LUKSContainer.Digest(
      hash: hash, iterations: iterations, salt: Array(fields.bytes[132..<164]),
      digest: Array(fields.bytes[112..<132]))
    return LUKSContainer(
      version: 1, uuid: try text(168, 40), cipher: cipher, keySize: keySize, payloadOffset: payload,
      slots: slots, digests: [digest], slotCount: slotCount)
  }

  private static func joined(_ cipher: String?, _ mode: String) throws(CipherRefusal) -> String {
    guard let cipher else { throw CipherRefusal(reason: "the cipher has no name") }
    // An old way to write "cbc-plain", and ciphers that take no vector.
    return mode.contains("-") ? "\(cipher)-\(mode)" : "\(cipher)-\(mode)-plain"
  }

  /// The bytes of a header; all slots that are not in it are free, with the places that `offset` says.
  static func bytes(_ container: LUKSContainer, slotOffset: (Int) -> UInt64) -> [UInt8] {
    var fields = Fields(count: size)
    func put(_ at: Int, _ text: String) {
      fields.bytes.replaceSubrange(at..<at + text.utf8.count, with: text.utf8)
    }
    fields.bytes.replaceSubrange(0..<6, with: LUKSContainer.magic)
    fields.setBig(6, UInt16(1))
    put(8, container.cipher.cipher)
    put(40, String(container.cipher.text.dropFirst(container.cipher.cipher.count + 1)))
    put(72, container.digests[0].hash)
    fields.setBig(104, UInt32(container.payloadOffset / 512))
    fields.setBig(108, UInt32(container.keySize))
    fields.bytes.replaceSubrange(112..<132, with: container.digests[0].digest)
    fields.bytes.replaceSubrange(132..<164, with: container.digests[0].salt)
    fields.setBig(164, UInt32(container.digests[0].iterations))
    put(168, container.uuid)
    for number in 0..<slotCount {
      let at = slotsAt + number * slotSize
      fields.setBig(at, inactive)
      fields.setBig(at + 40, UInt32(slotOffset(number) / 512))
      fields.setBig(at + 44, UInt32(LUKSContainer.stripes))
      guard let slot = container.slots.first(where: { $0.number == number }),
        case .pbkdf2(_, let iterations) = slot.derivation
      else { continue }
      fields.setBig(at, active)
      fields.setBig(at + 4, UInt32(iterations))
      fields.bytes.replaceSubrange(at + 8..<at + 40, with: slot.salt)
    }
    return fields.bytes
  }
}
