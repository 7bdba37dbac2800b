// A PCI bus: who is in which slot, and where the interrupt pins go.
//
// Owns: the functions, the way of configuration cycles to them, the four interrupt lines. Must not know: any particular function, how a
// guest makes configuration cycles, where the lines lead.
// Follows: PCI Local Bus Specification 2.1 (2.2.6 interrupt pins, 3.7.4 configuration cycles).

import State

/// A function of a device on a PCI bus.
public protocol PCIFunction: Device {
  /// Its configuration space, which it saves and resets as a part of itself.
  var configuration: PCIConfiguration { get }
  /// A guest has written into configuration space: what base address registers map has followed already.
  /// - Parameters:
  ///   - offset: the first byte.
  ///   - width: 1, 2 or 4 bytes.
  func configurationWritten(at offset: Int, width: Int)
}

extension PCIFunction {
  public func configurationWritten(at offset: Int, width: Int) {}
}

/// The bus behind the host bridge, bus 0.
public final class PCIBus {
  /// The interrupt lines PIRQA# to PIRQD#; high while one of those who share them asserts its pin. The pin of slot S that is numbered P
  /// (INTA# 1) is at line (P + S - 2) mod 4, as boards with this chip set are wired and as emulators have it.
  public let interrupts: [Signal]
  private let lines: [Line]
  private var functions: [UInt8: any PCIFunction] = [:]
  unowned let board: Board
  let pages: PCIPages

  /// - Parameter board: must outlive it.
  public init(_ board: Board) {
    self.board = board
    pages = PCIPages(board)
    interrupts = (0..<4).map { _ in Signal() }
    lines = interrupts.map { Line($0) }
    for line in lines { board.resynchronize(line) }
  }

  /// Puts a function into a slot, and on the board as a device.
  /// - Parameters:
  ///   - slot: 0 to 31; nil: the first that is free from 2 on.
  ///   - number: the function, 0 to 7.
  public func add(_ function: any PCIFunction, slot: Int?, function number: Int = 0)
    throws(BoardError)
  {
    let name = function.stateName
    let free = (2..<32).first { slot in
      (0..<8).allSatisfy { functions[UInt8(slot << 3 | $0)] == nil }
    }
    guard let slot = slot ?? free, (0..<32).contains(slot), (0..<8).contains(number) else {
      throw BoardError("\(name): there is no free PCI slot")
    }
    let position = UInt8(slot << 3 | number)
    if let other = functions[position] {
      throw BoardError("\(name): PCI slot \(slot).\(number) is \(other.stateName)'s")
    }
    let header = functions[UInt8(slot << 3)]?.configuration[byte: 0x0E] ?? 0
    if number != 0 && header & 0x80 == 0 {
      throw BoardError("\(name): PCI slot \(slot) has one function only")
    }
    try board.add(function)
    functions[position] = function
    let configuration = function.configuration
    configuration.position = position
    configuration.bus = self
    let pin = Int(configuration[byte: PCIConfiguration.Register.interruptPin])
    if pin != 0 { configuration.interrupt = lines[(pin + slot - 2) & 3].driver() }
    configuration.updateMappings()
  }

  /// The functions, in the order of their positions.
  public var all: [any PCIFunction] { functions.sorted { $0.key < $1.key }.map(\.value) }

  /// The function at a position (`slot << 3 | function`), or nil.
  public subscript(position: UInt8) -> (any PCIFunction)? { functions[position] }

  // MARK: Configuration cycles

  /// Reads configuration space; all ones where nobody answers.
  /// - Parameters:
  ///   - bus: only 0 is there.
  ///   - offset: 0 to 255, with `width` inside a dword.
  public func read(bus: UInt8, _ position: UInt8, _ offset: Int, width: Int) -> UInt32 {
    guard bus == 0, let function = functions[position] else { return UInt32.max }
    return function.configuration.read(offset, width)
  }

  /// Writes configuration space; lost where nobody answers.
  public func write(bus: UInt8, _ position: UInt8, _ offset: Int, _ value: UInt32, width: Int) {
    guard bus == 0, let function = functions[position] else { return }
    function.configuration.write(offset, value, width)
    function.configurationWritten(at: offset, width: width)
  }
}
