// How images are examined and mended.
//
// Owns: what a check finds, and the interface of formats that can be checked and repaired. Must not know: any format, the command line.

/// What a check found.
public struct ImageCheck: Equatable, Sendable {
  /// How bad a finding is.
  public enum Severity: String, Sendable {
    /// Room that nobody uses; no data are in danger.
    case leak
    /// The image contradicts itself: data may be wrong, or go wrong with the next write.
    case corruption
    /// It could not be looked at.
    case unreadable
  }

  public struct Finding: Equatable, Sendable {
    public var severity: Severity
    /// The byte offset in the file, where one is to blame.
    public var offset: UInt64?
    public var text: String
    /// Whether the repair has mended it.
    public var isRepaired: Bool

    public init(
      _ severity: Severity, at offset: UInt64? = nil, _ text: String, isRepaired: Bool = false
    ) {
      self.severity = severity
      self.offset = offset
      self.text = text
      self.isRepaired = isRepaired
    }
  }

  /// The first thousand; the numbers below count all.
  public private(set) var findings: [Finding] = []
  public private(set) var leaks = 0
  public private(set) var corruptions = 0
  public private(set) var unreadables = 0
  public private(set) var repaired = 0
  /// Corruptions, and what could not be looked at, that were not mended.
  public private(set) var openFaults = 0
  /// Units of allocation (clusters, blocks, grains): of the disk, and those that have room in the file.
  public var totalUnits: UInt64 = 0
  public var allocatedUnits: UInt64 = 0
  public var compressedUnits: UInt64 = 0
  /// Where the used part of the file ends, in bytes.
  public var imageEnd: UInt64 = 0

  public init() {}

  public mutating func add(_ finding: Finding) {
    switch finding.severity {
    case .leak: leaks += 1
    case .corruption: corruptions += 1
    case .unreadable: unreadables += 1
    }
    if finding.isRepaired {
      repaired += 1
    } else if finding.severity != .leak {
      openFaults += 1
    }
    if findings.count < 1000 { findings.append(finding) }
  }

  /// Counts what `other`, an earlier look, counted but did not list; `left` is what a later look found, of which the listed part is here.
  mutating func addUnlisted(_ other: ImageCheck, left: ImageCheck) {
    func unlisted(_ severity: Severity, _ count: Int, _ leftCount: Int) -> (all: Int, open: Int) {
      let more = max(0, count - other.findings.lazy.filter { $0.severity == severity }.count)
      let known = findings.lazy.filter { $0.severity == severity && !$0.isRepaired }.count
      return (more, min(more, max(0, leftCount - known)))
    }
    let more = [
      unlisted(.leak, other.leaks, left.leaks),
      unlisted(.corruption, other.corruptions, left.corruptions),
      unlisted(.unreadable, other.unreadables, left.unreadables),
    ]
    leaks += more[0].all
    corruptions += more[1].all
    unreadables += more[2].all
    repaired += more.reduce(0) { $0 + $1.all - $1.open }
    openFaults += more[1].open + more[2].open
  }

  /// Whether nothing is wrong, or nothing any more.
  public var isClean: Bool { leaks + corruptions + unreadables == repaired }
}

/// What a repair may touch.
public enum ImageRepair: String, Sendable {
  /// Nothing: it only looks.
  case none
  /// Room that nobody uses is given back.
  case leaks
  /// Contradictions are resolved too, so that no data that can be read now are lost.
  case all
}

/// A format whose files can be examined.
public protocol CheckableFormat: ImageFormat {
  /// Examines an image in bounded time and memory, and mends it if that is wished (the store is writable then). A repair never makes it
  /// worse: what it cannot mend it leaves as it was.
  func check(_ store: any ByteStore, _ repair: ImageRepair, _ context: ImageContext)
    throws(StorageError) -> ImageCheck
}

/// A run of blocks of which the same is to be said, for `map`, for `convert`, for whoever copies only what is there.
public struct BlockExtent: Equatable, Sendable {
  public enum Kind: String, Sendable {
    /// The blocks have data of their own (perhaps zeros).
    case data
    /// They read as zeros, whatever is below.
    case zero
    /// They are not here: the base shows, or zeros where there is none.
    case absent
  }
  public var kind: Kind
  public var count: UInt64
  /// Where in the file the first byte is; nil where that means nothing (compressed, encrypted, several files).
  public var offset: UInt64?
  public var isCompressed: Bool

  public init(_ kind: Kind, count: UInt64, offset: UInt64? = nil, isCompressed: Bool = false) {
    self.kind = kind
    self.count = count
    self.offset = offset
    self.isCompressed = isCompressed
  }
}
