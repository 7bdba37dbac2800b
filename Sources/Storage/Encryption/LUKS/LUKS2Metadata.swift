// What the JSON of a LUKS2 header says.
//
// Owns: its members with all their checks; the refusal of what is not done here. Must not know: devices, passphrases.
// After: LUKS2 On-Disk Format Specification 1.1.3, section 3 ("LUKS2 JSON metadata").

enum LUKS2Metadata {
  private static let mostSlots = 32

  static func container(_ copy: LUKS2Header.Copy, _ store: any ByteStore) throws(StorageError)
    -> LUKSContainer
  {
    let reader = LUKS2MetadataReader(file: store.name, header: copy.offset)
    let text = Array(copy.bytes[LUKS2Header.binarySize...].prefix { $0 != 0 })
    let json: LUKS2JSON
    do throws(LUKS2JSON.Refusal) { json = try LUKS2JSON.read(text) } catch {
      throw StorageError(
        path: store.name, offset: copy.offset + UInt64(LUKS2Header.binarySize + error.at),
        reason: "the LUKS2 header's JSON: \(error.reason)")
    }
    try reader.checkConfig(json["config"], copy)
    let segment = try reader.segment(json["segments"], store.size)
    let (digests, links) = try reader.digests(json["digests"], segment.number)
    let areaStart = UInt64(copy.bytes.count) * 2
    var slots: [LUKSContainer.Slot] = []
    var warnings: [String] = []
    let all = try reader.need(json["keyslots"]?.numbered, "keyslots")
    guard all.count <= mostSlots else { throw reader.refuse("\(all.count) key slots") }
    for (number, value) in all {
      // Others, of an encryption under way, were refused by what they need of programs.
      guard value["type"]?.string == "luks2" else {
        warnings.append("key slot \(number) is of a kind that is not known")
        continue
      }
      guard let digest = links[number] else {
        // Without a digest for the disk it holds another key.
        continue
      }
      guard value["priority"]?.unsigned != 0 else { continue }
      var slot = try reader.slot(number, value)
      slot.digest = digest
      guard slot.offset >= areaStart, slot.offset <= segment.offset,
        slot.size <= segment.offset - slot.offset
      else {
        throw reader.refuse(
          "key slot \(number) has its key at \(slot.offset), in \(slot.size) bytes, outside of its area"
        )
      }
      if let other = slots.first(where: {
        $0.offset < slot.offset + slot.size && slot.offset < $0.offset + $0.size
      }) {
        throw reader.refuse("key slots \(other.number) and \(number) have their keys in one place")
      }
      slots.append(slot)
    }
    let keySizes = Set(slots.map(\.keySize))
    guard keySizes.count <= 1 else { throw reader.refuse("key slots with keys of several sizes") }
    // Nothing opens a disk without slots, but it can be told of.
    let keySize = keySizes.first ?? (segment.cipher.chaining == "xts" ? 64 : 32)
    guard segment.cipher.bits(keySize) != nil else {
      throw reader.refuse("\(segment.cipher.text) has no keys of \(keySize) bytes")
    }
    return LUKSContainer(
      version: 2, uuid: copy.uuid, label: copy.label, cipher: segment.cipher, keySize: keySize,
      payloadOffset: segment.offset, payloadSize: segment.size, sectorSize: segment.sectorSize,
      ivTweak: segment.ivTweak, slots: slots, digests: digests, slotCount: mostSlots,
      warnings: warnings)
  }
}

/// The members one by one.
struct LUKS2MetadataReader {
  let file: String
  /// Where the header is.
  let header: UInt64

  func refuse(_ reason: String) -> StorageError {
    StorageError(
      path: file, offset: header + UInt64(LUKS2Header.binarySize),
      reason: "the LUKS2 header's JSON: \(reason)")
  }

  func need<Value>(_ value: Value?, _ what: String) throws(StorageError) -> Value {
    guard let value else { throw refuse("'\(what)' is missing, or is not what it should be") }
    return value
  }

