// The numbers and words of the Network Block Device protocol.
//
// Owns: constants, errors in words, what is known of an export. Must not know: connections. After: the NBD project's doc/proto.md, whose
// names the constants have.

/// Why something with a server failed.
enum NBDFailure: Error {
  /// The connection is gone; what was asked for may be asked again.
  case lost(String)
  /// The server does not serve this.
  case refused(String)
  /// What the server says makes no sense.
  case broken(String)
  /// A request failed on the server.
  case server(UInt32, String)

  var words: String {
    switch self {
    case .lost(let words), .refused(let words): words
    case .broken(let words): "what the server sends is no NBD: \(words)"
    case .server(let code, let words):
      "the server says: \(NBD.text(code))\(words.isEmpty ? "" : " (\(words))")"
    }
  }
}

enum NBD {
  static let initMagic: UInt64 = 0x4E42_444D_4147_4943
  static let optionMagic: UInt64 = 0x4948_4156_454F_5054
  static let oldStyleMagic: UInt64 = 0x0000_4202_8186_1253
  static let replyMagic: UInt64 = 0x0003_E889_0455_65A9

  /// Handshake flags.
  static let fixedNewstyle: UInt16 = 1
  static let noZeroes: UInt16 = 2

  enum Option: UInt32 {
    case exportName = 1
    case abort = 2
    case list = 3
    case go = 7
    case structuredReply = 8
    case setMetaContext = 10
  }

  /// Replies to options.
  static let ack: UInt32 = 1
  static let server: UInt32 = 2
  static let info: UInt32 = 3
  static let metaContext: UInt32 = 4
  static let errorBit: UInt32 = 1 << 31
  static let errorUnsupported = errorBit + 1
  static let errorPolicy = errorBit + 2
  static let errorTLSRequired = errorBit + 5
  static let errorUnknown = errorBit + 6
  static let errorShutdown = errorBit + 7
  static let errorBlockSizeRequired = errorBit + 8

  static let infoExport: UInt16 = 0
  static let infoBlockSize: UInt16 = 3

  /// Transmission flags.
  static let hasFlags: UInt16 = 1 << 0
  static let readOnly: UInt16 = 1 << 1
  static let sendFlush: UInt16 = 1 << 2
  static let sendWriteZeroes: UInt16 = 1 << 6
  /// Several connections see the same, and each one's flush counts for all.
  static let canMultiConn: UInt16 = 1 << 8

  static let requestMagic: UInt32 = 0x2560_9513
  static let simpleReplyMagic: UInt32 = 0x6744_6698
  static let structuredReplyMagic: UInt32 = 0x668E_33EF

  enum Command: UInt16 {
    case read = 0
    case write = 1
    case disconnect = 2
    case flush = 3
    case writeZeroes = 6
    case blockStatus = 7
  }
  static let noHole: UInt16 = 1 << 1

  /// Whether an error says that a command is not known: EINVAL and ENOTSUP.
  static func isUnknown(_ code: UInt32) -> Bool { code == 22 || code == 95 }

  /// Chunks of structured replies.
  static let done: UInt16 = 1
  static let chunkNone: UInt16 = 0
  static let chunkData: UInt16 = 1
  static let chunkHole: UInt16 = 2
  static let chunkStatus: UInt16 = 5
  static let chunkError: UInt16 = 1 << 15 | 1
  static let chunkErrorOffset: UInt16 = 1 << 15 | 2

  /// In base:allocation: reads as zeros.
  static let stateZero: UInt32 = 2

  /// Longer is nothing that a server has to say in a handshake, or of an error.
  static let longestWords = 64 << 10
  /// As many extents are in a reply at most.
  static let mostExtents = 1 << 20

  /// An error's number in words.
  static func text(_ code: UInt32) -> String {
    switch code {
    case 1: "EPERM, it may not be done"
    case 5: "EIO, an input or output error"
    case 12: "ENOMEM, it has no memory for this"
    case 22: "EINVAL, it takes no such request"
    case 28: "ENOSPC, no room is left"
    case 75: "EOVERFLOW, too much at once"
    case 95: "ENOTSUP, it cannot do that"
    case 108: "ESHUTDOWN, it is shutting down"
    default: "error \(code)"
    }
  }

  /// What a server wrote, made fit to be shown.
  static func shown(_ bytes: [UInt8]) -> String {
    let text = String(decoding: bytes.prefix(400), as: UTF8.self)
    let plain = text.unicodeScalars.map { scalar in
      scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) ? "?" : String(scalar)
    }
    return plain.prefix(200).joined()
  }
}

/// What a server says of an export.
struct NBDExport: Equatable {
  var size: UInt64 = 0
  var flags: UInt16 = 0
  /// Requests are multiples of `minimum`, and as long as `maximum` at most.
  var minimum: UInt64 = 1
  var maximum: UInt64 = 32 << 20
  var isStructured = false
  /// The server did not negotiate.
  var isOldStyle = false
  /// The number of base:allocation; nil: the server does not tell.
  var allocation: UInt32?

  var isReadOnly: Bool { flags & NBD.readOnly != 0 }
  func has(_ flag: UInt16) -> Bool { flags & flag != 0 }
}
