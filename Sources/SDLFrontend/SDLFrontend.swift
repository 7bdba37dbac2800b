// The window: screen, keyboard, mouse and sound of a machine through SDL 2.
//
// Owns: the window, its events and the loop of the main thread. Must not know: what a machine is beyond `FrontendMachine`.
//
//   Alt+Enter, Ctrl+Alt+F  full screen          Ctrl+Alt+S    screenshot
//   Ctrl+Alt+G             grab, release        Ctrl+Alt+V    paste the clipboard as keystrokes
//   Ctrl+Alt+I             whole multiples      Ctrl+Alt+End  Ctrl+Alt+Del for the guest
//   Ctrl+Alt+D             the debugger, if there is one (also F12, which X servers may keep for themselves)

#if SDL
  import CSDL2
  import Host
  import Machine
  import Synchronization
  import Video

  /// Ends the main thread's wait from another thread.
  private final class WakeUp: Sendable {
    private let type = SDL_RegisterEvents(1)
    /// Whether a signal now would be the first since the last look.
    private let armed = Atomic<Bool>(false)

    func rearm() { armed.store(true, ordering: .sequentiallyConsistent) }

    func signal() {
      guard armed.exchange(false, ordering: .sequentiallyConsistent) else { return }
      var event = SDL_Event()
      event.type = type
      _ = SDL_PushEvent(&event)
    }
  }

  /// The window of a machine. Everything happens on the main thread, the machine runs on another.
  @MainActor
  public final class SDLFrontend {
    /// Whether this build has a window at all.
    public nonisolated static let isAvailable = true

    private let machine: any FrontendMachine
    private var options: FrontendOptions
    private let window: OpaquePointer
    private let screen: any WindowScreen
    private var audio: SDLAudio?
    private var keys = KeyTracker()
    private(set) var grabbed = false
    private(set) var fullScreen = false
    private var buttons: UInt8 = 0
    private var motion = (dx: 0, dy: 0, wheel: 0)
    private var mouseChanged = false
    private var shownSequence: UInt64?
    /// The window's whole area has to be drawn.
    private var needsRedraw = true
    /// A picture was taken over and is not shown yet.
    private var hasPicture = false
    private var lastPresent: UInt64 = 0
    private var lastTitle = ""
    private var lastTitleTime: UInt64 = 0
    private var closed = false
    private let wake: WakeUp
    private var stopAsked: UInt64?
    /// The last screenshot's file, for the title.
    private var notice: (text: String, until: UInt64)?

    /// How long to wait when nothing happens: the title changes and the machine may have ended.
    private static let restMilliseconds: UInt64 = 200
    /// At most one picture in this many milliseconds is shown.
    private static let frameMilliseconds: UInt64 = 16

    /// Opens the window.
    /// - Throws: `FrontendError` when there is no display or SDL refuses.
    public init(
      machine: any FrontendMachine, options: FrontendOptions = FrontendOptions()
    ) throws(FrontendError) {
      self.machine = machine
      self.options = options
      guard SDLLibrary.isThere else {
        throw FrontendError("no window: SDL 2 is not installed; use --headless")
      }
      SDL_SetMainReady()
      // Ctrl-C is the machine's business; a compositor should stay on; the host's screen may go dark.
      _ = SDL_SetHint("SDL_NO_SIGNAL_HANDLERS", "1")
      _ = SDL_SetHint("SDL_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR", "0")
      _ = SDL_SetHint("SDL_APP_NAME", options.title)
      // What goes wrong is told once, in our words.
      if HostDisplay.silently({ SDL_InitSubSystem(SDL_INIT_VIDEO) }) != 0 {
        throw FrontendError("no window: \(SDLFrontend.lastError); use --headless")
      }
      // Without a display SDL falls back to drivers that show nothing; that is no window unless somebody asked for it.
      let driver = SDL_GetCurrentVideoDriver().map { String(cString: $0) } ?? "none"
      if SDL_GetHint("SDL_VIDEODRIVER") == nil, ["dummy", "offscreen", "evdev"].contains(driver) {
        SDL_QuitSubSystem(SDL_INIT_VIDEO)
        throw FrontendError(
          "no window: \(HostDisplay.obstacle ?? "the display cannot be opened"); use --headless")
      }
      SDL_EnableScreenSaver()
      // Keys are wanted as keys: an input method must not see them first.
      SDL_StopTextInput()
      let (width, height) = SDLFrontend.firstSize(options)
      let flags = SDL_WINDOW_RESIZABLE.rawValue | SDL_WINDOW_ALLOW_HIGHDPI.rawValue
      let centred: Int32 = 0x2FFF_0000
      guard
        let window = SDL_CreateWindow(
          options.title, centred, centred, Int32(width), Int32(height), flags)
      else {
        let reason = SDLFrontend.lastError
        SDL_QuitSubSystem(SDL_INIT_VIDEO)
        throw FrontendError("no window: \(reason)")
      }
      guard let screen = WindowScreens.make(window: window) else {
        let reason = SDLFrontend.lastError
        SDL_DestroyWindow(window)
        SDL_QuitSubSystem(SDL_INIT_VIDEO)
        throw FrontendError("nothing draws into the window: \(reason)")
      }
      SDL_SetWindowMinimumSize(window, 160, 120)
      self.window = window
      self.screen = screen
      wake = WakeUp()
      screen.integerScaling = options.integerScaling
      if options.sound { audio = SDLAudio(machine: machine) }
      if options.fullScreen { toggleFullScreen() }
      updateTitle(force: true)
      machine.frames.onPublish { [wake] in wake.signal() }
    }

    static var lastError: String { SDL_GetError().map { String(cString: $0) } ?? "" }

    private static func firstSize(_ options: FrontendOptions) -> (Int, Int) {
      if options.width > 0, options.height > 0 {
        return (min(options.width, 16384), min(options.height, 16384))
      }
      var bounds = SDL_Rect()
      if SDL_GetDisplayUsableBounds(0, &bounds) == 0 {
        for (width, height) in [(1280, 960), (960, 720)]
        where width <= Int(bounds.w) * 4 / 5 && height <= Int(bounds.h) * 4 / 5 {
          return (width, height)
        }
      }
      return (640, 480)
    }

    /// Runs until the machine ends; closing the window asks it to. Returns with the window closed, at the latest some seconds after
    /// that was asked, also if the machine is still busy ending.
    public func run() {
      while machine.isRunning {
        step()
        if let stopAsked, SDL_GetTicks64() &- stopAsked > 5_000 { break }
      }
      close()
    }

    private func askToStop() {
      if stopAsked == nil { stopAsked = SDL_GetTicks64() }
      machine.requestStop()
    }

    /// Handles what has happened, waiting a little if nothing has, and shows a new picture if there is one.
    func step() {
      // Until the waiting picture may be shown; without one, until the machine's next picture or the host wakes us.
      let sincePresent = SDL_GetTicks64() &- lastPresent
      let frame = SDLFrontend.frameMilliseconds
      wake.rearm()
      let waits = needsRedraw || machine.frames.sequence != shownSequence
      let wait =
        waits ? (sincePresent < frame ? frame - sincePresent : 0) : SDLFrontend.restMilliseconds
      var event = SDL_Event()
      if SDL_WaitEventTimeout(&event, Int32(wait)) != 0 {
        repeat { handle(event) } while SDL_PollEvent(&event) != 0
      }
      flushMouse()
      present()
      updateTitle(force: false)
    }

    /// Closes the window and stops the sound. The front end cannot be used afterwards.
    public func close() {
      if closed { return }
      closed = true
      machine.frames.onPublish(nil)
      releaseKeys()
      audio?.close()
      audio = nil
      screen.close()
      SDL_DestroyWindow(window)
      SDL_QuitSubSystem(SDL_INIT_VIDEO)
    }

    // MARK: Events

    private func handle(_ event: SDL_Event) {
      switch SDL_EventType(rawValue: event.type) {
      case SDL_QUIT: askToStop()
      case SDL_KEYDOWN, SDL_KEYUP:
        let key = event.key
        handleKey(
          UInt16(truncatingIfNeeded: key.keysym.scancode.rawValue),
          down: event.type == SDL_KEYDOWN.rawValue, isRepeat: key.repeat != 0)
      case SDL_WINDOWEVENT: handleWindow(event.window)
      case SDL_MOUSEMOTION:
        if grabbed {
          motion.dx += Int(event.motion.xrel)
          motion.dy += Int(event.motion.yrel)
          mouseChanged = true
        }
      case SDL_MOUSEBUTTONDOWN:
        if grabbed {
          setButton(event.button.button, down: true)
        } else if machine.hasMouse, event.button.button == 1 {
          setGrab(true)
        }
      case SDL_MOUSEBUTTONUP: if grabbed { setButton(event.button.button, down: false) }
      case SDL_MOUSEWHEEL:
        if grabbed {
          motion.wheel += Int(event.wheel.y)
          mouseChanged = true
        }
      case SDL_RENDER_TARGETS_RESET, SDL_RENDER_DEVICE_RESET:
        screen.forgetTextures()
        needsRedraw = true
        shownSequence = nil
      default: break
      }
    }

    private func handleWindow(_ event: SDL_WindowEvent) {
      switch SDL_WindowEventID(rawValue: UInt32(event.event)) {
      case SDL_WINDOWEVENT_FOCUS_LOST:
        releaseKeys()
        if grabbed { setGrab(false) }
      case SDL_WINDOWEVENT_CLOSE: askToStop()
      case SDL_WINDOWEVENT_EXPOSED, SDL_WINDOWEVENT_SIZE_CHANGED, SDL_WINDOWEVENT_RESTORED,
        SDL_WINDOWEVENT_SHOWN:
        needsRedraw = true
      default: break
      }
    }

    private func handleKey(_ usage: UInt16, down: Bool, isRepeat: Bool) {
      switch keys.key(usage, down: down, isRepeat: isRepeat) {
      case .ignore: break
      case .post(let usage, let down): machine.post(keyUsage: usage, down: down)
      case .command(let command): perform(command)
      }
    }

    private func perform(_ command: HostCommand) {
      switch command {
      case .fullScreen: toggleFullScreen()
      case .grab: setGrab(!grabbed)
      case .integerScaling:
        screen.integerScaling.toggle()
        needsRedraw = true
      case .screenshot: takeScreenshot()
      case .paste:
        guard let text = SDL_GetClipboardText() else { return }
        let string = String(cString: text)
        SDL_free(text)
        // The modifiers of the combination must not mix with the text.
        releaseKeys()
        machine.paste(string)
      case .debugger: machine.breakIntoDebugger()
      case .sendDelete:
        machine.post(keyUsage: 0x4C, down: true)
        machine.post(keyUsage: 0x4C, down: false)
      }
    }

    private func releaseKeys() {
      for usage in keys.releaseAll() { machine.post(keyUsage: usage, down: false) }
      if buttons != 0 {
        buttons = 0
        mouseChanged = true
        flushMouse()
      }
    }

    private func setButton(_ button: UInt8, down: Bool) {
      let bit: UInt8
      switch button {
      case 1: bit = 1
      case 2: bit = 4
      case 3: bit = 2
      default: return
      }
      // Motion up to now belongs to the old buttons.
      flushMouse()
      buttons = down ? buttons | bit : buttons & ~bit
      mouseChanged = true
      flushMouse()
    }

    private func flushMouse() {
      if !mouseChanged { return }
      mouseChanged = false
      machine.postMouse(dx: motion.dx, dy: motion.dy, wheel: motion.wheel, buttons: buttons)
      motion = (0, 0, 0)
    }

    // MARK: Window

    private func setGrab(_ on: Bool) {
      if on == grabbed { return }
      grabbed = on
      if machine.hasMouse { _ = SDL_SetRelativeMouseMode(on ? SDL_TRUE : SDL_FALSE) }
      SDL_SetWindowKeyboardGrab(window, on ? SDL_TRUE : SDL_FALSE)
      if !on, buttons != 0 {
        buttons = 0
        mouseChanged = true
      }
      updateTitle(force: true)
    }

    private func toggleFullScreen() {
      let flags = fullScreen ? 0 : SDL_WINDOW_FULLSCREEN_DESKTOP.rawValue
      if SDL_SetWindowFullscreen(window, flags) == 0 { fullScreen.toggle() }
      _ = SDL_ShowCursor(fullScreen ? 0 : 1)
      needsRedraw = true
    }

    private func present() {
      let now = SDL_GetTicks64()
      if now &- lastPresent < SDLFrontend.frameMilliseconds { return }
      if machine.frames.sequence != shownSequence {
        shownSequence = machine.frames.withLatest { frame, sequence in
          screen.upload(frame)
          return sequence
        }
        hasPicture = true
      }
      if !needsRedraw && !hasPicture { return }
      screen.draw(everything: needsRedraw)
      needsRedraw = false
      hasPicture = false
      lastPresent = now
    }

    private func updateTitle(force: Bool) {
      let now = SDL_GetTicks64()
      if !force, now &- lastTitleTime < 500 { return }
      lastTitleTime = now
      var parts = [options.title, machine.titleStatus]
      if let notice, now < notice.until {
        parts.append(notice.text)
      } else if grabbed {
        parts.append("Ctrl+Alt+G releases")
      } else {
        parts.append(machine.hasMouse ? "click or Ctrl+Alt+G grabs" : "Alt+Enter full screen")
      }
      let title = parts.filter { !$0.isEmpty }.joined(separator: " - ")
      if title == lastTitle { return }
      lastTitle = title
      SDL_SetWindowTitle(window, title)
    }

    private func takeScreenshot() {
      let file = PNG.encode(machine.frames.latest())
      let now = SDL_GetTicks64()
      // A name that is free; "x" makes creating it exclusive.
      for number in 1...9999 {
        let path = "\(options.screenshotDirectory)/apus-\(number).png"
        guard let stream = SDL_RWFromFile(path, "rb") else {
          guard let output = SDL_RWFromFile(path, "wb") else { break }
          let written = SDL_RWwrite(output, file, 1, file.count)
          let ok = SDL_RWclose(output) == 0 && written == file.count
          notice = (ok ? "saved \(path)" : "no screenshot: \(SDLFrontend.lastError)", now + 4000)
          updateTitle(force: true)
          return
        }
        _ = SDL_RWclose(stream)
      }
      notice = ("no screenshot: \(SDLFrontend.lastError)", now + 4000)
      updateTitle(force: true)
    }

    /// What the window shows, for tests.
    func capture() -> Frame? { screen.capture() }
  }
#else
  import Machine

  /// The window of a machine, in a build without one.
  @MainActor
  public final class SDLFrontend {
    /// Whether this build has a window at all.
    public nonisolated static let isAvailable = false

    /// - Throws: always; the program was built without SDL.
    public init(
      machine: any FrontendMachine, options: FrontendOptions = FrontendOptions()
    ) throws(FrontendError) {
      throw FrontendError("this apus was built without SDL and has no window; use --headless")
    }

    /// Never reached.
    public func run() {}
    /// Never reached.
    public func close() {}
  }
#endif
