// Regular expressions: what they match, what is refused, and that none takes long. Expectations as the manual of POSIX's extended
// expressions and Perl's have them, but for ^ and $, which leave blanks aside.

import Testing

@testable import Session

@Suite struct LinePatternTests {
  /// What matches, joined by commas; nil when the pattern is refused.
  private func found(_ pattern: String, _ line: String) -> String? {
    guard let pattern = try? LinePattern(pattern) else { return nil }
    let scalars = Array(line.unicodeScalars)
    return pattern.matches(in: scalars.map(\.value)).map { range in
      String(String.UnicodeScalarView(scalars[range]))
    }.joined(separator: ",")
  }

  @Test func whatMatches() {
    let table: [(String, String, String)] = [
      ("abc", "xabcabc", "abc,abc"), ("a.c", "abc adc", "abc,adc"), ("x*", "axxb", "xx"),
      ("a|ab", "ab", "a"), ("ab|a", "ab", "ab"), ("(?:a|ab)c", "abc", "abc"),
      ("a+?", "aaa", "a,a,a"),
      ("a{2}", "aaaaa", "aa,aa"), ("a{2,}", "aaaaa", "aaaaa"), ("a{1,2}?b", "aab", "aab"),
      ("a{,2}b", "aaab", "aab"), ("[0-9]+\\.[0-9]", "v1.25", "1.2"), ("[^ ]+", "ab cd", "ab,cd"),
      ("[]x]", "a]x", "],x"), ("[a\\]]+", "a]", "a]"), ("[a-]+", "-a", "-a"),
      ("\\d+", "a12b3", "12,3"),
      ("\\w+\\s\\w+", "to be", "to be"), ("[\\D]", "1a", "a"), ("\\bfoo\\b", "foo food", "foo"),
      ("(?i)login:", "LogIn:", "LogIn:"), ("(?i)[a-c]+", "ABCD", "ABC"),
      ("\\x41\\x{42}", "AB", "AB"),
      ("C:\\\\>", "C:\\>", "C:\\>"), ("[[:digit:]x]+", "1x2", "1x2"), ("(?<n>a)b", "ab", "ab"),
      ("é", "café", "é"), ("a{x", "a{x", "a{x"), ("(a|b)*c", "abac", "abac"), ("()", "a", ""),
      ("(a*)*b", "aab", "aab"),
    ]
    for (pattern, line, expected) in table {
      #expect(found(pattern, line) == expected, "\(pattern) in \(line)")
    }
  }

  @Test func theEndsOfALineLeaveBlanksAside() {
    for line in ["#", "# ", "  #", " #  "] {
      #expect(found("^#$", line) == "#", "'\(line)'")
      #expect(found("^\\s*#\\s*$", line) == line)
    }
    #expect(found("^#$", "a #") == "")
    #expect(found("^#", "##") == "#")
    #expect(found("# $", "#") == "")
  }

  @Test func whatIsNotSupportedIsSaid() {
    for pattern in [
      "(", ")", "[a", "a**", "*a", "(a)\\1", "(?=a)", "(?<!a)b", "a++", "\\pL", "[b-a]", "a{2,1}",
      "\\",
      "a{1001}", "((a{1000}){1000}){1000}", "((((){1000}){1000}){1000}){1000}", "[[:word:]]", "^*",
    ] {
      #expect(throws: LinePattern.Problem.self, "\(pattern)") { try LinePattern(pattern) }
    }
    #expect(throws: LinePattern.Problem.self) {
      try LinePattern(String(repeating: "(", count: 5000) + String(repeating: ")", count: 5000))
    }
  }

  @Test(.timeLimit(.minutes(1))) func noneTakesLong() {
    let line = String(repeating: "a", count: 4096)
    for pattern in ["(.*.*.*)*zz", "(a+)+$b", "(a|aa)+z", "(a?){500}a{500}z"] {
      #expect(found(pattern, line) == "", "\(pattern)")
    }
  }
}
