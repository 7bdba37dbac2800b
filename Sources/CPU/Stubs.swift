extension CPU {
  func executeFPU(_ i: Insn) throws(Fault) { throw .ud }
}
