// Sound through SDL.
//
// Owns: the audio device and its thread's entry. Must not know: where samples come from.

#if SDL
  import CSDL2
  import Machine

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

  /// An open audio device playing a machine's speaker.
  @MainActor
  final class SDLAudio {
    private let device: SDL_AudioDeviceID
    private let source: Unmanaged<AudioSource>

    /// nil when the host has no sound; the machine then runs silently.
    init?(machine: any FrontendMachine) {
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

    func close() {
      // Returns when the callback is not running and will not run again.
      SDL_CloseAudioDevice(device)
      source.release()
      SDL_QuitSubSystem(SDL_INIT_AUDIO)
    }
  }
#endif
