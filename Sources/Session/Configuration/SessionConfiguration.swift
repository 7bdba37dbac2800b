// Everything that a session is made from, as a value.
//
// Owns: the choices and their defaults. Must not know: how they are written on a command line, how a session carries them out.
// The checks are in SessionChecks.swift.

import Host
import Machine
import Snapshots

/// What a session is made from. The defaults are a headless run of a machine without disks, as fast as the host can.
///
///     var configuration = SessionConfiguration()
///     configuration.drives[.floppy(0)] = .file("dos.img", .snapshot)
///     configuration.steps = [.expect("A:\\>"), .type(try KeyScript.parse("ver<enter>"), "ver")]
///     let end = try Session(configuration).run()
public struct SessionConfiguration: Sendable {
  /// The machine. Images may be in its drives already; those of `drives` are opened when the session is made.
  public var machine = MachineConfiguration()
  /// What goes into the drives.
  public var drives: [SessionDrive: SessionImage] = [:]
  /// The disks that a user takes turns with in each floppy drive, as they are written; the first is in the drive.
  public var floppyLists: [[String]] = [[], []]
  /// The same for the first CD drive.
  public var cdList: [String] = []
  /// The first of `cdList` is not in the drive yet.
  public var beginsWithoutCD = false

  // MARK: Time

  /// How virtual time follows the host's.
  public var speed = Speed.max
  /// Whether the number of instructions in a virtual second follows what the host can do; only where `speed` is a factor.
  public var adaptsRate = false
  /// Whether the rate stays below what software of the processor's time bears (`CPUModel.automaticRate`) when it follows the host.
  public var limitsRate = true

  // MARK: What comes in and goes out

  /// Where the serial ports lead, in order.
  public var serial: [CharacterTarget] = []
  /// Where the guest's output to ports E9h and 402h goes.
  public var debugConsole: CharacterTarget?
  /// What is typed and waited for, in order. When the last step is an expectation, meeting it ends the run.
  public var steps: [ScriptStep] = []

  // MARK: Limits

  /// Instructions, counted from power-on, at which the run ends.
  public var instructionLimit: UInt64?
  /// Seconds of the host after which the run ends.
  public var timeout: Double?

  // MARK: Before and after

  /// The template that the machine goes on from; its disks are in the drives.
  public var template: MachineTemplate?
  /// A saved state to continue from.
  public var loadState: LoadFile?
  /// It may belong to other contents of the disks; nothing must be written to these.
  public var acceptsOtherDisks = false
  /// Keys and mouse buttons that were held when the state was saved are let go.
  public var releasesHeldInput = true
  /// Where the state is written when the session ends.
  public var saveState: String?
  /// What is done about snapshots of the machine.
  public var snapshots = SnapshotUse.automatic
  /// Where they are; nil: beside the first image.
  public var snapshotFolder: String?
  /// Whether a machine that was made what it was at a snapshot goes on from there; otherwise it boots.
  public var resumesSnapshot = true
  /// A machine that its user or the host ends (its window closed, a signal, as at logout) is kept as it is, and goes on from there at its next
  /// start.
  public var suspendsAtEnd = false
  /// The guest's clock goes by the host's: of a machine that was suspended it is set ahead by the time that went by.
  public var followsHostTime = false
  /// The machine comes from another process, and so do its disks (`Session.imagesHaveCome`).
  public var disksComeLater = false
  /// A snapshot of this name is taken when the session ends.
  public var takenAtEnd: String?
  /// How the session was asked for, to be noted in snapshots.
  public var arguments: [String] = []
  /// Where the run is written down.
  public var record: String?
  /// What is noted in the recording for people.
  public var recordingNotes: [(key: String, value: String)] = []
  /// The recording to be repeated. `adopt` sets what belongs to it.
  public var replay: NamedRecording?
  /// Where a picture of the screen is written when the session ends (PNG).
  public var screenshot: String?

  // MARK: What is told

  /// Whether the outcome has hashes of the machine's state, which cost a look at all of its memory.
  public var hashesState = false
  /// Whether the outcome has statistics of where the time went.
  public var collectsStatistics = false

  public init() {}

  /// The most that the rate adapts itself to.
  var mostInstructionsPerSecond: UInt64 { limitsRate ? machine.cpu.automaticRate : .max }

  /// The host's time of day, for `machine.initialTime`. A run that begins with it is not repeated by the same configuration, but by its
  /// recording.
  public static var hostTime: Int64 { HostClock.localSeconds() }

  /// Takes a recording to be repeated, and what it brings along: time, rate, what a triple fault does, the boot menu.
  public mutating func adopt(_ recording: NamedRecording) {
    let recorded = recording.recording
    machine.initialTime = recorded.initialTime
    if recorded.firstInstruction == 0 {
      machine.instructionsPerSecond = recorded.instructionsPerSecond
    }
    machine.resetsOnTripleFault = recorded.resetsOnTripleFault
    machine.offersBootMenu = recorded.offersBootMenu
    adaptsRate = false
    replay = recording
  }
}

/// A recording and the name of its file.
public struct NamedRecording: Sendable {
  public var recording: Recording
  public var path: String

  public init(_ recording: Recording, path: String) {
    self.recording = recording
    self.path = path
  }
}
