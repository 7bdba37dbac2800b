// A machine at one instruction, copied out of it in the time of a few milliseconds.
//
// Owns: what of a machine is copied, and the form of everything but its memory. Must not know: where captures are kept, what for.
// What the guest has on image files is not part of it: whoever captures sees to it that these can be had as they are now.
//
// The head (numbers as in saved states):
//   version (u16: 1), pairs of strings that tell which machine it fits (u32 count), the media (as a state's section "media", version 2),
//   (of a floppy in a file that can be written, all of it is taken along)
//   for each drive with a medium the hash of what was written to it (u64), the hash of what was written to media that were taken out (u64),
//   instructions that were slept through (u64), parts (u32 count; each the bytes of a section), for each drive what is in memory of its
//   medium (counted bytes; none of files), for each processor its section "translations"

import Bus
import CPU
import Host
import State
import Storage
import Video

/// A copy of a machine at one instruction.
public struct MachineCapture: @unchecked Sendable {
  /// Instructions since power-on, with those that were slept through.
  public var instruction: UInt64
  /// Virtual nanoseconds since power-on.
  public var time: UInt64
  /// Everything but memory and what is on image files.
  public var head: [UInt8]
  /// The pages that were copied, ascending: all that hold anything, or those written since the capture before.
  public var pages: [UInt32]
  /// Whether `pages` are all that hold anything; what is not among them is zeros.
  public var isWhole: Bool
  /// As many pages as the machine's memory has.
  public var pageCount: Int
  /// What the text screen shows; nil: graphics.
  public var text: [String]?
  /// What the screen shows.
  public var picture: Frame
  /// Which machine it fits.
  public var identity: [(key: String, value: String)]
  fileprivate let room: CaptureRoom

  /// The contents of a page: `index` counts `pages`.
  public func contents(_ index: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: room.base + index * 4096, count: 4096)
  }

  /// The memory of the copies may be used for the next capture; the contents of this one mean nothing then.
  public func giveBack(to pool: CapturePool) { pool.take(room) }
}

/// Memory for copied pages.
final class CaptureRoom {
  let base: UnsafeMutableRawPointer
  let pages: Int

  init(pages: Int) {
    self.pages = pages
    base = .allocate(byteCount: max(pages, 1) * 4096, alignment: 4096)
  }

  /// The host gives its memory now.
  func touch() {
    for page in 0..<pages { (base + page * 4096).storeBytes(of: 0, as: UInt8.self) }
  }

  deinit { base.deallocate() }
}

/// Keeps memory between captures: what was touched before is quick to write.
public final class CapturePool: @unchecked Sendable {
  private let condition = HostCondition()
  private var kept: CaptureRoom?
  /// More than this is not kept.
  private static let most = (64 << 20) / 4096

  public init() {}

  func room(pages: Int) -> CaptureRoom {
    let found = condition.locked { () -> CaptureRoom? in
      defer { kept = nil }
      return kept
    }
    if let found, found.pages >= pages { return found }
    return CaptureRoom(pages: pages)
  }

  /// Has memory ready for so many pages, touched already.
  public func prepare(pages: Int) {
    let room = room(pages: pages)
    room.touch()
    condition.locked { kept = room }
  }

  func take(_ room: CaptureRoom) {
    if room.pages > CapturePool.most { return }
    condition.locked { if (kept?.pages ?? 0) < room.pages { kept = room } }
  }
}

extension Machine {
  static let captureVersion: UInt16 = 1

  /// Begins to note which pages are written, for captures of what changed.
  /// - Parameter body: is told the pages written since the last time.
  public func takePagesForCapture(_ body: (Int) -> Void) { cpu.takeWrittenPages(.captures, body) }

  /// Copies the machine as it is between two instructions. Nothing in the guest changes.
  /// - Parameters:
  ///   - changed: only pages that were written since the last capture or `takePagesForCapture`, and `further`, are copied.
  ///   - further: pages that are copied as well.
  public func capture(onlyChanged changed: Bool, further: Set<UInt32> = [], pool: CapturePool)
    -> MachineCapture
  {
    var pages: [UInt32] = []
    if changed {
      cpu.takeWrittenPages(.captures) { pages.append(UInt32($0)) }
      if !further.isEmpty { pages = further.union(pages).sorted() }
    } else {
      cpu.takeWrittenPages(.captures) { _ in }
      memory.forEachUsedPage { if !PageStore.isZero(memory.page($0)) { pages.append(UInt32($0)) } }
    }
    let room = pool.room(pages: pages.count)
    for (index, page) in pages.enumerated() {
      (room.base + index * 4096).copyMemory(
        from: memory.page(Int(page)).baseAddress.unsafelyUnwrapped, byteCount: 4096)
    }
    return MachineCapture(
      instruction: instructionCount, time: clock.now, head: captureHead(), pages: pages,
      isWhole: !changed, pageCount: memory.pageCount, text: screenText, picture: screenshot(),
      identity: captureIdentity, room: room)
  }

  /// Everything but memory and what is on image files.
  func captureHead() -> [UInt8] {
    var head = StateWriter()
    head.write(Machine.captureVersion)
    let identity = captureIdentity
    head.write(UInt32(identity.count))
    for (key, value) in identity {
      head.write(key)
      head.write(value)
    }
    let media = media
    head.section("media", version: 2) { writer in
      writer.write(UInt8(media.count))
      for (drive, disk) in media { SavedMedium(drive, disk, hashes: false).save(to: &writer) }
    }
    for (_, disk) in media { head.write(disk.writeHash) }
    head.write(ejectedWrites)
    head.write(idleInstructions)
    let parts = partNames.indices
    head.write(UInt32(parts.count))
    for index in parts { head.write(bytes: savePart(index)) }
    for (_, disk) in media {
      var contents = StateWriter()
      if let floppy = disk.wholeFloppy {
        contents.write(bytes: floppy)
      } else {
        disk.saveContents(to: &contents)
      }
      head.write(bytes: contents.bytes)
    }
    for cpu in processors {
      head.section("translations", version: 1) { cpu.saveTranslations(to: &$0) }
    }
    return head.bytes
  }
}

extension MachineDisk {
  /// All bytes of a floppy that is a file and can be written: whoever goes back finds them; nil: it is none, or cannot be read.
  var wholeFloppy: [UInt8]? {
    persistence == .file ? floppyBytes : nil
  }

  private var floppyBytes: [UInt8]? {
    guard format != nil, !isReadOnly else { return nil }
    var bytes = [UInt8](repeating: 0, count: Int(blockCount) * blockSize)
    let isRead = bytes.withUnsafeMutableBytes { (try? original.read(block: 0, into: $0)) != nil }
    return isRead ? bytes : nil
  }

  /// Makes a floppy's file what it was, block by block where it differs.
  func putBackFloppy(_ bytes: [UInt8]) throws(StorageError) {
    guard bytes.count == Int(blockCount) * blockSize, let present = floppyBytes else { return }
    for block in 0..<Int(blockCount) {
      let range = block * blockSize..<(block + 1) * blockSize
      if present[range] != bytes[range] {
        try original.write(block: UInt64(block), Array(bytes[range]))
      }
    }
  }
}
