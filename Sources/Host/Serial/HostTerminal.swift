// The controlling terminal as a serial line.
//
// Owns: raw mode and the certainty that it is undone at the end. Must not know: who reads.

import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The terminal on standard input.
public enum HostTerminal {
  private static let saved = Mutex<termios?>(nil)

  /// Whether standard input is a terminal.
  public static var isInteractive: Bool { isatty(0) == 1 }
  /// Whether a descriptor is a terminal.
  public static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

  /// Hands every key to the program, Ctrl-C included. Undone by `restore`, at the latest when the process exits.
  public static func makeRaw() {
    saved.withLock { saved in
      if saved != nil || isatty(0) != 1 { return }
      var mode = termios()
      if tcgetattr(0, &mode) != 0 { return }
      saved = mode
      mode.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG | IEXTEN)
      mode.c_iflag &= ~tcflag_t(IXON | ICRNL | INLCR | IGNCR | BRKINT | ISTRIP)
      withUnsafeMutableBytes(of: &mode.c_cc) {
        $0[Int(VMIN)] = 1
        $0[Int(VTIME)] = 0
      }
      tcsetattr(0, TCSANOW, &mode)
      atexit { HostTerminal.restore() }
    }
  }

  /// Gives the terminal back as it was.
  public static func restore() {
    saved.withLock { saved in
      guard var mode = saved else { return }
      saved = nil
      tcsetattr(0, TCSADRAIN, &mode)
    }
  }
}
