// What the JSON of `apus snapshot` looks like.
//
// Owns: the documents. Must not know: who writes the JSON; tests hold the two together.

extension Schemas {
  static let snapshots = [
    Document(
      name: "snapshot", summary: "apus snapshot take, restore, delete --json", text: snapshotResult),
    Document(name: "snapshot-list", summary: "apus snapshot list --json", text: snapshotList),
    Document(name: "snapshot-show", summary: "apus snapshot show --json", text: snapshotShow),
    Document(name: "snapshot-diff", summary: "apus snapshot diff --json", text: snapshotDiff),
    Document(
      name: "snapshot-export", summary: "apus snapshot export --json",
      text: plain(
        "snapshot-export", "A disk that was copied out of a snapshot",
        [
          ("snapshot", "string"), ("drive", "string"), ("file", "string"), ("format", "string"),
          ("virtualSize", "integer"), ("dataBytes", "integer"),
        ])),
    Document(
      name: "snapshot-verify", summary: "apus snapshot verify --json",
      text: plain(
        "snapshot-verify", "What is damaged", [("damages", "array"), ("incomplete", "array")])),
    Document(
      name: "snapshot-du", summary: "apus snapshot du --json",
      text: plain(
        "snapshot-du", "What snapshots take",
        [
          ("snapshots", "integer"), ("objects", "integer"), ("bytes", "integer"),
          ("onDisk", "integer"),
        ], optional: [("quota", "integer")])),
    Document(
      name: "snapshot-gc", summary: "apus snapshot gc --json",
      text: plain("snapshot-gc", "What was given back", [("bytes", "integer")])),
    Document(
      name: "snapshot-quota", summary: "apus snapshot quota --json",
      text: plain("snapshot-quota", "The limit", [], optional: [("quota", "integer")])),
    Document(
      name: "snapshot-accept", summary: "apus snapshot accept --json",
      text: plain(
        "snapshot-accept", "How many snapshots are gone", [("deleted", "integer")])),
  ]

  /// One of plain members.
  static func plain(
    _ name: String, _ title: String, _ members: [(String, String)],
    optional: [(String, String)] = []
  ) -> String {
    let required = (["schema", "version"] + members.map(\.0)).map { "\"\($0)\"" }
    let properties = (members + optional).map { "    \"\($0.0)\": { \"type\": \"\($0.1)\" }" }
    return document(
      name, title,
      """
        "required": [\(required.joined(separator: ", "))],
        "properties": {
      \(head(name))
      \(properties.joined(separator: ",\n"))
        },
        "additionalProperties": false
      """)
  }

  private static let one = """
      "type": "object",
      "required": ["id", "name", "note", "created", "kind", "temporary", "current"],
      "properties": {
        "id": { "type": "string", "description": "16 hexadecimal digits" },
        "name": { "type": "string" }, "note": { "type": "string" },
        "created": { "type": "integer", "description": "seconds since 1970, UTC" },
        "parent": { "type": "string", "description": "the id of the one that the machine came from" },
        "kind": { "enum": ["machine", "disks", "base"] },
        "temporary": { "type": "boolean" },
        "current": { "type": "boolean", "description": "the machine comes from it" },
        "instructions": { "type": "integer" }, "virtualSeconds": { "type": "number" },
        "memoryPages": { "type": "integer", "description": "of 4 KiB, that the machine has" }
      },
      "additionalProperties": false
    """

  private static let snapshotResult = document(
    "snapshot", "What was done with snapshots",
    """
      "required": ["schema", "version", "action", "snapshots", "running"],
      "properties": {
    \(head("snapshot"))
        "action": { "enum": ["take", "restore", "delete", "list"] },
        "snapshots": { "type": "array", "items": {
    \(one)
        } },
        "running": { "type": "boolean", "description": "a machine that runs did it" },
        "pauseMilliseconds": { "type": "number", "description": "how long it stood" },
        "totalMilliseconds": { "type": "number", "description": "until all was on stable storage" },
        "pages": { "type": "integer", "description": "that were copied, or put back" },
        "newBytes": { "type": "integer", "description": "that the store had not had" }
      },
      "additionalProperties": false
    """)

  private static let snapshotList = document(
    "snapshot-list", "All snapshots of a machine",
    """
      "required": ["schema", "version", "folder", "running", "resumes", "snapshots"],
      "properties": {
    \(head("snapshot-list"))
        "folder": { "type": "string" },
        "running": { "type": "boolean" },
        "resumes": { "type": "boolean", "description": "the machine goes on from the current one at its next start" },
        "snapshots": { "type": "array", "items": {
    \(one)
        } }
      },
      "additionalProperties": false
    """)

  private static let snapshotShow = document(
    "snapshot-show", "A snapshot",
    """
      "required": ["schema", "version", "snapshot", "machine", "disks", "arguments"],
      "properties": {
    \(head("snapshot-show"))
        "snapshot": {
    \(one)
        },
        "machine": { "type": "object", "additionalProperties": { "type": "string" },
          "description": "what a machine has to be like to go on from it" },
        "disks": { "type": "array", "items": { "type": "object", "required": ["drive", "image", "bytes"],
          "properties": { "drive": { "type": "string" }, "image": { "type": "string" }, "bytes": { "type": "integer" } } } },
        "screen": { "type": "array", "items": { "type": "string" }, "description": "left out in graphics modes" },
        "arguments": { "type": "array", "items": { "type": "string" } }
      },
      "additionalProperties": false
    """)

  private static let snapshotDiff = document(
    "snapshot-diff", "What differs between two snapshots",
    """
      "required": ["schema", "version", "pages", "memory", "parts", "disks", "rows"],
      "properties": {
    \(head("snapshot-diff"))
        "pages": { "type": "integer" },
        "memory": { "type": "array", "items": { "$ref": "#/$defs/run" } },
        "parts": { "type": "array", "items": { "type": "string" } },
        "disks": { "type": "array", "items": { "type": "object", "required": ["drive", "bytes", "ranges"],
          "properties": { "drive": { "type": "string" }, "bytes": { "type": "integer" },
            "ranges": { "type": "array", "items": { "$ref": "#/$defs/run" } } } } },
        "rows": { "type": "array", "items": { "type": "object", "required": ["row", "before", "after"],
          "properties": { "row": { "type": "integer" }, "before": { "type": "string" }, "after": { "type": "string" } } } }
      },
      "additionalProperties": false,
      "$defs": { "run": { "type": "object", "required": ["start", "length"],
        "properties": { "start": { "type": "integer" }, "length": { "type": "integer" } } } }
    """)
}
