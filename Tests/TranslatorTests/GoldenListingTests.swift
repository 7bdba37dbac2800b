// The host code of chosen instructions and short sequences, kept as text.
//
// Golden/*.txt hold them: "mode" and "> guest bytes" are what to translate, the indented lines what became of it. What changes there
// changes on purpose, and the difference of the files shows it. To write them again:
//
//   APUS_WRITE_GOLDEN=1 with a filter for GoldenListingTests
//
// Nothing is executed but a NOP, in the interpreter, and nothing asks the host what it can: addresses are hidden, and the window is there
// or not as the mode says. A new case is a line "> bytes" and, behind it, "full" where the paths seldom taken are to be shown too.

#if os(Linux) && arch(x86_64)
  import CPU
  import Foundation
  import TestSupport
  import Testing
  import Translator
  import TranslatorX86_64

  @Suite struct GoldenListingTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("Golden")

    static let files = [
      "integer/arithmetic", "integer/exchanges", "integer/flags", "integer/memory",
      "integer/shifts", "integer/stack", "integer/strings", "system/control", "system/real16",
      "system/segments", "system/system", "units/fpu", "units/mmx", "units/sse",
    ]

    /// What a mode's name stands for.
    private struct Mode {
      var context = CodeContext()
      var options = TranslatorOptions.all
      var looksForFPUErrors = false

      init?(_ name: String) {
        context.limit = 0xFFFF_FFFF
        context.flat = 0x3F
        context.mode = .protected
        context.decode = .bits32
        context.traits = [.bigStack, .window]
        switch name {
        // Flat, without paging, through the window.
        case "flat32": break
        // The same on a host without the window, and what paging has.
        case "table32": context.traits = .bigStack
        case "paged32": context.traits = [.bigStack, .paged]
        case "user32":
          context.traits = [.bigStack, .paged]
          context.cpl = 3
        // Segments with bases and limits.
        case "limited32":
          context.flat = 0
          context.limit = 0xF_FFFF
        case "protected16":
          context.decode = .bits16
          context.traits = .window
          context.limit = 0xFFFF
          context.flat = 0
        case "real16":
          context.mode = .real
          context.decode = .bits16
          context.traits = .window
          context.limit = 0xFFFF
          context.base = 0x1000
          context.flat = 0
        case "v86":
          context.mode = .v86
          context.decode = .bits16
          context.traits = .paged
          context.limit = 0xFFFF
          context.base = 0x1000
          context.cpl = 3
          context.flat = 0
        case "down32": context.traits.insert(.down)
        // x87 exceptions unmasked.
        case "errors32": looksForFPUErrors = true
        default: return nil
        }
      }
    }

    private func text(_ bytes: [UInt8]) -> String {
      bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private func columns(_ lines: [BlockListing.Line]) -> [String] {
      lines.map {
        "      " + $0.hex.padding(toLength: max(24, $0.hex.count), withPad: " ", startingAt: 0)
          + " " + $0.text
      }
    }

    /// What becomes of NOP, these bytes, JMP to itself.
    private func host(_ code: [UInt8], _ mode: Mode, full: Bool) throws -> [String] {
      let bench = try Bench(translated: true, options: mode.options)
      let cpu = bench.cpu
      cpu.translationThreshold = 1000
      if mode.context.decode == .bits16 {
        var cache = cpu[segment: SegmentRegister.cs]
        cache.attributes &= ~0x4000
        cpu[segment: SegmentRegister.cs] = cache
      }
      bench.load([0x90] + code + [0xEB, 0xFE])
      bench.run(1)
      let translator = try #require(cpu.translator as? Translator)
      let block = try #require(cpu.decodedBlock(linear: LinearAddress(Bench.code)))
      block.pointee.seesFPUErrors = mode.looksForFPUErrors
      let listing = try #require(
        translator.listing(linear: LinearAddress(Bench.code), in: mode.context))
      let disassembler = Disassembler(model: cpu.model)
      var lines: [String] = []
      if full { lines += ["  (entry)"] + columns(listing.entry) }
      var before = 1
      for part in listing.parts.dropFirst() {
        if before > code.count && !full { break }
        let guest =
          disassembler.text(part.guest, mode: mode.context.decode, eip: part.eip)?.text ?? "(bad)"
        lines.append("  \(text(part.guest)) \(guest): \(part.size) bytes")
        lines += columns(part.lines)
        before += part.guest.count
      }
      lines.append("  (seldom: \(listing.restSize) bytes)")
      if full { lines += columns(listing.rest) }
      return lines
    }

    @Test(arguments: files)
    func hostCodeIsWhatIsKept(file: String) throws {
      let url = GoldenListingTests.folder.appendingPathComponent(file + ".txt")
      let kept = try String(contentsOf: url, encoding: .utf8)
      var new: [String] = []
      var mode: Mode?
      var cases = 0
      for line in kept.split(separator: "\n", omittingEmptySubsequences: false) {
        // Made anew below.
        if line.hasPrefix("  ") { continue }
        new.append(String(line))
        let words = line.split(separator: " ")
        if words.first == "mode" {
          mode = Mode(String(words[1]))
          if mode == nil { Issue.record("\(file).txt has no mode \(words[1])") }
        } else if words.first == ">" {
          new += try host(
            bytes(words[1]), #require(mode), full: words.dropFirst(2).contains("full"))
          cases += 1
        }
      }
      #expect(cases > 0)
      let text = new.joined(separator: "\n")
      if ProcessInfo.processInfo.environment["APUS_WRITE_GOLDEN"] != nil {
        try text.write(to: url, atomically: true, encoding: .utf8)
        return
      }
      if text == kept { return }
      let old = kept.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      let at = zip(old, new).enumerated().first { $0.element.0 != $0.element.1 }
      let from = (at?.offset).map { n in new[...n].last { $0.hasPrefix(">") } ?? "" } ?? ""
      Issue.record(
        """
        \(file).txt differs first in "\(from)":
        kept \(at?.element.0 ?? "(end)")
        now  \(at?.element.1 ?? "(end)")
        """)
    }
  }
#endif
