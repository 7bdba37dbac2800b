// Machines with encrypted disks: what is kept of them elsewhere is encrypted as well.

import Foundation
import Host
import TestSupport
import Testing

@testable import Machine
@testable import Storage

@Suite(.enabled(if: OpenSSL.isThere, "OpenSSL 3 is not installed")) struct SealedMachineTests {
  private static let word = Array("a passphrase".utf8)

  /// A container in memory, opened; each time the same one.
  private func disk(_ store: MemoryStore) throws -> MachineImage {
    var context = ImageContext(kind: .disk, formats: ImageFormats.all) {
      (name, _) throws(StorageError) in throw StorageError(path: name, reason: "is not there")
    }
    context.keys = DiskKeys([KnownKey(SecretBytes(SealedMachineTests.word))])
    let device = try ImageFormats.open(store, context).device
    let geometry = DiskGeometry.standard(sectorCount: device.blockCount)
    return MachineImage(
      name: "disk", device: QueuedDevice(device),
      medium: .disk(physical: geometry, translated: geometry))
  }

  private func container() throws -> MemoryStore {
    var wish = ImageWish(byteCount: 1 << 20)
    wish.options = ["iter-time": "1"]
    wish.key = KnownKey(SecretBytes(SealedMachineTests.word))
    let store = MemoryStore([], name: "disk")
    let context = ImageContext(kind: .disk, formats: ImageFormats.all) {
      (name, _) throws(StorageError) in throw StorageError(path: name, reason: "is not there")
    }
    try LUKSFormat().create(store, try wish.checked(for: LUKSFormat(), name: "disk"), context)
    return store
  }

  private func machine(_ store: MemoryStore?) throws -> Machine {
    try MachineTests.machine(booting: Guest.echoKeys) {
      if let store { $0.disks[0] = try? disk(store) }
    }
  }

  @Test func statesOfEncryptedDisksAreReadableWithTheirKeysOnly() throws {
    let store = try container()
    let saved = try machine(store)
    _ = saved.run(untilInstruction: 30_000_000)
    #expect(saved.volumeKeys.count == 1)
    let file = try saved.stateFile(named: "state")
    #expect(SealedFile.isSealed(file))
    let state = saved.saveState()
    let loaded = try machine(store)
    #expect(try loaded.opened(file, named: "state") == state)
    try loaded.restoreState(try loaded.opened(file, named: "state"))
    #expect(loaded.stateHash() == saved.stateHash())
    // Another container has another key, though the passphrase is the same; a machine without encrypted disks has none.
    for other in [try machine(try container()), try machine(nil)] {
      #expect(throws: StorageError.self) { try other.opened(file, named: "state") }
    }
    let plain = try machine(nil)
    #expect(try !SealedFile.isSealed(plain.stateFile(named: "state")))
    #expect(try plain.opened(plain.saveState(), named: "state") == plain.saveState())
  }

  @Test func soAreRecordings() throws {
    let store = try container()
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(
      "apus-sealed-\(UUID().uuidString)"
    ).path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let recorded = try machine(store)
    try recorded.startRecording(to: recorded.recordingTarget(path))
    _ = recorded.run(untilInstruction: 30_000_000)
    recorded.input.post(.key(usage: 4, down: true))
    _ = recorded.run(untilInstruction: 40_000_000)
    recorded.finishRecording(.instructionLimit)
    let file = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    #expect(SealedFile.isSealed(file))
    let repeated = try machine(store)
    let recording = try Recording(try repeated.opened(file, named: path))
    #expect(recording.inputCount > 0)
    try repeated.startReplay(recording)
    #expect(repeated.run() == .recordingEnd(.instructionLimit))
    #expect(repeated.stateHash() == recorded.stateHash())
    // One that was cut off is readable up to there.
    let cut = try SealedFile.openAsFarAsPossible(
      Array(file.dropLast(20)), repeated.volumeKeys, for: path)
    #expect(try Recording(cut).cutAt != nil || !cut.isEmpty)
  }
}
