// What a device's blocks are: a floppy of a format, a disk of a geometry.
//
// Owns: the decision by size, boot sector and partition table, and its reasons in words. Must not know: what keeps the blocks (files, image
// formats), controllers, the command line.

/// What was concluded about a device.
struct MediumPlan {
  var medium: OpenedImage.Medium
  /// Sectors of 512 bytes of the medium: the device has more, or fewer.
  var sectorCount: UInt64
  /// The device ends before the medium does.
  var isPadded = false
  var reasons: [String] = []
  var warnings: [String] = []

  /// - Parameters:
  ///   - device: at least 512 bytes.
  ///   - kind: what it must be, or `.auto`.
  /// - Throws: one line that says why it is nothing that goes into a drive.
  init(_ device: any BlockDevice, kind: ImageKind) throws(StorageError) {
    switch kind {
    case .disk: self = try MediumPlan.disk(device)
    case .floppy: self = try MediumPlan.floppy(device, mustDecide: true)!
    case .auto, .cd:
      if let floppy = try MediumPlan.floppy(device, mustDecide: false) {
        self = floppy
      } else {
        self = try MediumPlan.disk(device)
      }
    }
  }

  private init(_ medium: OpenedImage.Medium, _ sectorCount: UInt64) {
    self.medium = medium
    self.sectorCount = sectorCount
  }

  /// The image as a floppy; nil when it is none and need not be.
  private static func floppy(_ device: any BlockDevice, mustDecide: Bool) throws(StorageError)
    -> MediumPlan?
  {
    let size = device.byteCount
    if size > UInt64(FloppyFormat.largest) {
      if !mustDecide { return nil }
      throw StorageError(
        path: device.name,
        reason: "\(size) bytes are too many for a floppy (at most \(FloppyFormat.largest))")
    }
    let sector = try device.bytes(at: 0, count: 512)
    let bpb = BIOSParameterBlock(sector: sector)
    if let bpb, let format = floppyFormat(of: bpb), UInt64(format.byteCount) == size,
      bpb.totalSectors == UInt64(format.sectorCount), FloppyFormat.ofSize(size) != format
    {
      // Two geometries have this size, or none that is standard: the one in use says which.
      return fitted(device, format, "\(size) bytes: the BPB describes \(describe(format))")
    }
    if let format = FloppyFormat.ofSize(size) {
      var plan = MediumPlan(.floppy(format), UInt64(format.sectorCount))
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
          device, longer,
          reason + "; with the sectors behind it: \(describe(longer))")
      }
      return fitted(device, format, reason)
    }
    if !mustDecide && MasterBootRecord(sector: sector) != nil { return nil }
    if let format = FloppyFormat.justAbove(sectors: Int(size / 512)) {
      return fitted(
        device, format,
        "\(size) bytes, a little less than a standard floppy: taken as \(describe(format))")
    }
    if let format = FloppyFormat.beyondStandard(sectors: Int(size / 512)) {
      let isWhole = size % 512 == 0 && format.incompleteCount == nil
      // Whole tracks are a floppy's also without a boot sector, and so are a few sectors more than a standard one has.
      if mustDecide || BootSector.isSigned(sector) || (isWhole && format.sectors != 36)
        || FloppyFormat.isJustBehind(sectors: Int(size / 512))
      {
        return fitted(
          device, format,
          "\(size) bytes, "
            + (isWhole ? "whole tracks" : "a little more than a standard floppy")
            + ": taken as \(describe(format))")
      }
    }
    if !BootSector.isSigned(sector) && !mustDecide {
      if size % 512 == 0 && size >= 1 << 20 { return nil }
      throw StorageError(
        path: device.name,
        reason:
          "\(size) bytes are no floppy or disk size and there is no boot sector: not a disk image"
      )
    }
    if size > UInt64(FloppyFormat.all[8].byteCount) {
      if !mustDecide { return nil }
      throw StorageError(
        path: device.name,
        reason:
          "\(size) bytes are too many for a floppy of 2.88 MB and no whole cylinders of it, up to 86"
      )
    }
    // Small systems are commonly assembled without padding and expect the most common format; larger ones the next that holds them.
    let format =
      FloppyFormat.all[6...].first { size <= UInt64($0.byteCount) } ?? FloppyFormat.all[8]
    return fitted(
      device, format,
      "\(size) bytes, no floppy's size"
        + (BootSector.isSigned(sector) ? ", with a boot sector" : "")
        + ": taken as \(describe(format))")
  }

  private static func fitted(_ device: any BlockDevice, _ format: FloppyFormat, _ reason: String)
    -> MediumPlan
  {
    var plan = MediumPlan(.floppy(format), UInt64(format.sectorCount))
    plan.reasons.append(reason)
    let bytes = UInt64(format.byteCount)
    if bytes > device.byteCount {
      plan.isPadded = true
      plan.reasons.append("the missing \(bytes - device.byteCount) bytes read as zeros")
    } else if bytes < device.byteCount {
      plan.reasons.append("the last \(device.byteCount - bytes) bytes are left alone")
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

  private static func disk(_ device: any BlockDevice) throws(StorageError) -> MediumPlan {
    let size = device.byteCount
    let sector = try device.bytes(at: 0, count: 512)
    let tail = size % 512
    if tail != 0 && !BootSector.isSigned(sector) {
      throw StorageError(
        path: device.name,
        reason: "\(size) bytes are no whole number of sectors and there is no boot sector: "
          + "not a disk image, or truncated")
    }
    let total = (size + 511) / 512
    if total > 1 << 48 {
      throw StorageError(path: device.name, reason: "too large for an ATA disk (at most 128 PiB)")
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
          "\(device.name): partition \(partition.index) ends at sector "
            + "\(partition.start + partition.count) of \(total): the image may be truncated")
      }
    } else if let bpb = BIOSParameterBlock(sector: sector), BootSector.isSigned(sector) {
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
    var plan = MediumPlan(.disk(physical: physical, translated: translated), total)
    plan.warnings = warnings
    plan.reasons.append(
      "\(size) bytes, \(total) sectors: a disk of \(physical)"
        + (physical == translated ? "" : " (the BIOS shows \(translated))") + "; \(source)")
    if tail != 0 {
      let line =
        "the last sector has only \(tail) bytes: the rest of it reads as zeros and it cannot be written"
      plan.reasons.append(line)
      plan.warnings.append("\(device.name): \(line)")
    }
    return plan
  }
}
