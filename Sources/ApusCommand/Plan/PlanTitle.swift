// What a window's title names.
//
// Owns: the choice among what a machine was given. Must not know: windows.

import Machine
import Session

extension Plan {
  /// What a window's title names: the kernel, else the first image in the order of booting, else any; and the drive that it is in, if it
  /// can be changed.
  var subject: (name: String?, place: MachineWindow.SubjectPlace?) {
    func last(_ path: String) -> String { String(path.split(separator: "/").last ?? "") }
    if let kernel = configuration.kernel { return (last(kernel.kernel.path), nil) }
    let devices = configuration.bootOrder + [.floppy, .disk, .cd]
    for device in devices {
      switch device {
      case .floppy:
        if let image = configuration.floppies[0] { return (last(image.name), .floppy(0)) }
      case .disk:
        if let image = configuration.disks.lazy.compactMap({ $0 }).first {
          return (last(image.name), nil)
        }
      case .cd:
        for (n, contents) in configuration.cds.lazy.compactMap({ $0 }).enumerated() {
          if case .disc(let image) = contents { return (last(image.name), .cd(n)) }
        }
      case .network: break
      }
    }
    if let image = configuration.floppies[1] { return (last(image.name), .floppy(1)) }
    // All drives are empty: what will be put into one of them.
    return (nil, configuration.cds.contains { $0 != nil } ? .cd(0) : .floppy(0))
  }
}
