// Expectations from the 8259A data sheet.

import Bus
import Testing

@testable import Chipset

@Suite struct PICTests {
  @Test func vectorsAndPriorityOfBothChips() {
    let board = Board()
    board.initialisePICs()
    let pic = board.pic
    pic.irq(12).set(true)
    pic.irq(4).set(true)
    #expect(pic.output.level)
    // The cascade is input 2, so the slave comes before IRQ 4.
    #expect(pic.acknowledge() == 0x74)
    #expect(!pic.output.level)
    pic.irq(1).set(true)
    #expect(pic.output.level)
    #expect(pic.acknowledge() == 0x09)
    board.out(0x20, 0x20)
    #expect(!pic.output.level)
    board.out(0xA0, 0x20)
    board.out(0x20, 0x20)
    #expect(pic.acknowledge() == 0x0C)
  }

  @Test func irq2IsIRQ9() {
    let board = Board()
    board.initialisePICs()
    #expect(board.pic.irq(2) === board.pic.irq(9))
    board.pic.irq(2).set(true)
    #expect(board.pic.acknowledge() == 0x71)
  }

  @Test func anEdgeInputRequestsOncePerEdge() {
    let board = Board()
    board.initialisePICs()
    board.pic.irq(3).set(true)
    _ = board.pic.acknowledge()
    board.out(0x20, 0x20)
    #expect(!board.pic.output.level)
    board.pic.irq(3).set(false)
    board.pic.irq(3).set(true)
    #expect(board.pic.output.level)
  }

  @Test func aRequestThatGoesAwayIsSpurious() {
    let board = Board()
    board.initialisePICs()
    board.pic.irq(5).set(true)
    board.pic.irq(5).set(false)
    #expect(!board.pic.output.level)
    #expect(board.pic.acknowledge() == 0x0F)
    board.out(0x20, 0x0B)
    #expect(board.in(0x20) == 0)
  }

  @Test func aMaskedSlaveGivesSpuriousIRQ15AndTheMasterIsInService() {
    let board = Board()
    board.initialisePICs()
    // Make the master see a request of its input 2 that the slave withdraws within INTA: the slave in poll mode takes it first.
    board.pic.irq(14).set(true)
    board.out(0x21, 0x00)
    board.out(0xA0, 0x0C)
    #expect(board.in(0xA0) == 0x86)
    #expect(!board.pic.output.level)
    #expect(board.pic.acknowledge() == 0x0F)
  }

  @Test func levelInputsFollowTheELCR() {
    let board = Board()
    board.initialisePICs()
    board.out(0x4D0, 0xFF)
    board.out(0x4D1, 0xFF)
    #expect(board.in(0x4D0) == 0xF8)
    #expect(board.in(0x4D1) == 0xDE)
    board.pic.irq(11).set(true)
    #expect(board.pic.acknowledge() == 0x73)
    board.out(0xA0, 0x20)
    board.out(0x20, 0x20)
    // Still high: requested again.
    #expect(board.pic.output.level)
    board.pic.irq(11).set(false)
    #expect(!board.pic.output.level)
  }

  @Test func maskHoldsARequestBack() {
    let board = Board()
    board.initialisePICs()
    board.out(0x21, 0x10)
    board.pic.irq(4).set(true)
    #expect(!board.pic.output.level)
    #expect(board.in(0x20) == 0x10)
    #expect(board.in(0x21) == 0x10)
    board.out(0x21, 0x00)
    #expect(board.pic.acknowledge() == 0x0C)
  }

  @Test func automaticEOILeavesNothingInService() {
    let board = Board()
    board.initialisePICs(icw4: 0x03)
    board.pic.irq(6).set(true)
    #expect(board.pic.acknowledge() == 0x0E)
    board.out(0x20, 0x0B)
    #expect(board.in(0x20) == 0)
    board.pic.irq(7).set(true)
    #expect(board.pic.acknowledge() == 0x0F)
  }

  @Test func rotationInAutomaticEOIMode() {
    let board = Board()
    board.initialisePICs(icw4: 0x03)
    board.out(0x20, 0x80)
    board.pic.irq(3).set(true)
    #expect(board.pic.acknowledge() == 0x0B)
    // 3 has the lowest priority now, so 4 goes before 0.
    board.pic.irq(4).set(true)
    board.pic.irq(1).set(true)
    #expect(board.pic.acknowledge() == 0x0C)
    board.out(0x20, 0x00)
    #expect(board.pic.acknowledge() == 0x09)
  }

