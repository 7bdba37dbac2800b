// A serial line's other end, carried out: a thread that receives, and output that is gathered and written in one go.
//
// Owns: descriptors, the receiving thread, what waits to be sent. Must not know: UARTs, virtual time.
// Output never holds up the machine where nobody may be listening (sockets, pseudo-terminals): the newest 256 KiB are kept for who
// comes next. Files and standard output get everything.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A two-way stream of bytes between a serial port and the host.
public final class CharacterChannel: @unchecked Sendable {
  /// What the receiving thread tells. Called on that thread.
  public struct Events: Sendable {
    /// Bytes came in. May block for as long as the machine cannot take them.
    public var received: @Sendable ([UInt8]) -> Void
    /// Nothing will come any more.
    public var ended: @Sendable () -> Void
    /// The user asked to leave (Ctrl-A X on the terminal).
    public var quit: @Sendable () -> Void
    /// The user asked for the debugger (Ctrl-A D on the terminal).
    public var debugger: @Sendable () -> Void
    /// Says yes to take bytes away from everybody else: a console has the terminal.
    public var taken: @Sendable ([UInt8]) -> Bool

    public init(
      received: @escaping @Sendable ([UInt8]) -> Void, ended: @escaping @Sendable () -> Void,
      quit: @escaping @Sendable () -> Void, debugger: @escaping @Sendable () -> Void = {},
      taken: @escaping @Sendable ([UInt8]) -> Bool = { _ in false }
    ) {
      self.received = received
      self.ended = ended
      self.quit = quit
      self.debugger = debugger
      self.taken = taken
    }
  }

  /// What was chosen.
  public let target: CharacterTarget
  /// What a user wants to know of it (the name of the pseudo-terminal), or nil.
  public private(set) var notice: String?
  /// Why output was lost, once it was.
  public var failure: String? { lock.locked { lost } }
  private var lost: String?
  /// Told once that output is being lost from now on: why, and whether it is a pipe that nobody reads any more. On the thread that sends.
  public var onFailure: (@Sendable (String, Bool) -> Void)?

  private static let keptOutput = 256 << 10
  private let lock = HostCondition()
  private var pending: [UInt8] = []
  private var output: Int32 = -1
  private var input: Int32 = -1
  private var listener: Int32 = -1
  private var spare: Int32 = -1
  /// A pipe that wakes the receiving thread; -1: there is no such thread.
  private var (wakeOut, wakeIn) = (Int32(-1), Int32(-1))
  private var isSocket = false
  private var mayDrop = false
  private var closing = false
  private var ownsSocketFile: String?

  /// Opens the host's side.
  public init(_ target: CharacterTarget) throws(HostError) {
    self.target = target
    switch target {
    case .null: break
    case .stdio:
      input = 0
      output = 1
      // Not even Ctrl-C ends it.
      if HostTerminal.isInteractive { notice = TerminalEscape.hint }
    case .file(let path):
      do { output = try HostFiles.openForWriting(path, O_CREAT | O_TRUNC) } catch {
        throw HostError("\(path): \(error)")
      }
    case .pty:
      let pty = try HostSockets.openPTY()
      (input, output, spare) = (pty.master, pty.master, pty.slave)
      HostSockets.makeNonBlocking(pty.master)
      notice = "serial port at \(pty.name)"
      mayDrop = true
    case .tcpServer(let port):
      listener = try HostSockets.listen(port: port)
      (isSocket, mayDrop) = (true, true)
    case .tcpClient(let host, let port):
      input = try HostSockets.connect(host: host, port: port)
      output = input
      (isSocket, mayDrop) = (true, true)
    case .unix(let path):
      let opened = try HostSockets.unix(path)
      if opened.isServer {
        listener = opened.descriptor
        ownsSocketFile = path
      } else {
        input = opened.descriptor
        output = input
      }
      (isSocket, mayDrop) = (true, true)
    }
  }

