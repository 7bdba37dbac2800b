// gdb's remote protocol: what packets ask for and what is answered.
//
// Owns: the packets, the order of replies. Must not know: sockets, machines (both are protocols here), the layout of registers.
// Follows: "Debugging with GDB", appendix E. A packet that is not known gets the empty reply, one that is wrong E01, memory that is
// not there E14, a breakpoint that cannot be set E22.

/// How the target goes on.
enum GDBResume: Equatable {
  case step, run, stepBack, runBack
  /// Steps while the next instruction lies in a range.
  case stepThrough(Range<UInt32>)
}

/// Why the target stands.
enum GDBStop: Equatable {
  case step
  case interrupted
  /// An instruction with a breakpoint of the client is next.
  case breakpoint(hardware: Bool)
  /// A watchpoint: which kind of the client's packets 2 to 4, and the address.
  case watchpoint(kind: Int, address: UInt32)
  /// Nothing further back is known.
  case historyBegins
  /// The recording that is replayed ends here.
  case historyEnds
  /// The guest cannot go on by itself: a text for the user.
  case stuck(String)
  /// It ended with this code; the host may have wanted it.
  case ended(code: UInt8, message: String)
}

/// What is debugged. Addresses are linear.
protocol GDBTarget: AnyObject {
  /// The target description.
  var description: String { get }
  var canGoBack: Bool { get }
  /// Whether the code that runs now is 16-bit.
  var is16Bit: Bool { get }
  /// How many bytes each register has, by number.
  var registerSizes: [Int] { get }
  func register(_ number: Int) -> [UInt8]
  /// Whether the value could be set. `bytes` has the register's size.
  func setRegister(_ number: Int, _ bytes: [UInt8]) -> Bool
  /// The bytes before the first that is not there.
  func read(_ address: UInt32, _ count: Int) -> [UInt8]
  func write(_ address: UInt32, _ bytes: [UInt8]) -> Bool
  /// Sets or removes a breakpoint or watchpoint of the packets' kinds 0 to 4.
  func insert(kind: Int, address: UInt32, length: UInt32) -> Bool
  func remove(kind: Int, address: UInt32, length: UInt32)
  func removeAll()
  func resume(_ how: GDBResume) -> GDBStop
  /// How many processors there are: threads to the client, counted from 1.
  var threadCount: Int { get }
  /// The one that registers and steps are of; after a run the one that stopped.
  var thread: Int { get }
  func select(thread: Int)
  /// What it is and does, in words.
  func threadText(_ thread: Int) -> String
  /// Carries out a command of the console; what it prints.
  func monitor(_ command: String) -> String
}

/// Where packets come from.
protocol GDBTransport: AnyObject {
  func send(_ bytes: [UInt8])
  /// Waits for what the client sends; nil: the session is to end.
  func next() -> GDBEvent?
  /// The target is about to run. A packet that comes from now on interrupts it.
  /// - Returns: no when a packet waits already.
  func beginRun() -> Bool
  /// The target stands.
  /// - Returns: whether the client knows nothing of the run that was interrupted, for it has just come.
  func endRun() -> Bool
}

/// One end of the protocol.
final class GDBServer {
  private let target: any GDBTarget
  private let transport: any GDBTransport
  private var acknowledges = true
  private var lastReply: [UInt8] = []
  private var stop = GDBStop.step
  private var knowsReasons = false
  /// What the client was last told of the size of code; it cannot be told but in words.
  private var told16Bit: Bool?
  private var isDetached: Bool
  private var isFinished = false

  /// - Parameter runs: the target runs until a client comes.
  init(_ target: any GDBTarget, _ transport: any GDBTransport, runs: Bool) {
    self.target = target
    self.transport = transport
    isDetached = runs
  }

  /// Serves clients until the target has ended, a client kills it, or the transport ends.
  func run() {
    while !isFinished {
      if isDetached && transport.beginRun() {
        stop = target.resume(.run)
        _ = transport.endRun()
        switch stop {
        case .ended: return
        case .interrupted: break
        // Nobody is there to be told; whoever comes finds it so.
        default: isDetached = false
        }
        continue
      }
      guard let event = transport.next() else { return }
      switch event {
      case .packet(let body): take(body)
      case .damaged: if acknowledges { transport.send([UInt8(ascii: "-")]) }
      case .acknowledged(true), .interrupt: break
      case .acknowledged(false): if !lastReply.isEmpty { transport.send(lastReply) }
      }
    }
  }

