// Numbers and bytes to and from a server.
//
// Owns: the byte order (big-endian), a small buffer, the time by which something has to have come. Must not know: what the numbers mean.

import Host

/// One connection's bytes.
final class NBDWire {
  private let stream: HostStream
  /// Small, as what is behind a reply's head goes past it into the reader's own memory.
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096 + 64, alignment: 16)
  private var start = 0
  private var end = 0
  /// When patience ends.
  var until: UInt64 = 0

  init(_ stream: HostStream) { self.stream = stream }

  deinit { buffer.deallocate() }

  func close() { stream.close() }

  /// Whether nothing was received that nobody has asked for.
  var isEmpty: Bool { start == end }

  private func receive(_ target: UnsafeMutableRawBufferPointer) throws(NBDFailure) -> Int {
    // A server that sends a byte now and then is as good as a silent one.
    if HostClock.nanoseconds() > until { throw .lost("the server is too slow") }
    do throws(HostError) { return try stream.receive(into: target, until: until) } catch {
      throw .lost(error.reason)
    }
  }

  /// Fills a buffer.
  func read(into target: UnsafeMutableRawBufferPointer) throws(NBDFailure) {
    var done = min(end - start, target.count)
    if done > 0 {
      UnsafeMutableRawBufferPointer(rebasing: target[..<done]).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: buffer[start..<start + done]))
      start += done
    }
    while done < target.count {
      if target.count - done >= buffer.count {
        done += try receive(UnsafeMutableRawBufferPointer(rebasing: target[done...]))
        continue
      }
      (start, end) = (0, try receive(buffer))
      let part = min(end, target.count - done)
      UnsafeMutableRawBufferPointer(rebasing: target[done..<done + part]).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: buffer[..<part]))
      start = part
      done += part
    }
  }

  func number<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) throws(NBDFailure)
    -> Number
  {
    var value = Number.zero
    var failure: NBDFailure?
    withUnsafeMutableBytes(of: &value) { bytes in
      do throws(NBDFailure) { try read(into: bytes) } catch { failure = error }
    }
    if let failure { throw failure }
    return Number(bigEndian: value)
  }

  /// Some bytes, whose number the caller has bounded.
  func bytes(_ count: Int) throws(NBDFailure) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: count)
    var failure: NBDFailure?
    result.withUnsafeMutableBytes { bytes in
      do throws(NBDFailure) { try read(into: bytes) } catch { failure = error }
    }
    if let failure { throw failure }
    return result
  }

  func skip(_ count: Int) throws(NBDFailure) {
    var left = count
    while left > 0 {
      let part = min(left, 1 << 16)
      _ = try bytes(part)
      left -= part
    }
  }

  func send(
    _ head: [UInt8], _ body: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
  ) throws(NBDFailure) {
    var failure: NBDFailure?
    head.withUnsafeBytes { head in
      do throws(HostError) { try stream.send(head, body, until: until) } catch {
        failure = .lost(error.reason)
      }
    }
    if let failure { throw failure }
  }
}

extension [UInt8] {
  /// Appends a number, the highest byte first.
  mutating func append<Number: FixedWidthInteger>(big number: Number) {
    Swift.withUnsafeBytes(of: number.bigEndian) { self += $0 }
  }
}
