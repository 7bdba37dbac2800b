extension CPU {
  func executeFPU(_ i: Insn) throws(Fault) { throw .ud }
}
extension CPU {
  func executeSystem(_ i: Insn) throws(Fault) { throw .ud }
  func checkIOPermission(_ port: UInt16, _ width: UInt32) throws(Fault) {}
  func checkIOBreakpoints(_ port: UInt16, _ width: UInt32) {}
  func checkInstructionBreakpoints(_ linear: UInt32) throws(Fault) {}
  func deliverFault(_ f: Fault) {
    s.pointee.shutdown = true
    requestStop()
  }
  func deliverNMI() {}
  func deliverDebugTrap() {}
  func deliverExternalInterrupt(vector: UInt8) {}
}
