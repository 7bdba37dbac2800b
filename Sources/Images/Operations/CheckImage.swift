// `check` and `repair`: whether an image contradicts itself.
//
// Owns: what is told and the exit codes. Must not know: formats.

import Storage

/// What a check found, for programs.
public struct CheckResult: Codable, Equatable, Sendable {
  public struct Finding: Codable, Equatable, Sendable {
    /// "leak", "corruption", "unreadable".
    public var severity: String
    public var offset: UInt64?
    public var text: String
    public var isRepaired: Bool
  }
  public var schema = "apus-image-check"
  public var version = 1
  public var file: String
  public var format: String
  /// Whether the format can be checked; nothing below means anything if not.
  public var isSupported: Bool
  public var leaks: Int
  public var corruptions: Int
  public var unreadables: Int
  public var repaired: Int
  /// The first thousand.
  public var findings: [Finding]
  public var totalUnits: UInt64
  public var allocatedUnits: UInt64
  public var compressedUnits: UInt64
  public var imageEnd: UInt64

  /// As qemu-img's: 0 clean (or mended), 2 corrupt, 3 leaks only, 63 the format cannot be checked; 1 is for a check that failed.
  public var exitCode: Int32 {
    if !isSupported { return 63 }
    let open = findings.filter { !$0.isRepaired }
    // More than the first thousand are only counted.
    let isCut = leaks + corruptions + unreadables > findings.count
    if leaks + corruptions + unreadables == repaired { return 0 }
    if open.contains(where: { $0.severity != "leak" }) { return 2 }
    return isCut && corruptions + unreadables > 0 ? 2 : 3
  }
}

extension ImageOperations {
  /// Examines an image, and mends it if that is wished.
  public static func check(_ reference: ImageReference, _ repair: ImageRepair = .none) throws
    -> CheckResult
  {
    let use: ImageFiles.Use = repair == .none ? .reading : .writing
    let store = try ImageFiles.store(reference.path, use)
    defer { store.close() }
    let context = ImageFiles.context(
      for: reference.path, use, names: reference.names, kind: .disk, formats: DiskImage.formats)
    let format =
      if let name = reference.format {
        try DiskImage.format(name, for: reference.path)
      } else {
        try ImageFormats.format(of: store, context)
      }
    var result = CheckResult(
      file: reference.path, format: format.name, isSupported: false, leaks: 0, corruptions: 0,
      unreadables: 0, repaired: 0, findings: [], totalUnits: 0, allocatedUnits: 0,
      compressedUnits: 0, imageEnd: store.size)
    guard let format = format as? any CheckableFormat else {
      // What only refuses says why.
      if !(format is any CreatableFormat) { _ = try format.open(store, context) }
      return result
    }
    let found = try format.check(store, repair, context)
    if repair != .none { try store.flush() }
    result.isSupported = true
    result.leaks = found.leaks
    result.corruptions = found.corruptions
    result.unreadables = found.unreadables
    result.repaired = found.repaired
    result.findings = found.findings.map {
      CheckResult.Finding(
        severity: $0.severity.rawValue, offset: $0.offset, text: $0.text,
        isRepaired: $0.isRepaired)
    }
    result.totalUnits = found.totalUnits
    result.allocatedUnits = found.allocatedUnits
    result.compressedUnits = found.compressedUnits
    result.imageEnd = found.imageEnd
    return result
  }
}