  private func take(_ body: [UInt8]) {
    isDetached = false
    // A client begins with one of these, and with acknowledgements.
    if body.starts(with: "qSupported".utf8) || body.starts(with: "QStartNoAckMode".utf8) {
      acknowledges = true
    }
    if acknowledges { transport.send([UInt8(ascii: "+")]) }
    guard let answer = answer(body) else { return }
    reply(answer)
    if body.elementsEqual("QStartNoAckMode".utf8) { acknowledges = false }
  }

  private func reply(_ body: [UInt8]) {
    lastReply = GDBPacket.frame(body)
    transport.send(lastReply)
  }

  // MARK: - Packets

  private static let ok = Array("OK".utf8)
  private static let malformed = Array("E01".utf8)
  private static let noMemory = Array("E14".utf8)
  private static let refused = Array("E22".utf8)

  /// The reply; nil when there is none.
  private func answer(_ body: [UInt8]) -> [UInt8]? {
    guard let first = body.first else { return [] }
    let rest = body.dropFirst()
    switch Character(UnicodeScalar(first)) {
    case "?": return stopReply()
    case "g":
      return GDBHex.encode(target.registerSizes.indices.flatMap { target.register($0) })
    case "G": return setRegisters(rest)
    case "p":
      guard let number = GDBHex.number(rest), number < target.registerSizes.count else {
        return GDBServer.malformed
      }
      return GDBHex.encode(target.register(Int(number)))
    case "P": return setRegister(rest)
    case "m":
      guard let (address, count) = range(rest) else { return GDBServer.malformed }
      // A reply is no longer than a packet.
      let bytes = target.read(address, min(Int(count), GDBParser.maximumLength / 2 - 16))
      return bytes.isEmpty && count > 0 ? GDBServer.noMemory : GDBHex.encode(bytes)
    case "M", "X": return write(rest, binary: first == UInt8(ascii: "X"))
    case "c", "s", "C", "S": return resume(Character(UnicodeScalar(first)), rest)
    case "b":
      guard target.canGoBack, rest.count == 1 else { return [] }
      switch rest.first {
      case UInt8(ascii: "s"): return resumed(.stepBack)
      case UInt8(ascii: "c"): return resumed(.runBack)
      default: return []
      }
    case "Z", "z": return breakpoint(rest, inserts: first == UInt8(ascii: "Z"))
    case "k":
      isFinished = true
      return nil
    case "D":
      target.removeAll()
      isDetached = true
      return GDBServer.ok
    case "H":
      // Hc is of old clients: what runs is all of them.
      if rest.first == UInt8(ascii: "g") { choose(rest.dropFirst()) }
      return GDBServer.ok
    case "T":
      guard let thread = GDBHex.number(rest), (1...target.threadCount).contains(Int(thread)) else {
        return GDBServer.malformed
      }
      return GDBServer.ok
    case "q", "Q", "v": return named(body)
    default: return []
    }
  }

