// `apus explain`: what images are taken for, without running anything.
//
// Owns: the words and the object. Must not know: how it is found out.

import ArgumentParser
import Host
import Machine
import Storage

/// The subcommand.
enum ExplainProgram {
  static let help = """
    OVERVIEW: Tells what images are taken for and why; nothing runs, nothing is written.

    USAGE: apus explain IMAGE ... [options]

    All options of a run are possible (apus --help), so that a whole command line can be looked at: the machine is made as for a run, and
    thrown away. --json prints an object; --json=FILE writes it.
    Exit codes: 0, or 64 where the run would be refused (74 where the host refuses it); all images are looked at all the same.
    """

  static func main(_ arguments: [String]) -> Never {
    HostSignals.ignorePipe()
    let (arguments, json) = JSONTarget.taken(from: arguments)
    do {
      if arguments.contains(where: { ["-h", "--help"].contains($0) }) {
        ApusProgram.print(help)
        ApusProgram.finish(0)
      }
      let scan = try ArgumentScan(arguments)
      try scan.check()
      let begun = try TemplateArguments.found(in: arguments)
      var plan = try Plan(
        try ApusOptions.parse(begun?.words ?? arguments),
        media: try begun.map { try ArgumentScan($0.words).media } ?? scan.media, looksOnly: true,
        template: begun?.template)
      if let template = begun?.template {
        plan.explanations.insert(
          "\(template.path): a template: the machine goes on from instruction \(template.header.instruction) as it was started with: "
            + template.header.arguments.joined(separator: " "), at: 0)
      }
      // One that is wrong is an error as everywhere.
      if plan.images.isEmpty, plan.failures.count == 1 { throw plan.failures[0] }
      if plan.failures.isEmpty {
        do {
          try plan.checkDebugger()
          try CommandRun.rehearse(plan)
        } catch let failure as Failure { plan.failures.append(failure) }
      }
      ApusProgram.say(plan.warnings.map { "apus explain: \($0)" })
      if let json {
        try json.deliver(object(plan).text)
      } else {
        for line in plan.explanations { ApusProgram.print(ApusProgram.harmless(line)) }
      }
      ApusProgram.say(plan.failures.map { "apus explain: \($0.message)" })
      ApusProgram.finish(plan.failures.first?.exit.code ?? 0)
    } catch let failure as Failure {
      ApusProgram.fail(failure, command: "apus explain", json: json)
    } catch {
      ApusProgram.endParsing(
        text: ApusOptions.fullMessage(for: error),
        isSuccess: ApusOptions.exitCode(for: error).isSuccess, command: "apus explain", json: json)
    }
  }

  /// The object of --json.
  static func object(_ plan: Plan) -> JSON {
    func drives(_ images: [MachineImage?], _ name: (Int) -> String) -> [JSON] {
      images.enumerated().compactMap { index, image in
        guard let image else { return nil }
        return entry(
          file: plan.usesDemoDisk ? .null : .string(image.name), drive: .string(name(index)),
          image.medium, image.device,
          reasons: plan.images.first { $0.path == image.name }?.reasons ?? [])
      }
    }
    let further = plan.furtherImages.map { drive, image in
      entry(
        file: .string(image.path), drive: drive.map { .string($0 == 0 ? "A" : "B") } ?? .null,
        image.medium, image.device, reasons: image.reasons)
    }
    let floppies = drives(plan.configuration.floppies) { $0 == 0 ? "A" : "B" }
    let disks = drives(plan.configuration.disks) { "disk \($0 + 1)" }
    // Numbers count drives, not places.
    let discs = plan.configuration.cds.compactMap { $0 }
      .map { contents -> MachineImage? in if case .disc(let image) = contents { image } else { nil }
      }
    let cds = drives(discs) { $0 == 0 ? "CD" : "CD\($0 + 1)" }
    let flash = drives([plan.configuration.flash]) { _ in "flash" }
    return .object([
      ("schema", .string("apus-explain")), ("version", .number(1)),
      ("drives", .array(floppies + cds + disks + flash)), ("further", .array(further)),
      ("lines", .array(plan.explanations.map { .string($0) })),
      ("warnings", .array(plan.warnings.map { .string($0) })),
      (
        "failures",
        .array(
          plan.failures.map {
            .object([
              ("message", .string($0.message)), ("file", $0.file.map { .string($0) } ?? .null),
            ])
          })
      ),
    ])
  }

  private static func entry(
    file: JSON, drive: JSON, _ medium: OpenedImage.Medium, _ device: any BlockDevice,
    reasons: [String]
  ) -> JSON {
    // Of a CD its own.
    let sectors: UInt64 =
      if case .cd(let cd) = medium { UInt64(max(cd.leadOut, 0)) } else { device.sectorCount }
    var members: [(String, JSON)] = [
      ("file", file), ("drive", drive), ("sectors", .number(sectors)),
      ("writeProtected", .bool(device.isReadOnly)),
      ("reasons", .array(reasons.map { .string($0) })),
    ]
    switch medium {
    case .floppy(let format):
      members.append(("kind", .string("floppy")))
      members.append(("geometry", geometry(format.cylinders, format.heads, format.sectors)))
    case .cd(let cd):
      members.append(("kind", .string("cd")))
      members.append(("tracks", .signed(cd.tracks.count)))
      members.append(("sessions", .signed(cd.sessions.count)))
    case .disk(let physical, let translated):
      members.append(("kind", .string("disk")))
      members.append(
        ("geometry", geometry(physical.cylinders, physical.heads, physical.sectors)))
      members.append(
        ("biosGeometry", geometry(translated.cylinders, translated.heads, translated.sectors)))
    case .flash: members.append(("kind", .string("flash")))
    }
    return .object(members)
  }

  private static func geometry(_ cylinders: Int, _ heads: Int, _ sectors: Int) -> JSON {
    .object([
      ("cylinders", .signed(cylinders)), ("heads", .signed(heads)), ("sectors", .signed(sectors)),
    ])
  }
}
