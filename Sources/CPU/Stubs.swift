extension CPU {
  func resetMSRs() {}
  func checkDataBreakpoints(_ linear: UInt32, _ size: UInt32, write: Bool) {}
  func executeFPU(_ i: Insn) throws(Fault) { throw .ud }
}
