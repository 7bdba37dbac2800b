// Memory from the host: zero when new, zero when given back, and never writable and executable at one place.

import Foundation
import Testing

@testable import Host

@Suite struct MemoryTests {
  @Test func newMemoryIsZeroAndDiscardedMemoryIsAgain() throws {
    for memory in [try HostMemory(count: 1 << 20), try HostMemory(shareableCount: 1 << 20)] {
      let bytes = memory.base.bindMemory(to: UInt8.self, capacity: memory.count)
      #expect(bytes[0] == 0 && bytes[memory.count - 1] == 0)
      bytes[0] = 1
      bytes[memory.count - 1] = 2
      memory.discard()
      #expect(bytes[0] == 0 && bytes[memory.count - 1] == 0)
    }
  }

  @Test func tooMuchMemoryIsRefusedInOneLine() {
    #expect {
      _ = try HostMemory(count: 1 << 62)
    } throws: {
      ($0 as? HostError)?.reason.contains("\n") == false
    }
  }

  #if os(Linux)
    @Test func codeIsWrittenAtOnePlaceAndExecutedAtAnother() throws {
      let memory = try CodeMemory(count: 1 << 16)
      memory.writable.storeBytes(of: 0x1122_3344, as: UInt32.self)
      #expect(memory.executable.load(as: UInt32.self) == 0x1122_3344)
      // Its size is told as 0: it has to be read to its end.
      let file = try #require(FileHandle(forReadingAtPath: "/proc/self/maps"))
      let maps = String(decoding: try file.readToEnd() ?? Data(), as: UTF8.self)
      func rights(_ address: UInt) -> Substring? {
        for line in maps.split(separator: "\n") {
          let words = line.split(separator: " ")
          let ends = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
          if ends.count == 2, ends[0] <= address, address < ends[1] { return words[1] }
        }
        return nil
      }
      #expect(rights(UInt(bitPattern: memory.writable))?.prefix(3) == "rw-")
      #expect(rights(UInt(bitPattern: memory.executable))?.prefix(3) == "r-x")
    }
  #endif
}
