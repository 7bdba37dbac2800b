// The word that was meant.
//
// Owns: how far words are from each other. Must not know: what they mean.

public enum NearWord {
  /// The word of some that one was perhaps meant to be: few letters differ.
  public static func of(_ word: String, in words: [String]) -> String? {
    let typed = Array(word.lowercased())
    if typed.count > 40 { return nil }
    let ranked = words.map { (word: $0, steps: distance(typed, Array($0))) }
    guard let best = ranked.min(by: { $0.steps < $1.steps }),
      best.steps <= min(typed.count, best.word.count) / 3 + 1, best.steps < best.word.count
    else { return nil }
    return best.word
  }

  /// How many letters have to be changed, put in, left out or exchanged with their neighbour.
  static func distance(_ a: [Character], _ b: [Character]) -> Int {
    var before: [Int] = []
    var last = Array(0...b.count)
    for (i, letter) in a.enumerated() {
      var row = [i + 1]
      for (j, other) in b.enumerated() {
        var steps = min(row[j] + 1, last[j + 1] + 1, last[j] + (letter == other ? 0 : 1))
        if i > 0, j > 0, letter == b[j - 1], a[i - 1] == other {
          steps = min(steps, before[j - 1] + 1)
        }
        row.append(steps)
      }
      (before, last) = (last, row)
    }
    return last[b.count]
  }
}
