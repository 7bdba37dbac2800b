// Ciphers and key derivation against published vectors.

import Testing

@testable import Storage

@Suite(.enabled(if: OpenSSL.isThere, "OpenSSL 3 is not installed")) struct CipherTests {
  private func bytes(_ hex: String) -> [UInt8] {
    let digits = Array(hex.filter { $0 != " " })
    return stride(from: 0, to: digits.count, by: 2).map {
      UInt8(String(digits[$0...$0 + 1]), radix: 16)!
    }
  }

  private func cipher(_ text: String, _ key: [UInt8], sectorSize: Int = 512) throws -> SectorCipher
  {
    let crypto = try OpenSSL.load(for: "test")
    let specification = try CipherSpecification.parse(text)
    return try key.withUnsafeBytes { key in
      try SectorCipher(specification, key: key, sectorSize: sectorSize, crypto, for: "test")
    }
  }

  /// IEEE 1619-2007, annex B, vector 2.
  @Test func xtsIsIEEE1619() throws {
    let cipher = try cipher(
      "aes-xts-plain64",
      [UInt8](repeating: 0x11, count: 16) + [UInt8](repeating: 0x22, count: 16), sectorSize: 32)
    var data = [UInt8](repeating: 0x44, count: 32)
    let clear = data
    var sealed = [UInt8](repeating: 0, count: 32)
    try sealed.withUnsafeMutableBytes { room in
      try data.withUnsafeBytes {
        try cipher.encrypt($0, into: room.baseAddress!, sector: 0x33_3333_3333)
      }
    }
    #expect(
      sealed == bytes("c454185e6a16936e39334038acef838b fb186fff7480adc4289382ecd6d394f0"))
    data = sealed
    try data.withUnsafeMutableBytes { try cipher.decrypt($0, sector: 0x33_3333_3333) }
    #expect(data == clear)
  }

  @Test(arguments: [
    "aes-xts-plain64", "aes-xts-plain", "aes-cbc-plain64", "aes-cbc-essiv:sha256",
    "aes-cbc-plain64be", "camellia-cbc-plain64", "aria-cbc-essiv:sha256",
  ])
  func eachSectorIsItsOwn(_ text: String) throws {
    for sectorSize in [512, 4096] {
      let cipher = try cipher(text, (0..<32).map { UInt8($0) }, sectorSize: sectorSize)
      let data = [UInt8](repeating: 7, count: 8192)
      var sealed = [UInt8](repeating: 0, count: 8192)
      try sealed.withUnsafeMutableBytes { room in
        try data.withUnsafeBytes { try cipher.encrypt($0, into: room.baseAddress!, sector: 5) }
      }
      #expect(sealed[..<sectorSize] != sealed[sectorSize..<sectorSize * 2])
      // One alone, by its own number.
      var one = Array(sealed[sectorSize..<sectorSize * 2])
      try one.withUnsafeMutableBytes {
        try cipher.decrypt($0, sector: 5 + UInt64(sectorSize / 512))
      }
      #expect(one == Array(data[..<sectorSize]))
    }
  }

  @Test(arguments: [
    "serpent-xts-plain64", "aes-xts", "aes-ecb-plain", "aes-xts-random", "", "aes-cbc-essiv:",
    "aes-xts-plain64-more", "\u{1B}[2J-xts-plain64", "camellia-xts-plain64", "aria-xts-plain",
  ])
  func whatIsNotKnownIsRefused(_ text: String) {
    #expect(throws: CipherRefusal.self) { try CipherSpecification.parse(text) }
  }

  /// `openssl list -cipher-algorithms` has XTS for AES of 128 and 256 bits only.
  @Test(arguments: ["camellia-128", "camellia-256", "aes-192"])
  func ciphersThatHaveNoXTSAreRefusedWithItAndMadeWithCBC(_ name: String) throws {
    let error = #expect(throws: StorageError.self) {
      try Secret.image(LUKSFormat(), size: 1 << 20, ["cipher-alg": name])
    }
    #expect(error?.isUsage == true && error?.reason.contains("no \(name) with xts") == true)
    let store = try Secret.image(
      LUKSFormat(), size: 1 << 20, ["cipher-alg": name, "cipher-mode": "cbc"])
    let device = try Secret.open(store)
    try device.write(block: 3, [UInt8](repeating: 7, count: 512))
    #expect(try device.bytes(at: 1536, count: 512) == [UInt8](repeating: 7, count: 512))
  }

  @Test func aCipherWithXTSThatOpenSSLDoesNotHaveIsCalledSo() {
    let error = #expect(throws: CipherRefusal.self) {
      try CipherSpecification.parse("camellia-xts-plain64")
    }
    #expect(error?.reason.contains("xts for aes alone") == true)
  }

  /// RFC 7914, section 11 (PBKDF2-HMAC-SHA-256).
  @Test func pbkdf2IsRFC7914() throws {
    let crypto = try OpenSSL.load(for: "test")
    let key = SecretBytes(count: 64)
    try KeyDerivation.pbkdf2(hash: "sha256", iterations: 1).derive(
      SecretBytes(Array("passwd".utf8)), salt: Array("salt".utf8), into: key, crypto, for: "test")
    #expect(
      key.copy
        == bytes(
          """
          55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc\
          49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783
          """))
    // The way that OpenSSL's derivations by name take their parameters.
    let other = SecretBytes(count: 64)
    let (word, salt) = (Array("passwd".utf8), Array("salt".utf8))
    #expect(
      word.withUnsafeBytes { word in
        salt.withUnsafeBytes { salt in
          crypto.derive(
            "PBKDF2",
            [
              .bytes("pass", word.baseAddress!, 6), .bytes("salt", salt.baseAddress!, 4),
              .text("digest", "SHA256"), .number("iter", 1), .number("pkcs5", 1),
            ], into: other.pointer, 64)
        }
      })
    #expect(other.copy == key.copy)
  }

  /// The test of the Argon2 reference, version 1.3.
  @Test(.enabled(if: Argon2.isThere, "libargon2 is not installed")) func argon2IsTheReference()
    throws
  {
    let crypto = try OpenSSL.load(for: "test")
    let key = SecretBytes(count: 32)
    try KeyDerivation.argon2(.argon2id, time: 2, memory: 65536, lanes: 1).derive(
      SecretBytes(Array("password".utf8)), salt: Array("somesalt".utf8), into: key, crypto,
      for: "test")
    #expect(
      key.copy
        == bytes("09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"))
    if crypto.hasDerivation("ARGON2ID") {
      let other = SecretBytes(count: 32)
      try Argon2.derive(
        .argon2id, SecretBytes(Array("password".utf8)), salt: Array("somesalt".utf8), time: 2,
        memory: 65536, lanes: 1, into: other.pointer, 32, crypto, for: "test", usesOpenSSL: true)
      #expect(other.copy == key.copy)
    } else {
      #expect(throws: StorageError.self) {
        try Argon2.derive(
          .argon2id, SecretBytes(Array("password".utf8)), salt: Array("somesalt".utf8), time: 2,
          memory: 65536, lanes: 1, into: key.pointer, 32, crypto, for: "test", usesOpenSSL: true)
      }
    }
  }

  @Test func splittingIsUndone() throws {
    let crypto = try OpenSSL.load(for: "test")
    for (count, name) in [(32, "sha256"), (64, "sha1"), (20, "sha512"), (33, "sha256")] {
      let hash = try Hash(name, crypto, for: "test")
      let key = SecretBytes((0..<count).map { UInt8($0 * 3 + 1) })
      let material = SecretBytes(count: count * 100)
      defer { withExtendedLifetime(material) {} }
      try crypto.random(material.pointer, material.count, for: "test")
      try AntiForensic.split(key, stripes: 100, into: material.buffer, hash, for: "test")
      let back = SecretBytes(count: count)
      try AntiForensic.merge(
        UnsafeRawBufferPointer(material.buffer), stripes: 100, into: back, hash, for: "test")
      #expect(back.copy == key.copy)
      material.buffer[count * 50] ^= 1
      try AntiForensic.merge(
        UnsafeRawBufferPointer(material.buffer), stripes: 100, into: back, hash, for: "test")
      #expect(back.copy != key.copy)
    }
  }
}
