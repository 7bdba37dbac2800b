// An interrupt output that software connects to one of several requests.
//
// Owns: which is chosen, and the levels of all. Must not know: who chooses, what requests.

import Bus
import State

/// Leads a device's one interrupt output to the request that was chosen for it.
public final class InterruptSelector {
  /// What the device drives.
  public let output = Signal()
  /// The number that was chosen and has a wire, or nil.
  public private(set) var selected: Int?
  private var wires: [Int: Signal] = [:]

  /// - Parameters:
  ///   - possible: the numbers of the requests that it has wires to.
  ///   - user: for errors.
  public init(_ board: Board, possible: [Int], for user: String) throws(BoardError) {
    for number in possible { wires[number] = try board.interrupt(number, for: user) }
    output.connect { [unowned self] level in
      if let selected { wires[selected]?.set(level) }
    }
  }

  /// Chooses a request; one without a wire, or nil: none.
  public func select(_ number: Int?) {
    let wanted = number.flatMap { wires[$0] == nil ? nil : $0 }
    if wanted == selected { return }
    if let selected { wires[selected]?.set(false) }
    selected = wanted
    if let wanted { wires[wanted]?.set(output.level) }
  }

  /// The choice and the level, for the state of the device it belongs to.
  public func save(to writer: inout StateWriter) {
    writer.write(UInt8(selected ?? 0xFF))
    writer.write(output.level)
  }

  /// Puts both back without telling anybody.
  public func restore(from reader: inout StateReader) throws(StateError) {
    let number = Int(try reader.read(UInt8.self))
    let level = try reader.readBool()
    guard number == 0xFF || wires[number] != nil else {
      throw reader.error("an interrupt request \(number) without a wire")
    }
    selected = number == 0xFF ? nil : number
    output.restore(level: level)
    for (wire, signal) in wires { signal.restore(level: level && wire == selected) }
  }
}
