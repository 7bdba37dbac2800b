// Bases that changed are noticed when an image is opened.
//
// Owns: where an overlay's record is found and put (in the image, or in a file beside it), and the refusal. Must not know: formats, what is
// done with the image.

import Host

/// The records of overlays.
public enum BaseCheck {
  /// The file that has the record of an overlay whose format has no room for it.
  public static func sideFile(of overlay: String) -> String { overlay + ".base" }

  /// What an overlay noted of its base; nil: nothing.
  public static func record(of device: any BlockDevice, at path: String) -> BaseRecord? {
    if let bytes = (device as? any BaseRecordingDevice)?.baseRecord,
      let record = BaseRecord(bytes: bytes)
    {
      return record
    }
    guard let bytes = try? HostFiles.read(sideFile(of: path), limit: 4096) else { return nil }
    return BaseRecord(bytes: bytes)
  }

  /// Notes what an overlay's base is like, in the image if its format has room, otherwise beside it.
  public static func note(_ record: BaseRecord?, of device: any BlockDevice, at path: String)
    throws(StorageError)
  {
    let side = sideFile(of: path)
    if try noteInside(record, of: device) {
      // An older note says something else.
      if HostFiles.exists(side), (try? HostFiles.remove(side)) != nil {
        HostFiles.syncFolder(of: side)
      }
      return
    }
    try noteBeside(record, at: path)
  }

  /// Notes it in a file beside the image; nil: there is nothing to be noted.
  public static func noteBeside(_ record: BaseRecord?, at path: String) throws(StorageError) {
    let side = sideFile(of: path)
    do throws(HostError) {
      if let record {
        try HostFiles.writeAtomically(side, record.bytes)
      } else {
        try HostFiles.remove(side)
        // What is written next may last longer than this otherwise: the record would be there again after a power failure.
        HostFiles.syncFolder(of: side)
      }
    } catch { throw StorageError(path: side, reason: "\(error)") }
  }

  /// Notes it in the image, if there is room.
  public static func noteInside(_ record: BaseRecord?, of device: any BlockDevice)
    throws(StorageError) -> Bool
  {
    guard let device = device as? any BaseRecordingDevice,
      try device.setBaseRecord(record?.bytes)
    else { return false }
    try device.flush()
    return true
  }

  /// Compares an overlay's base with what was noted of it. Where it only was copied or touched, that is noted if the overlay can be written.
  /// - Throws: when it changed.
  public static func verify(
    _ device: any BlockDevice, at path: String, mayNote: Bool = true,
    hashing: (any BlockDevice) throws(StorageError) -> [UInt8] = { device throws(StorageError) in
      try BaseRecord.hash(device)
    }
  ) throws(StorageError) {
    guard let base = device.base, let record = record(of: device, at: path) else { return }
    // The base as its own image has it, not cut or lengthened to the overlay's size.
    let whole = base.whole
    switch try record.compare(whole, hashing: hashing) {
    case .same: return
    case .sameContents(let now):
      if mayNote && !device.isReadOnly { try note(now, of: device, at: path) }
    case .changed(let how):
      throw StorageError(
        path: path,
        reason: "its base, '\(whole.name)', is not what it was when this image was made over it: "
          + "\(how); the two together are a disk that never was ('apus image rebase --accept' takes the base as it is now)"
      )
    }
  }
}

extension BaseCheck {
  /// Verifies an image over its base, that over its own, and so on. What an image is called is its path.
  /// - Parameter mayNote: what is found of the topmost may be noted in it.
  public static func verifyAll(_ device: any BlockDevice, mayNote: Bool = true)
    throws(StorageError)
  {
    var layer: (any BlockDevice)? = device
    var depth = 0
    while let here = layer, here.base != nil {
      // An image below others is not theirs to write.
      try verify(here, at: here.name, mayNote: mayNote && depth == 0)
      layer = here.base?.whole
      depth += 1
    }
  }
}
