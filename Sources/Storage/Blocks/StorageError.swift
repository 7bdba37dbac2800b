// Why something with an image failed.
//
// Owns: the error and its words. Must not know: who asked.

/// Why a block operation failed. The guest sees a device error; the host's user sees the text.
public struct StorageError: Error, CustomStringConvertible {
  /// The file concerned.
  public var path: String
  /// The byte offset in the file, where one is to blame.
  public var offset: UInt64?
  /// What was wrong.
  public var reason: String
  /// Whether it is only room that lacks: more of it helps.
  public var lacksRoom = false
  /// Whether nothing happened, and the same is to be asked again later: whoever runs the guest holds it still meanwhile.
  public var asksAgain = false
  /// Whether a new file was wanted where there is one of that name.
  public var nameIsTaken = false
  /// Whether there is no file of that name, and nothing else is wrong.
  public var isMissing = false
  /// What was asked for makes no sense, whatever the files are like.
  public var isUsage = false

  public init(path: String, offset: UInt64? = nil, reason: String, lacksRoom: Bool = false) {
    self.path = path
    self.offset = offset
    self.reason = reason
    self.lacksRoom = lacksRoom
  }

  /// There is no file of that name.
  static func missing(_ path: String) -> StorageError {
    var error = StorageError(path: path, reason: "there is no such file")
    error.isMissing = true
    return error
  }

  /// What was asked for makes no sense.
  static func usage(_ path: String, _ reason: String) -> StorageError {
    var error = StorageError(path: path, reason: reason)
    error.isUsage = true
    return error
  }

  public var description: String {
    offset.map { "\(path): at offset \($0): \(reason)" } ?? "\(path): \(reason)"
  }

  /// Runs something that hands out a pointer, whose closure could not throw this error by itself.
  public static func passing<Value>(_ body: (inout StorageError?) -> Value) throws(StorageError)
    -> Value
  {
    var failure: StorageError?
    let value = body(&failure)
    if let failure { throw failure }
    return value
  }
}
