// OpenSSL 3's TLS.
//
// Owns: the library's functions, under their own names, loaded when the first machine is moved over a network. Must not know: connections.
// After: the manual pages SSL_CTX_new(3ssl), SSL_CTX_set_psk_client_callback(3ssl), SSL_CTX_set_ciphersuites(3ssl), SSL_set_bio(3ssl),
// SSL_do_handshake(3ssl), SSL_read(3ssl), SSL_get_error(3ssl), BIO_s_mem(3ssl) of OpenSSL 3.0.

// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Host

/// The functions that are used.
struct TLSLibrary: Sendable {
  typealias Pointer = OpaquePointer
  typealias ClientKey =
    @convention(c) (
      Pointer?, UnsafePointer<CChar>?, UnsafeMutablePointer<CChar>?, UInt32,
      UnsafeMutablePointer<UInt8>?, UInt32
    ) -> UInt32
  typealias ServerKey =
    @convention(c) (Pointer?, UnsafePointer<CChar>?, UnsafeMutablePointer<UInt8>?, UInt32) -> UInt32

  let TLS_method: @convention(c) @Sendable () -> Pointer?
  let SSL_CTX_new: @convention(c) @Sendable (Pointer?) -> Pointer?
  let SSL_CTX_free: @convention(c) @Sendable (Pointer?) -> Void
  let SSL_CTX_ctrl: @convention(c) @Sendable (Pointer?, Int32, Int, UnsafeMutableRawPointer?) -> Int
  let SSL_CTX_set_ciphersuites: @convention(c) @Sendable (Pointer?, UnsafePointer<CChar>) -> Int32
  let SSL_CTX_set_num_tickets: @convention(c) @Sendable (Pointer?, Int) -> Int32
  let SSL_CTX_set_psk_client_callback: @convention(c) @Sendable (Pointer?, ClientKey?) -> Void
  let SSL_CTX_set_psk_server_callback: @convention(c) @Sendable (Pointer?, ServerKey?) -> Void
  let SSL_new: @convention(c) @Sendable (Pointer?) -> Pointer?
  let SSL_free: @convention(c) @Sendable (Pointer?) -> Void
  let SSL_set_bio: @convention(c) @Sendable (Pointer?, Pointer?, Pointer?) -> Void
  let SSL_set_connect_state: @convention(c) @Sendable (Pointer?) -> Void
  let SSL_set_accept_state: @convention(c) @Sendable (Pointer?) -> Void
  let SSL_do_handshake: @convention(c) @Sendable (Pointer?) -> Int32
  let SSL_read: @convention(c) @Sendable (Pointer?, UnsafeMutableRawPointer?, Int32) -> Int32
  let SSL_write: @convention(c) @Sendable (Pointer?, UnsafeRawPointer?, Int32) -> Int32
  let SSL_get_error: @convention(c) @Sendable (Pointer?, Int32) -> Int32
  let SSL_set_ex_data: @convention(c) @Sendable (Pointer?, Int32, UnsafeMutableRawPointer?) -> Int32
  let SSL_get_ex_data: @convention(c) @Sendable (Pointer?, Int32) -> UnsafeMutableRawPointer?
  let BIO_new: @convention(c) @Sendable (Pointer?) -> Pointer?
  let BIO_s_mem: @convention(c) @Sendable () -> Pointer?
  let BIO_read: @convention(c) @Sendable (Pointer?, UnsafeMutableRawPointer?, Int32) -> Int32
  let BIO_write: @convention(c) @Sendable (Pointer?, UnsafeRawPointer?, Int32) -> Int32
  let BIO_ctrl_pending: @convention(c) @Sendable (Pointer?) -> Int
  let ERR_get_error: @convention(c) @Sendable () -> UInt
  let ERR_reason_error_string: @convention(c) @Sendable (UInt) -> UnsafePointer<CChar>?

  /// nil: it is not installed.
  static let shared: TLSLibrary? = RuntimeLibrary([
    "libssl.so.3", "libssl.3.dylib", "/opt/homebrew/opt/openssl@3/lib/libssl.3.dylib",
    "/usr/local/opt/openssl@3/lib/libssl.3.dylib",
  ]).flatMap { TLSLibrary($0) }

  private struct Missing: Error {}

  private init?(_ library: RuntimeLibrary) {
    func need<Function>(_ name: String) throws(Missing) -> Function {
      guard let function = library.function(name, Function.self) else { throw Missing() }
      return function
    }
    do throws(Missing) {
      TLS_method = try need("TLS_method")
      SSL_CTX_new = try need("SSL_CTX_new")
      SSL_CTX_free = try need("SSL_CTX_free")
      SSL_CTX_ctrl = try need("SSL_CTX_ctrl")
      SSL_CTX_set_ciphersuites = try need("SSL_CTX_set_ciphersuites")
      SSL_CTX_set_num_tickets = try need("SSL_CTX_set_num_tickets")
      SSL_CTX_set_psk_client_callback = try need("SSL_CTX_set_psk_client_callback")
      SSL_CTX_set_psk_server_callback = try need("SSL_CTX_set_psk_server_callback")
      SSL_new = try need("SSL_new")
      SSL_free = try need("SSL_free")
      SSL_set_bio = try need("SSL_set_bio")
      SSL_set_connect_state = try need("SSL_set_connect_state")
      SSL_set_accept_state = try need("SSL_set_accept_state")
      SSL_do_handshake = try need("SSL_do_handshake")
      SSL_read = try need("SSL_read")
      SSL_write = try need("SSL_write")
      SSL_get_error = try need("SSL_get_error")
      SSL_set_ex_data = try need("SSL_set_ex_data")
      SSL_get_ex_data = try need("SSL_get_ex_data")
      BIO_new = try need("BIO_new")
      BIO_s_mem = try need("BIO_s_mem")
      BIO_read = try need("BIO_read")
      BIO_write = try need("BIO_write")
      BIO_ctrl_pending = try need("BIO_ctrl_pending")
      ERR_get_error = try need("ERR_get_error")
      ERR_reason_error_string = try need("ERR_reason_error_string")
    } catch { return nil }
  }
}
