// Which findings a look at a QCOW2 file had, to be compared with those of another look.
//
// Owns: what is the same finding, and what a repair reports. Must not know: what they mean.

/// Findings by a number each, also of those that are not listed.
struct QCOW2Findings {
  private static let most = 1 << 20
  private var keys = Set<Int>()
  private var isFull = false

  static func key(_ finding: ImageCheck.Finding) -> Int {
    var hasher = Hasher()
    hasher.combine(finding.text)
    hasher.combine(finding.offset)
    return hasher.finalize()
  }

  mutating func add(_ finding: ImageCheck.Finding) {
    if keys.count < QCOW2Findings.most {
      keys.insert(QCOW2Findings.key(finding))
    } else {
      isFull = true
    }
  }

  /// Whether a finding was had, or may have been.
  func mayHave(_ finding: ImageCheck.Finding) -> Bool {
    isFull || keys.contains(QCOW2Findings.key(finding))
  }
}

extension QCOW2Checker {
  /// What a repair reports: mended is what the look afterwards does not find any more.
  func report(_ after: QCOW2Checker) -> ImageCheck {
    var final = ImageCheck()
    for finding in result.findings {
      var finding = finding
      finding.isRepaired = !after.keys.mayHave(finding)
      if finding.isRepaired, let fate = fates[QCOW2Findings.key(finding)] {
        finding.text += "; \(fate)"
      }
      final.add(finding)
    }
    for finding in after.result.findings where !keys.mayHave(finding) { final.add(finding) }
    // Those behind the first thousand are only counted.
    final.addUnlisted(result, left: after.result)
    return final
  }
}
