// `formats`: what formats there are, and what each can.
//
// Owns: the questions to a format. Must not know: the words for people.

import Storage

public struct FormatsResult: Codable, Equatable, Sendable {
  public struct Option: Codable, Equatable, Sendable {
    public var name: String
    /// What it is unless it is given.
    public var standard: String
    public var values: String
    public var help: String
  }
  public struct Format: Codable, Equatable, Sendable {
    public var name: String
    public var reads: Bool
    public var creates: Bool
    public var resizes: Bool
    public var checks: Bool
    public var snapshots: Bool
    public var compresses: Bool
    /// An image can stand over another.
    public var hasBases: Bool
    /// Bytes of the largest disk, and in what steps; only of those that are made.
    public var largest: UInt64?
    public var granularity: UInt64?
    public var sectorSizes: [Int]?
    public var provisionings: [String]?
    public var options: [Option]
  }
  public var schema = "apus-image-formats"
  public var version = 1
  public var formats: [Format]
}

extension ImageOperations {
  /// The formats.
  /// - Parameter name: only this one; nil: all.
  public static func formats(_ name: String? = nil) throws -> FormatsResult {
    let only = try name.map { try DiskImage.format($0, for: "").name }
    var result = FormatsResult(formats: [])
    for format in DiskImage.formats where only == nil || format.name == only {
      guard ImageFormats.named(format.name, in: DiskImage.formats)?.name == format.name else {
        continue
      }
      let making = format as? any CreatableFormat
      let limits = making?.limits
      let device = made(format)
      result.formats.append(
        FormatsResult.Format(
          name: format.name, reads: true, creates: making != nil,
          resizes: device.map { device in
            do throws(StorageError) {
              try device.resize(to: device.blockCount * 2)
              return true
            } catch { return false }
          } ?? false, checks: format is any CheckableFormat,
          snapshots: device is any SnapshottingDevice, compresses: device is any CompressingDevice,
          hasBases: limits?.hasBases ?? false, largest: limits?.largest,
          granularity: limits?.granularity, sectorSizes: limits?.sectorSizes,
          provisionings: limits?.provisionings.map(\.rawValue),
          options: (making?.options ?? []).map {
            FormatsResult.Option(
              name: $0.name, standard: $0.standard, values: $0.values, help: $0.help)
          }))
    }
    return result
  }

  /// A small image in memory, which says what can be done with one; nil: none can be made so.
  private static func made(_ format: any ImageFormat) -> (any BlockDevice)? {
    guard let making = format as? any CreatableFormat else { return nil }
    let store = MemoryStore([], name: "(memory)")
    let context = ImageContext { name throws(StorageError) in
      throw StorageError(path: name, reason: "cannot be made here")
    }
    let limits = making.limits
    let wish = ImageWish(byteCount: max(4 << 20, limits.granularity))
    do throws(StorageError) {
      try making.create(store, try wish.checked(for: making, name: store.name), context)
      return try ImageFormats.open(store, context, as: format).device
    } catch { return nil }
  }
}
