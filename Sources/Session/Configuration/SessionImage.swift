// An image for a drive, as a value: named, not opened.
//
// Owns: which contents, how they may be written, opening them. Must not know: how an image's kind is found out, controllers.

import FirmwareImages
import Machine
import Storage

/// A drive of the machine.
public enum SessionDrive: Hashable, Sendable, CustomStringConvertible {
  /// A floppy drive, 0 is A.
  case floppy(Int)
  /// A hard disk: 0 and 1 are master and slave of the primary channel, 2 and 3 of the secondary one.
  case disk(Int)
  /// A CD/DVD drive at one of the places of `disk`.
  case cd(Int)

  public var description: String {
    switch self {
    case .floppy(let index): "drive \(index == 0 ? "A" : "B")"
    case .disk(let index): "hard disk \(index + 1)"
    case .cd(let index):
      "the CD drive (\(index < 2 ? "primary" : "secondary") \(index & 1 == 0 ? "master" : "slave"))"
    }
  }
}

/// An image for a drive.
public struct SessionImage: Equatable, Sendable {
  /// What becomes of the guest's writes.
  public enum Mode: Equatable, Sendable {
    /// They go to the file.
    case write
    /// The guest sees a write-protected medium.
    case protected
    /// They stay in memory and are part of the machine's state; the file is not touched.
    case snapshot
  }

  enum Contents: Equatable, Sendable {
    case file(String)
    case memory([UInt8])
  }

  let contents: Contents
  /// The file's name, or what messages call it.
  public let name: String
  public let mode: Mode

  /// An image file.
  public static func file(_ path: String, _ mode: Mode = .write) -> SessionImage {
    SessionImage(contents: .file(path), name: path, mode: mode)
  }

  /// A floppy in memory, of the size of a floppy. What is written to it is part of the machine's state.
  public static func floppy(_ bytes: [UInt8], name: String) -> SessionImage {
    SessionImage(contents: .memory(bytes), name: name, mode: .snapshot)
  }

  /// The floppy that Apus boots when it is given nothing else.
  public static var demoDisk: SessionImage {
    .floppy(FirmwareImages.demoFloppy, name: "demo disk")
  }

  /// The file that must stay as it is or is written, if there is one.
  var path: String? {
    if case .file(let path) = contents { path } else { nil }
  }

  /// Opens it.
  /// - Throws: `SessionError` in one line.
  func open(for drive: SessionDrive) throws(SessionError) -> MachineImage {
    switch contents {
    case .file(let path):
      var kind = ImageKind.floppy
      if case .disk = drive { kind = .disk }
      if case .cd = drive { kind = .cd }
      do throws(StorageError) {
        return MachineImage(
          try ImageOpener.open(
            path: path, kind: kind, readOnly: mode == .protected, snapshot: mode == .snapshot))
      } catch {
        throw SessionError(.image, "\(error)", file: path)
      }
    case .memory(let bytes):
      guard case .floppy = drive else {
        throw SessionError(.configuration, "\(name): a floppy does not go into \(drive)")
      }
      guard let image = MachineImage(floppy: bytes, name: name) else {
        throw SessionError(
          .configuration, "\(name): no floppy has \(bytes.count) bytes")
      }
      return image
    }
  }
}
