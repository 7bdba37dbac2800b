// The two 8237A DMA controllers of a PC/AT with their page registers (Intel 8237A data sheet, 231466; IBM AT Technical Reference).
//
// Owns: addresses, counts, modes and masks of eight channels (4 is the cascade), and moving a device's bytes to and from memory.
// Must not know: any device that uses a channel. Memory-to-memory transfers are not provided (a PC's channel 0 and 1 lack the wiring).
//
//   00h-07h / C0h-CEh (even)   base and current address, base and current count, low byte first (byte pointer flip-flop)
//   08h / D0h  read status, write command        0Ch / D8h  clear byte pointer
//   09h / D2h  request                           0Dh / DAh  read temporary, write master clear
//   0Ah / D4h  single mask                       0Eh / DCh  clear all masks
//   0Bh / D6h  mode                              0Fh / DEh  all masks
//   80h-8Fh    page registers: 87h, 83h, 81h, 82h channels 0-3; 8Bh, 89h, 8Ah channels 5-7; the others are scratch; 80h POST code

import Bus
import State

/// What a DMA transfer did.
public struct DMATransfer: Equatable, Sendable {
  /// How many of the offered bytes were moved.
  public var count: Int
  /// Whether the channel reached its terminal count; the device stops then.
  public var terminalCount: Bool
}

/// The direction in which the guest programmed a channel (mode register bits 3-2).
public enum DMADirection: UInt8, Sendable {
  /// Addresses and counts run but nothing is moved.
  case verify = 0
  /// From the device to memory ("write transfer").
  case toMemory = 1
  /// From memory to the device ("read transfer").
  case fromMemory = 2
  /// Not defined by the data sheet; acts as verify.
  case illegal = 3
}

private struct DMAChannel {
  var baseAddress: UInt16 = 0
  var baseCount: UInt16 = 0
  var address: UInt16 = 0
  var count: UInt16 = 0
  var mode: UInt8 = 0

  var direction: DMADirection { DMADirection(rawValue: mode >> 2 & 3) ?? .verify }
  var autoInit: Bool { mode & 0x10 != 0 }
  var decrement: Bool { mode & 0x20 != 0 }
  var isCascade: Bool { mode & 0xC0 == 0xC0 }
}

private struct DMAController {
  var channels = [DMAChannel](repeating: DMAChannel(), count: 4)
  var command: UInt8 = 0
  /// Terminal-count bits of the status register.
  var reached: UInt8 = 0
  /// Software requests.
  var requests: UInt8 = 0
  /// DREQ inputs, shown in the status register.
  var dreq: UInt8 = 0
  var mask: UInt8 = 0x0F
  var temporary: UInt8 = 0
  var highByte = false

  mutating func masterClear() {
    command = 0
    reached = 0
    requests = 0
    temporary = 0
    highByte = false
    mask = 0x0F
  }

  var disabled: Bool { command & 0x04 != 0 }

  mutating func read(_ register: UInt8) -> UInt8 {
    switch register {
    case 0...7:
      let channel = channels[Int(register >> 1)]
      let value = register & 1 == 0 ? channel.address : channel.count
      defer { highByte.toggle() }
      return UInt8(truncatingIfNeeded: highByte ? value >> 8 : value)
    case 8:
      defer { reached = 0 }
      return (dreq | requests) << 4 | reached
    case 13: return temporary
    case 15: return 0xF0 | mask
    default: return 0xFF
    }
  }

  mutating func write(_ register: UInt8, _ value: UInt8) {
    let named = Int(value & 3)
    switch register {
    case 0...7: writeHalf(Int(register >> 1), isCount: register & 1 != 0, value)
    case 8: command = value
    case 9: requests = value & 4 != 0 ? requests | 1 << named : requests & ~(1 << named)
    case 10: mask = value & 4 != 0 ? mask | 1 << named : mask & ~(1 << named)
    case 11: channels[named].mode = value & 0xFC
    case 12: highByte = false
    case 13: masterClear()
    case 14: mask = 0
    case 15: mask = value & 0x0F
    default: break
    }
  }