  /// Starts receiving, where there is anything to receive.
  public func start(_ events: Events) throws(HostError) {
    guard target.canReceive else { return }
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw HostError("no pipe: \(HostSockets.lastError)") }
    lock.locked { (wakeOut, wakeIn) = (ends[0], ends[1]) }
    if target == .stdio { HostTerminal.makeRaw() }
    let wake = ends[0]
    _ = try HostThread(detached: true) { [self] in
      receive(events, wake)
      lock.locked {
        closeDescriptor(wakeOut)
        closeDescriptor(wakeIn)
        (wakeOut, wakeIn) = (-1, -1)
        // What ended by itself may still be sent to.
        if closing { closeInputs() }
      }
    }
  }

  // MARK: Output

  /// Takes a byte for output; `flush` sends it.
  public func write(_ byte: UInt8) {
    if case .null = target { return }
    let isFull = lock.locked {
      if closing { return false }
      pending.append(byte)
      return pending.count >= 32 << 10
    }
    if isFull { flush() }
  }

  /// Sends what was gathered, as far as the other end takes it.
  public func flush() {
    lock.locked {
      if pending.isEmpty { return }
      send(untilDone: !mayDrop)
      if mayDrop, pending.count > CharacterChannel.keptOutput {
        pending.removeFirst(pending.count - CharacterChannel.keptOutput)
      }
    }
  }

  /// Sends the rest (for at most a second where nobody may be listening) and closes: nobody can connect any more, and nothing comes.
  public func close() {
    lock.locked {
      if closing { return }
      let end = HostClock.nanoseconds() &+ 1_000_000_000
      while output >= 0, !pending.isEmpty {
        let before = pending.count
        send(untilDone: !mayDrop)
        if pending.isEmpty || HostClock.nanoseconds() > end { break }
        if pending.count == before {
          var entry = pollfd(fd: output, events: Int16(POLLOUT), revents: 0)
          poll(&entry, 1, 100)
        }
      }
      closing = true
      if case .file = target, output >= 0, let reason = closeFile(output), lost == nil {
        lost = reason
        onFailure?(reason, false)
      }
      if isSocket, output >= 0 { shutdown(output, Int32(SHUT_RDWR)) }
      output = -1
      if let path = ownsSocketFile { HostSockets.removeFile(path) }
      // The descriptors are the receiving thread's as long as it is there.
      if wakeIn >= 0 {
        var byte: UInt8 = 0
        _ = systemWrite(wakeIn, &byte, 1)
      } else {
        closeInputs()
      }
    }
    if target == .stdio { HostTerminal.restore() }
  }

  /// With the lock held, when nobody receives any more. Standard input stays open.
  private func closeInputs() {
    for descriptor in [listener, input, spare] where descriptor > 0 { closeDescriptor(descriptor) }
    (listener, input, spare) = (-1, -1, -1)
  }

  /// Some file systems tell only now that they had no room.
  private func closeFile(_ descriptor: Int32) -> String? {
    #if canImport(Glibc)
      let result = Glibc.close(descriptor)
    #elseif canImport(Musl)
      let result = Musl.close(descriptor)
    #else
      let result = Darwin.close(descriptor)
    #endif
    return result == 0 ? nil : HostSockets.lastError
  }

  private func closeDescriptor(_ descriptor: Int32) {
    #if canImport(Glibc)
      _ = Glibc.close(descriptor)
    #elseif canImport(Musl)
      _ = Musl.close(descriptor)
    #else
      _ = Darwin.close(descriptor)
    #endif
  }

  /// With the lock held.
  private func send(untilDone: Bool) {
    var done = 0
    while output >= 0, done < pending.count {
      let sent = pending.withUnsafeBytes { bytes -> Int in
        let start = bytes.baseAddress! + done
        if isSocket {
          #if canImport(Darwin)
            return systemSend(output, start, bytes.count - done, MSG_DONTWAIT)
          #else
            return systemSend(
              output, start, bytes.count - done, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
          #endif
        }
        return systemWrite(output, start, bytes.count - done)
      }
      if sent > 0 {
        done += sent
        if target == .stdio { HostFiles.noteOutput(pending[done - 1]) }
      } else if errno == EINTR {
        continue
      } else if errno == EAGAIN && untilDone {
        var entry = pollfd(fd: output, events: Int16(POLLOUT), revents: 0)
        poll(&entry, 1, -1)
      } else if errno == EAGAIN {
        break
      } else {
        // The other end is gone. A server gets its next client from the receiving thread.
        if !mayDrop {
          let (reason, isClosed) = (HostFiles.reason(errno), errno == EPIPE)
          lost = reason
          onFailure?(reason, isClosed)
        }
        output = -1
      }
    }
    pending.removeFirst(done)
    if output < 0 && !mayDrop { pending.removeAll() }
  }

  private func systemSend(
    _ descriptor: Int32, _ start: UnsafeRawPointer, _ count: Int, _ flags: Int32
  ) -> Int {
    #if canImport(Glibc)
      Glibc.send(descriptor, start, count, flags)
    #elseif canImport(Musl)
      Musl.send(descriptor, start, count, flags)
    #else
      Darwin.send(descriptor, start, count, flags)
    #endif
  }

  private func systemWrite(_ descriptor: Int32, _ start: UnsafeRawPointer, _ count: Int) -> Int {
    #if canImport(Glibc)
      Glibc.write(descriptor, start, count)
    #elseif canImport(Musl)
      Musl.write(descriptor, start, count)
    #else
      Darwin.write(descriptor, start, count)
    #endif
  }

  // MARK: Input

  /// Waits until there is something to be had of a descriptor.
  /// - Returns: no: the channel is being closed.
  private func awaits(_ descriptor: Int32, _ wake: Int32) -> Bool {
    while true {
      var entries = [
        pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
      ]
      let count = poll(&entries, 2, -1)
      if count < 0 && errno == EINTR { continue }
      return count > 0 && entries[1].revents == 0
    }
  }

  private func receive(_ events: Events, _ wake: Int32) {
    var buffer = [UInt8](repeating: 0, count: 4096)
    var escape = TerminalEscape(isActive: target == .stdio && HostTerminal.isInteractive)
    while true {
      if input < 0 {
        if listener < 0 { break }
        guard awaits(listener, wake) else { return }
        let client = HostSockets.accept(listener)
        if client < 0 {
          if errno == EINTR || errno == ECONNABORTED { continue }
          break
        }
        input = client
        lock.locked { if !closing { output = client } }
        flush()
      }
      guard awaits(input, wake) else { return }
      let count = read(input, &buffer, buffer.count)
      if count > 0 {
        if target == .stdio, events.taken(Array(buffer[..<count])) { continue }
        let (bytes, command) = escape.filter(buffer[..<count])
        if !bytes.isEmpty { events.received(bytes) }
        switch command {
        case .quit: events.quit()
        case .debugger: events.debugger()
        case .help: HostFiles.print(Array(TerminalEscape.help.utf8), toError: true)
        case nil: break
        }
      } else if count < 0 && (errno == EINTR || errno == EAGAIN) {
        // A pseudo-terminal's master does not block; a terminal left non-blocking by another program does not either.
        continue
      } else if listener >= 0 {
        lock.locked { output = -1 }
        closeDescriptor(input)
        input = -1
      } else {
        break
      }
    }
    events.ended()
  }
}

