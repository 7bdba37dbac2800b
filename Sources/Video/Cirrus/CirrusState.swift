// The saved state of a Cirrus chip's extensions, and what debuggers see of it.
//
// Owns: the order of the fields. Must not know: what they mean beyond their ranges.

import Bus
import State

extension CirrusChip {
  func save(to writer: inout StateWriter) {
    writer.write(sequencerIndex)
    writer.write(graphicsIndex)
    for list in [sr, gr, cr, cursorColours] { writer.write(bytes: list) }
    writer.write(hiddenDAC)
    writer.write(UInt8(hiddenReads))
    writer.write(UInt16(cursorX))
    writer.write(UInt16(cursorY))
    writer.write(latches)
    writer.write(busyUntil)
    monitor.save(to: &writer)
    writer.write(transfer != nil)
    guard let transfer else { return }
    let b = transfer.blit
    for value in [
      b.width, b.height, b.targetPitch, b.sourcePitch, b.target, b.source, b.pixel, transfer.row,
      transfer.taken,
    ] { writer.write(UInt32(value)) }
    for value in [
      b.mode.rawValue, b.extensions.rawValue, b.operation?.rawValue ?? 0xFF, b.skip,
    ] { writer.write(value) }
    writer.write(b.foreground)
    writer.write(b.background)
    writer.write(b.key)
    writer.write(bytes: transfer.bytes)
  }

  func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    sequencerIndex = try reader.read()
    graphicsIndex = try reader.read()
    sr = try reader.readBytes(count: 32)
    gr = try reader.readBytes(count: 64)
    cr = try reader.readBytes(count: 64)
    gr[5] &= 4
    for (n, mask) in [
      (0x21, 0x1F), (0x23, 0x07), (0x25, 0x1F), (0x27, 0x1F), (0x2A, 0x3F), (0x2E, 0x3F),
    ] {
      gr[n] &= UInt8(mask)
    }
    cursorColours = try reader.readBytes(count: 48).map { $0 & 0x3F }
    hiddenDAC = try reader.read()
    hiddenReads = Int(try reader.read(in: UInt8(0)...4))
    cursorX = Int(try reader.read(in: UInt16(0)...2047))
    cursorY = Int(try reader.read(in: UInt16(0)...2047))
    latches = try reader.read()
    busyUntil = try reader.read()
    monitor = version >= 3 ? try DisplayDataChannel(from: &reader) : DisplayDataChannel()
    transfer = nil
    if !(try reader.readBool()) { return }
    func number(_ range: ClosedRange<UInt32>) throws(StateError) -> Int {
      Int(try reader.read(in: range))
    }
    let (width, height) = (try number(1...0x2000), try number(1...0x800))
    let (targetPitch, sourcePitch) = (try number(0...0x1FFF), try number(0...0x1FFF))
    let (target, source) = (try number(0...0x3F_FFFF), try number(0...0x3F_FFFF))
    let pixel = try number(1...4)
    let row = try number(0...UInt32(height - 1))
    let taken = try number(0...0x2003)
    let mode = BlitMode(rawValue: try reader.read())
    let extensions = BlitExtensions(rawValue: try reader.read())
    let operation = RasterOperation(rawValue: try reader.read())
    let skip = try reader.read(UInt8.self)
    let blit = Blit(
      width: width, height: height, targetPitch: targetPitch, sourcePitch: sourcePitch,
      target: target, source: source, mode: mode, extensions: extensions, pixel: pixel,
      operation: operation, skip: skip, foreground: try reader.read(),
      background: try reader.read(), key: try reader.read())
    let bytes = try reader.readBytes()
    let isFull = mode.contains(.toSystem)
    guard !mode.isDisjoint(with: [.fromSystem, .toSystem]),
      isFull ? bytes.count == blit.systemRow && taken < bytes.count : bytes.count < blit.systemRow
    else { throw reader.error("a BitBLT whose data is no row") }
    transfer = BlitTransfer(blit: blit, row: row, bytes: bytes, taken: taken)
  }

  func inspect() -> [Field] {
    [
      .bytes("sequencer extensions", Array(sr[5...])),
      .bytes("graphics extensions", Array(gr[9..<0x3A])),
      .bytes("CRT extensions", Array(cr[0x19...0x27])), .register("hidden DAC", hiddenDAC),
      .count("cursor x", cursorX), .count("cursor y", cursorY),
      .text(
        "BitBLT",
        transfer.map { "row \($0.row) of \($0.blit.height), data by the processor" }
          ?? (clock.now < busyUntil ? "busy" : "idle")),
    ]
  }
}
