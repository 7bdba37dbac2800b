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

  @Test func demoFloppyIsBootable() {
    #expect(FirmwareImages.demoFloppy.count == 1_474_560)
    #expect(FirmwareImages.demoFloppy[510..<512] == [0x55, 0xAA])
  }

  @Test(arguments: [
    "data_area", "keyboard", "keyboard_lamps", "floppy", "floppy_tracks", "floppy_size", "disk",
    "flags", "v86", "config_port", "system", "clock", "mouse", "serial", "video_text",
    "video_graphics",
  ])
  func biosTestsAreBootable(name: String) throws {
    let assembled = try #require(TestROMs.bios[name])
    let image = assembled()
    #expect(image.count == 1_474_560)
    #expect(image[510..<512] == [0x55, 0xAA])
  }
}
