// gdb as the one that holds a session's machine.
//
// Owns: when gdb is listened for, what the session is told of it. Must not know: packets, what running means (GDBSession.swift).

import Debugger
import Host
import Machine
import Session

/// Serves a session's machine to gdb.
public final class SessionGDB: SessionControl, @unchecked Sendable {
  private let place: CharacterTarget
  private let name: String
  private let waits: Bool
  /// Memory for the past that can be gone back to; 0: none.
  public var historyMegabytes = 256
  /// Instructions from power-on at which the run ends.
  public var instructionLimit: UInt64?
  /// Files that `monitor` may not write over, and what they are.
  public var otherFiles: [(what: String, path: String)] = []
  private var served: GDBSession?

  /// - Parameters:
  ///   - place: a port or a Unix socket.
  ///   - name: what messages call it.
  ///   - waits: the machine waits for a client before it runs.
  public init(at place: CharacterTarget, name: String, waits: Bool) {
    self.place = place
    self.name = name
    self.waits = waits
  }

  public func connect(to session: Session, machine: Machine) throws {
    let served = try GDBSession(machine: machine, at: place)
    served.otherFiles = otherFiles
    if historyMegabytes > 0 { served.keepHistory(megabytes: historyMegabytes) }
    served.instructionLimit = instructionLimit ?? UInt64.max
    served.runningChanged = { [weak session] in
      session?.setStanding($0 ? nil : "stopped by gdb")
    }
    self.served = served
    session.tell("\(waits ? "waiting" : "listening") for gdb at \(name)")
  }

  public var waitsFor: String? { waits ? "gdb at \(name)" : nil }

  public func run(_ machine: Machine, until limit: UInt64) -> StopReason {
    served?.run(stopped: waits) ?? machine.run(untilInstruction: limit)
  }
}
