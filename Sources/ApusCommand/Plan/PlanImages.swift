// Which image goes into which drive.
//
// Owns: opening images, the drives they go to, what contradicts the order of booting. Must not know: how an image's kind is found out.

import Chipset
import Host
import Machine
import Storage

extension Plan {
  /// What `--floppy-a` and `--floppy-b` take in place of an image; a file of that name is `./empty`.
  static let drivesWithoutDisk: [String: FloppyDriveType] = [
    "empty": .threeInch1440, "none": FloppyDriveType.none,
  ]

  /// What `--cdrom` takes in place of an image; a file of that name is `./empty`.
  static let emptyCDDrive = "empty"
  /// The places of `MachineConfiguration.cds` by their names.
  private static let places = ["hda", "hdb", "hdc", "hdd"]
  private static let placeWords = [
    "primary master", "primary slave", "secondary master", "secondary slave",
  ]

  /// The place for a CD drive: where the user wants it, or the first that is free.
  private func cdPlace(_ wanted: String?) throws -> Int {
    if let wanted {
      guard let place = Plan.places.firstIndex(of: wanted.lowercased()) else {
        throw Failure.usage("--cdrom-at is hda, hdb, hdc or hdd, not '\(wanted)'")
      }
      if configuration.disks[place] != nil {
        throw Failure.usage("--cdrom-at \(wanted): a hard disk is there")
      }
      return place
    }
    guard let place = [2, 3, 1, 0].first(where: { configuration.disks[$0] == nil }) else {
      throw Failure.usage("there is no place for a CD drive beside four hard disks")
    }
    return place
  }

  /// The place of the CD drive that there is.
  private var cdDrive: Int? { configuration.cds.firstIndex { $0 != nil } }

