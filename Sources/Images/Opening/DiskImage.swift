// An image that is open for work: its file, its format, its device, the files below it.
//
// Owns: opening by what the command line says, the check of the base, letting go. Must not know: what is done with it.

import Host
import Storage

/// Which image is meant, and what it is taken for.
public struct ImageReference: Sendable {
  public var path: String
  /// The format's name; nil: found out.
  public var format: String?
  /// Which files it may name.
  public var names: ImageFiles.Names
  /// Whether a base that changed since is refused.
  public var checksBase: Bool
  /// Where keys come from, if it or one below it is encrypted.
  public var keys: DiskKeys?
  /// Without keys it opens all the same, for what is not encrypted of it.
  public var mayStayLocked = false

  /// - Parameter path: a file, `folder:` and a folder, `raw:` and a file that is raw whatever it looks like, or an NBD address.
  public init(
    _ path: String, format: String? = nil, names: ImageFiles.Names = .beside,
    checksBase: Bool = true, keys: DiskKeys? = nil
  ) {
    let plain = ImageOpener.rawPath(path)
    self.path = plain ?? path
    self.format = format ?? plain.map { _ in "raw" }
    self.names = names
    self.checksBase = checksBase
    self.keys = keys
  }
}

/// An open image.
public final class DiskImage {
  public let path: String
  /// The image's file; nil where it is none (a folder).
  public let store: (any ByteStore)?
  public let format: (any ImageFormat)?
  public let contents: ImageContents
  public let context: ImageContext
  /// The files of the images below it, the next first.
  public let basePaths: [String]
  /// Further files that belong to it.
  public let partPaths: [String]
  /// The whole image as its format has it.
  public var device: any BlockDevice { contents.device }
  public var formatName: String { format?.name ?? "folder" }

  /// The formats there are, also others in tests.
  @TaskLocal public static var formats: [any ImageFormat] = ImageFormats.all

  /// What the disk has, in bytes.
  public var byteCount: UInt64 { device.blockCount * UInt64(device.blockSize) }

  private final class Opened {
    var bases: [String] = []
    var parts: [String] = []
  }

  /// Opens an image.
  /// - Parameters:
  ///   - baseUse: what the images below are opened for.
  ///   - withoutBase: they are not opened; zeros are in their place.
  public init(
    _ reference: ImageReference, _ use: ImageFiles.Use, baseUse: ImageFiles.Use? = nil,
    withoutBase: Bool = false
  ) throws {
    path = reference.path
    if path.hasPrefix("folder:") {
      let folder = try FolderDisk.open(String(path.dropFirst(7)), isWritable: use == .writing)
      store = nil
      format = nil
      contents = ImageContents(folder, kind: .disk)
      context = ImageFiles.context(for: path, use)
      basePaths = []
      partPaths = []
      return
    }
    let opened = Opened()
    let store = try ImageFiles.store(path, use)
    var context = ImageFiles.context(
      for: path, use, names: reference.names, kind: .disk,
      baseUse: baseUse ?? (use == .looking ? .looking : .reading), formats: DiskImage.formats,
      keys: reference.keys, mayStayLocked: reference.mayStayLocked
    ) { place, wanted in
      if wanted == .base {
        opened.bases.append(place)
      } else if opened.bases.isEmpty, !opened.parts.contains(place) {
        // Files that are opened behind a base are the base's.
        opened.parts.append(place)
      }
    }
    context.basesAreAbsent = withoutBase
    let format =
      if let name = reference.format {
        try DiskImage.format(name, for: path)
      } else {
        try ImageFormats.format(of: store, context)
      }
    // An empty file is a raw disk without sectors, and nothing else.
    if store.size == 0, format.name != "raw" {
      throw StorageError(path: path, reason: "the file is empty")
    }
    self.store = store
    self.format = format
    self.context = context
    contents = try ImageFormats.open(store, context, as: format)
    basePaths = opened.bases
    partPaths = opened.parts
    if reference.checksBase { try BaseCheck.verifyAll(device, mayNote: use == .writing) }
  }

  /// A format by its name.
  public static func format(_ name: String, for path: String) throws -> any ImageFormat {
    guard let format = ImageFormats.named(name, in: formats) else {
      let all = formats.map(\.name).filter { ImageFormats.named($0, in: formats) != nil }
      throw ImageUsageError(
        (path.isEmpty ? "" : "\(path): ")
          + "there is no format '\(name)'; there are \(all.joined(separator: ", "))")
    }
    return format
  }

  /// Everything is with the host's stable storage.
  public func flush() throws(StorageError) { try device.finish() }

  /// Lets go of the files.
  public func close() {
    device.close()
    store?.close()
  }

  deinit { close() }
}
