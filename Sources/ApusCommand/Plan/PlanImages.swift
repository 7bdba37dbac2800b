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

  /// What `--cdrom` takes in place of an image: a drive without a disc, or no drive; a file of that name is `./empty`.
  static let emptyCDDrive = "empty"
  static let noCDDrive = "none"
  /// The places of `MachineConfiguration.cds` by their names.
  private static let places = ["hda", "hdb", "hdc", "hdd"]
  private static let placeWords = [
    "primary master", "primary slave", "secondary master", "secondary slave",
  ]

  /// Who has a place of the IDE cables, in words; nil: it is free.
  private func holder(of place: Int) -> String? {
    if let disk = configuration.disks[place] { return "the hard disk \(disk.name)" }
    switch configuration.cds[place] {
    case .disc(let image): return "the CD drive with \(image.name)"
    case .empty: return "an empty CD drive"
    case nil: return nil
    }
  }

  /// All places with who has them.
  private var holders: String {
    Plan.places.indices.map { "\(Plan.places[$0]): \(holder(of: $0) ?? "free")" }
      .joined(separator: ", ")
  }

  /// The place for a CD drive: where the user wants it, or the first that is free.
  private mutating func cdPlace(_ wanted: String?) throws -> Int {
    if let wanted {
      guard let place = Plan.places.firstIndex(of: wanted.lowercased()) else {
        throw Failure.usage("--cdrom-at is hda, hdb, hdc or hdd, not '\(wanted)'")
      }
      if let holder = holder(of: place) {
        throw Failure.usage("--cdrom-at \(wanted): \(holder) is there")
      }
      return place
    }
    guard let place = [2, 3, 1, 0].first(where: { holder(of: $0) == nil }) else {
      throw Failure.usage("there is no place left for a CD drive (\(holders))")
    }
    // Who knows -cdrom from elsewhere looks for it there.
    if place != 2, let disk = configuration.disks[2],
      !configuration.cds.contains(where: { $0 != nil })
    {
      warnings.append(
        "the CD drive is \(Plan.places[place]), the \(Plan.placeWords[place]): in its usual place, hdc, is the hard disk "
          + disk.name)
    }
    return place
  }

  mutating func openImages(
    _ options: ApusOptions, _ media: [(path: String, isDisk: Bool)], keepsOff: Bool,
    looksOnly: Bool
  ) throws {
    var opened: [(path: String, isProtected: Bool)] = []
    let wishes = try Plan.keyWishes(options)
    let limits = options.allowSlowKeys ? KeyLimits.none : KeyLimits()
    let prompts = PassphrasePrompt.isPossible
    let template = session.template
    let given = givenImages
    let cache = try options.diskCache.map { text in
      guard let cache = HostCache(rawValue: text) else {
        throw Failure.usage(
          "--disk-cache \(text): \(HostCache.allCases.map(\.rawValue).joined(separator: ", ")) are possible"
        )
      }
      return cache
    }
    func open(_ text: String, _ kind: ImageKind, disk: Int? = nil) throws -> OpenedImage {
      if let image = given[text] { return image }
      if let template, let disk = TemplateArguments.disk(text, of: template) {
        do throws(StorageError) { return try template.disk(disk) } catch {
          throw Failure.usage("\(error)", file: template.path)
        }
      }
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
          path: path, kind: kind, readOnly: isProtected, snapshot: keepsOff, looksOnly: looksOnly,
          keys: DiskKeyWish.keys(of: disk ?? -1, from: wishes, prompts: prompts, limits: limits),
          allowBases: options.allowBases, cache: cache ?? .writeback)
      } catch {
        let hint =
          HostFiles.exists(path)
          ? "" : ForeignOptions.subcommand(near: path).map { " (did you mean \($0)?)" } ?? ""
        throw Failure.usage("\(error)\(hint)", file: path)
      }
    }
    func note(_ image: OpenedImage, _ drive: String, _ plan: inout Plan) {
      plan.noteImage(image, drive)
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
      // One that is given by itself can be put in again by its key, too.
      if plan.floppyLists[index].isEmpty {
        plan.floppyLists[index] = [image.path + (opened.last?.isProtected == true ? ":ro" : "")]
      }
      note(image, "drive \(index == 0 ? "A" : "B")", &plan)
    }
    /// Into the first empty CD drive, or one that is made.
    func cd(_ image: OpenedImage, _ plan: inout Plan) throws {
      let empty = plan.configuration.cds.firstIndex {
        if case .empty? = $0 { true } else { false }
      }
      let place: Int
      if let empty {
        place = empty
      } else {
        do { place = try plan.cdPlace(nil) } catch {
          further(image, nil, "a CD, but no place is left for a drive", &plan)
          throw error
        }
      }
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
      try attempt(&self) { disk(try open(path, .disk, disk: index), index, &$0) }
    }
    try attempt(&self) { try $0.openCDs(options, looksOnly: looksOnly) }
    for (path, isDisk) in media {
      try attempt(&self) { plan in
        let next = plan.configuration.disks.indices.first {
          plan.configuration.disks[$0] == nil && plan.configuration.cds[$0] == nil
        }
        let image = try open(path, isDisk ? .disk : .auto, disk: next)
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
            further(image, nil, "a hard disk, but no place is left for one", &plan)
            throw Failure.usage(
              "\(path): no place is left for a hard disk (\(plan.holders))", file: path)
          }
          disk(image, free, &plan)
        }
      }
    }
    if let text = options.flash {
      try attempt(&self) { plan in
        if let image = given[text] {
          plan.configuration.flash = MachineImage(image)
          return note(image, "flash memory", &plan)
        }
        let (path, isProtected) = FloppyChoice.parts(of: text)
        if !keepsOff, opened.contains(where: { HostFiles.isSame($0.path, path) }) {
          throw Failure.usage(
            "\(path): is in a drive and cannot be the flash memory, too", file: path)
        }
        do {
          let image = try ImageOpener.openFlash(
            path: path, blockSize: Flash.blockSize, mostBytes: Flash.mostBytes,
            readOnly: isProtected, snapshot: keepsOff, looksOnly: looksOnly)
          plan.configuration.flash = MachineImage(image)
          note(image, "flash memory", &plan)
        } catch { throw Failure.usage("\(error)", file: path) }
      }
    }
    try attempt(&self) { try $0.openFurtherCDs(options.cdromNext) }
    if !failures.isEmpty { return }
    if cdList.isEmpty, case .disc(let image)? = configuration.cds.lazy.compactMap({ $0 }).first {
      cdList = [image.name]
    }
    try checkFilesBelow()
    try checkChanges()
    let hasDisk = configuration.disks.contains { $0 != nil }
    let order = configuration.bootOrder
    let hasImage =
      configuration.floppies.contains { $0 != nil } || hasDisk
      || configuration.cds.contains { if case .disc? = $0 { true } else { false } }
    let usesDemo =
      !hasImage && configuration.kernel == nil && configuration.floppyTypes[0] == nil
      && order.contains(.floppy)
    if let boot = options.boot {
      // Of several devices one is enough; into an empty drive a disk may go yet.
      let isThere = order.contains { device in
        switch device {
        case .floppy:
          configuration.floppies[0] != nil || usesDemo
            || configuration.floppyTypes[0].map { $0 != .none } ?? false
        case .disk: hasDisk
        case .cd: configuration.cds.contains { $0 != nil }
        case .network: !configuration.roms.isEmpty
        }
      }
      if !isThere {
        let missing = order.map { device in
          switch device {
          case .floppy: "image in drive A"
          case .disk: "hard disk image"
          case .cd: "CD drive (--cdrom FILE or empty)"
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

  /// The drives of --cdrom, in order, with their places.
  private mutating func openCDs(_ options: ApusOptions, looksOnly: Bool) throws {
    let (texts, places) = (options.cdrom, options.cdromAt)
    if places.count > texts.count {
      throw Failure.usage(
        texts.isEmpty
          ? "--cdrom-at goes with --cdrom"
          : "--cdrom-at \(places[texts.count]): each goes with a --cdrom, in the same order, and there are only \(texts.count) of these"
      )
    }
    for (n, text) in texts.enumerated() {
      if text == Plan.noCDDrive {
        if texts.count > 1 {
          throw Failure.usage("--cdrom \(text): is for no CD drive, and goes with no other")
        }
        explanations.append("\(text): no CD drive")
        continue
      }
      let place = try cdPlace(places.indices.contains(n) ? places[n] : nil)
      if text == Plan.emptyCDDrive {
        configuration.cds[place] = .empty
        explanations.append("empty: CD drive, \(Plan.placeWords[place])")
        continue
      }
      do {
        let image = try openCD(text, looksOnly: looksOnly)
        configuration.cds[place] = .disc(MachineImage(image))
        noteImage(image, "CD drive, \(Plan.placeWords[place])")
      } catch let failure as Failure where looksOnly { failures.append(failure) }
    }
  }

  private func openCD(_ text: String, looksOnly: Bool) throws -> OpenedImage {
    let path = FloppyChoice.parts(of: text).path
    do { return try ImageOpener.open(path: path, kind: .cd, looksOnly: looksOnly) } catch {
      throw Failure.usage("\(error)", file: path)
    }
  }

  /// Discs to be put in later are looked at now, so that none is refused in the middle of an installation.
  private mutating func openFurtherCDs(_ texts: [String]) throws {
    guard !texts.isEmpty else { return }
    guard let first = configuration.cds.lazy.compactMap({ $0 }).first else {
      throw Failure.usage("--cdrom-next goes with a CD drive (--cdrom FILE or empty)")
    }
    if case .disc(let image) = first {
      cdList = [image.name]
    } else {
      session.beginsWithoutCD = true
    }
    cdList += texts
    for text in texts {
      let image = try openCD(text, looksOnly: true)
      furtherImages.append((nil, image))
      warnings += image.warnings
      explanations.append("\(image.path): CD drive, to be put in later")
      explanations += image.reasons.map { "  \($0)" }
    }
  }

  /// Where the keys of encrypted disks come from; the disks counted from 0.
  private static func keyWishes(_ options: ApusOptions) throws -> [DiskKeyWish] {
    try options.diskKey.map { text in
      guard var wish = DiskKeyWish(text), wish.disk.map({ (1...4).contains($0) }) ?? true else {
        throw Failure.usage(
          "--disk-key \(text): \(KeyWish.words) is wanted, with the hard disk's number and = before it for one alone (1 to 4)"
        )
      }
      wish.disk = wish.disk.map { $0 - 1 }
      return wish
    }
  }

  private mutating func noteImage(_ image: OpenedImage, _ drive: String) {
    images.append(image)
    warnings += image.warnings
    explanations.append("\(image.path): \(drive)")
    explanations += image.reasons.map { "  \($0)" }
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
