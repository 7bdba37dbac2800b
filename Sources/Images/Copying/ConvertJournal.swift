// How far a conversion came, for somebody who goes on with it.
//
// Owns: the file beside the unfinished target, and whether it speaks of the same work. Must not know: formats, threads.

import Host
import Storage

/// A conversion's journal: lines of NAME=VALUE.
struct ConvertJournal: Equatable {
  /// Everything that has to be the same for the work to go on: the source's files, the target's format and options.
  var identity: [String]
  /// Bytes of the disk that are in the target and on stable storage.
  var done: UInt64

  static let suffix = ".partial"
  static func path(of target: String) -> String { target + suffix + ".journal" }

  init(_ request: ConvertRequest, _ source: DiskImage) {
    var lines = ["target-format=\(request.format)", "compressed=\(request.compresses)"]
    lines.append("sparse=\(request.sparseSize)")
    lines.append("region=\(request.region.map { "\($0.lowerBound)-\($0.upperBound)" } ?? "all")")
    for (name, value) in request.options.sorted(by: { $0.key < $1.key }) {
      lines.append("option-\(name)=\(value)")
    }
    lines.append("provisioning=\(request.provisioning?.rawValue ?? "")")
    lines.append("base=\(request.base?.name ?? "")")
    for path in [source.path] + source.basePaths + source.partPaths {
      guard let facts = HostFiles.facts(path) else { continue }
      lines.append(
        "source=\(facts.device) \(facts.inode) \(facts.size) \(facts.seconds) \(facts.nanoseconds)")
    }
    identity = lines
    done = 0
  }

  /// Writes it; what it says is then on stable storage.
  func write(for target: String) throws {
    let text = (["apus-convert-journal=1", "done=\(done)"] + identity).joined(separator: "\n")
    let path = ConvertJournal.path(of: target)
    do throws(HostError) { try HostFiles.writeAtomically(path, Array((text + "\n").utf8)) } catch {
      throw StorageError(path: path, reason: "\(error)")
    }
  }

  /// How far the same work came; nil: there is none.
  func resumable(for target: String) -> UInt64? {
    guard let bytes = try? HostFiles.read(ConvertJournal.path(of: target), limit: 1 << 20) else {
      return nil
    }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    guard lines.count >= 2, lines[0] == "apus-convert-journal=1", lines[1].hasPrefix("done="),
      Array(lines[2...]) == identity
    else { return nil }
    return UInt64(lines[1].dropFirst(5))
  }

  static func remove(for target: String) { try? HostFiles.remove(path(of: target)) }
}
