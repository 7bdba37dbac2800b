// The build-tool plugin that turns assembly sources into Swift files.
//
// It owns: reading a target's `roms.txt` and turning each entry into one build command that
// runs `romtool`, with the source and everything it includes declared as inputs.
// It must not know: what is in any image. The format of `roms.txt` (paths from the package's
// root, one entry a line, `#` starts a comment):
//
//     enum NAME                     the Swift enum the images become static members of
//     rom  NAME PATH.asm SIZE       one image of exactly SIZE bytes: `static let NAME: [UInt8]`
//     set  NAME DIRECTORY SIZE      every .asm file in DIRECTORY and its folders, each padded to SIZE:
//                                   `static let NAME: [String: () -> [UInt8]]`, by file name
//     aml  NAME PATH.asl            an ACPI table, compiled, with its header: `static let NAME: [UInt8]`
//     text NAME DIRECTORY           every file in DIRECTORY and its folders, as it is:
//                                   `static let NAME: [String: () -> [UInt8]]`, by file name with extension
//
// An image of nasm's that is shorter than SIZE is padded with zeros when it is first used; a longer one is an
// error of the build. `%include` and `incbin` are looked up beside the including file, beside
// the source, in the folder above the source's, and in the package's `Firmware` folder; the `Include`
// of ASL beside the source.

import Foundation
import PackagePlugin

@main
struct FirmwarePlugin: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: Target) throws -> [Command] {
    guard let target = target as? SourceModuleTarget else { return [] }
    let list = target.directoryURL.appending(path: "roms.txt")
    let text = try String(contentsOf: list, encoding: .utf8)
    let tool = try context.tool(named: "romtool").url
    let root = context.package.directoryURL
    var owner = "ROMs"
    var commands: [Command] = []
    for line in text.split(whereSeparator: \.isNewline) {
      let words = line.prefix { $0 != "#" }.split(separator: " ").map(String.init)
      if words.isEmpty { continue }
      if words.count == 2, words[0] == "enum" {
        owner = words[1]
        continue
      }
      let isText = words.count == 3 && words[0] == "text"
      let isTable = words.count == 3 && words[0] == "aml"
      let isImage = words.count == 4 && (words[0] == "rom" || words[0] == "set")
      guard isText || isTable || (isImage && Int(words[3]) != nil) else {
        throw ManifestError(line: String(line), file: list.path)
      }
      let path = root.appending(path: words[2])
      let output = context.pluginWorkDirectoryURL.appending(path: "\(owner)+\(words[1]).swift")
      if isText {
        let sources = files(in: path)
        commands.append(
          .buildCommand(
            displayName: "Embedding \(words[1])", executable: tool,
            arguments: ["text", owner, words[1], "0", output.path, root.path]
              + sources.map(\.path),
            inputFiles: [list] + sources, outputFiles: [output]))
        continue
      }
      let sources = words[0] != "set" ? [path] : assemblySources(in: path)
      var inputs: Set<URL> = [list]
      for source in sources {
        collectInputs(of: source, beside: source, root: root, into: &inputs)
      }
      commands.append(
        .buildCommand(
          displayName: "Assembling \(words[1])",
          executable: tool,
          arguments: [
            words[0], owner, words[1], isTable ? "0" : words[3], output.path, root.path,
          ]
            + sources.map(\.path),
          inputFiles: inputs.sorted { $0.path < $1.path },
          outputFiles: [output]))
    }
    return commands
  }

  private func files(in folder: URL) -> [URL] {
    let paths = FileManager.default.enumerator(
      at: folder, includingPropertiesForKeys: [.isRegularFileKey], options: .skipsHiddenFiles)
    return (paths?.compactMap { $0 as? URL } ?? [])
      .filter { (try? $0.resourceValues(forKeys: [.isRegularFileKey]))?.isRegularFile == true }
      .sorted { $0.lastPathComponent < $1.lastPathComponent }
  }

  private func assemblySources(in folder: URL) -> [URL] {
    files(in: folder).filter { $0.path.hasSuffix(".asm") }
  }

  /// Adds `file` and, recursively, the files it includes. A file that cannot be found is left
  /// for nasm to report.
  private func collectInputs(
    of file: URL, beside source: URL, root: URL, into inputs: inout Set<URL>
  ) {
    guard !inputs.contains(file), let data = try? Data(contentsOf: file) else { return }
    inputs.insert(file)
    let text = String(decoding: data, as: UTF8.self)
    let folders = [
      file.deletingLastPathComponent(), source.deletingLastPathComponent(),
      source.deletingLastPathComponent().deletingLastPathComponent(),
      root.appending(path: "Firmware"),
    ]
    for line in text.split(whereSeparator: \.isNewline) {
      let words = line.split(separator: "\"", maxSplits: 2, omittingEmptySubsequences: false)
      guard words.count == 3 else { continue }
      let directive = words[0].lowercased().filter { !$0.isWhitespace }
      guard directive == "%include" || directive.hasSuffix("incbin") || directive == "include("
      else { continue }
      for folder in folders {
        let found = folder.appending(path: String(words[1])).standardizedFileURL
        if FileManager.default.fileExists(atPath: found.path) {
          collectInputs(of: found, beside: source, root: root, into: &inputs)
          break
        }
      }
    }
  }
}

struct ManifestError: Error, CustomStringConvertible {
  var line: String
  var file: String
  var description: String { "\(file): cannot make sense of '\(line)'" }
}
