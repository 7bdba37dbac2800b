// How the program ends, as a number.
//
// Owns: the codes and their words. Must not know: how a run came to its end.

/// The program's exit codes. A guest's own code is odd (twice its value plus one), all others are even, except that of a signal, which is
/// what shells make of it.
enum ApusExit: Equatable {
  /// The guest ended normally, or the last expectation was met, or the window was closed.
  case success
  /// The guest wrote to the exit port.
  case guest(Int)
  /// `--timeout` is over.
  case timeout
  /// `--max-instructions` is reached.
  case instructionLimit
  /// Triple fault.
  case tripleFault
  /// Something the emulator does not do yet.
  case unimplemented
  /// The guest ended before the expected text showed, or another step failed.
  case notMet
  /// The engines of `--engine lockstep` differ.
  case enginesDiffer
  /// A replay was not what had been recorded.
  case replayDiffers
  /// Bad usage, or an input file that cannot be used.
  case usage
  /// The host refused something.
  case host
  /// A signal: Ctrl-C and the like.
  case signal(Int32)

  var code: Int32 {
    switch self {
    case .success: 0
    case .guest(let code): Int32(truncatingIfNeeded: code & 0xFF)
    case .timeout: 2
    case .instructionLimit: 4
    case .tripleFault: 6
    case .unimplemented: 8
    case .notMet: 10
    case .enginesDiffer: 12
    case .replayDiffers: 14
    case .usage: 64
    case .host: 74
    case .signal(let number): 128 + number
    }
  }

  static let help = """
    Exit codes:
      0    the guest ended normally (power off, or halted for good), the last
           expectation was met, or the window was closed
      odd  the guest's own: it wrote V to the --exit-port, the code is 2V+1
           (as with QEMU's isa-debug-exit)
      2    --timeout is over
      4    --max-instructions is reached
      6    triple fault
      8    something that is not implemented yet
      10   a step failed: an expectation was not met (the guest ended before, or
           --within was over), a --change was not possible or the guest kept
           the tray locked; or a debugger command of a script failed
      12   the two engines of --engine lockstep differ
      14   a --replay differs from its recording
      64   bad usage, or an image or other file that cannot be used
      74   the host refused something (memory, a port, a window, a file), or
           output is lost (a full disk)
      129, 130, 141, 143
           ended by a signal: SIGHUP, SIGINT (Ctrl-C), a closed pipe, SIGTERM
           (128 and its number, as in shells; --json tells it from a guest's)
    """
}

/// An end of the program with one line for standard error.
struct Failure: Error, CustomStringConvertible {
  var exit: ApusExit
  var message: String
  /// The file it is about.
  var file: String?

  var description: String { message }

  static func usage(_ message: String, file: String? = nil) -> Failure {
    Failure(exit: .usage, message: message, file: file)
  }
  static func host(_ message: String, file: String? = nil) -> Failure {
    Failure(exit: .host, message: message, file: file)
  }
}
