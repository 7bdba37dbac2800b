// What a recording and a machine that is to repeat it must have in common, compared.
//
// Owns: the words for what differs. Must not know: what is compared (RecordingHashes.swift lists it), files.

import State

extension Machine {
  /// Compares what this machine depends on with what a recording says of the recorded one.
  /// - Throws: the first thing that differs, in one line.
  func compare(_ own: [(key: String, value: String)], with header: RecordingHeader)
    throws(RecordingError)
  {
    let words = IdentityWords(verb: "recorded")
    for key in IdentityWords.keys(own.map(\.key), header.identity.map(\.key)) {
      let found = header.identity.first { $0.key == key }?.value
      let value = own.first { $0.key == key }?.value
      if found == value { continue }
      guard let drive = Machine.driveWords(key) else {
        throw RecordingError(reason: words.difference(key, other: found, own: value))
      }
      let name = Machine.recordedName(drive, header)
      throw RecordingError(
        reason: found == nil
          ? "recorded with nothing in \(drive), where this machine has '\(imageName(key))': leave that out"
          : value == nil
            ? "recorded with \(name) in \(drive) (\(found ?? "")), where this machine has nothing: give that image too"
            : "recorded with \(name) in \(drive) (\(found ?? "")); this machine has '\(imageName(key))' there "
              + "(\(value ?? "")): give the image as it was then")
    }
  }

  /// The drive of a key as `recordingIdentity` has it ("floppy 1" is drive A), in words; nil: it is no drive's.
  private static func driveWords(_ key: String) -> String? {
    guard let (kind, number) = drive(key) else { return nil }
    return SavedMedium.words("medium-\(kind)\(number)")
  }

  private static func drive(_ key: String) -> (kind: String, index: Int)? {
    let parts = key.split(separator: " ")
    guard parts.count == 2, ["floppy", "disk", "cd", "flash"].contains(parts[0]),
      let number = Int(parts[1]),
      number > 0
    else { return nil }
    return (String(parts[0]), number - 1)
  }

  /// The file name of this machine's image.
  private func imageName(_ key: String) -> String {
    guard let (kind, index) = Machine.drive(key) else { return key }
    let disks =
      switch kind {
      case "floppy": floppyDisks
      case "disk": hardDisks
      case "flash": [flashDisk]
      default: discsByPlace
      }
    return disks.indices.contains(index) ? disks[index]?.name ?? "nothing" : "nothing"
  }

  /// The image that was recorded with, by its name where the recording has it.
  private static func recordedName(_ drive: String, _ header: RecordingHeader) -> String {
    header.notes.first { $0.key == drive }.map { "'\(StateError.printable($0.value))'" }
      ?? "another image"
  }
}