  private mutating func writeHalf(_ n: Int, isCount: Bool, _ value: UInt8) {
    func merged(_ old: UInt16) -> UInt16 {
      highByte ? old & 0x00FF | UInt16(value) << 8 : old & 0xFF00 | UInt16(value)
    }
    // Base and current registers are written together.
    if isCount {
      channels[n].baseCount = merged(channels[n].baseCount)
      channels[n].count = merged(channels[n].count)
    } else {
      channels[n].baseAddress = merged(channels[n].baseAddress)
      channels[n].address = merged(channels[n].address)
    }
    highByte.toggle()
  }

  func save(to writer: inout StateWriter) {
    for channel in channels {
      for word in [channel.baseAddress, channel.baseCount, channel.address, channel.count] {
        writer.write(word)
      }
      writer.write(channel.mode)
    }
    for byte in [command, reached, requests, dreq, mask, temporary] { writer.write(byte) }
    writer.write(highByte)
  }

  mutating func restore(from reader: inout StateReader) throws(StateError) {
    for n in 0..<4 {
      channels[n].baseAddress = try reader.read()
      channels[n].baseCount = try reader.read()
      channels[n].address = try reader.read()
      channels[n].count = try reader.read()
      channels[n].mode = try reader.read(UInt8.self) & 0xFC
    }
    command = try reader.read()
    reached = try reader.read(in: 0...15)
    requests = try reader.read(in: 0...15)
    dreq = try reader.read(in: 0...15)
    mask = try reader.read(in: 0...15)
    temporary = try reader.read()
    highByte = try reader.readBool()
  }
}

/// Eight DMA channels: 0-3 move bytes, 5-7 move words, 4 cascades the first controller.
public final class DMA8237Pair: Device, Registers {
  public let stateName = "dma"

  /// The ports to register: 00h-0Fh, 80h-8Fh, C0h-DFh.
  /// Offsets: 00-0F the first controller, 10-1F the page registers, 20-3F the second controller.
  public static let ports: [(ClosedRange<UInt16>, offset: UInt32)] = [
    (0x00...0x0F, 0x00), (0x80...0x8F, 0x10), (0xC0...0xDF, 0x20),
  ]

  /// Told of each byte written to port 80h (POST codes). Guests write there for delays: no reference counting.
  private var postCodes: Unmanaged<PostCodes>?

  /// Connects port 80h.
  /// - Parameter postCodes: must live as long as this object.
  public func connect(_ postCodes: PostCodes) {
    self.postCodes = Unmanaged.passUnretained(postCodes)
  }

  private var controllers = [DMAController(), DMAController()]
  private var pages = [UInt8](repeating: 0, count: 16)
  private let memory: any DMAMemory

  /// The page register of each channel, as an offset from 80h (channel 4: the refresh page, unused).
  private static let pageIndex: [Int] = [7, 3, 1, 2, 15, 11, 9, 10]

  /// - Parameter memory: Where transfers go to and come from; kept.
  public init(memory: any DMAMemory) {
    self.memory = memory
    reset(.power)
  }

  public func reset(_ kind: ResetKind) {
    for n in 0..<2 {
      let dreq = controllers[n].dreq
      controllers[n] = DMAController()
      controllers[n].dreq = dreq
    }
    pages = [UInt8](repeating: 0, count: 16)
    // The cascade as firmware leaves it, so that a kernel loaded without firmware finds the first controller connected.
    // A master clear of the second controller masks it, as on hardware.
    controllers[1].channels[0].mode = 0xC0
    controllers[1].mask = 0x0E
  }

  // MARK: Devices

