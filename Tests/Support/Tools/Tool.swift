// Other programs that tests run to their end.
//
// Owns: starting them and reading what they print. Must not know: what they are.

import Foundation

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

public enum Tool {
  /// Runs a program to its end; what it prints on either output comes as one text.
  public static func run(
    _ path: String, _ arguments: [String], environment: [String: String]? = nil,
    in folder: URL? = nil
  ) throws -> (status: Int32, text: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    if let environment { process.environment = environment }
    if let folder { process.currentDirectoryURL = folder }
    let pipe = Pipe()
    (process.standardOutput, process.standardError) = (pipe, pipe)
    process.standardInput = FileHandle.nullDevice
    try process.start()
    let text = pipe.everything()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: text, as: UTF8.self))
  }
}

extension Pipe {
  /// What has been written into it, once there is something; empty: nobody writes any more.
  ///
  /// Foundation's own reading ends the process where a signal interrupts it.
  public func something() -> Data {
    withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 1) { buffer in
      while true {
        let count = read(fileHandleForReading.fileDescriptor, buffer.baseAddress, buffer.count)
        if count < 0 && errno == EINTR { continue }
        return Data(buffer.prefix(max(count, 0)))
      }
    }
  }

  /// What is written into it until nobody writes any more.
  public func everything() -> Data {
    var all = Data()
    while true {
      let part = something()
      if part.isEmpty { return all }
      all.append(part)
    }
  }
}
