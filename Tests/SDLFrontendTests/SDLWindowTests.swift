#if SDL
  import CSDL2
  import Machine
  import Session
  import Synchronization
  import TestSupport
  import Testing
  import Video

  @testable import SDLFrontend

  #if canImport(Glibc)
    import Glibc
  #elseif canImport(Musl)
    import Musl
  #elseif canImport(Darwin)
    import Darwin
  #endif

  private final class FakeMachine: FrontendMachine {
    struct Seen {
      var keys: [String] = []
      var mouse: [String] = []
      var stops = 0
      var samples = 0
      var pasted = ""
      var requests: [FrontendRequest] = []
      var messages: [FrontendMessage] = []
      var told: [String] = []
    }
    let frames = FrameMailbox()
    let seen = Mutex(Seen())
    let hasMouse: Bool
    init(hasMouse: Bool = false) { self.hasMouse = hasMouse }
    func post(keyUsage: UInt16, down: Bool) {
      seen.withLock { $0.keys.append((down ? "+" : "-") + String(keyUsage, radix: 16)) }
    }
    func postMouse(dx: Int, dy: Int, wheel: Int, horizontal: Int, buttons: UInt8) {
      seen.withLock { $0.mouse.append("\(dx),\(dy),\(wheel),\(buttons)") }
    }
    func request(_ request: FrontendRequest) { seen.withLock { $0.requests.append(request) } }
    func takeMessage() -> FrontendMessage? {
      seen.withLock { $0.messages.isEmpty ? nil : $0.messages.removeFirst() }
    }
    func paste(_ text: String) { seen.withLock { $0.pasted += text } }
    func tell(_ line: String) { seen.withLock { $0.told.append(line) } }
    var titleStatus: String { "33 MHz" }
    var isRunning: Bool { seen.withLock { $0.stops == 0 } }
    func requestStop() { seen.withLock { $0.stops += 1 } }
    func speakerSamples(into buffer: UnsafeMutableBufferPointer<Int16>, rate: Int) {
      buffer.update(repeating: 0)
      seen.withLock { $0.samples += buffer.count }
    }
    var keys: [String] { seen.withLock { $0.keys } }
    var mouse: [String] { seen.withLock { $0.mouse } }
  }

  /// With SDL's dummy drivers: everything but a real display.
  @MainActor @Suite(.serialized) struct SDLWindowTests {
    init() {
      // SDL_VIDEODRIVER=x11 in the environment runs the same on a display.
      setEnvironment("SDL_VIDEODRIVER", "dummy")
      setEnvironment("SDL_AUDIODRIVER", "dummy")
    }

    private func open(_ machine: FakeMachine, sound: Bool = false) throws -> SDLFrontend {
      var options = FrontendOptions()
      options.width = 640
      options.height = 480
      options.sound = sound
      return try SDLFrontend(machine: machine, options: options)
    }

    private func push(_ type: SDL_EventType, _ change: (inout SDL_Event) -> Void = { _ in }) {
      var event = SDL_Event()
      event.type = type.rawValue
      change(&event)
      CSDL2.SDL_PushEvent(&event)
    }

    private func key(_ usage: UInt32, down: Bool, again: Bool = false) {
      push(down ? SDL_KEYDOWN : SDL_KEYUP) {
        $0.key.keysym.scancode = SDL_Scancode(rawValue: usage)
        $0.key.repeat = again ? 1 : 0
        $0.key.state = down ? 1 : 0
      }
    }

    private func loseFocus() {
      push(SDL_WINDOWEVENT) { $0.window.event = UInt8(SDL_WINDOWEVENT_FOCUS_LOST.rawValue) }
    }

    @Test func aPictureAppearsScaledAndLetterboxed() throws {
      let machine = FakeMachine()
      let frontend = try open(machine)
      defer { frontend.close() }
      var frame = Frame(width: 320, height: 240)
      for i in frame.pixels.indices {
        frame.pixels[i] = i % 320 < 160 ? 0xFFFF_0000 : i / 320 < 120 ? 0xFF00_FF00 : 0xFF00_00FF
      }
      machine.frames.publish(&frame)
      // The dummy driver's window may have its own ideas of size; ask.
      for _ in 0..<5 { frontend.step() }
      let shown = try #require(frontend.capture())
      #expect(shown[shown.width / 4, shown.height / 2] == 0xFF0000)
      #expect(shown[shown.width * 3 / 4, shown.height / 4] == 0x00FF00)
      #expect(shown[shown.width * 3 / 4, shown.height * 3 / 4] == 0x0000FF)
      #expect(shown[shown.width / 2 - 1, 10] == 0xFF0000)
      #expect(shown[shown.width / 2, 10] == 0x00FF00)
    }

    @Test func aSizeThatDoesNotDivideStaysSharp() throws {
      let machine = FakeMachine()
      let frontend = try open(machine)
      defer { frontend.close() }
      var frame = Frame(width: 320, height: 200)
      for i in frame.pixels.indices {
        frame.pixels[i] = i / 320 % 2 == 0 ? 0xFFFF_FFFF : 0xFF00_0000
      }
      machine.frames.publish(&frame)
      for _ in 0..<5 { frontend.step() }
      let shown = try #require(frontend.capture())
      let column = (0..<shown.height).map { shown[100, $0] & 0xFF }
      // 200 lines on 480 rows: every line has at least one row of its own colour.
      for line in 0..<200 {
        let middle = Int((Double(line) + 0.5) * 2.4)
        #expect(line % 2 == 0 ? column[middle] > 200 : column[middle] < 55)
      }
    }

    @Test func keysReachTheMachineAndNoneStayDown() throws {
      let machine = FakeMachine()
      let frontend = try open(machine)
      defer { frontend.close() }
      key(0x04, down: true)
      key(0x04, down: true, again: true)
      key(0x04, down: false)
      key(0xE1, down: true)
      key(0x3A, down: true)
      frontend.step()
      #expect(machine.keys == ["+4", "-4", "+e1", "+3a"])
      loseFocus()
      frontend.step()
      #expect(machine.keys.suffix(2) == ["-3a", "-e1"])
      key(0xE1, down: false)
      frontend.step()
      #expect(machine.keys.count == 6)
    }

    @Test func altEnterSwitchesToFullScreenAndBack() throws {
      let machine = FakeMachine()
      let frontend = try open(machine)
      defer { frontend.close() }
      for expected in [true, false] {
        key(0xE2, down: true)
        key(0x28, down: true)
        key(0x28, down: false)
        key(0xE2, down: false)
        frontend.step()
        #expect(frontend.fullScreen == expected)
      }
      #expect(machine.keys == ["+e2", "-e2", "+e2", "-e2"])
    }

    @Test func theMouseIsGrabbedByAClickAndReleasedByTheKeys() throws {
      let machine = FakeMachine(hasMouse: true)
      let frontend = try open(machine)
      defer { frontend.close() }
      push(SDL_MOUSEMOTION) { $0.motion.xrel = 5 }
      push(SDL_MOUSEBUTTONDOWN) { $0.button.button = 1 }
      push(SDL_MOUSEBUTTONUP) { $0.button.button = 1 }
      frontend.step()
      #expect(frontend.grabbed)
      let before = machine.mouse.count
      push(SDL_MOUSEMOTION) {
        $0.motion.xrel = 5
        $0.motion.yrel = -3
      }
      push(SDL_MOUSEBUTTONDOWN) { $0.button.button = 3 }
      frontend.step()
      #expect(Array(machine.mouse[before...]) == ["5,-3,0,0", "0,0,0,2"])
      for usage in [0xE0, 0xE2, 0x0A] as [UInt32] { key(usage, down: true) }
      frontend.step()
      #expect(!frontend.grabbed)
      #expect(machine.mouse.last == "0,0,0,0")
    }

    /// R is reset, O the power button; one does not stand for the other.
    @Test func buttonsWantToBePressedTwice() throws {
      let machine = FakeMachine()
      let frontend = try open(machine)
      defer { frontend.close() }
      func press(_ letter: UInt32) -> [FrontendRequest] {
        for usage in [0xE0, 0xE2, letter] as [UInt32] { key(usage, down: true) }
        for usage in [letter, 0xE2, 0xE0] as [UInt32] { key(usage, down: false) }
        frontend.step()
        return machine.seen.withLock { seen in
          defer { seen.requests = [] }
          return seen.requests
        }
      }
      let (r, o): (UInt32, UInt32) = (0x15, 0x12)
      #expect(press(r) == [] && press(r) == [.reset])
      #expect(press(o) == [] && press(r) == [] && press(o) == [])
      #expect(press(o) == [.powerButton])
    }

    @Test func pausingIsAskedForAndShown() throws {
      let machine = FakeMachine()
      let frontend = try open(machine)
      defer { frontend.close() }
      for paused in [true, false] {
        for usage in [0xE0, 0xE2, 0x13] as [UInt32] { key(usage, down: true) }
        for usage in [0x13, 0xE2, 0xE0] as [UInt32] { key(usage, down: false) }
        frontend.step()
        #expect(frontend.paused == paused)
        #expect(machine.seen.withLock { $0.requests.last } == .pause(paused))
      }
    }

    @Test func aMessageIsShownOverThePicture() throws {
      let machine = FakeMachine()
      let frontend = try open(machine)
      defer { frontend.close() }
      var frame = Frame(width: 640, height: 480)
      for i in frame.pixels.indices { frame.pixels[i] = 0xFFFF_FFFF }
      machine.frames.publish(&frame)
      for _ in 0..<3 { frontend.step() }
      func dark() throws -> Int {
        let shown = try #require(frontend.capture())
        let row = shown.height * 465 / 480
        return (0..<shown.width).filter { shown[$0, row] != 0xFFFFFF }.count
      }
      #expect(try dark() == 0)
      machine.seen.withLock { $0.messages.append(.notice("A: second.img")) }
      for _ in 0..<3 { frontend.step() }
      #expect(try dark() > 50)
      #expect(frontend.notice?.text == "A: second.img")
    }

    @Test func whatIsDroppedTogetherIsAskedForTogether() throws {
      let machine = FakeMachine()
      let frontend = try open(machine)
      defer { frontend.close() }
      push(SDL_DROPBEGIN)
      for name in ["a.img", "b.img"] {
        push(SDL_DROPFILE) { $0.drop.file = CSDL2.SDL_strdup(name) }
      }
      push(SDL_DROPCOMPLETE)
      frontend.step()
      #expect(
        machine.seen.withLock { $0.requests } == [
          .drop(["a.img", "b.img"], toSecond: false)
        ])
    }

    @Test func closingTheWindowEndsTheLoop() throws {
      let machine = FakeMachine()
      let frontend = try open(machine)
      push(SDL_QUIT)
      frontend.run()
      frontend.close()
      #expect(machine.seen.withLock { $0.stops } == 1)
    }

    @Test func theSoundThreadPullsSamples() throws {
      let machine = FakeMachine()
      let frontend = try open(machine, sound: true)
      for _ in 0..<20 { frontend.step() }
      frontend.close()
      #expect(machine.seen.withLock { $0.samples } >= 1024)
    }

    @Test func theScreenshotKeyWritesAFile() throws {
      let machine = FakeMachine()
      var template = Array("/tmp/apus-test-XXXXXX".utf8CString)
      try #require(mkdtemp(&template) != nil)
      let directory = String(decoding: template.dropLast().map(UInt8.init), as: UTF8.self)
      var options = FrontendOptions()
      options.sound = false
      options.screenshotDirectory = directory
      let frontend = try SDLFrontend(machine: machine, options: options)
      defer { frontend.close() }
      for usage in [0xE0, 0xE2, 0x16] as [UInt32] { key(usage, down: true) }
      frontend.step()
      let path = directory + "/apus-1.png"
      let file = try #require(fopen(path, "rb"))
      var head = [UInt8](repeating: 0, count: 8)
      #expect(fread(&head, 1, 8, file) == 8)
      fclose(file)
      #expect(head == [137, 80, 78, 71, 13, 10, 26, 10])
      unlink(path)
      rmdir(directory)
    }

    /// The host's reason, on the screen and outside of it.
    @Test func aScreenshotThatCannotBeWrittenSaysWhy() throws {
      let machine = FakeMachine()
      var options = FrontendOptions()
      options.sound = false
      options.screenshotDirectory = "/nowhere/at/all"
      let frontend = try SDLFrontend(machine: machine, options: options)
      defer { frontend.close() }
      for usage in [0xE0, 0xE2, 0x16] as [UInt32] { key(usage, down: true) }
      frontend.step()
      let line = try #require(frontend.notice?.text)
      #expect(line.hasPrefix("not saved: /nowhere/at/all/apus-1.png: "))
      #expect(line.contains("No such file or directory") || line.contains("no directory"))
      #expect(machine.seen.withLock { $0.told } == [line])
    }

    /// XDestroyWindowEvent as SDL passes it on: 17, the window that is told, the window that is gone.
    @Test func theServersWordOfADestroyedWindowIsUnderstood() {
      func message(system: UInt32 = 2, type: Int32 = 17, told: UInt, gone: UInt) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: 256, alignment: 16) { bytes in
          bytes.initializeMemory(as: UInt8.self, repeating: 0)
          bytes.storeBytes(of: system, toByteOffset: 4, as: UInt32.self)
          bytes.storeBytes(of: type, toByteOffset: 8, as: Int32.self)
          bytes.storeBytes(of: told, toByteOffset: 40, as: UInt.self)
          bytes.storeBytes(of: gone, toByteOffset: 48, as: UInt.self)
          return WindowLoss.isMeant(by: UnsafeRawPointer(bytes.baseAddress!))
        }
      }
      #expect(message(told: 77, gone: 77))
      #expect(!message(told: 1, gone: 77))
      #expect(!message(type: 18, told: 77, gone: 77))
      #expect(!message(system: 1, told: 77, gone: 77))
    }

    @Test func aLostWindowEndsTheLoopAndIsLeftAlone() throws {
      let machine = FakeMachine()
      let frontend = try open(machine)
      frontend.noteLoss()
      frontend.run()
      frontend.close()
      #expect(frontend.isLost && machine.seen.withLock { $0.stops } == 1)
      // The display of this test has lost nothing.
      SDL_DestroyWindow(frontend.window)
      SDL_QuitSubSystem(SDL_INIT_VIDEO)
    }
  }
#endif
