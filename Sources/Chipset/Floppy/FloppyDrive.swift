// Floppy drives and the disks in them.
//
// Owns: drive types, which disk fits where, the head's place, the change line, the recording of data address marks.
// Must not know: the controller's registers and commands.
// After: IBM PC/AT and PS/2 technical references (drive types, change line); 82077AA data sheet (data rates).

import Bus
import Storage

/// The drive types, numbered as in CMOS register 10h.
public enum FloppyDriveType: UInt8, Sendable {
  case none = 0
  case fiveInch360 = 1
  case fiveInch1200 = 2
  case threeInch720 = 3
  case threeInch1440 = 4
  case threeInch2880 = 5

  /// The type a PC would have for a disk of this format.
  public static func suited(to format: FloppyFormat) -> FloppyDriveType {
    if format.isFiveInch { return .fiveInch1200 }
    return format.density == .extra ? .threeInch2880 : .threeInch1440
  }

  /// Whether a disk of this format can be put in and read.
  public func accepts(_ format: FloppyFormat) -> Bool {
    switch self {
    case .none: false
    case .fiveInch360: format.isFiveInch && format.density == .double && format.cylinders <= 43
    case .fiveInch1200: format.isFiveInch && format.density != .extra
    case .threeInch720: !format.isFiveInch && format.density == .double
    case .threeInch1440: !format.isFiveInch && format.density != .extra
    case .threeInch2880: !format.isFiveInch
    }
  }

  /// The highest track the head reaches.
  var lastTrack: Int { self == .none ? 0 : self == .fiveInch360 ? 42 : 85 }

  /// Whether the drive has a change line; the 360 KB drive does not.
  var hasChangeLine: Bool { self != .none && self != .fiveInch360 }
}

/// A disk to be put into a drive.
public struct FloppyMedium {
  /// The contents in sectors of 512 bytes; at least `format.sectorCount` sectors.
  public var image: any BlockDevice
  public var format: FloppyFormat

  public init(image: any BlockDevice, format: FloppyFormat) {
    self.image = image.withBlocks(of: 512)
    self.format = format
  }
}

/// A drive as the controller's cable sees it.
final class FloppyDrive {
  var type: FloppyDriveType
  var medium: FloppyMedium?
  /// The track the head is over.
  var track = 0
  /// The latched change line: set when a disk goes out, cleared by a step pulse with a disk in.
  var changed = true
  /// Sectors with a deleted data address mark; image files have no place for it, so it lives as long as the disk is in.
  var deletedMarks: Set<Int> = []

  init(type: FloppyDriveType) { self.type = type }

  /// The change line as the controller sees it.
  var changeLine: Bool { type.hasChangeLine && (changed || medium == nil) }

  var isWriteProtected: Bool { medium?.image.isReadOnly ?? false }

  /// The head steps; beyond its stops it stays where it is.
  func step(by tracks: Int) {
    if tracks == 0 { return }
    track = min(max(track + tracks, 0), type.lastTrack)
    if medium != nil { changed = false }
  }

  /// The rate code (0: 500, 1: 300, 2: 250 kbit/s, 3: 1 Mbit/s) at which the disk can be read in this drive.
  var rateCode: UInt8? {
    guard let format = medium?.format else { return nil }
    switch format.density {
    case .double: return type == .fiveInch1200 ? 1 : 2
    case .high: return 0
    case .extra: return 3
    }
  }

  /// The disk's track under the head, nil where nothing is recorded. 40-track disks are twice as coarse as 80-track drives.
  var mediumTrack: Int? {
    guard let format = medium?.format else { return nil }
    let coarse = type == .fiveInch1200 && format.density == .double && format.cylinders <= 43
    let found = coarse ? track / 2 : track
    return found < format.cylinders ? found : nil
  }

  /// The sector on the image; head and sector must lie inside the format.
  func imageSector(track: Int, head: Int, sector: Int) -> Int? {
    guard let format = medium?.format, sector >= 1,
      sector <= format.recordedSectors(cylinder: track, head: head)
    else { return nil }
    return (track * format.heads + head) * format.sectors + sector - 1
  }
}

/// What drives there have to be for the disks that are put in at power-on, by their order; offered to boards.
public struct FloppyDriveTypes: Sendable {
  public var types: [FloppyDriveType]
  public init(types: [FloppyDriveType]) { self.types = types }
}

extension FloppyDriveType {
  /// As boards write them; `auto` is what suits the disk.
  private static let names: [(String, FloppyDriveType)] = [
    ("360K", .fiveInch360), ("1.2M", .fiveInch1200), ("720K", .threeInch720),
    ("1.44M", .threeInch1440), ("2.88M", .threeInch2880),
  ]

  /// A socket for disks, and the drive that they go into.
  public static let part = PartType(
    "floppy-drive", "floppy drive of the controller", isMultiple: true,
    options: [
      PartOption(
        "type", .choice(["auto"] + names.map(\.0)), "auto",
        "what fits into it; auto: as the disk at power-on wants it; without a disk the first is 1.44M and others are not there"
      )
    ]
  ) { board, values in
    let name = try values.identity(on: board)
    let controller = try board.need(FloppyController.self, for: name)
    let index = board.sockets(.floppy).count
    let unit = index
    if unit > 1 { throw BoardError("\(name): the controller has two drives already") }
    try board.add(Socket(.floppy, name: name, controller: controller.stateName, unit: unit))
    let wanted = board.offered(FloppyDriveTypes.self)?.types ?? [.threeInch1440]
    controller.attach(
      drive: unit,
      names.first { $0.0 == values["type"] }?.1 ?? (index < wanted.count ? wanted[index] : .none))
  }
}
