// `apus backup` and `apus store` as their users have them: the program is run, with a machine and without one, and killed.

import Foundation
import TestSupport
import Testing

@testable import ApusCommand

@Suite(.enabled(if: Program.path != nil), .serialized) struct BackupCommandTests {
  private func schema(_ name: String) throws -> [String: Any] {
    let result = try Program.run(["schema", name])
    #expect(result.code == 0)
    return try #require(
      try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
  }

  /// Runs a command with --json and holds what it prints against its schema.
  @discardableResult private func answer(_ words: [String], _ name: String, code: Int32 = 0) throws
    -> [String: Any]
  {
    let result = try Program.run(words + ["--json"])
    #expect(result.code == code, "\(words): \(result.output) \(result.error)")
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any],
      "\(words): \(result.output)")
    #expect(SchemaCheck.problems(object, try schema(name)) == [], "\(words)")
    return object
  }

  private func made(_ object: [String: Any]) -> [String: Any] {
    (object["made"] as? [[String: Any]])?.first ?? [:]
  }

  private func names(_ object: [String: Any], _ member: String = "points") -> [String] {
    (object[member] as? [[String: Any]] ?? []).compactMap { $0["name"] as? String }
  }

  /// A file with some data in zeros.
  private func image(_ scratch: Scratch, _ name: String, seed: UInt8 = 1) throws -> String {
    var bytes = [UInt8](repeating: 0, count: 2 << 20)
    for at in 100_000..<400_000 { bytes[at] = UInt8(truncatingIfNeeded: (at &* Int(seed)) >> 3) }
    return try scratch.file(name, bytes)
  }

  @Test func whatIsPrintedFollowsTheSchemas() throws {
    let scratch = try Scratch()
    let disk = try image(scratch, "d.img")
    let (folder, copy) = (scratch.path("b"), scratch.path("copy.qcow2"))
    let first = try answer(
      ["backup", "create", disk, "--to", folder, "--name", "first", "--note", "by hand"], "backup")
    #expect(made(first)["whole"] != nil && made(first)["running"] as? Bool == false)
    // A run whose snapshots tell what is written.
    let floppy = try scratch.floppy("boot.img", [0xEB, 0xFE])
    let run = try Program.run([
      "--headless", "--floppy-a", floppy + ":ro", "--hda", disk, "--memory", "4",
      "--max-instructions", "400_000_000", "--take", "taken",
    ])
    #expect(run.code == 4)
    try answer(["backup", "create", disk, "--to", folder], "backup")
    let third = try answer(["backup", "create", disk, "--to", folder], "backup")
    #expect(made(third)["whole"] == nil && made(third)["readBytes"] as? Int == 0)
    let list = try answer(["snapshot", "list", disk], "snapshot-list")
    #expect((list["snapshots"] as? [[String: Any]])?.last?["kind"] as? String == "base")
    #expect(
      names(try answer(["backup", "list", folder], "backup-list")) == [
        "first", "backup-2", "backup-3",
      ])
    try answer(["backup", "show", folder, "first"], "backup-show")
    try answer(["backup", "export", folder, "latest", copy], "backup-export")
    #expect(try Program.run(["image", "compare", disk, copy]).code == 0)
    let restored = scratch.path("r.img")
    try answer(["backup", "restore", folder, "first", restored], "backup-restore")
    #expect(try Program.run(["image", "compare", disk, restored]).code == 0)
    #expect(try Program.run(["backup", "restore", folder, "first", restored]).code == 64)
    #expect(
      try Program.run(["backup", "restore", folder, "first", restored, "--replace"]).code == 0)
    try answer(["backup", "quota", folder, "1G"], "backup-quota")
    try answer(["backup", "du", folder], "backup-du")
    try answer(["backup", "verify", folder], "backup-verify")
    try answer(["backup", "gc", folder], "backup-gc")
    let would = try answer(
      ["backup", "prune", folder, "--keep-last", "1", "--dry-run"], "backup-delete")
    #expect(names(would, "deleted") == ["first", "backup-2"])
    try answer(["backup", "prune", folder, "--keep-last", "2"], "backup-delete")
    try answer(["backup", "delete", folder, "backup-2"], "backup-delete")
    #expect(names(try answer(["backup", "list", folder], "backup-list")) == ["backup-3"])
    for store in [folder, disk + ".snapshots"] {
      try answer(["store", "du", store], "store-du")
      try answer(["store", "gc", store], "store-gc")
      try answer(["store", "verify", store], "store-verify")
    }
  }

  @Test func whatIsWrongIsSaid() throws {
    let scratch = try Scratch()
    let disk = try image(scratch, "d.img")
    let folder = scratch.path("b")
    #expect(try Program.run(["backup", "create", disk, "--to", folder]).code == 0)
    for words in [
      ["create", scratch.path("none.img"), "--to", folder], ["create", disk],
      ["list", scratch.path("none")], ["show", folder, "none"], ["prune", folder],
      ["prune", folder, "--keep-last", "-1"], ["crate", disk], ["quota", folder, "1k"],
      ["create", disk, disk, "--to", folder, "--name", "x"],
      ["create", disk, "--to", folder, "--name", "backup-1"],
      ["export", folder, "latest", scratch.path("x.img"), "--disk", "disk7"],
    ] {
      let result = try Program.run(["backup"] + words)
      #expect(result.code == 64, "\(words): \(result.output) \(result.error)")
    }
    #expect(try Program.run(["store", "du", scratch.path("none")]).code == 64)
    // A folder of something else is not touched.
    #expect(try Program.run(["backup", "create", disk, "--to", scratch.folder.path]).code == 74)
    // A damaged pack is told, and a damaged root refused.
    let packs = folder + "/packs"
    let pack = try #require(FileManager.default.contentsOfDirectory(atPath: packs).first)
    let handle = try #require(FileHandle(forUpdatingAtPath: packs + "/" + pack))
    try handle.seek(toOffset: 5000)
    try handle.write(contentsOf: Data([0xAA, 0x55, 0xAA]))
    try handle.close()
    try answer(["backup", "verify", folder], "backup-verify", code: 1)
    #expect(try Program.run(["store", "verify", folder]).code == 1)
    let shown = try answer(["backup", "list", folder], "backup-list")
    #expect((shown["points"] as? [[String: Any]])?.first?["damage"] != nil)
    let image = scratch.path("x.img")
    #expect(try Program.run(["backup", "restore", folder, "latest", image]).code == 74)
    #expect(!FileManager.default.fileExists(atPath: image))
    // The next one mends it.
    #expect(try Program.run(["backup", "create", disk, "--to", folder]).code == 0)
    #expect(try Program.run(["backup", "verify", folder]).code == 0)
    #expect(try Program.run(["backup", "restore", folder, "backup-1", image]).code == 0)
    // So it does where a whole file is lost.
    for pack in try FileManager.default.contentsOfDirectory(atPath: packs) {
      try FileManager.default.removeItem(atPath: packs + "/" + pack)
    }
    #expect(try Program.run(["backup", "verify", folder]).code == 1)
    let whole = try answer(["backup", "create", disk, "--to", folder], "backup")
    #expect(made(whole)["whole"] as? String == "the last one is damaged")
    #expect(try Program.run(["backup", "verify", folder]).code == 0)
    let again = ["backup", "export", folder, "backup-1", scratch.path("y.img")]
    #expect(try Program.run(again).code == 0)
    try Data([1, 2, 3]).write(to: URL(fileURLWithPath: folder + "/root"))
    #expect(try Program.run(["backup", "list", folder]).code == 74)
  }

  /// Where OpenSSL is: contents are encrypted by the disk's key, and the folder's own copy of its header opens them.
  @Test(arguments: ["luks", "qcow2"]) func encryptedDisksStayEncrypted(format: String) throws {
    let scratch = try Scratch()
    let plain = try image(scratch, "plain.img")
    let (disk, folder, key) = (scratch.path("e.img"), scratch.path("b"), scratch.path("k"))
    try Data("secret".utf8).write(to: URL(fileURLWithPath: key))
    let options =
      format == "luks"
      ? ["-o", "iter-time=1"]
      : ["-o", "encrypt.format=luks,encrypt.iter-time=1"]
    let made = try Program.run(
      ["image", "convert", "-O", format, "--new-key-file", key, plain, disk] + options)
    if made.error.contains("libssl") || made.error.contains("libcrypto") { return }
    #expect(made.code == 0, "\(made.error)")
    let keys = ["--key-file", key]
    #expect(try Program.run(["backup", "create", disk, "--to", folder]).code == 74)
    for _ in 0..<2 {
      try answer(["backup", "create", disk, "--to", folder] + keys, "backup")
      #expect(try Program.run(["snapshot", "take", disk] + keys).code == 0)
    }
    // What is not encrypted does not go there.
    #expect(try Program.run(["backup", "create", plain, "--to", folder]).code == 74)
    #expect(try Program.run(["backup", "list", folder]).code == 74)
    let list = try answer(["backup", "list", folder] + keys, "backup-list")
    #expect(list["encrypted"] as? Bool == true && names(list).count == 2)
    // The image is lost.
    try FileManager.default.removeItem(atPath: disk)
    let copy = scratch.path("copy")
    let export = ["backup", "export", folder, "latest", copy] + keys
    #expect(try Program.run(export + ["-O", "raw"]).code == 64)
    #expect(!FileManager.default.fileExists(atPath: copy))
    try answer(export + ["-O", format, "--new-key-file", key] + options, "backup-export")
    let readable = scratch.path("readable.img")
    #expect(
      try Program.run(["image", "convert", "--key-file", key, "-O", "raw", copy, readable]).code
        == 0)
    #expect(try Program.run(["image", "compare", plain, readable]).code == 0)
    let plainly = ["backup", "restore", folder, "latest", scratch.path("r.img"), "--readable"]
    try answer(plainly + keys, "backup-restore")
    // Without a word it is what it was, with the same passphrase.
    let again = ["backup", "restore", folder, "latest", scratch.path("s.img")] + options
    try answer(again + keys, "backup-restore")
    let info = try Program.run(["image", "info", scratch.path("s.img")])
    #expect(info.output.contains("encrypted"), "\(info.output)")
    try answer(["backup", "verify", folder] + keys, "backup-verify")
    try answer(["store", "du", folder] + keys, "store-du")
  }

  // MARK: A machine that runs

  /// A machine in a process of its own, which lets itself be asked when this returns.
  private func start(_ disk: String, _ floppy: String) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(Program.path))
    process.arguments = [
      "--headless", "--floppy-a", floppy + ":ro", "--hda", disk, "--memory", "16",
      "--with-snapshots",
    ]
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.start()
    for _ in 0..<500 {
      if try Program.run(["snapshot", "list", disk, "--json"]).output.contains("\"running\":true") {
        return process
      }
      usleep(20_000)
    }
    Issue.record("the machine did not begin")
    return process
  }

  @Test func aMachineThatRunsIsAsked() throws {
    let scratch = try Scratch()
    let disk = try image(scratch, "d.img")
    let folder = scratch.path("b")
    let machine = try start(disk, try scratch.floppy("boot.img", [0xEB, 0xFE]))
    defer { machine.terminate() }
    let first = made(try answer(["backup", "create", disk, "--to", folder], "backup"))
    #expect(first["running"] as? Bool == true && first["whole"] != nil)
    let second = made(
      try answer(["backup", "create", disk + ".snapshots/control", "--to", folder], "backup"))
    #expect(second["whole"] == nil && second["pauseMilliseconds"] != nil)
    #expect(try Program.run(["snapshot", "take", disk, "one"]).code == 0)
    let copy = scratch.path("one.vdi")
    try answer(["snapshot", "export", disk, "one", copy], "snapshot-export")
    let wrong = try Program.run(["snapshot", "export", disk, "none", scratch.path("x.img")])
    #expect(wrong.code == 64)
    #expect(try Program.run(["backup", "create", disk, "--to", folder, "--name", ""]).code == 64)
    machine.terminate()
    machine.waitUntilExit()
    #expect(try Program.run(["image", "compare", disk, copy]).code == 0)
    let restored = scratch.path("r.img")
    let result = try answer(["backup", "restore", folder, "latest", restored], "backup-restore")
    #expect(result["goesOn"] as? Bool == true)
    let run = try Program.run([
      "--headless", "--floppy-a", scratch.path("boot.img") + ":ro", "--hda", restored, "--memory",
      "16", "--max-instructions", "1",
    ])
    #expect(run.error.contains("goes on from snapshot 'backup-2'"))
  }

  // MARK: Killed

  /// More by APUS_KILL_ROUNDS.
  private let rounds =
    ProcessInfo.processInfo.environment["APUS_KILL_ROUNDS"].flatMap(Int.init) ?? 6

  /// Starts the program, and kills it after a while if it has not ended by itself.
  private func killed(_ words: [String], after microseconds: UInt32) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(Program.path))
    process.arguments = words
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.start()
    usleep(microseconds)
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }

  /// How long a command takes when nobody kills it.
  private func time(_ words: [String]) throws -> UInt32 {
    let start = Date()
    #expect(try Program.run(words).code == 0)
    return UInt32(Date().timeIntervalSince(start) * 1_200_000)
  }

  @Test func whoeverIsKilledLosesNothing() throws {
    let scratch = try Scratch()
    let disk = try image(scratch, "d.img")
    let folder = scratch.path("b")
    // With snapshots, so that their tree is written, too.
    #expect(try Program.run(["snapshot", "take", disk, "one"]).code == 0)
    let create = ["backup", "create", disk, "--to", folder]
    let long = try time(create)
    let restored = scratch.path("r.img")
    let restore = ["backup", "restore", folder, "latest", restored]
    let restoring = try time(restore)
    func remove() throws {
      for name in ["r.img", "r.img.snapshots", "x.img"] {
        try? FileManager.default.removeItem(atPath: scratch.path(name))
      }
    }
    func count() throws -> Int {
      names(try answer(["backup", "list", folder], "backup-list")).count
    }
    // One without snapshots that is another each time: there is much to write.
    let other = scratch.path("p.img")
    func change() throws {
      var bytes = Data(count: 8 << 20)
      for at in (1 << 20)..<(5 << 20) where at % 8 == 0 {
        withUnsafeBytes(of: UInt64.random(in: 0...UInt64.max)) {
          bytes.replaceSubrange(at..<at + 8, with: $0)
        }
      }
      try bytes.write(to: URL(fileURLWithPath: other))
    }
    let create2 = ["backup", "create", other, "--to", folder]
    try change()
    let long2 = try time(create2)
    var points = try count()
    for round in 0..<rounds {
      try change()
      try killed(create2, after: UInt32.random(in: 0...long2))
      #expect(try Program.run(["backup", "verify", folder]).code == 0)
      let whole = try Program.run(create2)
      #expect(whole.code == 0, "round \(round): \(whole.error)")
      try? FileManager.default.removeItem(atPath: scratch.path("p2.img"))
      #expect(
        try Program.run(["backup", "export", folder, "latest", scratch.path("p2.img")]).code == 0)
      #expect(try Program.run(["image", "compare", other, scratch.path("p2.img")]).code == 0)
      points = try count()
      try killed(create, after: UInt32.random(in: 0...long))
      let found = try count()
      #expect(found == points || found == points + 1)
      #expect(try Program.run(["backup", "verify", folder]).code == 0)
      #expect(try Program.run(["snapshot", "verify", disk]).code == 0)
      #expect(try Program.run(create).code == 0)
      #expect(try count() == found + 1)
      points = found + 1
      let bases = try Program.run(["snapshot", "list", disk]).output.components(
        separatedBy: "backup-base-")
      #expect(bases.count == 2, "round \(round)")
      if points > 8 {
        try killed(
          ["backup", "prune", folder, "--keep-last", "3"], after: UInt32.random(in: 0...long))
        #expect(try Program.run(["backup", "verify", folder]).code == 0)
        #expect(try Program.run(["backup", "prune", folder, "--keep-last", "4"]).code == 0)
        points = try count()
      }
      // What has the name is whole, and the same command makes it where it was cut off.
      try remove()
      try killed(restore, after: UInt32.random(in: 0...restoring))
      if FileManager.default.fileExists(atPath: restored) {
        #expect(try Program.run(["image", "compare", disk, restored]).code == 0)
        #expect(try Program.run(["snapshot", "list", restored]).code == 0)
      } else {
        let again = try Program.run(restore)
        #expect(again.code == 0, "round \(round): \(again.error)")
        #expect(try Program.run(["image", "compare", disk, restored]).code == 0)
      }
      let export = ["backup", "export", folder, "latest", scratch.path("x.img")]
      try killed(export, after: UInt32.random(in: 0...restoring))
      if !FileManager.default.fileExists(atPath: scratch.path("x.img")) {
        #expect(try Program.run(export).code == 0)
      }
      #expect(try Program.run(["image", "compare", disk, scratch.path("x.img")]).code == 0)
    }
  }

  @Test func aMachineThatIsKilledLosesNothing() throws {
    let scratch = try Scratch()
    let disk = try image(scratch, "d.img")
    let floppy = try scratch.floppy("boot.img", [0xEB, 0xFE])
    let folder = scratch.path("b")
    var points = 0
    for round in 0..<max(2, rounds / 3) {
      let machine = try start(disk, floppy)
      let create = ["backup", "create", disk, "--to", folder]
      #expect(try Program.run(create).code == 0)
      let asking = Process()
      asking.executableURL = machine.executableURL
      asking.arguments = create
      asking.standardOutput = FileHandle.nullDevice
      asking.standardError = FileHandle.nullDevice
      try asking.start()
      usleep(UInt32.random(in: 0...60_000))
      kill(machine.processIdentifier, SIGKILL)
      machine.waitUntilExit()
      asking.waitUntilExit()
      let list = names(try answer(["backup", "list", folder], "backup-list"))
      #expect(list.count == points + 1 || list.count == points + 2, "round \(round)")
      points = list.count
      #expect(try Program.run(["backup", "verify", folder]).code == 0)
      // Nothing runs: the next one has the disks.
      #expect(try Program.run(create).code == 0, "round \(round)")
      points += 1
    }
  }
}
