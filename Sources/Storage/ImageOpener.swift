// From a path to a disk: what kind of image it is, and its geometry.
//
// Owns: the decision and its reasons in words (for --explain). Must not know: controllers, the command line.

/// What the user says an image is.
public enum ImageKind: String, Sendable {
  /// To be found out.
  case auto
  case floppy
  case disk
  case cd
}

/// An image that is ready for a drive.
public struct OpenedImage {
  /// What the image is.
  public enum Medium: Equatable, Sendable {
    /// A floppy of this format.
    case floppy(FloppyFormat)
    /// A hard disk: what the drive reports (at most 16 heads), and the geometry the BIOS shows (at most 1024 cylinders).
    case disk(physical: DiskGeometry, translated: DiskGeometry)
  }

  /// The file's name as it was given.
  public var path: String
  /// The contents.
  public var device: any BlockDevice
  public var medium: Medium
  /// Why this kind and geometry were concluded, a line each.
  public var reasons: [String]
  /// What the user should hear without asking, a line each.
  public var warnings: [String]
  /// The layer that takes the writes when it was opened as a snapshot; it belongs to the machine's state.
  public var overlay: SnapshotOverlay?
}

/// Opens images.
public enum ImageOpener {
  /// Opens an image and finds out what it is.
  /// - Parameters:
  ///   - kind: what it must be, or `.auto`.
  ///   - readOnly: the guest sees a write-protected medium.
  ///   - snapshot: writes stay in memory.
  /// - Throws: one line that says what is wrong.
  public static func open(
    path: String, kind: ImageKind = .auto, readOnly: Bool = false, snapshot: Bool = false
  ) throws(StorageError) -> OpenedImage {
    if kind == .cd { throw StorageError(path: path, reason: "CDs are not supported yet") }
    let file = try HostFile(path: path, writable: !readOnly && !snapshot)
    var plan = try Plan(file: file, kind: kind)
    if let refusal = file.writeRefusal {
      plan.warnings.append(
        "\(path): may not be written (\(refusal)): the medium is write-protected")
    }

    // A padded floppy must not look writable: what the guest wrote behind the file's end could not be kept.
    let protected = readOnly || plan.isPadded
    if protected { file.shareLock() }
    let raw = RawImage(file: file, sectorCount: plan.sectorCount, writeProtected: protected)
    if plan.isPadded && !snapshot && !readOnly && file.isWritable {
      plan.warnings.append(
        "\(path): the image is shorter than its format: write-protected, as the file would have to grow "
          + "(make it \(plan.sectorCount * 512) bytes long, or use a snapshot, to write)")
    }
    var overlay: SnapshotOverlay?
    if snapshot {
      overlay = SnapshotOverlay(base: raw, isReadOnly: readOnly)
      plan.reasons.append("a snapshot: writes stay in memory")
    }
    if !snapshot && raw.isReadOnly { plan.reasons.append("write-protected") }
    return OpenedImage(
      path: path, device: overlay ?? raw, medium: plan.medium, reasons: plan.reasons,
      warnings: plan.warnings, overlay: overlay)
  }

  /// What was concluded about a file.
  private struct Plan {
    var medium: OpenedImage.Medium
    var sectorCount: UInt64
    var isPadded = false
    var reasons: [String] = []
    var warnings: [String] = []

    init(file: HostFile, kind: ImageKind) throws(StorageError) {
      let size = file.size
      func refuse(_ reason: String) -> StorageError {
        StorageError(path: file.path, reason: reason)
      }
      if size == 0 { throw refuse("the file is empty") }
      if size < 512 {
        throw refuse(
          "the file has only \(size) bytes, less than one sector: truncated, or not a disk image")
      }
      var notes: [String] = []
      var size512 = size
      switch try ImageSignature(file: file) {
      case .cd(let what, let isHybrid) where kind == .auto:
        guard isHybrid else { throw refuse("is a CD image (\(what)); CDs are not supported yet") }
        // The small ones are rescue floppies; what does not fit on 1.44 MB was meant for larger media.
        if size <= UInt64(FloppyFormat.all[6].byteCount),
          let plan = try Plan.floppy(file, mustDecide: true)
        {
          self = plan
          reasons.insert("a CD image (\(what)) that also boots from a floppy: used as one", at: 0)
          return
        }
        notes.append("a CD image (\(what)) that is also a bootable disk: used as a disk")
      case .unsupported(let what):
        throw refuse("is \(what)")
      case .fixedVHD(let footer) where kind != .floppy:
        size512 -= footer
        notes.append("a VHD footer at the end is left alone")
      default:
        break
      }
      if !notes.isEmpty && kind != .floppy {
        self = try Plan.disk(file, size512)
        reasons = notes + reasons
        return
      }
      switch kind {
      case .disk: self = try Plan.disk(file, size512)
      case .floppy: self = try Plan.floppy(file, mustDecide: true)!
      default:
        if let floppy = try Plan.floppy(file, mustDecide: false) {
          self = floppy
        } else {
          self = try Plan.disk(file, size512)
        }
      }
    }

