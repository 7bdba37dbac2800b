// From linear memory to a picture, as much of it as changed.
//
// Owns: pixels' formats, which lines differ from what a frame has. Must not know: registers, time.

import Synchronization

/// Renders pictures of linear memory. Frames that it has drawn into before get only the lines that changed since.
final class LinearRenderer {
  private static let count = Atomic<UInt64>(0)
  /// By which frames know that their lines are from here.
  private let identity = count.wrappingAdd(1, ordering: .relaxed).newValue

  private var picture: LinearPicture?
  private var palette = [UInt32](repeating: 0, count: 256)
  /// For each line the number of the picture in which it changed.
  private var lineStamps: [UInt64] = []
  private var stamp: UInt64 = 0
  /// Of `VideoMemory`: what the last picture has.
  private var serial: UInt64 = 0
  private var scratch: [UInt8] = []

  /// Whether memory or shape have changed since the last picture.
  func isStale(_ new: LinearPicture, _ memory: VideoMemory) -> Bool {
    guard new == picture else { return true }
    if new.isBlank { return false }
    // Another picture may have numbered what is new to this one.
    return regions(new).contains {
      memory.isWritten($0.start, $0.count) || memory.changed($0.start, $0.count, since: serial)
    }
  }

  /// The parts of memory that it shows.
  private func regions(_ p: LinearPicture) -> [(start: Int, count: Int)] {
    let upper = min(p.height, p.split)
    var list = [(start: p.start, count: (upper - 1) * p.pitch + p.lineBytes)]
    if upper < p.height {
      list.append((start: 0, count: (p.height - upper - 1) * p.pitch + p.lineBytes))
    }
    return list
  }

  /// Draws into a frame. What was written to memory has been numbered.
  /// - Parameters:
  ///   - colours: of the DAC, for pixels that are numbers.
  ///   - overlay: lines that look otherwise than memory says since the last picture.
  func render(
    _ new: LinearPicture, _ memory: VideoMemory, colours: [UInt32], overlay: [Range<Int>],
    into frame: inout Frame
  ) {
    stamp += 1
    frame.resize(width: new.width, height: new.height)
    frame.shape()
    if lineStamps.count != new.height {
      lineStamps = [UInt64](repeating: stamp, count: new.height)
    }
    let isOther = new != picture || new.format == .indexed8 && colours != palette
    if isOther {
      for y in 0..<new.height { lineStamps[y] = stamp }
    } else if !new.isBlank {
      for y in 0..<new.height
      where memory.changed(new.lineStart(y), new.lineBytes, since: serial) {
        lineStamps[y] = stamp
      }
      for range in overlay { for y in range.clamped(to: 0..<new.height) { lineStamps[y] = stamp } }
    }
    picture = new
    palette = colours
    serial = memory.serial
    let known = frame.source == identity ? frame.stamp : 0
    frame.source = identity
    frame.stamp = stamp
    frame.lineStamps.replaceSubrange(0..<frame.lineStamps.count, with: lineStamps)
    let width = new.width
    frame.pixels.withUnsafeMutableBufferPointer { pixels in
      let base = pixels.baseAddress.unsafelyUnwrapped
      for y in 0..<new.height where lineStamps[y] > known {
        draw(new, y, memory, base + y * width)
      }
    }
  }

  private func draw(
    _ p: LinearPicture, _ y: Int, _ memory: VideoMemory, _ target: UnsafeMutablePointer<UInt32>
  ) {
    if p.isBlank {
      target.update(repeating: 0xFF00_0000, count: p.width)
      return
    }
    let start = p.lineStart(y) & (memory.size - 1)
    let count = p.lineBytes
    if start + count <= memory.size {
      convert(p, UnsafeRawPointer(memory.base) + start, target)
      return
    }
    // Over the end of memory.
    if scratch.count < count + 4 { scratch = [UInt8](repeating: 0, count: count + 4) }
    scratch.withUnsafeMutableBytes { line in
      for n in 0..<count {
        line[n] = memory.base.load(
          fromByteOffset: (start + n) & (memory.size - 1), as: UInt8.self)
      }
      convert(p, UnsafeRawPointer(line.baseAddress.unsafelyUnwrapped), target)
    }
  }

  private func convert(
    _ p: LinearPicture, _ line: UnsafeRawPointer, _ target: UnsafeMutablePointer<UInt32>
  ) {
    let width = p.width
    switch p.format {
    case .indexed8:
      palette.withUnsafeBufferPointer { colours in
        let colours = colours.baseAddress.unsafelyUnwrapped
        for x in 0..<width {
          target[x] = colours[Int(line.load(fromByteOffset: x, as: UInt8.self))]
        }
      }
    case .rgb15:
      for x in 0..<width {
        let v = UInt32(line.loadUnaligned(fromByteOffset: 2 &* x, as: UInt16.self).littleEndian)
        let (r, g, b) = (v >> 10 & 31, v >> 5 & 31, v & 31)
        target[x] =
          0xFF00_0000 | (r << 3 | r >> 2) << 16 | (g << 3 | g >> 2) << 8 | (b << 3 | b >> 2)
      }
    case .rgb16:
      for x in 0..<width {
        let v = UInt32(line.loadUnaligned(fromByteOffset: 2 &* x, as: UInt16.self).littleEndian)
        let (r, g, b) = (v >> 11 & 31, v >> 5 & 63, v & 31)
        target[x] =
          0xFF00_0000 | (r << 3 | r >> 2) << 16 | (g << 2 | g >> 4) << 8 | (b << 3 | b >> 2)
      }
    case .rgb24:
      for x in 0..<width {
        let at = 3 &* x
        let b = UInt32(line.load(fromByteOffset: at, as: UInt8.self))
        let g = UInt32(line.load(fromByteOffset: at &+ 1, as: UInt8.self))
        let r = UInt32(line.load(fromByteOffset: at &+ 2, as: UInt8.self))
        target[x] = 0xFF00_0000 | r << 16 | g << 8 | b
      }
    case .rgb32:
      for x in 0..<width {
        let v = line.loadUnaligned(fromByteOffset: 4 &* x, as: UInt32.self).littleEndian
        target[x] = v | 0xFF00_0000
      }
    }
  }
}
