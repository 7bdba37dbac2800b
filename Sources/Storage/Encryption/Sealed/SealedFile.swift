// Writing and reading sealed files, piece by piece or at once.
//
// Owns: chunks, their order, the end. Must not know: keys, files: it hands bytes on, and asks for them.

/// Seals what is written to it. It is whole only after `finish`.
public final class SealedWriter {
  private let cipher: SealingCipher
  private let file: String
  private let chunkSize: Int
  private let sink: (UnsafeRawBufferPointer) throws(StorageError) -> Void
  /// What is not full yet.
  private let waiting: SecretBytes
  private var count = 0
  private var number: UInt64 = 0
  private var isFinished = false
  private let room: UnsafeMutableRawBufferPointer

  /// Writes the header.
  /// - Parameters:
  ///   - keys: of all encrypted disks of the machine; who opens the file needs all of them.
  ///   - file: what it is called in messages.
  ///   - sink: takes bytes, which go one behind the other into the file.
  public init(
    _ keys: [VolumeKey], for file: String, chunkSize: Int = 64 << 10,
    to sink: @escaping (UnsafeRawBufferPointer) throws(StorageError) -> Void
  ) throws(StorageError) {
    let crypto = try OpenSSL.load(for: file)
    let chunkSize = min(max(1, chunkSize), SealedHeader.longestChunk)
    let header = try SealedHeader(sealing: keys, chunkSize: chunkSize, crypto, for: file)
    cipher = try SealingCipher(header.key, encrypts: true, crypto, for: file)
    self.file = file
    self.chunkSize = chunkSize
    self.sink = sink
    waiting = SecretBytes(count: chunkSize)
    room = UnsafeMutableRawBufferPointer.allocate(
      byteCount: 4 + chunkSize + SealedHeader.tagSize, alignment: 16)
    try StorageError.passing { failure in
      header.bytes.withUnsafeBytes { bytes in
        do throws(StorageError) { try sink(bytes) } catch { failure = error }
      }
    }
  }

  deinit { room.deallocate() }

  /// Takes bytes.
  public func write(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
    if isFinished { throw StorageError(path: file, reason: "is sealed already") }
    var done = 0
    while done < bytes.count {
      // The last chunk is one that is known to be it: a full one waits until more comes.
      if count == chunkSize { try put(isLast: false) }
      let part = min(chunkSize - count, bytes.count - done)
      (waiting.pointer + count).copyMemory(from: bytes.baseAddress! + done, byteCount: part)
      count += part
      done += part
    }
  }

  public func write(_ bytes: [UInt8]) throws(StorageError) {
    try StorageError.passing { failure in
      bytes.withUnsafeBytes { buffer in
        do throws(StorageError) { try write(buffer) } catch { failure = error }
      }
    }
  }

  /// Everything that was written is handed on, so that a reader of an unfinished file finds it.
  public func flush() throws(StorageError) {
    if count > 0 && !isFinished { try put(isLast: false) }
  }

  /// The end. Nothing can be written any more.
  public func finish() throws(StorageError) {
    if isFinished { return }
    try put(isLast: true)
    isFinished = true
  }

  private func put(isLast: Bool) throws(StorageError) {
    room.storeBytes(of: (UInt32(count) | (isLast ? 1 << 31 : 0)).littleEndian, as: UInt32.self)
    let known = Array(room[..<4])
    let contents = UnsafeRawBufferPointer(
      rebasing: UnsafeRawBufferPointer(waiting.buffer)[..<count])
    guard
      cipher.seal(
        SealingCipher.nonce(number, isLast: isLast), known, contents, into: room.baseAddress! + 4)
    else { throw StorageError(path: file, reason: "OpenSSL's AES-256-GCM fails") }
    try sink(UnsafeRawBufferPointer(rebasing: room[..<(4 + count + SealedHeader.tagSize)]))
    number += 1
    count = 0
  }
}

/// Opens what was sealed, chunk by chunk; what was changed is refused before anything of it is handed out.
public final class SealedReader {
  private let cipher: SealingCipher
  private let store: any ByteStore
  private let chunkSize: Int
  private var position: UInt64
  private var number: UInt64 = 0
  private var room: [UInt8] = []
  /// The last chunk was read, and nothing is behind it.
  public private(set) var isAtEnd = false

