// The build-tool plugin that makes Swift from the instruction table.
//
// Owns: which files a target gets. A target with a folder `Table` gets the operations, handlers and rows; one with `forms.txt` the
// switches and forms, from the tables of the target X86ISA. Must not know: what is in a table.

import Foundation
import PackagePlugin

@main
struct ISAPlugin: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: Target) throws -> [Command] {
    guard let target = target as? SourceModuleTarget else { return [] }
    let tool = try context.tool(named: "isatool").url
    let folder = context.pluginWorkDirectoryURL
    let forms = target.directoryURL.appending(path: "forms.txt")
    if FileManager.default.fileExists(atPath: forms.path) {
      let tables = tables(context.package.directoryURL.appending(path: "Sources/X86ISA/Table"))
      return [
        .buildCommand(
          displayName: "Making the interpreter's switches", executable: tool,
          arguments: ["cpu", folder.path, forms.path] + tables.map(\.path),
          inputFiles: [forms] + tables,
          outputFiles: ["Dispatch.swift", "Form.swift", "CarryOut.swift"].map {
            folder.appending(path: $0)
          })
      ]
    }
    let tables = tables(target.directoryURL.appending(path: "Table"))
    return [
      .buildCommand(
        displayName: "Making the instruction table", executable: tool,
        arguments: ["isa", folder.path] + tables.map(\.path), inputFiles: tables,
        outputFiles: ["Op.swift", "Handler.swift", "OpcodeRows.swift"].map {
          folder.appending(path: $0)
        })
    ]
  }

  private func tables(_ folder: URL) -> [URL] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return names.filter { $0.hasSuffix(".txt") }.sorted().map { folder.appending(path: $0) }
  }
}