  @Test func rotateOnNonSpecificEOI() {
    let board = Board()
    board.initialisePICs()
    board.pic.irq(4).set(true)
    #expect(board.pic.acknowledge() == 0x0C)
    board.out(0x20, 0xA0)
    board.pic.irq(0).set(true)
    board.pic.irq(6).set(true)
    #expect(board.pic.acknowledge() == 0x0E)
  }

  @Test func rotateOnSpecificEOIAndSetPriority() {
    let board = Board()
    board.initialisePICs()
    board.pic.irq(4).set(true)
    _ = board.pic.acknowledge()
    board.out(0x20, 0xE4)
    board.pic.irq(5).set(true)
    board.pic.irq(3).set(true)
    #expect(board.pic.acknowledge() == 0x0D)
    board.out(0x20, 0x65)
    // Lowest: 2, so 3 is the highest.
    board.out(0x20, 0xC2)
    board.pic.irq(0).set(true)
    #expect(board.pic.acknowledge() == 0x0B)
  }

  @Test func specificEOIEndsOnlyItsLevel() {
    let board = Board()
    board.initialisePICs()
    board.pic.irq(5).set(true)
    _ = board.pic.acknowledge()
    board.pic.irq(1).set(true)
    _ = board.pic.acknowledge()
    board.out(0x20, 0x65)
    board.out(0x20, 0x0B)
    #expect(board.in(0x20) == 0x02)
    board.out(0x20, 0x0A)
    #expect(board.in(0x20) == 0x00)
  }

  @Test func specialMaskModeEnablesLowerLevels() {
    let board = Board()
    board.initialisePICs()
    board.pic.irq(3).set(true)
    _ = board.pic.acknowledge()
    board.pic.irq(6).set(true)
    #expect(!board.pic.output.level)
    board.out(0x21, 0x08)
    #expect(!board.pic.output.level)
    board.out(0x20, 0x68)
    #expect(board.pic.output.level)
    #expect(board.pic.acknowledge() == 0x0E)
    // A non-specific EOI does not clear the masked level.
    board.out(0x20, 0x20)
    board.out(0x20, 0x20)
    board.out(0x20, 0x0B)
    #expect(board.in(0x20) == 0x08)
    board.out(0x20, 0x48)
    #expect(!board.pic.output.level)
  }

  @Test func specialFullyNestedModeLetsTheSlaveNest() {
    for (icw4, nests) in [(UInt8(0x01), false), (0x11, true)] {
      let board = Board()
      board.initialisePICs(icw4: icw4)
      board.pic.irq(12).set(true)
      #expect(board.pic.acknowledge() == 0x74)
      board.pic.irq(8).set(true)
      #expect(board.pic.output.level == nests)
      if nests { #expect(board.pic.acknowledge() == 0x70) }
    }
  }

  @Test func pollTakesTheHighestRequest() {
    let board = Board()
    board.initialisePICs()
    board.out(0x20, 0x0C)
    #expect(board.in(0x20) & 0x80 == 0)
    board.pic.irq(6).set(true)
    board.out(0x20, 0x0C)
    #expect(board.in(0x20) == 0x86)
    board.out(0x20, 0x0B)
    #expect(board.in(0x20) == 0x40)
    #expect(!board.pic.output.level)
  }

  @Test func icw1ResetsTheEdgeSense() {
    let board = Board()
    board.initialisePICs()
    board.pic.irq(4).set(true)
    board.initialisePICs()
    #expect(!board.pic.output.level)
    #expect(board.in(0x20) == 0)
    board.pic.irq(4).set(false)
    board.pic.irq(4).set(true)
    #expect(board.pic.output.level)
  }

  @Test func nothingIsRequestedBeforeInitialisation() {
    let board = Board()
    board.pic.irq(4).set(true)
    #expect(!board.pic.output.level)
    board.out(0x20, 0x11)
    board.out(0x21, 0x20)
    #expect(!board.pic.output.level)
  }

  @Test func theSlaveRequestsAgainAfterItsEOI() {
    let board = Board()
    board.initialisePICs()
    board.pic.irq(14).set(true)
    board.pic.irq(15).set(true)
    #expect(board.pic.acknowledge() == 0x76)
    board.out(0xA0, 0x20)
    board.out(0x20, 0x20)
    #expect(board.pic.acknowledge() == 0x77)
  }

  @Test func aSharedLineIsHighWhileAnyDriverIs() {
    let board = Board()
    board.initialisePICs()
    let line = Line(board.pic.irq(5))
    let a = line.driver()
    let b = line.driver()
    a.set(true)
    b.set(true)
    a.set(false)
    #expect(board.pic.irq(5).level)
    b.set(false)
    #expect(!board.pic.irq(5).level)
  }
}
