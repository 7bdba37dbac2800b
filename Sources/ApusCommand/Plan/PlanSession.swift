// What of a plan is the session's.
//
// Owns: the short names under which options are read into a session's configuration. Must not know: options.

import Host
import Machine
import Session

extension Plan {
  var configuration: MachineConfiguration {
    get { session.machine }
    _modify { yield &session.machine }
  }
  /// All disks that were named for drives A and B, as they were written.
  var cdList: [String] {
    get { session.cdList }
    set { session.cdList = newValue }
  }
  var floppyLists: [[String]] {
    get { session.floppyLists }
    set { session.floppyLists = newValue }
  }
  var speed: Speed {
    get { session.speed }
    set { session.speed = newValue }
  }
  var adaptsRate: Bool {
    get { session.adaptsRate }
    set { session.adaptsRate = newValue }
  }
  var limitsRate: Bool {
    get { session.limitsRate }
    set { session.limitsRate = newValue }
  }
  var serial: [CharacterTarget] {
    get { session.serial }
    set { session.serial = newValue }
  }
  var debugConsole: CharacterTarget? {
    get { session.debugConsole }
    set { session.debugConsole = newValue }
  }
  var steps: [ScriptStep] {
    get { session.steps }
    set { session.steps = newValue }
  }
  var timeout: Double? {
    get { session.timeout }
    set { session.timeout = newValue }
  }
  var maxInstructions: UInt64? {
    get { session.instructionLimit }
    set { session.instructionLimit = newValue }
  }
  var screenshot: String? {
    get { session.screenshot }
    set { session.screenshot = newValue }
  }
  var saveState: String? {
    get { session.saveState }
    set { session.saveState = newValue }
  }
  var loadState: LoadFile? {
    get { session.loadState }
    set { session.loadState = newValue }
  }
  /// The state may be continued on other contents than its own; nothing is written to them.
  var forcesState: Bool {
    get { session.acceptsOtherDisks }
    set { session.acceptsOtherDisks = newValue }
  }
  var record: String? {
    get { session.record }
    set { session.record = newValue }
  }
  /// The recording to be repeated.
  var replay: NamedRecording? { session.replay }

  /// The session to be made, with what belongs to how it is reported.
  var finalSession: SessionConfiguration {
    var result = session
    result.hashesState = json && !debugs
    result.collectsStatistics = stats
    result.recordingNotes = images.map { (key: "image", value: $0.path) }
    result.recordingNotes.append(
      ("command line", (["apus"] + HostPath.arguments).joined(separator: " ")))
    return result
  }
}
