// Engines for the processors that tests run on.
//
// Owns: the one place that says which engines tests can use and gives a processor its own. Must not know: how an engine works.

import CPU
import Host
import Translator

extension Engine {
  /// Why tests cannot use this engine; nil when they can.
  public var unavailableForTests: String? {
    switch self {
    case .interpreter, .translator: nil
    case .lockstep: "tests run in one engine; each engine is held to the same vectors"
    }
  }

  /// Makes a processor execute with this engine, translated code from the first time on.
  /// - Throws: `HostError` where the host forbids executable memory.
  public func equip(_ cpu: CPU) throws(HostError) {
    if self == .interpreter { return }
    try Translator.attach(to: cpu)
    cpu.translationThreshold = 1
  }
}
