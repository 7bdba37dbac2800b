// When each character on a text screen was written.
//
// Owns: a number in sequence for each character in text memory, which moves with a character that is copied within video memory (scrolling).
// Must not know: what is looked for, rows, time. Nothing here can be noticed by the guest.
//
// The host puts it between the processor and the VGA only while somebody waits for text. Writes by paths that are not followed (unusual
// modes, a loaded state) are found by `update`, which compares.

import Bus

/// Follows what is written to text memory.
public final class TextWatch {
  /// What is behind it.
  public let vga: VGA
  /// The number that was given last. Others may count theirs here, too.
  public var sequence: UInt64 = 0
  /// Asked before a character is lost that was written after the last `noteExamined`.
  public var beforeLoss: () -> Void = {}
  /// Told of each character that is written, not copied: its place, its code, its number. Says whether it is an echo of what was typed.
  public var isEcho: ((Int, UInt8, UInt64) -> Bool)?
  /// Whether what happens now is no part of the run: the past is repeated.
  public var isMuted: () -> Bool = { false }

  private let codes: UnsafeMutablePointer<UInt8>
  private let stamps: UnsafeMutablePointer<UInt64>
  /// The number of the last time a place was blanked.
  private let blanked: UnsafeMutablePointer<UInt64>
  private var examined: UInt64 = 0
  /// Whether characters were copied within text memory after the last `noteExamined`.
  public private(set) var hasCopied = false
  private static let places = 0x10000

  /// Characters that were read and may be written elsewhere next, oldest first.
  private var reads: [(code: UInt8, stamp: UInt64)] = []
  private var firstRead = 0
  private static let mostReads = 16384

  public init(_ vga: VGA) {
    self.vga = vga
    codes = .allocate(capacity: TextWatch.places)
    codes.initialize(repeating: 0, count: TextWatch.places)
    stamps = .allocate(capacity: TextWatch.places)
    stamps.initialize(repeating: 0, count: TextWatch.places)
    blanked = .allocate(capacity: TextWatch.places)
    blanked.initialize(repeating: 0, count: TextWatch.places)
  }

  deinit {
    codes.deallocate()
    stamps.deallocate()
    blanked.deallocate()
  }

  /// The next number.
  public func next() -> UInt64 {
    sequence += 1
    return sequence
  }

  /// When the character at a place was written; 0 for an echo.
  public func stamp(_ place: Int) -> UInt64 { stamps[place & 0xFFFF] }

  /// Says that a character is as old as another one.
  public func setStamp(_ place: Int, _ stamp: UInt64) { stamps[place & 0xFFFF] = stamp }

  /// Whether a place was blanked after a number was given.
  public func wasBlanked(_ place: Int, after number: UInt64) -> Bool {
    blanked[place & 0xFFFF] > number
  }

  /// Everything up to now has been looked at.
  public func noteExamined() {
    examined = sequence
    hasCopied = false
  }

  /// What was read until now will not be written elsewhere any more.
  public func forgetReads() {
    reads.removeAll(keepingCapacity: true)
    firstRead = 0
  }

  /// Finds what has changed unseen among places that are shown.
  public func update(_ cells: TextScreenCells) {
    for (code, place) in zip(cells.codes, cells.places) where code != codes[place] {
      change(place, code, copied: nil)
    }
  }

  // MARK: Following

  private func change(_ place: Int, _ code: UInt8, copied: UInt64?) {
    let number = next()
    if code == 0x20 { blanked[place] = number }
    codes[place] = code
    if let copied {
      stamps[place] = copied
    } else {
      // Asked after the number is there, so that an answer may still be changed.
      stamps[place] = number
      if isEcho?(place, code, number) == true { stamps[place] = 0 }
    }
  }

  fileprivate func read(_ offset: UInt32, _ width: UInt32) -> UInt32 {
    let value = vga.readMemory(offset, width: width)
    let local = offset &- vga.windowStart
    if vga.readPath == .planes, vga.readAddressing == .chainedOddEven, local < vga.windowSize,
      !isMuted()
    {
      for n in 0..<width where (local &+ n) & 1 == 0 {
        if reads.count >= TextWatch.mostReads { forgetReads() }
        let code = TextWatch.plain(UInt8(truncatingIfNeeded: value >> (8 * n)))
        reads.append((code, stamps[place(local &+ n)]))
      }
    }
    return value
  }

  fileprivate func write(_ offset: UInt32, _ value: UInt32, _ width: UInt32) {
    let local = offset &- vga.windowStart
    if vga.writePath == .text, local < vga.windowSize, !isMuted() {
      for n in 0..<width where (local &+ n) & 1 == 0 {
        let place = place(local &+ n)
        let code = TextWatch.plain(UInt8(truncatingIfNeeded: value >> (8 * n)))
        if code != codes[place], codes[place] != 0x20, stamps[place] > examined {
          beforeLoss()
          examined = sequence
        }
      }
      // Only now: who looks before a loss must not find half of a write.
      for n in 0..<width where (local &+ n) & 1 == 0 {
        written(place(local &+ n), TextWatch.plain(UInt8(truncatingIfNeeded: value >> (8 * n))))
      }
    }
    vga.writeMemory(offset, value, width: width)
  }

  /// The number of the character that was read to be written now, or nil. Few may have been read for another reason before it.
  private func takeRead(_ code: UInt8) -> UInt64? {
    if firstRead == reads.count { return nil }
    let found = reads[firstRead..<min(firstRead + 8, reads.count)].firstIndex { $0.code == code }
    let stamp = found.map { reads[$0].stamp }
    firstRead = found.map { $0 + 1 } ?? reads.count
    if firstRead == reads.count { forgetReads() }
    return stamp
  }

  /// A character is about to be written.
  private func written(_ place: Int, _ code: UInt8) {
    let copied = takeRead(code)
    if code == codes[place] {
      if copied == nil, let isEcho { _ = isEcho(place, code, stamps[place]) }
      return
    }
    if copied != nil, code != 0x20 { hasCopied = true }
    change(place, code, copied: copied)
  }

  /// The plane address of a character in a text mode's window.
  @inline(__always)
  private func place(_ local: UInt32) -> Int { Int(local & ~1 & vga.addressMask & 0xFFFF) }

  @inline(__always)
  private static func plain(_ code: UInt8) -> UInt8 { TextScreen.isBlank(code) ? 0x20 : code }

  // MARK: Between processor and VGA

  /// In place of the VGA's memory.
  public final class Aperture: RegisterFile {
    /// Without reference counting; it belongs to it.
    private let watch: Unmanaged<TextWatch>
    init(_ watch: TextWatch) { self.watch = .passUnretained(watch) }
    public override func read(_ offset: UInt32, _ width: Int) -> UInt32 {
      watch._withUnsafeGuaranteedRef { $0.read(offset, UInt32(truncatingIfNeeded: width)) }
    }
    public override func write(_ offset: UInt32, _ value: UInt32, _ width: Int) {
      watch._withUnsafeGuaranteedRef {
        $0.write(offset, value, UInt32(truncatingIfNeeded: width))
      }
    }
  }
  public private(set) lazy var registers = Aperture(self)
}
