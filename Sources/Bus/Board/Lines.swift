// Wires.
//
// Owns: levels, who drives them and who is told. Must not know: what they mean.

/// A level that one device drives (an interrupt request, a gate, A20, ...), seen by any number of listeners.
///
/// Listeners are told of changes only, in the order they came. The level itself belongs to the driving device's state: after a restore
/// the driver calls `restore(level:)`, which sets the level without telling anybody (whose own states hold what they knew).
public final class Signal {
  /// The present level.
  public private(set) var level = false
  private var listener: ((Bool) -> Void)?
  /// Seldom there are more than one.
  private var others: [(Bool) -> Void] = []

  public init() {}

  /// Connects a listener, which is told of every change from now on.
  public func connect(_ listener: @escaping (Bool) -> Void) {
    if self.listener == nil { self.listener = listener } else { others.append(listener) }
  }

  /// Drives the level; the listeners hear of it if it changed.
  public func set(_ level: Bool) {
    if level == self.level { return }
    self.level = level
    listener?(level)
    for listener in others { listener(level) }
  }

  /// A low-high-low pulse, as edge-triggered inputs want it.
  public func pulse() {
    set(true)
    set(false)
  }

  /// Sets the level after a state was restored, without telling anybody.
  public func restore(level: Bool) { self.level = level }
}

/// A wire with any number of drivers; it is high while one of them is. On the ISA bus only one device may use an edge-triggered line
/// at a time; level-triggered ones are shared.
public final class Line {
  private let target: Signal
  private var drivers: [Signal] = []

  /// - Parameter target: The input at its end; nobody else may drive it.
  public init(_ target: Signal) { self.target = target }

  /// The level of the wire.
  public var level: Bool { target.level }

  /// A new signal for one driver.
  public func driver() -> Signal {
    let signal = Signal()
    drivers.append(signal)
    signal.connect { [unowned self] level in
      target.set(level || (drivers.count > 1 && drivers.contains { $0.level }))
    }
    return signal
  }

  /// Takes over the restored levels of the drivers without telling anybody.
  public func resynchronize() {
    if !drivers.isEmpty { target.restore(level: drivers.contains { $0.level }) }
  }
}
