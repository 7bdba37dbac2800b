// What a run writes.
//
// Owns: which files those are, refusing what would be overwritten although it is input, who has standard output. Must not know: what is
// written there.

import Host
import Machine

extension Plan {
  /// A picture is PNG, and alone where it is printed.
  func checkScreenshot() throws {
    if let path = screenshot {
      let name = path.split(separator: "/").last ?? ""
      let ending = name.contains(".") ? name.split(separator: ".").last ?? "" : ""
      if ending.lowercased() != "png", ending.contains(where: \.isLetter) {
        throw Failure.usage(
          "--screenshot \(path): only PNG is written; let the name end in .png", file: path)
      }
    }
    guard printsScreenshot else { return }
    let others: [(String, Bool)] = [
      ("--json", jsonTarget == .output), ("--screen-text", screenText),
      ("--debug-console -", debugConsole == .stdio),
      ("a serial port (--nographic, --serial stdio)", serial.contains(.stdio)),
    ]
    for (option, isThere) in others where isThere {
      throw Failure.usage(
        "--screenshot - and \(option) both write to standard output, where a picture must be alone")
    }
    if HostTerminal.isTerminal(1) {
      throw Failure.usage("--screenshot -: standard output is a terminal, which shows no pictures")
    }
  }

  /// Output files must be possible and must not be input.
  func checkOutputs(_ options: ApusOptions) throws {
    var inputs: [(String, String)] = options.images.map { ("an image", $0) }
    let floppies = (options.floppyA + options.floppyB).filter { Plan.drivesWithoutDisk[$0] == nil }
    let discs = options.cdrom.filter { ![Plan.emptyCDDrive, Plan.noCDDrive].contains($0) }
    inputs += (options.disks + floppies + discs).map { ("an image", $0) }
    for path in [options.hda, options.hdb, options.hdc, options.hdd, options.flash] {
      if let path { inputs.append(("an image", path)) }
    }
    inputs = inputs.map { ($0.0, FloppyChoice.parts(of: $0.1).path) }
    for path in [options.bios, options.kernel, options.loadState, options.replay] {
      if let path { inputs.append(("input", path)) }
    }
    inputs += (options.initrd + options.scripts.map(\.text)).map { ("input", $0) }
    inputs += configuration.roms.map { ("input", $0.file.path) }
    inputs += firmwarePaths.map { ("input", $0) }
    let outputs = outputFiles
    for (index, (option, path)) in outputs.enumerated() {
      for (what, input) in inputs
      where HostFiles.isSame(path, input)
        && !(option == "--save-state" && input == options.loadState)
      {
        throw Failure.usage("\(option) \(path): would overwrite \(what)", file: path)
      }
      for (other, second) in outputs[..<index] where HostFiles.isSame(path, second) {
        throw Failure.usage("\(option) and \(other) both write \(path)")
      }
      if let reason = HostFiles.refusalToWrite(path) {
        throw Failure.usage("\(option) \(path): \(reason)", file: path)
      }
    }
  }

  /// What will be written, by option.
  var outputFiles: [(option: String, path: String)] {
    var outputs: [(option: String, path: String)] = []
    if case .file(let path) = jsonTarget { outputs.append(("--json", path)) }
    if let path = screenshot { outputs.append(("--screenshot", path)) }
    if let path = saveState { outputs.append(("--save-state", path)) }
    if let path = record { outputs.append(("--record", path)) }
    if case .file(let path) = debugConsole { outputs.append(("--debug-console", path)) }
    for case .file(let path) in serial { outputs.append(("--serial", path)) }
    return outputs
  }

  /// Files besides the machine's own that the run reads or writes, and what they are.
  var filesInUse: [(what: String, path: String)] {
    var list: [(String, String)] = []
    if case .file(let path) = jsonTarget { list.append(("the report of --json", path)) }
    if let record { list.append(("the recording", record)) }
    if let replay { list.append(("the recording", replay.path)) }
    if let loadState { list.append(("the state that was loaded", loadState.path)) }
    if case .file(let path) = debugConsole { list.append(("the output of --debug-console", path)) }
    for case .file(let path) in serial { list.append(("the output of --serial", path)) }
    for case .file(let path) in debugCommands { list.append(("a script", path)) }
    for text in floppyLists.joined() + cdList {
      list.append(("an image", FloppyChoice.parts(of: text).path))
    }
    return list
  }
}