  private func named(_ body: [UInt8]) -> [UInt8]? {
    func starts(_ name: String) -> Bool { body.starts(with: name.utf8) }
    if starts("qSupported") {
      let text = String(decoding: body, as: UTF8.self)
      knowsReasons = text.contains("swbreak+") || text.contains("hwbreak+")
      var features =
        "PacketSize=\(hexDigits(GDBParser.maximumLength));qXfer:features:read+;vContSupported+;"
        + "QStartNoAckMode+;swbreak+;hwbreak+"
      if target.canGoBack { features += ";ReverseStep+;ReverseContinue+" }
      return Array(features.utf8)
    }
    if starts("qXfer:features:read:") { return features(body) }
    if starts("qRcmd,") {
      guard let command = GDBHex.decode(body.dropFirst(6)) else { return GDBServer.malformed }
      _ = transport.beginRun()
      say(target.monitor(String(decoding: command, as: UTF8.self)))
      _ = transport.endRun()
      return GDBServer.ok
    }
    if starts("vCont;") {
      let action = body.dropFirst(6)
      // Only one processor can be asked to step; the others take their turns meanwhile.
      if let colon = action.firstIndex(of: UInt8(ascii: ":")), action.first != UInt8(ascii: "c") {
        choose(action[(colon + 1)...].prefix { $0 != UInt8(ascii: ";") })
      }
      guard let kind = action.first else { return GDBServer.malformed }
      switch kind {
      case UInt8(ascii: "c"), UInt8(ascii: "C"): return resumed(.run)
      case UInt8(ascii: "s"), UInt8(ascii: "S"): return resumed(.step)
      case UInt8(ascii: "r"):
        guard let (start, end) = range(action.dropFirst().prefix { $0 != UInt8(ascii: ":") })
        else { return GDBServer.malformed }
        return resumed(start < end ? .stepThrough(start..<end) : .step)
      default: return GDBServer.malformed
      }
    }
    if starts("vKill") {
      isFinished = true
      return GDBServer.ok
    }
    if starts("qHostInfo") {
      // lldb disassembles by this.
      let name = target.is16Bit ? "i386-unknown-none-code16" : "i386-unknown-unknown"
      let triple = String(decoding: GDBHex.encode(name.utf8), as: UTF8.self)
      return Array("triple:\(triple);endian:little;ptrsize:4;".utf8)
    }
    if starts("qAttached") { return Array("1".utf8) }
    if starts("qSymbol") { return GDBServer.ok }
    if starts("qThreadExtraInfo,"), target.threadCount > 1 {
      guard let thread = GDBHex.number(body.dropFirst(17)),
        (1...target.threadCount).contains(Int(thread))
      else { return GDBServer.malformed }
      return GDBHex.encode(target.threadText(Int(thread)).utf8)
    }
    switch String(decoding: body, as: UTF8.self) {
    case "vCont?": return Array("vCont;c;C;s;S;r".utf8)
    case "QStartNoAckMode": return GDBServer.ok
    case "qC": return Array("QC\(hexDigits(target.thread))".utf8)
    case "qfThreadInfo":
      return Array("m\((1...target.threadCount).map { hexDigits($0) }.joined(separator: ","))".utf8)
    case "qsThreadInfo": return Array("l".utf8)
    default: return []
    }
  }

  /// `qXfer:features:read:target.xml:OFFSET,LENGTH`.
  private func features(_ body: [UInt8]) -> [UInt8] {
    let parts = body.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    guard parts.count == 5, let (offset, length) = range(parts[4]) else {
      return GDBServer.malformed
    }
    guard parts[3].elementsEqual("target.xml".utf8) else { return Array("E00".utf8) }
    if offset == 0 { told16Bit = target.is16Bit }
    let text = Array(target.description.utf8)
    let start = min(Int(offset), text.count)
    // Escaped it may be twice as long.
    let part = text[start...].prefix(min(Int(length), GDBParser.maximumLength / 2 - 16))
    let isLast = start + part.count == text.count
    return [UInt8(ascii: isLast ? "l" : "m")] + GDBPacket.escape(part)
  }

  /// `ADDRESS,LENGTH`.
  private func range(_ text: ArraySlice<UInt8>) -> (UInt32, UInt32)? {
    let parts = text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
    guard parts.count == 2, let a = GDBHex.number(parts[0]), let b = GDBHex.number(parts[1])
    else { return nil }
    return (a, b)
  }

  private func setRegisters(_ text: ArraySlice<UInt8>) -> [UInt8] {
    let sizes = target.registerSizes
    guard let bytes = GDBHex.decode(text), bytes.count == sizes.reduce(0, +) else {
      return GDBServer.malformed
    }
    var start = 0
    for (number, size) in sizes.enumerated() {
      let value = Array(bytes[start..<start + size])
      start += size
      // Most stay; loading a segment register with what it holds is not nothing.
      if value != target.register(number), !target.setRegister(number, value) {
        return GDBServer.refused
      }
    }
    return GDBServer.ok
  }

  private func setRegister(_ text: ArraySlice<UInt8>) -> [UInt8] {
    let parts = text.split(separator: UInt8(ascii: "="), omittingEmptySubsequences: false)
    let sizes = target.registerSizes
    guard parts.count == 2, let number = GDBHex.number(parts[0]), number < sizes.count,
      let value = GDBHex.decode(parts[1]), value.count == sizes[Int(number)]
    else { return GDBServer.malformed }
    return target.setRegister(Int(number), value) ? GDBServer.ok : GDBServer.refused
  }

