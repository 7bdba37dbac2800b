// New LUKS1 headers.
//
// Owns: the options, how many iterations a time is, the volume key, the first key slot. Must not know: passphrases' sources, where the disk is.
// After: LUKS1 On-Disk Format Specification 1.2.3, "Initialization of a new partition", "Adding a password"; the options are qemu-img's.

import Host

/// What is wished of a new header.
struct LUKSChoices {
  var cipher = CipherSpecification(cipher: "aes", chaining: "xts", vector: .plain64)
  var keySize = 64
  var hash = "sha256"
  /// Milliseconds that trying a passphrase takes on this host.
  var time: UInt64 = 2000

  /// - Parameter prefix: what stands before the options' names.
  static func options(prefix: String = "") -> [ImageOption] {
    [
      ImageOption(
        prefix + "cipher-alg", standard: "aes-256",
        values: "aes-128, aes-192, aes-256, camellia-128, camellia-192, camellia-256",
        help: "the cipher, with the bits of its key; camellia and aes-192 with cbc only"),
      ImageOption(
        prefix + "cipher-mode", standard: "xts", values: "xts, cbc",
        help: "how a sector is encrypted"),
      ImageOption(
        prefix + "ivgen-alg", standard: "plain64", values: "plain, plain64, essiv",
        help: "where a sector's initialization vector comes from"),
      ImageOption(
        prefix + "ivgen-hash-alg", standard: "sha256", values: "sha256, sha512, ...",
        help: "the hash of essiv"),
      ImageOption(
        prefix + "hash-alg", standard: "sha256", values: "sha1, sha256, sha512, ...",
        help: "the hash that keys are derived with"),
      ImageOption(
        prefix + "iter-time", standard: "2000", values: "1 to 60000",
        help: "milliseconds that trying a passphrase takes here"),
    ]
  }

  init(_ wish: ImageWish, _ file: String, prefix: String = "") throws(StorageError) {
    let reader = OptionReader(wish, file)
    let algorithm = try reader.word(
      prefix + "cipher-alg",
      ["aes-256", "aes-128", "aes-192", "camellia-256", "camellia-128", "camellia-192"])
    let mode = try reader.word(prefix + "cipher-mode", ["xts", "cbc"])
    let vector = try reader.word(
      prefix + "ivgen-alg", ["plain64", "plain", "essiv"])
    let parts = algorithm.split(separator: "-")
    let bits = Int(parts[1]) ?? 256
    keySize = bits / 8 * (mode == "xts" ? 2 : 1)
    if mode == "xts" && (bits == 192 || parts[0] != "aes") {
      throw StorageError.usage(
        file,
        "OpenSSL has no \(algorithm) with xts; there are aes-128 and aes-256, or \(prefix)cipher-mode=cbc"
      )
    }
    cipher.cipher = String(parts[0])
    cipher.chaining = mode
    switch vector {
    case "plain": cipher.vector = .plain
    case "essiv":
      cipher.vector = .essiv(hash: wish.options[prefix + "ivgen-hash-alg"] ?? "sha256")
    default: cipher.vector = .plain64
    }
    if let name = wish.options[prefix + "hash-alg"] { hash = name }
    if let text = wish.options[prefix + "iter-time"] {
      guard let time = UInt64(text), (1...60_000).contains(time) else {
        throw StorageError(
          path: file, reason: "option \(prefix)iter-time: '\(text)' is not one of 1 to 60000")
      }
      self.time = time
    }
  }
}

/// A header that was just made.
struct NewLUKS {
  let container: LUKSContainer
  /// Everything before the disk: the header and the places for keys.
  let header: [UInt8]
  let key: VolumeKey

  /// - Parameters:
  ///   - alignment: the disk begins at a multiple of it.
  ///   - uuid: 16 bytes.
  init(
    _ choices: LUKSChoices, passphrase: SecretBytes, uuid: [UInt8], alignment: UInt64,
    for file: String
  ) throws(StorageError) {
    let crypto = try OpenSSL.load(for: file)
    let hash = try Hash(choices.hash, crypto, for: file)
    let volume = SecretBytes(count: choices.keySize)
    defer { withExtendedLifetime(volume) {} }
    try crypto.random(volume.pointer, volume.count, for: file)
    // Refused by OpenSSL before anything is written, if it is.
    _ = try SectorCipher(
      choices.cipher, key: UnsafeRawBufferPointer(volume.buffer), crypto, for: file)

    let materialSize = (UInt64(choices.keySize) * UInt64(LUKSContainer.stripes) + 511) & ~511
    let stride = (materialSize + 4095) & ~4095
    func slotOffset(_ number: Int) -> UInt64 { 4096 + UInt64(number) * stride }
    let end = slotOffset(LUKS1Header.slotCount)
    let payload = (end + alignment - 1) / alignment * alignment

    let iterations = try NewLUKS.iterations(
      choices.time, hash, keySize: choices.keySize, crypto, for: file)
    // The digest is computed once for each slot that is tried: an eighth is little beside it.
    let digestIterations = max(1000, iterations / 8)
    let digestSalt = try crypto.random(32, for: file)
    let proof = SecretBytes(count: 20)
    defer { withExtendedLifetime(proof) {} }
    try KeyDerivation.pbkdf2(hash: choices.hash, iterations: digestIterations).derive(
      volume, salt: digestSalt, into: proof, crypto, for: file)

    let slot = LUKSContainer.Slot(
      number: 0, keySize: choices.keySize,
      derivation: .pbkdf2(hash: choices.hash, iterations: iterations),
      salt: try crypto.random(32, for: file), offset: slotOffset(0), size: materialSize,
      cipher: choices.cipher, areaKeySize: choices.keySize, stripes: LUKSContainer.stripes,
      hash: choices.hash, digest: 0)
    let material = SecretBytes(count: Int(materialSize))
    defer { withExtendedLifetime(material) {} }
    try crypto.random(material.pointer, choices.keySize * LUKSContainer.stripes, for: file)
    try AntiForensic.split(
      volume, stripes: LUKSContainer.stripes, into: material.buffer, hash, for: file)
    let slotKey = SecretBytes(count: choices.keySize)
    defer { withExtendedLifetime(slotKey) {} }
    try slot.derivation.derive(passphrase, salt: slot.salt, into: slotKey, crypto, for: file)
    let cipher = try SectorCipher(
      choices.cipher, key: UnsafeRawBufferPointer(slotKey.buffer), crypto, for: file)
    var header = [UInt8](repeating: 0, count: Int(payload))
    try StorageError.passing { failure in
      header.withUnsafeMutableBytes { buffer in
        do throws(StorageError) {
          try cipher.encrypt(
            UnsafeRawBufferPointer(material.buffer),
            into: buffer.baseAddress! + Int(slot.offset), sector: 0)
        } catch { failure = error }
      }
    }
    let container = LUKSContainer(
      version: 1, uuid: NewLUKS.text(uuid), cipher: choices.cipher, keySize: choices.keySize,
      payloadOffset: payload, slots: [slot],
      digests: [
        LUKSContainer.Digest(
          hash: choices.hash, iterations: digestIterations, salt: digestSalt,
          digest: proof.copy)
      ], slotCount: LUKS1Header.slotCount)
    let fields = LUKS1Header.bytes(container, slotOffset: slotOffset)
    header.replaceSubrange(0..<fields.count, with: fields)
    self.container = container
    self.header = header
    key = VolumeKey(volume, identity: container.uuid)
  }

