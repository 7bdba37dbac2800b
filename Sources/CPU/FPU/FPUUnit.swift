// What carries out x87 instructions.
//
// Owns: the names, and which engine can use which. Must not know: how they work.

/// What carries out x87 instructions.
public enum FPUUnit: String, Sendable, CaseIterable {
  /// Portable arithmetic of 80 bits.
  case software
  /// The host's own x87, for what translated code does with it; the rest (transcendental functions, FPREM, environments) is software.
  case host

  /// Why this unit cannot be used with an engine on this host; nil when it can. In lockstep the interpreter keeps to software.
  public func unavailable(with engine: Engine) -> String? {
    if self == .software { return nil }
    #if arch(x86_64)
      return engine == .interpreter
        ? "the interpreter's x87 is portable software; --engine translator uses the host's" : nil
    #else
      return "this host's processor has no x87"
    #endif
  }
}
