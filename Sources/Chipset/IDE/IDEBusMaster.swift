// What a channel knows of the engine that moves its drives' data by DMA.
//
// Owns: the protocol between the two. Must not know: registers and tables of an engine (`BusMasterIDE` does), commands.
// After: ATA/ATAPI-6 clauses 9.7 and 9.11 (DMARQ, DMACK-).
//
// A drive that has data for DMA, or wants some, opens a window as for PIO, with the phase `dmaReading` or `dmaWriting`, and calls
// `IDEDrive.requestDMA()`. The engine moves bytes when it is started, at once or later, between memory and `dmaWindow`, and says so with
// `dmaMoved`; behind the last byte of the window the drive is told by `windowRead` or `windowWritten` as after PIO: it waits for the
// next window or ends the command. A drive without an engine, or with one that is never started, waits until it is reset.

/// An engine that moves data between memory and the drives of one channel.
public protocol IDEBusMaster: AnyObject {
  /// The selected drive raised DMARQ: it has a window to be moved.
  func dmaRequested(by drive: IDEDrive)
  /// INTRQ of the channel went high or low.
  func interruptChanged(to level: Bool)
}

extension IDEDrive {
  /// Whether the window that is open is one for DMA (DMARQ).
  final var wantsDMA: Bool { phase == .dmaReading || phase == .dmaWriting }

  /// Asks for the window that was just opened to be moved by DMA. All of it may have been moved when this returns.
  final func requestDMA() { channel?.dmaRequested(by: self) }

  /// What is left of a window for DMA.
  final var dmaWindow: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: buffer + position, count: wantsDMA ? max(bytesLeft, 0) : 0)
  }

  /// The first bytes of `dmaWindow` were moved.
  final func dmaMoved(_ byteCount: Int) {
    guard wantsDMA, byteCount > 0, byteCount <= bytesLeft else { return }
    position &+= byteCount
    if position < windowEnd { return }
    if phase == .dmaReading { windowRead() } else { windowWritten() }
  }
}
