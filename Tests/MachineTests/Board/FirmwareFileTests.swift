// What a machine tells its firmware. Expectations: QEMU's docs/specs/fw_cfg, DSP0134 (SMBIOS 2.4), SeaBIOS's Runtime_config page.

import Bus
import CPU
import Chipset
import Storage
import TestSupport
import Testing

@testable import Machine

@Suite struct FirmwareFileTests {
  private static let file = FirmwareFile(name: "opt/test", bytes: [1, 2, 3])

  /// A machine that nothing is run on; firmware's files make it have the device.
  private func machine(_ change: (inout MachineConfiguration) -> Void = { _ in }) throws -> Machine
  {
    try Machine(
      .small {
        $0.firmwareFiles = [FirmwareFileTests.file]
        change(&$0)
      })
  }

  private func item(_ number: UInt16, _ count: Int, of machine: Machine) -> [UInt8] {
    machine.ports.write(0x510, UInt32(number), width: 2)
    return (0..<count).map { _ in UInt8(machine.ports.read(0x511, width: 1)) }
  }

  private func big(_ bytes: some Collection<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }
  private func little(_ bytes: some Collection<UInt8>) -> Int { big(bytes.reversed()) }

  private func files(of machine: Machine) -> [String: [UInt8]] {
    let count = big(item(0x19, 4, of: machine))
    let directory = item(0x19, 4 + 64 * count, of: machine).dropFirst(4)
    var files: [String: [UInt8]] = [:]
    for n in 0..<count {
      let entry = Array(directory.dropFirst(64 * n).prefix(64))
      let name = String(decoding: entry[8...].prefix { $0 != 0 }, as: UTF8.self)
      files[name] = item(UInt16(big(entry[4..<6])), big(entry[0..<4]), of: machine)
    }
    return files
  }

  private func disk(_ name: String) -> MachineImage {
    MachineImage(
      name: name, device: MemoryImage(bytes: [UInt8](repeating: 0, count: 1 << 20), name: name),
      medium: .disk(
        physical: DiskGeometry.standard(sectorCount: 2048),
        translated: DiskGeometry.standard(sectorCount: 2048)))
  }

  /// SeaBIOS reads the translation of each of the four drives from CMOS 39h, two bits each: 0 none, 1 LBA-assisted.
  @Test func theTranslationOfAllFourDisksIsInCMOS() throws {
    func disk(_ sectors: UInt64) -> MachineImage {
      MachineImage(
        name: "disk\(sectors)",
        device: MemoryImage(bytes: [UInt8](repeating: 0, count: 1 << 20), name: "disk"),
        medium: .disk(
          physical: DiskGeometry.standard(sectorCount: sectors),
          translated: DiskGeometry.lbaAssisted(sectorCount: sectors)))
    }
    let (small, large) = (disk(61440), disk(8_388_608))
    // Its partition table says 16 heads and 63 sectors, as the drive does.
    var untranslated = large
    untranslated.medium = .disk(
      physical: DiskGeometry.standard(sectorCount: 8_388_608),
      translated: DiskGeometry(cylinders: 1024, heads: 16, sectors: 63))
    let cases: [(disks: [MachineImage?], byte: UInt8)] = [
      ([small, large, small, large], 0x44), ([large, nil, large, nil], 0x11),
      ([nil, untranslated, nil, large], 0x40), ([small, small, small, small], 0),
    ]
    for (disks, byte) in cases {
      let machine = try Machine(.small { $0.disks = disks })
      #expect(machine.cmos[0x39] == byte)
    }
  }

  @Test func onlyMachinesWhoseFirmwareMayAskHaveTheDevice() throws {
    let plain = try Machine(.small { $0.acpi = .off })
    #expect(plain.ports.owner(of: 0x511) == nil)
    // The tables go that way, too.
    #expect(try Machine(.small()).ports.owner(of: 0x511) == "fw-cfg")
    #expect(try machine().ports.owner(of: 0x511) == "fw-cfg")
  }