  mutating func openImages(
    _ options: ApusOptions, _ media: [(path: String, isDisk: Bool)], keepsOff: Bool,
    looksOnly: Bool
  ) throws {
    var opened: [(path: String, isProtected: Bool)] = []
    func open(_ text: String, _ kind: ImageKind) throws -> OpenedImage {
      let (path, isProtected) = FloppyChoice.parts(of: text)
      // Two drives that only read a file do not disturb each other.
      for other in opened
      where !keepsOff && !(isProtected && other.isProtected) && HostFiles.isSame(path, other.path) {
        throw Failure.usage(
          "\(path): is given twice (possible with --snapshot, which writes nothing, or with :ro behind both)",
          file: path)
      }
      opened.append((path, isProtected))
      do {
        return try ImageOpener.open(
          path: path, kind: kind, readOnly: isProtected, snapshot: keepsOff, looksOnly: looksOnly)
      } catch {
        let hint =
          HostFiles.exists(path)
          ? "" : ForeignOptions.subcommand(near: path).map { " (did you mean \($0)?)" } ?? ""
        throw Failure.usage("\(error)\(hint)", file: path)
      }
    }
    func note(_ image: OpenedImage, _ drive: String, _ plan: inout Plan) {
      plan.images.append(image)
      plan.warnings += image.warnings
      plan.explanations.append("\(image.path): \(drive)")
      plan.explanations += image.reasons.map { "  \($0)" }
    }
    /// One that is in no drive.
    func further(_ image: OpenedImage, _ drive: Int?, _ words: String, _ plan: inout Plan) {
      plan.furtherImages.append((drive, image))
      plan.warnings += image.warnings
      plan.explanations.append("\(image.path): \(words)")
      plan.explanations += image.reasons.map { "  \($0)" }
    }
    func floppy(_ image: OpenedImage, _ index: Int, _ plan: inout Plan) {
      plan.configuration.floppies[index] = MachineImage(image)
      note(image, "drive \(index == 0 ? "A" : "B")", &plan)
    }
    /// Into the CD drive, which is made where there is none.
    func cd(_ image: OpenedImage, _ plan: inout Plan) throws {
      if let place = plan.cdDrive {
        if case .disc? = plan.configuration.cds[place] {
          further(image, nil, "a CD, but there is one in the drive", &plan)
          throw Failure.usage(
            "\(image.path): there is a disc in the CD drive (--cdrom, given again, takes further ones)",
            file: image.path)
        }
      }
      let place = try plan.cdDrive ?? plan.cdPlace(options.cdromAt)
      plan.configuration.cds[place] = .disc(MachineImage(image))
      note(image, "CD drive, \(Plan.placeWords[place])", &plan)
    }
    func disk(_ image: OpenedImage, _ index: Int, _ plan: inout Plan) {
      plan.configuration.disks[index] = MachineImage(image)
      note(image, "hard disk \(index + 1)", &plan)
    }
    /// Who only looks wants to hear of all that is wrong.
    func attempt(_ plan: inout Plan, _ body: (inout Plan) throws -> Void) throws {
      do { try body(&plan) } catch let failure as Failure where looksOnly {
        plan.failures.append(failure)
      }
    }
    floppyLists = [options.floppyA, options.floppyB]
    for (index, list) in floppyLists.enumerated() {
      guard let first = list.first else { continue }
      if let type = Plan.drivesWithoutDisk[first] {
        if list.count > 1 {
          throw Failure.usage(
            "--floppy-\(index == 0 ? "a" : "b") \(first): is for a drive without a disk, and goes with no other"
          )
        }
        configuration.floppyTypes[index] = type
        floppyLists[index] = []
        explanations.append("\(first): drive \(index == 0 ? "A" : "B")")
        continue
      }
      try attempt(&self) { plan in
        let image = try open(first, .floppy)
        floppy(image, index, &plan)
        for text in list.dropFirst() {
          try attempt(&plan) { plan in
            let other = try plan.further(
              text, of: list, drive: index, after: image, keepsOff: keepsOff, looksOnly: looksOnly)
            further(other, index, "drive \(index == 0 ? "A" : "B"), to be put in later", &plan)
          }
        }
      }
    }
    for (index, path) in [options.hda, options.hdb, options.hdc, options.hdd].enumerated() {
      guard let path else { continue }
      try attempt(&self) { disk(try open(path, .disk), index, &$0) }
    }
    if options.cdromAt != nil && options.cdrom.isEmpty {
      throw Failure.usage("--cdrom-at goes with --cdrom")
    }
    if let first = options.cdrom.first {
      if first == Plan.emptyCDDrive {
        if options.cdrom.count > 1 {
          throw Failure.usage(
            "--cdrom empty: is for a drive without a disc, and goes with no other")
        }
        let place = try cdPlace(options.cdromAt)
        configuration.cds[place] = .empty
        explanations.append("empty: CD drive, \(Plan.placeWords[place])")
      } else {
        cdList = options.cdrom
        for (n, text) in options.cdrom.enumerated() {
          try attempt(&self) { plan in
            let path = FloppyChoice.parts(of: text).path
            let image: OpenedImage
            do {
              image = try ImageOpener.open(path: path, kind: .cd, looksOnly: looksOnly || n > 0)
            } catch { throw Failure.usage("\(error)", file: path) }
            if n == 0 {
              try cd(image, &plan)
            } else {
              further(image, nil, "CD drive, to be put in later", &plan)
            }
          }
        }
      }
    }
    for (path, isDisk) in media {
      try attempt(&self) { plan in
        let image = try open(path, isDisk ? .disk : .auto)
        if case .cd = image.medium { return try cd(image, &plan) }
        if !isDisk { plan.warnings += Plan.kernelHint(image) }
        if !isDisk, case .floppy = image.medium {
          guard
            let free = plan.configuration.floppies.indices.first(where: {
              plan.configuration.floppies[$0] == nil && plan.configuration.floppyTypes[$0] == nil
            })
          else {
            further(image, nil, "a floppy, but no floppy drive is left", &plan)
            throw Failure.usage("\(path): there are only two floppy drives", file: path)
          }
          floppy(image, free, &plan)
        } else {
          guard
            let free = plan.configuration.disks.indices.first(where: {
              plan.configuration.disks[$0] == nil && plan.configuration.cds[$0] == nil
            })
          else {
            further(image, nil, "a hard disk, but there are four", &plan)
            throw Failure.usage("\(path): there are only four hard disks", file: path)
          }
          disk(image, free, &plan)
        }
      }
    }
    if !failures.isEmpty { return }
    try checkFilesBelow()
    let hasFloppy = configuration.floppies.contains { $0 != nil }
    let hasDisk = configuration.disks.contains { $0 != nil }
    let hasCD = configuration.cds.contains { if case .disc? = $0 { true } else { false } }
    let usesDemo =
      !hasFloppy && !hasDisk && !hasCD && configuration.kernel == nil
      && configuration.floppyTypes[0] == nil
    if let boot = options.boot {
      // Of several devices one with a disk is enough.
      let order = configuration.bootOrder
      let isThere = order.contains { device in
        switch device {
        case .floppy: configuration.floppies[0] != nil || usesDemo
        case .disk: hasDisk
        case .cd: hasCD
        case .network: !configuration.roms.isEmpty
        }
      }
      if !isThere {
        let missing = order.map { device in
          switch device {
          case .floppy: "image in drive A"
          case .disk: "hard disk image"
          case .cd: "CD image (--cdrom)"
          case .network: "option ROM (--rom)"
          }
        }
        throw Failure.usage(
          order == [.floppy]
            ? "--boot \(boot): drive A has no image"
            : "--boot \(boot): there is no \(missing.joined(separator: ", no "))"
        )
      }
    }
    if usesDemo {
      configuration.floppies[0] = DemoDisk.image
      usesDemoDisk = true
      explanations.append("no image: the demo disk is in drive A, what is written to it is lost")
    }
  }