  /// Shows a device's request line in the status register. Devices that use `transferToMemory` and `transferFromMemory` directly
  /// may leave it out.
  public func setRequest(channel: Int, _ level: Bool) {
    guard DMA8237Pair.isDeviceChannel(channel) else { return }
    let bit = UInt8(1) << (channel & 3)
    if level {
      controllers[channel >> 2].dreq |= bit
    } else {
      controllers[channel >> 2].dreq &= ~bit
    }
  }

  /// Whether a request on the channel would be served now: unmasked, controllers enabled, not in cascade mode.
  public func isReady(channel: Int) -> Bool {
    guard DMA8237Pair.isDeviceChannel(channel) else { return false }
    let controller = controllers[channel >> 2]
    if controller.disabled || controller.mask & (1 << (channel & 3)) != 0 { return false }
    if controller.channels[channel & 3].isCascade { return false }
    // The first controller's hold request passes through channel 4.
    if channel < 4 { return controllers[1].mask & 1 == 0 && !controllers[1].disabled }
    return true
  }

  /// The direction the channel is programmed for.
  public func direction(channel: Int) -> DMADirection {
    guard DMA8237Pair.isDeviceChannel(channel) else { return .illegal }
    return controllers[channel >> 2].channels[channel & 3].direction
  }

  /// How many bytes the channel takes until its terminal count.
  public func bytesLeft(channel: Int) -> Int {
    guard DMA8237Pair.isDeviceChannel(channel) else { return 0 }
    let count = Int(controllers[channel >> 2].channels[channel & 3].count) + 1
    return channel < 4 ? count : count * 2
  }

  /// A device offers bytes. As many as the channel takes are moved to memory, at most to the terminal count; on 16-bit
  /// channels only whole words. A channel that is not ready takes nothing; one that is not programmed for a write transfer counts
  /// without touching memory.
  public func transferToMemory(channel: Int, from bytes: UnsafeRawBufferPointer) -> DMATransfer {
    guard isReady(channel: channel) else { return DMATransfer(count: 0, terminalCount: false) }
    let writes = direction(channel: channel) == .toMemory
    return run(channel, bytes.count) { offset, address, length in
      if writes {
        memory.dmaWrite(
          address, from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length]))
      }
    }
  }

  /// A device asks for bytes. As many as the channel gives are read from memory, at most to the terminal count. A channel that
  /// is not programmed for a read transfer counts and gives FFh, as a floating bus.
  public func transferFromMemory(
    channel: Int, into bytes: UnsafeMutableRawBufferPointer
  ) -> DMATransfer {
    guard isReady(channel: channel) else { return DMATransfer(count: 0, terminalCount: false) }
    let reads = direction(channel: channel) == .fromMemory
    return run(channel, bytes.count) { offset, address, length in
      let part = UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<offset + length])
      if reads {
        memory.dmaRead(address, into: part)
      } else {
        for i in part.indices { part[i] = 0xFF }
      }
    }
  }

  private static func isDeviceChannel(_ n: Int) -> Bool { (0...7).contains(n) && n != 4 }

  /// Walks the channel over at most `size` bytes and calls `move(offset, physical address, length)` for each contiguous run.
  private func run(_ number: Int, _ size: Int, _ move: (Int, UInt32, Int) -> Void) -> DMATransfer {
    let unit = number < 4 ? 1 : 2
    var channel = controllers[number >> 2].channels[number & 3]
    let page = UInt32(pages[DMA8237Pair.pageIndex[number]])
    var offset = 0
    var reached = false
    while !reached && size - offset >= unit {
      var units = min((size - offset) / unit, Int(channel.count) + 1)
      // The address counter is 16 bits wide and never carries into the page.
      units = channel.decrement ? 1 : min(units, 0x10000 - Int(channel.address))
      let physical =
        unit == 1
        ? page << 16 | UInt32(channel.address)
        : (page & 0xFE) << 16 | UInt32(channel.address) << 1
      move(offset, physical, units * unit)
      offset += units * unit
      let step = UInt16(truncatingIfNeeded: units)
      channel.address = channel.decrement ? channel.address &- step : channel.address &+ step
      reached = units == Int(channel.count) + 1
      channel.count = channel.count &- step
    }
    if reached {
      let bit = UInt8(1) << (number & 3)
      controllers[number >> 2].reached |= bit
      controllers[number >> 2].requests &= ~bit
      if channel.autoInit {
        channel.address = channel.baseAddress
        channel.count = channel.baseCount
      } else {
        controllers[number >> 2].mask |= bit
      }
    }
    controllers[number >> 2].channels[number & 3] = channel
    return DMATransfer(count: offset, terminalCount: reached)
  }

  // MARK: Ports

  public func read(at offset: UInt32, width: Int) -> UInt32 {
    switch offset {
    case 0x00...0x0F: return UInt32(controllers[0].read(UInt8(offset)))
    case 0x10...0x1F: return UInt32(pages[Int(offset & 15)])
    case 0x20...0x3F: return UInt32(controllers[1].read(UInt8(offset >> 1 & 15)))
    default: return 0xFF
    }
  }

  public func write(at offset: UInt32, _ value: UInt32, width: Int) {
    let byte = UInt8(truncatingIfNeeded: value)
    switch offset {
    case 0x00...0x0F: controllers[0].write(UInt8(offset), byte)
    case 0x10...0x1F:
      pages[Int(offset & 15)] = byte
      if offset == 0x10 { postCodes?._withUnsafeGuaranteedRef { $0.write(byte) } }
    case 0x20...0x3F: controllers[1].write(UInt8(offset >> 1 & 15), byte)
    default: break
    }
  }

  public func save(to writer: inout StateWriter) {
    for controller in controllers { controller.save(to: &writer) }
    writer.write(bytes: pages)
  }

  public func restore(from reader: inout StateReader, version: UInt16) throws(StateError) {
    for n in 0..<2 { try controllers[n].restore(from: &reader) }
    pages = try reader.readBytes(count: 16)
  }
}

