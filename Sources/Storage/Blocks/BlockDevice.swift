// What a disk looks like to whoever uses it: numbered blocks of one size.
//
// Owns: the interface between users (controllers, machines, saved states) and whatever keeps the blocks: image formats, layers above them,
// memory. Must not know: any controller, any guest, any format, files.
// Nobody asks a device what class it is of. What differs between devices is a question below, and every question has an answer that is
// right for a plain device, so that a new one says only what is special about it. A device that wraps another passes all of them on.

import State

/// What a device can do beyond being read.
public struct BlockCapabilities: OptionSet, Hashable, Sendable {
  public let rawValue: UInt16
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  /// It can be written: no write-protect tab, no read-only file.
  public static let writable = BlockCapabilities(rawValue: 1 << 0)
  /// `discard` gives room back to the host.
  public static let discards = BlockCapabilities(rawValue: 1 << 1)
  /// `writeZeroes` takes less than writing as many zeros.
  public static let zeroesCheaply = BlockCapabilities(rawValue: 1 << 2)
  /// What is written is gone with this program, unless a saved state takes it along.
  public static let temporary = BlockCapabilities(rawValue: 1 << 3)
  /// What keeps the blocks grows as they are written; a write may then fail for want of room.
  public static let growable = BlockCapabilities(rawValue: 1 << 4)
  /// `nextData` knows where nothing was ever written.
  public static let knowsAllocation = BlockCapabilities(rawValue: 1 << 5)
}

/// Where what is written to a device stays.
public enum BlockPersistence: Hashable, Sendable {
  /// In files: it is there the next time.
  case file
  /// In memory, as far as it differs from the device below (`base`), which is not written.
  case overlay
  /// In memory, all of it.
  case memory
}

/// A fixed number of blocks of a fixed size.
///
/// A transfer is of whole blocks inside the device, and either completes or throws. What a device says must not depend on what keeps its
/// blocks where a guest could notice: `discard` and `writeZeroes` leave zeros on all of them, so that a run repeats itself on a copy.
public protocol BlockDevice: AnyObject {
  // MARK: Shape

  /// What it is called in messages: a file's name as it was given.
  var name: String { get }
  /// Bytes in a block: a power of two in `BlockSize`'s range.
  var blockSize: Int { get }
  /// How many blocks there are.
  var blockCount: UInt64 { get }
  /// How many bytes are really kept: fewer than the blocks have where the end of the last ones is missing, and reads as zeros.
  var byteCount: UInt64 { get }
  var capabilities: BlockCapabilities { get }

  // MARK: Transfers

  /// Fills `buffer` (whole blocks) from consecutive blocks inside the device.
  func read(block: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError)
  /// Writes `buffer` (whole blocks) to consecutive blocks inside the device.
  func write(block: UInt64, from buffer: UnsafeRawBufferPointer) throws(StorageError)
  /// Makes blocks zeros; their room stays theirs.
  func writeZeroes(block: UInt64, count: UInt64) throws(StorageError)
  /// Makes blocks zeros; nobody needs their room any more.
  func discard(block: UInt64, count: UInt64) throws(StorageError)
  /// Returns when everything written is with the host's stable storage.
  func flush() throws(StorageError)
  /// As `flush`, and nothing in the files says any more that they are being written: nobody means to write for now. Whoever does begins anew.
  func finish() throws(StorageError)
  /// Brings on what waits in memory to be written to the files, without waiting for stable storage: whoever calls it every second or so has
  /// everything in the files a few seconds later, so that little is lost when the program is killed and the guest never flushes. The order of
  /// `flush` holds. Nothing that can be read changes.
  /// - Returns: whether something still waits, for which it is to be called again.
  /// - Throws: what a flush would throw; nothing is lost by that, and it is tried again.
  @discardableResult func settle() throws(StorageError) -> Bool
  /// The first block at or behind this one that may hold something else than zeros; `blockCount` when there is none.
  func nextData(from block: UInt64) -> UInt64
  /// What is to be said of the blocks from this one on, in this layer alone: at most `limit` of them, at least one.
  func extent(at block: UInt64, limit: UInt64) throws(StorageError) -> BlockExtent
  /// Gives it another number of blocks, for good: new ones are zeros, those cut off are lost.
  /// - Throws: when its format cannot, or the size is beyond what it holds.
  func resize(to blockCount: UInt64) throws(StorageError)

