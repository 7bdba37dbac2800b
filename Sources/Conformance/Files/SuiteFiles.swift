// Which files a run consists of, and what stands beside them.
//
// Owns: looking through folders, telling formats apart by content, metadata, lists of exclusions and revocations.
// Must not know: how a test runs.

import CZlib
import Host

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What a vector file holds.
public enum VectorFormat: Sendable {
  case moo, json, testFloat
  /// A test of our own schema (StateTest).
  case state
}

/// A vector file with its surroundings.
public struct VectorFile: Sendable {
  public var path: String
  /// The folder's name.
  public var suite: String
  /// The file's name without .MOO, .json, .txt and .gz.
  public var name: String
  public var format: VectorFormat
  public var folder: SuiteFolder
}

/// What a folder says about its files.
public final class SuiteFolder: Sendable {
  public let path: String
  /// FLAGS masks by opcode.
  let flagMasks: [String: UInt32]
  /// The processor in metadata.json, or "".
  let cpu: String
  /// Reasons by opcode and index, from exclusion files.
  let excluded: [String: [UInt32: String]]
  /// Reasons by the test's hash.
  let revoked: [String: String]
  /// What is wrong with these.
  let damage: [String]

  init(_ path: String, exclude: [String]) {
    self.path = path
    var masks: [String: UInt32] = [:]
    var cpu = ""
    var excluded: [String: [UInt32: String]] = [:]
    var revoked: [String: String] = [:]
    var damage: [String] = []
    let metadata = path + "/metadata.json"
    if let bytes = try? HostFiles.read(metadata, limit: 64 << 20) {
      var reader = JSONReader(bytes, path: metadata)
      if let root = try? reader.value(), case .object = root {
        cpu = root["cpu"]?.text ?? ""
        for (name, entry) in root["opcodes"]?.members ?? [:] {
          if let mask = entry["flags-mask"]?.number {
            masks[name] = UInt32(truncatingIfNeeded: mask) | 0xFFFF_0000
          }
          for (digit, sub) in entry["reg"]?.members ?? [:] {
            if let mask = sub["flags-mask"]?.number {
              masks["\(name).\(digit)"] = UInt32(truncatingIfNeeded: mask) | 0xFFFF_0000
            }
          }
        }
      } else {
        damage.append("\(path)/metadata.json: not JSON")
      }
    }
    for file in [path + "/differs-on-386plus.tsv"] + exclude {
      guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { continue }
      let reasonPrefix = URL(fileURLWithPath: file).lastPathComponent
      for line in text.split(separator: "\n") {
        if line.hasPrefix("#") { continue }
        let columns = line.split(separator: "\t", omittingEmptySubsequences: false)
        let reason = columns.count > 3 ? String(columns[3]) : "no reason given"
        if columns.count >= 2, let index = UInt32(columns[1]) {
          excluded[String(columns[0]), default: [:]][index] = "\(reason) (\(reasonPrefix))"
        } else if columns[0].utf8.count == 40 {
          let why = columns.count > 1 ? String(columns[1]) : "excluded by hash"
          revoked[columns[0].lowercased()] = "\(why) (\(reasonPrefix))"
        } else if columns[0] != "file" {
          damage.append("\(file): not understood: \(line.prefix(60))")
        }
      }
    }
    if let text = try? String(contentsOfFile: path + "/revocation_list.txt", encoding: .utf8) {
      for line in text.split(whereSeparator: \.isNewline) {
        let hash = line.prefix { !$0.isWhitespace && $0 != "#" }
        if hash.utf8.count == 40 { revoked[hash.lowercased()] = "revoked (revocation_list.txt)" }
      }
    }
    self.flagMasks = masks
    self.cpu = cpu
    self.excluded = excluded
    self.revoked = revoked
    self.damage = damage
  }
}

/// All files of a run.
public struct SuiteFiles: Sendable {
  public private(set) var files: [VectorFile] = []
  /// Paths or files that are of no use, with the reason.
  public private(set) var problems: [String] = []

