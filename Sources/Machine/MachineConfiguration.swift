// What a machine is made of, as values.
//
// Owns: the choices, their ranges and defaults. Must not know: how they are written on a command line.

import CPU
import Chipset
import Host
import Storage
import Translator
import TranslatorX86_64
import Video

/// A device to boot from. The raw value is its letter on a command line.
public enum BootDevice: String, Sendable, CaseIterable {
  case floppy = "a"
  case disk = "c"
  case cd = "d"
  /// What an option ROM boots from.
  case network = "n"
}

/// An image in a drive. The device belongs to the one machine that it is given to, on whatever thread that runs.
public struct MachineImage: @unchecked Sendable {
  /// The name for messages.
  public var name: String
  /// The contents.
  public var device: any BlockDevice
  public var medium: OpenedImage.Medium
  /// What can keep clusters of a file before they are overwritten, for snapshots; nil: nothing is written to a file.
  public private(set) var undo: UndoDevice?

  public init(name: String, device: any BlockDevice, medium: OpenedImage.Medium) {
    self.name = name
    self.device = device
    self.medium = medium
  }

  public init(_ image: OpenedImage) {
    self.init(name: image.path, device: image.device, medium: image.medium)
  }

  /// The same with a thread beside it, for where the host's disk is slow.
  /// - Parameter writesBehind: whether writes to a hard disk count as done when the thread has them.
  public func beside(mode: QueuedDevice.Mode, writesBehind: Bool) -> MachineImage {
    if device is QueuedDevice { return self }
    var image = self
    if case .cd(let disc) = medium {
      image.device = disc.readAhead(device, mode: mode)
    } else {
      // The guest of a floppy drive learns at once of what the host refuses.
      var isFloppy = false
      if case .floppy = medium { isFloppy = true }
      var device = device
      if device.persistence == .file, !device.isReadOnly {
        let undo = UndoDevice(device)
        image.undo = undo
        device = undo
      }
      image.device = QueuedDevice(device, mode: mode, writesBehind: writesBehind && !isFloppy)
    }
    return image
  }

  /// A floppy in memory, writable; what is written is part of the machine's state.
  /// - Returns: nil when the size is no floppy's.
  public init?(floppy bytes: [UInt8], name: String) {
    guard let format = FloppyFormat.ofSize(UInt64(bytes.count)) else { return nil }
    self.init(
      name: name, device: MemoryImage(bytes: bytes, name: name), medium: .floppy(format))
  }
}

/// The display adapter of a board.
public enum DisplayAdapter: String, Sendable, CaseIterable {
  /// A VGA with Bochs' display interface.
  case std
  /// A Cirrus Logic CL-GD5446.
  case cirrus
  /// None; firmware and guest have the serial ports.
  case none

  /// Megabytes of memory that it can have; nil: it has none.
  public var memorySizes: [Int]? {
    switch self {
    case .std: VGA.standardSizes
    case .cirrus: VGA.cirrusSizes
    case .none: nil
    }
  }
}

/// A CD/DVD drive of the machine.
public enum CDDriveContents: Sendable {
  case empty
  case disc(MachineImage)
}

/// A ROM at a physical address.
public struct MachineROM: Sendable {
  public var file: LoadFile
  public var address: UInt32

  public init(file: LoadFile, address: UInt32) {
    self.file = file
    self.address = address
  }
}

/// Everything that decides how a machine behaves, apart from input.
public struct MachineConfiguration: Sendable {
  /// What becomes of accesses to hard disks that the host refuses.
  public var diskErrors = DiskErrorPolicy.full
  /// Who does what the host's disks have to do for hard disks. Nothing of it shows in the guest.
  public var diskThreads = QueuedDevice.Mode.adaptive
  /// Megabytes of RAM, 1 to 16384.
  public var memoryMegabytes = 64

  /// What the RAM begins with, of a machine that goes on from a template (`Machine.becomeTemplate`); nil: zeros.
  public var memorySource: MemorySource?

