// A running machine as a window sees it.
//
// Owns: what crosses between the machine's thread and the front end's: pictures, sound, input, the words of the title.
// Must not know: window systems. Nothing here changes the guest except through the input queue.

import Bus
import Host
import Machine
import Storage
import Synchronization
import Video

/// The thread-safe face of a machine.
public final class MachineWindow: FrontendMachine {
  private struct Status {
    var running = true
    var mouse = false
    var hearsButton = false
    var title = ""
    /// What the machine stands for, in place of its speed.
    var standing: String?
    /// What runs, and the drive whose disk that is.
    var subject: String?
    var subjectPlace: SubjectPlace?
    var messages: [FrontendMessage] = []
    /// The disks for each floppy drive and each CD drive, and which of them comes next.
    var disks = [[String]](repeating: [], count: MachineWindow.cdList + MachineWindow.mostCDDrives)
    var next = [Int](repeating: 0, count: MachineWindow.cdList + MachineWindow.mostCDDrives)
    /// The CD drive that the window's keys mean.
    var cdDrive = 0
  }

  public let frames = FrameMailbox()
  private let input: InputQueue
  var inputQueue: InputQueue { input }
  private let speaker = SpeakerSynth()
  private let status = Mutex(Status())
  private let hasDebugger = Atomic<Bool>(false)
  private let outside = Mutex<(@Sendable (String) -> Void)?>(nil)

  /// Does what is asked of snapshots; it must not wait.
  private let snapshots = Mutex<(@Sendable (FrontendRequest) -> Void)?>(nil)

  /// Says who does what is asked of snapshots.
  func setSnapshots(_ body: @escaping @Sendable (FrontendRequest) -> Void) {
    snapshots.withLock { $0 = body }
  }

  init(input: InputQueue) { self.input = input }

  public func post(keyUsage: UInt16, down: Bool) {
    input.post(.key(usage: keyUsage, down: down))
  }

  public var hasMouse: Bool { status.withLock { $0.mouse } }

  public var hearsPowerButton: Bool { status.withLock { $0.hearsButton } }

  public func postMouse(dx: Int, dy: Int, wheel: Int, horizontal: Int, buttons: UInt8) {
    input.post(
      .pointer(right: dx, down: dy, wheelAway: wheel, wheelRight: horizontal, buttons: buttons))
  }

  public func paste(_ text: String) { input.post(.text(text)) }

  public var titleStatus: String { status.withLock { $0.standing ?? $0.title } }

  public var subject: String? { status.withLock { $0.subject } }

  /// Says what runs.
  /// - Parameters:
  ///   - name: a file's name; nil: nothing that has one.
  ///   - place: the drive whose disk it is; the title follows it when the disk is changed.
  public func setSubject(_ name: String?, in place: SubjectPlace? = nil) {
    status.withLock { ($0.subject, $0.subjectPlace) = (name, place) }
  }

  /// A drive whose disk the title names.
  public enum SubjectPlace: Equatable, Sendable {
    /// A floppy drive, 0: A.
    case floppy(Int)
    /// A CD drive, 0: the first.
    case cd(Int)

    func disk(_ machine: Machine) -> String? {
      switch self {
      case .floppy(let drive):
        machine.floppyDrives.indices.contains(drive) ? machine.floppyDrives[drive].disk : nil
      case .cd(let drive):
        // Without its disc the title names one that is there.
        machine.cdDriveStatus.indices.contains(drive)
          ? machine.cdDriveStatus[drive].disc
            ?? machine.cdDriveStatus.lazy.compactMap(\.disc).first : nil
      }
    }
  }

  /// Says that the machine stands, and why; nil: it runs.
  public func setStanding(_ reason: String?) {
    status.withLock { $0.standing = reason }
    frames.wake()
  }

  public var isRunning: Bool { status.withLock { $0.running } }

  public func requestStop() { input.requestStop(.user) }

  // MARK: Requests and messages

