// What a machine is moved over.
//
// Owns: the interface between messages and what carries their bytes. Must not know: messages, machines.

import Host

/// A connection of bytes, used by one thread at a time.
public protocol ByteLink: AnyObject {
  /// Sends two runs of bytes, one behind the other.
  /// - Parameter end: when it gives up, by `HostClock.nanoseconds`.
  func send(_ head: UnsafeRawBufferPointer, _ body: UnsafeRawBufferPointer, until end: UInt64)
    throws(HostError)
  /// Receives what there is, at least a byte.
  func receive(into buffer: UnsafeMutableRawBufferPointer, until end: UInt64) throws(HostError)
    -> Int
  /// Ends the connection.
  func close()
}

extension HostStream: ByteLink {}
