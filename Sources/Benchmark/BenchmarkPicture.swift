// The results as a picture: bars side by side for every piece of work, as SVG.
//
// Owns: the drawing. Must not know: how anything was measured. Follows: SVG 1.1.

extension BenchmarkReport {
  private static let colours = ["#d9480f", "#1971c2", "#2f9e44", "#868e96", "#9c36b5", "#f08c00"]

  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case _ where scalar.value < 0x20: result += " "
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private static func tenths(_ value: Double) -> String {
    let scaled = Int((value * 10).rounded())
    return "\(scaled / 10).\(abs(scaled % 10))"
  }

  /// The picture as a file's text.
  public func svg() -> String {
    let (left, right, top, bar, gap) = (110.0, 80.0, 84.0, 11.0, 9.0)
    let wide = 640.0
    let times = rows.flatMap { $0.entries.compactMap(\.median) }.filter { $0 > 0 }
    let low = LogScale.decade(atMost: times.min() ?? 0.01)
    let high = LogScale.decade(atLeast: times.max() ?? 10)
    let scale = LogScale(low: low, high: high)
    func shown(_ row: Row) -> [Int] {
      row.entries.indices.filter { row.entries[$0].median != nil }
    }
    let height =
      top + rows.reduce(0.0) { $0 + Double(shown($1).count) * bar + gap } + 40
    let full = left + wide + right
    var text = """
      <?xml version="1.0" encoding="UTF-8"?>
      <svg xmlns="http://www.w3.org/2000/svg" role="img" width="\(Int(full))" height="\(Int(height))" \
      viewBox="0 0 \(Int(full)) \(Int(height))" font-family="sans-serif" font-size="12">
      <rect width="100%" height="100%" fill="#ffffff"/>
      <text x="\(Int(left))" y="22" font-size="16" font-weight="bold">CPU seconds, less is better</text>
      <text x="\(Int(left))" y="40" fill="#495057">\(BenchmarkReport.escaped(caption))</text>

      """
    var x = left
    for (index, name) in contestants.enumerated() {
      let colour = BenchmarkReport.colours[index % BenchmarkReport.colours.count]
      text += """
        <rect x="\(Int(x))" y="52" width="12" height="12" fill="\(colour)"/>
        <text x="\(Int(x) + 17)" y="62">\(BenchmarkReport.escaped(name))</text>

        """
      x += 40 + 8 * Double(name.count)
    }
    // Lines at powers of ten.
    var mark = low
    while mark <= high * 1.01 {
      let place = BenchmarkReport.tenths(left + scale.position(mark) * wide)
      let bottom = BenchmarkReport.tenths(height - 30)
      text += """
        <line x1="\(place)" y1="\(Int(top) - 8)" x2="\(place)" y2="\(bottom)" stroke="#ced4da"/>
        <text x="\(place)" y="\(BenchmarkReport.tenths(height - 14))" text-anchor="middle">\
        \(LogScale.label(mark))</text>

        """
      mark *= 10
    }
    var y = top
    for row in rows {
      let entries = shown(row)
      let middle = BenchmarkReport.tenths(y + Double(entries.count) * bar / 2 + 4)
      text += """
        <text x="\(Int(left) - 8)" y="\(middle)" text-anchor="end">\
        \(BenchmarkReport.escaped(row.name))</text>

        """
      for index in entries {
        let time = row.entries[index].median ?? 0
        let length = max(1, scale.position(time) * wide)
        let colour = BenchmarkReport.colours[index % BenchmarkReport.colours.count]
        let number = BenchmarkReport.digits(time)
        text += """
          <rect x="\(Int(left))" y="\(BenchmarkReport.tenths(y))" width="\(BenchmarkReport.tenths(length))" \
          height="\(BenchmarkReport.tenths(bar - 1))" fill="\(colour)">\
          <title>\(BenchmarkReport.escaped("\(row.name), \(contestants[index]): \(number) s"))</title></rect>
          <text x="\(BenchmarkReport.tenths(left + length + 4))" y="\(BenchmarkReport.tenths(y + bar - 2))" \
          font-size="10">\(number)</text>

          """
        y += bar
      }
      y += gap
    }
    return text + "</svg>\n"
  }
}

extension LogScale {
  /// The power of ten not above a value.
  static func decade(atMost value: Double) -> Double {
    var power = 1e-4
    while power * 10 <= value && power < 1e6 { power *= 10 }
    return power
  }

  /// The power of ten not below a value.
  static func decade(atLeast value: Double) -> Double {
    var power = 1e-3
    while power < value && power < 1e7 { power *= 10 }
    return power
  }

  /// A power of ten in words.
  static func label(_ value: Double) -> String {
    if value >= 0.9 { return "\(Int(value.rounded())) s" }
    var (zeros, power) = (0, value)
    while power < 0.09 {
      power *= 10
      zeros += 1
    }
    return "0." + String(repeating: "0", count: zeros) + "1 s"
  }
}
