// Sealed undo logs: read by who has the secret, changed by nobody.

import Testing

@testable import Storage

@Suite(.enabled(if: OpenSSL.isThere, "OpenSSL 3 is not installed")) struct UndoSealTests {
  private static func secret(_ tags: UInt8...) throws -> ContentSecret {
    try ContentSecret(sealing: keys(tags), for: "secret")
  }

  private static func keys(_ tags: [UInt8]) -> [VolumeKey] {
    tags.map { VolumeKey(SecretBytes([UInt8](repeating: $0, count: 64)), identity: "disk \($0)") }
  }

  private func log(
    _ secret: ContentSecret, _ size: UInt64, period: UInt64 = 2, _ store: MemoryStore
  )
    throws -> UndoLog
  {
    UndoLog(
      "log", Undo.identity, period, size, seal: try UndoSeal(secret, for: "log"), make: { store })
  }

  private func open(_ bytes: [UInt8], _ secret: ContentSecret?) throws -> UndoLog {
    try UndoLog(
      reading: MemoryStore(bytes), expecting: Undo.identity, period: 2, secret: secret)
  }

  @Test func aSecretIsOpenedByItsKeys() throws {
    let secret = try Self.secret(1, 2)
    let hash = try secret.keyedHash("purpose", for: "x")
    func sum(_ hash: KeyedHash) -> [UInt8] {
      var result = [UInt8](repeating: 0, count: 32)
      let contents = Array("contents".utf8)
      contents.withUnsafeBytes { contents in
        result.withUnsafeMutableBytes { hash.hash(contents, into: $0.baseAddress!) }
      }
      return result
    }
    let again = try ContentSecret(opening: secret.header, Self.keys([3, 2, 1]), for: "x")
    #expect(sum(try again.keyedHash("purpose", for: "x")) == sum(hash))
    #expect(sum(try again.keyedHash("other", for: "x")) != sum(hash))
    #expect(sum(try Self.secret(1, 2).keyedHash("purpose", for: "x")) != sum(hash))
    for keys in [[], [1], [2, 3]] as [[UInt8]] {
      #expect(throws: StorageError.self) {
        try ContentSecret(opening: secret.header, Self.keys(keys), for: "x")
      }
    }
    for count in [0, 8, 47, secret.header.count - 1] {
      #expect(throws: StorageError.self) {
        try ContentSecret(
          opening: Array(secret.header.prefix(count)), Self.keys([1, 2]), for: "x")
      }
    }
    var changed = secret.header
    changed[secret.header.count - 20] ^= 1
    #expect(throws: StorageError.self) {
      try ContentSecret(opening: changed, Self.keys([1, 2]), for: "x")
    }
  }

  @Test func nothingOfADiskCanBeReadInItsLog() throws {
    let secret = try Self.secret(1)
    let words = Array("a secret of the disk".utf8)
    var bytes = [UInt8](repeating: 0, count: 5 << 16 | 512)
    for at in stride(from: 0, to: 3 << 16, by: 64) {
      bytes.replaceSubrange(at..<at + words.count, with: words)
    }
    bytes[5 << 16 | 7] = 9
    let device = UndoDevice(MemoryImage(bytes: bytes))
    let store = MemoryStore([])
    try device.begin(try log(secret, UInt64(bytes.count), store))
    for block in stride(from: UInt64(0), to: device.blockCount, by: 60) {
      try device.write(block: block, [UInt8](repeating: 3, count: 512))
    }
    try device.write(block: 640, [UInt8](repeating: 3, count: 512))
    // The log is read while it is written, too.
    var part = [UInt8](repeating: 0, count: 65536)
    try device.flush()
    try part.withUnsafeMutableBytes { try device.readAtBeginning(1, into: $0) }
    #expect(part == Array(bytes[1 << 16..<2 << 16]))
    try device.begin(nil)
    let file = store.bytes
    #expect(file.firstRange(of: words) == nil)
    let read = try open(file, secret)
    #expect(read.clusters == [0, 1, 2, 3, 4, 5] && read.isComplete)
    #expect(try Undo.contents(bytes.count, [read], device) == bytes)
    #expect(throws: StorageError.self) { try open(file, nil) }
    #expect(throws: StorageError.self) { try open(file, try Self.secret(1)) }
    // One that is not sealed does not pass for one that is.
    let plain = MemoryStore([])
    let other = Undo.log(2, of: device) { plain }
    try other.appendZeros(1)
    #expect(throws: StorageError.self) { try open(plain.bytes, secret) }
    // A file that was cut before it had a header has nothing.
    #expect(try open([], secret).isEmpty)
  }

  /// Whoever changes a record can make its checks right, and no more.
  @Test func whatWasChangedIsRefused() throws {
    let secret = try Self.secret(1)
    let bytes = QCOW2Maker.pattern(4 << 16, 5) + [UInt8](repeating: 0, count: 1 << 16)
    let store = MemoryStore([])
    let made = try log(secret, UInt64(bytes.count), store)
    for cluster in 0..<5 {
      try bytes[cluster << 16..<(cluster + 1) << 16].withUnsafeBytes {
        try made.append(UInt64(cluster), $0)
      }
    }
    try made.sync()
    let file = store.bytes
    let header = made.header
    let size = UndoHead.size + header.recordLength(of: 0, isZero: false)
    /// Puts a record somewhere, as that of a cluster.
    func put(_ data: [UInt8], at place: Int, _ cluster: UInt64, _ file: inout [UInt8]) {
      file.replaceSubrange(place + 32..<place + 32 + data.count, with: data)
      file.withUnsafeMutableBytes { file in
        UndoHead(
          cluster: cluster, length: data.count, synced: 512, dataSum: CRC32C.sum(data)
        ).put(
          UnsafeMutableRawBufferPointer(rebasing: file[place..<place + 32]), at: UInt64(place),
          header)
      }
    }
    func data(_ n: Int) -> [UInt8] { Array(file[512 + n * size + 32..<512 + (n + 1) * size]) }
    func read(_ file: [UInt8], _ cluster: UInt64) throws -> [UInt8]? {
      let log = try open(file, secret)
      var part = [UInt8](repeating: 0xEE, count: 65536)
      return try part.withUnsafeMutableBytes { try log.read(cluster, into: $0) } ? part : nil
    }
    var same = file
    put(data(1), at: 512 + size, 1, &same)
    #expect(try read(same, 1) == Array(bytes[1 << 16..<2 << 16]))
    for change in 0..<4 {
      var changed = file
      let place = 512 + size
      switch change {
      case 0:
        var bits = data(1)
        bits[5000] ^= 1
        put(bits, at: place, 1, &changed)
      case 1: put(data(2), at: place, 1, &changed)
      case 2: put(data(1), at: place, 3, &changed)
      default:
        var number = data(1)
        number[0] ^= 1
        put(number, at: place, 1, &changed)
      }
      #expect(throws: StorageError.self) { try read(changed, change == 2 ? 3 : 1) }
    }
    // Zeros are sealed as well.
    #expect(try read(file, 4) == [UInt8](repeating: 0, count: 65536))
    var zeros = Array(file[..<(512 + size)])
    zeros += [UInt8](repeating: 0, count: 32 + UndoSeal.overhead)
    put([UInt8](repeating: 0, count: UndoSeal.overhead), at: 512 + size, 1, &zeros)
    #expect(throws: StorageError.self) { try read(zeros, 1) }
  }

  /// A record that takes another's place has another number.
  @Test func noNumberComesTwice() throws {
    let store = MemoryStore([])
    let log = try log(try Self.secret(1), 4 << 16, store)
    var numbers: [[UInt8]] = []
    for cluster: UInt64 in 0..<3 {
      try log.appendZeros(cluster)
      numbers.append(Array(store.bytes[544..<552]))
      try log.dropUnsynced()
    }
    #expect(Set(numbers).count == 3)
  }
}
