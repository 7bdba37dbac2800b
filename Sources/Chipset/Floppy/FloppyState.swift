// The saved state of the floppy controller and its drives.
//
// Owns: the order of the fields and the checks on what comes back. Must not know: what they do.

import Bus
import State

extension FloppyController {
  public func save(to writer: inout StateWriter) {
    for value in [
      dor, tdr, dsr, rate, stepAndUnload, loadAndMode, configuration, precompensationTrack,
      perpendicular, lastEOT, phase.rawValue, seekBusy, seekEnded, recalibrating, resetStatus,
    ] { writer.write(value) }
    for flag in [inReset, locked, interrupt] { writer.write(flag) }
    writer.write(bytes: command)
    writer.write(bytes: result)
    writer.write(UInt8(resultPosition))
    for values in [pcn, seekStatus, seekTarget] { writer.write(bytes: values) }
    save(transfer, to: &writer)
    for drive in drives {
      writer.write(drive.type.rawValue)
      writer.write(drive.medium.map { UInt32($0.format.sectorCount) } ?? 0)
      writer.write(UInt8(drive.track))
      writer.write(drive.changed)
      writer.write(array: drive.deletedMarks.sorted().map { UInt32($0) })
    }
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    dor = try reader.read()
    tdr = try reader.read(in: 0...3)
    dsr = try reader.read()
    rate = try reader.read(in: 0...3)
    stepAndUnload = try reader.read()
    loadAndMode = try reader.read()
    configuration = try reader.read()
    precompensationTrack = try reader.read()
    perpendicular = try reader.read()
    lastEOT = try reader.read()
    guard let newPhase = Phase(rawValue: try reader.read()) else {
      throw reader.error("no such phase")
    }
    phase = newPhase
    seekBusy = try reader.read(in: 0...15)
    seekEnded = try reader.read(in: 0...15)
    recalibrating = try reader.read(in: 0...15)
    resetStatus = try reader.read(in: 0...15)
    inReset = try reader.readBool()
    locked = try reader.readBool()
    interrupt = try reader.readBool()
    command = try reader.readBytes()
    let length = command.first.map { FloppyController.commandLength($0) } ?? 1
    if command.count >= length { throw reader.error("a command of \(command.count) bytes") }
    result = try reader.readBytes()
    resultPosition = Int(try reader.read(UInt8.self))
    if result.count > 10 || resultPosition > result.count {
      throw reader.error("a result of \(result.count) bytes")
    }
    pcn = try reader.readBytes(count: 4)
    seekStatus = try reader.readBytes(count: 4)
    seekTarget = try reader.readBytes(count: 4)
    transfer = try restoredTransfer(from: &reader)
    for (index, drive) in drives.enumerated() {
      let type = try reader.read(UInt8.self)
      let sectors = try reader.read(UInt32.self)
      let present = drive.medium.map { UInt32($0.format.sectorCount) } ?? 0
      // A drive without a disk is of the type that its disk wanted when the machine was made.
      if let saved = FloppyDriveType(rawValue: type),
        drive.medium.map({ saved.accepts($0.format) }) ?? true
      {
        drive.type = saved
      }
      if type != drive.type.rawValue || sectors != present {
        throw reader.error(
          "floppy drive \(index) of the state is of type \(type) with a disk of \(sectors) sectors, "
            + "this machine's is of type \(drive.type.rawValue) with \(present)")
      }
      drive.track = Int(try reader.read(in: 0...UInt8(drive.type.lastTrack)))
      drive.changed = try reader.readBool()
      let marks = try reader.readArray(of: UInt32.self)
      if marks.contains(where: { $0 >= present }) {
        throw reader.error("a deleted mark outside the disk")
      }
      drive.deletedMarks = Set(marks.map { Int($0) })
    }
    irq.restore(level: interruptLevel)
  }

  private func save(_ t: FloppyTransfer, to writer: inout StateWriter) {
    for value in [
      t.operation.rawValue, t.stage.rawValue, UInt8(t.unit), UInt8(t.head), t.c, t.h, t.r, t.n,
      t.eot, t.dtl, t.st0, t.st1, t.st2,
    ] { writer.write(value) }
    for flag in [t.multiTrack, t.skip, t.mfm, t.counts, t.stopsHere, t.terminalCount] {
      writer.write(flag)
    }
    for number in [t.remaining, t.slot, t.imageSector, t.position, t.count] {
      writer.write(Int32(truncatingIfNeeded: number))
    }
    writer.write(bytes: t.bytes)
  }

  private func restoredTransfer(from reader: inout StateReader) throws(StateError) -> FloppyTransfer
  {
    var t = FloppyTransfer()
    guard let operation = FloppyTransfer.Operation(rawValue: try reader.read()),
      let stage = FloppyTransfer.Stage(rawValue: try reader.read())
    else { throw reader.error("no such transfer") }
    t.operation = operation
    t.stage = stage
    t.unit = Int(try reader.read(in: UInt8(0)...3))
    t.head = Int(try reader.read(in: UInt8(0)...1))
    t.c = try reader.read()
    t.h = try reader.read()
    t.r = try reader.read()
    t.n = try reader.read()
    t.eot = try reader.read()
    t.dtl = try reader.read()
    t.st0 = try reader.read()
    t.st1 = try reader.read()
    t.st2 = try reader.read()
    t.multiTrack = try reader.readBool()
    t.skip = try reader.readBool()
    t.mfm = try reader.readBool()
    t.counts = try reader.readBool()
    t.stopsHere = try reader.readBool()
    t.terminalCount = try reader.readBool()
    // VERIFY with a count of 0 goes down to -1.
    t.remaining = Int(try reader.read(in: Int32(-1)...255))
    t.slot = Int(try reader.read(in: Int32(0)...255))
    t.imageSector = Int(try reader.read(in: Int32(0)...65535))
    t.position = Int(try reader.read(in: Int32(0)...512))
    t.count = Int(try reader.read(in: Int32(0)...512))
    t.bytes = try reader.readBytes(count: 512)
    return t
  }
}

extension FloppyController {
  public func inspect() -> [Field] {
    let t = transfer
    return [
      .register("dor", dor), .count("drive", dor & 3), .flag("in reset", inReset),
      .flag("DMA and interrupt", dor & 8 != 0), .register("motors", dor >> 4), .count("rate", rate),
      .text("phase", "\(phase)"), .flag("IRQ 6", irq.level), .bytes("command", command),
      .bytes("result", result), .count("result read", resultPosition),
      .register("configuration", configuration), .flag("locked", locked),
      .register("seek busy", seekBusy), .register("seek ended", seekEnded),
      .bytes("cylinders", pcn),
      .group(
        "transfer",
        [
          .text("operation", "\(t.operation)"), .count("unit", t.unit), .count("c", t.c),
          .count("h", t.h), .count("r", t.r), .count("n", t.n), .count("eot", t.eot),
          .flag("multi-track", t.multiTrack), .flag("MFM", t.mfm),
          .bytes("st0-2", [t.st0, t.st1, t.st2]), .count("position", t.position),
          .count("count", t.count),
        ]),
    ]
      + drives.enumerated().map { n, drive in
        .group(
          "drive \(n)",
          [
            .text("type", "\(drive.type)"), .flag("disk", drive.medium != nil),
            .count("track", drive.track), .flag("change line", drive.changeLine),
            .flag("write-protected", drive.isWriteProtected),
          ])
      }
  }
}