  // MARK: Ahead of time

  /// Says what will be asked next, so that the host's disk can begin with it. Nothing changes in what the device holds.
  func prepare(_ access: BlockAccess)
  /// Whether the access would not have to wait for the host now.
  func isReady(for access: BlockAccess) -> Bool
  /// Waits until something has become ready, at most so long; may return without a reason.
  func awaitProgress(nanoseconds: UInt64)
  /// Why what was written earlier does not reach the host's disk; it is tried again until it does. nil: nothing is in the way.
  var trouble: StorageError? { get }

  // MARK: What it holds

  /// Hashes of what it holds; whoever knows what was written since the last time reads only that again.
  func clusterHashes() throws(StorageError) -> ClusterHashes
  /// Grows with every change through this device; as long as it stays, so does what the device holds (others' writes to its files are
  /// `change(since:)`).
  var generation: UInt64 { get }

  // MARK: Layers

  var persistence: BlockPersistence { get }
  /// The device whose blocks show where this one has none of its own; nil: it stands alone.
  var base: (any BlockDevice)? { get }
  /// The device that a look at it (another number or size of blocks) is a look at; itself where it is no look.
  var whole: any BlockDevice { get }
  /// What it is, for people: this layer alone.
  var layer: BlockLayer { get }
  /// This layer and those below it, the topmost first.
  var layers: [BlockLayer] { get }
  /// Whether a block is kept here and does not show from `base`.
  func isWritten(_ block: UInt64) -> Bool
  /// How many blocks `base` does not show; only of an overlay.
  var writtenBlockCount: UInt64 { get }
  /// Those blocks, ascending; only of an overlay.
  var writtenBlocks: [UInt64] { get }
  /// Forgets what an overlay holds of a block: it is the base's again. Nothing on other devices.
  func forget(_ block: UInt64)
  /// Forgets everything that an overlay holds. Nothing on other devices.
  func forgetAll()
  /// The same contents with another number of blocks: cut, or with zeros behind them that cannot be written.
  func view(blockCount: UInt64, isWriteProtected: Bool) -> any BlockDevice

  // MARK: Saved states

  /// Writes what a saved state has to take along: what is in memory. A file stays where it is.
  func saveContents(to writer: inout StateWriter)
  /// Reads what `saveContents` of a device of the same size and persistence wrote; what was held before is forgotten.
  func restoreContents(from reader: inout StateReader) throws(StateError)

  // MARK: The files below

  /// All files that it is made of, as they are now.
  func mark() -> FileMark
  /// What has happened to the files since, if nothing was written through this device; nil: nothing.
  func change(since mark: FileMark) -> String?
  /// Why nobody will find what was written, or nil: the file's name does not lead to it any more.
  var displacement: String? { get }
  /// Lets others have the files for as long as nothing is written; reading stays possible.
  func unlock()
  /// Takes the files again.
  /// - Throws: when somebody else has one.
  func lockAgain() throws(StorageError)
  /// Lets go of the files: others may use them; nothing can be read or written any more.
  func close()
}

/// The sizes a block may have. A cluster of `ClusterHashes` is a whole number of the largest.
public enum BlockSize {
  public static let smallest = 512
  public static let largest = 65536

  /// Whether a block may have so many bytes.
  public static func isValid(_ bytes: Int) -> Bool {
    bytes >= smallest && bytes <= largest && bytes & (bytes - 1) == 0
  }
}

/// One layer of a device, for people.
public struct BlockLayer: Equatable, Sendable {
  /// What it is: "raw image", "snapshot", "memory".
  public var kind: String
  /// The file that keeps it; nil: none.
  public var file: String?
  public var blockSize: Int
  public var blockCount: UInt64
  public var capabilities: BlockCapabilities
  /// What else is to be said, as in "12 blocks written".
  public var details: [String]

  public init(
    kind: String, file: String? = nil, of device: any BlockDevice, details: [String] = []
  ) {
    self.kind = kind
    self.file = file
    blockSize = device.blockSize
    blockCount = device.blockCount
    capabilities = device.capabilities
    self.details = details
  }
}
