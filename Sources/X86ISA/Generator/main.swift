// isatool: writes Swift from the instruction table. Called by the build plugin.
//
// Owns: arguments and files. Must not know: the table's contents.
//
//     isatool isa OUTPUT-FOLDER TABLE.txt...              Op.swift, Handler.swift, OpcodeRows.swift
//     isatool cpu OUTPUT-FOLDER FORMS.txt TABLE.txt...    Dispatch.swift, Form.swift, CarryOut.swift

import Foundation

func fail(_ message: String) -> Never {
  FileHandle.standardError.write(Data("error: \(message)\n".utf8))
  exit(1)
}

var arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count >= 3 else { fail("isatool isa|cpu OUTPUT-FOLDER FILE...") }
let kind = arguments.removeFirst()
let folder = URL(fileURLWithPath: arguments.removeFirst())

func read(_ path: String) throws -> String {
  try String(contentsOf: URL(fileURLWithPath: path), encoding: .utf8)
}

func write(_ text: String, _ name: String) throws {
  try Data(text.utf8).write(to: folder.appending(path: name))
}

do {
  let forms = kind == "cpu" ? try read(arguments.removeFirst()) : ""
  let table = try Table(
    arguments.map { (URL(fileURLWithPath: $0).lastPathComponent, try read($0)) })
  switch kind {
  case "isa":
    try write(table.operationsFile(), "Op.swift")
    try write(table.handlersFile(), "Handler.swift")
    try write(table.rowsFile(), "OpcodeRows.swift")
  case "cpu":
    try write(table.dispatchFile(), "Dispatch.swift")
    let forms = try Forms(forms, table)
    try write(table.formsFile(forms), "Form.swift")
    try write(table.carryOutFile(forms), "CarryOut.swift")
  default: fail("'\(kind)' is neither isa nor cpu")
  }
} catch {
  fail("\(error)")
}
