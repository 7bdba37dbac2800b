// What the JSON of every command looks like, as JSON Schema (2020-12).
//
// Owns: the documents and `apus schema`. Must not know: who writes the JSON; tests hold the two together.
//
// A version goes up when a member loses its meaning or its place; members may be added without that.

import Host

/// The published schemas.
enum Schemas {
  struct Document {
    let name: String
    let summary: String
    let text: String
  }

  static let all =
    [
      Document(name: "run", summary: "apus --json, at the end of a run", text: run),
      Document(name: "error", summary: "any command's --json when it could not begin", text: error),
      Document(name: "explain", summary: "apus explain --json", text: explain),
      Document(name: "devices", summary: "apus devices --json", text: devices),
      Document(name: "debug", summary: "apus debug --json, a line for each command", text: debug),
      Document(name: "conform", summary: "apus conform ... --json FILE", text: conform),
      Document(name: "bench", summary: "apus bench --json FILE", text: bench),
    ] + snapshots + templates + migrations + backups

  /// A schema by its name, or by what `schema` says in its objects.
  static func named(_ name: String) -> Document? {
    all.first { name == $0.name || name == "apus-" + $0.name }
  }

  static func document(_ name: String, _ title: String, _ rest: String) -> String {
    """
    {
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "$id": "apus-\(name)-1",
      "title": "\(title)",
      "type": "object",
    \(rest)
    }
    """
  }

  static func head(_ name: String) -> String {
    """
        "schema": { "const": "apus-\(name)" },
        "version": { "const": 1 },
    """
  }

  static let run = document(
    "run", "The report of a run",
    """
      "required": ["schema", "version", "reason", "exitCode", "message", "instructions", "virtualSeconds", "hostSeconds",
        "stateHash", "parts", "screen", "postCodes", "unknownPorts", "portAccesses", "failures", "cpu"],
      "properties": {
    \(head("run"))
        "reason": { "enum": ["power-off", "halted", "guest-exit", "expectation-met", "expectation-missed",
          "change-failed", "instruction-limit",
          "triple-fault", "unimplemented", "engines-differ", "debugger", "recording-end", "replay-differs", "user", "moved", "timeout",
          "signal"] },
        "exitCode": { "type": "integer", "minimum": 0, "maximum": 255 },
        "message": { "type": ["string", "null"] },
        "instructions": { "type": "integer", "minimum": 0 },
        "virtualSeconds": { "type": "number" },
        "hostSeconds": { "type": "number" },
        "stateHash": { "type": "string", "description": "hexadecimal; equal for equal states" },
        "parts": { "type": "object", "additionalProperties": { "type": "string" },
          "description": "the same for each part of the machine: clock, cpu, memory, every device" },
        "screen": { "type": ["array", "null"], "items": { "type": "string" }, "description": "null in graphics modes" },
        "postCodes": { "type": "array", "items": { "$ref": "#/$defs/byte" } },
        "unknownPorts": { "type": "array", "items": {
          "type": "object", "required": ["port", "write", "count", "last"],
          "properties": { "port": { "$ref": "#/$defs/number" }, "write": { "type": "boolean" },
            "count": { "$ref": "#/$defs/number" }, "last": { "$ref": "#/$defs/number" } } } },
        "portAccesses": { "type": "array", "description": "the last ones, newest last", "items": {
          "type": "object", "required": ["port", "write", "width", "value"],
          "properties": { "port": { "$ref": "#/$defs/number" }, "write": { "type": "boolean" },
            "width": { "enum": [1, 2, 4] }, "value": { "$ref": "#/$defs/number" } } } },
        "failures": { "type": "array", "description": "output that is lost, images that refused; the exit code is 74 then",
          "items": { "type": "object", "required": ["message", "file"],
            "properties": { "message": { "type": "string" }, "file": { "type": ["string", "null"] } } } },
        "statistics": { "type": "object", "description": "with --stats" },
        "cpu": { "type": "object",
          "required": ["model", "mode", "cpl", "halted", "shutdown", "registers", "segments", "eip", "eflags", "cr0", "cr2",
            "cr3", "cr4", "gdtBase", "gdtLimit", "idtBase", "idtLimit", "debug", "code", "branches", "path"],
          "properties": {
            "model": { "type": "string" }, "mode": { "type": "string" },
            "cpl": { "enum": [0, 1, 2, 3] }, "halted": { "type": "boolean" }, "shutdown": { "type": "boolean" },
            "registers": { "type": "object", "required": ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"],
              "additionalProperties": { "$ref": "#/$defs/number" } },
            "segments": { "type": "array", "items": { "type": "object",
              "required": ["name", "selector", "base", "limit", "attributes", "kind"],
              "properties": { "name": { "type": "string" }, "kind": { "type": "string" },
                "selector": { "$ref": "#/$defs/number" }, "base": { "$ref": "#/$defs/number" },
                "limit": { "$ref": "#/$defs/number" }, "attributes": { "$ref": "#/$defs/number" } } } },
            "eip": { "$ref": "#/$defs/number" }, "eflags": { "$ref": "#/$defs/number" },
            "cr0": { "$ref": "#/$defs/number" }, "cr2": { "$ref": "#/$defs/number" },
            "cr3": { "$ref": "#/$defs/number" }, "cr4": { "$ref": "#/$defs/number" },
            "gdtBase": { "$ref": "#/$defs/number" }, "gdtLimit": { "$ref": "#/$defs/number" },
            "idtBase": { "$ref": "#/$defs/number" }, "idtLimit": { "$ref": "#/$defs/number" },
            "debug": { "type": "array", "items": { "$ref": "#/$defs/number" } },
            "code": { "type": "array", "items": { "$ref": "#/$defs/byte" }, "description": "the bytes at eip" },
            "branches": { "type": "array", "items": { "type": "array", "items": { "$ref": "#/$defs/number" } } },
            "path": { "type": "array", "items": { "$ref": "#/$defs/number" } } } }
      },
      "$defs": {
        "byte": { "type": "integer", "minimum": 0, "maximum": 255 },
        "number": { "type": "integer", "minimum": 0 }
      }
    """)

