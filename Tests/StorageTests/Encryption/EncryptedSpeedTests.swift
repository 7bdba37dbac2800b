// How fast encrypted disks are: measured when APUS_SPEED is set, as other work disturbs it.

import Foundation
import Testing

@testable import Storage

@Suite(
  .serialized,
  .enabled(
    if: OpenSSL.isThere && ProcessInfo.processInfo.environment["APUS_SPEED"] != nil,
    "APUS_SPEED is not set")
) struct EncryptedSpeedTests {
  /// Seconds of the processor.
  private func time(_ body: () throws -> Void) rethrows -> Double {
    func now() -> Double {
      var time = timespec()
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
    let begin = now()
    try body()
    return now() - begin
  }

  @Test(arguments: ["luks", "qcow2", "raw"]) func sequentialTransfers(_ name: String) throws {
    let scratch = Scratch()
    let size = 256 << 20
    let path = scratch.file("image", [])
    let store = try HostFile(path: path, writable: true)
    let format = try #require(ImageFormats.named(name) as? any CreatableFormat)
    var wish = ImageWish(byteCount: UInt64(size))
    wish.key = Secret.source()
    if name == "luks" { wish.options = ["iter-time": "1"] }
    if name == "qcow2" { wish.options = ["encrypt.format": "luks", "encrypt.iter-time": "1"] }
    try format.create(store, wish, Secret.context(nil))
    store.close()
    let device = try ImageOpener.open(path: path, kind: .disk, keys: Secret.keys()).device
    let piece = [UInt8](repeating: 0x5A, count: 1 << 20)
    var rates: [Double] = []
    for isWriting in [true, true, false] {
      let seconds = try time {
        var room = piece
        for n in 0..<size >> 20 {
          let block = UInt64(n) << 11
          if isWriting {
            try piece.withUnsafeBytes { try device.write(block: block, from: $0) }
          } else {
            try room.withUnsafeMutableBytes { try device.read(block: block, into: $0) }
          }
        }
      }
      rates.append(Double(size) / seconds / 1e6)
    }
    device.close()
    print(
      "\(name): written \(Int(rates[0])), written again \(Int(rates[1])), read \(Int(rates[2])) MB for a second of the processor"
    )
    #expect(rates[2] > 400)
  }
}
