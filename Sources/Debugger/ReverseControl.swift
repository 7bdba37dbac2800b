// Going back in time.
//
// Owns: what the console needs for `rs`, `rn`, `rc`, `goto` and `last-write`. Must not know: snapshots, how the past is reached.

import CPU
import Machine

/// Something that can put the machine into its own past. Positions are instructions retired since power-on.
public protocol ReverseControl: AnyObject {
  /// The earliest and latest position that can be reached.
  var range: ClosedRange<UInt64> { get }

  /// Puts the machine at a position: exactly as it was there.
  /// - Throws: an error whose description says why it cannot.
  func go(to instruction: UInt64) throws

  /// The last stop of `conditions` before the present position, or nil. The machine is then at that stop (or where it was, for nil).
  /// - Parameter accept: whether a stop counts; asked with the machine standing there.
  func goBack(
    to conditions: DebugConditions, where accept: (RunExit, [DebugRecord]) -> Bool
  ) throws -> RunExit?

  /// Registers or memory were changed by hand: what was ahead no longer follows.
  func wasChanged()

  /// One line about memory used and how far back it reaches.
  var status: String { get }
}
