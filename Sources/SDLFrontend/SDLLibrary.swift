// SDL 2, loaded when a window is opened.
//
// Owns: the library's handle and its functions, under their own names, which stand before those that the header declares: nothing is
// linked with the library, so that a run without a window does not load it and the fifty others it brings along.
// Must not know: what they are used for. Follows: the headers of SDL 2.0.18 and later.

// swift-format-ignore-file: AlwaysUseLowerCamelCase

#if SDL
  import CSDL2

  #if canImport(Glibc)
    import Glibc
  #elseif canImport(Musl)
    import Musl
  #elseif canImport(Darwin)
    import Darwin
  #endif

  enum SDLLibrary {
    #if os(macOS)
      private static let names = [
        "libSDL2-2.0.0.dylib", "/opt/homebrew/lib/libSDL2-2.0.0.dylib",
        "/usr/local/lib/libSDL2-2.0.0.dylib",
      ]
    #else
      private static let names = ["libSDL2-2.0.so.0", "libSDL2-2.0.so"]
    #endif

    /// Its address as a number, 0 where it is not installed.
    private static let handle: UInt = {
      for name in names {
        if let handle = dlopen(name, RTLD_LAZY | RTLD_LOCAL) { return UInt(bitPattern: handle) }
      }
      return 0
    }()

    /// Whether it is installed, and new enough: this is the latest of the functions that are called.
    static var isThere: Bool { handle != 0 && dlsym(address, "SDL_GetTicks64") != nil }

    private static var address: UnsafeMutableRawPointer? {
      UnsafeMutableRawPointer(bitPattern: handle)
    }

    /// A function by name. `isThere` was asked before.
    fileprivate static func function<Function>(_ name: String) -> Function {
      guard handle != 0, let symbol = dlsym(address, name) else {
        fatalError("\(names[0]) has no \(name)")
      }
      return unsafeBitCast(symbol, to: Function.self)
    }
  }

  private func load<Function>(_ name: String) -> Function { SDLLibrary.function(name) }

  let SDL_CloseAudioDevice: @convention(c) @Sendable (SDL_AudioDeviceID) -> Void =
    load("SDL_CloseAudioDevice")
  let SDL_CreateRenderer:
    @convention(c) @Sendable (OpaquePointer?, Int32, UInt32) -> OpaquePointer? =
      load("SDL_CreateRenderer")
  let SDL_CreateTexture:
    @convention(c) @Sendable (OpaquePointer?, UInt32, Int32, Int32, Int32) -> OpaquePointer? =
      load("SDL_CreateTexture")
  let SDL_CreateWindow:
    @convention(c) @Sendable (UnsafePointer<CChar>?, Int32, Int32, Int32, Int32, UInt32) ->
      OpaquePointer? = load("SDL_CreateWindow")
  let SDL_Delay: @convention(c) @Sendable (UInt32) -> Void = load("SDL_Delay")
  let SDL_DestroyRenderer: @convention(c) @Sendable (OpaquePointer?) -> Void = load(
    "SDL_DestroyRenderer")
  let SDL_DestroyTexture: @convention(c) @Sendable (OpaquePointer?) -> Void = load(
    "SDL_DestroyTexture")
  let SDL_DestroyWindow: @convention(c) @Sendable (OpaquePointer?) -> Void = load(
    "SDL_DestroyWindow")
  let SDL_EnableScreenSaver: @convention(c) @Sendable () -> Void = load("SDL_EnableScreenSaver")
  let SDL_EventState: @convention(c) @Sendable (UInt32, Int32) -> UInt8 = load("SDL_EventState")
  let SDL_GetClipboardText: @convention(c) @Sendable () -> UnsafeMutablePointer<CChar>? =
    load("SDL_GetClipboardText")
  let SDL_GetCurrentVideoDriver: @convention(c) @Sendable () -> UnsafePointer<CChar>? =
    load("SDL_GetCurrentVideoDriver")
  let SDL_GetDisplayBounds:
    @convention(c) @Sendable (Int32, UnsafeMutablePointer<SDL_Rect>?) -> Int32 =
      load("SDL_GetDisplayBounds")
  let SDL_GetDisplayUsableBounds:
    @convention(c) @Sendable (Int32, UnsafeMutablePointer<SDL_Rect>?) -> Int32 =
      load("SDL_GetDisplayUsableBounds")
  let SDL_GetError: @convention(c) @Sendable () -> UnsafePointer<CChar>? = load("SDL_GetError")
  let SDL_GetHint: @convention(c) @Sendable (UnsafePointer<CChar>?) -> UnsafePointer<CChar>? =
    load("SDL_GetHint")
  let SDL_GetModState: @convention(c) @Sendable () -> SDL_Keymod = load("SDL_GetModState")
  let SDL_GetRendererOutputSize:
    @convention(c) @Sendable (
      OpaquePointer?, UnsafeMutablePointer<Int32>?, UnsafeMutablePointer<Int32>?
    ) -> Int32 = load("SDL_GetRendererOutputSize")
  let SDL_GetTicks64: @convention(c) @Sendable () -> UInt64 = load("SDL_GetTicks64")
  let SDL_GetWindowDisplayIndex: @convention(c) @Sendable (OpaquePointer?) -> Int32 = load(
    "SDL_GetWindowDisplayIndex")
  let SDL_GetWindowPosition:
    @convention(c) @Sendable (
      OpaquePointer?, UnsafeMutablePointer<Int32>?, UnsafeMutablePointer<Int32>?
    ) -> Void = load("SDL_GetWindowPosition")
  let SDL_GetWindowSize:
    @convention(c) @Sendable (
      OpaquePointer?, UnsafeMutablePointer<Int32>?, UnsafeMutablePointer<Int32>?
    ) -> Void = load("SDL_GetWindowSize")
  let SDL_GetWindowSurface:
    @convention(c) @Sendable (OpaquePointer?) -> UnsafeMutablePointer<SDL_Surface>? =
      load("SDL_GetWindowSurface")
  let SDL_HideWindow: @convention(c) @Sendable (OpaquePointer?) -> Void = load("SDL_HideWindow")
  let SDL_InitSubSystem: @convention(c) @Sendable (UInt32) -> Int32 = load("SDL_InitSubSystem")
  let SDL_LockSurface: @convention(c) @Sendable (UnsafeMutablePointer<SDL_Surface>?) -> Int32 =
    load("SDL_LockSurface")
  let SDL_OpenAudioDevice:
    @convention(c) @Sendable (
      UnsafePointer<CChar>?, Int32, UnsafePointer<SDL_AudioSpec>?,
      UnsafeMutablePointer<SDL_AudioSpec>?, Int32
    ) -> SDL_AudioDeviceID = load("SDL_OpenAudioDevice")
  let SDL_PauseAudioDevice: @convention(c) @Sendable (SDL_AudioDeviceID, Int32) -> Void =
    load("SDL_PauseAudioDevice")
  let SDL_PollEvent: @convention(c) @Sendable (UnsafeMutablePointer<SDL_Event>?) -> Int32 =
    load("SDL_PollEvent")
  let SDL_PushEvent: @convention(c) @Sendable (UnsafeMutablePointer<SDL_Event>?) -> Int32 =
    load("SDL_PushEvent")
  let SDL_QuitSubSystem: @convention(c) @Sendable (UInt32) -> Void = load("SDL_QuitSubSystem")
  let SDL_RegisterEvents: @convention(c) @Sendable (Int32) -> UInt32 = load("SDL_RegisterEvents")
  let SDL_RenderClear: @convention(c) @Sendable (OpaquePointer?) -> Int32 = load("SDL_RenderClear")
  let SDL_RenderCopy:
    @convention(c) @Sendable (
      OpaquePointer?, OpaquePointer?, UnsafePointer<SDL_Rect>?, UnsafePointer<SDL_Rect>?
    ) -> Int32 = load("SDL_RenderCopy")
  let SDL_RenderPresent: @convention(c) @Sendable (OpaquePointer?) -> Void = load(
    "SDL_RenderPresent")
  let SDL_RenderReadPixels:
    @convention(c) @Sendable (
      OpaquePointer?, UnsafePointer<SDL_Rect>?, UInt32, UnsafeMutableRawPointer?, Int32
    ) -> Int32 = load("SDL_RenderReadPixels")
  let SDL_SetClipboardText: @convention(c) @Sendable (UnsafePointer<CChar>?) -> Int32 =
    load("SDL_SetClipboardText")
  let SDL_SetHint:
    @convention(c) @Sendable (UnsafePointer<CChar>?, UnsafePointer<CChar>?) -> SDL_bool =
      load("SDL_SetHint")
  let SDL_SetMainReady: @convention(c) @Sendable () -> Void = load("SDL_SetMainReady")
  let SDL_SetRelativeMouseMode: @convention(c) @Sendable (SDL_bool) -> Int32 = load(
    "SDL_SetRelativeMouseMode")
  let SDL_SetRenderDrawColor:
    @convention(c) @Sendable (OpaquePointer?, UInt8, UInt8, UInt8, UInt8) -> Int32 =
      load("SDL_SetRenderDrawColor")
  let SDL_SetRenderTarget: @convention(c) @Sendable (OpaquePointer?, OpaquePointer?) -> Int32 =
    load("SDL_SetRenderTarget")
  let SDL_SetTextureScaleMode: @convention(c) @Sendable (OpaquePointer?, SDL_ScaleMode) -> Int32 =
    load("SDL_SetTextureScaleMode")
  let SDL_SetWindowBordered: @convention(c) @Sendable (OpaquePointer?, SDL_bool) -> Void = load(
    "SDL_SetWindowBordered")
  let SDL_SetWindowFullscreen: @convention(c) @Sendable (OpaquePointer?, UInt32) -> Int32 =
    load("SDL_SetWindowFullscreen")
  let SDL_SetWindowKeyboardGrab: @convention(c) @Sendable (OpaquePointer?, SDL_bool) -> Void =
    load("SDL_SetWindowKeyboardGrab")
  let SDL_SetWindowMinimumSize: @convention(c) @Sendable (OpaquePointer?, Int32, Int32) -> Void =
    load("SDL_SetWindowMinimumSize")
  let SDL_SetWindowPosition: @convention(c) @Sendable (OpaquePointer?, Int32, Int32) -> Void = load(
    "SDL_SetWindowPosition")
  let SDL_SetWindowSize: @convention(c) @Sendable (OpaquePointer?, Int32, Int32) -> Void = load(
    "SDL_SetWindowSize")
  let SDL_SetWindowTitle: @convention(c) @Sendable (OpaquePointer?, UnsafePointer<CChar>?) -> Void =
    load("SDL_SetWindowTitle")
  let SDL_ShowCursor: @convention(c) @Sendable (Int32) -> Int32 = load("SDL_ShowCursor")
  let SDL_StopTextInput: @convention(c) @Sendable () -> Void = load("SDL_StopTextInput")
  let SDL_UnlockSurface: @convention(c) @Sendable (UnsafeMutablePointer<SDL_Surface>?) -> Void =
    load("SDL_UnlockSurface")
  let SDL_UpdateTexture:
    @convention(c) @Sendable (OpaquePointer?, UnsafePointer<SDL_Rect>?, UnsafeRawPointer?, Int32) ->
      Int32 = load("SDL_UpdateTexture")
  let SDL_UpdateWindowSurfaceRects:
    @convention(c) @Sendable (OpaquePointer?, UnsafePointer<SDL_Rect>?, Int32) -> Int32 =
      load("SDL_UpdateWindowSurfaceRects")
  let SDL_WaitEventTimeout:
    @convention(c) @Sendable (UnsafeMutablePointer<SDL_Event>?, Int32) -> Int32 =
      load("SDL_WaitEventTimeout")
  let SDL_free: @convention(c) @Sendable (UnsafeMutableRawPointer?) -> Void = load("SDL_free")
  let SDL_getenv: @convention(c) @Sendable (UnsafePointer<CChar>?) -> UnsafeMutablePointer<CChar>? =
    load("SDL_getenv")
#endif
