// The two headers of LUKS2.
//
// Owns: reading both, which of them counts, writing one over the other where that is damaged. Must not know: what the JSON in them means.
// After: LUKS2 On-Disk Format Specification 1.1.3, section 2 ("LUKS2 On-Disk Format").

/// What was found of the headers.
struct LUKS2Header {
  /// One of the two copies.
  struct Copy {
    var offset: UInt64
    /// The whole of it, binary part and JSON.
    var bytes: [UInt8]
    var sequence: UInt64
    var uuid: String
    var label: String
  }

  static let binarySize = 4096
  /// What a header can have as its size, which is where the second one begins.
  static let sizes: [UInt64] = (0...8).map { 0x4000 << UInt64($0) }
  static let secondMagic: [UInt8] = Array("SKUL".utf8) + [0xBA, 0xBE]

  /// The copy that counts.
  var current: Copy
  var container: LUKSContainer
  /// The first and the second one, as far as they are whole, and otherwise why they are not.
  var copies: [Result<Copy, StorageError>]

  var size: UInt64 { UInt64(current.bytes.count) }
  /// Whether one copy is damaged or older.
  var needsRepair: Bool {
    copies.contains {
      if case .success(let copy) = $0 { copy.sequence != current.sequence } else { true }
    }
  }

  static func read(_ store: any ByteStore) throws(StorageError) -> LUKS2Header {
    var copies: [Result<Copy, StorageError>] = []
    func attempt(_ offset: UInt64) -> Result<Copy, StorageError> {
      do throws(StorageError) { return .success(try copy(store, at: offset)) } catch {
        return .failure(error)
      }
    }
    let first = attempt(0)
    copies.append(first)
    if case .success(let copy) = first {
      copies.append(attempt(UInt64(copy.bytes.count)))
    } else {
      // Where the second one is only the first could say.
      let found = sizes.lazy.map { attempt($0) }.first {
        if case .success = $0 { true } else { false }
      }
      copies.append(
        found ?? .failure(StorageError(path: store.name, reason: "has no second LUKS2 header")))
    }
    let whole = copies.compactMap { try? $0.get() }
    guard let current = whole.max(by: { $0.sequence < $1.sequence }) else {
      // What is wrong with the first says more.
      if case .failure(let error) = first { throw error }
      throw StorageError(path: store.name, reason: "has no LUKS2 header that is whole")
    }
    // Of equal ones the first.
    let chosen = whole.first { $0.sequence == current.sequence } ?? current
    var container = try LUKS2Metadata.container(chosen, store)
    for (n, copy) in copies.enumerated() {
      switch copy {
      case .failure(let error):
        container.warnings.append(
          "the \(n == 0 ? "first" : "second") of the two LUKS2 headers is damaged (\(error.reason)); "
            + "a repair restores it")
      case .success(let copy):
        if copy.sequence != chosen.sequence {
          container.warnings.append(
            "the \(n == 0 ? "first" : "second") of the two LUKS2 headers is older; a repair renews it"
          )
        }
      }
    }
    return LUKS2Header(current: chosen, container: container, copies: copies)
  }

  private static func copy(_ store: any ByteStore, at offset: UInt64) throws(StorageError) -> Copy {
    let fields = Fields(try store.bytes(at: offset, count: binarySize))
    func refuse(_ at: Int, _ reason: String) -> StorageError {
      StorageError(path: store.name, offset: offset + UInt64(at), reason: reason)
    }
    guard fields.count == binarySize,
      fields.bytes.starts(with: offset == 0 ? LUKSContainer.magic : secondMagic)
    else { throw refuse(0, "there is no LUKS2 header") }
    let version: UInt16 = fields.big(6)
    guard version == 2 else { throw refuse(6, "is a LUKS header of version \(version), not 2") }
    let size: UInt64 = fields.big(8)
    guard sizes.contains(size), size <= store.size, offset <= store.size - size,
      offset == 0 || offset == size
    else { throw refuse(8, "a LUKS2 header of \(size) bytes") }
    let place: UInt64 = fields.big(256)
    guard place == offset else { throw refuse(256, "a LUKS2 header that says it is at \(place)") }
    func text(_ at: Int, _ count: Int) -> String {
      CipherSpecification.harmless(
        String(decoding: fields.bytes[at..<at + count].prefix { $0 != 0 }, as: UTF8.self))
    }
    let bytes = try store.bytes(at: offset, count: Int(size))
    guard bytes.count == Int(size) else { throw refuse(8, "is cut short") }
    let sum = try checksum(bytes, text(72, 32), store.name)
    guard sum.count <= 64, Array(bytes[448..<448 + sum.count]) == sum else {
      throw refuse(448, "the LUKS2 header's checksum does not fit")
    }
    return Copy(
      offset: offset, bytes: bytes, sequence: fields.big(16), uuid: text(168, 40),
      label: text(24, 48))
  }

  /// Of a header, its own checksum counted as zeros.
  private static func checksum(_ bytes: [UInt8], _ algorithm: String, _ file: String)
    throws(StorageError) -> [UInt8]
  {
    var bytes = bytes
    bytes.replaceSubrange(448..<512, with: repeatElement(0, count: 64))
    if algorithm == "sha256" { return SHA256.hash(bytes) }
    let hash = try Hash(algorithm, try OpenSSL.load(for: file), for: file)
    var sum = [UInt8](repeating: 0, count: hash.size)
    let isDone = bytes.withUnsafeBytes { bytes in
      sum.withUnsafeMutableBytes { hash.compute(bytes, into: $0.baseAddress!) }
    }
    if !isDone { throw StorageError(path: file, reason: "OpenSSL's \(algorithm) fails") }
    return sum
  }

  /// Writes the copy that counts to where the other is damaged or older.
  func repair(_ store: any ByteStore) throws(StorageError) {
    guard needsRepair else { return }
    let offset = current.offset == 0 ? size : 0
    var bytes = current.bytes
    bytes.replaceSubrange(
      0..<6, with: offset == 0 ? LUKSContainer.magic : LUKS2Header.secondMagic)
    var fields = Fields(bytes)
    fields.setBig(256, offset)
    let name = String(decoding: bytes[72..<104].prefix { $0 != 0 }, as: UTF8.self)
    let sum = try LUKS2Header.checksum(fields.bytes, name, store.name)
    fields.bytes.replaceSubrange(448..<512, with: repeatElement(0, count: 64))
    fields.bytes.replaceSubrange(448..<448 + sum.count, with: sum)
    try store.write(at: offset, fields.bytes)
    try store.flush()
  }
}
