// `apus conform program`: test programs that judge themselves.
//
// Owns: ROM images and multiboot kernels run to their end in a whole machine, and what they are expected to have done.
// Must not know: what the programs test.

import ArgumentParser
import CPU
import Chipset
import Conformance
import Host
import Machine
import Session

struct ConformPrograms: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "program",
    abstract: "Runs ROM images and multiboot kernels that test the processor themselves.",
    discussion: """
      A multiboot or Linux kernel passes when it writes the expected value to the exit port (0 unless --expect-exit says otherwise; 38, \
      exit status 77, counts as excluded). It finds the ports and the memory of QEMU's pc-testdev. \
      Any other file is a ROM of up to 128 KB that ends at the top of the first megabyte and, by an alias, at the top of 4 GB, where \
      the processor starts; it passes when its POST codes and output are as expected and it ends in HLT with interrupts disabled.

      With --expect-state FILE.json the image must end in HLT with the registers and memory that the file gives; a file with a "mode" \
      also says how the image is loaded and started, without a machine around it.

        apus conform program test386.bin --post-port 190 --expect-post ff --text-port e9 --expect-output reference.txt
        apus conform program realmode.flat smap.flat
      """)

  @Argument(help: ArgumentHelp("ROM images and kernels.", valueName: "file"))
  var files: [String]
  @Option(
    help: ArgumentHelp(
      "386, 486, pentium, pentium-mmx, pentium2, pentium3 or pentium4.", valueName: "model"))
  var cpu = "pentium2"
  @Option(
    help: ArgumentHelp(
      "interpreter, translator, or lockstep: two machines side by side, which must agree in everything.",
      valueName: "engine"))
  var engine = "interpreter"
  @Option(
    help: ArgumentHelp(
      "What carries out x87 instructions: software, or host, which only translated code does. (default: what the engine does best)",
      valueName: "unit"))
  var fpu: String?
  @Option(help: ArgumentHelp("Megabytes of memory.", valueName: "MB"))
  var memory = 128
  @Option(
    help: ArgumentHelp("Where a ROM is to lie, E0000 to FFFFF, hexadecimal.", valueName: "address"))
  var address: String?
  @Option(help: ArgumentHelp("The port of POST codes, hexadecimal.", valueName: "port"))
  var postPort = "80"
  @Option(
    help: ArgumentHelp(
      "A port whose bytes are output, hexadecimal; without it E9h and the first serial port.",
      valueName: "port"))
  var textPort: String?
  @Option(help: ArgumentHelp("The port by which a program ends, hexadecimal.", valueName: "port"))
  var exitPort = "f4"
  @Option(
    help: ArgumentHelp(
      "POST codes in order, hexadecimal, separated by commas: the last ones written.",
      valueName: "codes"))
  var expectPost: String?
  @Option(
    help: ArgumentHelp("The output must be the contents of this file.", valueName: "file"))
  var expectOutput: String?
  @Option(
    help: ArgumentHelp(
      "Registers and memory at the HLT that ends the program, as JSON (see the documentation).",
      valueName: "file"))
  var expectState: String?
  @Flag(
    name: .customLong("reset-on-triple-fault"),
    help: "A triple fault resets the machine, as PCs do, instead of ending the run.")
  var resetOnTripleFault = false
  @Option(help: ArgumentHelp("The value at the exit port.", valueName: "n"))
  var expectExit: Int?
  @Option(
    parsing: .unconditional, help: ArgumentHelp("A kernel's command line.", valueName: "text"))
  var append: String?
  @Option(help: ArgumentHelp("End after so many instructions.", valueName: "n"))
  var maxInstructions: UInt64 = 20_000_000_000
  @Option(help: ArgumentHelp("Write the output to a file.", valueName: "file"))
  var output: String?
  @Option(help: ArgumentHelp("Write the report as JSON.", valueName: "file"))
  var json: String?
  @Option(
    help: ArgumentHelp("Write the report as JUnit XML.", valueName: "file"))
  var junit: String?

  /// A kernel's exit status 77 (38 at the port) says so by a common convention.
  private static let nothingToTest =
    "exit status 77: the program found nothing that it could test on this model"

  /// What a program left behind.
  private final class Trace {
    var post: [UInt8] = []
    var text: [UInt8] = []
    static let most = 1 << 24
  }

  mutating func run() throws {
    try ConformProgram.check(json, junit, output)
    guard let model = CPUModel.named(cpu) else {
      let names = CPUModel.all.map(\.name).joined(separator: ", ")
      throw Failure.usage("--cpu \(cpu): the models are \(names)")
    }
    let engine = try ConformProgram.engine(engine)
    let unit = try ConformProgram.fpu(fpu, engine)
    if let expectExit, !(0...127).contains(expectExit) {
      throw Failure.usage("--expect-exit \(expectExit): values at the exit port are 0 to 127")
    }
    var report = ConformanceReport(model: model.name)
    let start = HostClock.nanoseconds()
    try ConformInterrupt.watch()
    for path in files {
      if ConformInterrupt.isRequested { break }
      var file = FileReport(suite: "program", name: path)
      do {
        let problems = try runOne(path, model, engine, unit)
        // What was cut short has neither passed nor failed.
        if ConformInterrupt.isRequested { break }
        if problems == [Self.nothingToTest] {
          file.excluded = [Self.nothingToTest: 1]
        } else if problems.isEmpty {
          file.passed = 1
        } else {
          file.failed = 1
          file.failures = [
            FailureRecord(index: 0, name: path, differences: problems)
          ]
        }
      } catch let failure as Failure {
        throw failure
      } catch {
        file.damage = "\(error)"
      }
      report.files.append(file)
    }
    report.seconds = Double(HostClock.nanoseconds() &- start) / 1e9
    if ConformInterrupt.isRequested { report.interrupted = true }
    try ConformProgram.write(report, json: json, junit: junit)
    if json != "-" && junit != "-" { ConformProgram.print(report.text()) }
    try ConformProgram.exit(for: report)
  }

  private func port(_ text: String, _ option: String) throws -> UInt16 {
    guard let port = Plan.hexadecimal(Substring(text), UInt16.self) else {
      throw Failure.usage("\(option) \(text): a port is 0 to ffff, in hexadecimal")
    }
    return port
  }

  /// The ROM in an image of 64 or 128 KB whose last byte is FFFFFh.
  private func biosImage(_ file: LoadFile) throws -> LoadFile {
    let count = file.bytes.count
    var at = 0x100000 - count
    if let address {
      guard let given = Plan.hexadecimal(Substring(address), UInt32.self) else {
        throw Failure.usage("--address \(address): a hexadecimal address is wanted")
      }
      at = Int(given)
    }
    guard count > 0, at >= 0xE0000, at + count <= 0x100000 else {
      throw VectorFileError(
        path: file.path, offset: 0,
        reason: "\(count) bytes at \(hexText(at)) do not lie within E0000 to FFFFF")
    }
    var bytes = [UInt8](repeating: 0xFF, count: 0x20000)
    bytes.replaceSubrange(at - 0xE0000..<at - 0xE0000 + count, with: file.bytes)
    return LoadFile(path: file.path, bytes: bytes)
  }

  private func hexText(_ value: Int) -> String { String(value, radix: 16, uppercase: true) }

  /// What is not as expected.
  private func runOne(
    _ path: String, _ model: CPUModel, _ engine: Engine, _ unit: FPUUnit?
  ) throws -> [String] {
    let file: LoadFile
    do { file = LoadFile(path: path, bytes: try HostFiles.read(path, limit: 256 << 20)) } catch {
      throw VectorFileError(path: path, offset: 0, reason: error.reason)
    }
    var state: StateTest?
    if let expectState {
      let test = try StateTest(bytes: try readMaybeCompressed(expectState), path: expectState)
      if test.mode != nil {
        return try StateTestRunner(test, model: model, engine: engine, fpu: unit)
          .run(image: file.bytes)
      }
      state = test
    }
    var configuration = MachineConfiguration()
    configuration.cpu = state?.cpu ?? model
    configuration.fpu = unit
    configuration.engine = engine
    configuration.memoryMegabytes = memory
    configuration.resetsOnTripleFault = resetOnTripleFault
    configuration.exitPort = try port(exitPort, "--exit-port")
    let isKernel = KernelConfiguration.isMultiboot(file) != nil || file.bytes.count > 0x20000
    if isKernel {
      configuration.testDevice = true
      configuration.kernel = KernelConfiguration(kernel: file, commandLine: append ?? "")
    } else {
      configuration.bios = try biosImage(file)
    }
    let machine: Machine
    var lockstep: Lockstep?
    do {
      if engine == .lockstep { lockstep = try Lockstep(configuration) }
      machine = try lockstep?.machine ?? Machine(configuration)
    } catch let error as ConfigurationError {
      throw Failure.usage(error.reason)
    }
    // The second machine has the same ports, and is not heard.
    func register(
      _ name: String, _ option: String, _ port: UInt16, _ sink: @escaping (UInt8) -> Void
    ) throws {
      if let owner = machine.ports.owner(of: port), !owner.hasPrefix("port-") {
        throw Failure.usage("\(option): port \(hexText(Int(port)))h belongs to '\(owner)'")
      }
      machine.ports.map(DebugConsole(name: name, sink: sink), at: port...port, owner: name)
      lockstep?.translated.ports.map(
        DebugConsole(name: name) { _ in }, at: port...port, owner: name)
    }

    let trace = Trace()
    let take: (UInt8) -> Void = { if trace.text.count < Trace.most { trace.text.append($0) } }
    let postPort = try port(postPort, "--post-port")
    if postPort == 0x80 {
      machine.postCodes.sink = { if trace.post.count < Trace.most { trace.post.append($0) } }
    } else {
      try register("conform-post", "--post-port", postPort) {
        if trace.post.count < Trace.most { trace.post.append($0) }
      }
    }
    if let textPort {
      let number = try port(textPort, "--text-port")
      if number == 0xE9 {
        machine.debugOutput = take
      } else {
        try register("conform-text", "--text-port", number, take)
      }
    } else {
      machine.debugOutput = take
      machine.serialOutput = { index, byte in if index == 0 { take(byte) } }
    }
    var apart: [String] = []
    var stop = StopReason.instructionLimit
    let input = machine.input
    let end: @Sendable (Int32) -> Void = { input.requestStop(.signal($0)) }
    ConformInterrupt.with(end) {
      guard let lockstep else {
        stop = machine.run(untilInstruction: maxInstructions)
        return
      }
      switch lockstep.run(untilInstruction: maxInstructions) {
      case .stopped(let reason): stop = reason
      case .differs(let difference):
        apart = difference.text.split(separator: "\n").map(String.init)
      }
    }
    if let output {
      do { try HostFiles.writeAtomically(output, trace.text) } catch {
        throw Failure.host("\(output): \(error)")
      }
    }
    if !apart.isEmpty { return apart }
    if isKernel && expectExit == nil && state == nil && stop == .guestExit(77) {
      return [Self.nothingToTest]
    }
    var problems = try judge(stop, isKernel: isKernel, hasState: state != nil, trace)
    if let state {
      problems += state.differences(
        StateOutcome(
          register: { machine.cpu.stateRegister($0) },
          memory: { address, count in
            let end = UInt64(address) + UInt64(count)
            return end > machine.memory.layout.low
              ? [] : machine.memory.peek(address, count: count)
          },
          problem: stop == .halted ? nil : "ended with \(stop), expected HLT"))
    }
    if !problems.isEmpty {
      let codes = trace.post.suffix(16).map { hexText(Int($0)) }.joined(separator: " ")
      problems.append("POST codes at the end: \(codes)")
      let lines = String(decoding: trace.text.suffix(2000), as: UTF8.self)
        .split(whereSeparator: \.isNewline).suffix(8)
      problems += lines.map { "output: \($0)" }
    }
    return problems
  }

  private func judge(_ stop: StopReason, isKernel: Bool, hasState: Bool, _ trace: Trace) throws
    -> [String]
  {
    var problems: [String] = []
    if hasState && expectExit == nil {
      // How it ended is the state's business.
    } else if isKernel || expectExit != nil {
      let expected = expectExit ?? 0
      if stop != .guestExit(expected << 1 | 1) {
        let what: String =
          if case .guestExit(let code) = stop { "exit value \(code >> 1)" } else {
            "ended with \(stop)"
          }
        problems.append("\(what), expected exit value \(expected)")
      }
    } else if expectPost == nil && expectOutput == nil {
      throw Failure.usage(
        "a ROM needs --expect-post, --expect-output, --expect-state or --expect-exit to be judged by"
      )
    } else if stop != .halted {
      problems.append("ended with \(stop), expected HLT")
    }
    if let expectPost {
      let codes = try expectPost.split(separator: ",").map { text -> UInt8 in
        guard let code = Plan.hexadecimal(text, UInt8.self) else {
          throw Failure.usage("--expect-post \(text): codes are 0 to ff, in hexadecimal")
        }
        return code
      }
      if Array(trace.post.suffix(codes.count)) != codes {
        let got = trace.post.suffix(codes.count).map { hexText(Int($0)) }.joined(separator: ",")
        problems.append("POST codes \(got), expected \(expectPost)")
      }
    }
    if let expectOutput {
      let expected: [UInt8]
      do { expected = try HostFiles.read(expectOutput, limit: Trace.most) } catch {
        throw Failure.usage("\(expectOutput): \(error.reason)")
      }
      if trace.text != expected {
        let same = zip(trace.text, expected).prefix { $0 == $1 }.count
        let line = expected.prefix(same).count { $0 == 0x0A } + 1
        problems.append(
          "output differs from \(expectOutput) at offset \(same), line \(line) "
            + "(\(trace.text.count) bytes, expected \(expected.count))")
      }
    }
    return problems
  }
}
