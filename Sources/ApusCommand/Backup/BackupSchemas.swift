// What the JSON of `apus backup` and `apus store` looks like.
//
// Owns: the documents. Must not know: who writes the JSON; tests hold the two together.

extension Schemas {
  static let backups = [
    Document(name: "backup", summary: "apus backup create --json", text: backupMade),
    Document(name: "backup-list", summary: "apus backup list --json", text: backupList),
    Document(name: "backup-show", summary: "apus backup show --json", text: backupShow),
    Document(name: "backup-restore", summary: "apus backup restore --json", text: backupRestore),
    Document(
      name: "backup-export", summary: "apus backup export --json",
      text: plain(
        "backup-export", "A disk that was copied out of a backup",
        [
          ("point", "string"), ("drive", "string"), ("file", "string"), ("format", "string"),
          ("virtualSize", "integer"), ("dataBytes", "integer"),
        ])),
    Document(
      name: "backup-delete", summary: "apus backup delete, prune --json", text: backupDelete),
    Document(
      name: "backup-verify", summary: "apus backup verify --json",
      text: plain(
        "backup-verify", "What is damaged",
        [("damages", "array"), ("incomplete", "array"), ("points", "integer")])),
    Document(
      name: "backup-du", summary: "apus backup du --json",
      text: plain(
        "backup-du", "What a folder of backups takes",
        [
          ("points", "integer"), ("objects", "integer"), ("bytes", "integer"),
          ("stored", "integer"), ("onDisk", "integer"),
        ], optional: [("quota", "integer")])),
    Document(
      name: "backup-gc", summary: "apus backup gc --json",
      text: plain("backup-gc", "What was given back", [("bytes", "integer")])),
    Document(
      name: "backup-quota", summary: "apus backup quota --json",
      text: plain("backup-quota", "The limit", [], optional: [("quota", "integer")])),
    Document(
      name: "store-du", summary: "apus store du --json",
      text: plain(
        "store-du", "What a store takes",
        [
          ("kind", "string"), ("packs", "integer"), ("objects", "integer"), ("bytes", "integer"),
          ("stored", "integer"), ("onDisk", "integer"),
        ])),
    Document(
      name: "store-gc", summary: "apus store gc --json",
      text: plain("store-gc", "What was given back", [("bytes", "integer")])),
    Document(
      name: "store-repair", summary: "apus store repair --json",
      text: plain(
        "store-repair", "Whether the copy of the root was taken", [("repaired", "boolean")])),
    Document(
      name: "store-verify", summary: "apus store verify --json",
      text: plain("store-verify", "What is damaged", [("damages", "array")])),
  ]

  private static let point = """
      "type": "object",
      "required": ["id", "name", "note", "machine", "created", "kind", "disks"],
      "properties": {
        "id": { "type": "string", "description": "16 hexadecimal digits" },
        "name": { "type": "string" }, "note": { "type": "string" },
        "machine": { "type": "string", "description": "points of one machine are pruned together" },
        "created": { "type": "integer", "description": "seconds since 1970, UTC" },
        "kind": { "enum": ["machine", "disks"] },
        "disks": { "type": "array", "items": { "type": "object", "required": ["drive", "image", "format", "bytes"],
          "properties": { "drive": { "type": "string" }, "image": { "type": "string" }, "format": { "type": "string" },
            "bytes": { "type": "integer" } }, "additionalProperties": false } },
        "instructions": { "type": "integer" }, "virtualSeconds": { "type": "number" },
        "memoryPages": { "type": "integer", "description": "of 4 KiB, that the machine has" },
        "damage": { "type": "string", "description": "what verify found damaged or missing of it" }
      },
      "additionalProperties": false
    """

  private static let backupMade = document(
    "backup", "Backups that were made",
    """
      "required": ["schema", "version", "folder", "made"],
      "properties": {
    \(head("backup"))
        "folder": { "type": "string" },
        "made": { "type": "array", "items": { "type": "object",
          "required": ["point", "running", "readBytes", "newBytes", "totalMilliseconds"],
          "properties": {
            "point": { "$ref": "#/$defs/point" },
            "running": { "type": "boolean", "description": "a machine that runs made it" },
            "readBytes": { "type": "integer", "description": "of disks, that were read" },
            "newBytes": { "type": "integer", "description": "of contents, that the folder had not had" },
            "whole": { "type": "string", "description": "why disks were read as a whole" },
            "pauseMilliseconds": { "type": "number", "description": "how long the machine stood" },
            "totalMilliseconds": { "type": "number", "description": "until all was on stable storage" }
          },
          "additionalProperties": false } }
      },
      "additionalProperties": false,
      "$defs": { "point": {
    \(point)
      } }
    """)

  private static let backupList = document(
    "backup-list", "The points of a folder",
    """
      "required": ["schema", "version", "folder", "encrypted", "points"],
      "properties": {
    \(head("backup-list"))
        "folder": { "type": "string" },
        "encrypted": { "type": "boolean" },
        "points": { "type": "array", "items": {
    \(point)
        } }
      },
      "additionalProperties": false
    """)

  private static let backupShow = document(
    "backup-show", "A point",
    """
      "required": ["schema", "version", "point", "arguments"],
      "properties": {
    \(head("backup-show"))
        "point": {
    \(point)
        },
        "screen": { "type": "array", "items": { "type": "string" }, "description": "left out in graphics modes" },
        "arguments": { "type": "array", "items": { "type": "string" } }
      },
      "additionalProperties": false
    """)

  private static let backupRestore = document(
    "backup-restore", "A machine that was made of a point",
    """
      "required": ["schema", "version", "point", "disks", "goesOn"],
      "properties": {
    \(head("backup-restore"))
        "point": {
    \(point)
        },
        "disks": { "type": "array", "items": { "type": "object",
          "required": ["drive", "file", "format", "virtualSize", "dataBytes"],
          "properties": { "drive": { "type": "string" }, "file": { "type": "string" }, "format": { "type": "string" },
            "virtualSize": { "type": "integer" }, "dataBytes": { "type": "integer" } }, "additionalProperties": false } },
        "goesOn": { "type": "boolean", "description": "the machine goes on from there at its next start" }
      },
      "additionalProperties": false
    """)

  private static let backupDelete = document(
    "backup-delete", "Points that are gone",
    """
      "required": ["schema", "version", "deleted", "kept", "bytes", "dryRun"],
      "properties": {
    \(head("backup-delete"))
        "deleted": { "type": "array", "items": {
    \(point)
        } },
        "kept": { "type": "integer", "description": "points that stay" },
        "bytes": { "type": "integer", "description": "of the host, that were given back" },
        "dryRun": { "type": "boolean", "description": "nothing was deleted" }
      },
      "additionalProperties": false
    """)
}