/// Finds Ctrl-A commands in what is typed: Ctrl-A X leaves, Ctrl-A D asks for the debugger, Ctrl-A H for help, Ctrl-A Ctrl-A is a Ctrl-A for
/// the guest. What means nothing here goes to the guest with its Ctrl-A.
public struct TerminalEscape: Sendable {
  /// What the user wants.
  public enum Command: Sendable {
    case quit, debugger, help
  }

  /// What is said at the start.
  static let hint = "the terminal is the guest's: Ctrl-A X leaves, Ctrl-A H shows the keys"
  /// The keys; a raw terminal wants to be told to go to the left.
  static let help = """
    \r
    Ctrl-A X       leave\r
    Ctrl-A D       the debugger\r
    Ctrl-A Ctrl-A  a Ctrl-A for the guest\r
    Ctrl-A H       this help; all other keys are the guest's\r

    """

  private let isActive: Bool
  private var afterPrefix = false

  public init(isActive: Bool) { self.isActive = isActive }

  /// Returns what is for the guest, and what else the user asked for.
  public mutating func filter(_ bytes: some Collection<UInt8>) -> (
    bytes: [UInt8], command: Command?
  ) {
    if !isActive { return (Array(bytes), nil) }
    var command: Command?
    var kept: [UInt8] = []
    for byte in bytes {
      if afterPrefix {
        afterPrefix = false
        switch byte {
        case UInt8(ascii: "x"), UInt8(ascii: "X"): return (kept, .quit)
        case UInt8(ascii: "d"), UInt8(ascii: "D"): command = .debugger
        case UInt8(ascii: "h"), UInt8(ascii: "H"), UInt8(ascii: "?"): command = .help
        case 1: kept.append(1)
        default: kept += [1, byte]
        }
      } else if byte == 1 {
        afterPrefix = true
      } else {
        kept.append(byte)
      }
    }
    return (kept, command)
  }
}