  private func number(_ json: LUKS2JSON?, _ what: String, _ range: ClosedRange<UInt64>)
    throws(StorageError) -> UInt64
  {
    let value = try need(json?.unsigned, what)
    guard range.contains(value) else { throw refuse("'\(what)' is \(value)") }
    return value
  }

  private func cipher(_ json: LUKS2JSON?, _ what: String) throws(StorageError)
    -> CipherSpecification
  {
    do throws(CipherRefusal) {
      return try CipherSpecification.parse(json?.string ?? "")
    } catch { throw refuse("\(what): \(error.reason)") }
  }

  func checkConfig(_ config: LUKS2JSON?, _ copy: LUKS2Header.Copy) throws(StorageError) {
    let size = try number(config?["json_size"], "config.json_size", 0...(4 << 20))
    guard size == UInt64(copy.bytes.count - LUKS2Header.binarySize) else {
      throw refuse("'config.json_size' is \(size), but there are \(copy.bytes.count - 4096) bytes")
    }
    for need in config?["requirements"]?["mandatory"]?.items ?? [] {
      let name = CipherSpecification.harmless(need.string ?? "?")
      throw refuse(
        "needs what is not known here: '\(name)'"
          + (name.hasPrefix("online-reencrypt") || name.hasPrefix("offline-reencrypt")
            ? " (an encryption of the disk was begun and not finished; cryptsetup reencrypt does that)"
            : ""))
    }
  }

  struct Segment {
    var number: Int
    var offset: UInt64
    var size: UInt64?
    var sectorSize: Int
    var ivTweak: UInt64
    var cipher: CipherSpecification
  }

  /// The only part that the disk may have.
  func segment(_ json: LUKS2JSON?, _ fileSize: UInt64) throws(StorageError) -> Segment {
    let all = try need(json?.numbered, "segments")
    guard all.count == 1, let (number, value) = all.first else {
      throw refuse("the disk has \(all.count) segments; one is known")
    }
    guard value["type"]?.string == "crypt" else {
      let kind = CipherSpecification.harmless(value["type"]?.string ?? "?")
      throw refuse("a segment of the type '\(kind)'; 'crypt' is known")
    }
    if value["integrity"] != nil {
      throw refuse("the disk has integrity tags (dm-integrity), which are not known here")
    }
    if let flags = value["flags"]?.items, !flags.isEmpty { throw refuse("a segment with flags") }
    let offset = try quantity(value["offset"], "segments.offset")
    let sectorSize = try self.number(value["sector_size"], "segments.sector_size", 512...4096)
    guard sectorSize & (sectorSize - 1) == 0 else { throw refuse("sectors of \(sectorSize) bytes") }
    guard offset % 512 == 0, offset <= fileSize else {
      throw refuse("the disk begins at \(offset), in a file of \(fileSize) bytes")
    }
    var size: UInt64?
    if value["size"]?.string != "dynamic" {
      let fixed = try quantity(value["size"], "segments.size")
      guard fixed > 0, fixed % sectorSize == 0, fixed <= fileSize - offset else {
        throw refuse("the disk has \(fixed) bytes at \(offset), in a file of \(fileSize) bytes")
      }
      size = fixed
    }
    return Segment(
      number: number, offset: offset, size: size, sectorSize: Int(sectorSize),
      ivTweak: try quantity(value["iv_tweak"], "segments.iv_tweak"),
      cipher: try cipher(value["encryption"], "segments.encryption"))
  }

  private func quantity(_ json: LUKS2JSON?, _ what: String) throws(StorageError) -> UInt64 {
    try number(json, what, 0...UInt64(Int64.max))
  }

