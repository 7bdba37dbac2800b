// The handshake with a server: fixed newstyle, and what older servers speak.
//
// Owns: the options and their replies. Must not know: requests. After: the NBD project's doc/proto.md, "Handshake phase".

import Host

struct NBDHandshake {
  private let wire: NBDWire
  private let export: String
  private var result = NBDExport()
  /// More replies than that nobody has.
  private static let mostReplies = 4096

  init(_ wire: NBDWire, export: String) {
    self.wire = wire
    self.export = export
  }

  /// Comes to terms with the server.
  mutating func run() throws(NBDFailure) -> NBDExport {
    if try wire.number() != NBD.initMagic {
      throw .broken("it begins with other bytes than NBDMAGIC")
    }
    let second: UInt64 = try wire.number()
    if second == NBD.oldStyleMagic {
      try oldStyle()
    } else if second == NBD.optionMagic {
      try newStyle()
    } else {
      throw .broken("a greeting of no kind that is known")
    }
    return try checked()
  }

  /// Numbers that can be worked with.
  private func checked() throws(NBDFailure) -> NBDExport {
    if result.size > UInt64(Int64.max) { throw .broken("an export of \(result.size) bytes") }
    let minimum = result.minimum
    guard minimum > 0, minimum & (minimum - 1) == 0, minimum <= 64 << 10 else {
      throw .broken("a least size of requests of \(minimum) bytes")
    }
    if result.maximum < max(minimum, 512) {
      throw .broken("a largest size of requests of \(result.maximum) bytes")
    }
    if result.size % minimum != 0 {
      throw .refused(
        "the export has \(result.size) bytes, but the server takes only requests of whole \(minimum), so that its end cannot be read"
      )
    }
    return result
  }

  // MARK: Older servers

  /// One export, and nothing to say about it.
  private mutating func oldStyle() throws(NBDFailure) {
    if !export.isEmpty {
      throw .refused("the server is of the old style, which has no names of exports")
    }
    result.size = try wire.number()
    let flags: UInt32 = try wire.number()
    result.flags = UInt16(truncatingIfNeeded: flags)
    result.isOldStyle = true
    try wire.skip(124)
  }

  private mutating func exportName(_ server: UInt16) throws(NBDFailure) {
    try send(.exportName, Array(export.utf8))
    do throws(NBDFailure) {
      result.size = try wire.number()
      result.flags = try wire.number()
      if server & NBD.noZeroes == 0 { try wire.skip(124) }
    } catch {
      guard case .lost = error else { throw error }
      throw .refused("the server ends the connection when it is asked for \(shownExport)")
    }
  }

  // MARK: Fixed newstyle

  private var shownExport: String {
    export.isEmpty ? "its default export" : "the export '\(NBD.shown(Array(export.utf8)))'"
  }

  private func send(_ option: NBD.Option, _ data: [UInt8] = []) throws(NBDFailure) {
    var message: [UInt8] = []
    message.append(big: NBD.optionMagic)
    message.append(big: option.rawValue)
    message.append(big: UInt32(data.count))
    try wire.send(message + data)
  }

  private struct Reply {
    var type: UInt32
    var data: [UInt8]

    var isError: Bool { type & NBD.errorBit != 0 }

    func number<Number: FixedWidthInteger>(_ at: Int, _ type: Number.Type = Number.self) -> Number?
    {
      let size = MemoryLayout<Number>.size
      guard at + size <= data.count else { return nil }
      return data[at..<at + size].reduce(Number.zero) { $0 << 8 | Number($1) }
    }
  }

  private func reply(to option: NBD.Option) throws(NBDFailure) -> Reply {
    if try wire.number() != NBD.replyMagic { throw .broken("a reply without its magic number") }
    let about: UInt32 = try wire.number()
    let type: UInt32 = try wire.number()
    let length: UInt32 = try wire.number()
    if about != option.rawValue {
      throw .broken("a reply to option \(about) where \(option.rawValue) was sent")
    }
    if length > NBD.longestWords { throw .broken("a reply of \(length) bytes") }
    return Reply(type: type, data: try wire.bytes(Int(length)))
  }

  private mutating func newStyle() throws(NBDFailure) {
    let server: UInt16 = try wire.number()
    var client: [UInt8] = []
    client.append(big: UInt32(server & (NBD.fixedNewstyle | NBD.noZeroes)))
    try wire.send(client)
    guard server & NBD.fixedNewstyle != 0 else { return try exportName(server) }

    try send(.structuredReply)
    let structured = try reply(to: .structuredReply)
    try refuseTLS(structured)
    result.isStructured = structured.type == NBD.ack
    if result.isStructured { try askForAllocation() }
    if try !go() {
      let names = try list()
      if let names, !names.contains(export) && !export.isEmpty { throw unknown(names) }
      try exportName(server)
    }
  }

