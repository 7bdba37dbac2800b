// Expectations from the IBM PS/2 Technical Reference (controller, keyboard, mouse).

import Bus
import State
import Testing

@testable import Chipset

@Suite struct KeyboardTests {
  /// Everything that can be read within some milliseconds, without the auxiliary bytes.
  private func drain(_ board: Board, _ milliseconds: Int = 40, aux: Bool = false) -> [UInt8] {
    var bytes: [UInt8] = []
    for _ in 0..<milliseconds {
      board.time.advance(1_000_000)
      let status = board.in(0x64)
      if status & 1 != 0 {
        let byte = board.in(0x60)
        if (status & 0x20 != 0) == aux { bytes.append(byte) }
      }
    }
    return bytes
  }

  /// A board whose controller passes codes on untranslated.
  private func raw() -> Board {
    let board = Board()
    board.out(0x64, 0x60)
    board.out(0x60, 0x05)
    return board
  }

  private func command(_ board: Board, _ bytes: UInt8...) -> [UInt8] {
    var answers: [UInt8] = []
    for byte in bytes {
      board.out(0x60, byte)
      answers += drain(board, 8)
    }
    return answers
  }

  private func mouse(_ board: Board, _ bytes: UInt8...) -> [UInt8] {
    var answers: [UInt8] = []
    for byte in bytes {
      board.out(0x64, 0xD4)
      board.out(0x60, byte)
      answers += drain(board, 12, aux: true)
    }
    return answers
  }

  @Test func controllerCommands() {
    let board = Board()
    #expect(board.in(0x64) == 0x10)
    board.out(0x64, 0xAA)
    #expect(board.in(0x64) & 0x0D == 0x0D)
    #expect(board.in(0x60) == 0x55)
    board.out(0x64, 0xAB)
    #expect(board.in(0x60) == 0x00)
    board.out(0x64, 0xA9)
    #expect(board.in(0x60) == 0x00)
    board.out(0x64, 0xA4)
    #expect(board.in(0x60) == 0xF1)
    board.out(0x64, 0xAD)
    board.out(0x64, 0xA7)
    board.out(0x64, 0x20)
    #expect(board.in(0x60) & 0x30 == 0x30)
    board.out(0x64, 0xAE)
    board.out(0x64, 0xA8)
    board.out(0x64, 0x20)
    #expect(board.in(0x60) & 0x30 == 0x00)
    board.out(0x64, 0x75)
    board.out(0x60, 0x99)
    board.out(0x64, 0x35)
    #expect(board.in(0x60) == 0x99)
    board.out(0x64, 0xD3)
    board.out(0x60, 0x42)
    #expect(board.in(0x64) & 0x21 == 0x21)
    #expect(board.in(0x60) == 0x42)
    board.out(0x64, 0xD2)
    board.out(0x60, 0x43)
    #expect(board.in(0x64) & 0x21 == 0x01)
    #expect(board.in(0x60) == 0x43)
  }

  @Test func a20IsOneLatchForTheControllerAndPort92() {
    let board = Board()
    #expect(board.gate.output.level)
    board.out(0x92, 0x02)
    board.out(0x64, 0xD1)
    board.out(0x60, 0xDD)
    #expect(!board.gate.output.level, "the controller closes what port 92h opened")
    #expect(board.in(0x92) & 0x02 == 0)
    board.out(0x92, 0x02)
    #expect(board.gate.output.level)
    board.out(0x64, 0xD0)
    #expect(board.in(0x60) & 0x02 == 0x02)
    board.out(0x64, 0xDF)
    board.out(0x92, 0x00)
    #expect(!board.gate.output.level, "and the other way round")
    board.out(0x64, 0xDF)
    #expect(board.gate.output.level)
    board.out(0x64, 0xDD)
    #expect(!board.gate.output.level)
  }

  @Test func resetPulses() {
    let board = Board()
    board.out(0x64, 0xFF)
    #expect(board.log.resets.isEmpty)
    board.out(0x64, 0xFE)
    board.out(0x64, 0xF0)
    board.out(0x64, 0xD1)
    board.out(0x60, 0xDE)
    board.out(0x92, 0x01)
    board.out(0x92, 0x01)
    #expect(board.log.resets == [ResetRequest](repeating: .processor, count: 5))
    board.log.resets = []
    board.out(0xCF9, 0x02)
    board.out(0xCF9, 0x06)
    board.out(0xCF9, 0x00)
    board.out(0xCF9, 0x04)
    #expect(board.log.resets == [.system, .processor])
    // The address register of PCI configuration lies around the reset control; boards without one lose what is written there.
    board.log.resets = []
    board.bus.write(0xCF8, 0x8000_0600, width: 4)
    board.bus.write(0xCF8, 0x0600, width: 2)
    #expect(board.log.resets.isEmpty)
  }

