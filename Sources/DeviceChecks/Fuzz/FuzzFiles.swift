// The disks and discs of a machine that is fuzzed.
//
// Owns: a folder of its own with small images, and its end. Must not know: what reads them.

import Host

/// Images for drives, made anew and removed at the end.
final class FuzzFiles {
  let folder: String
  let disk: String
  let otherDisk: String
  let floppies: [String]
  let discs: [String]

  init() throws {
    let folder = try HostProcess.temporaryFolder("apus-fuzz")
    self.folder = folder
    func file(_ name: String, _ count: Int, _ change: (inout [UInt8]) -> Void = { _ in }) throws
      -> String
    {
      // Sectors that differ, so that it shows which was read.
      var bytes = [UInt8](repeating: 0, count: count)
      for n in stride(from: 0, to: count, by: 512) {
        bytes[n] = UInt8(truncatingIfNeeded: n >> 9)
        bytes[n + 1] = UInt8(truncatingIfNeeded: n >> 17)
        bytes[n + 2] = UInt8(name.utf8.count)
      }
      change(&bytes)
      try HostFiles.writeAtomically("\(folder)/\(name)", bytes)
      return "\(folder)/\(name)"
    }
    disk = try file("disk.img", 4 << 20)
    otherDisk = try file("disk2.img", 1 << 20)
    floppies = [
      try file("floppy.img", 1_474_560), try file("floppy720.img", 737_280),
      try file("floppy1200.img", 1_228_800),
    ]
    // The volume's size, in both byte orders, is that of the file.
    func volume(_ bytes: inout [UInt8]) {
      bytes.replaceSubrange(32768..<32774, with: [1] + Array("CD001".utf8))
      let size = UInt32(bytes.count / 2048)
      withUnsafeBytes(of: size.littleEndian) { bytes.replaceSubrange(32848..<32852, with: $0) }
      withUnsafeBytes(of: size.bigEndian) { bytes.replaceSubrange(32852..<32856, with: $0) }
      // Logical blocks of 2048 bytes, the root directory in one of them.
      bytes.replaceSubrange(32896..<32900, with: [0, 8, 8, 0])
      bytes[32926] = 20
      // No more descriptors.
      bytes.replaceSubrange(34816..<34822, with: [255] + Array("CD001".utf8))
    }
    _ = try file("audio.bin", 2352 * 400)
    let sheet = """
      FILE "audio.bin" BINARY
        TRACK 01 MODE1/2352
          INDEX 01 00:00:00
        TRACK 02 AUDIO
          PREGAP 00:02:00
          INDEX 01 00:02:00
        TRACK 03 AUDIO
          INDEX 00 00:03:30
          INDEX 01 00:03:60
      """
    try HostFiles.writeAtomically("\(folder)/audio.cue", Array(sheet.utf8))
    discs = [
      try file("disc.iso", 2048 * 300, volume), "\(folder)/audio.cue",
      try file("other.iso", 2048 * 40, volume),
    ]
  }

  deinit { HostProcess.removeFolder(folder) }
}