  private func write(_ text: ArraySlice<UInt8>, binary: Bool) -> [UInt8] {
    guard let colon = text.firstIndex(of: UInt8(ascii: ":")),
      let (address, count) = range(text[..<colon])
    else { return GDBServer.malformed }
    let data = text[(colon + 1)...]
    guard let bytes = binary ? GDBPacket.unescape(data) : GDBHex.decode(data),
      bytes.count == Int(count)
    else { return GDBServer.malformed }
    return bytes.isEmpty || target.write(address, bytes) ? GDBServer.ok : GDBServer.noMemory
  }

  /// `KIND,ADDRESS,LENGTH` with conditions behind, which are not supported and not announced.
  private func breakpoint(_ text: ArraySlice<UInt8>, inserts: Bool) -> [UInt8] {
    let parts = text.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
    guard parts.count == 3, let kind = GDBHex.number(parts[0]),
      let address = GDBHex.number(parts[1]),
      let length = GDBHex.number(parts[2].prefix { $0 != UInt8(ascii: ";") })
    else { return GDBServer.malformed }
    if kind > 4 { return [] }
    if inserts {
      let done = target.insert(kind: Int(kind), address: address, length: length)
      return done ? GDBServer.ok : GDBServer.refused
    }
    target.remove(kind: Int(kind), address: address, length: length)
    return GDBServer.ok
  }

  // MARK: - Running

  /// `c [ADDRESS]`, `s [ADDRESS]`, `C SIGNAL[;ADDRESS]`, `S SIGNAL[;ADDRESS]`; a PC has no signals.
  private func resume(_ letter: Character, _ text: ArraySlice<UInt8>) -> [UInt8]? {
    var address = text
    if letter == "C" || letter == "S" {
      address = text.drop { $0 != UInt8(ascii: ";") }.dropFirst()
    }
    if !address.isEmpty {
      guard let value = GDBHex.number(address) else { return GDBServer.malformed }
      let bytes = withUnsafeBytes(of: value.littleEndian) { Array($0) }
      if !target.setRegister(GDBRegisters.eip, bytes) { return GDBServer.refused }
    }
    return resumed(letter == "c" || letter == "C" ? .run : .step)
  }

  private func resumed(_ how: GDBResume) -> [UInt8]? {
    guard transport.beginRun() else {
      // The client does not wait for this run to end.
      return stopReply()
    }
    stop = target.resume(how)
    let isNew = transport.endRun()
    if isNew && stop == .interrupted { return nil }
    tellCodeSize()
    return stopReply()
  }

  /// The description cannot change while a client is there; a word to the user can be said.
  private func tellCodeSize() {
    guard let told16Bit, told16Bit != target.is16Bit else { return }
    if case .ended = stop { return }
    self.told16Bit = target.is16Bit
    say(
      target.is16Bit
        ? "16-bit code from here on (set architecture i8086)\n"
        : "32-bit code from here on (set architecture i386)\n")
  }

  /// A thread that the client named; 0 and -1 mean any and all.
  private func choose(_ text: ArraySlice<UInt8>) {
    guard let thread = GDBHex.number(text), (1...target.threadCount).contains(Int(thread)) else {
      return
    }
    target.select(thread: Int(thread))
  }

  private func stopReply() -> [UInt8] {
    let thread = "thread:\(hexDigits(target.thread));"
    let text: String
    switch stop {
    case .step: text = "T05\(thread)"
    case .interrupted: text = "T02\(thread)"
    case .breakpoint(let hardware):
      text = knowsReasons ? "T05\(thread)\(hardware ? "hwbreak" : "swbreak"):;" : "T05\(thread)"
    case .watchpoint(let kind, let address):
      let name = kind == 2 ? "watch" : kind == 3 ? "rwatch" : "awatch"
      text = "T05\(thread)\(name):\(hexDigits(address));"
    case .historyBegins: text = "T05\(thread)replaylog:begin;"
    case .historyEnds: text = "T05\(thread)replaylog:end;"
    case .stuck(let message):
      say(message + "\n")
      text = "T06\(thread)"
    case .ended(let code, let message):
      say(message + "\n")
      isFinished = true
      text = "W" + hexDigits(code, 2)
    }
    return Array(text.utf8)
  }

  /// Text for the client's console; only while it waits for a reply.
  private func say(_ text: String) {
    let bytes = Array(text.utf8)
    var start = 0
    while start < bytes.count {
      let end = min(start + 1024, bytes.count)
      reply([UInt8(ascii: "O")] + GDBHex.encode(bytes[start..<end]))
      start = end
    }
  }
}
