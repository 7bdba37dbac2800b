// Where passphrases come from, and what they opened.
//
// Owns: asking when a format needs it, once for a file; the volume keys that were found, so that an image that is opened again costs nothing.
// Must not know: the command line, headers.

import Host

/// Something that has a passphrase: a file, the host's key ring, somebody at a terminal.
public protocol KeySource: AnyObject, Sendable {
  /// As in "the key file 'x'".
  var name: String { get }
  /// Its passphrase for an image.
  /// - Parameter isNew: the image is being made, so that nothing will tell a mistake.
  /// - Throws: when there is none.
  func passphrase(for file: String, isNew: Bool) throws(StorageError) -> SecretBytes
}

/// A passphrase that somebody has already.
public final class KnownKey: KeySource {
  public let name: String
  private let bytes: SecretBytes

  public init(_ bytes: SecretBytes, name: String = "the passphrase") {
    self.bytes = bytes
    self.name = name
  }

  public func passphrase(for file: String, isNew: Bool) -> SecretBytes { bytes }
}

/// The key an image's sectors are encrypted by.
public final class VolumeKey: Sendable {
  let bytes: SecretBytes
  /// The image's own name for itself: its UUID.
  public let identity: String
  /// The slot that was opened; nil: the key was just made.
  let slot: Int?

  init(_ bytes: SecretBytes, identity: String, slot: Int? = nil) {
    self.bytes = bytes
    self.identity = identity
    self.slot = slot
  }
}

/// The keys of a request: where to ask, and what was found.
public final class DiskKeys: @unchecked Sendable {
  /// In the order in which they are tried.
  public let sources: [any KeySource]
  public let limits: KeyLimits
  private let lock = HostCondition()
  /// By the bytes of the header that a key is checked by: the same bytes have the same key.
  private var found: [[UInt8]: VolumeKey] = [:]
  private var asked: [Asked: SecretBytes] = [:]

  private struct Asked: Hashable {
    var source: ObjectIdentifier
    var file: String
  }

  public init(_ sources: [any KeySource], limits: KeyLimits = KeyLimits()) {
    self.sources = sources
    self.limits = limits
  }

  /// The key of an image: known from before, or found by trying all sources.
  /// - Parameters:
  ///   - proof: what the key is checked by.
  ///   - attempt: tries a passphrase; nil: it opens nothing.
  func volumeKey(
    proof: [UInt8], file: String,
    _ attempt: (SecretBytes) throws(StorageError) -> VolumeKey?
  ) throws(StorageError) -> VolumeKey {
    // Held while somebody types or computes: others who want the same key wait for it.
    try lock.locked { () throws(StorageError) in
      if let known = found[proof] { return known }
      guard !sources.isEmpty else { throw DiskKeys.missing(file) }
      var tried: [String] = []
      for source in sources {
        let place = Asked(source: ObjectIdentifier(source), file: file)
        let passphrase: SecretBytes
        if let known = asked[place] {
          passphrase = known
        } else {
          passphrase = try source.passphrase(for: file, isNew: false)
          asked[place] = passphrase
        }
        if let key = try attempt(passphrase) {
          found[proof] = key
          asked[place] = nil
          return key
        }
        let hint =
          passphrase.endsWithLineFeed
          ? " (which ends with a line feed; it counts)" : ""
        tried.append(source.name + hint)
      }
      throw StorageError(
        path: file,
        reason: "is encrypted, and no key slot opens with \(tried.joined(separator: ", nor with "))"
      )
    }
  }

  /// Notes a key that is known without trying: the image was just made.
  func remember(_ key: VolumeKey, proof: [UInt8]) { lock.locked { found[proof] = key } }

  static func missing(_ file: String) -> StorageError {
    StorageError(
      path: file,
      reason:
        "is encrypted: a key is needed (--disk-key of a run, --key-file or --key-ring of apus image, or somebody at a terminal)"
    )
  }
}

/// A device whose blocks are encrypted in its file.
public protocol EncryptedDevice: BlockDevice {
  /// What encrypts it; nil: it was opened without, and only what is not encrypted can be told of it.
  var volumeKey: VolumeKey? { get }
  /// What its key is in; nil: nothing that could be kept by itself.
  func keyContainer() throws(StorageError) -> KeyContainer?
}

extension BlockDevice {
  /// The keys of all encrypted layers, from the top down.
  public var volumeKeys: [VolumeKey] {
    var keys: [VolumeKey] = []
    var next: (any BlockDevice)? = self
    var depth = 0
    while let layer = next, depth < 64 {
      depth += 1
      var own = layer.whole
      // Neither has blocks of its own.
      if let queued = own as? QueuedDevice { own = queued.device.whole }
      if let undo = own as? UndoDevice { own = undo.device.whole }
      if let key = (own as? any EncryptedDevice)?.volumeKey { keys.append(key) }
      next = own.base
    }
    return keys
  }
}