  private func refuseTLS(_ reply: Reply) throws(NBDFailure) {
    if reply.type == NBD.errorTLSRequired {
      throw .refused(
        "the server wants an encrypted connection (TLS), which is not spoken; lead the connection through a tunnel (ssh -L)"
      )
    }
  }

  /// Holes: base:allocation.
  private mutating func askForAllocation() throws(NBDFailure) {
    var data: [UInt8] = []
    data.append(big: UInt32(export.utf8.count))
    data += Array(export.utf8)
    let context = "base:allocation"
    data.append(big: UInt32(1))
    data.append(big: UInt32(context.utf8.count))
    data += Array(context.utf8)
    try send(.setMetaContext, data)
    for _ in 0..<NBDHandshake.mostReplies {
      let reply = try reply(to: .setMetaContext)
      // A server that knows no export of that name says so once more when it matters.
      if reply.isError {
        result.allocation = nil
        return
      }
      if reply.type == NBD.ack { return }
      guard reply.type == NBD.metaContext, let number: UInt32 = reply.number(0) else {
        throw .broken("a reply of type \(reply.type) to a question for contexts")
      }
      if reply.data.dropFirst(4).elementsEqual(context.utf8) { result.allocation = number }
    }
    throw .broken("replies without an end")
  }

  /// The export itself.
  /// - Returns: false when the server is too old for the question.
  private mutating func go() throws(NBDFailure) -> Bool {
    var data: [UInt8] = []
    data.append(big: UInt32(export.utf8.count))
    data += Array(export.utf8)
    data.append(big: UInt16(1))
    data.append(big: NBD.infoBlockSize)
    try send(.go, data)
    var knowsSize = false
    for _ in 0..<NBDHandshake.mostReplies {
      let reply = try reply(to: .go)
      if reply.type == NBD.ack {
        if !knowsSize { throw .broken("an export without a size") }
        return true
      }
      if reply.isError {
        if reply.type == NBD.errorUnsupported { return false }
        try refuseTLS(reply)
        let words = NBD.shown(reply.data)
        let said = words.isEmpty ? "" : " (\(words))"
        switch reply.type {
        case NBD.errorUnknown: throw unknown(try? list())
        case NBD.errorPolicy: throw .refused("the server does not allow \(shownExport)\(said)")
        case NBD.errorShutdown: throw .lost("the server is shutting down")
        default:
          throw .refused(
            "the server refuses \(shownExport), with error \(reply.type & ~NBD.errorBit)\(said)")
        }
      }
      guard reply.type == NBD.info, let kind: UInt16 = reply.number(0) else {
        throw .broken("a reply of type \(reply.type) to a question for an export")
      }
      switch kind {
      case NBD.infoExport:
        guard let size: UInt64 = reply.number(2), let flags: UInt16 = reply.number(10) else {
          throw .broken("\(reply.data.count) bytes about an export")
        }
        (result.size, result.flags) = (size, flags)
        knowsSize = true
      case NBD.infoBlockSize:
        guard let least: UInt32 = reply.number(2), let most: UInt32 = reply.number(10) else {
          throw .broken("\(reply.data.count) bytes about sizes of requests")
        }
        result.minimum = UInt64(least)
        result.maximum = UInt64(most)
      default: break
      }
    }
    throw .broken("replies without an end")
  }

  /// The names of the exports; nil: the server does not tell.
  private func list() throws(NBDFailure) -> [String]? {
    try send(.list)
    var names: [String] = []
    var bytes = 0
    while names.count < NBDHandshake.mostReplies && bytes < 1 << 20 {
      let reply = try reply(to: .list)
      bytes += reply.data.count
      if reply.isError { return nil }
      if reply.type == NBD.ack { return names }
      guard reply.type == NBD.server, let length: UInt32 = reply.number(0),
        Int(length) <= reply.data.count - 4
      else { throw .broken("a list of exports that is none") }
      names.append(String(decoding: reply.data[4..<4 + Int(length)], as: UTF8.self))
    }
    throw .broken("exports without an end")
  }

  private func unknown(_ names: [String]??) -> NBDFailure {
    let reason =
      "the server has no \(export.isEmpty ? "default export" : shownExport.dropFirst(4).description)"
    guard let names, let names else { return .refused(reason) }
    if names.isEmpty { return .refused("\(reason), nor any other") }
    let shown = names.prefix(20).map { "'\(NBD.shown(Array($0.utf8)))'" }.joined(separator: ", ")
    let more = names.count > 20 ? " and \(names.count - 20) more" : ""
    return .refused("\(reason); its exports are \(shown)\(more)")
  }
}