  static let error = document(
    "error", "Why a command could not begin",
    """
      "required": ["schema", "version", "kind", "message", "file", "exitCode"],
      "properties": {
    \(head("error"))
        "kind": { "enum": ["usage", "host"] },
        "message": { "type": "string" },
        "file": { "type": ["string", "null"], "description": "the file it is about" },
        "exitCode": { "enum": [1, 2, 64, 74], "description": "1 and 2: of apus image" }
      },
      "additionalProperties": false
    """)

  static let devices = document(
    "devices", "What a machine can have",
    """
      "required": ["schema", "version", "devices"],
      "properties": {
    \(head("devices"))
        "devices": { "type": "array", "items": {
          "type": "object", "required": ["name", "summary", "several", "options", "boards"],
          "properties": {
            "name": { "type": "string" }, "summary": { "type": "string" }, "several": { "type": "boolean" },
            "options": { "type": "array", "items": {
              "type": "object", "required": ["name", "help", "values", "default"],
              "properties": { "name": { "type": "string" }, "help": { "type": "string" },
                "values": { "type": "string" }, "default": { "type": "string" } } } },
            "boards": { "type": "object", "additionalProperties": { "type": "integer", "minimum": 0 },
              "description": "how many of it each board has at most" } } } }
      }
    """)

  /// What is told of an image.
  private static let image = """
            "kind": { "enum": ["floppy", "disk", "cd", "flash"] },
            "tracks": { "type": "integer", "minimum": 1, "description": "of a CD" },
            "sessions": { "type": "integer", "minimum": 1, "description": "of a CD" },
            "sectors": { "type": "integer", "minimum": 1 },
            "geometry": { "$ref": "#/$defs/geometry" },
            "biosGeometry": { "$ref": "#/$defs/geometry" },
            "writeProtected": { "type": "boolean", "description": "as the guest sees it" },
            "reasons": { "type": "array", "items": { "type": "string" } }
    """

  static let explain = document(
    "explain", "What images are taken for",
    """
      "required": ["schema", "version", "drives", "lines", "warnings"],
      "properties": {
    \(head("explain"))
        "drives": { "type": "array", "items": { "type": "object",
          "required": ["file", "drive", "kind", "sectors", "writeProtected", "reasons"],
          "properties": {
            "file": { "type": ["string", "null"], "description": "null: the demo disk" },
            "drive": { "enum": ["A", "B", "CD", "disk 1", "disk 2", "disk 3", "disk 4"] },
    \(image) } } },
        "further": { "type": "array", "description": "disks that are put in later, and images for which no drive is left",
          "items": { "type": "object",
          "required": ["file", "drive", "kind", "sectors", "writeProtected", "reasons"],
          "properties": {
            "file": { "type": "string" },
            "drive": { "enum": ["A", "B", null] },
    \(image) } } },
        "lines": { "type": "array", "items": { "type": "string" }, "description": "the same for people" },
        "warnings": { "type": "array", "items": { "type": "string" } },
        "failures": { "type": "array", "description": "what a run would be refused for; the exit code is 64 then",
          "items": { "type": "object", "required": ["message", "file"],
            "properties": { "message": { "type": "string" }, "file": { "type": ["string", "null"] } } } }
      },
      "$defs": { "geometry": { "type": "object", "required": ["cylinders", "heads", "sectors"],
        "properties": { "cylinders": { "type": "integer" }, "heads": { "type": "integer" },
          "sectors": { "type": "integer" } } } }
    """)

