// Taking a machine that comes from another process.
//
// Owns: what is done with each message, when the machine may run, what follows when a message is lost. Must not know: how a machine is
// made, command lines.
//
// Whatever comes is checked before it is used; what does not fit ends the taking, and the machine stays where it was.

import Host
import Machine
import State
import Storage

/// Whether a machine that came may run.
public enum MigrationArrival: Sendable {
  /// It may, and nowhere else: `MigrationReceiver.tellRunning` or `tellFailure` follows.
  case mayRun
  /// Nobody knows whether it runs where it came from.
  case doubt(MigrationDoubt)
}

/// The machine's new place. Used by one thread.
public final class MigrationReceiver {
  private let link: MigrationLink
  private let right = MigrationRight()
  /// What was offered, once it was heard.
  public private(set) var offer: MigrationOffer?
  private var head: [UInt8] = []
  private static let longestHead = 1 << 30
  /// Pages that came.
  private var arrived: [Bool] = []
  /// Bytes of memory and disks that came.
  public private(set) var receivedBytes: UInt64 = 0

  public init(_ link: MigrationLink) { self.link = link }

  public func close() { link.close() }

  // MARK: Before

  /// Waits for the offer.
  public func hear() throws(StorageError) -> MigrationOffer {
    let (kind, bytes) = try link.receive()
    guard kind == .offer else { throw link.error("\(kind) came where an offer was due") }
    let offer = try link.reading(kind, bytes) { (reader) throws(StateError) in
      try MigrationOffer(from: &reader)
    }
    self.offer = offer
    return offer
  }

  /// The machine cannot come.
  public func refuse(_ reason: String) {
    try? link.send(.refused, MigrationLink.short(reason))
    link.close()
  }

  // MARK: Taking it

  /// Takes the machine.
  /// - Parameters:
  ///   - machine: as the offer says it, and has not run.
  ///   - disks: those of the offer that come along, by their place in it.
  ///   - isOver: whether this place is to end; asked a few times a second.
  /// - Throws: the machine stays where it was, and this one is to be thrown away.
  public func take(
    _ machine: Machine, _ disks: [Int: any BlockDevice], unless isOver: () -> Bool = { false }
  ) throws(StorageError) -> MigrationArrival {
    guard let offer else { throw link.error("nothing was offered") }
    do throws(StorageError) {
      try check(machine, offer)
      arrived = [Bool](repeating: false, count: machine.pageCount)
      try link.send(.accepted, right.lock)
      try takeContents(machine, offer, disks, isOver)
    } catch {
      refuse(error.reason)
      throw error
    }
    do throws(StorageError) {
      try link.send(.ready)
    } catch { return doubt(error, offer) }
    return try awaitRight(offer, isOver)
  }

  private func check(_ machine: Machine, _ offer: MigrationOffer) throws(StorageError) {
    guard machine.pageCount == Int(offer.pageCount) else {
      throw link.error(
        "the machine has \(offer.pageCount) pages of memory, the one made for it \(machine.pageCount)"
      )
    }
    do throws(StateError) { try machine.checkFits(head: offer.head) } catch {
      throw link.error("the machine does not fit the one made for it: \(error)")
    }
  }

  private func takeContents(
    _ machine: Machine, _ offer: MigrationOffer, _ disks: [Int: any BlockDevice],
    _ isOver: () -> Bool
  ) throws(StorageError) {
    while true {
      if isOver() { throw link.error("was ended while the machine came") }
      // A sender that keeps to a rate may be silent for a while.
      let (kind, bytes) = try link.receive(patience: link.patience * 4, unless: isOver)
      switch kind {
      case .pages: try takePages(machine, bytes)
      case .zeroPages: try takeZeroPages(machine, bytes)
      case .cluster: try takeCluster(offer, disks, bytes)
      case .zeroClusters: try takeZeroClusters(offer, disks, bytes)
      case .settle:
        for device in disks.values { try device.flush() }
        try link.send(.settled, [])
      case .head:
        if head.count + bytes.count > MigrationReceiver.longestHead {
          throw link.error("the machine's head has no end")
        }
        head.append(contentsOf: bytes)
      case .end:
        let (instructions, time, count) = try link.reading(kind, bytes) {
          (reader) throws(StateError) in
          (try reader.read(UInt64.self), try reader.read(UInt64.self), try reader.read(UInt64.self))
        }
        guard count == UInt64(head.count) else {
          throw link.error("\(head.count) bytes of the machine's head came of \(count)")
        }
        return try put(machine, disks, instructions, time)
      case .stay: throw link.error("the machine stays where it is: \(MigrationSender.text(bytes))")
      default: throw link.error("\(kind) came while the machine was being sent")
      }
    }
  }