    private init(_ medium: OpenedImage.Medium, _ sectorCount: UInt64) {
      self.medium = medium
      self.sectorCount = sectorCount
    }

    private static func isBootSector(_ sector: [UInt8]) -> Bool {
      sector.count >= 512 && sector[510] == 0x55 && sector[511] == 0xAA
    }

    /// The image as a floppy; nil when it is none and need not be.
    private static func floppy(_ file: HostFile, mustDecide: Bool) throws(StorageError) -> Plan? {
      let size = file.size
      if size > UInt64(FloppyFormat.largest) {
        if !mustDecide { return nil }
        throw StorageError(
          path: file.path,
          reason: "\(size) bytes are too many for a floppy (at most \(FloppyFormat.largest))")
      }
      let sector = try file.bytes(at: 0, count: 512)
      let bpb = BIOSParameterBlock(sector: sector)
      if let bpb, let format = floppyFormat(of: bpb), UInt64(format.byteCount) == size,
        bpb.totalSectors == UInt64(format.sectorCount), FloppyFormat.ofSize(size) != format
      {
        // Two geometries have this size, or none that is standard: the one in use says which.
        return fitted(file, format, "\(size) bytes: the BPB describes \(describe(format))")
      }
      if let format = FloppyFormat.ofSize(size) {
        var plan = Plan(.floppy(format), UInt64(format.sectorCount))
        var line = "\(size) bytes: \(describe(format))"
        if let bpb {
          let agrees =
            bpb.totalSectors == UInt64(format.sectorCount) && bpb.heads == format.heads
            && bpb.sectorsPerTrack == format.sectors
          line +=
            agrees
            ? "; the BPB agrees"
            : "; the BPB says \(bpb.heads) heads, \(bpb.sectorsPerTrack) sectors, "
              + "\(bpb.totalSectors) in all, but the size decides"
        }
        plan.reasons.append(line)
        return plan
      }
      // F8h is a hard disk's descriptor; floppies that have it are of a standard size.
      if let bpb, bpb.media == 0xF8, !mustDecide { return nil }
      if let bpb, let format = floppyFormat(of: bpb) {
        let reason = "\(size) bytes, but the BPB describes \(describe(format))"
        // Whole sectors behind the file system are part of the disk, if a drive could reach them.
        if size % 512 == 0, size > UInt64(format.byteCount),
          let longer = format.holding(sectors: Int(size / 512))
        {
          return fitted(
            file, longer,
            reason + "; with the sectors behind it: \(describe(longer))")
        }
        return fitted(file, format, reason)
      }
      if !mustDecide && MasterBootRecord(sector: sector) != nil { return nil }
      if mustDecide || isBootSector(sector),
        let format = FloppyFormat.justAbove(sectors: Int(size / 512))
      {
        return fitted(
          file, format,
          "\(size) bytes, a little less than a standard floppy: taken as \(describe(format))")
      }
      if let format = FloppyFormat.beyondStandard(sectors: Int(size / 512)) {
        let isWhole = size % 512 == 0 && format.incompleteCount == nil
        // Whole tracks are a floppy's also without a boot sector.
        if mustDecide || isBootSector(sector) || (isWhole && format.sectors != 36) {
          return fitted(
            file, format,
            "\(size) bytes, "
              + (isWhole ? "whole tracks" : "a little more than a standard floppy")
              + ": taken as \(describe(format))")
        }
      }
      if !isBootSector(sector) && !mustDecide {
        if size % 512 == 0 && size >= 1 << 20 { return nil }
        throw StorageError(
          path: file.path,
          reason:
            "\(size) bytes are no floppy or disk size and there is no boot sector: not a disk image"
        )
      }
      if size > UInt64(FloppyFormat.all[8].byteCount) {
        if !mustDecide { return nil }
        throw StorageError(
          path: file.path,
          reason:
            "\(size) bytes are too many for a floppy of 2.88 MB and no whole cylinders of it, up to 86"
        )
      }
      // Small systems are commonly assembled without padding and expect the most common format; larger ones the next that holds them.
      let format =
        FloppyFormat.all[6...].first { size <= UInt64($0.byteCount) } ?? FloppyFormat.all[8]
      return fitted(
        file, format,
        "\(size) bytes, no floppy's size"
          + (isBootSector(sector) ? ", with a boot sector" : "") + ": taken as \(describe(format))")
    }