  @Test func aTranslatedKeyWithItsInterrupt() {
    let board = Board()
    board.initialisePICs()
    let keyboard = board.keyboardController.keyboard
    keyboard.key(.a, down: true)
    #expect(board.in(0x64) & 1 == 0)
    board.time.advance(1_000_000)
    #expect(board.pic.acknowledge() == 0x09)
    #expect(board.in(0x60) == 0x1E)
    #expect(!board.pic.irq(1).level)
    keyboard.key(.a, down: false)
    #expect(drain(board) == [0x9E])
    keyboard.key(.f7, down: true)
    keyboard.key(.f7, down: false)
    keyboard.key(.rightControl, down: true)
    keyboard.key(.rightControl, down: false)
    #expect(drain(board) == [0x41, 0xC1, 0xE0, 0x1D, 0xE0, 0x9D])
  }

  @Test func translatedCodesAreThoseOfSet1() {
    for key in Key.allCases {
      let translated = Board()
      let native = raw()
      _ = command(native, 0xF0, 0x01)
      for board in [translated, native] {
        board.keyboardController.keyboard.key(key, down: true)
        board.keyboardController.keyboard.key(key, down: false)
      }
      let codes = drain(translated, 30)
      #expect(codes == drain(native, 30))
      #expect(!codes.isEmpty)
    }
  }

