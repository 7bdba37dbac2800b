// The images the build plugin made: their sizes and the marks that make them what they are.

import FirmwareImages
import Testing

@Suite struct FirmwareImagesTests {
  @Test func systemBIOSFillsItsWindow() {
    #expect(FirmwareImages.bios.count == 65536)
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
}