    private static func fitted(_ file: HostFile, _ format: FloppyFormat, _ reason: String) -> Plan {
      var plan = Plan(.floppy(format), UInt64(format.sectorCount))
      plan.reasons.append(reason)
      let bytes = UInt64(format.byteCount)
      if bytes > file.size {
        plan.isPadded = true
        plan.reasons.append("the missing \(bytes - file.size) bytes read as zeros")
      } else if bytes < file.size {
        plan.reasons.append("the last \(file.size - bytes) bytes are left alone")
      }
      return plan
    }

    private static func describe(_ format: FloppyFormat) -> String {
      "\(format.cylinders) cylinders, \(format.heads) \(format.heads == 1 ? "head" : "heads"), "
        + "\(format.sectors) sectors: \(format.name) floppy"
        + (format.incompleteCount == nil ? "" : ", the last cylinder not complete")
    }

    private static func floppyFormat(of bpb: BIOSParameterBlock) -> FloppyFormat? {
      guard bpb.totalSectors <= UInt64(FloppyFormat.largest / 512), bpb.heads <= 2 else {
        return nil
      }
      // A file system may leave out the end of the last cylinders; the drive still has them.
      let perCylinder = UInt64(bpb.heads * bpb.sectorsPerTrack)
      let cylinders = Int((bpb.totalSectors + perCylinder - 1) / perCylinder)
      return FloppyFormat.withGeometry(
        cylinders: max(cylinders, cylinders > 42 ? 80 : 40), heads: bpb.heads,
        sectors: bpb.sectorsPerTrack)
    }

    private static func disk(_ file: HostFile, _ size: UInt64) throws(StorageError) -> Plan {
      let sector = try file.bytes(at: 0, count: 512)
      let tail = size % 512
      if tail != 0 && !isBootSector(sector) {
        throw StorageError(
          path: file.path,
          reason: "\(size) bytes are no whole number of sectors and there is no boot sector: "
            + "not a disk image, or truncated")
      }
      let total = (size + 511) / 512
      if total > 1 << 48 {
        throw StorageError(path: file.path, reason: "too large for an ATA disk (at most 128 PiB)")
      }
      var physical = DiskGeometry.standard(sectorCount: total)
      var translated = DiskGeometry.lbaAssisted(sectorCount: total)
      var source = "no geometry is recorded in it"
      var warnings: [String] = []
      var found: (heads: Int, sectors: Int)?
      if let table = MasterBootRecord(sector: sector) {
        found = table.headsAndSectors()
        source =
          found == nil
          ? "the partition table fits no geometry" : "the partition table agrees with it"
        for partition in table.partitions
        where partition.type != 0xEE && partition.start + partition.count > total {
          warnings.append(
            "\(file.path): partition \(partition.index) ends at sector "
              + "\(partition.start + partition.count) of \(total): the image may be truncated")
        }
      } else if let bpb = BIOSParameterBlock(sector: sector), isBootSector(sector) {
        found = (bpb.heads, bpb.sectorsPerTrack)
        source = "the BPB says so"
      }
      if let found {
        let standard = DiskGeometry.fitting(
          total, heads: found.heads, sectors: found.sectors, limit: 1024)
        translated = standard
        if found.heads <= 16 {
          physical = DiskGeometry.fitting(
            total, heads: found.heads, sectors: found.sectors, limit: 16383)
        }
      }
      var plan = Plan(.disk(physical: physical, translated: translated), total)
      plan.warnings = warnings
      plan.reasons.append(
        "\(size) bytes, \(total) sectors: a disk of \(physical)"
          + (physical == translated ? "" : " (the BIOS shows \(translated))") + "; \(source)")
      if tail != 0 {
        let line =
          "the last sector has only \(tail) bytes: the rest of it reads as zeros and it cannot be written"
        plan.reasons.append(line)
        plan.warnings.append("\(file.path): \(line)")
      }
      return plan
    }
  }
}