  public func request(_ request: FrontendRequest) {
    switch request {
    case .debugger:
      if hasDebugger.load(ordering: .relaxed) {
        send(.notice("the debugger has the terminal; c goes on"))
        input.requestBreak()
      } else {
        send(.notice("no debugger here: start apus in a terminal for it"))
      }
    case .pause(let paused): input.setPaused(paused)
    case .reset: input.post(.reset(.system))
    case .powerButton: input.post(.powerButton)
    case .saveState(let directory):
      input.requestTask { [weak self] in self?.save($0, in: directory) }
    case .takeSnapshot, .goBack:
      let ask = snapshots.withLock { $0 }
      if let ask { ask(request) } else { send(.notice("this machine has no snapshots")) }
    case .copyText:
      input.requestTask { [weak self] machine in
        guard let rows = machine.screenText else {
          self?.send(.notice("the screen shows graphics: there is no text to copy"))
          return
        }
        let last = rows.lastIndex { !$0.isEmpty } ?? -1
        self?.send(.copied(rows[...last].joined(separator: "\n")))
      }
    case .insert(let drive, let path):
      input.post(.floppy(drive: drive, disk: FloppyChoice(path: path)))
    case .eject(let drive):
      offerAgain(drive)
      input.post(.floppy(drive: drive, disk: nil))
    case .insertCD(let drive, let path):
      input.post(.cd(drive: drive, disc: FloppyChoice(path: path, isProtected: true)))
    case .nextCD: input.requestTask { [weak self] in self?.putNextCD($0) }
    case .drop(let paths, let second): drop(paths, second: second)
    case .otherCDDrive: input.requestTask { [weak self] in self?.chooseCDDrive($0) }
    case .ejectCD(let drive):
      let drive = drive ?? status.withLock { $0.cdDrive }
      offerAgain(MachineWindow.cdList + drive)
      input.post(.cd(drive: drive, disc: nil))
    case .nextDisk(let drive):
      guard let path = nextDisk(drive) else {
        let name = drive == 0 ? "A" : "B"
        let option = "--floppy-\(name.lowercased())"
        send(.notice("there is no other disk for \(name) (give \(option) several times)"))
        return
      }
      let (file, isProtected) = FloppyChoice.parts(of: path)
      input.post(.floppy(drive: drive, disk: FloppyChoice(path: file, isProtected: isProtected)))
    }
  }

  /// Puts the next CD in, or has the guest asked to let go of the one that is there: then the next one is still the next. On the machine's
  /// thread.
  private func putNextCD(_ machine: Machine) {
    let drive = status.withLock { $0.cdDrive }
    guard let path = nextDisk(MachineWindow.cdList + drive, takes: false) else {
      send(
        .notice(
          "there is no other CD" + (drive == 0 ? "" : " for CD\(drive + 1)")
            + " (give --cdrom-next FILE, or drop several files)"))
      return
    }
    let disc = FloppyChoice(path: FloppyChoice.parts(of: path).path, isProtected: true)
    let change = MachineInput.cd(drive: drive, disc: disc)
    if machine.isHeld(change) {
      input.post(.cd(drive: drive, disc: nil))
    } else {
      _ = nextDisk(MachineWindow.cdList + drive)
      input.post(change)
    }
  }

  /// The window's keys mean the next CD drive from now on. On the machine's thread.
  private func chooseCDDrive(_ machine: Machine) {
    let drives = machine.cdDriveStatus
    guard drives.count > 1 else {
      send(.notice("there is \(drives.isEmpty ? "no" : "only one") CD drive"))
      return
    }
    let drive = status.withLock {
      $0.cdDrive = ($0.cdDrive + 1) % min(drives.count, MachineWindow.mostCDDrives)
      return $0.cdDrive
    }
    let disc = drives[drive].disc.map { DroppedFiles.name($0) } ?? "no disc"
    send(
      .notice(
        "Ctrl+Alt+B is for CD\(drive == 0 ? "" : "\(drive + 1)"), the \(drives[drive].place): \(disc)"
      ))
  }

  /// Names the disks for a drive.
  /// - Parameter next: which of them comes next; as a rule the first one is in the drive or goes into it now.
  public func setDisks(_ drive: Int, _ paths: [String], next: Int = 1) {
    status.withLock { status in
      guard status.disks.indices.contains(drive) else { return }
      status.disks[drive] = paths
      status.next[drive] = next
    }
  }

  /// The CD drive that the window's keys mean, 0: the first.
  var chosenCDDrive: Int { status.withLock { $0.cdDrive } }

  /// Which of the lists is the first CD drive's; those of the others follow.
  static let cdList = 2
  /// As many as the cables have places.
  static let mostCDDrives = 4

  /// The only disk for a drive that is ejected is the next one for it.
  private func offerAgain(_ drive: Int) {
    status.withLock { status in
      guard status.disks.indices.contains(drive), status.disks[drive].count == 1 else { return }
      status.next[drive] = 0
    }
  }

  /// - Parameter takes: whether the one behind it is next from now on.
  private func nextDisk(_ drive: Int, takes: Bool = true) -> String? {
    status.withLock { status in
      guard status.disks.indices.contains(drive) else { return nil }
      // A single one can be put in where nothing was, but not changed for another.
      let count = status.disks[drive].count
      guard count > (status.next[drive] == 0 ? 0 : 1) else { return nil }
      let index = status.next[drive] % count
      if takes { status.next[drive] = index + 1 }
      return status.disks[drive][index]
    }
  }

  public func takeMessage() -> FrontendMessage? {
    status.withLock { $0.messages.isEmpty ? nil : $0.messages.removeFirst() }
  }