  /// Where the RAM is: all below 4 GiB while E0000000h to FFFFFFFFh stay free for devices and firmware; of more, 3 GiB below and the
  /// rest from 4 GiB on (as QEMU's `pc` has it, with 1 GiB of addresses for PCI).
  public var memoryLayout: RAMLayout {
    let size = UInt64(max(memoryMegabytes, 0)) << 20
    return size <= 0xE000_0000
      ? RAMLayout(low: size) : RAMLayout(low: 0xC000_0000, high: size - 0xC000_0000)
  }
  /// Why a machine cannot have so much memory; nil: it can.
  public var memoryObstacle: String? {
    guard (1...16384).contains(memoryMegabytes) else {
      return "a machine has 1 to 16384 MB of memory (16G)"
    }
    if memoryLayout.high > 0, cpu.features.isDisjoint(with: [.pae, .pse36]) {
      return
        "the \(cpu.name) has 32 address lines and reaches what lies below 4 GB, of which memory can be 3584 MB (3.5 GB); "
        + "pentium2 and later reach more"
    }
    return nil
  }
  /// Of the processors whose socket does not say another.
  public var cpu = CPUModel.pentium2
  /// How many processors there are, 1 to `mostProcessors`, where the board's description does not say it.
  public var processorCount = 1
  /// How many processors of a model work together: as many as have APIC numbers, of 4 bits with one for the I/O APIC before the
  /// Pentium 4 (Intel MultiProcessor Specification 1.4; SDM volume 3, "Local APIC ID").
  public static func mostProcessors(of model: CPUModel) -> Int {
    !model.features.contains(.apic) ? 1 : model.features.contains(.sse2) ? 16 : 14
  }
  /// What executes the guest's instructions.
  public var engine = Translator.obstacle == nil ? Engine.translator : Engine.interpreter
  /// What the translator may do.
  public var translatorOptions = TranslatorOptions.all
  /// What carries out x87 instructions; nil: what the engine does best.
  public var fpu: FPUUnit?
  /// Another system BIOS than the built-in one: 64, 128 or 256 KiB, or firmware of the sizes of `FirmwareSize.large`.
  public var bios: LoadFile?
  /// The flash memory below it.
  public var flash: MachineImage?
  /// The display adapter; nil: what suits the board.
  public var adapter: DisplayAdapter?
  /// Megabytes of video memory; nil: what is usual for the adapter.
  public var videoMegabytes: Int?
  /// Another video BIOS than the built-in one: up to 64 KiB.
  public var vgaBIOS: LoadFile?
  /// Files that firmware can ask for, besides those that tell of the machine, or in the place of one of these.
  public var firmwareFiles: [FirmwareFile] = []
  /// Further ROMs.
  public var roms: [MachineROM] = []
  /// The board's floppy drives, A first.
  public var floppies: [MachineImage?] = [nil, nil]
  /// What the floppy drives are; nil: what suits the image, and without one a 1.44 MB drive as A and none as B.
  public var floppyTypes: [FloppyDriveType?] = [nil, nil]
  /// The board's hard disks: primary master and slave, secondary master and slave.
  public var disks: [MachineImage?] = [nil, nil, nil, nil]
  /// The board's CD/DVD drives, at the places of `disks`; nil: none there.
  public var cds: [CDDriveContents?] = [nil, nil, nil, nil]
  /// What the BIOS tries, first things first.
  public var bootOrder: [BootDevice] = [.floppy, .disk, .cd, .network]
  /// The BIOS waits a second of virtual time for a key that opens its boot menu, of the own one F12.
  public var offersBootMenu = false
  /// How many serial ports there are, 1 to 4.
  public var serialPorts = 2
  /// How many instructions make a virtual second.
  public var instructionsPerSecond: UInt64 = 100_000_000
  /// What a disk command that moves sectors takes at least, in virtual nanoseconds: 0 to `mostDiskLatency`.
  public var diskLatency = IDEDrive.defaultLatency
  /// A second.
  public static let mostDiskLatency: UInt64 = 1_000_000_000
  /// What the guest's clock shows at power-on, in seconds since 1970-01-01 00:00. The default is 2000-01-01.
  public var initialTime: Int64 = 946_684_800
  /// The port by which the guest ends the run with a code of its own, or nil.
  public var exitPort: UInt16?
  /// Whether there is the device that kvm-unit-tests expect.
  public var testDevice = false
  /// What the machine is built on, a name of `BoardDescription.boards`; nil: what suits `cpu`.
  public var board: String?
  /// Another description than that of `board`, as text.
  public var boardText: String?
  /// What the machine tells of itself by ACPI; nil: what suits `cpu`.
  public var acpi: ACPIRevision?
  /// Parts besides those of the board, each as `PartCatalogue.add` reads it.
  public var parts: [String] = []
  /// A kernel to be started in place of a boot sector.
  public var kernel: KernelConfiguration?
  /// A triple fault resets the machine, as PCs do, instead of ending the run with a report.
  public var resetsOnTripleFault = false
  /// Writes to disks that are put in later go nowhere.
  public var keepsWritesInMemory = false
  /// What the codes of characters mean that are typed with Alt and the keypad.
  public var codePage = TypedText.CodePage.cp437
  /// Whether input is kept with the instruction it was taken at.
  public var recordsInput = false

  public init() {}

  /// The name of the board: one with PCI from the Pentium on.
  public var boardName: String { board ?? (cpu.features.contains(.tsc) ? "pc" : "isa") }

  /// The display adapter, where the board leaves the choice: one that systems of its time have drivers for, if there is PCI.
  public var display: DisplayAdapter {
    get { adapter ?? (boardText == nil && boardName == "pc" ? .cirrus : .std) }
    set { adapter = newValue }
  }

  /// What it tells by ACPI: tables from the P6 on, as boards for older processors came before the specification.
  public var acpiRevision: ACPIRevision {
    acpi ?? (cpu.features.contains(.p6) && (boardText != nil || boardName == "pc") ? .first : .off)
  }
}

/// A configuration that makes no machine.
public struct ConfigurationError: Error, CustomStringConvertible {
  public var reason: String
  public init(_ reason: String) { self.reason = reason }
  public var description: String { reason }
}
