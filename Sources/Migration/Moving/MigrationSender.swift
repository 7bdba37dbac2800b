// Moving a machine to another process, while it runs.
//
// Owns: the rounds in which memory and disks are sent, the last one for which the machine stands, what follows when a message is lost.
// Must not know: how the other end makes a machine, whose machine it is, snapshots.
//
// First everything is sent while the machine runs; then what it has written meanwhile, again and again, until that is little, or no less
// than before. Then the machine stands between two instructions, the rest is sent, and the rights change hands (MigrationRight.swift).
// Until the right is given away whatever fails leaves the machine where it is, and it goes on.

import Host
import Machine
import State
import Storage

/// Runs something on a machine between two instructions, whichever thread has it.
public protocol MachineKeeper: AnyObject {
  func perform<T, E: Error>(_ body: @escaping (Machine) throws(E) -> T) throws(E) -> T
}

/// How a machine is moved.
public struct MigrationWish: Sendable {
  /// What the machine may stand, in nanoseconds of the host; what cannot be kept is not.
  public var pause: UInt64 = 30_000_000
  /// Bytes a second; nil: as many as there are.
  public var rate: UInt64?
  /// Rounds while the machine runs, at most.
  public var mostRounds = 30

  public init() {}
}

/// How far it is.
public struct MigrationProgress: Equatable, Sendable {
  public var round = 0
  /// Bytes of memory and disks that were sent, and that are still to be sent as far as is known.
  public var sent: UInt64 = 0
  public var left: UInt64 = 0
}

/// How a machine was moved.
public struct MigrationReport: Equatable, Sendable {
  public var rounds = 0
  public var pages: UInt64 = 0
  public var clusters: UInt64 = 0
  /// Bytes on the line.
  public var bytes: UInt64 = 0
  /// Pages that were sent while the machine stood.
  public var lastPages = 0
  /// Nanoseconds of the host from the machine's last instruction until the other end said that it runs.
  public var pause: UInt64 = 0
  /// In all.
  public var total: UInt64 = 0
}

/// How it ended.
public enum MigrationEnd: Sendable {
  /// It runs there.
  case moved(MigrationReport)
  /// It was not known whether it runs there, so it stood here; by now a user has decided.
  case decided(MigrationDoubt)
}

/// What the old place has to do when its disks' files change hands.
public struct MigrationHandover {
  /// Brings what is in the files to stable storage while the machine runs, so that little is left to do. Not on its thread.
  public var prepare: () throws(StorageError) -> Void = {}
  /// Lets others have the files. On the machine's thread.
  public var release: (Machine) throws(StorageError) -> Void
  /// Takes them again.
  /// - Throws: when somebody else has one of them, or has written it.
  public var takeBack: (Machine) throws(StorageError) -> Void

  public init(
    release: @escaping (Machine) throws(StorageError) -> Void,
    takeBack: @escaping (Machine) throws(StorageError) -> Void
  ) {
    self.release = release
    self.takeBack = takeBack
  }
}

