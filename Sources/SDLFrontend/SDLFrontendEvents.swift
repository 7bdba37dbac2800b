// What happens to the window: keys, the pointer, focus, dropped files, and what its own keys do.
//
// Owns: where each of SDL's events goes. Must not know: the guest's keyboard and mouse (the machine turns directions round), pictures.

#if SDL
  import CSDL2
  import Session

  /// Movement that was not passed on yet, with what a speed below 1 leaves over.
  struct PointerMotion {
    private(set) var dx = 0.0
    private(set) var dy = 0.0
    private(set) var wheel = 0
    private(set) var horizontal = 0

    mutating func move(_ x: Int32, _ y: Int32, speed: Double) {
      dx += Double(x) * speed
      dy += Double(y) * speed
    }

    mutating func turn(_ y: Int32, _ x: Int32) {
      wheel += Int(y)
      horizontal += Int(x)
    }

    /// Whole counts, which are gone then.
    mutating func take() -> (dx: Int, dy: Int, wheel: Int, horizontal: Int) {
      let whole = (Int(dx), Int(dy), wheel, horizontal)
      dx -= Double(whole.0)
      dy -= Double(whole.1)
      wheel = 0
      horizontal = 0
      return whole
    }
  }

  extension SDLFrontend {
    func handle(_ event: SDL_Event) {
      switch SDL_EventType(rawValue: event.type) {
      case SDL_QUIT: closeWindow()
      case SDL_KEYDOWN, SDL_KEYUP:
        let key = event.key
        handleKey(
          UInt16(truncatingIfNeeded: key.keysym.scancode.rawValue),
          down: event.type == SDL_KEYDOWN.rawValue, isRepeat: key.repeat != 0)
      case SDL_WINDOWEVENT: handleWindow(event.window)
      case SDL_SYSWMEVENT: if WindowLoss.isMeant(by: event.syswm) { noteLoss() }
      case SDL_MOUSEMOTION:
        if takesPointer {
          motion.move(event.motion.xrel, event.motion.yrel, speed: options.mouseSpeed)
          mouseChanged = true
        }
      case SDL_MOUSEBUTTONDOWN:
        if takesPointer {
          setButton(event.button.button, down: true)
        } else if machine.hasMouse, !helpIsOpen, event.button.button == 1 {
          setGrab(true)
        }
      case SDL_MOUSEBUTTONUP: if grabbed { setButton(event.button.button, down: false) }
      case SDL_MOUSEWHEEL:
        if takesPointer {
          motion.turn(event.wheel.y, event.wheel.x)
          mouseChanged = true
        }
      case SDL_DROPBEGIN: dropped = []
      case SDL_DROPFILE:
        guard let file = event.drop.file else { break }
        let path = String(cString: file)
        SDL_free(file)
        if dropped == nil { drop([path]) } else { dropped?.append(path) }
      case SDL_DROPTEXT:
        if let text = event.drop.file { SDL_free(text) }
        tell("text cannot be dropped; Ctrl+Alt+V types the clipboard's")
      case SDL_DROPCOMPLETE:
        let files = dropped ?? []
        dropped = nil
        drop(files)
      case SDL_RENDER_TARGETS_RESET, SDL_RENDER_DEVICE_RESET:
        screen.forgetTextures()
        needsRedraw = true
        shownSequence = nil
      default: break
      }
    }

    /// Whether the pointer is the guest's.
    private var takesPointer: Bool { grabbed && !helpIsOpen }

    private func handleWindow(_ event: SDL_WindowEvent) {
      switch SDL_WindowEventID(rawValue: UInt32(event.event)) {
      case SDL_WINDOWEVENT_FOCUS_LOST:
        releaseKeys()
        keys.forgetHeld()
        locks = lockState
        if grabbed { setGrab(false) }
      case SDL_WINDOWEVENT_FOCUS_GAINED: followLocks()
      case SDL_WINDOWEVENT_CLOSE: closeWindow()
      case SDL_WINDOWEVENT_EXPOSED, SDL_WINDOWEVENT_SIZE_CHANGED, SDL_WINDOWEVENT_RESTORED,
        SDL_WINDOWEVENT_SHOWN:
        needsRedraw = true
      default: break
      }
    }

    // MARK: Keyboard

    private func handleKey(_ usage: UInt16, down: Bool, isRepeat: Bool) {
      switch keys.key(usage, down: down, isRepeat: isRepeat) {
      case .ignore: break
      case .post(let usage, let down):
        if down {
          for modifier in keys.returnModifiers(before: usage) {
            machine.post(keyUsage: modifier, down: true)
          }
        }
        machine.post(keyUsage: usage, down: down)
      case .command(let command): perform(command)
      case .dismiss: helpIsOpen = false
      }
    }

    private func perform(_ command: HostCommand) {
      // The guest must not keep the modifiers of what is not its own: they would be down in a state, and after a pause.
      for usage in keys.releaseModifiers() { machine.post(keyUsage: usage, down: false) }
      switch command {
      case .help:
        releaseKeys()
        helpIsOpen.toggle()
      case .fullScreen: toggleFullScreen()
      case .grab: setGrab(!grabbed)
      case .integerScaling:
        screen.integerScaling.toggle()
        needsRedraw = true
      case .screenshot: takeScreenshot()
      case .paste: paste()
      case .copy: machine.request(.copyText)
      case .pause:
        paused.toggle()
        machine.request(.pause(paused))
        updateTitle(force: true)
      case .mute:
        guard let audio else {
          tell("there is no sound on this host")
          return
        }
        audio.isMuted.toggle()
        tell(audio.isMuted ? "sound off" : "sound on", milliseconds: 2000)
      case .reset: reset()
      case .saveState:
        releaseKeys()
        machine.request(.saveState(directory: options.screenshotDirectory))
      case .takeSnapshot:
        releaseKeys()
        machine.request(.takeSnapshot)
      case .goBack:
        guard
          isSure(
            .goBack, "Ctrl+Alt+Z once more goes back to the last snapshot; what came after is lost")
        else { break }
        machine.request(.goBack)
      case .nextDisk(let drive): machine.request(.nextDisk(drive: drive))
      case .eject(let drive): machine.request(.eject(drive: drive))
      case .nextCD: machine.request(.nextCD)
      case .ejectCD: machine.request(.ejectCD(drive: nil))
      case .otherCDDrive: machine.request(.otherCDDrive)
      case .powerButton: pressPowerButton()
      case .debugger:
        releaseKeys()
        machine.request(.debugger)
      case .sendDelete:
        let combination: [UInt16] = [0xE0, 0xE2, 0x4C]
        for usage in combination { machine.post(keyUsage: usage, down: true) }
        for usage in combination.reversed() { machine.post(keyUsage: usage, down: false) }
      }
    }

    private func paste() {
      let text = SDL_GetClipboardText()
      let string = text.map { String(cString: $0) } ?? ""
      if let text { SDL_free(text) }
      if string.isEmpty {
        tell("paste: the clipboard has no text")
        return
      }
      // Keys that are held must not mix with the text.
      releaseKeys()
      machine.paste(string)
    }

    private func reset() {
      guard isSure(.reset, "Ctrl+Alt+R once more resets the machine") else { return }
      machine.request(.reset)
      tell("reset", milliseconds: 1500)
    }

    private func pressPowerButton() {
      let effect =
        machine.hearsPowerButton
        ? "Ctrl+Alt+O once more presses the power button: the guest is told"
        : "Ctrl+Alt+O once more presses the power button; the guest may not be asked"
      guard isSure(.powerButton, effect) else { return }
      notePowerButton()
      machine.request(.powerButton)
      tell("power button pressed", milliseconds: 1500)
    }

    /// What is lost with a slip of a finger is done when its key is pressed again.
    /// - Parameter question: what that will do.
    private func isSure(_ command: HostCommand, _ question: String) -> Bool {
      let now = SDL_GetTicks64()
      guard let asked, asked.command == command, now &- asked.at < 4000 else {
        asked = (command, now)
        tell(question)
        return false
      }
      self.asked = nil
      releaseKeys()
      return true
    }

    /// Lets go of all keys and buttons for the guest.
    func releaseKeys() {
      for usage in keys.releaseAll() { machine.post(keyUsage: usage, down: false) }
      releaseButtons()
    }

    private var lockState: UInt32 {
      SDL_GetModState().rawValue & (KMOD_NUM.rawValue | KMOD_CAPS.rawValue)
    }

    /// Locks that were switched while other windows had the keyboard are switched for the guest too.
    private func followLocks() {
      guard let old = locks else { return }
      locks = nil
      let changed = lockState ^ old
      for (bit, usage) in [(KMOD_CAPS.rawValue, UInt16(0x39)), (KMOD_NUM.rawValue, 0x53)]
      where changed & bit != 0 {
        machine.post(keyUsage: usage, down: true)
        machine.post(keyUsage: usage, down: false)
      }
    }

    // MARK: Pointer

    private func setButton(_ button: UInt8, down: Bool) {
      let bit: UInt8
      switch button {
      case 1: bit = 1
      case 2: bit = 4
      case 3: bit = 2
      case 4: bit = 8
      case 5: bit = 16
      default: return
      }
      // Motion up to now belongs to the old buttons.
      flushMouse()
      buttons = down ? buttons | bit : buttons & ~bit
      mouseChanged = true
      flushMouse()
    }

    private func releaseButtons() {
      if buttons == 0 { return }
      buttons = 0
      mouseChanged = true
      flushMouse()
    }

    func flushMouse() {
      if !mouseChanged { return }
      mouseChanged = false
      let (dx, dy, wheel, horizontal) = motion.take()
      machine.postMouse(dx: dx, dy: dy, wheel: wheel, horizontal: horizontal, buttons: buttons)
    }

    func setGrab(_ on: Bool) {
      if on == grabbed { return }
      grabbed = on
      SDL_SetWindowKeyboardGrab(window, on ? SDL_TRUE : SDL_FALSE)
      followMouse()
      if on {
        tell("Ctrl+Alt+G frees the mouse and the keyboard", milliseconds: 2500)
      } else {
        releaseButtons()
        updateTitle(force: true)
      }
    }

    /// The host's pointer is hidden as long as the guest's is moved in its place.
    func followMouse() {
      let wanted = grabbed && machine.hasMouse
      if wanted == isRelative { return }
      isRelative = wanted
      _ = SDL_SetRelativeMouseMode(wanted ? SDL_TRUE : SDL_FALSE)
    }

    // MARK: Files

    /// Files were dropped: the machine knows what they are for.
    private func drop(_ files: [String]) {
      if files.isEmpty { return }
      let isShifted = keys.shift || SDL_GetModState().rawValue & KMOD_SHIFT.rawValue != 0
      machine.request(.drop(files, toSecond: isShifted))
    }
  }
#endif
