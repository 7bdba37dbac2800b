// VDI images of VirtualBox: recognising, opening, making, examining.
//
// Owns: the parent's names, the layout of new images, what a check finds. Must not know: how blocks are found.
// After: the VDI format as publicly documented for VirtualBox.
//
// A differencing image knows its parent by UUID only; VirtualBox keeps a list of files elsewhere. Here the comment has the parent's name, and
// without one it is looked for by the name that VirtualBox gives to the images of its snapshots, the UUID's.

/// Dynamic, fixed and differencing VDI images, version 1.1.
struct VDIFormat: ImageFormat {
  let name = "vdi"
  private static let commentPrefix = "parent="

  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  {
    let bytes = try store.bytes(at: UInt64(VDIHeader.Offset.signature), count: 4)
    return bytes == [0x7F, 0x10, 0xDA, 0xBE] ? .certain : nil
  }

  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    let header = try VDIHeader(store)
    var base: (any BlockDevice)?
    var baseByteCount: UInt64 = 0
    if header.kind == .differencing {
      let parent = try VDIFormat.parent(header, store, context)
      baseByteCount = parent.byteCount
      base = parent.below(byteCount: header.diskSize / 512 * 512, blockSize: 512)
    }
    let map = VDIMap(store, header, base: base, baseByteCount: baseByteCount)
    return ImageContents(
      MappedImage(map), kind: .disk,
      notes: ["a \(header.kind.words) image in blocks of \(header.blockSize) bytes"])
  }

  private static func parent(
    _ header: VDIHeader, _ store: any ByteStore, _ context: ImageContext
  ) throws(StorageError) -> any BlockDevice {
    var names: [String] = []
    let comment = header.comment
    if comment.hasPrefix(commentPrefix) {
      names.append(String(comment.dropFirst(commentPrefix.count)))
    }
    if header.link != .zero { names += ["{\(header.link)}.vdi", "\(header.link).vdi"] }
    let found: (any BlockDevice)?
    do throws(StorageError) { found = try ParentFinder.find(names, store, context) } catch {
      throw store.refusal(
        at: UInt64(VDIHeader.Offset.link),
        "its parent, the image \(header.link), was not found (a copy named '{\(header.link)}.vdi' beside it would be): \(error)"
      )
    }
    guard let device = found else {
      throw store.refusal(at: UInt64(VDIHeader.Offset.link), "does not say what its parent is")
    }
    if let own = ParentFinder.identity(of: device), own != header.link, header.link != .zero {
      throw store.refusal(
        at: UInt64(VDIHeader.Offset.link),
        "stands above the image \(header.link), but '\(device.name)' is \(own)")
    }
    if let map = (device as? MappedImage)?.map as? VDIMap, header.parentModification != .zero,
      map.header.modification != header.parentModification
    {
      throw store.refusal(
        at: UInt64(VDIHeader.Offset.parentModification),
        "'\(device.name)' was written since this image was made above it")
    }
    return device
  }
}

extension VDIFormat: CreatableFormat {
  var options: [ImageOption] {
    [
      ImageOption(
        "static", standard: "off", values: "on, off", help: "all room is taken at once"),
      ImageOption(
        "block_size", standard: "1048576", values: "65536 to 268435456, a power of two",
        help: "bytes that get room together; VirtualBox and QEMU know 1048576 only"),
    ]
  }

  var limits: ImageLimits {
    ImageLimits(
      largest: 1 << 50, provisionings: Provisioning.allCases, hasBases: true, hasEmptyDisks: true)
  }