  @Test func numberedItemsTellOfTheMachine() throws {
    let machine = try machine()
    #expect(item(0, 5, of: machine) == Array("QEMU".utf8) + [0])
    // Ports and requests.
    #expect(item(1, 4, of: machine) == [3, 0, 0, 0])
    #expect(item(2, 16, of: machine) == [UInt8](repeating: 0, count: 16))
    #expect(little(item(3, 8, of: machine)) == 2 << 20)
    #expect(item(4, 2, of: machine) == [0, 0])
    #expect(item(5, 2, of: machine) == [1, 0])
    #expect(item(0x0F, 2, of: machine) == [1, 0])
    #expect(item(0x0D, 8, of: machine) == [UInt8](repeating: 0, count: 8))
    #expect(item(0x0E, 2, of: machine) == [0, 0])
    let offering = try self.machine { $0.offersBootMenu = true }
    #expect(item(0x0E, 2, of: offering) == [1, 0])
    #expect(files(of: offering)["etc/show-boot-menu"] == [1, 0])
  }

  @Test func filesOfTheMachineAndTheUserAreThere() throws {
    let files = try files(
      of: machine {
        $0.firmwareFiles.append(FirmwareFile(name: "etc/boot-menu-wait", bytes: [7, 0]))
      })
    #expect(files["opt/test"] == [1, 2, 3])
    #expect(files["etc/boot-menu-wait"] == [7, 0])
    // Base, size, type of RAM.
    let map = try #require(files["etc/e820"])
    #expect(map.count == 20)
    #expect(little(map[0..<8]) == 0)
    #expect(little(map[8..<16]) == 2 << 20)
    #expect(little(map[16..<20]) == 1)
    #expect(files["etc/system-states"]?.count == 6)
    #expect(files["etc/boot-fail-wait"] == [0xFF, 0xFF, 0xFF, 0xFF])
    let rom = try #require(files["vgaroms/vgabios.bin"])
    #expect(rom[0] == 0x55 && rom[1] == 0xAA)
    #expect(files["genroms/kernelboot.bin"] == nil)
  }

  @Test func ramAboveTheHoleIsTheRest() throws {
    let files = try files(of: machine { $0.memoryMegabytes = 5000 })
    let map = try #require(files["etc/e820"])
    #expect(map.count == 40)
    #expect(little(map[0..<8]) == 0 && little(map[8..<16]) == 3 << 30)
    #expect(little(map[20..<28]) == 4 << 30 && little(map[28..<36]) == (5000 - 3072) << 20)
  }

  @Test func aRequestMayBeAndReachAbove4GiB() throws {
    let machine = try machine { $0.memoryMegabytes = 4096 }
    let request: [UInt8] = [0, 0, 0, 0x0A, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0x30, 0]
    let memory = BusMasterView(machine.memory)
    request.withUnsafeBytes { memory.write(PhysicalAddress(1 << 32 + 0x2000), from: $0) }
    machine.ports.write(0x514, UInt32(1).byteSwapped, width: 4)
    machine.ports.write(0x518, UInt32(0x2000).byteSwapped, width: 4)
    var read = [UInt8](repeating: 0, count: 4)
    read.withUnsafeMutableBytes { memory.read(PhysicalAddress(1 << 32 + 0x3000), into: $0) }
    #expect(read == Array("QEMU".utf8))
  }