  /// - Parameters:
  ///   - paths: folders (looked through to any depth) and files.
  ///   - exclude: more exclusion files.
  ///   - filter: patterns with * and ? of opcode or suite/opcode, separated by commas; empty: everything.
  public init(paths: [String], exclude: [String] = [], filter: String = "") {
    var folders: [String: SuiteFolder] = [:]
    for file in exclude where !FileManager.default.isReadableFile(atPath: file) {
      problems.append("\(file): cannot be opened")
    }
    let patterns = filter.split(separator: ",").map { String($0).uppercased() }
    func add(_ path: String, named: Bool) {
      let url = URL(fileURLWithPath: path)
      let folderPath = url.deletingLastPathComponent().standardizedFileURL.path
      let base = url.lastPathComponent
      let name = SuiteFiles.bareName(base)
      let suite = URL(fileURLWithPath: folderPath).lastPathComponent
      if !patterns.isEmpty {
        let candidates = [name.uppercased(), "\(suite)/\(name)".uppercased()]
        if !patterns.contains(where: { p in candidates.contains { apusGlob(p, $0) } }) { return }
      }
      guard let format = SuiteFiles.format(path, base, named: named) else {
        if named {
          problems.append("\(path): at offset 0: no MOO, SingleStepTests or TestFloat file")
        }
        return
      }
      if folders[folderPath] == nil {
        let folder = SuiteFolder(folderPath, exclude: exclude)
        problems += folder.damage
        folders[folderPath] = folder
      }
      files.append(
        VectorFile(
          path: path, suite: suite, name: name, format: format, folder: folders[folderPath]!))
    }
    for path in paths {
      guard HostFiles.exists(path) else {
        problems.append("\(path): does not exist")
        continue
      }
      if !HostFiles.isDirectory(path) {
        add(path, named: true)
        continue
      }
      let all = (try? FileManager.default.subpathsOfDirectory(atPath: path)) ?? []
      for sub in all.sorted() {
        let full = path + "/" + sub
        if HostFiles.exists(full), !HostFiles.isDirectory(full) { add(full, named: false) }
      }
    }
  }

  private static func bareName(_ base: String) -> String {
    var name = base
    for ending in [".gz", ".moo", ".json", ".txt", ".tv"] where name.lowercased().hasSuffix(ending)
    {
      name = String(name.dropLast(ending.count))
    }
    return name
  }

  /// Looks at the first bytes. In folders only the usual endings are looked at, so that licences and notes are no errors.
  private static func format(_ path: String, _ base: String, named: Bool) -> VectorFormat? {
    let lower = base.lowercased()
    let plain = lower.hasSuffix(".gz") ? String(lower.dropLast(3)) : lower
    let byName: VectorFormat? =
      plain.hasSuffix(".moo")
      ? .moo
      : plain.hasSuffix(".json")
        ? .json
        : (plain.hasSuffix(".txt") || plain.hasSuffix(".tv")) && plain.contains("f80")
          ? .testFloat : nil
    if base == "metadata.json" || (!named && byName == nil) { return nil }
    guard let file = gzopen(path, "rb") else { return byName }
    defer { gzclose(file) }
    var head = [UInt8](repeating: 0, count: 512)
    let count = gzread(file, &head, 512)
    // What a name promises is reported as damaged later; what it does not, is not ours.
    if count <= 0 { return byName }
    let text = head[0..<Int(count)]
    if text.starts(with: Array("MOO ".utf8)) { return .moo }
    let first = text.first { ![0x20, 0x0A, 0x0D, 0x09].contains($0) }
    if first == UInt8(ascii: "[") { return .json }
    if first == UInt8(ascii: "{") && StateTest.isTest(text) { return .state }
    let line = text.prefix { $0 != 0x0A && $0 != 0x0D }
    let isHexadecimal = line.allSatisfy {
      $0 == 0x20 || (0x30...0x39).contains($0) || (0x41...0x46).contains($0)
        || (0x61...0x66).contains($0)
    }
    if isHexadecimal && line.contains(0x20) && byName != .moo && byName != .json {
      return .testFloat
    }
    return byName
  }
}

/// Matches * and ?.
func apusGlob(_ pattern: String, _ text: String) -> Bool {
  let p = Array(pattern)
  let t = Array(text)
  var (pi, ti, star, mark) = (0, 0, -1, 0)
  while ti < t.count {
    if pi < p.count, p[pi] == "?" || p[pi] == t[ti] {
      pi += 1
      ti += 1
    } else if pi < p.count, p[pi] == "*" {
      star = pi
      mark = ti
      pi += 1
    } else if star >= 0 {
      pi = star + 1
      mark += 1
      ti = mark
    } else {
      return false
    }
  }
  while pi < p.count, p[pi] == "*" { pi += 1 }
  return pi == p.count
}
