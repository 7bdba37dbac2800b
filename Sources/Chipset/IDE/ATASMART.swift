// What a healthy disk says of itself by SMART.
//
// Owns: the settings of SMART, its data and logs. Must not know: registers' addresses, when a command ends.
// After: ATA/ATAPI-6 clause 8.55 (data structure, logs); ATA-3 (X3.298) for attributes and thresholds; attribute numbers as drives have
// them.

import State

/// SMART of one disk.
struct ATASMART {
  /// What becomes of a subcommand.
  enum Outcome {
    case aborted, done
    /// A block of 512 bytes is to be read.
    case data
  }

  private(set) var isEnabled = true
  private(set) var savesAttributes = true
  /// The self-tests that were run, the latest last: their subcommand numbers. There is room for 21.
  private(set) var tests: [UInt8] = []

  /// Number, flags, value, threshold, raw value.
  private static let attributes:
    [(id: UInt8, flags: UInt16, value: UInt8, limit: UInt8, raw: UInt8)] = [
      (1, 0x000B, 100, 6, 0),  // read errors
      (3, 0x0003, 100, 16, 0),  // spin-up time
      (4, 0x0012, 100, 0, 1),  // starts and stops
      (5, 0x0033, 100, 36, 0),  // reallocated sectors
      (9, 0x0012, 100, 0, 1),  // hours
      (12, 0x0032, 100, 0, 1),  // power cycles
      (194, 0x0022, 69, 50, 31),  // degrees Celsius
    ]

  /// - Parameters:
  ///   - subcommand: the features register.
  ///   - low: LBA low.
  ///   - count: the sector count register.
  mutating func execute(_ subcommand: UInt8, low: UInt8, count: UInt8) -> Outcome {
    if subcommand == 0xD8 {
      isEnabled = true
      return .done
    }
    if !isEnabled { return .aborted }
    switch subcommand {
    case 0xD0, 0xD1: return .data
    case 0xD2:
      guard count == 0 || count == 0xF1 else { return .aborted }
      savesAttributes = count != 0
      return .done
    case 0xD3: return .done
    case 0xD4: return test(low)
    case 0xD5: return count == 1 && ATASMART.logs.contains(low) ? .data : .aborted
    case 0xD9:
      isEnabled = false
      return .done
    // RETURN STATUS: LBA mid and high keep 4Fh and C2h while no threshold is exceeded.
    case 0xDA: return .done
    default: return .aborted
    }
  }

  /// The logs: directory, summary of errors, self-tests.
  private static let logs: [UInt8] = [0x00, 0x01, 0x06]

  /// EXECUTE OFF-LINE IMMEDIATE: data collection, short and extended test, also captive; abort. A test is over when its command is.
  private mutating func test(_ kind: UInt8) -> Outcome {
    switch kind {
    case 0x00, 0x7F: return .done
    case 0x01, 0x02, 0x81, 0x82:
      tests.append(kind)
      if tests.count > 21 { tests.removeFirst() }
      return .done
    default: return .aborted
    }
  }

  /// The block of a subcommand that `execute` answered with `data`.
  func data(_ subcommand: UInt8, log: UInt8) -> [UInt8] {
    var page = [UInt8](repeating: 0, count: 512)
    switch (subcommand, log) {
    case (0xD0, _): fillData(&page)
    case (0xD1, _):
      page[0] = 0x10
      for (n, attribute) in ATASMART.attributes.enumerated() {
        page[2 + 12 * n] = attribute.id
        page[3 + 12 * n] = attribute.limit
      }
    case (_, 0x00):
      // A version, and how many sectors each log has from 1 on.
      page[0] = 0x01
      for log in ATASMART.logs where log > 0 { page[2 * Int(log)] = 1 }
      return page
    case (_, 0x01): page[0] = 0x01
    default: fillTests(&page)
    }
    page[511] = 0 &- page[0..<511].reduce(0, &+)
    return page
  }

  private func fillData(_ page: inout [UInt8]) {
    page[0] = 0x10
    for (n, attribute) in ATASMART.attributes.enumerated() {
      let at = 2 + 12 * n
      page[at] = attribute.id
      page[at + 1] = UInt8(truncatingIfNeeded: attribute.flags)
      page[at + 2] = UInt8(attribute.flags >> 8)
      page[at + 3] = attribute.value
      page[at + 4] = attribute.value
      page[at + 5] = attribute.raw
    }
    page[362] = 0x82  // off-line data were collected
    page[363] = 0x00  // the last self-test found nothing
    page[364] = 1  // a second for off-line data collection
    page[367] = 0x11  // off-line immediate, self-tests
    page[368] = 0x03  // saves attributes before power saving and by D2h
    page[370] = 0x01  // errors are logged
    page[372] = 1  // minutes for a short and an extended self-test
    page[373] = 1
  }

  /// The self-test log: 21 entries of 24 bytes, written in a circle.
  private func fillTests(_ page: inout [UInt8]) {
    page[0] = 0x01
    for (n, kind) in tests.enumerated() {
      page[2 + 24 * n] = kind
      page[4 + 24 * n] = 1  // hours
    }
    page[508] = UInt8(tests.count)
  }

  // MARK: State

  func save(to writer: inout StateWriter) {
    writer.write(isEnabled)
    writer.write(savesAttributes)
    writer.write(bytes: tests)
  }

  mutating func restore(from reader: inout StateReader) throws(StateError) {
    isEnabled = try reader.readBool()
    savesAttributes = try reader.readBool()
    tests = try reader.readBytes()
    if tests.count > 21 { throw reader.error("too many self-tests") }
  }
}
