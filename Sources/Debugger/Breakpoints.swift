// Breakpoints of every kind, with conditions, ignore counts and commands.
//
// Owns: the list, what the processor must watch for them, which of them a stop belongs to. Must not know: consoles.

import CPU

/// Something at which the user wants to stop.
struct Breakpoint {
  enum Kind: Equatable {
    case execution(address: UInt64, physical: Bool)
    case watch(Watchpoint)
    case ports(WatchedPorts)
    case interrupts(first: UInt8, last: UInt8, sources: [DebugInterruptSource])
    case modes(CPUMode)
    case events(DebugEvents)
  }

  var id: Int
  var kind: Kind
  /// What it is, for people.
  var what: String
  var isEnabled = true
  var isTemporary = false
  var condition: Expression?
  var conditionText = ""
  var ignore: UInt64 = 0
  var hits: UInt64 = 0
  var commands: [String] = []

  /// Adds what it needs to what the processor watches.
  func add(to c: inout DebugConditions) {
    switch kind {
    case .execution(let address, let physical):
      if physical {
        c.physical.insert(address)
      } else {
        c.linear.insert(UInt32(truncatingIfNeeded: address))
      }
    case .watch(let watch): c.watchpoints.append(watch)
    case .ports(let ports):
      c.events.insert(.ports)
      c.ports.append(ports)
    case .interrupts(let first, let last, let sources):
      c.events.insert(.interrupts)
      for vector in first...last {
        if sources.contains(.external) { c.interrupts[vector] = true }
        if sources.contains(.exception) { c.exceptions[vector] = true }
        if sources.contains(.software) { c.software[vector] = true }
      }
    case .modes(let mask):
      c.events.insert(.modes)
      c.modeMask.formUnion(mask)
    case .events(let events): c.events.formUnion(events)
    }
  }

  /// Whether an event is one it waits for.
  func matches(_ event: DebugEvent) -> Bool {
    switch (kind, event) {
    case (.watch(let w), .memory(let linear, let physical, let size, let isWrite, _, _)):
      if isWrite ? !w.onWrite : !w.onRead { return false }
      return w.touches(w.isPhysical ? physical : UInt64(linear), UInt32(size))
    case (.watch(let w), .otherWrite(_, let linear, let physical, let size, _, _)):
      return w.onWrite && w.touches(w.isPhysical ? physical : UInt64(linear), UInt32(size))
    case (.ports(let w), .port(let port, let width, let isWrite, _)):
      let last = UInt16(clamping: Int(port) + width - 1)
      return (isWrite ? w.onWrite : w.onRead) && w.ports.overlaps(port...last)
    case (.interrupts(let first, let last, let sources), .interrupt(let vector, let source, _)):
      return (first...last).contains(vector) && sources.contains(source)
    case (.modes(let mask), .mode(let from, let to)):
      return !from.symmetricDifference(to).isDisjoint(with: mask)
    case (.events(let events), .task): return events.contains(.tasks)
    case (.events(let events), .halt): return events.contains(.halt)
    case (.events(let events), .tripleFault): return events.contains(.tripleFault)
    case (.events(let events), .msr): return events.contains(.msr)
    case (.events(let events), .control): return events.contains(.control)
    case (.events(let events), .farBranch): return events.contains(.farBranches)
    case (.events(let events), .magic): return events.contains(.magic)
    default: return false
    }
  }
}

/// The user's breakpoints.
struct BreakpointList {
  private(set) var all: [Breakpoint] = []
  private var lastID = 0

  mutating func add(_ kind: Breakpoint.Kind, _ what: String, temporary: Bool = false) -> Int {
    lastID += 1
    all.append(Breakpoint(id: lastID, kind: kind, what: what, isTemporary: temporary))
    return lastID
  }

  mutating func remove(_ id: Int) { all.removeAll { $0.id == id } }
  mutating func removeAll() { all = [] }

  subscript(id: Int) -> Breakpoint? { all.first { $0.id == id } }

  /// Changes one.
  mutating func change(_ id: Int, _ body: (inout Breakpoint) -> Void) throws(DebuggerError) {
    guard let n = all.firstIndex(where: { $0.id == id }) else {
      throw DebuggerError("there is no breakpoint \(id)")
    }
    body(&all[n])
  }

  /// What the processor must watch.
  var conditions: DebugConditions {
    var c = DebugConditions()
    for breakpoint in all where breakpoint.isEnabled { breakpoint.add(to: &c) }
    return c
  }

  /// Candidates for a stop: which breakpoints an arrival or the records belong to.
  func candidates(_ exit: RunExit, physical: UInt64?, _ records: [DebugRecord])
    -> [(id: Int, record: DebugRecord?)]
  {
    var found: [(Int, DebugRecord?)] = []
    for b in all where b.isEnabled {
      if case .execution(let address, let isPhysical) = b.kind {
        if case .breakpoint(let linear) = exit,
          isPhysical ? address == physical : address == linear
        {
          found.append((b.id, nil))
        }
      } else if let record = records.first(where: { b.matches($0.event) }) {
        found.append((b.id, record))
      }
    }
    return found
  }
}
