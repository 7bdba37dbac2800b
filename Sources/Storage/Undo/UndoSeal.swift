// How an undo log is sealed.
//
// Owns: the keys of one log, the numbers of its records, what is authenticated with them. Must not know: where records are in the file, when
// one is written.
//
// A number is never used again, not even where a record could not be written and another takes its place: two messages under one number
// would tell their difference.

/// Seals and opens the records of one log. Used by one thread at a time.
final class UndoSeal {
  private static let purpose = "apus undo log: contents"
  /// How much longer a record is: its number, and a tag.
  static let overhead = 8 + MessageCipher.tagSize

  let salt: [UInt8]
  let proof: [UInt8]
  /// nil: the log is only read.
  private let sealing: MessageCipher?
  private let opening: MessageCipher
  private var number: UInt64 = 0

  /// A new log's.
  init(_ secret: ContentSecret, for file: String) throws(StorageError) {
    salt = try secret.random(32, for: file)
    proof = try secret.proof("apus undo log: proof", salt: salt, for: file)
    sealing = try secret.cipher(UndoSeal.purpose, salt: salt, encrypts: true, for: file)
    opening = try secret.cipher(UndoSeal.purpose, salt: salt, encrypts: false, for: file)
  }

  /// That of a log that is there.
  /// - Throws: when it is not sealed, or by another secret.
  init(_ secret: ContentSecret, _ header: UndoHeader, for file: String) throws(StorageError) {
    guard header.isSealed else {
      throw StorageError(path: file, offset: 48, reason: "the undo log is not sealed, as it was")
    }
    salt = header.salt
    proof = try secret.proof("apus undo log: proof", salt: salt, for: file)
    sealing = nil
    opening = try secret.cipher(UndoSeal.purpose, salt: salt, encrypts: false, for: file)
    if proof != header.proof {
      throw StorageError(
        path: file, offset: 84, reason: "the undo log is sealed by another secret")
    }
  }

  /// What cannot be changed, nor moved elsewhere, without being noticed.
  private func known(_ cluster: UInt64, _ place: UInt64, _ header: UndoHeader) -> [UInt8] {
    var fields = Fields(count: 40)
    fields.set(0, header.identity)
    fields.setLittle(16, header.period)
    fields.setLittle(24, cluster)
    fields.setLittle(32, place)
    return fields.bytes
  }

  /// Fills `room`, which is longer than the contents by `overhead`.
  /// - Returns: false: it failed.
  func seal(
    _ contents: UnsafeRawBufferPointer, of cluster: UInt64, at place: UInt64,
    _ header: UndoHeader, into room: UnsafeMutableRawBufferPointer
  ) -> Bool {
    guard let sealing, number < .max else { return false }
    room.storeBytes(of: number.littleEndian, as: UInt64.self)
    number += 1
    return sealing.seal(
      number - 1, known: known(cluster, place, header), contents, into: room.baseAddress! + 8)
  }

  /// Fills `contents`, which are shorter than what was sealed by `overhead`.
  /// - Returns: false: it is not what was sealed.
  func open(
    _ sealed: UnsafeRawBufferPointer, of cluster: UInt64, at place: UInt64,
    _ header: UndoHeader, into contents: UnsafeMutableRawBufferPointer
  ) -> Bool {
    guard sealed.count == contents.count + UndoSeal.overhead else { return false }
    let number = UInt64(littleEndian: sealed.loadUnaligned(as: UInt64.self))
    return withUnsafeTemporaryAllocation(byteCount: 16, alignment: 16) { none in
      opening.open(
        number, known: known(cluster, place, header),
        UnsafeRawBufferPointer(rebasing: sealed[8...]),
        into: contents.count > 0 ? contents.baseAddress! : none.baseAddress!)
    }
  }
}
