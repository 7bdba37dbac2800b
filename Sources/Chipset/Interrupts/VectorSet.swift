// A set of interrupt vectors, as local APICs hold three.
//
// Owns: the bits. Must not know: what is requested or in service.

import State

/// A set of interrupt vectors as the ISR, TMR and IRR hold them.
struct VectorSet {
  private(set) var words = [UInt32](repeating: 0, count: 8)

  /// The highest vector in the set, or nil.
  var highest: UInt8? {
    for index in stride(from: 7, through: 0, by: -1) where words[index] != 0 {
      return UInt8(index * 32 + 31 - words[index].leadingZeroBitCount)
    }
    return nil
  }

  subscript(_ vector: UInt8) -> Bool {
    get { words[Int(vector >> 5)] & (1 << UInt32(vector & 31)) != 0 }
    set {
      let bit = UInt32(1) << UInt32(vector & 31)
      if newValue { words[Int(vector >> 5)] |= bit } else { words[Int(vector >> 5)] &= ~bit }
    }
  }

  func save(to writer: inout StateWriter) { for word in words { writer.write(word) } }

  mutating func restore(from reader: inout StateReader) throws(StateError) {
    for index in 0..<8 { words[index] = try reader.read() }
    // Vectors 0-15 are never accepted.
    words[0] &= 0xFFFF_0000
  }
}
