// Snapshots from the console.
//
// Owns: snapshot and its words. Must not know: where snapshots are, how they are taken.

import Machine

/// What whoever runs the machine does with snapshots, for the console. Everything happens on the machine's thread, which stands.
public protocol DebuggerSnapshots: AnyObject {
  /// What there is, a line each.
  func list() throws -> [String]
  /// Takes one.
  /// - Parameter name: nil: it gets a number.
  /// - Returns: what is to be said.
  func take(_ name: String?) throws -> String
  /// Makes the machine what it was at one.
  func goBack(to name: String) throws -> String
  func delete(_ name: String) throws -> String
}

extension Debugger {
  static var snapshotCommands: [Command] {
    [
      Command(
        "snapshot", "[take [NAME] | restore NAME | delete NAME]", "files",
        """
        Snapshots of the whole machine with its disks, which stay when the run is over (apus snapshot); alone it lists them.
        To go back to one ends the history: what was known of other times is forgotten.
        """
      ) { d, a in
        guard let snapshots = d.snapshots else {
          throw DebuggerError("this run has no snapshots")
        }
        let (verb, rest) = Debugger.firstWord(a)
        let name = Debugger.unquoted(Debugger.trim(rest))
        func named() throws(DebuggerError) -> String {
          if name.isEmpty { throw DebuggerError("a snapshot's name is missing") }
          return name
        }
        do {
          switch verb.lowercased() {
          case "", "list", "ls": return View(try snapshots.list())
          case "take", "create", "save":
            return View([try snapshots.take(name.isEmpty ? nil : name)])
          case "restore", "load", "revert", "goto":
            let line = try snapshots.goBack(to: try named())
            d.console.write(line + "\n")
            d.select(d.machine.runningProcessor)
            return try d.stopped(.arrived)
          case "delete", "del", "rm": return View([try snapshots.delete(try named())])
          default: throw DebuggerError("snapshot takes take, restore or delete, not '\(verb)'")
          }
        } catch let error as DebuggerError { throw error } catch { throw DebuggerError("\(error)") }
      }
    ]
  }
}
