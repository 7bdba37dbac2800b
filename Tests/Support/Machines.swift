// The machines that tests run.
//
// Owns: the small machine all of them begin with. Must not know: guests.

import Machine

extension MachineConfiguration {
  /// A machine of 2 MB whose guest may end the run by port F4h.
  /// - Parameter code: what a floppy in drive A boots; nil: the drive is empty.
  public static func small(booting code: [UInt8]? = nil) -> MachineConfiguration {
    small(floppy: code.map { bootFloppy($0) })
  }

  /// The same with the image of a floppy.
  public static func small(floppy image: [UInt8]?, name: String = "test") -> MachineConfiguration {
    var configuration = MachineConfiguration()
    configuration.memoryMegabytes = 2
    configuration.exitPort = 0xF4
    if let image { configuration.floppies[0] = MachineImage(floppy: image, name: name) }
    return configuration
  }

  /// The same with something different.
  public static func small(
    booting code: [UInt8]? = nil, _ change: (inout MachineConfiguration) throws -> Void
  ) rethrows -> MachineConfiguration {
    var configuration = small(booting: code)
    try change(&configuration)
    return configuration
  }

  /// The same with the image of a floppy.
  public static func small(
    floppy image: [UInt8]?, name: String = "test",
    _ change: (inout MachineConfiguration) throws -> Void
  ) rethrows -> MachineConfiguration {
    var configuration = small(floppy: image, name: name)
    try change(&configuration)
    return configuration
  }
}
