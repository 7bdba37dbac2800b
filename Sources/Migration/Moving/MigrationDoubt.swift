// A machine of which it is not known whether it runs at the other end.
//
// Owns: waiting for a user's decision, and what it takes to decide. Must not know: who asks the user.

import Host
import Machine
import Storage

/// A machine that stands until somebody decides.
public final class MigrationDoubt: @unchecked Sendable {
  /// What was decided.
  public enum Decision: Equatable, Sendable {
    /// It runs here.
    case runs
    /// It does not run here any more.
    case dropped
  }

  /// Why it is not known.
  public let reason: StorageError
  private let right: MigrationRight
  private let otherLock: [UInt8]
  private let condition = HostCondition()
  private var wish: ((StorageError?) -> Void)?
  private var decided: Decision?
  /// The machine's files are being taken back.
  private var isTaking = false

  init(_ reason: StorageError, right: MigrationRight, otherLock: [UInt8]) {
    (self.reason, self.right, self.otherLock) = (reason, right, otherLock)
  }

  /// nil: nobody has decided yet.
  public var decision: Decision? { condition.locked { decided } }

  private func usage(_ reason: String) -> StorageError {
    var error = StorageError(path: "migration", reason: reason)
    error.isUsage = true
    return error
  }

  /// The machine does not run here any more.
  /// - Returns: the right by which it may run at the other end.
  public func drop() throws(StorageError) -> MigrationRight {
    let isDropped = condition.locked { () -> Bool in
      while isTaking { condition.wait() }
      if decided == nil { decided = .dropped }
      return decided == .dropped
    }
    condition.broadcast()
    if !isDropped { throw usage("the machine runs here already") }
    return right
  }

  /// The machine runs here.
  /// - Parameter other: the right of the other end, where it was dropped; nil: whoever asks is certain that it does not run there.
  /// - Throws: when that is not the other end's right, or its files cannot be had; it stands as before.
  public func resume(_ other: MigrationRight?) throws(StorageError) {
    if let other, !other.opens(otherLock) {
      throw usage(
        "this is not the code that 'apus migrate drop' prints at the other end: the machine stands as before"
      )
    }
    var failure: StorageError?
    var isAnswered = false
    let isLate = condition.locked { () -> Bool in
      if decided != nil { return true }
      wish = { error in
        failure = error
        isAnswered = true
      }
      return false
    }
    if isLate { throw usage("somebody has decided already") }
    condition.broadcast()
    condition.locked { while !isAnswered { condition.wait() } }
    if let failure { throw failure }
  }

  /// Waits until it is decided. On the machine's thread.
  /// - Parameters:
  ///   - takeBack: takes the machine's files; what fails is told to who wanted it.
  ///   - isOver: whether the process ends: then the machine does not run here any more.
  public func wait(takeBack: () throws(StorageError) -> Void, isOver: () -> Bool) {
    while true {
      let wish = condition.locked { () -> ((StorageError?) -> Void)? in
        if decided == nil, self.wish == nil { condition.wait(nanoseconds: 100_000_000) }
        defer { self.wish = nil }
        isTaking = self.wish != nil
        return self.wish
      }
      if let wish {
        var failure: StorageError?
        do throws(StorageError) { try takeBack() } catch { failure = error }
        condition.locked {
          isTaking = false
          if failure == nil { decided = .runs }
          wish(failure)
        }
        condition.broadcast()
      }
      if decision == nil, isOver() { condition.locked { if decided == nil { decided = .dropped } } }
      if decision != nil { return }
    }
  }

  /// The right by which the machine may run at the other end, once it does not run here any more.
  public var givenUp: MigrationRight? { decision == .dropped ? right : nil }
}

extension PresentMedium {
  /// Uses what notes its writes, while nobody else has the device.
  func alone(_ body: (UndoDevice) throws(StorageError) -> Void) throws(StorageError) {
    guard let undo else { return }
    if let queue = device as? QueuedDevice {
      try queue.alone { () throws(StorageError) in try body(undo) }
    } else {
      try body(undo)
    }
  }
}