  @Test func theBootOrderNamesDevicesThatAreThere() throws {
    func order(_ change: (inout MachineConfiguration) -> Void) throws -> String {
      let bytes = try #require(try files(of: machine(change))["bootorder"])
      #expect(bytes.last == 0)
      return String(decoding: bytes.dropLast(), as: UTF8.self)
    }
    let floppies = "/pci@i0cf8/isa@1/fdc@03f0/floppy@0\n/pci@i0cf8/isa@1/fdc@03f0/floppy@1"
    #expect(try order { $0.bootOrder = [.floppy, .disk] } == floppies)
    #expect(
      try order {
        $0.bootOrder = [.disk, .floppy]
        $0.disks = [disk("one"), nil, nil, disk("two")]
      } == "/pci@i0cf8/ide@1,1/drive@0/disk@0\n/pci@i0cf8/ide@1,1/drive@1/disk@1\n" + floppies)
    #expect(
      try order {
        $0.firmwareFiles.append(FirmwareFile(name: "bootorder", bytes: Array("HALT\0".utf8)))
      } == "HALT")
  }

  @Test func impossibleNamesAreRefused() {
    for name in ["", String(repeating: "x", count: 56), "a\0b"] {
      #expect { try machine { $0.firmwareFiles = [FirmwareFile(name: name, bytes: [])] } } throws: {
        "\($0)".contains("a name has 1 to 55 bytes")
      }
    }
  }

  /// Walks the structures as DSP0134 says, and checks what the entry point says of them.
  @Test func managementTablesAreWellFormed() throws {
    for megabytes in [2, 64] {
      let files = try files(
        of: machine {
          $0.memoryMegabytes = megabytes
          $0.cpu = .pentium4
        })
      let tables = try #require(files["etc/smbios/smbios-tables"])
      let anchor = try #require(files["etc/smbios/smbios-anchor"])
      #expect(anchor.count == 0x1F)
      #expect(Array(anchor[0..<4]) == Array("_SM_".utf8))
      #expect(Array(anchor[5..<8]) == [0x1F, 2, 4])
      #expect(Array(anchor[0x10..<0x15]) == Array("_DMI_".utf8))
      #expect(little(anchor[0x16..<0x18]) == tables.count)
      #expect(anchor[0x1E] == 0x24)

      var at = 0
      var longest = 0
      var structures: [(type: UInt8, bytes: [UInt8], strings: [String])] = []
      while at < tables.count {
        let start = at
        let length = Int(tables[at + 1])
        #expect(length >= 4)
        let body = Array(tables[at..<at + length])
        at += length
        var strings: [String] = []
        while tables[at] != 0 {
          let text = tables[at...].prefix { $0 != 0 }
          strings.append(String(decoding: text, as: UTF8.self))
          at += text.count + 1
        }
        if strings.isEmpty { at += 1 }
        at += 1
        structures.append((body[0], body, strings))
        longest = max(longest, at - start)
      }
      #expect(at == tables.count)
      #expect(little(anchor[0x1C..<0x1E]) == structures.count)
      #expect(little(anchor[8..<10]) == longest)
      #expect(structures.map(\.type) == [1, 3, 4, 16, 17, 19, 32, 127])
      // Lengths of version 2.4.
      #expect(
        structures.map(\.bytes.count) == [0x1B, 0x15, 0x23, 0x0F, 0x1B, 0x0F, 0x0B, 0x04])
      #expect(Set(structures.map { little($0.bytes[2..<4]) }).count == structures.count)

      let processor = structures[2]
      #expect(processor.bytes[6] == 0xB2)
      #expect(little(processor.bytes[8..<12]) == 0x0F24)
      #expect(little(processor.bytes[0x16..<0x18]) == 2000)
      #expect(processor.strings == ["CPU 0", "Intel", "Intel(R) Pentium(R) 4 CPU 2.00GHz"])
      #expect(little(structures[3].bytes[7..<11]) == megabytes << 10)
      #expect(little(structures[4].bytes[0x0C..<0x0E]) == megabytes)
      #expect(little(structures[5].bytes[8..<12]) == megabytes << 10 - 1)
    }
  }

  @Test func aRequestReachesTheMachinesMemory() throws {
    let machine = try machine()
    // Select 0 and read 4 bytes to 3000h.
    let request: [UInt8] = [0, 0, 0, 0x0A, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0x30, 0]
    request.withUnsafeBytes { machine.memory.copyIn(0x2000, from: $0) }
    machine.ports.write(0x518, UInt32(0x2000).byteSwapped, width: 4)
    #expect(machine.memory.peek(0x3000, count: 4) == Array("QEMU".utf8))
    #expect(machine.memory.peek(0x2000, count: 4) == [0, 0, 0, 0])
  }

  @Test func statesBelongToTheirFiles() throws {
    let machine = try machine()
    machine.ports.write(0x510, 0x20, width: 2)
    _ = machine.ports.read(0x511, width: 1)
    let again = try self.machine()
    try again.restoreState(machine.saveState())
    #expect(again.stateHash() == machine.stateHash())
    #expect {
      try self.machine { $0.firmwareFiles[0].bytes = [9] }.restoreState(machine.saveState())
    } throws: { "\($0)".contains("the file 'opt/test'") }
  }
}
