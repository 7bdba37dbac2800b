// The image below another, by the names and the identifier that the upper one has of it.
//
// Owns: trying the names; which identifier an open image has. Must not know: how a format writes names down.

enum ParentFinder {
  /// The first of some names that can be opened.
  /// - Returns: nil when there are no names.
  /// - Throws: what is wrong with the first, when none can.
  static func find(_ names: [String], _ store: any ByteStore, _ context: ImageContext)
    throws(StorageError) -> (any BlockDevice)?
  {
    var failure: StorageError?
    for name in names.prefix(8) {
      do throws(StorageError) { return try context.base(named: name) } catch {
        if failure == nil { failure = error }
      }
    }
    if let failure { throw failure }
    return nil
  }

  /// What another image names this one by; nil: its format has nothing.
  static func identity(of device: any BlockDevice) -> GUID? {
    ((device as? MappedImage)?.map as? any IdentifiedMap)?.uniqueID
  }

  /// What tells whether it was written since another image was made above it.
  static func changeIdentity(of device: any BlockDevice) -> GUID? {
    ((device as? MappedImage)?.map as? any IdentifiedMap)?.changeID
  }
}

/// A map of an image that has a UUID.
protocol IdentifiedMap: BlockMap {
  var uniqueID: GUID { get }
  /// Another one each time that somebody begins to write; nil: the format has nothing like that.
  var changeID: GUID? { get }
}

/// A map of an image with an identifier that is another one each time that somebody begins to write.
protocol ChangeMarkingMap: BlockMap {
  /// It stays as it is.
  var keepsIdentifier: Bool { get set }
}

extension MappedImage: CommittedDevice {
  func keepIdentifier() { (map as? any ChangeMarkingMap)?.keepsIdentifier = true }
}

extension IdentifiedMap {
  var changeID: GUID? { nil }
}

extension VHDMap: IdentifiedMap {}
