// The commands of the 82077AA: their lengths, those without data, and seeking.
//
// Owns: what each command does up to the start of a data transfer. Must not know: ports.
// After: Intel 82077AA data sheet, "Command set / descriptions".

extension FloppyController {
  /// The number of bytes of the command that starts with `code`, 0 for an invalid one.
  static func commandLength(_ code: UInt8) -> Int {
    switch code & 0x1F {
    case 0x02, 0x05, 0x06, 0x09, 0x0C, 0x11, 0x16, 0x19, 0x1D: return 9
    case 0x0A: return code & 0xA0 == 0 ? 2 : 0
    case 0x0D: return code & 0xA0 == 0 ? 6 : 0
    case 0x0F: return code == 0x0F || code == 0x8F || code == 0xCF ? 3 : 0
    case 0x14: return code & 0x60 == 0 ? 1 : 0
    case 0x03: return code == 0x03 ? 3 : 0
    case 0x04, 0x07, 0x12: return code < 0x20 ? 2 : 0
    case 0x08, 0x0E, 0x10: return code < 0x20 ? 1 : 0
    case 0x13: return code == 0x13 ? 4 : 0
    default: return 0
    }
  }

  /// Runs the command whose bytes are complete.
  func execute() {
    let code = command[0]
    switch code & 0x1F {
    case 0x03:  // SPECIFY
      stepAndUnload = command[1]
      loadAndMode = command[2]
      enterCommandPhase()
    case 0x04: respond([statusThree(command[1])])  // SENSE DRIVE STATUS
    case 0x07: recalibrate(Int(command[1] & 0x03))
    case 0x08: senseInterrupt()
    case 0x0E: dumpRegisters()
    case 0x0F: seek(code, unitAndHead: command[1], number: command[2])
    case 0x10: respond([0x90])  // VERSION: enhanced controller
    case 0x12:  // PERPENDICULAR MODE: the drive bits change only with OW set
      let value = command[1]
      perpendicular = perpendicular & 0x3C | value & 0x03
      if value & 0x80 != 0 { perpendicular = value & 0x3F }
      enterCommandPhase()
    case 0x13:  // CONFIGURE
      configuration = command[2] & 0x7F
      precompensationTrack = command[3]
      enterCommandPhase()
    case 0x14:  // LOCK
      locked = code & 0x80 != 0
      respond([locked ? 0x10 : 0x00])
    default: startTransfer()
    }
  }

  /// ST3: write protect, track 0, head and drive; bits 5 and 3 are always set.
  private func statusThree(_ unitAndHead: UInt8) -> UInt8 {
    var value: UInt8 = 0x28 | unitAndHead & 0x07
    if let drive = drive(Int(unitAndHead & 0x03)), drive.type != .none {
      if drive.isWriteProtected { value |= 0x40 }
      if drive.track == 0 { value |= 0x10 }
    }
    return value
  }

  private func senseInterrupt() {
    setInterrupt(false)
    if seekEnded != 0 {
      let unit = seekEnded.trailingZeroBitCount & 3
      let bit = UInt8(1) << UInt8(unit)
      seekEnded &= ~bit
      seekBusy &= ~bit
      // What polling found about this drive is older news.
      resetStatus &= ~bit
      respond([seekStatus[unit], pcn[unit]])
      if seekEnded != 0 { setInterrupt(true) }
    } else if resetStatus != 0 {
      let unit = resetStatus.trailingZeroBitCount & 3
      resetStatus &= ~(UInt8(1) << UInt8(unit))
      respond([0xC0 | UInt8(unit), pcn[unit]])
    } else {
      respond([0x80])
    }
  }

  private func dumpRegisters() {
    respond(
      pcn + [
        stepAndUnload, loadAndMode, lastEOT,
        (locked ? 0x80 : 0) | perpendicular & 0x3F,
        configuration, precompensationTrack,
      ])
  }

  // MARK: Seeking

  /// The time of a number of steps in virtual nanoseconds: 16 - SRT milliseconds each at 500 kbit/s.
  func stepTime(_ steps: Int) -> UInt64 {
    let unit: UInt64 =
      switch rate {
      case 0: 1_000_000
      case 1: 1_666_667
      case 2: 2_000_000
      default: 500_000
      }
    let each = (16 - UInt64(stepAndUnload >> 4)) * unit
    return max(UInt64(max(steps, 0)) * each / timing.seekSpeedup, 20_000)
  }

  private func recalibrate(_ unit: Int) {
    let steps = min(drive(unit)?.track ?? 79, 79)
    startSeek(unit, target: 0, status: UInt8(unit), steps: steps)
    recalibrating |= UInt8(1) << UInt8(unit)
    enterCommandPhase()
  }

  private func seek(_ code: UInt8, unitAndHead: UInt8, number: UInt8) {
    let unit = Int(unitAndHead & 0x03)
    var target = number
    if code & 0x80 != 0 {
      // RELATIVE SEEK: inwards with DIR set.
      let moved = code & 0x40 != 0 ? Int(pcn[unit]) + Int(number) : Int(pcn[unit]) - Int(number)
      target = UInt8(min(max(moved, 0), 255))
    }
    startSeek(
      unit, target: target, status: unitAndHead & 0x07, steps: abs(Int(target) - Int(pcn[unit])))
    enterCommandPhase()
  }

  private func startSeek(_ unit: Int, target: UInt8, status: UInt8, steps: Int) {
    let bit = UInt8(1) << UInt8(unit)
    seekBusy |= bit
    seekEnded &= ~bit
    recalibrating &= ~bit
    seekTarget[unit] = target
    seekStatus[unit] = status
    clock.schedule(seekEvents[unit], after: stepTime(steps))
  }

  /// A seek or RECALIBRATE has ended.
  func seekDue(_ unit: Int) {
    let bit = UInt8(1) << UInt8(unit)
    guard seekBusy & bit != 0, seekEnded & bit == 0 else { return }
    var status = seekStatus[unit] | 0x20
    if recalibrating & bit != 0 {
      recalibrating &= ~bit
      let drive = drive(unit)
      drive?.step(by: -min(drive?.track ?? 0, 79))
      // Without a track 0 signal after 79 steps: equipment check.
      if drive == nil || drive?.type == FloppyDriveType.none || drive?.track != 0 { status |= 0x50 }
      pcn[unit] = 0
    } else {
      moveHead(unit, to: seekTarget[unit])
    }
    seekStatus[unit] = status
    seekEnded |= bit
    setInterrupt(true)
  }

  /// The controller counts steps; where the head really is, only the drive knows.
  func moveHead(_ unit: Int, to target: UInt8) {
    drive(unit)?.step(by: Int(target) - Int(pcn[unit]))
    pcn[unit] = target
  }
}
