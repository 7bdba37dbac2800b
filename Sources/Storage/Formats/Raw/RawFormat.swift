// Raw disks.
//
// Owns: recognising them. Must not know: geometries.

/// The bytes of the file are those of the disk. Any file can be that, so this is what is left when it is nothing else.
struct RawFormat: ImageFormat {
  let name = "raw"

  func probe(_ store: any ByteStore, _ context: ImageContext) -> FormatConfidence? { .possible }

  func open(_ store: any ByteStore, _ context: ImageContext) -> ImageContents {
    ImageContents(RawImage(store))
  }
}
