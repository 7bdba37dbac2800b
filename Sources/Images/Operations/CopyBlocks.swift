// `dd`: a part of a disk into a new image, in blocks as dd counts them.
//
// Owns: the words of dd. Must not know: formats; the copying is `convert`'s.

import Storage

/// What dd's words mean.
public struct CopyBlocksRequest: Sendable {
  public var input = ""
  public var output = ""
  /// bs=
  public var blockSize: UInt64 = 512
  /// count=; nil: to the end.
  public var count: UInt64?
  /// skip= or iskip=: blocks of the input that are left out.
  public var skip: UInt64 = 0

  /// Reads "if=a of=b bs=1M count=2 skip=1".
  public init(_ words: [String]) throws {
    var seen = Set<String>()
    for word in words {
      guard let mark = word.firstIndex(of: "=") else {
        throw ImageUsageError("\(word): dd wants if= of= bs= count= skip=")
      }
      var name = String(word[..<mark])
      let value = String(word[word.index(after: mark)...])
      if name == "iskip" { name = "skip" }
      if !seen.insert(name).inserted { throw ImageUsageError("\(word): \(name)= is given twice") }
      func number() throws -> UInt64 {
        guard let number = ImageSize.parse(value) else {
          throw ImageUsageError("\(word): no number")
        }
        return number
      }
      switch name {
      case "if": input = value
      case "of": output = value
      case "bs":
        blockSize = try number()
        if blockSize == 0 || blockSize > 1 << 31 {
          throw ImageUsageError("\(word): 1 to 2147483648")
        }
      case "count": count = try number()
      case "skip": skip = try number()
      default: throw ImageUsageError("\(word): dd wants if= of= bs= count= skip=")
      }
    }
    if input.isEmpty || output.isEmpty { throw ImageUsageError("dd needs if= and of=") }
  }

  /// The bytes of a disk of this size that are meant.
  func region(of size: UInt64) throws -> Range<UInt64> {
    let (start, overflow) = skip.multipliedReportingOverflow(by: blockSize)
    if overflow || start >= size {
      throw StorageError(path: input, reason: "has \(size) bytes, and all of them are skipped")
    }
    guard let count else { return start..<size }
    let (length, long) = count.multipliedReportingOverflow(by: blockSize)
    if length == 0 && !long { throw ImageUsageError("count=0 leaves nothing to copy") }
    return start..<(long ? size : start + min(length, size - start))
  }
}

extension ImageOperations {
  /// Copies a part of a disk into a new image.
  public static func copyBlocks(
    _ words: CopyBlocksRequest, format: String? = nil, outputFormat: String = "raw",
    replaces: Bool = false, names: ImageFiles.Names = .beside, keys: DiskKeys? = nil,
    newKey: (any KeySource)? = nil, _ job: ImageJob = ImageJob()
  ) throws -> ConvertResult {
    let reference = ImageReference(words.input, format: format, names: names, keys: keys)
    let image = try DiskImage(reference, .reading)
    let region = try words.region(of: image.byteCount)
    image.close()
    var request = ConvertRequest(reference, to: words.output, format: outputFormat)
    request.region = region
    request.replaces = replaces
    request.newKey = newKey
    return try convert(request, job)
  }
}
