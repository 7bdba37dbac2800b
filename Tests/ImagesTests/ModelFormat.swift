// A made-up format with everything that operations ask of one: bases, compression of sorts, snapshots by name, an empty overlay again.
//
//   0 "MODEL001", 8 blocks (u64), 16 length of the base's name (u32), 20 the name; 4096: for each block of 4096 bytes a u32: 0 absent,
//   1 zeros, otherwise its place in the file in blocks. Little-endian.

import Storage

struct ModelFormat: RebasableFormat, CreatableFormat, CheckableFormat {
  let name = "model"
  var options: [ImageOption] {
    [ImageOption("note", standard: "", values: "any", help: "nothing")]
  }
  var limits: ImageLimits { ImageLimits(largest: 1 << 40, granularity: 4096, hasBases: true) }
  static let magic = Array("MODEL001".utf8)

  static func little(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
  static func number(_ bytes: [UInt8], _ at: Int, _ count: Int) -> UInt64 {
    bytes[at..<at + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    try store.bytes(at: 0, count: 8) == ModelFormat.magic ? .certain : nil
  }

  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    let head = try store.bytes(at: 0, count: 4096)
    let count = ModelFormat.number(head, 8, 8)
    let length = Int(ModelFormat.number(head, 16, 4))
    var base: (any BlockDevice)?
    if length > 0 {
      let name = String(decoding: head[20..<20 + length], as: UTF8.self)
      let device = try context.base(named: name)
      base = device.view(
        blockCount: count * 4096 / UInt64(device.blockSize), isWriteProtected: true
      ).withBlocks(of: 4096)
    }
    return ImageContents(try ModelImage(store, count, base), kind: .disk)
  }

  func create(_ store: any ByteStore, _ wish: ImageWish, _ context: ImageContext)
    throws(StorageError)
  {
    let count = wish.byteCount / 4096
    try store.setSize(4096 + (count * 4 + 4095) / 4096 * 4096)
    try store.write(at: 0, ModelFormat.magic + ModelFormat.little(count, 8))
    if let base = wish.base { try setName(store, base.name) }
  }

  private func setName(_ store: any ByteStore, _ name: String) throws(StorageError) {
    try store.write(
      at: 16, ModelFormat.little(UInt64(name.utf8.count), 4) + Array(name.utf8))
  }

  func setBase(_ store: any ByteStore, _ base: NewBase?, _ context: ImageContext)
    throws(StorageError)
  {
    try setName(store, base?.name ?? "")
  }

  func check(_ store: any ByteStore, _ repair: ImageRepair, _ context: ImageContext)
    throws(StorageError) -> ImageCheck
  {
    var check = ImageCheck()
    if try store.bytes(at: 19, count: 1) == [0xEE] {
      if repair != .none { try store.write(at: 19, [0]) }
      check.add(ImageCheck.Finding(.leak, at: 19, "a mark", isRepaired: repair != .none))
    }
    return check
  }
}

final class ModelImage: EmptiableDevice, SnapshottingDevice, DescribedDevice, CompressingDevice {
  let blockSize = 4096
  let blockCount: UInt64
  let base: (any BlockDevice)?
  let store: any ByteStore
  private(set) var generation: UInt64 = 0
  private var table: [UInt32]
  private(set) var imageSnapshots: [ImageSnapshot] = []
  private var states: [String: [UInt32]] = [:]

  init(_ store: any ByteStore, _ count: UInt64, _ base: (any BlockDevice)?) throws(StorageError) {
    self.store = store
    self.base = base
    blockCount = count
    let bytes = try store.bytes(at: 4096, count: Int(count) * 4)
    table = (0..<Int(count)).map { UInt32(ModelFormat.number(bytes, $0 * 4, 4)) }
  }

  var name: String { store.name }
  var capabilities: BlockCapabilities {
    store.isWritable ? [.writable, .knowsAllocation] : [.knowsAllocation]
  }
  var imageFacts: ImageFacts {
    var facts = ImageFacts()
    facts.clusterSize = 4096
    facts.others = [("kind", "model")]
    return facts
  }

  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    for n in 0..<buffer.count / 4096 {
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[n * 4096..<(n + 1) * 4096])
      let place = table[Int(block) + n]
      if place > 1 {
        try store.read(at: UInt64(place) * 4096, into: part)
      } else if place == 0, let base {
        try base.read(block: block + UInt64(n), into: part)
      } else {
        part.initializeMemory(as: UInt8.self, repeating: 0)
      }
    }
  }

  private func set(_ block: Int, _ place: UInt32) throws(StorageError) {
    table[block] = place
    try store.write(at: 4096 + UInt64(block) * 4, ModelFormat.little(UInt64(place), 4))
  }

  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    generation += 1
    for n in 0..<buffer.count / 4096 {
      if table[Int(block) + n] < 2 {
        let place = store.size / 4096
        try store.setSize(store.size + 4096)
        try set(Int(block) + n, UInt32(place))
      }
      try store.write(
        at: UInt64(table[Int(block) + n]) * 4096,
        from: UnsafeRawBufferPointer(rebasing: buffer[n * 4096..<(n + 1) * 4096]))
    }
  }

  func writeZeroes(block: UInt64, count: UInt64) throws(StorageError) {
    generation += 1
    for n in Int(block)..<Int(block + count) { try set(n, 1) }
  }

  func extent(at block: UInt64, limit: UInt64) throws(StorageError) -> BlockExtent {
    func kind(_ n: Int) -> BlockExtent.Kind {
      table[n] == 0 ? .absent : table[n] == 1 ? .zero : .data
    }
    let first = kind(Int(block))
    var count: UInt64 = 1
    while count < limit, block + count < blockCount, kind(Int(block + count)) == first {
      count += 1
    }
    return BlockExtent(first, count: count)
  }

  func flush() throws(StorageError) { try store.flush() }

  func makeEmpty() throws(StorageError) { for n in 0..<Int(blockCount) { try set(n, 0) } }

  func createSnapshot(named name: String, time: UInt64) throws(StorageError) {
    states[name] = table
    imageSnapshots.append(
      ImageSnapshot(id: "1", name: name, time: time, byteCount: blockCount * 4096))
  }
  func applySnapshot(_ which: String) throws(StorageError) {
    guard states[which] != nil else { throw StorageError(path: name, reason: "no snapshot") }
  }
  func deleteSnapshot(_ which: String) throws(StorageError) {
    imageSnapshots.removeAll { $0.name == which }
  }

  // A unit of 64 KiB becomes its first byte, if all its bytes are that.
  let compressionUnit: UInt64 = 16
  let compressor: @Sendable (UnsafeRawBufferPointer) -> [UInt8]? = { bytes in
    bytes.allSatisfy { $0 == bytes[0] } ? [bytes[0]] : nil
  }
  func writeCompressed(block: UInt64, _ bytes: [UInt8]) throws(StorageError) {
    try write(block: block, [UInt8](repeating: bytes[0], count: 65536))
  }

  func mark() -> FileMark { store.mark() + (base?.mark() ?? FileMark()) }
  func close() {
    store.close()
    base?.close()
  }
}
