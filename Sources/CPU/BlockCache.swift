// placeholder
public final class BlockCache {}
extension CPU {
  func codeEpochChanged() {}
  func codeWritten(page: UInt32, granules: UInt64) {}
  func memoryMapChanged() { flushTLB() }
}