extension DMA8237Pair {
  public func inspect() -> [Field] {
    controllers.enumerated().map { n, c in
      var fields: [Field] = [
        .register("command", c.command), .register("mask", c.mask),
        .register("requests", c.requests), .register("dreq", c.dreq),
        .register("terminal count", c.reached), .register("temporary", c.temporary),
        .flag("high byte next", c.highByte),
      ]
      for (k, channel) in c.channels.enumerated() {
        let page = pages[DMA8237Pair.pageIndex[n * 4 + k]]
        // The second controller counts words; its page register's bit 0 is not used.
        let address =
          n == 0
          ? UInt32(page) << 16 | UInt32(channel.address)
          : UInt32(page & 0xFE) << 16 | UInt32(channel.address) << 1
        fields.append(
          .group(
            "channel \(n * 4 + k)",
            [
              .register("physical", address), .register("page", page),
              .register("address", channel.address), .register("count", channel.count),
              .register("base address", channel.baseAddress),
              .register("base count", channel.baseCount), .register("mode", channel.mode),
              .text("kind", ["demand", "single", "block", "cascade"][Int(channel.mode >> 6)]),
              .text(
                "direction",
                ["verify", "to memory", "from memory", "-"][Int(channel.mode >> 2 & 3)]),
              .flag("auto-init", channel.autoInit), .flag("downwards", channel.decrement),
              .flag("masked", c.mask >> UInt8(k) & 1 != 0),
            ]))
      }
      return .group("controller \(n)", fields)
    }
  }
}

extension DMA8237Pair {
  public static let part = PartType("dma", "two 8237A DMA controllers with page registers") {
    board, _ in
    let dma = DMA8237Pair(memory: try board.need(offer: (any DMAMemory).self, for: "dma"))
    for (ports, offset) in ports {
      try board.claim(dma, at: ports, offset: offset, owner: dma.stateName)
    }
    if let codes = board.offered(PostCodes.self) { dma.connect(codes) }
    board.offer(dma)
    try board.add(dma)
  }
}
