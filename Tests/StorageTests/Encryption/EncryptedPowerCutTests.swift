// Power failures while encrypted images are written.

import Testing

@testable import Storage

@Suite(.enabled(if: OpenSSL.isThere, "OpenSSL 3 is not installed")) struct EncryptedPowerCutTests {
  private func run(
    _ format: any CheckableFormat & CreatableFormat, size: Int, _ options: [String: String],
    provisioning: Provisioning = .thin, seed: UInt64
  ) throws {
    let keys = Secret.keys()
    let store = try Secret.image(
      format, size: size, options, provisioning: provisioning, keys: keys)
    var cuts = PowerCuts(format, image: store.bytes)
    cuts.keys = keys
    try cuts.run(
      count: PowerCuts.count(normally: 60), seed: seed, cutsPerRun: 60,
      PowerCuts.busyGuest(steps: 50))
  }

  @Test(arguments: ["xts", "cbc"])
  func containersLoseNothingThatWasFlushed(_ mode: String) throws {
    try run(
      LUKSFormat(), size: 200 << 10, ["cipher-mode": mode], provisioning: .thickEager, seed: 31)
  }

  @Test(arguments: [512, 4096, 65536]) func norDoQCOW2Images(_ clusterSize: Int) throws {
    try run(QCOW2Format(), size: 200 << 10, ["cluster_size": "\(clusterSize)"], seed: 32)
  }

  @Test func norThoseWithSubclusters() throws {
    try run(
      QCOW2Format(), size: 200 << 10, ["cluster_size": "16384", "extended_l2": "on"], seed: 33)
  }

  @Test func norThoseThatHaveTheirRoom() throws {
    try run(
      QCOW2Format(), size: 200 << 10, ["cluster_size": "4096", "preallocation": "falloc"], seed: 34)
  }
}
