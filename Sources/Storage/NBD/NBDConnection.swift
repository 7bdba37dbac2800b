// A connection to a server after the handshake: requests, and replies in any order.
//
// Owns: sending requests, giving replies to those that wait for them, refusing what makes no sense. Must not know: who asks, what is done
// when a connection is lost. After: the NBD project's doc/proto.md, "Transmission phase".

import Host

final class NBDConnection {
  private let wire: NBDWire
  let export: NBDExport
  private let timeout: UInt64
  private var nextCookie: UInt64 = 1
  /// What was sent and not answered, in the order of sending.
  private(set) var waiting: [NBDRequest] = []

  /// Connects, and comes to terms.
  convenience init(_ address: NBDAddress, until end: UInt64) throws(NBDFailure) {
    let stream: HostStream
    do throws(HostError) { stream = try address.connect(until: end) } catch {
      throw .lost(error.reason)
    }
    try self.init(stream, export: address.export, timeout: address.timeout, until: end)
  }

  /// Speaks over a connection that is there.
  init(_ stream: HostStream, export name: String, timeout: UInt64, until end: UInt64)
    throws(NBDFailure)
  {
    self.timeout = timeout
    wire = NBDWire(stream)
    wire.until = end
    var handshake = NBDHandshake(wire, export: name)
    export = try handshake.run()
  }

  /// Ends the connection, and says so.
  func close() {
    var message: [UInt8] = []
    message.append(big: NBD.requestMagic)
    message.append(big: UInt16(0))
    message.append(big: NBD.Command.disconnect.rawValue)
    message += [UInt8](repeating: 0, count: 20)
    // A server that takes nothing is left alone.
    wire.until = HostClock.nanoseconds() + 100_000_000
    try? wire.send(message)
    wire.close()
  }

  /// Ends it without a word.
  func drop() { wire.close() }

  /// The server has as long again to answer.
  private func bePatient() { wire.until = HostClock.nanoseconds() &+ timeout }

  /// Sends a request.
  func send(
    _ command: NBD.Command, offset: UInt64, length: Int, flags: UInt16 = 0,
    target: UnsafeMutableRawBufferPointer? = nil,
    payload: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
  ) throws(NBDFailure) -> NBDRequest {
    bePatient()
    let request = NBDRequest(
      command, offset: offset, length: length, cookie: nextCookie, target: target)
    nextCookie &+= 1
    var message: [UInt8] = []
    message.reserveCapacity(28)
    message.append(big: NBD.requestMagic)
    message.append(big: flags)
    message.append(big: command.rawValue)
    message.append(big: request.cookie)
    message.append(big: offset)
    message.append(big: UInt32(length))
    waiting.append(request)
    try wire.send(message, payload)
    return request
  }

  /// Returns when a request is answered.
  func wait(for request: NBDRequest) throws(NBDFailure) {
    bePatient()
    while !request.isDone { try receive() }
  }

  /// Returns when all are answered.
  func settle() throws(NBDFailure) {
    bePatient()
    while !waiting.isEmpty { try receive() }
  }

  // MARK: Replies

  private func receive() throws(NBDFailure) {
    let magic: UInt32 = try wire.number()
    switch magic {
    case NBD.simpleReplyMagic: try simple()
    case NBD.structuredReplyMagic where export.isStructured: try structured()
    default: throw .broken("a reply that begins with \(String(magic, radix: 16))")
    }
  }

  private func request(_ cookie: UInt64) throws(NBDFailure) -> NBDRequest {
    guard let request = waiting.first(where: { $0.cookie == cookie }) else {
      throw .broken("a reply to what nobody asked")
    }
    return request
  }

  private func finish(_ request: NBDRequest) throws(NBDFailure) {
    waiting.removeAll { $0 === request }
    try request.finish()
    // Who answers is not silent.
    bePatient()
  }

  private func simple() throws(NBDFailure) {
    let code: UInt32 = try wire.number()
    let request = try request(try wire.number())
    if code != 0 {
      request.fail(code, "")
    } else if request.command == .read {
      if export.isStructured { throw .broken("a simple reply with bytes") }
      try wire.read(into: request.take(request.offset, UInt64(request.length)))
    }
    try finish(request)
  }

  private func structured() throws(NBDFailure) {
    let flags: UInt16 = try wire.number()
    let type: UInt16 = try wire.number()
    let request = try request(try wire.number())
    let length: UInt32 = try wire.number()
    try request.count()
    switch type {
    case NBD.chunkNone:
      if length != 0 || flags & NBD.done == 0 { throw .broken("an empty piece that is none") }
    case NBD.chunkData:
      if length <= 8 { throw .broken("a piece of \(length) bytes") }
      let offset: UInt64 = try wire.number()
      try wire.read(into: request.take(offset, UInt64(length) - 8))
    case NBD.chunkHole:
      if length != 12 { throw .broken("a hole of \(length) bytes") }
      let offset: UInt64 = try wire.number()
      let count: UInt32 = try wire.number()
      try request.take(offset, UInt64(count)).initializeMemory(as: UInt8.self, repeating: 0)
    case NBD.chunkStatus: try status(request, Int(length))
    case _ where type >> 15 == 1: try error(request, type, Int(length))
    default: throw .broken("a piece of type \(type)")
    }
    if flags & NBD.done != 0 { try finish(request) }
  }

  private func error(_ request: NBDRequest, _ type: UInt16, _ length: Int) throws(NBDFailure) {
    if length < 6 || length > NBD.longestWords { throw .broken("an error of \(length) bytes") }
    let code: UInt32 = try wire.number()
    let words: UInt16 = try wire.number()
    if Int(words) > length - 6 { throw .broken("an error whose words are longer than it is") }
    let text = try wire.bytes(Int(words))
    try wire.skip(length - 6 - Int(words))
    request.fail(code, NBD.shown(text))
  }

  private func status(_ request: NBDRequest, _ length: Int) throws(NBDFailure) {
    let count = (length - 4) / 8
    guard request.command == .blockStatus, request.runs.isEmpty, length >= 12, length % 8 == 4,
      count <= NBD.mostExtents
    else { throw .broken("\(length) bytes about holes") }
    let context: UInt32 = try wire.number()
    if context != export.allocation { throw .broken("an answer about another context") }
    var at = request.offset
    for _ in 0..<count {
      let size: UInt32 = try wire.number()
      let flags: UInt32 = try wire.number()
      let isZero = flags & NBD.stateZero != 0
      if size == 0 { throw .broken("a run of no bytes") }
      let run = NBDRun(
        offset: at, count: min(UInt64(size), export.size - min(at, export.size)), isZero: isZero)
      at += run.count
      if run.count == 0 { continue }
      if let last = request.runs.last, last.isZero == isZero {
        request.runs[request.runs.count - 1].count += run.count
      } else {
        request.runs.append(run)
      }
    }
  }
}
