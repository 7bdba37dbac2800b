// Recording a run: what comes from outside goes to a file as it comes.
//
// Owns: gathering events into frames, when the machine is hashed, what is done when the file cannot be written.
// Must not know: devices.
// A machine that sleeps and is left alone adds nothing: hashes come by executed instructions, not by time.

import Host
import State
import Storage

/// Writes a recording.
public final class RecordingWriter {
  /// Where the bytes go.
  public struct Target {
    var append: ([UInt8]) throws(HostError) -> Void
    var close: () throws(HostError) -> Void
    var discard: () -> Void

    /// - Parameters:
    ///   - append: takes further bytes.
    ///   - close: nothing will follow.
    ///   - discard: nothing will follow, and there is nothing to be kept.
    public init(
      append: @escaping ([UInt8]) throws(HostError) -> Void,
      close: @escaping () throws(HostError) -> Void = { () throws(HostError) in },
      discard: @escaping () -> Void = {}
    ) {
      self.discard = discard
      self.append = append
      self.close = close
    }

    /// A new file; an old one of that name is emptied.
    public static func file(_ path: String) throws(HostError) -> Target {
      let file = try HostAppendFile(path)
      return Target(
        append: { (bytes) throws(HostError) in try file.append(bytes) },
        close: { () throws(HostError) in try file.close() }, discard: { file.discard() })
    }
  }

  private let target: Target
  private var payload: [UInt8] = []
  private var frames: UInt64 = 0
  private var lastInstruction: UInt64
  private var lastCheckpoint: UInt64
  private var isFinished = false
  /// Why nothing more is recorded, once that is so.
  public private(set) var failure: HostError?
  /// How many bytes were written.
  public private(set) var byteCount = 0

  /// Executed instructions between two hashes of the machine.
  static let checkpointInterval: UInt64 = 1 << 29
  private static let fullFrame = 32 << 10

  init(_ target: Target, header: RecordingHeader, executed: UInt64) throws(HostError) {
    self.target = target
    lastInstruction = header.instruction
    lastCheckpoint = executed
    do throws(HostError) { try target.append(RecordingFormat.magic) } catch {
      target.discard()
      throw error
    }
    byteCount = RecordingFormat.magic.count
    payload = RecordingFormat.bytes(header)
    flush()
    if let failure {
      // Without its header it is no recording.
      target.discard()
      throw failure
    }
  }

  func add(_ input: MachineInput, at instruction: UInt64, check: UInt16) {
    add(.input(input, check: check), at: instruction)
  }

  private func add(_ event: RecordedEvent, at instruction: UInt64) {
    if isFinished || failure != nil { return }
    RecordingFormat.append(event, after: instruction &- lastInstruction, to: &payload)
    lastInstruction = instruction
    if payload.count >= RecordingWriter.fullFrame { flush() }
  }

  /// Leaves what was gathered with the host. Called often; does nothing when there is nothing.
  func flush() {
    if payload.isEmpty || failure != nil { return }
    let frame = RecordingFormat.frame(payload, number: frames)
    frames += 1
    payload.removeAll(keepingCapacity: true)
    do throws(HostError) {
      try target.append(frame)
      byteCount += frame.count
    } catch {
      failure = error
    }
  }

  /// Hashes the machine when enough was executed since the last time.
  func considerCheckpoint(_ machine: Machine) {
    let executed = machine.executedInstructions
    if executed &- lastCheckpoint < RecordingWriter.checkpointInterval || isFinished { return }
    lastCheckpoint = executed
    add(.checkpoint(machine.checkpoint()), at: machine.instructionCount)
  }

  /// Ends the recording.
  func finish(_ stop: StopReason, _ machine: Machine) {
    if isFinished { return }
    add(.end(stop, machine.checkpoint()), at: machine.instructionCount)
    flush()
    isFinished = true
    do throws(HostError) { try target.close() } catch { failure = failure ?? error }
  }
}

extension Machine {
  /// Records from here on. Call before the machine runs.
  /// - Parameter notes: what may help people: names of files, the command line.
  /// - Throws: `HostError` or `StorageError` in one line.
  public func startRecording(
    to target: RecordingWriter.Target, notes: [(key: String, value: String)] = []
  ) throws {
    var header = RecordingHeader()
    header.identity = try recordingIdentity()
    header.notes = notes + media.map { (SavedMedium.words($0), SavedMedium.baseName($1.name)) }
    header.initialTime = configuration.initialTime
    header.instructionsPerSecond = clock.instructionsPerSecond
    header.instruction = instructionCount
    header.stateHash = recordingStateHash()
    header.parts = partNames
    recorder = try RecordingWriter(target, header: header, executed: executedInstructions)
  }

  /// Ends the recording: why the run ended, and a last hash. Later input is not recorded.
  public func finishRecording(_ stop: StopReason) { recorder?.finish(stop, self) }

  /// Repeats a recorded run from its beginning. Call before the machine runs; `run` then ends with `.recordingEnd`, as the guest ended
  /// in the recording, or with `.replayDiffers`.
  /// - Throws: what is not the same as it was, in one line.
  public func startReplay(_ recording: Recording) throws {
    let header = recording.header
    try compare(try recordingIdentity(), with: header)
    if header.instruction != instructionCount {
      throw RecordingError(
        reason: header.instruction == 0
          ? "recorded from power-on, but this machine was started from a saved state: leave that out"
          : "recorded from a saved state at instruction \(header.instruction); this machine is at instruction "
            + "\(instructionCount): give "
            + (instructionCount == 0 ? "that state too (--load-state)" : "that state instead"))
    }
    if header.stateHash != recordingStateHash() {
      throw RecordingError(
        reason: header.instruction == 0
          ? "the machine is not the same at power-on as it was in the recording"
          : "recorded from another saved state")
    }
    try checkInsertedDisks(recording)
    journal = Journal(recording)
  }

  /// A hash of the state without what images hold, which is compared by itself.
  private func recordingStateHash() -> UInt64 {
    let checkpoint = checkpoint()
    var hash = StateHash()
    for part in checkpoint.parts { hash.add(UInt64(part)) }
    hash.add(checkpoint.memory)
    return hash.value
  }
}