  /// The digests that prove the disk's key, and which of them is which slot's.
  func digests(_ json: LUKS2JSON?, _ segment: Int) throws(StorageError) -> (
    [LUKSContainer.Digest], [Int: Int]
  ) {
    var digests: [LUKSContainer.Digest] = []
    var links: [Int: Int] = [:]
    for (number, value) in try need(json?.numbered, "digests") {
      guard (value["segments"]?.items ?? []).contains(where: { $0.unsigned == UInt64(segment) })
      else { continue }
      guard value["type"]?.string == "pbkdf2" else { throw refuse("digest \(number) is no pbkdf2") }
      let salt = try need(value["salt"]?.base64, "digests.salt")
      let digest = try need(value["digest"]?.base64, "digests.digest")
      guard (1...64).contains(digest.count), (1...256).contains(salt.count) else {
        throw refuse("digest \(number) is of \(digest.count) bytes, its salt of \(salt.count)")
      }
      for slot in value["keyslots"]?.items ?? [] {
        guard let slot = slot.unsigned, slot < 1024 else { throw refuse("a digest of no key slot") }
        links[Int(slot)] = digests.count
      }
      digests.append(
        LUKSContainer.Digest(
          hash: try need(value["hash"]?.string, "digests.hash"),
          iterations: try self.number(
            value["iterations"], "digests.iterations", 1...UInt64(Int32.max)), salt: salt,
          digest: digest))
    }
    return (digests, links)
  }

  func slot(_ number: Int, _ value: LUKS2JSON) throws(StorageError) -> LUKSContainer.Slot {
    let what = "keyslots.\(number)"
    let keySize = try self.number(
      value["key_size"], "\(what).key_size", 1...UInt64(LUKSContainer.longestKey))
    let (area, splitter, kdf) = (value["area"], value["af"], value["kdf"])
    guard area?["type"]?.string == "raw" else { throw refuse("\(what): an area that is not raw") }
    guard splitter?["type"]?.string == "luks1" else {
      throw refuse("\(what): a splitter that is not known")
    }
    let stripes = try self.number(splitter?["stripes"], "\(what).af.stripes", 4000...4000)
    let areaKeySize = try self.number(
      area?["key_size"], "\(what).area.key_size", 1...UInt64(LUKSContainer.longestKey))
    let areaCipher = try cipher(area?["encryption"], "\(what).area.encryption")
    guard areaCipher.bits(Int(areaKeySize)) != nil else {
      throw refuse("\(what): \(areaCipher.text) has no keys of \(areaKeySize) bytes")
    }
    let salt = try need(kdf?["salt"]?.base64, "\(what).kdf.salt")
    guard (8...256).contains(salt.count) else {
      throw refuse("\(what): a salt of \(salt.count) bytes")
    }
    let derivation: KeyDerivation
    switch kdf?["type"]?.string {
    case "pbkdf2":
      derivation = .pbkdf2(
        hash: try need(kdf?["hash"]?.string, "\(what).kdf.hash"),
        iterations: try self.number(
          kdf?["iterations"], "\(what).kdf.iterations", 1...UInt64(Int32.max)))
    case "argon2i", "argon2id":
      derivation = .argon2(
        kdf?["type"]?.string == "argon2i" ? .argon2i : .argon2id,
        time: try self.number(kdf?["time"], "\(what).kdf.time", 1...UInt64(UInt32.max)),
        memory: try self.number(kdf?["memory"], "\(what).kdf.memory", 32...(4 << 20)),
        lanes: try self.number(kdf?["cpus"], "\(what).kdf.cpus", 1...64))
    default:
      let name = CipherSpecification.harmless(kdf?["type"]?.string ?? "?")
      throw refuse("\(what): a key derivation '\(name)'; pbkdf2, argon2i and argon2id are known")
    }
    var slot = LUKSContainer.Slot(
      number: number, keySize: Int(keySize), derivation: derivation, salt: salt,
      offset: try quantity(area?["offset"], "\(what).area.offset"),
      size: try quantity(area?["size"], "\(what).area.size"), cipher: areaCipher,
      areaKeySize: Int(areaKeySize), stripes: Int(stripes),
      hash: try need(splitter?["hash"]?.string, "\(what).af.hash"), digest: 0)
    if value["priority"]?.unsigned == 2 { slot.order = 0 }
    guard slot.materialSize <= slot.size else {
      throw refuse("\(what): an area of \(slot.size) bytes for \(slot.materialSize)")
    }
    return slot
  }
}
