// A server in this process, well-behaved or not.

import Foundation
import Host

@testable import Storage

/// Serves memory to one client at a time, on threads of its own.
final class NBDTestServer: @unchecked Sendable {
  private let lock = HostCondition()
  private var memory: [UInt8]
  private var stable: [UInt8]
  private var log: [String] = []
  private var failures: [UInt16: UInt32] = [:]
  private var connections = 0
  /// After so many requests the connection is ended without an answer, and what was not flushed is lost; negative: never.
  private var patience = -1

  var flags: UInt16 = NBD.hasFlags | NBD.sendFlush | NBD.sendWriteZeroes
  var minimum: UInt32 = 1
  var isStructured = true
  /// So many connections are refused before one is accepted.
  var refusals = 0

  init(_ bytes: [UInt8]) {
    memory = bytes
    stable = bytes
  }

  var bytes: [UInt8] { lock.locked { memory } }
  var requests: [String] { lock.locked { log } }
  var connectionCount: Int { lock.locked { connections } }
  func fail(_ command: UInt16, _ code: UInt32) { lock.locked { failures[command] = code } }
  func dieAfter(_ requests: Int) { lock.locked { patience = requests } }

  private struct Carried: @unchecked Sendable { let stream: HostStream }

  /// What makes a session's connections.
  var connector: NBDSession.Connector {
    { (address, until) throws(NBDFailure) in
      let isRefused = self.lock.locked {
        self.connections += 1
        self.refusals -= 1
        return self.refusals >= 0
      }
      if isRefused { throw .lost("nobody is there") }
      let near: HostStream
      do throws(HostError) {
        let (mine, other) = try HostStream.pair()
        near = mine
        let carried = Carried(stream: other)
        _ = try HostThread(detached: true) { self.serve(carried.stream) }
      } catch { throw .lost("\(error)") }
      return try NBDConnection(
        near, export: address.export, timeout: address.timeout, until: until)
    }
  }

  private func serve(_ stream: HostStream) {
    let wire = NBDWire(stream)
    wire.until = .max
    defer { wire.close() }
    do { try talk(wire) } catch {}
  }

  private func option(_ wire: NBDWire, _ option: UInt32, _ type: UInt32, _ data: [UInt8] = [])
    throws
  {
    var reply: [UInt8] = []
    reply.append(big: NBD.replyMagic)
    reply.append(big: option)
    reply.append(big: type)
    reply.append(big: UInt32(data.count))
    try wire.send(reply + data)
  }

  private func talk(_ wire: NBDWire) throws {
    var head: [UInt8] = []
    head.append(big: NBD.initMagic)
    head.append(big: NBD.optionMagic)
    head.append(big: UInt16(3))
    try wire.send(head)
    let _: UInt32 = try wire.number()
    while true {
      let _: UInt64 = try wire.number()
      let number: UInt32 = try wire.number()
      let length: UInt32 = try wire.number()
      let data = try wire.bytes(Int(length))
      switch NBD.Option(rawValue: number) {
      case .structuredReply where isStructured: try option(wire, number, NBD.ack)
      case .setMetaContext:
        try option(wire, number, NBD.metaContext, [0, 0, 0, 9] + Array("base:allocation".utf8))
        try option(wire, number, NBD.ack)
      case .go:
        if data.starts(with: [0, 0, 0, 3]) {
          try option(wire, number, NBD.errorUnknown)
          continue
        }
        var export: [UInt8] = [0, 0]
        export.append(big: UInt64(memory.count))
        export.append(big: flags)
        try option(wire, number, NBD.info, export)
        var sizes: [UInt8] = [0, 3]
        sizes.append(big: minimum)
        sizes.append(big: UInt32(4096))
        sizes.append(big: UInt32(1 << 20))
        try option(wire, number, NBD.info, sizes)
        try option(wire, number, NBD.ack)
        return try transmit(wire)
      case .list:
        try option(wire, number, NBD.server, [0, 0, 0, 4] + Array("disk".utf8))
        try option(wire, number, NBD.server, [0, 0, 0, 2] + Array("cd".utf8))
        try option(wire, number, NBD.ack)
      default: try option(wire, number, NBD.errorUnsupported)
      }
    }
  }

  private func reply(_ wire: NBDWire, _ cookie: UInt64, _ code: UInt32 = 0, _ data: [UInt8] = [])
    throws
  {
    var reply: [UInt8] = []
    reply.append(big: NBD.simpleReplyMagic)
    reply.append(big: code)
    reply.append(big: cookie)
    try wire.send(reply + data)
  }

  private func chunk(
    _ wire: NBDWire, _ cookie: UInt64, _ type: UInt16, _ data: [UInt8], isLast: Bool = true
  ) throws {
    var reply: [UInt8] = []
    reply.append(big: NBD.structuredReplyMagic)
    reply.append(big: UInt16(isLast ? 1 : 0))
    reply.append(big: type)
    reply.append(big: cookie)
    reply.append(big: UInt32(data.count))
    try wire.send(reply + data)
  }

  private func transmit(_ wire: NBDWire) throws {
    while true {
      let _: UInt32 = try wire.number()
      let _: UInt16 = try wire.number()
      let command: UInt16 = try wire.number()
      let cookie: UInt64 = try wire.number()
      let offset: UInt64 = try wire.number()
      let length: UInt32 = try wire.number()
      let payload = command == 1 ? try wire.bytes(Int(length)) : []
      if command == 2 { return }
      let (failure, isOver) = lock.locked {
        log.append("\(command) \(offset) \(length)")
        if patience == 0 { memory = stable }
        patience -= 1
        return (failures[command], patience == -1)
      }
      if isOver { return }
      if let failure {
        try reply(wire, cookie, failure)
        continue
      }
      let range = Int(offset)..<Int(offset) + Int(length)
      switch command {
      case 0 where isStructured:
        // In two pieces, the second one first.
        let middle = range.count / 2
        for part in [middle..<range.count, 0..<middle] where !part.isEmpty {
          var data: [UInt8] = []
          data.append(big: offset + UInt64(part.lowerBound))
          data += lock.locked {
            memory[range][(range.lowerBound + part.lowerBound)...].prefix(part.count)
          }
          try chunk(wire, cookie, NBD.chunkData, data, isLast: part.lowerBound == 0)
        }
      case 0: try reply(wire, cookie, 0, lock.locked { Array(memory[range]) })
      case 1:
        lock.locked { memory.replaceSubrange(range, with: payload) }
        try reply(wire, cookie)
      case 6:
        lock.locked {
          memory.replaceSubrange(range, with: repeatElement(0, count: range.count))
        }
        try reply(wire, cookie)
      case 3:
        lock.locked { stable = memory }
        try reply(wire, cookie)
      case 7:
        // Runs of 4096 bytes as they are.
        var data: [UInt8] = [0, 0, 0, 9]
        var at = range.lowerBound
        while at < range.upperBound {
          let end = min(range.upperBound, at / 4096 * 4096 + 4096)
          let isZero = lock.locked { memory[at..<end].allSatisfy { $0 == 0 } }
          data.append(big: UInt32(end - at))
          data.append(big: UInt32(isZero ? 3 : 0))
          at = end
        }
        try chunk(wire, cookie, NBD.chunkStatus, data)
      default: try reply(wire, cookie, 22)
      }
    }
  }
}