  static let debug = document(
    "debug", "What a command of the debugger showed",
    """
      "required": ["schema", "version", "command"],
      "properties": {
    \(head("debug"))
        "command": { "type": "string" },
        "result": { "description": "differs from command to command" },
        "error": { "type": "string" }
      }
    """)

  static let conform = document(
    "conform", "What a conformance run found",
    """
      "required": ["schema", "version", "model", "seconds", "files"],
      "properties": {
    \(head("conform"))
        "model": { "type": "string", "description": "empty: each suite's own" },
        "seconds": { "type": "number" },
        "files": { "type": "array", "items": { "type": "object",
          "required": ["suite", "name", "passed", "failed", "byRule", "excluded", "failures"],
          "properties": {
            "suite": { "type": "string" }, "name": { "type": "string" },
            "passed": { "type": "integer", "minimum": 0 }, "failed": { "type": "integer", "minimum": 0 },
            "byRule": { "type": "object", "additionalProperties": { "type": "integer" } },
            "excluded": { "type": "object", "additionalProperties": { "type": "integer" } },
            "damage": { "type": "string" },
            "failures": { "type": "array", "items": { "type": "object",
              "required": ["index", "name", "bytes", "hash", "differences"],
              "properties": { "index": { "type": "integer" }, "name": { "type": "string" },
                "bytes": { "type": "string" }, "hash": { "type": "string" },
                "differences": { "type": "array", "items": { "type": "string" } } } } } } } }
      }
    """)

  static let bench = document(
    "bench", "What a benchmark measured",
    """
      "required": ["schema", "version", "caption", "contestants", "rows", "geometricMeans"],
      "properties": {
    \(head("bench"))
        "caption": { "type": "string" },
        "contestants": { "type": "array", "items": { "type": "object", "required": ["name", "version"],
          "properties": { "name": { "type": "string" }, "version": { "type": "string" } } } },
        "rows": { "type": "array", "items": { "type": "object",
          "required": ["name", "group", "checksum", "results", "ratios"],
          "properties": {
            "name": { "type": "string" }, "group": { "type": "string" }, "checksum": { "type": "string" },
            "results": { "type": "object", "additionalProperties": { "type": "object",
              "required": ["seconds", "median", "residentBytes", "problem"],
              "properties": { "seconds": { "type": "array", "items": { "type": "number" } },
                "median": { "type": ["number", "null"] }, "residentBytes": { "type": "integer" },
                "problem": { "type": ["string", "null"] } } } },
            "ratios": { "type": "object", "additionalProperties": { "type": ["number", "null"] } } } } },
        "geometricMeans": { "type": "object",
          "additionalProperties": { "type": "object", "additionalProperties": { "type": ["number", "null"] } } }
      }
    """)
}

/// `apus schema [NAME]`.
enum SchemaProgram {
  static func main(_ arguments: [String]) -> Never {
    HostSignals.ignorePipe()
    if arguments.isEmpty || arguments.contains(where: { ["-h", "--help"].contains($0) }) {
      ApusProgram.print("USAGE: apus schema NAME    prints the JSON Schema of")
      for schema in Schemas.all {
        let gap = String(repeating: " ", count: max(1, 17 - schema.name.count))
        ApusProgram.print("  \(schema.name)\(gap)\(schema.summary)")
      }
      ApusProgram.finish(0)
    }
    guard arguments.count == 1, let schema = Schemas.named(arguments[0]) else {
      let names = Schemas.all.map(\.name).joined(separator: ", ")
      ApusProgram.fail(
        .usage("\(arguments.joined(separator: " ")): there are \(names)"), command: "apus schema",
        json: nil)
    }
    ApusProgram.print(schema.text)
    ApusProgram.finish(0)
  }
}
