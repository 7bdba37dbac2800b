// Encrypted images between this program, QEMU and cryptsetup.

import Foundation
import Testing

@testable import Storage

@Suite(.serialized) struct LUKSCrossTests {
  private static func key(_ scratch: Scratch) -> String { scratch.file("key", Secret.word) }

  private static func open(_ path: String, readOnly: Bool = false) throws -> any BlockDevice {
    try ImageOpener.open(path: path, kind: .disk, readOnly: readOnly, keys: Secret.keys()).device
  }

  /// Writes, zeros and discards here.
  private static func work(_ path: String, _ model: inout [UInt8], seed: UInt64) throws {
    let device = try open(path)
    try QCOW2Maker.exerciseUncompressed(device, &model, steps: 25, seed: seed)
    try device.flush()
    device.close()
  }

  private static func expectSame(
    _ format: String, _ path: String, _ model: [UInt8], _ scratch: Scratch,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let raw = scratch.directory + "/theirs"
    let result = try QEMU.run(
      ["convert"] + QEMU.secret(key(scratch)) + QEMU.options(format, path) + ["-O", "raw", raw])
    #expect(result.status == 0, "\(result.text)", sourceLocation: sourceLocation)
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: raw)))
    #expect(bytes == model, "\(format) as QEMU reads it", sourceLocation: sourceLocation)
  }

  private static func writeThere(
    _ format: String, _ path: String, _ model: inout [UInt8], _ scratch: Scratch
  )
    throws
  {
    let result = try QEMU.run(
      QEMU.secret(key(scratch)) + [
        "-c", "write -P 0x5a 300000 100000", "-c", "write -P 0x5b 2000384 512",
      ] + QEMU.options(format, path), tool: "qemu-io")
    #expect(result.status == 0 && !result.text.contains("rror"), "\(result.text)")
    model.replaceSubrange(300_000..<400_000, with: repeatElement(0x5A, count: 100_000))
    model.replaceSubrange(2_000_384..<2_000_896, with: repeatElement(0x5B, count: 512))
  }

  private static func make(
    _ format: any CreatableFormat, _ path: String, size: Int, _ options: [String: String]
  ) throws {
    let bytes = try Secret.image(format, size: size, options).bytes
    _ = FileManager.default.createFile(atPath: path, contents: Data(bytes))
  }

  @Test(
    .enabled(if: QEMU.isThere && OpenSSL.isThere, QEMU.missing),
    arguments: [
      "", "cipher-alg=aes-128", "cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256",
      "cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=plain64,hash-alg=sha1",
      "hash-alg=sha512,ivgen-alg=plain",
    ])
  func rawContainersGoBothWays(_ options: String) throws {
    let scratch = Scratch()
    let pairs = options.split(separator: ",").map { $0.split(separator: "=").map(String.init) }
    let ours = Dictionary(uniqueKeysWithValues: pairs.map { ($0[0], $0[1]) })
    let size = 3 << 20
    // Ours.
    let own = scratch.directory + "/own.luks"
    try Self.make(LUKSFormat(), own, size: size, ours)
    var device = try Self.open(own)
    var model = try device.bytes(at: 0, count: size)
    device.close()
    try Self.work(own, &model, seed: 3)
    try Self.expectSame("luks", own, model, scratch)
    try Self.writeThere("luks", own, &model, scratch)
    device = try Self.open(own, readOnly: true)
    #expect(try device.bytes(at: 0, count: size) == model)
    device.close()
    if Cryptsetup.isThere {
      let opens = try Cryptsetup.run([
        "open", "--test-passphrase", "--key-file", Self.key(scratch), own,
      ])
      #expect(opens.status == 0, "\(opens.text)")
    }

    // Theirs.
    let other = scratch.directory + "/other.luks"
    let made = try QEMU.run(
      ["create"] + QEMU.secret(Self.key(scratch)) + [
        "-f", "luks", "-o", "key-secret=s,iter-time=10" + (options.isEmpty ? "" : "," + options),
        other, "\(size)",
      ])
    if QEMU.couldNotMeasure(made.text) { return print("qemu-img makes no LUKS here: left out") }
    #expect(made.status == 0, "\(made.text)")
    device = try Self.open(other)
    model = try device.bytes(at: 0, count: size)
    device.close()
    try Self.expectSame("luks", other, model, scratch)
    try Self.work(other, &model, seed: 4)
    try Self.expectSame("luks", other, model, scratch)
    #expect(
      try LUKSFormat().check(HostFile(path: other, writable: false), .none, scratch.context(other))
        .isClean)
  }

  @Test(
    .enabled(if: QEMU.isThere && OpenSSL.isThere, QEMU.missing),
    arguments: [
      "cluster_size=65536", "cluster_size=4096,encrypt.cipher-alg=aes-128",
      "cluster_size=16384,extended_l2=on,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv",
      "cluster_size=512,compat=0.10", "cluster_size=65536,preallocation=falloc",
      "cluster_size=65536,preallocation=full",
    ])
  func qcow2ImagesGoBothWays(_ options: String) throws {
    let scratch = Scratch()
    let pairs = options.split(separator: ",").map { $0.split(separator: "=").map(String.init) }
    let ours = Dictionary(uniqueKeysWithValues: pairs.map { ($0[0], $0[1]) })
    let size = 3 << 20
    func expectClean(_ path: String) throws {
      let theirs = try QEMU.run(
        ["check"] + QEMU.secret(Self.key(scratch)) + QEMU.options("qcow2", path))
      #expect(theirs.status == 0, "\(theirs.text)")
      let check = try QCOW2Format().check(
        HostFile(path: path, writable: false), .none, scratch.context(path))
      #expect(check.isClean, "\(check.findings.prefix(3))")
    }
    let own = scratch.directory + "/own.qcow2"
    try Self.make(QCOW2Format(), own, size: size, ours)
    var model = [UInt8](repeating: 0, count: size)
    var device = try Self.open(own)
    #expect(try device.bytes(at: 0, count: size) == model)
    device.close()
    try expectClean(own)
    try Self.expectSame("qcow2", own, model, scratch)
    try Self.work(own, &model, seed: 5)
    try expectClean(own)
    try Self.expectSame("qcow2", own, model, scratch)
    try Self.writeThere("qcow2", own, &model, scratch)
    device = try Self.open(own, readOnly: true)
    #expect(try device.bytes(at: 0, count: size) == model)
    device.close()
    try expectClean(own)

    if options.contains("preallocation") { return }
    let other = scratch.directory + "/other.qcow2"
    let made = try QEMU.run(
      ["create"] + QEMU.secret(Self.key(scratch)) + [
        "-f", "qcow2", "-o",
        "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,\(options)", other,
        "\(size)",
      ])
    if QEMU.couldNotMeasure(made.text) { return print("qemu-img makes no LUKS here: left out") }
    #expect(made.status == 0, "\(made.text)")
    model = [UInt8](repeating: 0, count: size)
    try Self.work(other, &model, seed: 6)
    try expectClean(other)
    try Self.expectSame("qcow2", other, model, scratch)
    try Self.writeThere("qcow2", other, &model, scratch)
    device = try Self.open(other)
    #expect(try device.bytes(at: 0, count: size) == model)
    let image = try #require(device.whole as? QCOW2Image)
    #expect(image.imageFacts.encryption?.slots.count == 1)
    device.close()
  }

  /// Clusters that several states share are encrypted by where they are, not by where they are on the disk.
  @Test(.enabled(if: QEMU.isThere && OpenSSL.isThere, QEMU.missing))
  func snapshotsInsideAnImage() throws {
    let scratch = Scratch()
    let path = scratch.directory + "/image"
    let size = 1 << 20
    try Self.make(QCOW2Format(), path, size: size, ["cluster_size": "4096"])
    var model = [UInt8](repeating: 0, count: size)
    try Self.work(path, &model, seed: 11)
    var before = model
    var device = try Self.open(path)
    try #require(device.whole as? QCOW2Image).createSnapshot(named: "s", time: 7)
    device.close()
    try Self.work(path, &model, seed: 12)
    try Self.expectSame("qcow2", path, model, scratch)
    device = try Self.open(path)
    try #require(device.whole as? QCOW2Image).applySnapshot("s")
    device.close()
    try Self.expectSame("qcow2", path, before, scratch)
    try Self.work(path, &before, seed: 13)
    try Self.expectSame("qcow2", path, before, scratch)
    let theirs = try QEMU.run(
      ["check"] + QEMU.secret(Self.key(scratch)) + QEMU.options("qcow2", path))
    #expect(theirs.status == 0, "\(theirs.text)")
  }

  @Test(
    .enabled(if: Cryptsetup.isThere && OpenSSL.isThere, Cryptsetup.missing),
    arguments: [
      "--type luks1 --pbkdf-force-iterations 1000",
      "--type luks1 --pbkdf-force-iterations 1000 --cipher aes-cbc-essiv:sha256 --key-size 256 --hash sha512",
      "--type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --sector-size 512",
      "--type luks2 --pbkdf argon2id --pbkdf-memory 8192 --pbkdf-force-iterations 4 --sector-size 4096",
      "--type luks2 --pbkdf argon2i --pbkdf-memory 8192 --pbkdf-force-iterations 4 --sector-size 2048 --cipher aes-cbc-plain64 --key-size 256",
      "--type luks2 --pbkdf argon2id --pbkdf-memory 8192 --pbkdf-force-iterations 4 --pbkdf-parallel 2 --hash sha512 --cipher aes-xts-plain64 --key-size 256",
      "--type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --luks2-metadata-size 64k --luks2-keyslots-size 512k",
    ])
  func cryptsetupsContainersOpen(_ options: String) throws {
    let scratch = Scratch()
    let path = scratch.directory + "/image"
    let key = Self.key(scratch)
    try Cryptsetup.format(path, key: key, options.split(separator: " ").map(String.init))
    // A second passphrase, in another slot.
    let second = scratch.file("second", Array("another".utf8))
    let added = try Cryptsetup.run([
      "luksAddKey", "--batch-mode", "--key-file", key, "--pbkdf", "pbkdf2",
      "--pbkdf-force-iterations", "1000", path, second,
    ])
    #expect(added.status == 0, "\(added.text)")
    let dump = try Cryptsetup.run([
      "luksDump", "--dump-volume-key", "--batch-mode", "--key-file", key, path,
    ]).text
    let digits = dump.components(separatedBy: "MK dump:").last!.filter(\.isHexDigit)
    for word in [Secret.word, Array("another".utf8)] {
      let device = try ImageOpener.open(path: path, kind: .disk, keys: Secret.keys(word)).device
      let volume = try #require(device.volumeKeys.first)
      let found = volume.bytes.copy.map { String(UInt16($0) | 256, radix: 16).dropFirst() }
        .joined()
      #expect(found == digits)
      #expect(volume.slot == (word == Secret.word ? 0 : 1))
      device.close()
    }
    #expect(throws: StorageError.self) {
      try ImageOpener.open(path: path, kind: .disk, keys: Secret.keys(Array("wrong".utf8)))
    }
    // Facts without a key.
    var context = scratch.context(path)
    context.mayStayLocked = true
    let store = try HostFile(path: path, writable: false)
    let locked = try LUKSFormat().open(store, context).device
    let facts = try #require((locked as? any DescribedDevice)?.imageFacts.encryption)
    #expect(
      facts.slots.count == 2 && facts.format == (options.contains("luks1") ? "luks1" : "luks2"))
    #expect(throws: StorageError.self) { try locked.contents(of: 0) }
    #expect(try LUKSFormat().check(store, .none, context).isClean)
    store.close()

    // What is written stays, and cryptsetup still takes the header.
    var model = try Self.open(path, readOnly: true).bytes(at: 0, count: 2 << 20)
    let device = try Self.open(path)
    try QCOW2Maker.exerciseUncompressed(
      device.view(blockCount: 4096, isWriteProtected: false), &model, steps: 20, seed: 8)
    try device.flush()
    device.close()
    #expect(try Self.open(path, readOnly: true).bytes(at: 0, count: 2 << 20) == model)
    #expect(try Cryptsetup.run(["open", "--test-passphrase", "--key-file", key, path]).status == 0)

    // The same sectors behind a LUKS1 header with the same key, which QEMU reads.
    guard QEMU.isThere, let image = try? Self.open(path, readOnly: true),
      image.whole.blockSize == 512
    else { return }
    let container = (image.whole as! LUKSImage).container
    let volume = scratch.file(
      "volume",
      image.volumeKeys[0].bytes.copy)
    let other = scratch.directory + "/other"
    try Cryptsetup.format(
      other, key: key,
      [
        "--type", "luks1", "--pbkdf-force-iterations", "1000", "--cipher", container.cipher.text,
        "--key-size", "\(container.keySize * 8)", "--volume-key-file", volume,
      ])
    let from = try Data(contentsOf: URL(fileURLWithPath: path))
    var to = try Data(contentsOf: URL(fileURLWithPath: other))
    let start = Int(container.payloadOffset)
    to = to.prefix(2 << 20) + from[start..<start + 2 << 20]
    try to.write(to: URL(fileURLWithPath: other))
    try Self.expectSame("luks", other, model, scratch)
  }
}
