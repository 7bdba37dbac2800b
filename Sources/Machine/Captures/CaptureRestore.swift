// Making a machine what it was when it was captured: one that runs, or a fresh one of the same configuration.
//
// Owns: the checks before anything is changed, the order, going on as before when a part refuses. Must not know: where captures are kept.
// Image files must hold what they held then; whoever calls this sees to it.

import Bus
import CPU
import Chipset
import State
import Storage

/// The head of a capture, read.
struct CaptureHead {
  var identity: [(key: String, value: String)] = []
  var media: [SavedMedium] = []
  var writeHashes: [UInt64] = []
  var ejectedWrites: UInt64 = 0
  var idleInstructions: UInt64 = 0
  var parts: [[UInt8]] = []
  var contents: [[UInt8]] = []
  /// Where the translations begin.
  var rest: StateReader

  init(_ bytes: [UInt8]) throws(StateError) {
    var reader = StateReader(bytes)
    let version = try reader.read(UInt16.self)
    guard version == Machine.captureVersion else {
      throw StateError(
        refusal: "was taken by another Apus: its format is version \(version), this one reads "
          + "\(Machine.captureVersion)")
    }
    let count = try reader.read(in: 0...UInt32(1000))
    for _ in 0..<count {
      identity.append((key: try reader.readString(), value: try reader.readString()))
    }
    var media: [SavedMedium] = []
    try reader.section("media", versions: 2...2) { (reader, _) throws(StateError) in
      let count = try reader.read(in: UInt8(0)...64)
      for _ in 0..<count { media.append(try SavedMedium(from: &reader)) }
    }
    self.media = media
    for _ in media { writeHashes.append(try reader.read()) }
    ejectedWrites = try reader.read()
    idleInstructions = try reader.read()
    let parts = try reader.read(in: 0...UInt32(10_000))
    for _ in 0..<parts { self.parts.append(try reader.readBytes()) }
    for _ in media { contents.append(try reader.readBytes()) }
    rest = reader
  }
}

extension Machine {
  /// Which machine a capture fits, as `MachineCapture.identity`.
  public static func captureIdentity(ofHead head: [UInt8]) throws(StateError) -> [(
    key: String, value: String
  )] { try CaptureHead(head).identity }

  /// What was in the drives when a capture was made: their names in saved states ("medium-disk0") and the images' names without folders.
  public static func captureMedia(ofHead head: [UInt8]) throws(StateError) -> [(
    drive: String, name: String
  )] { try CaptureHead(head).media.map { ($0.drive, $0.name) } }

  /// The parts of two captures that differ, by the names of saved states.
  public static func differingParts(_ a: [UInt8], _ b: [UInt8]) throws(StateError) -> [String] {
    func named(_ bytes: [UInt8]) throws(StateError) -> [(String, [UInt8])] {
      try CaptureHead(bytes).parts.map { bytes throws(StateError) in
        var reader = StateReader(bytes)
        return (try reader.readString(), bytes)
      }
    }
    let (first, second) = (try named(a), try named(b))
    var names: [String] = []
    for (name, bytes) in second where !first.contains(where: { $0.0 == name && $0.1 == bytes }) {
      names.append(StateError.printable(name))
    }
    for (name, _) in first where !second.contains(where: { $0.0 == name }) {
      names.append(StateError.printable(name))
    }
    return names
  }

  /// Why a capture cannot become this machine; nothing is changed by asking.
  /// - Parameter overFiles: media that were written to files may be kept from that here: what these held is below.
  /// - Throws: `StateError`, in one line.
  public func checkFits(head bytes: [UInt8], overFiles: Bool = false) throws(StateError) {
    let head = try CaptureHead(bytes)
    let own = captureIdentity
    let words = IdentityWords(verb: "taken")
    for key in IdentityWords.keys(own.map(\.key), head.identity.map(\.key)) {
      let (theirs, ours) = (
        head.identity.first { $0.key == key }?.value, own.first { $0.key == key }?.value
      )
      if theirs != ours {
        throw StateError(refusal: words.difference(key, other: theirs, own: ours))
      }
    }
    let present = media
    for medium in head.media {
      guard let (_, disk) = present.first(where: { $0.0 == medium.drive }) else {
        throw StateError(
          refusal: "taken with '\(StateError.printable(medium.name))' in "
            + "\(SavedMedium.words(medium.drive)), where this machine has nothing: give that image too"
        )
      }
      // A hard disk that is a file is what it was, whatever it is called now; others are known by their names.
      let isKnown = medium.kind == .file && medium.drive.hasPrefix("medium-disk")
      if SavedMedium.sectors(disk) != medium.sectorCount
        || !isKnown && SavedMedium.baseName(disk.name) != medium.name
      {
        throw StateError(
          refusal:
            "taken with '\(StateError.printable(medium.name))' of \(medium.sectorCount) sectors in "
            + "\(SavedMedium.words(medium.drive)); this machine has "
            + "'\(disk.name)' of \(SavedMedium.sectors(disk)) there")
      }
      let kind = SavedMedium.Kind(disk.persistence)
      if kind != medium.kind, !(overFiles && medium.kind == .file && disk.persistence == .overlay) {
        throw StateError(
          refusal: "taken "
            + (medium.kind == .file
              ? "without --snapshot; this machine has its disks with it"
              : "with --snapshot, or of a disk that is no file; this machine has '\(disk.name)' without")
        )
      }
    }
    for (drive, disk) in present where !head.media.contains(where: { $0.drive == drive }) {
      throw StateError(
        refusal:
          "taken with nothing in \(SavedMedium.words(drive)); this machine has '\(disk.name)' "
          + "there: leave it away" + SavedMedium.emptyDrive(drive))
    }
    guard head.parts.count == partNames.count else {
      throw StateError(
        refusal: "taken of a machine of \(head.parts.count) parts; this one has \(partNames.count)")
    }
  }

