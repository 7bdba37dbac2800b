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
    let lines = ["apus-convert-journal=3", "done=\(done)", ConvertJournal.partial(of: target)]
    let text = (lines + identity).joined(separator: "\n")
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
    guard lines.count >= 3, lines[0] == "apus-convert-journal=3", lines[1].hasPrefix("done="),
      ConvertJournal.isPartial(lines[2], of: target), Array(lines[3...]) == identity
    else { return nil }
    return UInt64(lines[1].dropFirst(5))
  }

  /// The unfinished target's file: one that was put in its place, or has lost its end, has not what the journal says. One that was made anew
  /// may have the old one's numbers, but not its birth, where the host knows of that.
  static func partial(of target: String) -> String {
    guard let facts = HostFiles.facts(target + suffix) else { return "partial=" }
    let birth = HostFiles.birth(of: target + suffix) ?? "-"
    return "partial=\(facts.device) \(facts.inode) \(birth) \(facts.size)"
  }

  private static func isPartial(_ line: String, of target: String) -> Bool {
    let (then, now) = (line.split(separator: " "), partial(of: target).split(separator: " "))
    guard then.count == 4, now.count == 4, then[..<3] == now[..<3], let size = UInt64(then[3]),
      let present = UInt64(now[3])
    else { return false }
    return present >= size
  }

  static func remove(for target: String) { try? HostFiles.remove(path(of: target)) }
}
