// Where a run's time goes, by looking a thousand times a second.
//
// Owns: the thread that looks and what it saw. Must not know: what the places mean. The guest is not affected.

import CPU
import Host
import Machine
import Synchronization

/// Samples of where a machine is. What it does costs the machine nothing but a byte stored at each change of place.
public final class RunProfile: @unchecked Sendable {
  private let counts = Mutex([UInt64](repeating: 0, count: ExecutionPlace.names.count))
  private let running = Atomic<Bool>(true)
  private var thread: HostThread?

  /// Begins to look at a machine, which must outlive the profile's `stop`.
  public init(_ machine: Machine) throws(HostError) {
    nonisolated(unsafe) let states = machine.processors.map { UnsafePointer($0.s) }
    thread = try HostThread { [self] in
      let alarm = HostCondition()
      while running.load(ordering: .relaxed) {
        alarm.locked { alarm.wait(nanoseconds: 1_000_000) }
        // Those that do not run are where the machine left them.
        let busy = states.first { $0.pointee.place < ExecutionPlace.devices } ?? states[0]
        let place = Int(busy.pointee.place)
        counts.withLock { if $0.indices.contains(place) { $0[place] += 1 } }
      }
    }
  }

  /// Ends looking.
  public func stop() {
    running.store(false, ordering: .relaxed)
    thread?.join()
    thread = nil
  }

  /// Shares of the time by the names of `ExecutionPlace`, 0 to 1.
  public var shares: [(name: String, share: Double)] {
    let seen = counts.withLock { $0 }
    let all = Double(max(1, seen.reduce(0, +)))
    return zip(ExecutionPlace.names, seen).map { ($0, Double($1) / all) }
  }
}
