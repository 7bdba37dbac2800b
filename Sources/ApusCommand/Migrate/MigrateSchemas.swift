// What the JSON of `apus migrate` looks like.
//
// Owns: the document. Must not know: who writes the JSON; tests hold the two together.

extension Schemas {
  static let migrations = [
    Document(name: "migrate", summary: "apus migrate ... --json", text: migrate)
  ]

  private static let migrate = document(
    "migrate", "How it is with a machine that is moved",
    """
      "required": ["schema", "version", "state"],
      "properties": {
    \(head("migrate"))
        "state": { "enum": ["moved", "runs", "stands", "moving", "arriving", "dropped"] },
        "place": { "type": "string", "description": "the other end" },
        "reason": { "type": "string", "description": "why it is not known where the machine runs" },
        "code": { "type": "string", "description": "by which the other end may run it" },
        "rounds": { "type": "integer" }, "pages": { "type": "integer" }, "clusters": { "type": "integer" },
        "bytes": { "type": "integer", "description": "sent" },
        "pauseMilliseconds": { "type": "number", "description": "from its last instruction here until it ran there" },
        "totalMilliseconds": { "type": "number" }
      },
      "additionalProperties": false
    """)
}
