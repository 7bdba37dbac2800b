// Addresses on a CD.
//
// Owns: the two ways to count sectors, and BCD. Must not know: images, drives.
// After: ECMA-130 (120 mm data CD) clauses 14.2 and 22.3.3.

/// Conversions between logical block addresses (0 is the first sector behind the first pause of two seconds) and minutes, seconds, frames.
public enum CDAddress {
  /// Sectors in a second.
  public static let framesPerSecond = 75
  /// Sectors before address 0: the pause before the first track.
  public static let firstPause = 150
  /// The sectors that minutes, seconds and frames can count: 100 minutes.
  public static let frameLimit = 100 * 60 * 75
  /// What fits on an 80-minute disc; a larger image of plain sectors is a DVD.
  public static let largestCD = 80 * 60 * 75

  /// Minutes, seconds and frames from the start of the first pause.
  ///
  /// An address that has none (a DVD's) gives the largest: 255:59:74.
  public static func msf(_ lba: Int) -> (minutes: UInt8, seconds: UInt8, frames: UInt8) {
    frames(max(0, lba &+ firstPause))
  }

  /// A number of frames as minutes, seconds and frames.
  public static func frames(_ count: Int) -> (minutes: UInt8, seconds: UInt8, frames: UInt8) {
    if count < 0 { return (0, 0, 0) }
    if count >= 256 * 60 * 75 { return (255, 59, 74) }
    return (UInt8(count / 4500), UInt8(count / 75 % 60), UInt8(count % 75))
  }

  /// The address of minutes, seconds and frames (binary); nil when they are none.
  public static func lba(minutes: UInt8, seconds: UInt8, frames: UInt8) -> Int? {
    guard minutes < 100, seconds < 60, frames < 75 else { return nil }
    return (Int(minutes) * 60 + Int(seconds)) * 75 + Int(frames) - firstPause
  }

  /// A number of two digits in BCD; 99 for larger ones.
  public static func bcd(_ value: UInt8) -> UInt8 {
    let value = min(value, 99)
    return (value / 10) << 4 | value % 10
  }
}
