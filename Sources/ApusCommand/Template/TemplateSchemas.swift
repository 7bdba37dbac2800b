// What the JSON of `apus template` and `apus fork` looks like.
//
// Owns: the documents. Must not know: who writes the JSON; tests hold the two together.

extension Schemas {
  static let templates = [
    Document(name: "template", summary: "apus template make, show --json", text: template),
    Document(
      name: "template-verify", summary: "apus template verify --json", text: templateVerify),
    Document(name: "fork", summary: "apus fork --json", text: fork),
  ]

  private static let template = document(
    "template", "A template of a machine",
    """
      "required": ["schema", "version", "file", "name", "note", "created", "instructions", "virtualNanoseconds", "memoryBytes",
        "usedPages", "bytesOnDisk", "disks", "arguments"],
      "properties": {
    \(head("template"))
        "file": { "type": "string" }, "name": { "type": "string" }, "note": { "type": "string" },
        "created": { "type": "integer", "description": "seconds since 1970, UTC" },
        "instructions": { "type": "integer" }, "virtualNanoseconds": { "type": "integer" },
        "memoryBytes": { "type": "integer" },
        "usedPages": { "type": "integer", "description": "of 4 KiB, that hold anything" },
        "bytesOnDisk": { "type": "integer" },
        "disks": { "type": "array", "items": { "type": "object", "required": ["drive", "name", "byteCount"],
          "properties": { "drive": { "type": "string" }, "name": { "type": "string" }, "byteCount": { "type": "integer" } } } },
        "arguments": { "type": "array", "items": { "type": "string" } }
      },
      "additionalProperties": false
    """)

  private static let templateVerify = document(
    "template-verify", "Whether a template is whole",
    """
      "required": ["schema", "version", "file"],
      "properties": {
    \(head("template-verify"))
        "file": { "type": "string" },
        "damage": { "type": "string", "description": "left out where there is none" }
      },
      "additionalProperties": false
    """)

  private static let fork = document(
    "fork", "Machines that began from one",
    """
      "required": ["schema", "version", "count", "startMilliseconds", "children"],
      "properties": {
    \(head("fork"))
        "count": { "type": "integer" },
        "startMilliseconds": { "type": "number", "description": "until the last had begun" },
        "children": { "type": "array", "items": { "type": "object", "required": ["number", "exitCode"],
          "properties": { "number": { "type": "integer" }, "exitCode": { "type": "integer" } } } }
      },
      "additionalProperties": false
    """)
}
