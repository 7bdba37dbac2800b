// Names for addresses.
//
// Owns: the table, looking up by name and by address. Must not know: file formats (SymbolFiles.swift).

/// A name for a linear address.
public struct DebugSymbol: Equatable, Sendable {
  public var name: String
  public var address: UInt32
  /// Bytes it covers, 0 when unknown.
  public var size: UInt32

  public init(_ name: String, _ address: UInt32, size: UInt32 = 0) {
    self.name = name
    self.address = address
    self.size = size
  }
}

/// All symbols that were loaded.
final class SymbolTable {
  private(set) var symbols: [DebugSymbol] = []
  private var byName: [String: UInt32] = [:]
  /// How far beyond a symbol of unknown size an address still belongs to it.
  private static let reach: UInt32 = 0x4000

  var count: Int { symbols.count }

  func add(_ new: [DebugSymbol]) {
    symbols += new
    symbols.sort { ($0.address, $0.name) < ($1.address, $1.name) }
    for symbol in new where byName[symbol.name] == nil { byName[symbol.name] = symbol.address }
  }

  func removeAll() {
    symbols = []
    byName = [:]
  }

  /// Defines or moves one symbol.
  func define(_ name: String, _ address: UInt32) {
    symbols.removeAll { $0.name == name }
    byName[name] = nil
    add([DebugSymbol(name, address)])
  }

  func address(of name: String) -> UInt32? { byName[name] }

  /// The bytes that a symbol covers, where its file says so.
  func size(of name: String) -> UInt32? {
    guard let address = byName[name] else { return nil }
    return symbols.first { $0.address == address && $0.name == name && $0.size > 0 }?.size
  }

  /// The symbol at or before an address and the distance.
  func nearest(_ address: UInt32) -> (symbol: DebugSymbol, offset: UInt32)? {
    var low = 0
    var high = symbols.count
    while low < high {
      let middle = (low + high) / 2
      if symbols[middle].address <= address { low = middle + 1 } else { high = middle }
    }
    if low == 0 { return nil }
    // Of several names at one address the first in the table.
    var n = low - 1
    while n > 0, symbols[n - 1].address == symbols[n].address { n -= 1 }
    let symbol = symbols[n]
    let offset = address - symbol.address
    let end = symbol.size == 0 ? SymbolTable.reach : symbol.size
    return offset < end || offset == 0 ? (symbol, offset) : nil
  }

  /// "name", "name+1f", or nil.
  func text(_ address: UInt32) -> String? {
    guard let found = nearest(address) else { return nil }
    return found.offset == 0 ? found.symbol.name : found.symbol.name + "+" + hexDigits(found.offset)
  }

  /// Names that begin with a text, for completion; at most `limit`.
  func names(startingWith prefix: String, limit: Int) -> [String] {
    var found: [String] = []
    for symbol in symbols where symbol.name.hasPrefix(prefix) {
      found.append(symbol.name)
      if found.count == limit { break }
    }
    return found
  }
}
