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
      guard case .await(var expectation) = steps[index], expectation.limit == nil else { continue }
      expectation.limit = Plan.expectationSeconds * 1_000_000_000
      steps[index] = .await(expectation)
      limitsByDefault = true
    }
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

  /// "a=FILE", or "a=" for no disk.
  private func changing(_ text: String) throws -> ScriptStep {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2 else {
      throw Failure.usage(
        "--change '\(text)': DRIVE=FILE is wanted, or DRIVE= to take the disk out")
    }
    var choice: FloppyChoice?
    if !parts[1].isEmpty {
      let (path, isProtected) = FloppyChoice.parts(of: String(parts[1]))
      if !HostFiles.exists(path) {
        throw Failure.usage("--change '\(text)': there is no such file", file: path)
      }
      choice = FloppyChoice(path: path, isProtected: isProtected)
    }
    switch parts[0].lowercased() {
    case "a": return .change(.floppy(drive: 0, disk: choice), text)
    case "b": return .change(.floppy(drive: 1, disk: choice), text)
    case "cd", "cd1": return .change(.cd(drive: 0, disc: choice), text)
    case "cd2", "cd3", "cd4":
      return .change(.cd(drive: Int(parts[0].suffix(1))! - 1, disc: choice), text)
    default: throw Failure.usage("--change '\(text)': a drive is a, b or cd")
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
      guard
        let index = steps.indices.filter({ steps[$0].0 < item.order }).max(by: {
          steps[$0].0 < steps[$1].0
        }), case .await(var expectation) = steps[index].1, expectation.limit == nil
      else {
        throw Failure.usage("--within \(item.text): belongs behind an expectation, one for each")
      }
      expectation.limit = UInt64(seconds * 1e9)
      steps[index].1 = .await(expectation)
    }
    self.steps = steps.sorted { $0.0 < $1.0 }.map(\.1)
    limitSteps(options)
  }
}