/// Sends a machine. Used by one thread, which is not the machine's.
public final class MigrationSender: @unchecked Sendable {
  private let link: MigrationLink
  private let wish: MigrationWish
  private let right: MigrationRight
  private let offer: MigrationOffer
  private let handover: MigrationHandover
  /// Disks of which clusters are sent, by their place in the offer.
  private let disks: [(index: Int, medium: PresentMedium)]
  private let progress: (MigrationProgress) -> Void
  private let isCancelled: () -> Bool
  private let isGone: (Machine) -> Void
  private var otherLock: [UInt8] = []
  private var report = MigrationReport()
  private var state = MigrationProgress()
  /// When the sending began, and what was sent since, for the rate.
  private var rateStart: UInt64 = 0
  private let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 21, alignment: 4096)

  private static let pagesInMessage = 256
  private static let clusterSize = UInt64(UndoDevice.clusterSize)

  /// - Parameters:
  ///   - right: the right to run the machine, whose lock is in the offer.
  ///   - disks: those of the offer of which clusters are sent.
  ///   - progress: hears how far it is.
  ///   - isCancelled: asked whether the user wants it no more; as long as the machine runs.
  ///   - isGone: told, on the machine's thread, that it does not run here any more.
  public init(
    _ link: MigrationLink, _ wish: MigrationWish, right: MigrationRight, offer: MigrationOffer,
    disks: [(index: Int, medium: PresentMedium)], handover: MigrationHandover,
    progress: @escaping (MigrationProgress) -> Void = { _ in },
    isCancelled: @escaping () -> Bool = { false },
    isGone: @escaping (Machine) -> Void = { _ in }
  ) {
    (self.link, self.wish, self.right, self.offer) = (link, wish, right, offer)
    (self.disks, self.handover) = (disks, handover)
    (self.progress, self.isCancelled, self.isGone) = (progress, isCancelled, isGone)
  }

  deinit { room.deallocate() }

  /// Moves the machine.
  /// - Parameter doubt: told when it is not known whether the machine runs there: it stands until somebody decides. On its thread.
  /// - Throws: the machine runs here as before.
  public func run(
    _ keeper: some MachineKeeper, doubt: @escaping (MigrationDoubt) -> Void
  ) throws(StorageError) -> MigrationEnd {
    let start = HostClock.nanoseconds()
    defer { link.close() }
    try agree()
    rateStart = HostClock.nanoseconds()
    defer { stopNoting() }
    do throws(StorageError) {
      try sendWhileRunning(keeper)
      try handover.prepare()
      let end = try keeper.perform { [self] (machine) throws(StorageError) in
        try finish(machine, doubt)
      }
      guard case .moved = end else { return end }
      report.total = HostClock.nanoseconds() &- start
      report.bytes = link.sentBytes
      return .moved(report)
    } catch {
      if let refusal { throw refusal }
      try? link.send(.stay, MigrationLink.short(error.reason))
      throw error
    }
  }

  /// What the other end has said before it closed the connection, which is found by sending.
  private var refusal: StorageError? {
    guard !otherLock.isEmpty,
      let (kind, bytes) = try? link.receive(patience: 100_000_000), kind == .refused
    else { return nil }
    return link.error("the machine cannot go there: \(MigrationSender.text(bytes))")
  }

  // MARK: Before

  private func agree() throws(StorageError) {
    try link.send(.offer) { offer.save(to: &$0) }
    // The other end makes the machine and its disks meanwhile.
    let (kind, bytes) = try link.receive(patience: link.patience * 4, unless: isCancelled)
    switch kind {
    case .accepted:
      guard bytes.count == MigrationRight.lockLength else {
        throw link.error("the answer has no lock")
      }
      otherLock = Array(bytes)
    case .refused:
      throw link.error("the machine cannot go there: \(MigrationSender.text(bytes))")
    default: throw link.error("\(kind) came where an answer was due")
    }
  }

  static func text(_ bytes: UnsafeRawBufferPointer) -> String {
    let text = String(decoding: bytes, as: UTF8.self)
    return String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) ? "?" : $0 }))
  }

  // MARK: While it runs

  private func sendWhileRunning(_ keeper: some MachineKeeper) throws(StorageError) {
    var pages: [UInt32] = []
    var clusters: [ClusterSet?] = disks.map { _ in nil }
    try keeper.perform { [disks] (machine) throws(StorageError) in
      machine.takePagesForMoving { _ in }
      for (_, medium) in disks {
        try medium.alone { (undo) throws(StorageError) in undo.beginNoting() }
      }
      pages = machine.usedPages
    }
    var before = UInt64.max
    while true {
      state.round += 1
      report.rounds += 1
      let begun = HostClock.nanoseconds()
      let sentBefore = link.sentBytes
      state.left = UInt64(pages.count) << 12 + count(clusters) << 16
      // Disks first: meanwhile memory changes anyway.
      for (n, (index, medium)) in disks.enumerated() {
        if let set = clusters[n] {
          try send(set, of: medium, index)
        } else {
          try sendAll(of: medium, index)
        }
      }
      try keeperSend(pages, keeper)
      try settle()
      let taken = max(HostClock.nanoseconds() &- begun, 1)
      let bytesPerSecond = Double(link.sentBytes - sentBefore) * 1e9 / Double(taken)
      pages.removeAll(keepingCapacity: true)
      try keeper.perform { [disks] (machine) throws(StorageError) in
        machine.takePagesForMoving { pages.append(UInt32($0)) }
        for (n, (_, medium)) in disks.enumerated() {
          try medium.alone { (undo) throws(StorageError) in clusters[n] = undo.takeNoted() }
        }
      }
      let left = UInt64(pages.count) << 12 + count(clusters) << 16
      state.left = left
      progress(state)
      if isCancelled() { throw link.error("was cancelled: the machine stays here") }
      // What the last round took tells what the line can take while the machine stands; a third of that is for the rest.
      let most = UInt64(max(bytesPerSecond * Double(wish.pause) / 3e9, Double(1 << 20)))
      let isLittle = left <= most
      let isNoLess = before != .max && left > before - before / 8 && state.round >= 5
      if isLittle || isNoLess || state.round >= wish.mostRounds { break }
      before = left
    }
    // The rest goes with what is written until the machine stands.
    lastPages = pages
    lastClusters = clusters.map { $0 ?? ClusterSet() }
  }

  /// What the other end would have to bring to stable storage while the machine stands is there before.
  private func settle() throws(StorageError) {
    if disks.isEmpty { return }
    try link.send(.settle, [])
    let (kind, bytes) = try link.receive(patience: link.patience * 4)
    switch kind {
    case .settled: return
    case .refused: throw link.error("the machine cannot go there: \(MigrationSender.text(bytes))")
    default: throw link.error("\(kind) came where 'settled' was due")
    }
  }

  /// What the last round has found, and is sent while the machine stands.
  private var lastPages: [UInt32] = []
  private var lastClusters: [ClusterSet] = []

  private func count(_ clusters: [ClusterSet?]) -> UInt64 {
    clusters.reduce(0) { $0 + ($1?.count ?? 0) }
  }

  private func keeperSend(_ pages: [UInt32], _ keeper: some MachineKeeper) throws(StorageError) {
    // The memory stays where it is as long as the machine is there.
    let machine: Machine = keeper.perform { $0 }
    try send(pages, of: machine)
  }

  private func send(_ pages: [UInt32], of machine: Machine) throws(StorageError) {
    var at = 0
    var zeros: [UInt32] = []
    while at < pages.count {
      if isCancelled(), !isLast { throw link.error("was cancelled: the machine stays here") }
      var numbers: [UInt32] = []
      numbers.reserveCapacity(MigrationSender.pagesInMessage)
      while at < pages.count, numbers.count < MigrationSender.pagesInMessage {
        let page = pages[at]
        at += 1
        let contents = machine.contents(ofPage: Int(page))
        if ZeroSearch.isZero(contents) {
          zeros.append(page)
          if zeros.count == 65536 { try send(zeros: &zeros) }
          continue
        }
        UnsafeMutableRawBufferPointer(
          rebasing: room[numbers.count << 12..<(numbers.count + 1) << 12]
        )
        .copyMemory(from: contents)
        numbers.append(page)
      }
      if numbers.isEmpty { continue }
      var writer = StateWriter()
      writer.write(UInt32(numbers.count))
      for number in numbers { writer.write(number) }
      try StorageError.passing { failure in
        writer.bytes.withUnsafeBytes { head in
          do throws(StorageError) {
            try link.send(
              .pages, head, UnsafeRawBufferPointer(rebasing: room[..<(numbers.count << 12)]))
          } catch { failure = error }
        }
      }
      report.pages += UInt64(numbers.count)
      note(sent: UInt64(numbers.count) << 12)
    }
    if !zeros.isEmpty { try send(zeros: &zeros) }
  }

  private func send(zeros: inout [UInt32]) throws(StorageError) {
    var writer = StateWriter()
    writer.write(UInt32(zeros.count))
    for number in zeros { writer.write(number) }
    try link.send(.zeroPages, writer.bytes)
    report.pages += UInt64(zeros.count)
    zeros.removeAll(keepingCapacity: true)
  }

  /// Tells, and keeps to the rate that is wished.
  private func note(sent bytes: UInt64) {
    state.sent += bytes
    state.left -= min(state.left, bytes)
    progress(state)
    guard let rate = wish.rate, rate > 0, !isLast else { return }
    let due = rateStart &+ UInt64(Double(state.sent) * 1e9 / Double(rate))
    let now = HostClock.nanoseconds()
    if due > now {
      let condition = HostCondition()
      condition.locked { condition.wait(nanoseconds: min(due - now, 1_000_000_000)) }
    }
  }

  // MARK: Disks

  private func sendAll(of medium: PresentMedium, _ index: Int) throws(StorageError) {
    let disk = offer.disks[index]
    let perCluster = MigrationSender.clusterSize / UInt64(disk.blockSize)
    var cluster: UInt64 = 0
    while cluster < disk.clusterCount {
      // Holes are not read: a new image has them already.
      var next: UInt64 = 0
      try medium.alone { (undo) throws(StorageError) in
        next = undo.nextData(from: cluster * perCluster)
      }
      cluster = max(cluster, next / perCluster)
      if cluster >= disk.clusterCount { break }
      try send(cluster: cluster, of: medium, index, skipsZeros: true)
      cluster += 1
    }
  }

  private func send(_ set: ClusterSet, of medium: PresentMedium, _ index: Int)
    throws(StorageError)
  {
    var runs: [Range<UInt64>] = []
    set.forEachRun { runs.append($0) }
    for run in runs {
      for cluster in run where cluster < offer.disks[index].clusterCount {
        try send(cluster: cluster, of: medium, index, skipsZeros: false)
      }
    }
  }

  private func send(
    cluster: UInt64, of medium: PresentMedium, _ index: Int, skipsZeros: Bool
  ) throws(StorageError) {
    if isCancelled(), !isLast { throw link.error("was cancelled: the machine stays here") }
    let disk = offer.disks[index]
    let bytes = UnsafeMutableRawBufferPointer(rebasing: room[..<disk.length(of: cluster)])
    let first = cluster * MigrationSender.clusterSize / UInt64(disk.blockSize)
    try medium.alone { (undo) throws(StorageError) in
      try undo.read(block: first, into: bytes)
    }
    report.clusters += 1
    if ZeroSearch.isZero(UnsafeRawBufferPointer(bytes)) {
      if skipsZeros { return }
      return try link.send(.zeroClusters) { writer in
        writer.write(UInt32(index))
        writer.write(cluster)
        writer.write(UInt64(1))
      }
    }
    var writer = StateWriter()
    writer.write(UInt32(index))
    writer.write(cluster)
    try StorageError.passing { failure in
      writer.bytes.withUnsafeBytes { head in
        do throws(StorageError) {
          try link.send(.cluster, head, UnsafeRawBufferPointer(bytes))
        } catch { failure = error }
      }
    }
    note(sent: UInt64(bytes.count))
  }

  private func stopNoting() {
    for (_, medium) in disks {
      try? medium.alone { (undo) throws(StorageError) in undo.endNoting() }
    }
  }

  // MARK: While it stands

  private var isLast = false

  private func finish(
    _ machine: Machine, _ doubt: (MigrationDoubt) -> Void
  ) throws(StorageError) -> MigrationEnd {
    let start = HostClock.nanoseconds()
    isLast = true
    var pages = Set(lastPages)
    machine.takePagesForMoving { pages.insert(UInt32($0)) }
    report.lastPages = pages.count
    let head = machine.headForMoving()
    for (n, (index, medium)) in disks.enumerated() {
      var set = lastClusters[n]
      try medium.alone { (undo) throws(StorageError) in set.formUnion(undo.takeNoted()) }
      try send(set, of: medium, index)
    }
    try send(pages.sorted(), of: machine)
    var at = 0
    while at < head.count {
      let count = min(head.count - at, MigrationMessage.head.longest)
      try link.send(.head, Array(head[at..<at + count]))
      at += count
    }
    try link.send(.end) { writer in
      writer.write(machine.instructionCount)
      writer.write(machine.clock.now)
      writer.write(UInt64(head.count))
    }
    let (kind, bytes) = try link.receive(unless: { machine.input.requestedStop != nil })
    switch kind {
    case .ready: break
    case .refused: throw link.error("the machine cannot go there: \(MigrationSender.text(bytes))")
    default: throw link.error("\(kind) came where 'ready' was due")
    }
    do throws(StorageError) { try handover.release(machine) } catch {
      try? handover.takeBack(machine)
      throw error
    }
    let answer: Answer
    do throws(StorageError) { answer = try giveAway(machine) } catch {
      // Whether the right has arrived is not known.
      return stand(machine, error, doubt)
    }
    switch answer {
    case .runs:
      report.pause = HostClock.nanoseconds() &- start
      isGone(machine)
      return .moved(report)
    case .failed(let reason):
      let failure = link.error("the machine could not be run there, and goes on here: \(reason)")
      do throws(StorageError) { try handover.takeBack(machine) } catch {
        return stand(machine, error, doubt)
      }
      throw failure
    }
  }

  /// The machine stands until somebody has decided.
  private func stand(
    _ machine: Machine, _ reason: StorageError, _ tell: (MigrationDoubt) -> Void
  ) -> MigrationEnd {
    link.close()
    let doubt = MigrationDoubt(reason, right: right, otherLock: otherLock)
    tell(doubt)
    doubt.wait(
      takeBack: { [handover] () throws(StorageError) in try handover.takeBack(machine) },
      isOver: { machine.input.requestedStop != nil })
    if doubt.decision == .dropped { isGone(machine) }
    return .decided(doubt)
  }

  private enum Answer {
    case runs
    case failed(String)
  }

  /// Gives the right away and hears what became of it.
  /// - Throws: it is not known whether the machine runs there.
  private func giveAway(_ machine: Machine) throws(StorageError) -> Answer {
    try link.send(.go, right.bytes)
    let (kind, bytes) = try link.receive(unless: { machine.input.requestedStop != nil })
    switch kind {
    case .running: return .runs
    case .failed:
      let other = Array(bytes.prefix(MigrationRight.length))
      guard other.count == MigrationRight.length, MigrationRight(bytes: other).opens(otherLock)
      else { throw link.error("it says that it failed, but not by the right it had") }
      let reason = MigrationSender.text(
        UnsafeRawBufferPointer(rebasing: bytes[MigrationRight.length...]))
      return .failed(reason)
    default: throw link.error("\(kind) came where 'running' was due")
    }
  }
}
