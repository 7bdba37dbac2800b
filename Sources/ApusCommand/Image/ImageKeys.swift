// Keys of encrypted images on the command line.
//
// Owns: the options, which passphrase is a new image's. Must not know: formats, how anything is opened.

import ArgumentParser
import Images
import Storage

/// Where keys come from.
struct ImageKeyOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A file with the passphrase of an encrypted image, all its bytes; - is standard input. Repeatable.",
      valueName: "file"))
  var keyFile: [String] = []
  @Option(
    help: ArgumentHelp(
      "A key of the host's key ring with the passphrase. Repeatable.", valueName: "name"))
  var keyRing: [String] = []
  @Flag(help: "Key slots may want any time and memory.")
  var allowSlowKeys = false

  /// One for the whole command: standard input is read once, and nobody is asked twice.
  nonisolated(unsafe) private static var shared: DiskKeys?

  /// - Parameter prompts: where nothing is said, somebody at the terminal is asked.
  func keys(prompts: Bool = true) -> DiskKeys? {
    if let shared = ImageKeyOptions.shared { return shared }
    var sources: [any KeySource] = keyFile.map { KeyFile($0) }
    sources += keyRing.map { KeyRingKey($0) }
    if sources.isEmpty && prompts && PassphrasePrompt.isPossible { sources = [PassphrasePrompt()] }
    if sources.isEmpty { return nil }
    let keys = DiskKeys(sources, limits: allowSlowKeys ? .none : KeyLimits())
    ImageKeyOptions.shared = keys
    return keys
  }
}

/// The passphrase of a new image.
struct NewKeyOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A file with the new image's passphrase. (default: the first of --key-file and --key-ring, or the terminal)",
      valueName: "file"))
  var newKeyFile: String?
  @Option(
    help: ArgumentHelp(
      "A key of the host's key ring with the new image's passphrase.", valueName: "name"))
  var newKeyRing: String?

  func source(_ others: ImageKeyOptions) throws -> (any KeySource)? {
    if newKeyFile != nil && newKeyRing != nil {
      throw Failure.usage("one of --new-key-file and --new-key-ring")
    }
    if let newKeyFile {
      // The same standard input: what was read of it is known.
      return others.keys()?.sources.first { ($0 as? KeyFile)?.path == newKeyFile }
        ?? KeyFile(newKeyFile)
    }
    if let newKeyRing { return KeyRingKey(newKeyRing) }
    if !others.keyFile.isEmpty || !others.keyRing.isEmpty { return others.keys()?.sources.first }
    return PassphrasePrompt.isPossible ? PassphrasePrompt() : nil
  }
}
