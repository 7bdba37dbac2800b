// A connection that only those who know a secret can have: TLS 1.3 with a key that both ends were given.
//
// Owns: the handshake, sealing and opening what passes. Must not know: what passes, where the secret is from.
// After: RFC 8446, 2.2 (pre-shared keys with a Diffie-Hellman exchange: who learns the secret later cannot read what passed).

import Host
import Storage

/// What both ends know.
public struct MigrationSecret: Sendable {
  let key: [UInt8]
  /// So much at least: a secret that can be guessed is none.
  public static let shortest = 16

  /// - Parameter bytes: of any length from `shortest` on; line ends behind it do not count.
  /// - Returns: nil: too short.
  public init?(_ bytes: [UInt8]) {
    var bytes = bytes
    while let last = bytes.last, last == 0x0A || last == 0x0D { bytes.removeLast() }
    if bytes.count < MigrationSecret.shortest { return nil }
    key = SHA256.hash(Array("apus migration 1\0".utf8) + bytes)
  }
}

/// A TLS connection over another one.
public final class TLSLink: ByteLink {
  private let link: any ByteLink
  private let library: TLSLibrary
  private let context: OpaquePointer
  private let connection: OpaquePointer
  private let (incoming, outgoing): (OpaquePointer, OpaquePointer)
  private let key: UnsafeMutablePointer<UInt8>
  private let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 17, alignment: 64)

  private static let keyLength = 32
  private static let tls13 = 0x0304
  /// SSL_CTRL_SET_MIN_PROTO_VERSION
  private static let setLeastVersion: Int32 = 123
  /// SSL_ERROR_WANT_READ
  private static let wantsRead: Int32 = 2
  /// SSL_ERROR_ZERO_RETURN
  private static let isClosed: Int32 = 6

  /// Makes the handshake.
  /// - Parameters:
  ///   - link: used only through this from now on.
  ///   - isServer: whether this end was connected to.
  /// - Throws: when the host has no OpenSSL, the other end does not know the secret, or the connection is lost.
  public init(_ link: any ByteLink, _ secret: MigrationSecret, isServer: Bool, until end: UInt64)
    throws(HostError)
  {
    guard let library = TLSLibrary.shared else {
      throw HostError(
        "TLS needs OpenSSL 3 (libssl.so.3): install the package libssl3 (Debian, Ubuntu), openssl-libs (Fedora) or openssl@3 "
          + "(Homebrew)")
    }
    guard let context = library.SSL_CTX_new(library.TLS_method()),
      let incoming = library.BIO_new(library.BIO_s_mem()),
      let outgoing = library.BIO_new(library.BIO_s_mem())
    else { throw HostError("no TLS: \(TLSLink.reason(library))") }
    self.link = link
    self.library = library
    self.context = context
    (self.incoming, self.outgoing) = (incoming, outgoing)
    key = .allocate(capacity: TLSLink.keyLength)
    key.update(from: secret.key, count: TLSLink.keyLength)
    _ = library.SSL_CTX_ctrl(context, TLSLink.setLeastVersion, TLSLink.tls13, nil)
    // Keys that were given beforehand go with SHA-256.
    _ = library.SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256")
    _ = library.SSL_CTX_set_num_tickets(context, 0)
    library.SSL_CTX_set_psk_client_callback(context) { ssl, _, identity, most, key, room in
      guard let identity, let key, most > 4, room >= 32,
        let own = TLSLibrary.shared?.SSL_get_ex_data(ssl, 0)
      else { return 0 }
      for (n, letter) in "apus".utf8.enumerated() { identity[n] = CChar(letter) }
      identity[4] = 0
      UnsafeMutableRawPointer(key).copyMemory(from: own, byteCount: 32)
      return 32
    }
    library.SSL_CTX_set_psk_server_callback(context) { ssl, _, key, room in
      guard let key, room >= 32, let own = TLSLibrary.shared?.SSL_get_ex_data(ssl, 0) else {
        return 0
      }
      UnsafeMutableRawPointer(key).copyMemory(from: own, byteCount: 32)
      return 32
    }
    guard let connection = library.SSL_new(context) else {
      throw HostError("no TLS: \(TLSLink.reason(library))")
    }
    self.connection = connection
    _ = library.SSL_set_ex_data(connection, 0, key)
    library.SSL_set_bio(connection, incoming, outgoing)
    if isServer {
      library.SSL_set_accept_state(connection)
    } else {
      library.SSL_set_connect_state(connection)
    }
    try handshake(until: end)
  }

  deinit {
    // Its two ends in memory go with it.
    library.SSL_free(connection)
    library.SSL_CTX_free(context)
    key.update(repeating: 0, count: TLSLink.keyLength)
    key.deallocate()
    room.deallocate()
  }

  private static func reason(_ library: TLSLibrary) -> String {
    var text = "no reason is given"
    while true {
      let code = library.ERR_get_error()
      if code == 0 { return text }
      if let words = library.ERR_reason_error_string(code) { text = String(cString: words) }
    }
  }

  private func handshake(until end: UInt64) throws(HostError) {
    while true {
      let result = library.SSL_do_handshake(connection)
      let state = result == 1 ? 0 : library.SSL_get_error(connection, result)
      let reason = result == 1 || state == TLSLink.wantsRead ? "" : TLSLink.reason(library)
      do throws(HostError) { try pass(until: end) } catch {
        if reason.isEmpty { throw error }
      }
      if result == 1 { return }
      if state != TLSLink.wantsRead {
        throw HostError("the other end does not know the same secret, or speaks no TLS (\(reason))")
      }
      do throws(HostError) { try fetch(until: end) } catch {
        throw HostError(
          "\(error.reason) while TLS was agreed on: the other end may know another secret, or none")
      }
    }
  }

  /// Sends what is sealed.
  private func pass(until end: UInt64) throws(HostError) {
    while library.BIO_ctrl_pending(outgoing) > 0 {
      let count = library.BIO_read(outgoing, room.baseAddress, Int32(room.count))
      if count <= 0 { return }
      try link.send(
        UnsafeRawBufferPointer(rebasing: room[..<Int(count)]), .init(start: nil, count: 0),
        until: end)
    }
  }

  /// Takes what came, to be opened.
  private func fetch(until end: UInt64) throws(HostError) {
    let count = try link.receive(into: room, until: end)
    if library.BIO_write(incoming, room.baseAddress, Int32(count)) != Int32(count) {
      throw HostError("no memory for TLS")
    }
  }

  public func send(
    _ head: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer, until end: UInt64
  ) throws(HostError) {
    for part in [head, body] {
      var at = 0
      while at < part.count {
        let count = min(part.count - at, 1 << 16)
        let done = library.SSL_write(connection, part.baseAddress! + at, Int32(count))
        if done <= 0 { throw HostError("TLS fails: \(TLSLink.reason(library))") }
        at += Int(done)
        try pass(until: end)
      }
    }
  }

  public func receive(into buffer: UnsafeMutableRawBufferPointer, until end: UInt64)
    throws(HostError) -> Int
  {
    while true {
      let count = library.SSL_read(
        connection, buffer.baseAddress, Int32(clamping: buffer.count))
      if count > 0 { return Int(count) }
      switch library.SSL_get_error(connection, count) {
      case TLSLink.wantsRead:
        try pass(until: end)
        try fetch(until: end)
      case TLSLink.isClosed: throw HostError("the connection is closed")
      default: throw HostError("TLS fails: \(TLSLink.reason(library))")
      }
    }
  }

  public func close() { link.close() }
}