  private func number(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> Int {
    Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
  }

  private func pageNumbers(
    _ machine: Machine, _ bytes: UnsafeRawBufferPointer, contents: Bool
  ) throws(StorageError) -> Int {
    guard bytes.count >= 4 else { throw link.error("pages without a number of them") }
    let count = number(bytes, 0)
    guard count <= 65536, bytes.count == 4 + count * (contents ? 4100 : 4) else {
      throw link.error("\(count) pages in \(bytes.count) bytes")
    }
    for n in 0..<count where !machine.hasPage(number(bytes, 4 + 4 * n)) {
      throw link.error("page \(number(bytes, 4 + 4 * n)) is not in the machine's memory")
    }
    return count
  }

  private func takePages(_ machine: Machine, _ bytes: UnsafeRawBufferPointer) throws(StorageError) {
    let count = try pageNumbers(machine, bytes, contents: true)
    for n in 0..<count {
      let page = number(bytes, 4 + 4 * n)
      machine.putBackPage(page, bytes.baseAddress! + 4 + 4 * count + 4096 * n)
      arrived[page] = true
    }
    receivedBytes += UInt64(count) << 12
  }

  private func takeZeroPages(_ machine: Machine, _ bytes: UnsafeRawBufferPointer)
    throws(StorageError)
  {
    let count = try pageNumbers(machine, bytes, contents: false)
    for n in 0..<count {
      let page = number(bytes, 4 + 4 * n)
      machine.putBackPage(page, nil)
      arrived[page] = true
    }
  }

  private func disk(
    _ offer: MigrationOffer, _ disks: [Int: any BlockDevice], _ index: Int, _ first: UInt64,
    _ count: UInt64
  ) throws(StorageError) -> (MigrationOffer.Disk, any BlockDevice) {
    guard let device = disks[index], offer.disks.indices.contains(index) else {
      throw link.error("disk \(index) does not come along")
    }
    let disk = offer.disks[index]
    guard first < disk.clusterCount, count > 0, count <= disk.clusterCount - first else {
      throw link.error("clusters \(first)+\(count) are not on the disk of \(disk.clusterCount)")
    }
    return (disk, device)
  }

  private func takeCluster(
    _ offer: MigrationOffer, _ disks: [Int: any BlockDevice], _ bytes: UnsafeRawBufferPointer
  ) throws(StorageError) {
    guard bytes.count > 12 else { throw link.error("a cluster without contents") }
    let cluster = UInt64(
      littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt64.self))
    let (disk, device) = try disk(offer, disks, number(bytes, 0), cluster, 1)
    guard bytes.count == 12 + disk.length(of: cluster) else {
      throw link.error("cluster \(cluster) with \(bytes.count - 12) bytes")
    }
    try device.write(
      block: cluster << 16 / UInt64(disk.blockSize),
      from: UnsafeRawBufferPointer(rebasing: bytes[12...]))
    receivedBytes += UInt64(bytes.count - 12)
  }

  private func takeZeroClusters(
    _ offer: MigrationOffer, _ disks: [Int: any BlockDevice], _ bytes: UnsafeRawBufferPointer
  ) throws(StorageError) {
    let (index, first, count) = try link.reading(.zeroClusters, bytes) {
      (reader) throws(StateError) in
      (try reader.read(UInt32.self), try reader.read(UInt64.self), try reader.read(UInt64.self))
    }
    let (disk, device) = try disk(offer, disks, Int(index), first, count)
    let size = UInt64(disk.blockSize)
    let end = min((first + count) << 16 / size, disk.blockCount)
    try device.discard(block: first << 16 / size, count: end - first << 16 / size)
  }

  /// Makes the machine what it is at its last instruction there.
  private func put(
    _ machine: Machine, _ disks: [Int: any BlockDevice], _ instructions: UInt64, _ time: UInt64
  ) throws(StorageError) {
    do throws(StateError) {
      try machine.putBack(head: head, isFresh: true) { () throws(StorageError) in
        // What putting the machine together has left in memory is gone with it.
        for page in machine.usedPages where !arrived[Int(page)] {
          machine.putBackPage(Int(page), nil)
        }
      }
    } catch { throw link.error("the machine cannot be put together: \(error)") }
    head = []
    guard machine.instructionCount == instructions, machine.clock.now == time else {
      throw link.error(
        "the machine is at instruction \(machine.instructionCount), and was sent at \(instructions)"
      )
    }
    for device in disks.values { try device.flush() }
  }

  // MARK: The right

  private func doubt(_ reason: StorageError, _ offer: MigrationOffer) -> MigrationArrival {
    link.close()
    return .doubt(MigrationDoubt(reason, right: right, otherLock: offer.lock))
  }

  /// - Throws: it runs where it was.
  private func awaitRight(_ offer: MigrationOffer, _ isOver: () -> Bool) throws(StorageError)
    -> MigrationArrival
  {
    let answer: (kind: MigrationMessage, bytes: UnsafeRawBufferPointer)
    do throws(StorageError) {
      answer = try link.receive(patience: link.patience * 4, unless: isOver)
    } catch {
      guard isOver() else { return doubt(error, offer) }
      // The right that comes, or is on its way, is given back with the own one.
      tellFailure("it was ended while the machine came")
      throw error
    }
    switch answer.kind {
    case .go where MigrationRight(bytes: Array(answer.bytes)).opens(offer.lock): return .mayRun
    case .stay:
      throw link.error("the machine stays where it is: \(MigrationSender.text(answer.bytes))")
    default:
      return doubt(link.error("\(answer.kind) came where the machine's right was due"), offer)
    }
  }

  /// The machine runs from here on.
  public func tellRunning() {
    // Who has the right runs the machine, whether the other end hears of it or not.
    try? link.send(.running)
    link.close()
  }

  /// The machine cannot run here after all, and does not from here on.
  public func tellFailure(_ reason: String) {
    try? link.send(.failed, right.bytes + MigrationLink.short(reason))
    link.close()
  }
}