  /// Makes the machine what it was when it was captured. What a recording or a debugger knew of its past ends here.
  /// - Parameters:
  ///   - bytes: the capture's head.
  ///   - isFresh: the machine has not run yet, and is thrown away when this throws.
  ///   - overFiles: see `checkFits`.
  ///   - memory: puts the pages back (`putBackPage`) that differ from what they were.
  /// - Throws: the machine is what it was, if it is not fresh: unless a part does not take back what it had itself.
  public func putBack(
    head bytes: [UInt8], isFresh: Bool, overFiles: Bool = false,
    memory putMemory: () throws(StorageError) -> Void
  ) throws(StateError) {
    try checkFits(head: bytes, overFiles: overFiles)
    var head = try CaptureHead(bytes)
    let before = isFresh ? nil : captureHead()
    do throws(StateError) {
      try putParts(&head)
    } catch {
      guard let before else { throw error }
      do throws(StateError) {
        var own = try CaptureHead(before)
        try putParts(&own)
        afterRestore()
        try putTranslations(&own)
      } catch let second {
        damage = "the machine is half another, as a part of it could not be put back: \(second)"
      }
      throw error
    }
    do throws(StorageError) { try putMemory() } catch {
      if !isFresh { damage = "the machine's memory is half another's: \(error)" }
      throw StateError(refusal: "\(error)")
    }
    board.first(Flash.self)?.reload()
    afterRestore()
    try putTranslations(&head)
    cpu.takeWrittenPages(.captures) { _ in }
    forgetPast()
  }

  /// Makes a machine that has not run yet what it was when a template was made; its memory's source is the template's.
  /// - Parameter bytes: the template's capture.
  /// - Throws: `StateError`; the machine is thrown away then.
  public func becomeTemplate(head bytes: [UInt8]) throws(StateError) {
    try putBack(head: bytes, isFresh: true, overFiles: true) { [self] () throws(StorageError) in
      // What putting the machine together has left in memory is gone with it.
      if !memory.revertToSource() {
        throw StorageError(path: "(memory)", reason: "is no template's")
      }
    }
  }

  /// Puts a page back, where it differs.
  /// - Parameter contents: 4096 bytes; nil: zeros.
  public func putBackPage(_ page: Int, _ contents: UnsafeRawPointer?) {
    let present = memory.page(page)
    if let contents {
      let other = UnsafeRawBufferPointer(start: contents, count: 4096)
      for offset in stride(from: 0, to: 4096, by: 8)
      where present.load(fromByteOffset: offset, as: UInt64.self)
        != other.load(fromByteOffset: offset, as: UInt64.self)
      {
        return memory.setPage(page, contents)
      }
    } else if !PageStore.isZero(present) {
      memory.setPage(page, nil)
    }
  }

  /// Whether the machine's memory has a page.
  public func hasPage(_ page: Int) -> Bool { memory.hasPage(page) }

  /// The pages that hold anything but zeros, as far as the host tells.
  public var usedPages: [UInt32] {
    var pages: [UInt32] = []
    memory.forEachUsedPage { pages.append(UInt32($0)) }
    return pages
  }

  private func putParts(_ head: inout CaptureHead) throws(StateError) {
    for (index, part) in head.parts.enumerated() { try restorePart(index, part) }
    if !clock.isSound(atInstruction: instructionCount) {
      throw StateError(
        offset: 0, section: "clock",
        reason: "the clock and the number of instructions contradict each other")
    }
    idleInstructions = min(head.idleInstructions, instructionCount)
    ejectedWrites = head.ejectedWrites
    for ((_, disk), index) in zip(media, head.media.indices) {
      var reader = StateReader(head.contents[index])
      if head.media[index].kind == .file, disk.format != nil, reader.remaining > 0 {
        let bytes = try reader.readBytes()
        do throws(StorageError) { try disk.putBackFloppy(bytes) } catch {
          throw StateError(refusal: "\(error)")
        }
      } else if head.media[index].kind != .file {
        try disk.restoreContents(from: &reader, kind: head.media[index].kind)
      }
      disk.generation = head.media[index].generation
      disk.writeHash = head.writeHashes[index]
    }
  }

  private func putTranslations(_ head: inout CaptureHead) throws(StateError) {
    var saved: [SavedTranslations] = []
    for cpu in processors {
      try head.rest.section("translations", versions: 1...1) { (reader, _) throws(StateError) in
        saved.append(try cpu.readTranslations(from: &reader))
      }
    }
    for (cpu, saved) in zip(processors, saved) { cpu.restoreTranslations(saved) }
  }

  /// What a recording or a debugger knows is of another run.
  private func forgetPast() {
    finishRecording(.host(.user))
    tripleFaults = []
    memoryHash = nil
    attendant?.timeJumped()
    if timeTravel != nil {
      startPastAgain()
    } else {
      journal = nil
    }
  }
}
