// What is typed and waited for, in the order it was written.
//
// Owns: from the texts of the options to the steps of a script. Must not know: how a script is followed.

import Chipset
import Host
import Machine
import Session

extension Plan {
  /// Seconds of the guest for an expectation of a headless run that nothing else limits: a guest that waits for keys never ends by itself,
  /// and who started the run would wait for ever.
  static let expectationSeconds: UInt64 = 600

  private mutating func limitSteps(_ options: ApusOptions) {
    guard headless, timeout == nil, maxInstructions == nil, !isDebugged else { return }
    for index in steps.indices {
      if Plan.setLimit(Plan.expectationSeconds * 1_000_000_000, of: &steps[index]) {
        limitsByDefault = true
      }
    }
  }

  /// Gives a step that can wait its time.
  /// - Returns: false: it does not wait, or has one.
  private static func setLimit(_ limit: UInt64, of step: inout ScriptStep) -> Bool {
    switch step {
    case .await(var expectation) where expectation.limit == nil:
      expectation.limit = limit
      step = .await(expectation)
    // Only a CD drive's tray can be locked.
    case .change(.cd(let drive, let disc, false), let text, nil):
      step = .change(.cd(drive: drive, disc: disc), text, limit: limit)
    default: return false
    }
    return true
  }

  /// "TEXT" or "N:TEXT" for the N-th port.
  private func sending(_ text: String) throws -> ScriptStep {
    var (port, typed) = (0, Substring(text))
    if let digit = text.first?.wholeNumberValue, (1...4).contains(digit),
      text.dropFirst().first == ":"
    {
      (port, typed) = (digit - 1, text.dropFirst(2))
    }
    if typed.isEmpty { throw Failure.usage("--type-serial '\(text)': the text is empty") }
    if port >= configuration.serialPorts {
      throw Failure.usage(
        "--type-serial '\(text)': there is no serial port \(port + 1) (each --serial behind the second adds one)"
      )
    }
    do { return .send(port: port, try SerialText.parse(String(typed)), String(typed)) } catch {
      throw Failure.usage("--type-serial '\(text)': \(error)")
    }
  }

  /// "a=FILE", or "a=" for no disk; "!cd=FILE" opens a tray that the guest has locked.
  private func changing(_ text: String) throws -> ScriptStep {
    func refuse(_ reason: String, file: String? = nil) -> Failure {
      .usage("--change '\(text)': \(reason)", file: file)
    }
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2 else {
      throw refuse("DRIVE=FILE is wanted, or DRIVE= to take the disk out")
    }
    let isForced = parts[0].hasPrefix("!")
    let name = (isForced ? parts[0].dropFirst() : parts[0]).lowercased()
    let floppy = ["a", "b"].firstIndex(of: name)
    let cd = ["cd", "cd1", "cd2", "cd3", "cd4"].firstIndex(of: name).map { max(0, $0 - 1) }
    // Who has the drive's name wrong need not hear of the file.
    if floppy == nil && cd == nil {
      throw refuse("there is no drive '\(name)': a drive is a, b or cd (cd2 the second CD drive)")
    }
    if isForced && cd == nil {
      throw refuse("only the tray of a CD drive can be locked, and forced with !")
    }
    var choice: FloppyChoice?
    if !parts[1].isEmpty {
      let (path, isProtected) = FloppyChoice.parts(of: String(parts[1]))
      if !HostFiles.exists(path) { throw refuse("there is no file '\(path)'", file: path) }
      choice = FloppyChoice(path: path, isProtected: isProtected)
    }
    if let floppy { return .change(.floppy(drive: floppy, disk: choice), text) }
    return .change(.cd(drive: cd ?? 0, disc: choice, forced: isForced), text)
  }

  /// Refuses to change disks in drives that the machine does not have. To be called when the images are in their drives.
  func checkChanges() throws {
    for case .change(let input, let text, _) in steps {
      switch input {
      case .cd(let drive, _, _):
        let count = configuration.cds.count { $0 != nil }
        if drive < count { continue }
        throw Failure.usage(
          count == 0
            ? "--change '\(text)': there is no CD drive (--cdrom FILE makes one; --cdrom empty, one without a disc)"
            : "--change '\(text)': there is no CD drive \(drive + 1) (--cdrom, given again, makes one more)"
        )
      case .floppy(let drive, _):
        let isThere =
          configuration.floppyTypes[drive].map { $0 != .none }
          ?? (drive == 0 || configuration.floppies[drive] != nil)
        if isThere { continue }
        let name = drive == 0 ? "a" : "b"
        throw Failure.usage(
          "--change '\(text)': there is no floppy drive \(name.uppercased()) (--floppy-\(name) empty makes one without a disk)"
        )
      default: break
      }
    }
  }

  /// A button by its name.
  private func pressing(_ text: String) throws -> ScriptStep {
    switch text {
    case "power": return .change(.powerButton, text)
    case "reset": return .change(.reset(.system), text)
    default: throw Failure.usage("--press '\(text)': a button is power or reset")
    }
  }

  mutating func readSteps(_ options: ApusOptions) throws {
    var steps: [(Int, ScriptStep)] = []
    for item in options.type {
      do {
        steps.append((item.order, .type(try KeyScript.parse(item.text), item.text)))
      } catch {
        throw Failure.usage("--type '\(item.text)': \(error)")
      }
    }
    for item in options.typeSerial { steps.append((item.order, try sending(item.text))) }
    for item in options.press { steps.append((item.order, try pressing(item.text))) }
    for item in options.change { steps.append((item.order, try changing(item.text))) }
    let kinds: [(Awaited.Kind, String, [OrderedText])] = [
      (.text, "--expect", options.expect), (.line, "--expect-line", options.expectLine),
      (.regex, "--expect-regex", options.expectRegex),
      (.gone, "--expect-gone", options.expectGone),
    ]
    for (kind, name, items) in kinds {
      for item in items {
        do { steps.append((item.order, .await(try Awaited(kind, item.text)))) } catch {
          throw Failure.usage("\(name) '\(item.text)': \(error)")
        }
      }
    }
    for item in options.within {
      guard let seconds = Double(item.text), seconds > 0, seconds <= 1e9 else {
        throw Failure.usage("--within \(item.text): \(Plan.secondsWanted)")
      }
      let before = steps.indices.filter { steps[$0].0 < item.order }
      guard let index = before.max(by: { steps[$0].0 < steps[$1].0 }),
        Plan.setLimit(UInt64(seconds * 1e9), of: &steps[index].1)
      else {
        throw Failure.usage(
          "--within \(item.text): belongs behind an expectation or a --change of a CD, one for each"
        )
      }
    }
    self.steps = steps.sorted { $0.0 < $1.0 }.map(\.1)
    limitSteps(options)
    if configuration.bios == nil, loadState == nil, Plan.opensBootMenu(self.steps) {
      configuration.offersBootMenu = true
    }
  }

  /// Whether the first key that is typed is F12, while a PC shows its BIOS's prompt for it.
  private static func opensBootMenu(_ steps: [ScriptStep]) -> Bool {
    var waited = 0
    for step in steps {
      guard case .type(let strokes, _) = step else { return false }
      for stroke in strokes {
        guard case .wait(let milliseconds) = stroke else {
          return stroke == .press([.f12]) && waited < bootMenuMilliseconds
        }
        waited += milliseconds
      }
    }
    return false
  }

  /// How long the own BIOS waits for the key.
  private static let bootMenuMilliseconds = 1000
}
