// Disks that are changed while a machine runs, on the host's side.
//
// Owns: opening their images as the command line's others were, and closing them when they are out. Must not know: what asks for a change.

import Host
import Machine
import Storage

/// The images of a session's drives. The machine's thread changes them; whoever ends the session looks at them afterwards.
final class FloppyChanges: @unchecked Sendable {
  private let lock = HostCondition()
  private var images: [String: OpenedImage]
  /// Images that no floppy may be.
  private let others: [String]
  private let keepsOff: Bool

  /// - Parameters:
  ///   - images: those open already.
  ///   - keepsOff: files are not written.
  init(_ images: [OpenedImage], keepsOff: Bool) {
    others = images.compactMap {
      if case .floppy = $0.medium { nil } else { $0.path }
    }
    self.images = Dictionary(images.map { ($0.path, $0) }, uniquingKeysWith: { a, _ in a })
    self.keepsOff = keepsOff
  }

  /// Opens a floppy's image.
  func open(_ path: String) throws -> MachineImage {
    for other in others where !keepsOff && HostFiles.isSame(path, other) {
      throw HostError("\(path): is a hard disk of this machine")
    }
    for other in lock.locked({ images.keys.sorted() })
    where other != path && !keepsOff && HostFiles.isSame(path, other) {
      throw HostError("\(path): is in a drive already, as \(other)")
    }
    let image = try ImageOpener.open(path: path, kind: .floppy, snapshot: keepsOff)
    lock.locked { images[path] = image }
    return MachineImage(image)
  }

  /// An image is in no drive any more: it is its owner's again.
  func close(_ path: String) { lock.locked { images[path] = nil } }

  /// Every image that is open.
  var open: [OpenedImage] { lock.locked { images.values.sorted { $0.path < $1.path } } }
}
