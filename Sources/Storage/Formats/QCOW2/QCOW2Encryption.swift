// QCOW2 images whose data are encrypted by LUKS.
//
// Owns: the LUKS header in the image's own clusters, read and made. Must not know: passphrases' sources, how sectors are encrypted.
// After: QEMU, docs/interop/qcow2.txt, "Full disk encryption header pointer", "Data encryption".

/// How an image is encrypted; tables are not.
struct QCOW2Encryption {
  var container: LUKSContainer
  /// nil: the image was opened without it, and its data cannot be read.
  var key: VolumeKey?

  /// No LUKS1 header is longer: eight slots for the longest key there can be take 2 MiB.
  static let mostBytes: UInt64 = 16 << 20
  static let prefix = "encrypt."

  static var options: [ImageOption] {
    [
      ImageOption(
        prefix + "format", standard: "", values: "luks",
        help: "the data are encrypted by a passphrase")
    ] + LUKSChoices.options(prefix: prefix)
  }

  /// What the header says, opened by a key.
  static func open(_ header: QCOW2Header, _ store: any ByteStore, _ context: ImageContext)
    throws(StorageError) -> QCOW2Encryption?
  {
    guard let area = header.encryption else { return nil }
    if header.isRawExternal {
      throw StorageError(
        path: store.name, offset: 32,
        reason: "is encrypted and has a raw external data file, which would be no raw disk then")
    }
    let container = try LUKS1Header.read(store, at: area.offset, limit: area.length)
    if context.mayStayLocked && context.keys == nil { return QCOW2Encryption(container: container) }
    return QCOW2Encryption(
      container: container,
      key: try container.volumeKey(store, base: area.offset, context.keys))
  }

  /// A new header, if one is wished.
  static func make(_ wish: ImageWish, _ name: String) throws(StorageError) -> NewLUKS? {
    guard let format = wish.options[prefix + "format"], !format.isEmpty else {
      if let option = wish.options.keys.first(where: {
        $0.hasPrefix(prefix) && $0 != prefix + "format"
      }) {
        throw StorageError(path: name, reason: "\(option) needs encrypt.format=luks")
      }
      return nil
    }
    guard format == "luks" else {
      throw StorageError(
        path: name, reason: "encrypt.format is luks, not '\(format)'; nothing else is made any more"
      )
    }
    guard let source = wish.key else {
      throw StorageError(
        path: name,
        reason:
          "a new encrypted image needs a passphrase, from --new-key-file, --new-key-ring or a "
          + "terminal")
    }
    let choices = try LUKSChoices(wish, name, prefix: prefix)
    return try NewLUKS(
      choices, passphrase: try source.passphrase(for: name, isNew: true), uuid: wish.uuid(),
      alignment: 512, for: name)
  }
}

extension QCOW2Image: EncryptedDevice {
  public var volumeKey: VolumeKey? { encryption?.key }

  public func keyContainer() throws(StorageError) -> KeyContainer? {
    guard let encryption, let area = header.encryption else { return nil }
    return try KeyContainer(encryption.container, store, at: area.offset, count: area.length)
  }
}
