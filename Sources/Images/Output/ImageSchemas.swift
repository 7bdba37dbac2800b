// What the JSON of `apus image` looks like, as JSON Schema (2020-12).
//
// Owns: the document. Must not know: who writes the JSON; tests hold the two together.
//
// A version goes up when a member loses its meaning or its place; members may be added without that.

/// The published schema: one document, with a definition for each command's object.
public enum ImageSchema {
  /// What each command's object says in `schema`, without "apus-image-".
  public static let names = [
    "info", "create", "convert", "resize", "check", "compare", "map", "commit", "rebase",
    "snapshot", "bench", "files", "formats",
  ]

  public static let text = """
    {
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "$id": "apus-image-1",
      "title": "What apus image --json prints",
      "oneOf": [
    \((names + ["error"]).map { "    { \"$ref\": \"#/$defs/\($0)\" }" }.joined(separator: ",\n"))
      ],
      "$defs": {
        "bytes": { "type": "integer", "minimum": 0 },
        "texts": { "type": "array", "items": { "type": "string" } },
        "snapshots": { "type": "array", "items": { "type": "object",
          "required": ["id", "name", "time", "virtualSize", "stateSize"],
          "properties": { "id": { "type": "string" }, "name": { "type": "string" },
            "time": { "$ref": "#/$defs/bytes", "description": "seconds since 1970" },
            "virtualSize": { "$ref": "#/$defs/bytes" }, "stateSize": { "$ref": "#/$defs/bytes" } } } },
    \(definitions)
      }
    }
    """

  private static func definition(_ name: String, _ required: [String], _ properties: String)
    -> String
  {
    let members = (["schema", "version"] + required).map { "\"\($0)\"" }.joined(separator: ", ")
    return """
          "\(name)": { "type": "object", "required": [\(members)],
            "properties": { "schema": { "const": "apus-image-\(name)" }, "version": { "const": 1 },
              \(properties) } }
      """
  }

  private static func member(_ name: String, _ type: String) -> String {
    switch type {
    case "bytes", "texts", "snapshots": "\"\(name)\": { \"$ref\": \"#/$defs/\(type)\" }"
    default: "\"\(name)\": { \"type\": \"\(type)\" }"
    }
  }

  private static func members(_ pairs: KeyValuePairs<String, String>) -> String {
    pairs.map { member($0.key, $0.value) }.joined(separator: ",\n            ")
  }

