// The images the build plugin made: their sizes and the marks that make them what they are.

import FirmwareImages
import Testing

@Suite struct FirmwareImagesTests {
  @Test func systemBIOSFillsItsWindow() {
    #expect(FirmwareImages.bios.count == 65536)
  }

  /// The reset vector is a far jump to F000:E05B; FFFFEh holds the model byte of an AT.
  @Test func systemBIOSStartsWhereTheProcessorDoes() {
    #expect(FirmwareImages.bios[0xFFF0..<0xFFF5] == [0xEA, 0x5B, 0xE0, 0x00, 0xF0])
    #expect(FirmwareImages.bios[0xFFFE] == 0xFC)
  }

  /// Entry points from the PC/AT Technical Reference that programs jump to by address: each
  /// holds code, the last an IRET.
  @Test func systemBIOSKeepsItsEntryPoints() {
    let jumps = [
      0xE05B, 0xE2C3, 0xE3FE, 0xE6F2, 0xE739, 0xE82E, 0xE987, 0xEC59, 0xEF57, 0xEFD2, 0xF045,
      0xF065, 0xF841, 0xF84D, 0xF859, 0xFE6E, 0xFEA5, 0xFF54,
    ]
    for address in jumps { #expect(FirmwareImages.bios[address] == 0xE9) }
    #expect(FirmwareImages.bios[0xFF53] == 0xCF)
  }

  @Test func videoBIOSIsAnOptionROM() {
    #expect(FirmwareImages.vgaBIOS.count == 32768)
    #expect(FirmwareImages.vgaBIOS.prefix(3) == [0x55, 0xAA, 64])
    #expect(FirmwareImages.vgaBIOS.reduce(0, &+) == 0)
  }

  /// PCI local bus specification 2.1, 6.3.1: what firmware looks for in an expansion ROM.
  @Test func videoBIOSNamesItsAdapterForPCI() throws {
    for (rom, vendor, device) in [
      (FirmwareImages.vgaBIOSStandard, 0x1234, 0x1111),
      (FirmwareImages.vgaBIOSCirrus, 0x1013, 0xB8),
    ] {
      #expect(rom.count == 32768)
      #expect(rom.prefix(3) == [0x55, 0xAA, 64])
      #expect(rom.reduce(0, &+) == 0)
      func word(_ at: Int) -> Int { Int(rom[at]) | Int(rom[at + 1]) << 8 }
      let at = word(0x18)
      try #require(at + 24 <= rom.count && at & 3 == 0)
      #expect(rom[at..<at + 4].elementsEqual("PCIR".utf8))
      #expect(word(at + 4) == vendor && word(at + 6) == device)
      #expect(word(at + 10) == 24)
      #expect(rom[at + 13..<at + 16] == [0, 0, 3])
      #expect(word(at + 16) == 64)
      #expect(rom[at + 20] == 0 && rom[at + 21] == 0x80)
    }
    #expect(FirmwareImages.vgaBIOS[0x18...0x19] == [0, 0])
  }

  @Test func demoFloppyIsBootable() {
    #expect(FirmwareImages.demoFloppy.count == 1_474_560)
    #expect(FirmwareImages.demoFloppy[510..<512] == [0x55, 0xAA])
  }

  @Test(arguments: [
    "data_area", "keyboard", "keyboard_lamps", "floppy", "floppy_tracks", "floppy_size", "disk",
    "flags", "v86", "config_port", "system", "clock", "mouse", "serial", "video_text",
    "video_graphics", "vbe",
  ])
  func biosTestsAreBootable(name: String) throws {
    let assembled = try #require(TestROMs.bios[name])
    let image = assembled()
    #expect(image.count == 1_474_560)
    #expect(image[510..<512] == [0x55, 0xAA])
  }
}
