// Engines for the processors that tests run on.
//
// Owns: the one place that says which engines tests can use and gives a processor its own. Must not know: how an engine works.

import CPU
import Host
import Translator
import TranslatorX86_64

extension Engine {
  /// Why tests cannot use this engine on this host; nil when they can.
  public var unavailableForTests: String? {
    self == .interpreter ? nil : Translator.obstacle
  }

  /// The engines that run a test, one after the other.
  var parts: [Engine] { self == .lockstep ? [.interpreter, .translator] : [self] }

  /// Makes a processor execute with this engine, translated code from the first time on.
  /// - Parameter fpu: what carries out x87 instructions; nil: what the engine does best.
  /// - Throws: `HostError` where the host forbids executable memory.
  func equip(_ cpu: CPU, fpu: FPUUnit?) throws(HostError) {
    cpu.softwareFPU = fpu == .software
    if self == .interpreter { return }
    try Translator.attach(to: cpu)
    cpu.translationThreshold = 1
  }
}
