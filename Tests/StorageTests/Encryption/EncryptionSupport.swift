// What the tests of encrypted images share: passphrases, images in memory, cryptsetup and QEMU as oracles.

import Foundation
import Testing
import ToolSupport

@testable import Storage

enum Secret {
  static let word = Array("a passphrase\n with lines".utf8)

  static func source(_ bytes: [UInt8] = word) -> KnownKey { KnownKey(SecretBytes(bytes)) }
  static func keys(_ bytes: [UInt8] = word) -> DiskKeys { DiskKeys([source(bytes)]) }

  /// A context with keys and without files.
  static func context(_ keys: DiskKeys?, _ folder: MemoryFolder = MemoryFolder()) -> ImageContext {
    var context = folder.context
    context.keys = keys
    return context
  }

  /// A new image in memory.
  static func image(
    _ format: any CreatableFormat, size: Int, _ options: [String: String] = [:],
    provisioning: Provisioning = .thin, keys: DiskKeys? = nil
  ) throws -> MemoryStore {
    var wish = ImageWish(byteCount: UInt64(size))
    wish.provisioning = provisioning
    wish.options = options
    wish.key = source()
    wish.options[format.name == "qcow2" ? "encrypt.iter-time" : "iter-time"] = "1"
    if format.name == "qcow2" { wish.options["encrypt.format"] = "luks" }
    let store = MemoryStore([], name: "image")
    try format.create(store, try wish.checked(for: format, name: "image"), context(keys))
    return store
  }

  static func open(_ store: any ByteStore, _ keys: DiskKeys? = Secret.keys()) throws
    -> any BlockDevice
  {
    try ImageFormats.open(store, context(keys)).device
  }
}

/// cryptsetup, where it is installed.
enum Cryptsetup {
  static let path = ["/usr/sbin/cryptsetup", "/sbin/cryptsetup", "/opt/homebrew/bin/cryptsetup"]
    .first { FileManager.default.isExecutableFile(atPath: $0) }
  static var isThere: Bool { path != nil }
  static let missing: Comment = "cryptsetup is not installed"

  @discardableResult
  static func run(_ arguments: [String]) throws -> (status: Int32, text: String) {
    try Tool.run(path!, arguments)
  }

  /// Makes a container of 20 MB on a plain file.
  static func format(_ path: String, key: String, _ options: [String]) throws {
    _ = FileManager.default.createFile(atPath: path, contents: nil)
    let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    try file.truncate(atOffset: 20 << 20)
    try file.close()
    let result = try run(["luksFormat", "--batch-mode", "--key-file", key] + options + [path])
    try #require(result.status == 0, "\(result.text)")
  }
}

extension QEMU {
  /// Options by which QEMU's tools open an encrypted image.
  static func secret(_ key: String) -> [String] { ["--object", "secret,id=s,file=\(key)"] }

  static func options(_ format: String, _ path: String) -> [String] {
    [
      "--image-opts",
      format == "luks"
        ? "driver=luks,key-secret=s,file.filename=\(path)"
        : "driver=qcow2,encrypt.key-secret=s,file.filename=\(path)",
    ]
  }
}
