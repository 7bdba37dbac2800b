// A short run of `apus conform fuzz` over every device of both boards; APUS_FUZZ=N makes N accesses to each, APUS_FUZZ_SEED=S others than
// the usual ones.

import DeviceChecks
import Host
import Testing

@Suite struct DeviceFuzzTests {
  private static func number(_ variable: String) -> UInt64? {
    HostProcess.environment(variable).flatMap { UInt64($0) }
  }

  /// Both engines agree, states go on as if nothing had been.
  @Test(arguments: FuzzBoard.allCases)
  func anyAccessIsAnswered(board: FuzzBoard) throws {
    let fuzz = try DeviceFuzz(board, seed: Self.number("APUS_FUZZ_SEED") ?? 7)
    let accesses = Self.number("APUS_FUZZ")
    if accesses == nil { (fuzz.stateEvery, fuzz.tableSize) = (1, 700) }
    for device in fuzz.devices {
      let result = try fuzz.run(device, accesses: accesses ?? 2_000)
      #expect(result.failure == nil, "\(board) \(device): \(result.failure?.text ?? [])")
      #expect(result.restores > 0)
    }
  }

  /// What `apus devices` lists, by its names or those of states.
  @Test func everyPartIsReached() throws {
    let names = try DeviceFuzz(.pc, seed: 1, engines: [.interpreter]).devices
    let kinds = Set(names.flatMap(DeviceFuzz.kinds(of:)))
    for part in ["cirrus", "vga-std", "cd-drive", "disk-drive", "floppy-drive", "pnp-uart", "uart"]
    {
      #expect(kinds.contains(part), "\(part)")
    }
    #expect(names.contains("cirrus") && Set(names).count == names.count)
  }

  @Test func theSameSeedMakesTheSameRun() throws {
    let hashes = try (0..<2).map { _ in
      try DeviceFuzz(.pc, seed: 3, engines: [.interpreter]).run("ide0", accesses: 8_000).hash
    }
    #expect(hashes[0] == hashes[1])
  }
}
