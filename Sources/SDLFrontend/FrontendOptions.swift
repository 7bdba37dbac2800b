// What can be chosen about the window, and why it may not open.
//
// Owns: plain values. Must not know: SDL.

/// Choices about the window.
public struct FrontendOptions: Sendable {
  /// The window's first size in points; 0 chooses the largest round size that fits the display.
  public var width = 0
  public var height = 0
  /// Show pixels at whole multiples only.
  public var integerScaling = false
  public var fullScreen = false
  public var sound = true
  /// Counts of the guest's mouse for each pixel that the pointer moves.
  public var mouseSpeed = 1.0
  /// Where the keys for screenshots and states put their files.
  public var screenshotDirectory = "."
  /// The first words of the title.
  public var title = "Apus"

  public init() {}
}

/// The window could not be opened.
public struct FrontendError: Error, CustomStringConvertible {
  public var reason: String
  public init(_ reason: String) { self.reason = reason }
  public var description: String { reason }
}
