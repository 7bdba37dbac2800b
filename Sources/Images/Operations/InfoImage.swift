// `info`: what an image is.
//
// Owns: what is told of it and of those below it. Must not know: formats, the words for people (the command has them).

import Host
import Storage

/// What is told of one image.
public struct ImageInfo: Codable, Equatable, Sendable {
  public struct Fact: Codable, Equatable, Sendable {
    public var name: String
    public var value: String
  }
  public struct Snapshot: Codable, Equatable, Sendable {
    public var id: String
    public var name: String
    /// Seconds since 1970.
    public var time: UInt64
    public var virtualSize: UInt64
    public var stateSize: UInt64
  }
  /// How an image is encrypted.
  public struct Encryption: Codable, Equatable, Sendable {
    public struct Slot: Codable, Equatable, Sendable {
      public var number: Int
      /// As in "pbkdf2 (sha256), 1000 iterations".
      public var derivation: String
      public var hash: String
    }
    /// "luks1", "luks2".
    public var format: String
    public var cipher: String
    public var keyBits: Int
    public var uuid: String
    public var sectorSize: Int
    public var payloadOffset: UInt64
    public var slotCount: Int
    /// The key slots in use.
    public var slots: [Slot]
  }
  public var file: String
  public var format: String
  public var virtualSize: UInt64
  /// Bytes that its files have, and what they take on the host.
  public var fileSize: UInt64
  public var sizeOnHost: UInt64
  public var sectorSize: Int
  public var clusterSize: UInt64?
  public var base: String?
  public var baseFormat: String?
  /// What is noted of the base: "none", "size and times", "hash".
  public var baseRecord: String?
  public var isEncrypted: Bool
  public var encryption: Encryption?
  public var isDirty: Bool
  public var otherFiles: [String]
  public var snapshots: [Snapshot]
  public var facts: [Fact]
  public var notes: [String]
  public var warnings: [String]
}

/// What `info` tells: the image, and with the whole chain those below it.
public struct InfoResult: Codable, Equatable, Sendable {
  public var schema = "apus-image-info"
  public var version = 1
  /// The image first, then its base, and so on.
  public var images: [ImageInfo]
}

extension ImageOperations {
  /// Tells what an image is.
  /// - Parameter chain: those below it, too.
  public static func info(_ reference: ImageReference, chain: Bool = false) throws -> InfoResult {
    var reference = reference
    // Whoever looks wants to know also of an image whose base changed.
    reference.checksBase = false
    // Nothing that is told is encrypted: nobody is asked for a key.
    reference.keys = nil
    reference.mayStayLocked = true
    var images: [ImageInfo] = []
    var next: ImageReference? = reference
    while let current = next {
      let image: DiskImage
      do {
        image = try DiskImage(current, .looking)
        images.append(info(of: image))
      } catch let error as StorageError {
        // What is below may be gone, or another's; the layer itself is what was asked for.
        guard let alone = try? DiskImage(current, .looking, withoutBase: true),
          alone.device.base != nil
        else { throw error }
        image = alone
        var told = info(of: image)
        told.warnings.append("its base cannot be used: \(error)")
        images.append(told)
      }
      next =
        chain
        ? image.basePaths.first.map {
          var below = ImageReference($0, names: reference.names, checksBase: false)
          below.mayStayLocked = true
          return below
        } : nil
      image.close()
    }
    return InfoResult(images: images)
  }

  static func info(of image: DiskImage) -> ImageInfo {
    let device = image.device
    let facts = (device as? any DescribedDevice)?.imageFacts ?? ImageFacts()
    let files = [image.path] + image.partPaths
    let host = files.compactMap { HostFiles.facts($0) }
    var record: String?
    var warnings = image.contents.warnings
    if let base = device.base?.whole {
      let found = BaseCheck.record(of: device, at: image.path)
      record = found == nil ? "none" : found?.hash == nil ? "size and times" : "hash"
      if let found, !image.context.basesAreAbsent { warnings += changes(found, base) }
    }
    return ImageInfo(
      file: image.path, format: image.formatName, virtualSize: image.byteCount,
      fileSize: host.isEmpty ? image.store?.size ?? 0 : host.reduce(0) { $0 &+ $1.size },
      sizeOnHost: host.reduce(0) { $0 &+ $1.allocated }, sectorSize: device.blockSize,
      clusterSize: facts.clusterSize,
      base: facts.baseName ?? image.basePaths.first ?? device.base?.whole.name,
      baseFormat: facts.baseFormat, baseRecord: record, isEncrypted: facts.isEncrypted,
      encryption: facts.encryption.map(ImageInfo.Encryption.init),
      isDirty: facts.isDirty, otherFiles: image.partPaths,
      snapshots: ((device as? any SnapshottingDevice)?.imageSnapshots ?? []).map {
        ImageInfo.Snapshot(
          id: $0.id, name: $0.name, time: $0.time, virtualSize: $0.byteCount,
          stateSize: $0.stateByteCount)
      }, facts: facts.others.map { ImageInfo.Fact(name: $0.name, value: $0.value) },
      notes: image.contents.notes, warnings: warnings)
  }

  /// What is to be said of a base that is not what it was. Its contents are not read for that.
  private static func changes(_ record: BaseRecord, _ base: any BlockDevice) -> [String] {
    do throws(StorageError) {
      let verdict = try record.compare(base) { device throws(StorageError) in
        throw StorageError(path: device.name, reason: "is not read")
      }
      guard case .changed(let how) = verdict else { return [] }
      return [
        "its base, '\(base.name)', is not what it was when this image was made over it: \(how); it is refused"
      ]
    } catch {
      return [
        "its base, '\(base.name)', was copied or touched since: its contents are compared when the image is opened"
      ]
    }
  }
}

extension ImageInfo.Encryption {
  init(_ facts: EncryptionFacts) {
    self.init(
      format: facts.format, cipher: facts.cipher, keyBits: facts.keyBits, uuid: facts.uuid,
      sectorSize: facts.sectorSize, payloadOffset: facts.payloadOffset, slotCount: facts.slotCount,
      slots: facts.slots.map {
        Slot(number: $0.number, derivation: $0.derivation, hash: $0.hash)
      })
  }
}
