// Expressions and memory that every stop shows.
//
// Owns: display undisplay and their list. Must not know: how memory and values are printed.

/// Something to be shown at every stop.
struct DisplayItem {
  var id: Int
  /// "/i" and the like, or "".
  var format: String
  var expression: String
  var isEnabled = true
}

extension Debugger {
  static var displayCommands: [Command] {
    [
      Command(
        "display", "[/FORMAT EXPRESSION]", "views",
        """
        Show an expression, or with i, s or a size memory as x does, now and at every stop; alone: show all now.
        undisplay NUMBER ends it.
        """
      ) { d, a in try d.display(a) },
      Command("undisplay", "[NUMBER...]", "views", "End displays; alone: all.") { d, a in
        try d.undisplay(a)
      },
    ]
  }

  private func display(_ arguments: String) throws(DebuggerError) -> View {
    if arguments.isEmpty {
      return displays.isEmpty ? View(["there are no displays"], json: .array([])) : displaysView()
    }
    var format = ""
    var text = arguments
    if text.hasPrefix("/") {
      format = String(text.prefix { !$0.isWhitespace })
      text = Debugger.trim(String(text.dropFirst(format.count)))
    }
    if text.isEmpty { throw DebuggerError("an expression is missing") }
    let item = DisplayItem(id: lastDisplay + 1, format: format, expression: text)
    let view = try shown(item)
    lastDisplay += 1
    displays.append(item)
    if displays.count > 64 { throw DebuggerError("64 displays are enough (undisplay ends some)") }
    return labelled(item, view)
  }

  private func shown(_ item: DisplayItem) throws(DebuggerError) -> View {
    // x and u go on where they were.
    let kept = (nextCode, nextCodeSegment, nextData, lastExamine)
    defer { (nextCode, nextCodeSegment, nextData, lastExamine) = kept }
    return isMemory(item)
      ? try examine(item.format + " " + item.expression, physical: false)
      : try printCommand(
        item.format.isEmpty ? item.expression : item.format + " " + item.expression)
  }

  /// Whether memory is shown, as by x.
  private func isMemory(_ item: DisplayItem) -> Bool {
    item.format.contains { "isbhwg".contains($0) || $0.isNumber }
  }

  private func labelled(_ item: DisplayItem, _ view: View) -> View {
    let head = "\(item.id): \(item.format.isEmpty ? "" : "\(item.format) ")\(item.expression)"
    let lines =
      !isMemory(item) && view.lines.count == 1
      ? ["\(head) = \(view.lines[0])"] : ["\(head)"] + view.lines
    return View(
      lines,
      json: .object([
        ("id", .of(item.id)), ("expression", .string(item.expression)), ("value", view.json),
      ]))
  }

  /// All that are on; what cannot be shown now says why.
  func displaysView() -> View {
    var lines: [String] = []
    var items: [JSONValue] = []
    for item in displays where item.isEnabled {
      let view: View
      do throws(DebuggerError) { view = labelled(item, try shown(item)) } catch {
        view = labelled(item, View(["(\(error))"], json: .null))
      }
      lines += view.lines
      items.append(view.json)
    }
    return View(lines, json: .array(items))
  }

  func displayList() -> View {
    let lines = displays.map {
      "\(padded("\($0.id)", 3)) \($0.isEnabled ? "on " : "off")  \($0.format)\($0.format.isEmpty ? "" : " ")\($0.expression)"
    }
    return View(
      lines.isEmpty ? ["there are no displays"] : lines,
      json: .array(
        displays.map {
          .object([
            ("id", .of($0.id)), ("enabled", .bool($0.isEnabled)),
            ("expression", .string($0.expression)),
          ])
        }))
  }

  private func displayNumbers(_ text: String) throws(DebuggerError) -> [Int] {
    if text.isEmpty { return displays.map(\.id) }
    var ids: [Int] = []
    for word in text.split(whereSeparator: { $0.isWhitespace || $0 == "," }) {
      guard let id = Int(word), displays.contains(where: { $0.id == id }) else {
        throw DebuggerError("there is no display \(word)")
      }
      ids.append(id)
    }
    return ids
  }

  func undisplay(_ text: String) throws(DebuggerError) -> View {
    let ids = try displayNumbers(text)
    displays.removeAll { ids.contains($0.id) }
    return View([])
  }

  func enableDisplays(_ text: String, _ on: Bool) throws(DebuggerError) -> View {
    let ids = try displayNumbers(text)
    for n in displays.indices where ids.contains(displays[n].id) { displays[n].isEnabled = on }
    return View([])
  }

  /// gdb names what its numbers mean: "breakpoints 1", "display 2".
  static func withoutKind(_ text: String) -> (text: String, isDisplay: Bool) {
    let (word, rest) = firstWord(text)
    switch word {
    case "breakpoints", "breakpoint", "break": return (rest, false)
    case "display", "displays": return (rest, true)
    default: return (text, false)
    }
  }
}
