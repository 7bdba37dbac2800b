// Files that a key of the window's makes: screenshots, states.
//
// Owns: their names, what is said of them. Must not know: what is in them.

import Host

/// Files named by numbers.
public enum NumberedFile {
  /// Writes a file under the first name that is free: `apus-1`, `apus-2` and so on.
  /// - Returns: one line for the user: where it is, or why it is not there.
  public static func save(_ bytes: [UInt8], in directory: String, suffix: String) -> String {
    for number in 1...9999 {
      let path = "\(directory)/apus-\(number).\(suffix)"
      if HostFiles.exists(path) { continue }
      do { try HostFiles.writeAtomically(path, bytes) } catch {
        return "not saved: \(path): \(error)"
      }
      return "saved \(path)"
    }
    return "not saved: \(directory) has 9999 files apus-N.\(suffix)"
  }
}
