// The window: screen, keyboard, mouse and sound of a machine through SDL 2.
//
// Owns: the window, the loop of the main thread, pictures, messages and help over them, the title. Events and what the window's own keys do
// are in SDLFrontendEvents.swift, the table of those keys in Shortcuts.swift. Must not know: what a machine is beyond `FrontendMachine`.

#if SDL
  import CSDL2
  import Host
  import Session
  import Synchronization
  import Video

  /// Ends the main thread's wait from another thread.
  ///
  /// Under X11 an event that is pushed while the main thread waits is a message to the window over a connection of its own, which nothing
  /// orders with the main thread's: one that is still on its way when the window is destroyed ends the process with an X error.
  private final class WakeUp: Sendable {
    private let type = SDL_RegisterEvents(1)
    /// Whether a signal now would be the first since the last look.
    private let armed = Atomic<Bool>(false)
    private let isOver = Mutex(false)

    func rearm() { armed.store(true, ordering: .sequentiallyConsistent) }

    func signal() {
      guard armed.exchange(false, ordering: .sequentiallyConsistent) else { return }
      isOver.withLock { isOver in
        if isOver { return }
        var event = SDL_Event()
        event.type = type
        _ = SDL_PushEvent(&event)
      }
    }

    /// Nothing is pushed any more when this returns.
    func end() { isOver.withLock { $0 = true } }
  }

  /// The window of a machine. Everything happens on the main thread, the machine runs on another.
  @MainActor
  public final class SDLFrontend {
    /// Whether this build has a window at all.
    public nonisolated static let isAvailable = true

    let machine: any FrontendMachine
    var options: FrontendOptions
    let window: OpaquePointer
    let screen: any WindowScreen
    var audio: SDLAudio?
    var keys = KeyTracker()
    var grabbed = false
    var fullScreen = false
    /// Where the window was before it was made as large as the display.
    var placeBefore: SDL_Rect?
    var buttons: UInt8 = 0
    /// The host's pointer is hidden and only its movement counts.
    var isRelative = false
    var motion = PointerMotion()
    var mouseChanged = false
    var shownSequence: UInt64?
    /// The window's whole area has to be drawn.
    var needsRedraw = true
    /// A picture was taken over and is not shown yet.
    private var hasPicture = false
    private var lastPresent: UInt64 = 0
    private let size: WindowSize
    private var lastTitle = ""
    private var lastTitleTime: UInt64 = 0
    private var closed = false
    /// Somebody else has destroyed the window.
    public private(set) var isLost = false
    private let wake: WakeUp
    private var stopAsked: UInt64?
    /// When the window was closed for a guest that hears of it.
    private var powerAsked: UInt64?
    /// What the user should know for some seconds.
    var notice: (text: String, until: UInt64)?
    /// When the machine told something last.
    private var lastMessage: UInt64 = 0
    var helpIsOpen = false { didSet { keys.isCovered = helpIsOpen } }
    var paused = false
    /// What was pressed once, of what has to be pressed twice, and when.
    var asked: (command: HostCommand, at: UInt64)?
    /// When the power button was pressed, until its answer is overdue.
    private var buttonPressed: UInt64?
    /// Num Lock and Caps Lock of the host when the window lost the focus.
    var locks: UInt32?
    /// The files that are being dropped.
    var dropped: [String]?
    /// The words that the shown picture has over it.
    private var shownWords = Words()

    /// The window's own words.
    private struct Words: Equatable {
      var help = false
      var message = ""
    }

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
      WindowLoss.listen()
      SDL_SetWindowMinimumSize(window, 160, 120)
      self.window = window
      self.screen = screen
      size = WindowSize(window, usual: (width, height), isGiven: options.width > 0)
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

    /// Runs until the machine ends; closing the window asks it to. Returns at the latest some seconds after that was asked, also if the
    /// machine is still busy ending, and at once when the window is lost (`isLost`). The window still stands, and shows nothing new.
    ///
    /// What is to be written comes first: taking a window down asks the display things, which may not answer any more.
    public func run() {
      while machine.isRunning, !isLost {
        step()
        if let stopAsked, SDL_GetTicks64() &- stopAsked > 5_000 { break }
      }
      leave()
      // Nothing answers there any more.
      if machine.isRunning, !isLost { SDL_HideWindow(window) }
    }

    /// Nothing reaches the window from other threads any more, and nothing the guest from the window.
    private func leave() {
      machine.frames.onPublish(nil)
      wake.end()
      releaseKeys()
      audio?.close()
      audio = nil
    }

    /// The window is gone.
    func noteLoss() {
      isLost = true
      askToStop()
    }

    /// From now on the guest has some time to turn the machine off.
    func notePowerButton() { buttonPressed = SDL_GetTicks64() }

    /// Who pressed the button hears when nothing comes of it.
    private func watchPowerButton() {
      guard !paused, let pressed = buttonPressed,
        SDL_GetTicks64() &- pressed >= SDLFrontend.buttonMilliseconds
      else { return }
      buttonPressed = nil
      tell(
        "the guest has not turned the machine off; closing the window ends it", milliseconds: 6000)
    }

    /// How long a guest may take to shut down before that is told.
    private static let buttonMilliseconds: UInt64 = 30_000

    /// The user closes the window. A guest that listens to the power button hears it, and may shut down; who closes again does not want
    /// to wait. One close comes as two events.
    func closeWindow() {
      let now = SDL_GetTicks64()
      guard machine.hearsPowerButton, stopAsked == nil else { return askToStop() }
      if let powerAsked {
        if now &- powerAsked > 500 { askToStop() }
        return
      }
      powerAsked = now
      notePowerButton()
      releaseKeys()
      machine.request(.powerButton)
      tell("power button pressed; close again to end at once", milliseconds: 6000)
    }

    func askToStop() {
      if stopAsked == nil {
        stopAsked = SDL_GetTicks64()
        // Alt, of Alt+F4, would be down in the state that is saved now.
        releaseKeys()
      }
      machine.requestStop()
    }

    /// Handles what has happened, waiting a little if nothing has, and shows a new picture if there is one.
    func step() {
      // Until the waiting picture may be shown; without one, until the machine's next picture or the host wakes us.
      let sincePresent = SDL_GetTicks64() &- lastPresent
      let frame = SDLFrontend.frameMilliseconds
      wake.rearm()
      let waits =
        needsRedraw || machine.frames.sequence != shownSequence || words != shownWords
      let wait =
        waits ? (sincePresent < frame ? frame - sincePresent : 0) : SDLFrontend.restMilliseconds
      var event = SDL_Event()
      if SDL_WaitEventTimeout(&event, Int32(wait)) != 0 {
        repeat { handle(event) } while SDL_PollEvent(&event) != 0
      }
      if isLost { return }
      takeMessages()
      watchPowerButton()
      followMouse()
      flushMouse()
      present()
      updateTitle(force: false)
    }

    /// Closes the window and stops the sound. The front end cannot be used afterwards.
    public func close() {
      if closed { return }
      closed = true
      leave()
      // SDL would wait for its answer.
      if isLost { return }
      SDL_HideWindow(window)
      awaitMessages()
      screen.close()
      SDL_DestroyWindow(window)
      SDL_QuitSubSystem(SDL_INIT_VIDEO)
    }

    /// Waits until the display has nothing more on its way to the window. Each of these questions waits for the server's answer, and a
    /// server takes turns with its connections: after some, what came before on another has been carried out.
    private func awaitMessages() {
      var bounds = SDL_Rect()
      var event = SDL_Event()
      for _ in 0..<8 {
        _ = SDL_GetDisplayUsableBounds(0, &bounds)
        SDL_Delay(1)
        while SDL_PollEvent(&event) != 0 {
          if [SDL_DROPFILE.rawValue, SDL_DROPTEXT.rawValue].contains(event.type) {
            SDL_free(event.drop.file)
          }
        }
      }
    }

    // MARK: Window

    private func present() {
      let now = SDL_GetTicks64()
      if now &- lastPresent < SDLFrontend.frameMilliseconds { return }
      let words = words
      if needsRedraw || machine.frames.sequence != shownSequence || words != shownWords {
        if words == Words() {
          let shown = machine.frames.withLatest { frame, sequence in
            screen.upload(frame, everything: needsRedraw)
            return (sequence, frame.width, frame.height, frame.pixelAspect == 1)
          }
          shownSequence = shown.0
          if !fullScreen { size.follow(shown.1, shown.2, isSquare: shown.3) }
        } else {
          shownSequence = machine.frames.sequence
          screen.upload(
            Overlay.compose(
              machine.frames.latest(), panel: words.help ? Overlay.help(title: options.title) : [],
              message: words.message), everything: needsRedraw)
        }
        shownWords = words
        hasPicture = true
      }
      if !needsRedraw && !hasPicture { return }
      screen.draw(everything: needsRedraw)
      needsRedraw = false
      hasPicture = false
      lastPresent = now
    }

    private var words: Words {
      var words = Words(help: helpIsOpen)
      if let notice, SDL_GetTicks64() < notice.until {
        words.message = notice.text
      } else if paused {
        words.message = "paused: Ctrl+Alt+P goes on"
      }
      return words
    }

    /// Shows the user a line for some seconds.
    func tell(_ text: String, milliseconds: UInt64 = 4000) {
      notice = (text, SDL_GetTicks64() + milliseconds)
      updateTitle(force: true)
    }

    private func takeMessages() {
      while let message = machine.takeMessage() {
        switch message {
        case .notice(let text):
          // What is told together, as of several files, is read together.
          let now = SDL_GetTicks64()
          let joins = now &- lastMessage < 300 && (notice?.text.count ?? 0) + text.count < 160
          lastMessage = now
          if joins, let earlier = notice, earlier.text != text {
            tell("\(earlier.text); \(text)")
          } else {
            tell(text)
          }
        case .copied(let text):
          tell(
            SDL_SetClipboardText(text) == 0
              ? "the screen's text is in the clipboard" : "not copied: \(SDLFrontend.lastError)")
        }
      }
    }

    func updateTitle(force: Bool) {
      if isLost { return }
      let now = SDL_GetTicks64()
      if !force, now &- lastTitleTime < 500 { return }
      lastTitleTime = now
      let name = machine.subject.map { "\(options.title): \($0)" } ?? options.title
      var parts = [name, paused ? "paused" : machine.titleStatus]
      if let notice, now < notice.until {
        // The machine may have said it already.
        if !parts[1].contains(notice.text) { parts.append(notice.text) }
      } else if grabbed {
        parts.append("Ctrl+Alt+G frees the mouse")
      } else {
        parts.append((machine.hasMouse ? "click for the mouse, " : "") + "Ctrl+Alt+H help")
      }
      let title = parts.filter { !$0.isEmpty }.joined(separator: " - ")
      if title == lastTitle { return }
      lastTitle = title
      SDL_SetWindowTitle(window, title)
    }

    func takeScreenshot() {
      let line = NumberedFile.save(
        PNG.encode(machine.frames.latest()), in: options.screenshotDirectory, suffix: "png")
      tell(line)
      machine.tell(line)
    }

    /// What the window shows, for tests.
    func capture() -> Frame? { screen.capture() }
  }
#else
  import Session

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
