// What carries out x87 instructions.
//
// Owns: the names, and which engine can use which. Must not know: how they work.

/// What carries out x87 instructions.
public enum FPUUnit: String, Sendable, CaseIterable {
  /// Portable arithmetic of 80 bits.
  case software
  /// The host's own x87.
  case host

  /// Why this unit cannot be used with an engine; nil when it can.
  public func unavailable(with engine: Engine) -> String? {
    if self == .software { return nil }
    return engine == .interpreter
      ? "the interpreter's x87 is software; only the translator uses the host's"
      : "the translator does not use the host's x87 yet"
  }
}
