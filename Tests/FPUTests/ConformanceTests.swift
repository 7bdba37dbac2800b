// Berkeley TestFloat vectors for 80-bit operations.
//
// Owns: reading the vector files and comparing every line. The files are not part of this repository: see `vectorDirectory`.

import Foundation
import TestSupport
import Testing

@testable import CPU

/// The folder with the vectors: $APUS_CONFORMANCE/x87, or ../shared/conformance/x87 beside the package.
private let vectorDirectory: String? = {
  var candidates: [String] = []
  if let path = ProcessInfo.processInfo.environment["APUS_CONFORMANCE"] { candidates.append(path) }
  let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
  candidates.append(root.appendingPathComponent("../shared/conformance").path)
  candidates.append(root.appendingPathComponent("../../shared/conformance").path)
  return candidates.map { $0 + "/x87" }.first { FileManager.default.fileExists(atPath: $0) }
}()

private func fileNames() -> [String] {
  guard let vectorDirectory,
    let names = try? FileManager.default.contentsOfDirectory(atPath: vectorDirectory)
  else { return [] }
  return names.filter { $0.hasSuffix(".txt.gz") }.sorted()
}

private func lines(of name: String) throws -> [Substring] {
  try Tool.run("/usr/bin/env", ["gzip", "-dc", vectorDirectory! + "/" + name]).text
    .split(separator: "\n")
}

private func extended(_ text: Substring) -> Float80Bits {
  Float80Bits(
    signExponent: UInt16(text.prefix(4), radix: 16)!,
    significand: UInt64(text.dropFirst(4), radix: 16)!)
}

private func digits(_ value: UInt64, _ count: Int) -> String {
  let text = String(value, radix: 16, uppercase: true)
  return String(repeating: "0", count: max(0, count - text.count)) + text
}

private func text(_ value: Float80Bits) -> String {
  digits(UInt64(value.signExponent), 4) + digits(value.significand, 16)
}

/// The status word's exceptions in TestFloat's order; it knows no denormal exception.
private func testFloatFlags(_ flags: UInt16) -> UInt64 {
  var value: UInt64 = 0
  if flags & FPUStatus.pe != 0 { value |= 1 }
  if flags & FPUStatus.ue != 0 { value |= 2 }
  if flags & FPUStatus.oe != 0 { value |= 4 }
  if flags & FPUStatus.ze != 0 { value |= 8 }
  if flags & FPUStatus.ie != 0 { value |= 16 }
  return value
}

/// The operation's result as the file writes it.
private func evaluate(_ operation: String, _ fields: [Substring], _ unit: inout SoftFloat80)
  -> String?
{
  func bits(_ n: Int) -> UInt64 { UInt64(fields[n], radix: 16)! }
  switch operation {
  case "extF80_add": return text(unit.add(extended(fields[0]), extended(fields[1])))
  case "extF80_sub": return text(unit.subtract(extended(fields[0]), extended(fields[1])))
  case "extF80_mul": return text(unit.multiply(extended(fields[0]), extended(fields[1])))
  case "extF80_div": return text(unit.divide(extended(fields[0]), extended(fields[1])))
  case "extF80_sqrt": return text(unit.squareRoot(extended(fields[0])))
  case "extF80_roundToInt": return text(unit.roundToInteger(extended(fields[0])))
  case "extF80_rem":
    var a = extended(fields[0])
    while true {
      let (result, conditions) = unit.remainder(a, extended(fields[1]), nearest: true)
      if (conditions ?? 0) & FPUStatus.c2 == 0 { return text(result) }
      a = result
    }
  case "extF80_eq", "extF80_le", "extF80_lt_quiet":
    let conditions = unit.compare(
      extended(fields[0]), extended(fields[1]), quiet: operation != "extF80_le")
    let less = conditions & FPUStatus.c0 != 0
    let equal = conditions & FPUStatus.c3 != 0
    if conditions & FPUStatus.c2 != 0 { return "0" }
    switch operation {
    case "extF80_eq": return equal ? "1" : "0"
    case "extF80_le": return less || equal ? "1" : "0"
    default: return less ? "1" : "0"
    }
  case "extF80_to_f32": return digits(unit.store(extended(fields[0]), .single), 8)
  case "extF80_to_f64": return digits(unit.store(extended(fields[0]), .double), 16)
  case "extF80_to_i32":
    return digits(unit.toInteger(extended(fields[0]), width: 32) & 0xFFFF_FFFF, 8)
  case "extF80_to_i64": return digits(unit.toInteger(extended(fields[0]), width: 64), 16)
  case "f32_to_extF80": return text(unit.load(bits(0), .single))
  case "f64_to_extF80": return text(unit.load(bits(0), .double))
  case "i32_to_extF80":
    return text(
      SoftFloat80.fromInteger(Int64(Int32(bitPattern: UInt32(truncatingIfNeeded: bits(0))))))
  case "i64_to_extF80": return text(SoftFloat80.fromInteger(Int64(bitPattern: bits(0))))
  default: return nil
  }
}

@Suite(
  "TestFloat vectors",
  .enabled(if: vectorDirectory != nil, "no x87 vectors beside the package or in APUS_CONFORMANCE"))
struct ConformanceTests {
  @Test(arguments: fileNames())
  func everyLineAgrees(name: String) throws {
    let parts = name.split(separator: ".")
    let operation = String(parts[0])
    let rounding = ["near_even": 0, "min": 1, "max": 2, "minMag": 3][String(parts[1])]
    let precision = ["p32": 0, "p64": 2, "p80": 3][String(parts[2])]
    let control = UInt16(0x3F | (try #require(precision)) << 8 | (try #require(rounding)) << 10)
    var failures = 0
    var count = 0
    for line in try lines(of: name) {
      let fields = line.split(separator: " ")
      guard fields.count >= 3 else { continue }
      var unit = SoftFloat80(control: control)
      let result = evaluate(operation, fields, &unit)
      let flags = digits(testFloatFlags(unit.flags), 2)
      count += 1
      if result != String(fields[fields.count - 2]) || flags != fields[fields.count - 1] {
        failures += 1
        if failures <= 5 {
          Issue.record("\(name): \(line) but got \(result ?? "nothing") \(flags)")
        }
      }
    }
    #expect(count > 0)
    #expect(failures == 0, "\(failures) of \(count) lines differ")
  }
}