  @Test func longSequences() {
    let board = raw()
    let keyboard = board.keyboardController.keyboard
    func tap(_ key: Key) -> [UInt8] {
      keyboard.key(key, down: true)
      keyboard.key(key, down: false)
      return drain(board)
    }
    #expect(tap(.pause) == [0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77])
    #expect(
      tap(.printScreen) == [
        0xE0, 0x12, 0xE0, 0x7C, 0xE0, 0xF0, 0x7C, 0xE0, 0xF0, 0x12,
      ])
    keyboard.key(.leftControl, down: true)
    #expect(drain(board) == [0x14])
    #expect(tap(.pause) == [0xE0, 0x7E, 0xE0, 0xF0, 0x7E])
    #expect(tap(.printScreen) == [0xE0, 0x7C, 0xE0, 0xF0, 0x7C])
    keyboard.key(.leftControl, down: false)
    keyboard.key(.leftAlt, down: true)
    #expect(drain(board) == [0xF0, 0x14, 0x11])
    #expect(tap(.printScreen) == [0x84, 0xF0, 0x84])
    keyboard.releaseAll()
    #expect(drain(board) == [0xF0, 0x11])
    // Feigned Shift around the grey keys.
    keyboard.key(.leftShift, down: true)
    #expect(drain(board) == [0x12])
    #expect(tap(.home) == [0xE0, 0xF0, 0x12, 0xE0, 0x6C, 0xE0, 0xF0, 0x6C, 0xE0, 0x12])
    keyboard.key(.leftShift, down: false)
    _ = drain(board)
    #expect(command(board, 0xED, 0x02) == [0xFA, 0xFA])
    #expect(keyboard.leds == 2)
    #expect(tap(.up) == [0xE0, 0x12, 0xE0, 0x75, 0xE0, 0xF0, 0x75, 0xE0, 0xF0, 0x12])
  }

  @Test func keyboardCommands() {
    let board = raw()
    #expect(command(board, 0xEE) == [0xEE])
    #expect(command(board, 0xF2) == [0xFA, 0xAB, 0x83])
    #expect(command(board, 0xF0, 0x00) == [0xFA, 0xFA, 0x02])
    #expect(command(board, 0xF0, 0x03) == [0xFA, 0xFA])
    #expect(command(board, 0xF0, 0x00) == [0xFA, 0xFA, 0x03])
    #expect(command(board, 0xFE) == [0x03])
    #expect(command(board, 0xEF) == [0xFE])
    board.out(0x60, 0xFF)
    #expect(drain(board, 4) == [0xFA])
    #expect(drain(board, 40) == [0xAA])
    #expect(command(board, 0xF0, 0x00) == [0xFA, 0xFA, 0x02])
    // F5 stops scanning, F4 starts it.
    #expect(command(board, 0xF5) == [0xFA])
    board.keyboardController.keyboard.key(.a, down: true)
    board.keyboardController.keyboard.key(.a, down: false)
    #expect(drain(board).isEmpty)
    #expect(command(board, 0xF4) == [0xFA])
    board.keyboardController.keyboard.key(.a, down: true)
    #expect(drain(board) == [0x1C])
  }

  /// "The keyboard sends the previous output again (unless the previous output was Resend: then the last byte before it)." However often it is
  /// asked, it is one byte.
  @Test func resendRepeatsOneByte() throws {
    let board = raw()
    #expect(command(board, 0xF0, 0x00) == [0xFA, 0xFA, 0x02])
    #expect(command(board, 0xFE) == [0x02])
    #expect(command(board, 0xEF) == [0xFE])
    #expect(command(board, 0xFE) == [0x02])
    // Nobody reads; what waits after it is what was to be sent.
    board.out(0x60, 0xF2)
    board.time.advance(2_000_000)
    #expect(board.in(0x60) == 0xFA)
    for _ in 0..<100 {
      board.out(0x60, 0xFE)
      board.time.advance(2_000_000)
    }
    let copy = Board()
    try copy.restore(board.save())
    for board in [board, copy] {
      // The second byte of the identification was on the line before the first resend.
      #expect(drain(board, 200) == [0xAB, 0xAB, 0x83])
    }
  }

  @Test func aCommandDiscardsAnswersNotYetSent() {
    let board = raw()
    // The output buffer is full, so that the keyboard is held off.
    board.out(0x64, 0xD0)
    board.out(0x60, 0xF2)
    board.time.advance(2_000_000)
    board.out(0x60, 0xEE)
    board.time.advance(2_000_000)
    _ = board.in(0x60)
    #expect(drain(board) == [0xEE])
  }

  /// Resends used to stack up, and were saved so.
  @Test func statesWithStackedResendsAreRead() throws {
    func state(_ replies: [UInt8]) -> [UInt8] {
      var writer = StateWriter()
      let board = Board()
      board.keyboardController.keyboard.save(to: &writer)
      // The LEDs, then the answers.
      var replaced = StateWriter()
      replaced.write(bytes: replies)
      return [0] + replaced.bytes + writer.bytes[5...]
    }
    let board = Board()
    var reader = StateReader(state([UInt8](repeating: 0x1C, count: 5_000) + [0xFA, 0xAB, 0x83]))
    try board.keyboardController.keyboard.restore(from: &reader)
    #expect(reader.remaining == 0)
    let answers = drain(raw: board, 200)
    #expect(answers.count <= 16 && answers.suffix(3) == [0xFA, 0xAB, 0x83])
    var endless = StateReader(state([UInt8](repeating: 0x1C, count: 1_000_000)))
    #expect(throws: StateError.self) {
      try Board().keyboardController.keyboard.restore(from: &endless)
    }
  }

  /// The same as `drain` of a board whose controller is told to pass codes on first.
  private func drain(raw board: Board, _ milliseconds: Int) -> [UInt8] {
    board.out(0x64, 0x60)
    board.out(0x60, 0x05)
    return drain(board, milliseconds)
  }

  @Test func identificationIsTranslated() {
    let board = Board()
    #expect(command(board, 0xF2) == [0xFA, 0xAB, 0x41])
  }

  @Test func set3KeyTypes() {
    let board = raw()
    let keyboard = board.keyboardController.keyboard
    func tap(_ key: Key) -> [UInt8] {
      keyboard.key(key, down: true)
      keyboard.key(key, down: false)
      return drain(board)
    }
    _ = command(board, 0xF0, 0x03)
    #expect(tap(.f1) == [0x07])
    #expect(tap(.leftShift) == [0x12, 0xF0, 0x12])
    #expect(tap(.a) == [0x1C])
    #expect(command(board, 0xFC, 0x1C, 0xF4) == [0xFA, 0xFA, 0xFA])
    #expect(tap(.a) == [0x1C, 0xF0, 0x1C])
    _ = command(board, 0xFA)
    #expect(tap(.pause) == [0x62, 0xF0, 0x62])
  }

  @Test func typematicDelayAndRate() {
    let board = raw()
    // 500 ms, then 10.9 a second.
    board.keyboardController.keyboard.key(.x, down: true)
    #expect(drain(board, 490) == [0x22])
    #expect(drain(board, 20) == [0x22])
    #expect(drain(board, 1_000).count == 11)
    // The latest key repeats.
    board.keyboardController.keyboard.key(.z, down: true)
    #expect(drain(board, 600) == [0x1A, 0x1A, 0x1A])
    board.keyboardController.keyboard.key(.z, down: false)
    #expect(drain(board, 2_000) == [0xF0, 0x1A])
    board.keyboardController.keyboard.key(.x, down: false)
    _ = drain(board)
    // 250 ms, 30 a second.
    #expect(command(board, 0xF3, 0x00) == [0xFA, 0xFA])
    board.keyboardController.keyboard.key(.x, down: true)
    #expect(drain(board, 240) == [0x22])
    #expect((29...31).contains(drain(board, 1_010).count))
    // While nobody reads, repeats do not pile up.
    board.time.advance(5_000_000_000)
    board.keyboardController.keyboard.key(.x, down: false)
    #expect(drain(board) == [0x22, 0x22, 0xF0, 0x22])
  }

  @Test func theBufferOverrunsAfterSixteenBytes() {
    let board = raw()
    board.out(0x64, 0xAD)
    for key in [Key.a, .b, .c, .d, .e, .f] {
      board.keyboardController.keyboard.key(key, down: true)
      board.keyboardController.keyboard.key(key, down: false)
    }
    board.out(0x64, 0xAE)
    let bytes = drain(board)
    // Five keys, the make code of the sixth, and the overrun code in place of its break code.
    #expect(bytes.count == 17)
    #expect(bytes.suffix(3) == [0x24, 0x2B, 0x00])
    board.keyboardController.keyboard.key(.g, down: true)
    #expect(drain(board) == [0x34])
  }

  @Test func aFullOutputBufferHoldsTheLine() {
    let board = raw()
    board.keyboardController.keyboard.key(.a, down: true)
    board.keyboardController.keyboard.key(.a, down: false)
    board.time.advance(100_000_000)
    #expect(board.in(0x60) == 0x1C)
    #expect(board.in(0x64) & 1 == 0)
    // Reading again gives the same byte.
    #expect(board.in(0x60) == 0x1C)
    #expect(drain(board) == [0xF0, 0x1C])
  }

  @Test func mouseInitialisationAndMovement() {
    let board = Board()
    board.initialisePICs()
    board.out(0x64, 0x60)
    board.out(0x60, 0x47)
    #expect(mouse(board, 0xFF) == [0xFA])
    #expect(drain(board, 40, aux: true) == [0xAA, 0x00])
    #expect(mouse(board, 0xF2) == [0xFA, 0x00])
    #expect(mouse(board, 0xE9) == [0xFA, 0x00, 0x02, 100])
    board.keyboardController.mouse.move(dx: 5, dy: 5)
    #expect(drain(board, 20, aux: true).isEmpty)
    #expect(mouse(board, 0xF4) == [0xFA])
    board.keyboardController.mouse.move(dx: 5, dy: -3)
    board.time.advance(1_000_000)
    #expect(board.pic.output.level)
    #expect(board.pic.acknowledge() == 0x74)
    #expect(drain(board, 20, aux: true) == [0x28, 5, 0xFD])
    board.keyboardController.mouse.button(.right, down: true)
    board.keyboardController.mouse.move(dx: -300, dy: 0)
    #expect(drain(board, 60, aux: true) == [0x0A, 0, 0, 0x1A, 0x01, 0, 0x1A, 0xD3, 0])
  }

  @Test func theWheelIsEnabledByTheKnock() {
    let board = Board()
    board.out(0x64, 0xA8)
    #expect(
      mouse(board, 0xF3, 200, 0xF3, 100, 0xF3, 80, 0xF2) == [UInt8](repeating: 0xFA, count: 7) + [3]
    )
    #expect(mouse(board, 0xF4) == [0xFA])
    board.keyboardController.mouse.move(dx: 0, dy: 0, dz: -1)
    #expect(drain(board, 30, aux: true) == [0x08, 0, 0, 0xFF])
    #expect(mouse(board, 0xF3, 200, 0xF3, 200, 0xF3, 80, 0xF2).last == 4)
    board.keyboardController.mouse.button(.back, down: true)
    #expect(drain(board, 30, aux: true) == [0x08, 0, 0, 0x10])
  }

  /// A reset leaves ID 0 and nothing of a knock; only the whole one selects the wheel again, and a horizontal wheel is not told of.
  @Test func aResetTakesTheProtocolBack() {
    let board = Board()
    board.out(0x64, 0xA8)
    func knock(_ rates: UInt8...) { for rate in rates { _ = mouse(board, 0xF3, rate) } }
    func reset() {
      #expect(mouse(board, 0xFF) == [0xFA])
      #expect(drain(board, 40, aux: true) == [0xAA, 0x00])
      #expect(mouse(board, 0xF2) == [0xFA, 0x00])
    }
    let pointer = board.keyboardController.mouse
    knock(200, 100, 80, 200, 200, 80, 200, 80, 40)
    #expect(mouse(board, 0xF2) == [0xFA, 4])
    reset()
    // Half a knock, and the other half after a reset.
    knock(200, 100)
    reset()
    knock(80)
    #expect(mouse(board, 0xF2) == [0xFA, 0])
    // Five buttons again, without the horizontal wheel.
    knock(200, 100, 80, 200, 200, 80)
    #expect(mouse(board, 0xF2) == [0xFA, 4])
    #expect(mouse(board, 0xF4) == [0xFA])
    pointer.move(dx: 0, dy: 0, dw: 3)
    #expect(drain(board, 30, aux: true).isEmpty)
  }

  @Test func wrapAndRemoteMode() {
    let board = Board()
    board.out(0x64, 0xA8)
    #expect(mouse(board, 0xEE, 0x12, 0xF4, 0xEC) == [0xFA, 0x12, 0xF4, 0xFA])
    #expect(mouse(board, 0xF0, 0xF4) == [0xFA, 0xFA])
    board.keyboardController.mouse.move(dx: 1, dy: 2)
    #expect(drain(board, 20, aux: true).isEmpty)
    #expect(mouse(board, 0xEB) == [0xFA, 0x08, 1, 2])
    #expect(mouse(board, 0xE1) == [0xFE])
  }
}

