// `resize`: another size for a disk.
//
// Owns: what "+1G" means, the refusal to cut without being told. Must not know: formats.

import Storage

/// The size that is wanted.
public enum SizeChange: Equatable, Sendable {
  case to(UInt64)
  case by(UInt64)
  case less(UInt64)

  /// "10G", "+1G", "-512M"; nil: nothing of that.
  public init?(_ text: String) {
    let (rest, make): (Substring, (UInt64) -> SizeChange) =
      text.hasPrefix("+")
      ? (text.dropFirst(), { .by($0) })
      : text.hasPrefix("-") ? (text.dropFirst(), { .less($0) }) : (text[...], { .to($0) })
    guard let size = ImageSize.parse(String(rest)) else { return nil }
    self = make(size)
  }
}

public struct ResizeResult: Codable, Equatable, Sendable {
  public var schema = "apus-image-resize"
  public var version = 1
  public var file: String
  public var sizeBefore: UInt64
  public var virtualSize: UInt64
}

extension ImageOperations {
  /// Gives a disk another size.
  /// - Parameter shrinks: it may become smaller; what is cut off is lost.
  public static func resize(
    _ reference: ImageReference, _ change: SizeChange, shrinks: Bool = false
  )
    throws -> ResizeResult
  {
    if let found = try? check(reference), found.corruptions + found.unreadables > 0 {
      // Another size would make zeros of what is lost, and hide it.
      let first = found.findings.first { $0.severity != "leak" }
      throw StorageError(
        path: reference.path, offset: first?.offset,
        reason: "is damaged (\(first?.text ?? "")): apus image repair comes first")
    }
    let image = try DiskImage(reference, .writing)
    defer { image.close() }
    let (path, before) = (image.path, image.byteCount)
    func refuse(_ reason: String) -> StorageError { StorageError(path: path, reason: reason) }
    let wanted: UInt64
    switch change {
    case .to(let size): wanted = size
    case .by(let size):
      let (sum, overflow) = before.addingReportingOverflow(size)
      if overflow {
        throw refuse("no disk can have that many bytes: all have less than 8 EiB (8192P)")
      }
      wanted = sum
    case .less(let size):
      if size >= before { throw refuse("has only \(before) bytes") }
      wanted = before - size
    }
    if wanted == 0 { throw refuse("a disk needs a size above 0") }
    if wanted > UInt64(Int64.max) {
      throw refuse("no disk can have that many bytes: all have less than 8 EiB (8192P)")
    }
    let block = UInt64(image.device.blockSize)
    let blocks = (wanted + block - 1) / block
    if blocks * block < before && !shrinks {
      throw refuse(
        "would lose its last \(before - blocks * block) bytes; --shrink says that this is meant")
    }
    let limits = (image.format as? any CreatableFormat)?.limits
    if let limits, blocks * block > limits.largest {
      throw refuse("a \(image.formatName) disk \(limits.sizeWords)")
    }
    if blocks != image.device.blockCount {
      do {
        try image.device.resize(to: blocks)
        try image.flush()
      } catch {
        // What it took on the way is of use to nobody.
        image.close()
        if image.format?.name != "raw" { _ = try? check(reference, .leaks) }
        throw error
      }
    }
    let result = ResizeResult(file: path, sizeBefore: before, virtualSize: image.byteCount)
    if result.virtualSize < before, image.format?.name != "raw" {
      // Room that was behind the new end is of use to nobody. The disk has its size whether this can be done or not.
      image.close()
      _ = try? check(reference, .leaks)
    }
    return result
  }
}
