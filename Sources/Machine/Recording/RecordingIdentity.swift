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
    // What the board is decides about the rest.
    let boards = (
      header.identity.first { $0.key == "board" }?.value, own.first { $0.key == "board" }?.value
    )
    if boards.0 != boards.1 {
      throw RecordingError(
        reason: words.difference("board", other: boards.0, own: boards.1))
    }
    for (key, value) in own {
      let drive = Machine.driveWords(key)
      guard let found = header.identity.first(where: { $0.key == key }) else {
        throw RecordingError(
          reason: drive.map {
            "recorded with nothing in \($0), where this machine has '\(imageName(key))': leave that out"
          } ?? words.difference(key, other: nil, own: value))
      }
      if found.value == value { continue }
      if let drive {
        let name = Machine.recordedName(drive, header)
        throw RecordingError(
          reason:
            "recorded with \(name) in \(drive) (\(found.value)); this machine has '\(imageName(key))' there "
            + "(\(value)): give the image as it was then")
      }
      throw RecordingError(reason: words.difference(key, other: found.value, own: value))
    }
    for (key, value) in header.identity where !own.contains(where: { $0.key == key }) {
      if let drive = Machine.driveWords(key) {
        throw RecordingError(
          reason:
            "recorded with \(Machine.recordedName(drive, header)) in \(drive) (\(value)), where this machine has "
            + "nothing: give that image too")
      }
      throw RecordingError(reason: words.difference(key, other: value, own: nil))
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
