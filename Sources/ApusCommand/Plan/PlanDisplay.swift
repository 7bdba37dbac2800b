// What the command line says of the display adapter.
//
// Owns: reading it, and what does not go together. Must not know: the adapters beyond the sizes they have.

import Machine

extension Plan {
  /// After the board is known.
  mutating func readDisplay(_ options: ApusOptions) throws {
    if let text = options.vga {
      guard let adapter = DisplayAdapter(rawValue: text) else {
        let known = DisplayAdapter.allCases.map(\.rawValue).joined(separator: ", ")
        throw Failure.usage("--vga \(text): there is no such adapter (there are: \(known))")
      }
      if adapter == .cirrus, configuration.boardName == "isa" {
        throw Failure.usage("--vga cirrus: it is on PCI, which board isa has not (--board pc has)")
      }
      configuration.display = adapter
    }
    if let text = options.vram {
      let adapter = configuration.display
      guard let sizes = adapter.memorySizes else {
        throw Failure.usage("--vram \(text): there is no display adapter (--vga none)")
      }
      guard let size = Int(text), sizes.contains(size) else {
        let list = sizes.dropLast().map(String.init).joined(separator: ", ")
        throw Failure.usage(
          "--vram \(text): adapter \(adapter.rawValue) has \(list) or \(sizes.last ?? 0) megabytes")
      }
      configuration.videoMegabytes = size
    }
    if configuration.display == .none {
      if options.vgaBIOS != nil {
        warnings.append("--vga-bios: without an adapter (--vga none) nothing uses it")
      }
      if options.serial.isEmpty, !options.nographic {
        warnings.append(
          "--vga none: the screen stays black, and the guest speaks by its serial ports only (--serial stdio shows the first)"
        )
      }
    }
  }
}
