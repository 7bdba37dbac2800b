// Whether a LUKS container contradicts itself.
//
// Owns: what is said of its headers; the second header of LUKS2 restored. Must not know: passphrases: nothing here needs one.

extension LUKSFormat: CheckableFormat {
  public func check(_ store: any ByteStore, _ repair: ImageRepair, _ context: ImageContext)
    throws(StorageError) -> ImageCheck
  {
    var check = ImageCheck()
    let head = Fields(try store.bytes(at: 0, count: 8))
    let isFirst = head.count == 8 && head.bytes.starts(with: LUKSContainer.magic)
    let container: LUKSContainer
    if isFirst, head.big(6, as: UInt16.self) == 1 {
      container = try LUKS1Header.read(store)
    } else {
      let header = try LUKS2Header.read(store)
      container = header.container
      let mends = repair == .all && header.needsRepair
      if mends { try header.repair(store) }
      for (n, copy) in header.copies.enumerated() {
        let which = n == 0 ? "first" : "second"
        switch copy {
        case .failure(let error):
          check.add(
            ImageCheck.Finding(
              .corruption, at: error.offset,
              "the \(which) of the two LUKS2 headers is damaged: \(error.reason)", isRepaired: mends
            ))
        case .success(let copy) where copy.sequence != header.current.sequence:
          check.add(
            ImageCheck.Finding(
              .corruption, at: copy.offset,
              "the \(which) of the two LUKS2 headers is older than the other", isRepaired: mends))
        default: break
        }
      }
    }
    if container.slots.isEmpty {
      check.add(
        ImageCheck.Finding(.unreadable, at: 0, "no key slot is in use: nothing opens the disk"))
    }
    let room = store.size - min(store.size, container.payloadOffset)
    let size = UInt64(container.sectorSize)
    if container.payloadSize == nil && room % size != 0 {
      check.add(
        ImageCheck.Finding(
          .leak, at: store.size - room % size, "\(room % size) bytes behind the last whole sector"))
    }
    check.totalUnits = (container.payloadSize ?? room) / size
    check.allocatedUnits = check.totalUnits
    check.imageEnd = container.payloadOffset + check.totalUnits * size
    return check
  }
}
