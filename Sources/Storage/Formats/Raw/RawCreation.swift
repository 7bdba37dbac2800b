// New raw images.
//
// Owns: the three ways in which a raw file gets its room. Must not know: geometries.

extension RawFormat: CreatableFormat {
  var options: [ImageOption] {
    [
      ImageOption(
        "preallocation", standard: "off", values: "off, falloc, full",
        help: "whether the file's room is taken at once (falloc), and written (full)")
    ]
  }

  var limits: ImageLimits {
    ImageLimits(
      largest: UInt64(Int64.max) & ~511, sectorSizes: [512, 1024, 2048, 4096],
      provisionings: [.thin, .thickLazy, .thickEager], hasEmptyDisks: true)
  }

  func create(_ store: any ByteStore, _ wish: ImageWish, _ context: ImageContext)
    throws(StorageError)
  {
    var provisioning = wish.provisioning
    switch wish.options["preallocation"] {
    case nil: break
    case "off": provisioning = .thin
    case "falloc": provisioning = .thickLazy
    case "full": provisioning = .thickEager
    case let other?:
      throw .usage(store.name, "preallocation is off, falloc or full, not '\(other)'")
    }
    try store.setSize(wish.byteCount)
    switch provisioning {
    case .thin: break
    case .thickLazy: try store.zero(at: 0, count: wish.byteCount, releasing: false)
    case .thickEager: try store.writeZeros(at: 0, count: wish.byteCount)
    }
  }
}
