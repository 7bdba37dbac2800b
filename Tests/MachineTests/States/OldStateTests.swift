// Saved states of earlier versions.
//
// Each file was saved by the Apus of its time, `apus --board isa --bios FILE -fda none --memory 1 --cpu 486 --max-instructions 3000001
// --save-state`, with the BIOS below; expected is the state's hash that the same Apus had at the end of its own run.

import Foundation
import State
import Testing

@testable import Machine

@Suite struct OldStateTests {
  static let files: [(name: String, hash: UInt64)] = [
    ("version2", 0x4152_9ED1_EE12_FE41), ("version3", 0x4152_9ED1_EE12_FE41),
  ]

  /// Counts in memory, looks at the timer and adds up what it sees.
  private static let bios: [UInt8] = {
    var bytes = [UInt8](repeating: 0xFF, count: 0x10000)
    // cli; ds = ss = 0; sp = 7000h; counter 0 in mode 2 with 1000h; si = 1000h
    let start: [UInt8] = [
      0xFA, 0x31, 0xC0, 0x8E, 0xD8, 0x8E, 0xD0, 0xBC, 0x00, 0x70, 0xB0, 0x34, 0xE6, 0x43, 0xB0,
      0x00,
      0xE6, 0x40, 0xB0, 0x10, 0xE6, 0x40, 0xBE, 0x00, 0x10,
    ]
    // inc word [si]; ax = [si] and 7FFh; bx = ax; latch; in al,40h; add [bx+2000h],al; round again
    let round: [UInt8] = [
      0xFF, 0x04, 0x8B, 0x04, 0x25, 0xFF, 0x07, 0x89, 0xC3, 0xB0, 0x00, 0xE6, 0x43, 0xE4, 0x40,
      0x00,
      0x87, 0x00, 0x20, 0xEB, 0xEB,
    ]
    bytes.replaceSubrange(0xE000..<0xE000 + start.count + round.count, with: start + round)
    bytes.replaceSubrange(0xFFF0..<0xFFF5, with: [0xEA, 0x00, 0xE0, 0x00, 0xF0])
    return bytes
  }()

  @Test(arguments: files.indices)
  func itGoesOnFromThere(_ index: Int) throws {
    let (name, hash) = OldStateTests.files[index]
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Samples/\(name).state")
    var configuration = MachineConfiguration()
    configuration.board = "isa"
    configuration.bios = LoadFile(path: "bios", bytes: OldStateTests.bios)
    configuration.memoryMegabytes = 1
    configuration.cpu = .i486
    let machine = try Machine(configuration)
    try machine.restoreState([UInt8](Data(contentsOf: file)))
    #expect(machine.instructionCount == 3_000_001)
    _ = machine.run(untilInstruction: 5_000_001)
    #expect(machine.stateHash() == hash)
  }
}
