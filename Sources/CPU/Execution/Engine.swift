// The ways of executing guest code.
//
// Owns: their names. Must not know: how they work.

/// What executes the guest's instructions; every engine gives the same results, instruction counts included.
public enum Engine: String, CaseIterable, Sendable {
  /// Decoded records, one after the other; on every host.
  case interpreter
  /// Host code made of blocks that are run often; x86-64 Linux hosts.
  case translator
  /// Both side by side, compared.
  case lockstep
}
