// The messages by which a machine is moved.
//
// Owns: their kinds, their frame and its check. Must not know: machines, what carries the bytes, the order.
//
// A frame (numbers little-endian):
//   0   4   "AMIG"
//   4   1   kind
//   5   3   0
//   8   4   how many bytes follow the frame
//   12  4   its number, from 0 on
//   16  8   check of all before and of what follows
//
// The check finds what a bad line or a bad memory has changed; whoever fears worse gives the line TLS.

/// What a message is.
enum MigrationMessage: UInt8 {
  // To the machine's new place.
  /// Which machine, what belongs to it (`MigrationOffer`).
  case offer = 1
  /// Pages: u32 count, so many u32 numbers, so many times 4096 bytes.
  case pages
  /// Pages of zeros: u32 count, so many u32 numbers.
  case zeroPages
  /// A cluster of a disk: u32 disk, u64 number, its bytes.
  case cluster
  /// Clusters of zeros: u32 disk, u64 first, u64 count.
  case zeroClusters
  /// What came of disks is to be on stable storage: there is time for that while the machine runs.
  case settle
  /// A part of the machine's head.
  case head
  /// Everything was sent; the machine stands. u64 instructions, u64 virtual nanoseconds, u64 bytes of the head.
  case end
  /// The right to run the machine: 16 bytes.
  case go
  /// It stays where it is, for the reason given.
  case stay

  // From there.
  /// It can come: 32 bytes, the lock of the place's own right.
  case accepted = 64
  /// It cannot: the reason.
  case refused
  /// Everything is here.
  case ready
  /// It is.
  case settled
  /// It runs.
  case running
  /// It could not be run after all: 16 bytes, the right to run it where it was, and the reason.
  case failed

  /// Bytes that may follow the frame.
  var longest: Int {
    switch self {
    case .offer: 64 << 20
    case .pages: 4 + 256 * 4100
    case .zeroPages: 4 + 65536 * 4
    case .cluster: 12 + 65536
    case .zeroClusters: 20
    case .head: 1 << 20
    case .end: 24
    case .go: 16
    case .accepted: 32
    case .settle, .settled, .ready, .running: 0
    case .failed: 16 + 4096
    case .stay, .refused: 4096
    }
  }
}

/// What a frame says of what follows it.
struct MigrationFrame {
  static let size = 24
  static let magic: UInt32 = 0x4749_4D41

  /// The check of a frame's first 16 bytes and of what follows them, in one or two parts.
  static func check(
    _ start: (UInt64, UInt64), _ first: UnsafeRawBufferPointer,
    _ second: UnsafeRawBufferPointer = .init(start: nil, count: 0)
  ) -> UInt64 {
    var hash = mix(mix(0x9E37_79B9_7F4A_7C15, start.0), start.1)
    var (rest, count): (UInt64, UInt64) = (0, 0)
    for part in [first, second] {
      var at = 0
      // Where the first ends within a word, the second goes on with it.
      while at < part.count, count > 0 || part.count - at < 8 {
        rest |= UInt64(part[at]) << (8 * count)
        (at, count) = (at + 1, count + 1)
        if count == 8 {
          hash = mix(hash, rest)
          (rest, count) = (0, 0)
        }
      }
      while at + 8 <= part.count {
        hash = mix(
          hash, UInt64(littleEndian: part.loadUnaligned(fromByteOffset: at, as: UInt64.self)))
        at += 8
      }
      while at < part.count {
        rest |= UInt64(part[at]) << (8 * count)
        (at, count) = (at + 1, count + 1)
      }
    }
    return mix(mix(hash, rest), count)
  }

  @inline(__always)
  private static func mix(_ hash: UInt64, _ word: UInt64) -> UInt64 {
    let product = (hash ^ word) &* 0xBF58_476D_1CE4_E5B9
    return product ^ product >> 29
  }
}
