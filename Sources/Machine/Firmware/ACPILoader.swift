// What firmware is asked to do with the tables, as a list of commands.
//
// Owns: the form of the list. Must not know: what is in the files.
// Follows: QEMU's table loader, which SeaBIOS, OVMF and the own BIOS carry out: commands of 128 bytes, little-endian, names of 56 bytes.
//
//   1 allocate   4 file, 60 alignment, 64 byte: 1 anywhere, 2 below 1 MiB
//   2 point      4 file, 60 the file whose address is added, 116 where, 120 byte: width of the field, which holds an offset in that file
//   3 sum        4 file, 60 where the byte is that makes the sum 0, 64 from, 68 how many bytes

import Chipset

/// The list.
struct ACPILoader {
  private(set) var bytes: [UInt8] = []
  /// How many bytes a command has.
  static let commandSize = 128
  /// How many a name has, with a 0 at least behind it.
  static let nameSize = 56

  /// A file is put into memory.
  /// - Parameter align: a power of two.
  mutating func allocate(_ file: String, align: UInt32, below1MiB: Bool) {
    command(1) {
      $0.name(file)
      $0.put(align)
      $0.put(UInt8(below1MiB ? 2 : 1))
    }
  }

  /// The address of another file is added to a field.
  /// - Parameter width: 4 or 8 bytes.
  mutating func point(_ file: String, at offset: Int, width: UInt8, to other: String) {
    command(2) {
      $0.name(file)
      $0.name(other)
      $0.put(UInt32(offset))
      $0.put(width)
    }
  }

  /// A byte is made so that the bytes of a range add up to 0; it has to be 0 before.
  mutating func sum(_ file: String, at offset: Int, of range: Range<Int>) {
    // Sums come last: addresses are in the ranges.
    command(3, isLast: true) {
      $0.name(file)
      $0.put(UInt32(offset))
      $0.put(UInt32(range.lowerBound))
      $0.put(UInt32(range.count))
    }
  }

  /// Where the sums begin.
  private var sums = 0

  private mutating func command(
    _ number: UInt32, isLast: Bool = false, _ make: (inout ACPIBytes) -> Void
  ) {
    var command = ACPIBytes()
    command.put(number)
    make(&command)
    command.fill(ACPILoader.commandSize - command.bytes.count)
    if isLast {
      bytes += command.bytes
    } else {
      bytes.insert(contentsOf: command.bytes, at: sums)
      sums += ACPILoader.commandSize
    }
  }
}

extension ACPIBytes {
  fileprivate mutating func name(_ text: String) {
    let characters = Array(text.utf8.prefix(ACPILoader.nameSize - 1))
    bytes += characters
    fill(ACPILoader.nameSize - characters.count)
  }
}
