// Sound through SDL.
//
// Owns: the audio device and its thread's entry. Must not know: where samples come from.

#if SDL
  import CSDL2
  import Session

  #if canImport(Glibc)
    import Glibc
  #elseif canImport(Musl)
    import Musl
  #endif

  /// What the sound thread holds on to.
  private final class AudioSource: Sendable {
    let machine: any FrontendMachine
    let rate: Int
    init(_ machine: any FrontendMachine, rate: Int) {
      self.machine = machine
      self.rate = rate
    }
  }

  /// Called by SDL's sound thread.
  private func fillAudio(
    _ context: UnsafeMutableRawPointer?, _ stream: UnsafeMutablePointer<UInt8>?, _ length: Int32
  ) {
    guard let context, let stream, length > 0 else { return }
    let source = Unmanaged<AudioSource>.fromOpaque(context).takeUnretainedValue()
    let count = Int(length) / 2
    stream.withMemoryRebound(to: Int16.self, capacity: count) {
      source.machine.speakerSamples(
        into: UnsafeMutableBufferPointer(start: $0, count: count), rate: source.rate)
    }
  }

  /// Keeps ALSA's complaints off the terminal of a host without a sound card.
  private func silenceALSA() {
    #if os(Linux)
      typealias Handler =
        @convention(c) (
          UnsafePointer<CChar>?, Int32, UnsafePointer<CChar>?, Int32, UnsafePointer<CChar>?
        ) -> Void
      // SDL loads the same library; it is not linked, as a host need not have it.
      guard let library = dlopen("libasound.so.2", RTLD_LAZY),
        let symbol = dlsym(library, "snd_lib_error_set_handler")
      else { return }
      let set = unsafeBitCast(symbol, to: (@convention(c) (Handler) -> Int32).self)
      // ALSA passes further arguments for the format behind these.
      _ = set { _, _, _, _, _ in }
    #endif
  }

  /// An open audio device playing a machine's speaker.
  @MainActor
  final class SDLAudio {
    private let device: SDL_AudioDeviceID
    private let source: Unmanaged<AudioSource>

    /// nil when the host has no sound; the machine then runs silently.
    init?(machine: any FrontendMachine) {
      silenceALSA()
      if SDL_InitSubSystem(SDL_INIT_AUDIO) != 0 { return nil }
      source = Unmanaged.passRetained(AudioSource(machine, rate: 44_100))
      var wanted = SDL_AudioSpec()
      wanted.freq = 44_100
      wanted.format = SDL_AudioFormat(AUDIO_S16SYS)
      wanted.channels = 1
      wanted.samples = 1024
      wanted.callback = fillAudio
      wanted.userdata = source.toOpaque()
      var got = SDL_AudioSpec()
      // No changes allowed: SDL converts to what the device has.
      device = SDL_OpenAudioDevice(nil, 0, &wanted, &got, 0)
      if device == 0 {
        source.release()
        SDL_QuitSubSystem(SDL_INIT_AUDIO)
        return nil
      }
      SDL_PauseAudioDevice(device, 0)
    }

    var isMuted = false { didSet { SDL_PauseAudioDevice(device, isMuted ? 1 : 0) } }

    func close() {
      // Returns when the callback is not running and will not run again.
      SDL_CloseAudioDevice(device)
      source.release()
      SDL_QuitSubSystem(SDL_INIT_AUDIO)
    }
  }
#endif
