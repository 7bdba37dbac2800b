// A window that somebody else destroys.
//
// Owns: finding the X server's word of it among SDL's events: SDL 2 itself takes no notice, and waits without end for a window's answer
// that is not there any more. Must not know: what is done then.
// Follows: Xlib - C Language X Interface, 10.10.4 (DestroyNotify); SDL_syswm.h of SDL 2, whose message is a version (3 bytes), the
// window system (at byte 4) and its event (at byte 8).

#if SDL
  import CSDL2

  enum WindowLoss {
    private static let x11: UInt32 = 2
    private static let destroyNotify: Int32 = 17
    /// Members of XDestroyWindowEvent, in bytes of the message: who is told, and of which window.
    private static let toldWindow = 8 + 32
    private static let lostWindow = 8 + 40

    /// From now on the window system's own events come, too.
    static func listen() {
      #if os(Linux)
        if MemoryLayout<Int>.size == 8,
          SDL_GetCurrentVideoDriver().map({ String(cString: $0) }) == "x11"
        {
          _ = SDL_EventState(SDL_SYSWMEVENT.rawValue, 1)
        }
      #endif
    }

    /// Whether an event of the window system says that a window of ours is destroyed.
    static func isMeant(by event: SDL_SysWMEvent) -> Bool {
      guard let message = event.msg.map({ UnsafeRawPointer($0) }) else { return false }
      return isMeant(by: message)
    }

    /// - Parameter message: an SDL_SysWMmsg.
    static func isMeant(by message: UnsafeRawPointer) -> Bool {
      guard message.load(fromByteOffset: 4, as: UInt32.self) == x11,
        message.load(fromByteOffset: 8, as: Int32.self) == destroyNotify
      else { return false }
      // A window's parent may be told of it, too.
      return message.load(fromByteOffset: toldWindow, as: UInt.self)
        == message.load(fromByteOffset: lostWindow, as: UInt.self)
    }
  }
#endif