  private static let definitions = [
    definition(
      "info", ["images"],
      """
      "images": { "type": "array", "minItems": 1, "description": "the image, then its base, and so on",
              "items": { "type": "object",
                "required": ["file", "format", "virtualSize", "fileSize", "sizeOnHost", "sectorSize", "isEncrypted", "isDirty",
                  "otherFiles", "snapshots", "facts", "notes", "warnings"],
                "properties": {
            \(members([
              "file": "string", "format": "string", "virtualSize": "bytes", "fileSize": "bytes",
              "sizeOnHost": "bytes", "sectorSize": "bytes", "clusterSize": "bytes",
              "base": "string", "baseFormat": "string", "isEncrypted": "boolean",
              "isDirty": "boolean", "otherFiles": "texts", "snapshots": "snapshots",
              "notes": "texts", "warnings": "texts",
            ])),
            "baseRecord": { "enum": ["none", "size and times", "hash"] },
            "encryption": { "type": "object",
              "required": ["format", "cipher", "keyBits", "uuid", "sectorSize", "payloadOffset", "slotCount", "slots"],
              "properties": { "format": { "enum": ["luks1", "luks2"] },
            \(members([
              "cipher": "string", "keyBits": "bytes", "uuid": "string", "sectorSize": "bytes",
              "payloadOffset": "bytes", "slotCount": "bytes",
            ])),
            "slots": { "type": "array", "description": "the key slots in use", "items": { "type": "object",
              "required": ["number", "derivation", "hash"],
              "properties": { "number": { "$ref": "#/$defs/bytes" }, "derivation": { "type": "string" },
                "hash": { "type": "string" } } } } } },
            "facts": { "type": "array", "items": { "type": "object", "required": ["name", "value"],
              "properties": { "name": { "type": "string" }, "value": { "type": "string" } } } } } } }
      """),
    definition(
      "create", ["file", "format", "virtualSize", "notes"],
      members([
        "file": "string", "format": "string", "virtualSize": "bytes", "base": "string",
        "baseFormat": "string", "baseHashed": "boolean", "notes": "texts",
      ])),
    definition(
      "convert",
      [
        "source", "target", "format", "virtualSize", "dataBytes", "zeroBytes", "compressedFrom",
        "compressedTo", "seconds", "cpuSeconds", "notes",
      ],
      members([
        "source": "string", "target": "string", "format": "string", "virtualSize": "bytes",
        "dataBytes": "bytes", "zeroBytes": "bytes", "compressedFrom": "bytes",
        "compressedTo": "bytes", "resumedAt": "bytes", "seconds": "number", "cpuSeconds": "number",
        "notes": "texts",
      ])),
    definition(
      "resize", ["file", "sizeBefore", "virtualSize"],
      members(["file": "string", "sizeBefore": "bytes", "virtualSize": "bytes"])),
    definition(
      "check",
      [
        "file", "format", "isSupported", "leaks", "corruptions", "unreadables", "repaired",
        "findings", "totalUnits", "allocatedUnits", "compressedUnits", "imageEnd",
      ],
      members([
        "file": "string", "format": "string", "isSupported": "boolean", "leaks": "bytes",
        "corruptions": "bytes", "unreadables": "bytes", "repaired": "bytes",
        "totalUnits": "bytes", "allocatedUnits": "bytes", "compressedUnits": "bytes",
        "imageEnd": "bytes",
      ]) + """
        ,
              "findings": { "type": "array", "maxItems": 1000, "items": { "type": "object",
                "required": ["severity", "text", "isRepaired"],
                "properties": { "severity": { "enum": ["leak", "corruption", "unreadable"] },
                  "offset": { "$ref": "#/$defs/bytes" }, "text": { "type": "string" },
                  "isRepaired": { "type": "boolean" } } } }
        """),
    definition(
      "compare", ["files", "isEqual", "sizes"],
      members([
        "files": "texts", "isEqual": "boolean", "offset": "bytes", "difference": "string",
      ])
        + ",\n            \"sizes\": { \"type\": \"array\", \"items\": { \"$ref\": \"#/$defs/bytes\" } }"
    ),
    definition(
      "map", ["file", "entries"],
      """
      "file": { "type": "string" },
              "entries": { "type": "array", "items": { "type": "object",
                "required": ["start", "length", "depth", "present", "zero", "data", "compressed"],
                "properties": {
            \(members([
              "start": "bytes", "length": "bytes", "depth": "bytes", "present": "boolean",
              "zero": "boolean", "data": "boolean", "compressed": "boolean", "offset": "bytes",
              "file": "string",
            ])) } } }
      """),
    definition(
      "commit", ["file", "base", "bytes", "isEmptied", "notes"],
      members([
        "file": "string", "base": "string", "bytes": "bytes", "isEmptied": "boolean",
        "notes": "texts",
      ])),
    definition(
      "rebase", ["file", "bytes", "notes"],
      members(["file": "string", "base": "string", "bytes": "bytes", "notes": "texts"])),
    definition(
      "snapshot", ["file", "snapshots"], members(["file": "string", "snapshots": "snapshots"])),
    definition(
      "bench", ["file", "format", "openSeconds", "measurements"],
      """
      "file": { "type": "string" }, "format": { "type": "string" }, "openSeconds": { "type": "number" },
              "measurements": { "type": "array", "items": { "type": "object",
                "required": ["kind", "accessSize", "bytes", "seconds", "cpuSeconds", "megabytesPerSecond", "accessesPerSecond"],
                "properties": {
                  "kind": { "enum": ["sequential-read", "random-read", "sequential-write", "random-write"] },
            \(members([
              "accessSize": "bytes", "bytes": "bytes", "seconds": "number",
              "cpuSeconds": "number", "megabytesPerSecond": "number",
              "accessesPerSecond": "number",
            ])) } } }
      """),
    definition(
      "files", ["file", "entries"],
      """
      "file": { "type": "string" }, "volume": { "type": "string" }, "note": { "type": "string" },
              "entries": { "type": "array", "items": { "type": "object",
                "required": ["path", "kind", "size", "time", "attributes"],
                "properties": { "kind": { "enum": ["file", "folder"] },
            \(members([
              "path": "string", "size": "bytes", "time": "string", "attributes": "string",
              "shortName": "string",
            ])) } } }
      """),
    definition(
      "formats", ["formats"],
      """
      "formats": { "type": "array", "items": { "type": "object",
                "required": ["name", "reads", "creates", "resizes", "checks", "snapshots", "compresses", "hasBases", "options"],
                "properties": {
            \(members([
              "name": "string", "reads": "boolean", "creates": "boolean", "resizes": "boolean",
              "checks": "boolean", "snapshots": "boolean", "compresses": "boolean",
              "hasBases": "boolean", "largest": "bytes", "granularity": "bytes",
              "provisionings": "texts",
            ])),
            "sectorSizes": { "type": "array", "items": { "$ref": "#/$defs/bytes" } },
            "options": { "type": "array", "items": { "type": "object", "required": ["name", "standard", "values", "help"],
              "properties": {
            \(members(["name": "string", "standard": "string", "values": "string", "help": "string"])) } } } } } }
      """),
    """
        "error": { "type": "object", "required": ["schema", "version", "kind", "message", "file", "exitCode"],
          "description": "what is printed in place of a result when a command failed",
          "properties": { "schema": { "const": "apus-error" }, "version": { "const": 1 },
            "kind": { "enum": ["usage", "host"] }, "message": { "type": "string" },
            "file": { "type": ["string", "null"] }, "exitCode": { "enum": [1, 2, 64, 74] } } }
    """,
  ].joined(separator: ",\n")
}
