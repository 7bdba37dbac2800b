// The kinds of images that are written, for trials that are the same for all of them.
//
// Owns: the list, and how one of each is made in memory. Must not know: what is tried.

import Testing

@testable import Storage

/// A format with options, over a base or not.
struct WrittenKind: CustomTestStringConvertible, Sendable {
  var format: String
  var options: [String: String] = [:]
  /// The format of the base, nil: it stands alone.
  var base: String?
  var size = 200 << 10

  init(
    _ format: String, _ options: [String: String] = [:], over base: String? = nil,
    size: Int = 200 << 10
  ) {
    self.format = format
    self.options = options
    self.base = base
    self.size = size
  }

  var testDescription: String {
    ([format] + options.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
      + (base.map { ["over \($0)"] } ?? [])).joined(separator: " ")
  }

  static let all: [WrittenKind] = [
    WrittenKind("raw"), WrittenKind("split"),
    WrittenKind("qcow2", ["cluster_size": "4096"]),
    WrittenKind("qcow2"),
    WrittenKind("qcow2", ["cluster_size": "512", "refcount_bits": "1"]),
    WrittenKind("qcow2", ["compat": "0.10", "cluster_size": "1024"]),
    WrittenKind("qcow2", ["lazy_refcounts": "on", "cluster_size": "512"]),
    WrittenKind("qcow2", ["extended_l2": "on", "cluster_size": "16384"]),
    WrittenKind("qcow2", ["cluster_size": "4096"], over: "raw"),
    WrittenKind("qcow2", ["compat": "0.10", "cluster_size": "4096"], over: "qcow2"),
    WrittenKind("qcow2", ["extended_l2": "on", "cluster_size": "16384"], over: "qcow2"),
    WrittenKind("vmdk", size: 320 << 10), WrittenKind("vmdk", ["subformat": "monolithicFlat"]),
    WrittenKind("vmdk", ["subformat": "twoGbMaxExtentSparse"], size: 320 << 10),
    WrittenKind("vmdk", ["subformat": "twoGbMaxExtentFlat"]),
    WrittenKind("vmdk", ["subformat": "streamOptimized"], size: 200 << 10),
    WrittenKind("vmdk", ["zeroed_grain": "on"], over: "vmdk", size: 320 << 10),
    WrittenKind("vdi", ["block_size": "64K"], size: 400 << 10),
    WrittenKind("vdi", ["block_size": "64K", "static": "on"], size: 400 << 10),
    WrittenKind("vdi", ["block_size": "64K"], over: "vdi", size: 400 << 10),
    WrittenKind("vhd", ["block_size": "512K"], size: 800 << 10),
    WrittenKind("vhd", ["subformat": "fixed"]),
    WrittenKind("vhd", ["block_size": "512K"], over: "vhd", size: 800 << 10),
    WrittenKind("vhdx", ["block_size": "1M"], size: 1200 << 10),
    WrittenKind("vhdx", ["block_size": "1M", "subformat": "fixed"], size: 1200 << 10),
    WrittenKind("vhdx", ["block_size": "1M"], over: "vhdx", size: 1200 << 10),
  ]

  /// Those that have a table of what is where.
  static let mapped = all.filter { $0.format != "raw" && $0.format != "split" }

  /// The format, with a check that finds nothing where it has none.
  func checkable() -> any CheckableFormat {
    switch format {
    case "raw": Unchecked(format: RawFormat())
    case "split": Unchecked(format: SplitFormat())
    default: ImageFormats.named(format)! as! any CheckableFormat
    }
  }

  /// Makes one, and what it names: the image is the first.
  func make() throws -> [(name: String, bytes: [UInt8])] {
    if format == "raw" { return [("image", [UInt8](repeating: 0, count: size))] }
    if format == "split" {
      let half = [UInt8](repeating: 0, count: size / 2)
      return [("image.001", half), ("image.002", half)]
    }
    let tried = ImageFormats.named(format)! as! any TriedFormat
    let files = TrialFiles()
    var below: NewBase?
    if let base {
      let pattern = QCOW2Maker.pattern(size / 2, 5)
      if base == "raw" {
        files.stores["base"] = SparseStore(pattern, size: UInt64(size / 2), name: "base")
      } else {
        let kind = ImageFormats.named(base)! as! any TriedFormat
        let own = options.filter { ["block_size", "cluster_size"].contains($0.key) }
        let store = try Trials.create(
          kind, Trials.wish(UInt64(size), own), files: files, name: "base")
        let device = try kind.open(store, files.context()).device
        try device.write(block: 20, pattern)
        device.close()
      }
      below = try Trials.base("base", base, files)
    }
    _ = try Trials.create(
      tried, Trials.wish(UInt64(size), options, base: below), files: files)
    below?.contents.device.close()
    let names = ["image"] + files.stores.keys.filter { $0 != "image" }.sorted()
    return names.map { ($0, (files.stores[$0] as! SparseStore).contents()) }
  }
}

/// A format in which nothing can be wrong.
private struct Unchecked: CheckableFormat {
  let format: any ImageFormat
  var name: String { format.name }
  func probe(_ store: any ByteStore, _ context: ImageContext) throws(StorageError)
    -> FormatConfidence?
  { try format.probe(store, context) }
  func open(_ store: any ByteStore, _ context: ImageContext) throws(StorageError) -> ImageContents {
    try format.open(store, context)
  }
  func check(_ store: any ByteStore, _ repair: ImageRepair, _ context: ImageContext)
    throws(StorageError) -> ImageCheck
  { ImageCheck() }
}