  func create(_ store: any ByteStore, _ wish: ImageWish, _ context: ImageContext)
    throws(StorageError)
  {
    let choice = OptionReader(wish, store.name)
    let isFixed = try choice.flag("static", standard: false) || wish.provisioning != .thin
    let blockSize = try choice.power("block_size", 1 << 16...1 << 28, standard: 1 << 20)
    if isFixed && wish.base != nil { throw store.refusal("a fixed VDI image has no parent") }
    let count = (wish.byteCount + blockSize - 1) / blockSize
    let dataOffset = (UInt64(VDIHeader.size) + count * 4).rounded(upTo: 1 << 20)
    guard count <= VDIHeader.mostBlocks, dataOffset <= UInt64(UInt32.max) else {
      throw store.refusal("\(count) blocks are too many; larger blocks (block_size) can help")
    }
    var header = VDIHeader(
      kind: isFixed ? .fixed : wish.base == nil ? .dynamic : .differencing,
      diskSize: wish.byteCount, blockSize: blockSize, dataOffset: dataOffset,
      id: GUID(bytes: wish.uuid()), modification: GUID(bytes: wish.uuid()))
    if let base = wish.base {
      let parent = base.contents.device
      let comment = VDIFormat.commentPrefix + base.name
      guard comment.utf8.count < VDIHeader.commentSize else {
        throw store.refusal("the parent's name has no room in a VDI image: '\(base.name)'")
      }
      let modification =
        ((parent as? MappedImage)?.map as? VDIMap)?.header.modification ?? .zero
      header.setParent(
        ParentFinder.identity(of: parent) ?? .zero, modification, comment: comment)
    }
    if isFixed { header.setAllocated(count) }
    let end = dataOffset + (isFixed ? count * blockSize : 0)
    try store.setSize(end)
    if isFixed {
      switch wish.provisioning {
      case .thickEager: try store.writeZeros(at: dataOffset, count: end - dataOffset)
      case .thickLazy: try store.zero(at: dataOffset, count: end - dataOffset, releasing: false)
      case .thin: break
      }
    }
    var number: UInt64 = 0
    while number < count {
      let part = min(count - number, 16384)
      var entries = Fields(count: Int(part) * 4)
      for n in 0..<part {
        entries.setLittle(Int(n) * 4, isFixed ? UInt32(number + n) : UInt32.max)
      }
      try store.write(at: UInt64(VDIHeader.size) + number * 4, entries.bytes)
      number += part
    }
    try store.flush()
    try store.write(at: 0, header.bytes)
    try store.flush()
  }
}

extension VDIFormat: CheckableFormat {
  func check(_ store: any ByteStore, _ repair: ImageRepair, _ context: ImageContext)
    throws(StorageError) -> ImageCheck
  {
    var check = ImageCheck()
    let header: VDIHeader
    do throws(StorageError) { header = try VDIHeader(store) } catch {
      check.add(.init(.unreadable, at: error.offset, error.reason))
      return check
    }
    let map = VDIMap(store, header, base: nil, baseByteCount: 0)
    let mends = repair != .none && store.isWritable
    let space = try map.check(mends ? repair : .none, into: &check) {
      (number, place, space) throws(StorageError) in
      try map.relocate(number, place, &space)
    }
    if mends { try map.commit() }
    let isSound = check.openFaults == 0
    let end = max(space.end, map.dataStart)
    let places = (end - map.dataStart) / map.unit
    let offset = UInt64(VDIHeader.Offset.allocated)
    // Others give the next block the place that the count says.
    let tooFew = header.allocated < space.count
    let gaps = places - space.count
    let canMend =
      mends && isSound && (tooFew ? repair == .all : true) && gaps <= UInt64(VDIMap.mostGaps)
    if tooFew {
      check.add(
        .init(
          .corruption, at: offset,
          "the header counts \(header.allocated) blocks with room, but there are \(space.count)",
          isRepaired: canMend))
    } else if header.allocated > space.count {
      check.add(
        .init(
          .leak, at: offset,
          "the header counts \(header.allocated) blocks with room, \(header.allocated - space.count) of which nobody uses",
          isRepaired: canMend))
    }
    if gaps > 0 {
      check.add(
        .init(
          .leak, at: map.dataStart, "\(gaps) blocks between others that nobody uses",
          isRepaired: canMend))
    }
    let tail = store.size > end ? store.size - end : 0
    if tail >= map.unit {
      check.add(.init(.leak, at: end, "\(tail) bytes that no block uses", isRepaired: canMend))
    }
    if canMend, tooFew || header.allocated > space.count || gaps > 0 || tail >= map.unit {
      try map.compact(space)
    }
    check.imageEnd = end
    return check
  }
}
