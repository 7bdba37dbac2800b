// A short run of `apus conform fuzz` over every device of both boards.

import DeviceFuzz
import Testing

@Suite struct DeviceFuzzTests {
  /// Both engines agree, states go on as if nothing had been, and the same seed makes the same run.
  @Test(arguments: FuzzBoard.allCases)
  func anyAccessIsAnswered(board: FuzzBoard) throws {
    let fuzz = try DeviceFuzz(board, seed: 7)
    fuzz.stateEvery = 1
    for device in fuzz.devices {
      let result = try fuzz.run(device, accesses: 4_000)
      #expect(result.failure == nil, "\(board) \(device): \(result.failure?.text ?? [])")
      #expect(result.restores > 0)
    }
  }

  @Test func theSameSeedMakesTheSameRun() throws {
    let hashes = try (0..<2).map { _ in
      try DeviceFuzz(.pc, seed: 3, engines: [.interpreter]).run("ide0", accesses: 8_000).hash
    }
    #expect(hashes[0] == hashes[1])
  }
}
