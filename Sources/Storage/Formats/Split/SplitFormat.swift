// Images in several files: disk.001, disk.002, ...
//
// Owns: finding the files, joining them. Must not know: what the bytes are; another format opens them.
// After: what `split`, forensic tools and HJSplit write: the bytes one after the other, with nothing before or behind them.

/// The first of several files.
struct SplitFormat: ImageFormat {
  let name = "split"
  private static let mostParts = 999

  /// The names of the second file and those behind it; nil: the name is not that of a first one.
  static func following(_ name: String) -> ((Int) -> String)? {
    let last = name.split(separator: "/").last.map(String.init) ?? name
    guard last.hasSuffix(".001"), last.count > 4 else { return nil }
    let stem = last.dropLast(3)
    return { number in
      let digits = String(number)
      return stem + String(repeating: "0", count: max(0, 3 - digits.count)) + digits
    }
  }

  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    guard let names = SplitFormat.following(store.name) else { return nil }
    return SplitFormat.present(names, 2..<5, context) == nil ? nil : .certain
  }

  /// The first file that is there, of some numbers.
  private static func present(
    _ names: (Int) -> String, _ numbers: Range<Int>, _ context: ImageContext
  ) -> String? {
    for number in numbers {
      guard let store = try? context.file(named: names(number)) else { continue }
      store.close()
      return names(number)
    }
    return nil
  }

  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    guard let names = SplitFormat.following(store.name) else {
      throw StorageError(path: store.name, reason: "is not the first of several files (.001)")
    }
    var stores = [store]
    // The end is where no file is; any other trouble with one is told.
    for number in 2...SplitFormat.mostParts {
      do throws(StorageError) { stores.append(try context.file(named: names(number))) } catch {
        guard error.isMissing else { throw error }
        if let later = SplitFormat.present(names, number + 1..<number + 9, context) {
          throw StorageError(
            path: store.name,
            reason: "its file '\(names(number))' is missing, though '\(later)' is there")
        }
        break
      }
    }
    guard stores.count > 1 else {
      throw StorageError(path: store.name, reason: "the second file, '\(names(2))', is missing")
    }
    let joined = try JoinedStore(stores)
    var inner = context
    inner.formats = context.formats.filter { !($0 is SplitFormat) }
    var contents = try ImageFormats.open(joined, inner)
    contents.notes.insert("in \(stores.count) files", at: 0)
    return contents
  }
}

/// Stores one after the other.
final class JoinedStore: ByteStore {
  private let parts: [(start: UInt64, store: any ByteStore)]
  let size: UInt64
  let name: String
  let isWritable: Bool
  /// The numbers of the last flush that was begun; when it is done, so are those before.
  private var flushes: [UInt64] = []

  init(_ stores: [any ByteStore]) throws(StorageError) {
    name = stores[0].name
    var total: UInt64 = 0
    var parts: [(start: UInt64, store: any ByteStore)] = []
    for store in stores {
      parts.append((total, store))
      let (sum, overflow) = total.addingReportingOverflow(store.size)
      if overflow || sum > UInt64(Int64.max) {
        throw StorageError(path: store.name, reason: "the files have more bytes than any disk")
      }
      total = sum
    }
    self.parts = parts
    size = total
    isWritable = stores.allSatisfy { $0.isWritable }
  }

  var zeroesCheaply: Bool { parts.allSatisfy { $0.store.zeroesCheaply } }

  /// The last part that begins at or before an offset.
  private func index(of offset: UInt64) -> Int {
    var (low, high) = (0, parts.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if parts[middle].start <= offset { low = middle } else { high = middle }
    }
    return low
  }

  private func each(
    _ offset: UInt64, _ count: UInt64,
    _ body: (any ByteStore, _ place: UInt64, _ done: UInt64, _ count: UInt64) throws(StorageError)
      -> Void
  ) throws(StorageError) {
    if offset > size || count > size - offset {
      throw StorageError(path: name, offset: offset, reason: "ends here, at \(size) bytes")
    }
    var done: UInt64 = 0
    var number = index(of: offset)
    while done < count {
      let part = parts[number]
      let place = offset + done - part.start
      let length = min(count - done, part.store.size - min(place, part.store.size))
      if length > 0 { try body(part.store, place, done, length) }
      done += length
      number += 1
    }
  }

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    try each(offset, UInt64(buffer.count)) { (store, place, done, count) throws(StorageError) in
      let part = buffer[Int(done)..<Int(done + count)]
      try store.read(at: place, into: UnsafeMutableRawBufferPointer(rebasing: part))
    }
  }

  func write(at offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError) {
    try each(offset, UInt64(buffer.count)) { (store, place, done, count) throws(StorageError) in
      let part = buffer[Int(done)..<Int(done + count)]
      try store.write(at: place, from: UnsafeRawBufferPointer(rebasing: part))
    }
  }

  func zero(at offset: UInt64, count: UInt64, releasing: Bool) throws(StorageError) {
    try each(offset, count) { (store, place, _, count) throws(StorageError) in
      try store.zero(at: place, count: count, releasing: releasing)
    }
  }

  func setSize(_ size: UInt64) throws(StorageError) {
    if size != self.size {
      throw StorageError(path: name, reason: "an image in several files keeps its size")
    }
  }

  func flush() throws(StorageError) { for part in parts { try part.store.flush() } }

  func beginFlush() throws(StorageError) -> UInt64 {
    var numbers: [UInt64] = []
    for part in parts { numbers.append(try part.store.beginFlush()) }
    flushes = numbers
    return 0
  }

  func hasFlushed(_ number: UInt64) throws(StorageError) -> Bool {
    for (part, number) in zip(parts, flushes) where try !part.store.hasFlushed(number) {
      return false
    }
    return true
  }

  func nextData(from offset: UInt64) -> UInt64 {
    if offset >= size { return .max }
    for part in parts[index(of: offset)...] {
      let next = part.store.nextData(from: offset > part.start ? offset - part.start : 0)
      if next < part.store.size { return max(offset, part.start + next) }
    }
    return .max
  }

  func nextHole(from offset: UInt64) -> UInt64 {
    if offset >= size { return size }
    let part = parts[index(of: offset)]
    return min(size, part.start + part.store.nextHole(from: offset - part.start))
  }

  func mark() -> FileMark { parts.reduce(FileMark()) { $0 + $1.store.mark() } }

  func change(since mark: FileMark) -> String? {
    var rest = mark
    for part in parts {
      let (own, below) = rest.split
      if let change = part.store.change(since: own) { return change }
      rest = below
    }
    return nil
  }

  var displacement: String? { parts.lazy.compactMap { $0.store.displacement }.first }
  func shareLock() { for part in parts { part.store.shareLock() } }
  func unlock() { for part in parts { part.store.unlock() } }
  func lockAgain(exclusive: Bool) throws(StorageError) {
    for part in parts { try part.store.lockAgain(exclusive: exclusive) }
  }
  func close() { for part in parts { part.store.close() } }
}
