// The disk that boots when no image is given.

import FirmwareImages
import Machine

enum DemoDisk {
  /// The demo disk, writable in memory.
  static var image: MachineImage? {
    MachineImage(floppy: FirmwareImages.demoFloppy, name: "demo disk")
  }
}
