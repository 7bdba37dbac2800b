// Host code as text, through a disassembler of the host.
//
// Owns: finding and running objdump or llvm-objdump. Must not know: where the code comes from.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Disassembles x86-64 code where the host has a tool for it.
public enum HostDisassembler {
  /// An instruction.
  public struct Line: Sendable {
    /// Offset of its first byte.
    public var offset: Int
    public var text: String
  }

  private static let commands = [
    "objdump -D -b binary -m i386:x86-64 -M intel --no-show-raw-insn",
    "gobjdump -D -b binary -m i386:x86-64 -M intel --no-show-raw-insn",
  ]

  /// The instructions of a piece of code; nil where there is no tool.
  public static func lines(_ code: [UInt8]) -> [Line]? {
    var name = Array("/tmp/apus-code-XXXXXX".utf8CString)
    let descriptor = mkstemp(&name)
    if descriptor < 0 { return nil }
    let path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { unlink(path) }
    let written = code.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
    if written != code.count { return nil }
    for command in commands {
      guard let pipe = popen("\(command) \(path) 2>/dev/null", "r") else { continue }
      var output: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 4096)
      while true {
        let got = fread(&buffer, 1, buffer.count, pipe)
        if got == 0 { break }
        output += buffer[..<got]
      }
      if pclose(pipe) != 0 { continue }
      let lines = parse(String(decoding: output, as: UTF8.self))
      if !lines.isEmpty { return lines }
    }
    return nil
  }

  /// Lines of the form "  1f:<tab>add eax,ebx".
  private static func parse(_ text: String) -> [Line] {
    text.split(separator: "\n").compactMap { line in
      guard let colon = line.firstIndex(of: ":"),
        let offset = Int(line[..<colon].drop { $0 == " " }, radix: 16)
      else { return nil }
      var words = line[line.index(after: colon)...].split(
        whereSeparator: { $0 == " " || $0 == "\t" })
      if let comment = words.firstIndex(where: { $0.hasPrefix("#") }) {
        words.removeSubrange(comment...)
      }
      return Line(offset: offset, text: words.joined(separator: " "))
    }
  }
}