  /// Whether a store is a sealed file.
  public static func begins(_ store: any ByteStore) throws(StorageError) -> Bool {
    SealedHeader.begins(try store.bytes(at: 0, count: 8))
  }

  /// - Parameter keys: of the disks that are open; those that are needed are looked for.
  public init(_ store: any ByteStore, _ keys: [VolumeKey]) throws(StorageError) {
    let crypto = try OpenSSL.load(for: store.name)
    let length = try SealedHeader.length(try store.bytes(at: 0, count: 16), for: store.name)
    let header = try SealedHeader(
      opening: try store.bytes(at: 0, count: length), keys, crypto, for: store.name)
    cipher = try SealingCipher(header.key, encrypts: false, crypto, for: store.name)
    self.store = store
    chunkSize = header.chunkSize
    position = UInt64(length)
  }

  /// The next chunk's contents, perhaps none; nil behind the last one.
  /// - Throws: also when the file ends before its end (`isCut` tells that from damage).
  public func next() throws(StorageError) -> [UInt8]? {
    if isAtEnd { return nil }
    func refuse(_ reason: String) -> StorageError {
      StorageError(path: store.name, offset: position, reason: reason)
    }
    let tag = SealedHeader.tagSize
    let left = store.size - min(store.size, position)
    guard left >= UInt64(4 + tag) else { throw refuse("is cut short: its last chunk is missing") }
    let known = try store.bytes(at: position, count: 4)
    let word: UInt32 = Fields(known).little(0)
    let (count, isLast) = (Int(word & 0x7FFF_FFFF), word >> 31 != 0)
    guard count <= chunkSize else { throw refuse("chunk \(number) was changed") }
    guard UInt64(4 + count + tag) <= left else {
      throw refuse("is cut short, or chunk \(number) was changed")
    }
    room = try store.bytes(at: position + 4, count: count + tag)
    var contents = [UInt8](repeating: 0, count: max(1, count))
    let isWhole = room.withUnsafeBytes { sealed in
      contents.withUnsafeMutableBytes { target in
        cipher.open(
          SealingCipher.nonce(number, isLast: isLast), known, sealed, into: target.baseAddress!)
      }
    }
    guard isWhole else {
      throw refuse("chunk \(number) was changed, or is not where it was written")
    }
    position += UInt64(4 + count + tag)
    number += 1
    if isLast {
      guard position == store.size else { throw refuse("has something behind its last chunk") }
      isAtEnd = true
    }
    contents.removeLast(contents.count - count)
    return contents
  }

  /// Whether nothing but a part of a chunk is left although the end was not seen: the writer was stopped.
  public var isCut: Bool {
    if isAtEnd { return false }
    let left = store.size - min(store.size, position)
    guard left >= 4, let known = try? store.bytes(at: position, count: 4) else { return true }
    let word: UInt32 = Fields(known).little(0)
    return left < UInt64(4 + SealedHeader.tagSize) + UInt64(word & 0x7FFF_FFFF)
  }
}

/// Whole files at once.
public enum SealedFile {
  /// Whether bytes begin as a sealed file does.
  public static func isSealed(_ bytes: [UInt8]) -> Bool { SealedHeader.begins(bytes) }

  /// The same of a file that its writer did not finish: as far as it goes.
  public static func openAsFarAsPossible(
    _ bytes: [UInt8], _ keys: [VolumeKey], for file: String
  ) throws(StorageError) -> [UInt8] {
    let reader = try SealedReader(MemoryStore(bytes, name: file, isWritable: false), keys)
    var result: [UInt8] = []
    while !reader.isCut, let chunk = try reader.next() { result += chunk }
    return result
  }

  public static func seal(_ bytes: [UInt8], _ keys: [VolumeKey], for file: String)
    throws(StorageError) -> [UInt8]
  {
    var result: [UInt8] = []
    let writer = try SealedWriter(keys, for: file) { result += $0 }
    try writer.write(bytes)
    try writer.finish()
    return result
  }

  public static func open(_ bytes: [UInt8], _ keys: [VolumeKey], for file: String)
    throws(StorageError) -> [UInt8]
  {
    let reader = try SealedReader(MemoryStore(bytes, name: file, isWritable: false), keys)
    var result: [UInt8] = []
    while let chunk = try reader.next() { result += chunk }
    return result
  }
}
