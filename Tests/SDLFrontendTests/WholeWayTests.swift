// From an event of the window to what a guest notices: pointer, wheels, buttons, keys, the clipboard, disks.
//
// The window is a real one (SDL's dummy driver, or SDL_VIDEODRIVER=x11), the machine a real one; both run on this thread in turns, so that
// nothing depends on time. Guests tell what they see by port E9h; their source stands beside their bytes (nasm, org 7C00h, 16 bits).
// Packets are those of the PS/2 mouse and of Microsoft's IntelliMouse and IntelliMouse Explorer protocols: right and up are positive, the
// wheel is positive towards the user; Explorer 4.0's horizontal wheel is positive to the left, marked by bit 6.

#if SDL
  import CSDL2
  import Chipset
  import Foundation
  import TestSupport
  import Testing

  @testable import Machine
  @testable import SDLFrontend
  @testable import Session

  private enum Guest {
    /// Speaks with the mouse through the 8042: rates 200 100 80, 200 200 80, 200 80 40, 100, then F4h; R; then each byte of the mouse.
    static let packets = bytes(
      """
      fa31c08ed8fcb0a8e83600b060e83100b044e83200be567cb0d4e82400ace82600e464a80174fae46081fe6b7c72e9b052e6e9e46424213c2175f8e460e6e9ebf2\
      e80900e664c3e80300e660c350e464a80275fa58c3f3c8f364f350f3c8f3c8f350f3c8f350f328f364f4
      """)
    /// INT 15h C205h, C207h, C200h; R; then the status, x and y that its handler is given.
    static let biosMouse = bytes(
      """
      31c08ed88ec08ed0bc007cb805c2b703cd15bb297cb807c2cd15b800c2b701cd15b052e6e9fbf4ebfc5589e5508a460ce6e98a460ae6e98a4608e6e9585dcb
      """)
    /// R; then each byte of the keyboard as the 8042 has it, interrupts off.
    static let keys = bytes("fab052e6e9e46424213c0175f8e460e6e9ebf2")
    /// Reads sector 2 of drive A until that succeeds and tells its first byte; then asks INT 13h AH=16h until the disk was changed,
    /// tells c, and reads again.
    static let disk = bytes(
      "31c08ed88ec08ed0bc007cfbeb10b416b200cd1373f88826357cb063e6e9b80102b90200ba0000bb0006cd1372f0a00006e6e9ebd900"
    )
    /// Writes keys to the screen (INT 16h, INT 10h).
    static let echo = bytes("31c0cd163c0d7408b40e31dbcd10ebf0b001e6f4ebfe")
  }

  /// A machine in a window, both on this thread.
  @MainActor private final class Whole {
    let machine: Machine
    let window: MachineWindow
    let frontend: SDLFrontend
    private let told: Told

    private final class Told {
      var bytes: [UInt8] = []
    }

    init(_ code: [UInt8], options: FrontendOptions = FrontendOptions(), disk: MachineImage? = nil)
      throws
    {
      setEnvironment("SDL_VIDEODRIVER", "dummy")
      setEnvironment("SDL_AUDIODRIVER", "dummy")
      let configuration = MachineConfiguration.small(booting: code) {
        $0.exitPort = nil
        if let disk { $0.floppies[0] = disk }
      }
      machine = try Machine(configuration)
      let told = Told()
      self.told = told
      machine.debugOutput = { told.bytes.append($0) }
      window = MachineWindow.attach(to: machine)
      var options = options
      options.sound = false
      frontend = try SDLFrontend(machine: window, options: options)
    }

    func close() { frontend.close() }

    /// Runs until the guest has told so many bytes, at most two virtual minutes.
    func hear(_ count: Int) -> [UInt8] {
      let end = machine.clock.now + 120_000_000_000
      while told.bytes.count < count, machine.clock.now < end { run(1_000_000) }
      defer { told.bytes = [] }
      return told.bytes
    }

    /// Whether the guest stays silent for some time.
    func hearsNothing() -> Bool {
      run(60_000_000)
      return told.bytes.isEmpty
    }

    func run(_ instructions: UInt64) {
      _ = machine.run(untilInstruction: machine.cpu.instructionCount + instructions)
    }

    func push(_ type: SDL_EventType, _ change: (inout SDL_Event) -> Void = { _ in }) {
      var event = SDL_Event()
      event.type = type.rawValue
      change(&event)
      CSDL2.SDL_PushEvent(&event)
    }

    func key(_ usage: UInt32, _ down: Bool) {
      push(down ? SDL_KEYDOWN : SDL_KEYUP) {
        $0.key.keysym.scancode = SDL_Scancode(rawValue: usage)
        $0.key.state = down ? 1 : 0
      }
    }

    /// Ctrl+Alt and a key.
    func shortcut(_ usage: UInt32, shift: Bool = false) {
      let held: [UInt32] = shift ? [0xE0, 0xE2, 0xE1] : [0xE0, 0xE2]
      for modifier in held { key(modifier, true) }
      key(usage, true)
      key(usage, false)
      for modifier in held.reversed() { key(modifier, false) }
      frontend.step()
    }

    func move(_ x: Int32, _ y: Int32) {
      push(SDL_MOUSEMOTION) {
        $0.motion.xrel = x
        $0.motion.yrel = y
      }
    }

    func button(_ button: UInt8, _ down: Bool) {
      push(down ? SDL_MOUSEBUTTONDOWN : SDL_MOUSEBUTTONUP) { $0.button.button = button }
    }

    func wheel(away: Int32 = 0, right: Int32 = 0) {
      push(SDL_MOUSEWHEEL) {
        $0.wheel.y = away
        $0.wheel.x = right
      }
    }

    /// Gives the pointer to the guest, by a click that the guest does not get.
    func grab() {
      button(1, true)
      button(1, false)
      frontend.step()
      #expect(frontend.grabbed)
    }
  }

  @MainActor @Suite(.serialized) struct WholeWayTests {
    @Test func everyAxisWheelAndButtonHasItsPacket() throws {
      let whole = try Whole(Guest.packets)
      defer { whole.close() }
      #expect(whole.hear(1) == [UInt8(ascii: "R")])
      whole.grab()
      #expect(whole.hearsNothing())
      let cases: [(String, @MainActor () -> Void, [UInt8])] = [
        ("right", { whole.move(5, 0) }, [0x08, 5, 0, 0]),
        ("left", { whole.move(-5, 0) }, [0x18, 0xFB, 0, 0]),
        ("up", { whole.move(0, -7) }, [0x08, 0, 7, 0]),
        ("down", { whole.move(0, 7) }, [0x28, 0, 0xF9, 0]),
        ("wheel towards the user", { whole.wheel(away: -1) }, [0x08, 0, 0, 0x01]),
        ("wheel away", { whole.wheel(away: 1) }, [0x08, 0, 0, 0x0F]),
        ("wheel left", { whole.wheel(right: -1) }, [0x08, 0, 0, 0x41]),
        ("wheel right", { whole.wheel(right: 1) }, [0x08, 0, 0, 0x7F]),
        ("left down", { whole.button(1, true) }, [0x09, 0, 0, 0]),
        ("dragged", { whole.move(1, 1) }, [0x29, 1, 0xFF, 0]),
        ("left up", { whole.button(1, false) }, [0x08, 0, 0, 0]),
        ("right down", { whole.button(3, true) }, [0x0A, 0, 0, 0]),
        ("right up", { whole.button(3, false) }, [0x08, 0, 0, 0]),
        ("middle down", { whole.button(2, true) }, [0x0C, 0, 0, 0]),
        ("middle up", { whole.button(2, false) }, [0x08, 0, 0, 0]),
        ("back down", { whole.button(4, true) }, [0x08, 0, 0, 0x10]),
        ("back up", { whole.button(4, false) }, [0x08, 0, 0, 0]),
        ("forward down", { whole.button(5, true) }, [0x08, 0, 0, 0x20]),
        ("forward up", { whole.button(5, false) }, [0x08, 0, 0, 0]),
      ]
      for (name, act, expected) in cases {
        act()
        whole.frontend.step()
        #expect(whole.hear(4) == expected, "\(name)")
      }
      #expect(whole.hearsNothing())
    }

    @Test func aClickInNoTimeIsSeen() throws {
      let whole = try Whole(Guest.packets)
      defer { whole.close() }
      _ = whole.hear(1)
      whole.grab()
      // Twice, all before the guest runs; movement in between belongs to the buttons of its time.
      whole.button(1, true)
      whole.move(3, 0)
      whole.button(1, false)
      whole.button(1, true)
      whole.button(1, false)
      whole.frontend.step()
      #expect(
        whole.hear(20) == [
          0x09, 0, 0, 0, 0x09, 3, 0, 0, 0x08, 0, 0, 0, 0x09, 0, 0, 0, 0x08, 0, 0, 0,
        ])
    }

    @Test func aLargeMovementArrivesWhole() throws {
      let whole = try Whole(Guest.packets)
      defer { whole.close() }
      _ = whole.hear(1)
      whole.grab()
      whole.move(1000, 600)
      whole.frontend.step()
      var (x, y) = (0, 0)
      let bytes = whole.hear(16)
      try #require(bytes.count == 16)
      for n in 0..<4 {
        let packet = bytes[4 * n..<4 * n + 4].map { $0 }
        #expect(packet[0] & 0xC0 == 0, "overflow")
        x += Int(packet[1]) - (packet[0] & 0x10 != 0 ? 256 : 0)
        y += Int(packet[2]) - (packet[0] & 0x20 != 0 ? 256 : 0)
      }
      #expect((x, y) == (1000, -600))
      #expect(whole.hearsNothing())
    }

    @Test func theSpeedScalesAndLosesNothing() throws {
      var options = FrontendOptions()
      options.mouseSpeed = 0.5
      let whole = try Whole(Guest.packets, options: options)
      defer { whole.close() }
      _ = whole.hear(1)
      whole.grab()
      for _ in 0..<4 {
        whole.move(1, 0)
        whole.frontend.step()
        whole.run(5_000_000)
      }
      #expect(whole.hear(8) == [0x08, 1, 0, 0, 0x08, 1, 0, 0])
    }

    @Test func theBIOSHandlerGetsThePackets() throws {
      let whole = try Whole(Guest.biosMouse)
      defer { whole.close() }
      #expect(whole.hear(1) == [UInt8(ascii: "R")])
      whole.grab()
      whole.move(4, -6)
      whole.frontend.step()
      #expect(whole.hear(3) == [0x08, 4, 6])
      whole.move(-4, 6)
      whole.frontend.step()
      #expect(whole.hear(3) == [0x38, 0xFC, 0xFA])
      whole.button(1, true)
      whole.button(3, true)
      whole.frontend.step()
      #expect(whole.hear(6) == [0x09, 0, 0, 0x0B, 0, 0])
      // Without the focus nothing stays down.
      whole.push(SDL_WINDOWEVENT) {
        $0.window.event = UInt8(SDL_WINDOWEVENT_FOCUS_LOST.rawValue)
      }
      whole.frontend.step()
      #expect(whole.hear(3) == [0x08, 0, 0])
      #expect(!whole.frontend.grabbed && !whole.frontend.isRelative)
    }

    /// Set 1, as the 8042 translates it (IBM PS/2 Technical Reference, Keyboards).
    @Test func keysOfEveryKindArriveAsTheirCodes() throws {
      let whole = try Whole(Guest.keys)
      defer { whole.close() }
      #expect(whole.hear(1) == [UInt8(ascii: "R")])
      for (usage, codes) in [
        (0x04, [0x1E, 0x9E]),  // A
        (0x48, [0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5]),  // Pause
        (0x46, [0xE0, 0x2A, 0xE0, 0x37, 0xE0, 0xB7, 0xE0, 0xAA]),  // Print Screen
        (0xE4, [0xE0, 0x1D, 0xE0, 0x9D]),  // right Ctrl
        (0xE6, [0xE0, 0x38, 0xE0, 0xB8]),  // right Alt
        (0x58, [0xE0, 0x1C, 0xE0, 0x9C]),  // keypad Enter
        (0x59, [0x4F, 0xCF]),  // keypad 1
        (0x64, [0x56, 0xD6]),  // the key beside left Shift
      ] as [(UInt32, [UInt8])] {
        whole.key(usage, true)
        whole.key(usage, false)
        whole.frontend.step()
        #expect(whole.hear(codes.count) == codes, "\(String(usage, radix: 16))")
      }
      // Alt and Print Screen is System Request.
      whole.key(0xE2, true)
      whole.key(0x46, true)
      whole.key(0x46, false)
      whole.key(0xE2, false)
      whole.frontend.step()
      #expect(whole.hear(4) == [0x38, 0x54, 0xD4, 0xB8])
    }

    @Test func keysOfHelpDoNotReachTheGuest() throws {
      let whole = try Whole(Guest.keys)
      defer { whole.close() }
      _ = whole.hear(1)
      whole.shortcut(0x0B)
      #expect(whole.frontend.helpIsOpen)
      #expect(whole.hear(4) == [0x1D, 0x38, 0x9D, 0xB8])
      whole.key(0x04, true)
      whole.key(0x04, false)
      whole.frontend.step()
      #expect(!whole.frontend.helpIsOpen)
      #expect(whole.hearsNothing())
      whole.key(0x05, true)
      whole.key(0x05, false)
      whole.frontend.step()
      #expect(whole.hear(2) == [0x30, 0xB0])
    }

    /// The modifiers of a shortcut are the window's: up before it is carried out, down again with the guest's next key if still held.
    @Test func noShortcutLeavesItsModifiersDown() throws {
      for shortcut in Shortcut.all where shortcut.command != .sendDelete {
        if case .debugger = shortcut.command { continue }
        let whole = try Whole(Guest.keys)
        defer { whole.close() }
        #expect(CSDL2.SDL_SetClipboardText("") == 0)
        _ = whole.hear(1)
        var held: [UInt32] = [0xE2]
        if shortcut.modifiers != .alt { held.insert(0xE0, at: 0) }
        if shortcut.modifiers == .controlAltShift { held.append(0xE1) }
        for usage in held { whole.key(usage, true) }
        whole.frontend.options.screenshotDirectory = "/dev/null"
        whole.key(UInt32(shortcut.usage), true)
        whole.frontend.step()
        if whole.frontend.paused { whole.window.request(.pause(false)) }
        whole.run(20_000_000)
        let keyboard = whole.machine.keyboardController.keyboard
        for key in [Key.leftAlt, .leftControl, .leftShift] {
          #expect(!keyboard.isDown(key), "\(shortcut.keys): \(key)")
        }
      }
    }

    @Test func modifiersThatAreStillHeldComeBackWithTheNextKey() throws {
      let whole = try Whole(Guest.keys)
      defer { whole.close() }
      _ = whole.hear(1)
      whole.key(0xE0, true)
      whole.key(0xE2, true)
      whole.key(0x0C, true)
      whole.key(0x0C, false)
      whole.frontend.step()
      // Ctrl, Alt, and both up.
      #expect(whole.hear(4) == [0x1D, 0x38, 0x9D, 0xB8])
      whole.key(0x4C, true)
      whole.key(0x4C, false)
      whole.frontend.step()
      #expect(whole.hear(6) == [0x1D, 0x38, 0xE0, 0x53, 0xE0, 0xD3])
    }

    /// From the keys of the window to a state, and on in another machine: what is typed there is what the guest reads.
    @Test func aStateOfTheWindowTypesAfterLoading() throws {
      let scratch = try Scratch()
      let whole = try Whole(Guest.echo)
      defer { whole.close() }
      whole.run(200_000_000)
      whole.frontend.options.screenshotDirectory = scratch.folder.path
      // The keys go up only after the state was written.
      for usage in [0xE0, 0xE2, 0x1A] as [UInt32] {
        whole.key(usage, true)
        whole.frontend.step()
      }
      whole.run(20_000_000)
      let bytes = Array(try Data(contentsOf: scratch.folder.appendingPathComponent("apus-1.state")))
      let next = try Whole(Guest.echo)
      defer { next.close() }
      _ = try next.machine.restoreState(bytes)
      for key in [Key.leftAlt, .leftControl] {
        #expect(!next.machine.keyboardController.keyboard.isDown(key))
      }
      for usage in [0x0B, 0x0C] as [UInt32] {
        next.key(usage, true)
        next.frontend.step()
        next.run(20_000_000)
        next.key(usage, false)
        next.frontend.step()
        next.run(20_000_000)
      }
      #expect(next.machine.screenText?.contains { $0.hasPrefix("hi") } == true)
    }

    /// States of the past, or of a moment in which keys were held.
    @Test func keysThatNobodyHoldsAreLetGoAfterLoading() throws {
      let whole = try Whole(Guest.echo)
      defer { whole.close() }
      whole.run(200_000_000)
      for usage in [0xE0, 0xE2] as [UInt32] { whole.key(usage, true) }
      whole.frontend.step()
      whole.run(20_000_000)
      let bytes = whole.machine.saveState()
      let next = try Whole(Guest.echo)
      defer { next.close() }
      _ = try next.machine.restoreState(bytes)
      let keyboard = next.machine.keyboardController.keyboard
      #expect(keyboard.isDown(.leftAlt) && keyboard.isDown(.leftControl))
      next.machine.releaseHeldInput()
      next.run(20_000_000)
      #expect(!keyboard.isDown(.leftAlt) && !keyboard.isDown(.leftControl))
      next.key(0x0B, true)
      next.key(0x0B, false)
      next.frontend.step()
      next.run(20_000_000)
      #expect(next.machine.screenText?.contains { $0.hasPrefix("h") } == true)
    }

    @Test func locksSwitchedElsewhereAreSwitchedForTheGuest() throws {
      let whole = try Whole(Guest.keys)
      defer { whole.close() }
      _ = whole.hear(1)
      CSDL2.SDL_SetModState(SDL_Keymod(rawValue: 0))
      for event in [SDL_WINDOWEVENT_FOCUS_LOST, SDL_WINDOWEVENT_FOCUS_GAINED] {
        whole.push(SDL_WINDOWEVENT) { $0.window.event = UInt8(event.rawValue) }
        whole.frontend.step()
        CSDL2.SDL_SetModState(KMOD_CAPS)
      }
      #expect(whole.hear(2) == [0x3A, 0xBA])
      CSDL2.SDL_SetModState(SDL_Keymod(rawValue: 0))
    }

    @Test func theClipboardIsTypedUmlautsToo() throws {
      let whole = try Whole(Guest.echo)
      defer { whole.close() }
      whole.run(200_000_000)
      #expect(CSDL2.SDL_SetClipboardText("Grüße, Ägypten é½ 中") == 0)
      whole.shortcut(0x19)
      whole.run(1_500_000_000)
      #expect(
        whole.machine.screenText?.contains { $0.hasPrefix("Grüße, Ägypten é½") } == true,
        "\(whole.machine.screenText ?? [])")
      whole.frontend.step()
      #expect(whole.frontend.notice?.text.contains("中") == true)
    }

    @Test func theScreensTextGoesToTheClipboard() throws {
      let whole = try Whole(Guest.echo)
      defer { whole.close() }
      whole.run(200_000_000)
      whole.window.paste("copy me")
      whole.run(800_000_000)
      whole.shortcut(0x06)
      whole.run(1_000_000)
      whole.frontend.step()
      let text = CSDL2.SDL_GetClipboardText().map { String(cString: $0) }
      #expect(text?.contains("copy me") == true)
    }

    /// Files in a folder that goes away.
    private final class Scratch {
      let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
        "apus-whole-\(UUID().uuidString)")
      init() throws {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      }
      deinit { try? FileManager.default.removeItem(at: folder) }
      func file(_ name: String, _ bytes: [UInt8]) throws -> String {
        let url = folder.appendingPathComponent(name)
        try Data(bytes).write(to: url)
        return url.path
      }
    }

    @Test func keysAndDropsChangeTheDiskThatTheGuestReads() throws {
      let scratch = try Scratch()
      let whole = try Whole(
        [], disk: MachineImage(floppy: bootFloppy(Guest.disk, mark: 0x31), name: "first"))
      defer { whole.close() }
      #expect(whole.hear(1) == Array("1".utf8))
      #expect(whole.hearsNothing())
      let second = try scratch.file("second.img", bootFloppy([], mark: 0x32))
      let third = try scratch.file("third.img", bootFloppy([], mark: 0x33))

      // A file is dropped.
      whole.push(SDL_DROPFILE) { $0.drop.file = CSDL2.SDL_strdup(second) }
      whole.frontend.step()
      #expect(whole.hear(2) == Array("c2".utf8))
      #expect(whole.hearsNothing())
      whole.frontend.step()
      #expect(whole.frontend.notice?.text == "A: second.img")

      // The next of a list, and round again.
      whole.window.setDisks(0, [second, third])
      whole.shortcut(0x11)
      #expect(whole.hear(2) == Array("c3".utf8))
      whole.shortcut(0x11)
      #expect(whole.hear(2) == Array("c2".utf8))

      // Out, and in again.
      whole.shortcut(0x08)
      whole.run(50_000_000)
      #expect(whole.machine.floppyDrives[0].disk == nil)
      whole.push(SDL_DROPFILE) { $0.drop.file = CSDL2.SDL_strdup(third) }
      whole.frontend.step()
      let told = whole.hear(2)
      #expect(told.first == UInt8(ascii: "c") && told.last == UInt8(ascii: "3"))

      // What is no floppy stays outside, and the user is told.
      let wrong = try scratch.file("wrong.img", [1, 2, 3])
      whole.push(SDL_DROPFILE) { $0.drop.file = CSDL2.SDL_strdup(wrong) }
      whole.frontend.step()
      whole.run(1_000_000)
      whole.frontend.step()
      #expect(whole.frontend.notice?.text.contains("wrong.img") == true)
      #expect(whole.machine.floppyDrives[0].disk == third)
    }
  }
#endif