  /// As in "01234567-89ab-cdef-0123-456789abcdef".
  private static func text(_ uuid: [UInt8]) -> String {
    let digits = uuid.map { String(UInt16($0) | 0x100, radix: 16).dropFirst() }.joined()
    var text = ""
    for (n, digit) in digits.enumerated() {
      if [8, 12, 16, 20].contains(n) { text.append("-") }
      text.append(digit)
    }
    return text
  }

  /// How many iterations take so many milliseconds of a processor here.
  private static func iterations(
    _ time: UInt64, _ hash: Hash, keySize: Int, _ crypto: OpenSSL, for file: String
  ) throws(StorageError) -> UInt64 {
    let sample = SecretBytes(count: 16)
    defer { withExtendedLifetime(sample) {} }
    let key = SecretBytes(count: keySize)
    defer { withExtendedLifetime(key) {} }
    var rounds: UInt64 = 2000
    while true {
      let start = HostClock.threadNanoseconds()
      try KeyDerivation.pbkdf2(hash: hash.name, iterations: rounds).derive(
        sample, salt: Array(repeating: 0, count: 32), into: key, crypto, for: file)
      let taken = max(1, HostClock.threadNanoseconds() - start)
      // Long enough for the clock.
      if taken >= min(100_000_000, time * 1_000_000 / 4) || rounds >= 1 << 24 {
        let (high, low) = (rounds * time).multipliedFullWidth(by: 1_000_000)
        let count =
          high >= taken ? UInt64(Int32.max) : taken.dividingFullWidth((high, low)).quotient
        return min(max(1000, count), 50_000_000)
      }
      rounds *= 4
    }
  }
}

extension LUKSFormat: CreatableFormat {
  public var options: [ImageOption] {
    LUKSChoices.options() + [
      ImageOption(
        "preallocation", standard: "off", values: "off, falloc, full",
        help: "whether the file's room is taken at once (falloc), and zeros are written (full)")
    ]
  }

  public var limits: ImageLimits {
    ImageLimits(
      largest: UInt64(Int64.max) & ~511 - 1 << 30,
      provisionings: [.thin, .thickLazy, .thickEager])
  }

  /// What was never written is what the file's zeros decrypt to.
  public var newImagesAreZeros: Bool { false }

  public func create(_ store: any ByteStore, _ wish: ImageWish, _ context: ImageContext)
    throws(StorageError)
  {
    let choices = try LUKSChoices(wish, store.name)
    var provisioning = wish.provisioning
    if wish.options["preallocation"] != nil {
      let ways = ["off": Provisioning.thin, "falloc": .thickLazy, "full": .thickEager]
      let way = try OptionReader(wish, store.name).word("preallocation", ["off", "falloc", "full"])
      provisioning = ways[way] ?? .thin
    }
    guard let source = wish.key else {
      throw StorageError(
        path: store.name,
        reason:
          "a new encrypted image needs a passphrase, from --new-key-file, --new-key-ring or a "
          + "terminal")
    }
    let new = try NewLUKS(
      choices, passphrase: try source.passphrase(for: store.name, isNew: true), uuid: wish.uuid(),
      alignment: 1 << 20, for: store.name)
    let start = new.container.payloadOffset
    try store.setSize(start + wish.byteCount)
    if provisioning == .thickLazy {
      try store.zero(at: start, count: wish.byteCount, releasing: false)
    } else if provisioning == .thickEager {
      let image = try LUKSImage(store, new.container, key: new.key)
      try image.writeAsZeros(0, image.blockCount)
    }
    // It is a container as soon as it has its first sector.
    try store.write(at: 512, Array(new.header[512...]))
    try store.flush()
    try store.write(at: 0, Array(new.header[..<512]))
    try store.flush()
    context.keys?.remember(new.key, proof: new.container.proof)
  }
}
