// Files on disks with a GUID partition table, held against sfdisk where it is installed.

import Foundation
import Testing

@testable import Images
@testable import Storage

extension WorkOnImages {
  @Suite struct GUIDPartitionTests {
    private static let size = 64 << 20

    private func number(_ value: UInt64, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    }

    /// CRC-32 by long division, bit for bit.
    private func sum(_ bytes: [UInt8]) -> UInt64 {
      var value: UInt32 = 0xFFFF_FFFF
      for byte in bytes {
        for bit in 0..<8 {
          let carry = (value ^ UInt32(byte) >> UInt32(bit)) & 1
          value >>= 1
          if carry == 1 { value ^= 0xEDB8_8320 }
        }
      }
      return UInt64(~value)
    }

    /// A disk with partitions 1 (no file system) and 3 (from sector 4096 on).
    private func table() -> [UInt8] {
      var disk = [UInt8](repeating: 0, count: GUIDPartitionTests.size)
      let sectors = UInt64(disk.count / 512)
      disk.replaceSubrange(
        446..<462, with: [0, 0, 2, 0, 0xEE, 255, 255, 255, 1, 0, 0, 0] + number(sectors - 1, 4))
      disk.replaceSubrange(510..<512, with: [0x55, 0xAA])
      var entries = [UInt8](repeating: 0, count: 128 * 128)
      for (index, first, last) in [(0, 2048, 4095), (2, 4096, 100_000)] as [(Int, UInt64, UInt64)] {
        let entry =
          Array(repeating: UInt8(index + 1), count: 32) + number(first, 8) + number(last, 8)
        entries.replaceSubrange(index * 128..<index * 128 + 48, with: entry)
      }
      for (own, other, place) in [(1, sectors - 1, 2), (sectors - 1, 1, sectors - 33)]
        as [(UInt64, UInt64, UInt64)]
      {
        var header = Array("EFI PART".utf8) + number(0x10000, 4) + number(92, 4) + number(0, 8)
        header += number(own, 8) + number(other, 8) + number(34, 8) + number(sectors - 34, 8)
        header += [UInt8](repeating: 9, count: 16) + number(place, 8) + number(128, 4)
        header += number(128, 4) + number(sum(entries), 4)
        header.replaceSubrange(16..<20, with: number(sum(header), 4))
        disk.replaceSubrange(Int(own) * 512..<Int(own) * 512 + 92, with: header)
        disk.replaceSubrange(Int(place) * 512..<Int(place) * 512 + entries.count, with: entries)
      }
      return disk
    }

    private func filled(_ scratch: Scratch, _ path: String) throws {
      var format = FormatRequest(VolumeReference(path + ":3"))
      format.label = "THIRD"
      _ = try ImageOperations.format(format)
      let file = scratch.file("hello.txt", Array("hello".utf8))
      _ = try ImageOperations.put(VolumeReference(path + ":3"), [file])
    }

    @Test func filesAreFoundByThePartitionsNumberAndWithout() throws {
      let scratch = Scratch()
      let path = scratch.file("disk.img", table())
      try filled(scratch, path)
      for name in [path, path + ":3"] {
        let found = try ImageOperations.list(VolumeReference(name))
        #expect(found.entries.map(\.path) == ["hello.txt"] && found.volume == "THIRD")
        #expect(found.note == nil)
      }
      #expect { try ImageOperations.list(VolumeReference(path + ":2")) } throws: {
        "\($0)".contains("there are 1, 3")
      }
      if let (code, text) = tool("sfdisk", ["--verify", path]) { #expect(code == 0, "\(text)") }
    }

    @Test func aDamagedTableIsReadFromItsCopyWithAWord() throws {
      let scratch = Scratch()
      let path = scratch.file("disk.img", table())
      try filled(scratch, path)
      let whole = scratch.contents("disk.img")
      for (offset, words) in [(512 + 40, "header"), (1024 + 40, "entries")] {
        var disk = whole
        disk[offset] ^= 1
        scratch.file("disk.img", disk)
        let found = try ImageOperations.list(VolumeReference(path))
        #expect(found.entries.map(\.path) == ["hello.txt"])
        #expect(found.note?.contains("copy") == true && found.note?.contains(words) == true)
        // Neither is whole.
        disk[disk.count - 512 + 40] ^= 1
        scratch.file("disk.img", disk)
        #expect { try ImageOperations.list(VolumeReference(path)) } throws: {
          "\($0)".contains("check sum") && "\($0)".contains("at offset")
        }
      }
    }

    @Test func tablesOfOtherProgramsAreRead() throws {
      let scratch = Scratch()
      let path = scratch.file("disk.img", [UInt8](repeating: 0, count: GUIDPartitionTests.size))
      guard
        let (code, text) = tool(
          "sh", ["-c", "printf 'label: gpt\\n,8M\\n,40M\\n' | sfdisk -q '\(path)'"])
      else { return }
      if code == 127 || text.contains("not found") { return }
      #expect(code == 0, "\(text)")
      _ = try ImageOperations.format(FormatRequest(VolumeReference(path + ":2")))
      let file = scratch.file("A.TXT", [1, 2, 3])
      _ = try ImageOperations.put(VolumeReference(path), [file])
      #expect(
        try ImageOperations.list(VolumeReference(path + ":2")).entries.map(\.path) == ["A.TXT"])
    }

    @Test func hostileTablesEnd() throws {
      let whole = table()
      var numbers = Numbers(state: 77)
      for _ in 0..<300 {
        var disk = whole
        for _ in 0..<3 {
          let at =
            Bool.random(using: &numbers)
            ? 512 + Int(numbers.next() % 92) : 1024 + Int(numbers.next() % 512)
          disk[at] = UInt8(truncatingIfNeeded: numbers.next())
        }
        // The check sums are right, as whoever means harm can compute them.
        let entries = Array(disk[1024..<1024 + 16384])
        disk.replaceSubrange(512 + 88..<512 + 92, with: number(sum(entries), 4))
        disk.replaceSubrange(512 + 16..<512 + 20, with: [0, 0, 0, 0])
        disk.replaceSubrange(512 + 16..<512 + 20, with: number(sum(Array(disk[512..<604])), 4))
        let store = MemoryStore(disk)
        if let table = try? PartitionTable(store) {
          for part in table.partitions {
            #expect(part.start + part.count <= UInt64(disk.count / 512))
          }
        }
      }
    }
  }
}
