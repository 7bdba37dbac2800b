// What is in the drives now, for whoever makes another machine of the same.
//
// Owns: the list, having others use the files. Must not know: who asks.

import CPU
import Chipset
import Storage

/// What is in a drive.
public struct PresentMedium {
  /// The drive's name: "floppy0", "disk1", "cd2", "flash".
  public var drive: String
  /// The image's, as it was given.
  public var name: String
  public var persistence: BlockPersistence
  public var isReadOnly: Bool
  public var blockSize: Int
  public var blockCount: UInt64
  /// Of a hard disk: what it reports, and what the BIOS shows.
  public var geometry: (physical: DiskGeometry, translated: DiskGeometry)?
  /// Of a hard disk and flash memory in a file that is written: notes what is written.
  public var undo: UndoDevice?
  /// As it is in the drive.
  public var device: any BlockDevice

  /// Whether the guest's writes go to a file.
  public var isWritten: Bool { persistence == .file && !isReadOnly }
}

extension Machine {
  /// What is in the drives.
  public var presentMedia: [PresentMedium] {
    media.map { section, disk in
      let drive = String(section.dropFirst("medium-".count))
      var medium = PresentMedium(
        drive: drive, name: disk.name, persistence: disk.persistence, isReadOnly: disk.isReadOnly,
        blockSize: disk.blockSize, blockCount: disk.blockCount, device: disk.original)
      var image: MachineImage?
      if drive == "flash" {
        image = configuration.flash
      } else if drive.hasPrefix("disk"), let number = Int(drive.dropFirst(4)),
        configuration.disks.indices.contains(number)
      {
        image = configuration.disks[number]
      }
      medium.undo = image?.undo
      if case .disk(let physical, let translated)? = image?.medium {
        medium.geometry = (physical, translated)
      }
      return medium
    }
  }

  /// The CD drives by their places, with what is in them; nil: nothing.
  public var presentDiscs: [(place: Int, name: String?)] {
    configuration.cds.indices.compactMap { place in
      guard configuration.cds[place] != nil else { return nil }
      return (place, media.first { $0.0 == "medium-cd\(place)" }?.1.name)
    }
  }

  /// The floppy drives, A first, with what is in them; nil: nothing.
  public var presentFloppies: [(type: FloppyDriveType?, name: String?)] {
    configuration.floppies.indices.map { drive in
      (
        configuration.floppyTypes[drive],
        media.first { $0.0 == "medium-floppy\(drive)" }?.1.name
      )
    }
  }

  /// What the drives' files hold is to be read anew: they have come into them only now.
  public func imageFilesHaveCome() { board.first(Flash.self)?.reload() }

  /// Begins to note which pages are written, for somebody who moves the machine.
  /// - Parameter body: is told the pages written since the last time.
  public func takePagesForMoving(_ body: (Int) -> Void) { cpu.takeWrittenPages(.migration, body) }

  /// The contents of a page. Also while the machine runs: then it may be half of before and half of after a write, which is noted.
  public func contents(ofPage page: Int) -> UnsafeRawBufferPointer { memory.page(page) }

  /// As many pages as the memory has, with what lies between its parts.
  public var pageCount: Int { memory.pageCount }

  /// Everything but memory and what is on image files, at this instruction.
  public func headForMoving() -> [UInt8] { captureHead() }
}
