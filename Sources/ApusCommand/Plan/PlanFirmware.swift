// Files for firmware.
//
// Owns: how --fw-cfg is written. Must not know: what firmware does with files.
// Follows: QEMU's -fw_cfg ([name=]NAME,file=FILE or ,string=TEXT; a comma within a value is written twice).

import Chipset
import Host
import Machine

extension Plan {
  /// The largest file that firmware can be given.
  private static let largestFile = 256 << 20

  mutating func readFirmwareFiles(_ texts: [String]) throws {
    for text in texts {
      func refuse(_ reason: String) -> Failure { .usage("--fw-cfg \(text): \(reason)") }
      var values: [String: String] = [:]
      for (n, piece) in Plan.pieces(text).enumerated() {
        let parts = piece.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        // The first may be the name alone.
        let key = parts.count == 2 ? String(parts[0]) : n == 0 ? "name" : piece
        guard ["name", "file", "string"].contains(key), parts.count == 2 || n == 0 else {
          throw refuse("name=NAME,file=FILE or name=NAME,string=TEXT is wanted")
        }
        if values.updateValue(String(parts[parts.count - 1]), forKey: key) != nil {
          throw refuse("'\(key)' is given twice")
        }
      }
      guard let name = values["name"], (values["file"] == nil) != (values["string"] == nil) else {
        throw refuse("name=NAME,file=FILE or name=NAME,string=TEXT is wanted")
      }
      guard (1...FirmwareItems.longestName).contains(name.utf8.count) else {
        throw refuse("a name has 1 to \(FirmwareItems.longestName) bytes")
      }
      if configuration.firmwareFiles.contains(where: { $0.name == name }) {
        throw refuse("there is a file '\(name)' already")
      }
      var bytes = HostPath.bytes(values["string"] ?? "")
      if let path = values["file"] {
        if path.isEmpty { throw refuse("the file's name is empty") }
        bytes = try Plan.read(path, limit: Plan.largestFile).bytes
        firmwarePaths.append(path)
      }
      configuration.firmwareFiles.append(FirmwareFile(name: name, bytes: bytes))
    }
  }

  /// What stands between single commas; two of them are one.
  private static func pieces(_ text: String) -> [String] {
    var pieces = [""]
    var rest = Substring(text)
    while let character = rest.popFirst() {
      if character != "," {
        pieces[pieces.count - 1].append(character)
      } else if rest.first == "," {
        rest.removeFirst()
        pieces[pieces.count - 1].append(",")
      } else {
        pieces.append("")
      }
    }
    return pieces
  }
}