  /// Shows a line, and has it told outside.
  func say(_ line: String) {
    send(.notice(line))
    tell(line)
  }

  private func send(_ message: FrontendMessage) {
    status.withLock {
      // Who does not look gets the latest.
      if $0.messages.count >= 16 { $0.messages.removeFirst() }
      $0.messages.append(message)
    }
    frames.wake()
  }

  func tellUser(_ line: String) { send(.notice(line)) }

  public func tell(_ line: String) { outside.withLock { $0 }?(line) }

  /// Who else hears what the window tells its user: what was saved, and what was not.
  public func setOutside(_ listener: @escaping @Sendable (String) -> Void) {
    outside.withLock { $0 = listener }
  }

  private func save(_ machine: Machine, in directory: String) {
    let line: String
    do throws(StorageError) {
      line = NumberedFile.save(
        try machine.stateFile(named: "the state"), in: directory, suffix: "state")
    } catch {
      line = "not saved: \(error)"
    }
    send(.notice(line))
    tell(line)
  }

  /// Whether a debugger takes over when the window asks for it.
  public func setDebugger(_ present: Bool) { hasDebugger.store(present, ordering: .relaxed) }

  public func speakerSamples(into buffer: UnsafeMutableBufferPointer<Int16>, rate: Int) {
    speaker.fill(buffer, rate: rate)
  }

  /// The machine has ended; the front end follows.
  public func markEnded() {
    status.withLock { $0.running = false }
    frames.wake()
  }

  /// Connects a machine: from now on it shows itself here. Call on the machine's thread before it runs.
  public static func attach(to machine: Machine) -> MachineWindow {
    let pacing = machine.pacing
    let window = MachineWindow(input: machine.input)
    machine.input.addSource()
    machine.pit.recordSpeaker(true)
    machine.keyboardController.mouse.reportingChanged = { [weak window] on in
      window?.status.withLock { $0.mouse = on }
    }
    window.status.withLock { $0.mouse = machine.keyboardController.mouse.reporting }
    let told = machine.notice
    machine.notice = { [weak window] notice in
      told(notice)
      window?.send(.notice(notice))
    }
    let painter = Painter()
    pacing.picture = { [unowned pacing] in
      pacing.isFollowed = painter.update(window, $0) { pacing.pictureChanged() }
    }
    pacing.picture?(machine)
    return window
  }

  /// What the machine's thread keeps for showing itself.
  private final class Painter {
    private let renderer = FrameRenderer()
    private var frame = Frame(width: 720, height: 400)
    private var lastFrame: UInt64 = 0
    private var lastTitle: UInt64 = 0
    private var lastInstructions: UInt64 = 0
    private var lastVirtual: UInt64 = 0
    private var hasTitle = false
    /// Virtual time of the speaker's last change.
    private var lastSound: UInt64 = 0

    private static let frameTime: UInt64 = 16_000_000
    private static let titleTime: UInt64 = 500_000_000
    /// How long the speaker counts as being used after a change.
    private static let soundTime: UInt64 = 1_000_000_000

    /// Makes what is due.
    /// - Parameter changed: called when there is a new picture.
    /// - Returns: whether it wants to be called again soon: a picture waits for its time, or there is sound.
    func update(_ window: MachineWindow, _ machine: Machine, changed: () -> Void) -> Bool {
      let host = HostClock.nanoseconds()
      let virtual = machine.clock.now
      let sound = machine.pit.speaker.drain(until: virtual)
      if !sound.isEmpty || virtual < lastSound { lastSound = virtual }
      window.speaker.push(sound, until: virtual)
      var waits = false
      if renderer.isStale(machine.vga) {
        if host &- lastFrame >= Painter.frameTime {
          lastFrame = host
          renderer.render(machine.vga, into: &frame)
          window.frames.publish(&frame)
          changed()
        } else {
          waits = true
        }
      }
      if !hasTitle || host &- lastTitle >= Painter.titleTime {
        let seconds = Double(host &- lastTitle) / 1e9
        var title = ""
        if hasTitle {
          let speed = Double(virtual &- lastVirtual) / 1e7 / seconds
          title = "\(Int(speed.rounded())) %"
          title += " at \(machine.clock.instructionsPerSecond / 1_000_000) MIPS"
        }
        for failure in machine.imageFailures { title += ", error of \(failure.name)" }
        hasTitle = true
        lastTitle = host
        lastVirtual = virtual
        window.status.withLock {
          $0.title = title
          $0.hearsButton = machine.tellsOfPowerButton
          if let place = $0.subjectPlace {
            $0.subject = place.disk(machine).map { String($0.split(separator: "/").last ?? "") }
          }
        }
      }
      return waits || virtual &- lastSound < Painter.soundTime
    }
  }
}