  /// An image may stand above others, which nobody named: these must not be overwritten either.
  private func checkFilesBelow() throws {
    for image in images {
      for file in image.device.layers.compactMap(\.file) where file != image.path {
        for (option, path) in outputFiles where HostFiles.isSame(path, file) {
          throw Failure.usage(
            "\(option) \(path): would overwrite the file below \(image.path)", file: path)
        }
      }
    }
  }

  /// What to say of a file that is no disk but a kernel: it boots, if at all, only to say that it cannot be booted so.
  private static func kernelHint(_ image: OpenedImage) -> [String] {
    let count = Int(min(image.device.sectorCount, 16)) * 512
    var bytes = [UInt8](repeating: 0, count: count)
    do { try bytes.withUnsafeMutableBytes { try image.device.read(block: 0, into: $0) } } catch {
      return []
    }
    // Multiboot kernels are ELF as a rule, which no disk begins with: the opener refuses them.
    guard KernelConfiguration.isMultiboot(LoadFile(path: image.path, bytes: bytes)) == false else {
      return []
    }
    // Some boot from a floppy, too (Memtest86+).
    if case .floppy = image.medium {
      return ["\(image.path): is also a Linux kernel: if it does not boot so, use --kernel"]
    }
    return ["\(image.path): is a Linux kernel: use --kernel"]
  }

  /// Disks to be put in later are looked at now, so that none is refused in the middle of an installation.
  private func further(
    _ text: String, of list: [String], drive: Int, after image: OpenedImage, keepsOff: Bool,
    looksOnly: Bool
  ) throws -> OpenedImage {
    let (path, isProtected) = FloppyChoice.parts(of: text)
    let isTwice =
      list.filter { HostFiles.isSame(FloppyChoice.parts(of: $0).path, path) }.count > 1
    if isTwice {
      throw Failure.usage(
        "\(path): is given twice for drive \(drive == 0 ? "A" : "B")", file: path)
    }
    let other: OpenedImage
    do {
      other = try ImageOpener.open(
        path: path, kind: .floppy, readOnly: isProtected, snapshot: keepsOff, looksOnly: true)
      // Whether another program has it, is seen only by who locks it.
      if !looksOnly, !images.contains(where: { HostFiles.isSame($0.path, path) }) {
        _ = try ImageOpener.open(path: path, kind: .floppy, readOnly: true)
      }
    } catch { throw Failure.usage("\(error)", file: path) }
    guard case .floppy(let format) = image.medium, case .floppy(let wanted) = other.medium,
      FloppyDriveType.suited(to: format).accepts(wanted)
    else {
      throw Failure.usage(
        "\(path): does not fit into the drive that \(list[0]) wants", file: path)
    }
    return other
  }
}