@Suite struct KeyTextTests {
  @Test func charactersAndNames() throws {
    #expect(
      try KeyScript.parse("dI:\n") == [
        .press([.d]), .press([.leftShift, .i]), .press([.leftShift, .semicolon]), .press([.enter]),
      ])
    #expect(
      try KeyScript.parse("<enter><F12><ctrl-alt-del><wait 500><lt><shift-tab><ctrl-C><alt-->") == [
        .press([.enter]), .press([.f12]), .press([.leftControl, .leftAlt, .delete]),
        .wait(milliseconds: 500), .press([.leftShift, .comma]), .press([.leftShift, .tab]),
        .press([.leftControl, .c]), .press([.leftAlt, .minus]),
      ])
    #expect(try KeyScript.parse("<ctrl><kp5>") == [.press([.leftControl]), .press([.keypad5])])
    for scalar in UInt8(0x20)...0x7E where scalar != 0x3C {
      let text = String(UnicodeScalar(scalar))
      #expect(try KeyScript.parse(text).count == 1)
    }
  }

  @Test func errorsTellWhere() {
    #expect(throws: KeyScriptError(position: 2, reason: "no key is called 'foo'")) {
      try KeyScript.parse("ab<foo>")
    }
    #expect(throws: KeyScriptError.self) { try KeyScript.parse("a<b") }
    #expect(throws: KeyScriptError.self) { try KeyScript.parse("é") }
    #expect(throws: KeyScriptError.self) { try KeyScript.parse("<wait x>") }
    #expect(throws: KeyScriptError.self) { try KeyScript.parse("<>") }
    #expect(throws: KeyScriptError.self) { try KeyScript.parse("<ctrl->") }
  }

  @Test func theTypistWaitsForASlowGuest() throws {
    let board = Board()
    board.typist.type(try KeyScript.parse("hello, World<wait 100>!"))
    var codes: [UInt8] = []
    for _ in 0..<400 {
      // Reads only ten times a second.
      board.time.advance(100_000_000)
      if board.in(0x64) & 1 != 0 { codes.append(board.in(0x60)) }
    }
    #expect(board.typist.isIdle)
    let makes = codes.filter { $0 < 0x80 }
    #expect(
      makes == [
        0x23, 0x12, 0x26, 0x26, 0x18, 0x33, 0x39, 0x2A, 0x11, 0x18, 0x13, 0x26, 0x20, 0x2A, 0x02,
      ])
  }
}
