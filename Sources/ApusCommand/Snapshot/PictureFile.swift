// Pictures that commands write where they are told to.
//
// Owns: what may be replaced by one. Must not know: whose pictures they are.

import Host

enum PictureFile {
  private static let magic: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

  /// Writes a PNG. What is there already is replaced where it is one, too: who mistypes a name does not lose a disk.
  static func write(_ bytes: [UInt8], to path: String) throws {
    do throws(HostError) {
      if HostFiles.facts(path) != nil, try HostFiles.beginning(of: path, count: 8) != magic {
        throw HostError("exists, and is no picture (PNG)")
      }
      try HostFiles.writeAtomically(path, bytes)
    } catch { throw Failure.usage("--picture \(path): \(error)", file: path) }
  }
}
