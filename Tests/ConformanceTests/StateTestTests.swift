import CPU
import Conformance
import Foundation
import Testing

/// Tests in JSON: programs that end in HLT, and what they must leave behind.
@Suite("Tests in JSON") struct StateTestTests {
  private func differences(_ json: String, engine: Engine = .interpreter) throws -> [String] {
    let test = try StateTest(bytes: Array(json.utf8), path: "test.json")
    return try StateTestRunner(test, model: nil, engine: engine).run()
  }

  /// `mov ax,1 / add ax,2 / mov [500h],ax / hlt`
  private let realAddition = """
    { "format": "apus-state-test/1", "mode": "real", "code": "B8 01 00 05 02 00 A3 00 05 F4",
      "expected": { "eax": "3", "eip": "7C0A", "eflags": 4, "eflags-mask": "8D5", "cs": 0,
        "memory": [ { "address": "500", "bytes": "03 00" } ] } }
    """

  @Test(arguments: [Engine.interpreter, .translator])
  func realModeProgramsEndInHLT(engine: Engine) throws {
    #expect(try differences(realAddition, engine: engine) == [])
  }

  @Test func whatDiffersIsShown() throws {
    let wrong = realAddition.replacingOccurrences(of: "\"eax\": \"3\"", with: "\"eax\": \"0x4\"")
      .replacingOccurrences(of: "03 00", with: "0300 FF")
    #expect(
      try differences(wrong) == [
        "eax: 00000003, expected 00000004, differs in 00000007",
        "[00000502]: 00, expected FF",
      ])
  }

  /// `fld1 / fld1 / faddp / addps xmm0,xmm1 / hlt`
  @Test func x87AndSSERegisters() throws {
    let json = """
      { "format": "apus-state-test/1", "mode": "protected32", "cpu": "pentium4",
        "code": "D9 E8 D9 E8 DE C1 0F 58 C1 F4",
        "initial": { "xmm0": "3F800000 3F800000 3F800000 3F800000",
                     "xmm1": "40000000 40000000 40000000 40000000" },
        "expected": { "st0": "4000 8000000000000000", "fsw": "3800", "fcw": "037F", "ftw": "3FFF",
                      "xmm0": "40400000 40400000 40400000 40400000", "mxcsr": "1F80" } }
      """
    #expect(try differences(json) == [])
  }

  /// `paddb mm1,mm2 / hlt`; all registers are in use afterwards.
  @Test func mmxRegisters() throws {
    let json = """
      { "format": "apus-state-test/1", "mode": "protected16", "code": "0F FC CA F4", "address": "8000",
        "initial": { "mm1": "00000000000001FF", "mm2": "0000000000000101" },
        "expected": { "mm1": "0000000000000200", "ftw": "5569" } }
      """
    #expect(try differences(json) == [])
  }

  @Test func exceptionsEndATestWithTheRegistersOfTheInstruction() throws {
    // xor cx,cx / div cx
    let divide = """
      { "format": "apus-state-test/1", "mode": "MODE", "code": "31 C9 F7 F1", "address": "8000",
        "expected": { "eip": "8002", "exception": 0 } }
      """
    for mode in ["real", "protected16", "protected32"] {
      #expect(try differences(divide.replacingOccurrences(of: "MODE", with: mode)) == [])
    }
    // mov ds,ax with a selector beyond the GDT
    let selector = """
      { "format": "apus-state-test/1", "mode": "protected32", "code": "8E D8", "initial": { "eax": "FFF8" },
        "expected": { "esp": "80000", "exception": { "vector": "0D", "error": "FFF8" } } }
      """
    #expect(try differences(selector) == [])
    let other = selector.replacingOccurrences(of: "\"error\": \"FFF8\"", with: "\"error\": 0")
    #expect(
      try differences(other) == [
        "ended with exception 13, error code FFF8, expected exception 13, error code 0000"
      ])
    let missing = """
      { "format": "apus-state-test/1", "mode": "protected32", "code": "F4", "expected": { "exception": 6 } }
      """
    #expect(try differences(missing) == ["ended with HLT, expected exception 6"])
  }

  @Test func level3IsThatOfTheHostComparison() throws {
    // mov [bx],ax / hlt in 16-bit segments of 64 KiB
    let json = """
      { "format": "apus-state-test/1", "mode": "user16", "code": "89 07 F4",
        "initial": { "eax": "1234", "ebx": "0100" },
        "expected": { "cs": "0007", "eip": "8002",
          "memory": [ { "address": "1000100", "bytes": "34 12" } ] } }
      """
    #expect(try differences(json) == [])
    // One byte beyond the segment.
    let beyond = """
      { "format": "apus-state-test/1", "mode": "user32", "code": "89 07 F4", "initial": { "edi": "FFFD" },
        "expected": { "exception": { "vector": "0D", "error": 0 } } }
      """
    #expect(try differences(beyond) == [])
    #expect(throws: VectorFileError.self) {
      try differences(
        json.replacingOccurrences(of: "\"initial\"", with: "\"address\": \"500\", \"initial\""))
    }
  }

  @Test func endlessProgramsFail() throws {
    let json = """
      { "format": "apus-state-test/1", "mode": "real", "code": "EB FE", "limit": 1000, "expected": {} }
      """
    #expect(try differences(json) == ["no end within 1000 instructions"])
  }

  @Test func foldersOfTestsWithImagesAreSuites() throws {
    let folder = try Folder()
    try folder.write("add.bin", [0xB8, 0x01, 0x00, 0x05, 0x02, 0x00, 0xA3, 0x00, 0x05, 0xF4])
    let good = realAddition.replacingOccurrences(
      of: "\"code\": \"B8 01 00 05 02 00 A3 00 05 F4\"", with: "\"image\": \"add.bin\"")
    try folder.write("good.json", Array(good.utf8))
    try folder.write(
      "bad.json", Array(good.replacingOccurrences(of: "\"3\"", with: "\"5\"").utf8))
    try folder.write(
      "lost.json", Array(good.replacingOccurrences(of: "add.bin", with: "none.bin").utf8))
    try folder.write("cut.json", Array(good.utf8.dropLast(20)))
    let selection = SuiteFiles(paths: [folder.path])
    let report = try ConformanceRun(files: selection.files, options: ConformanceOptions()).run()
    #expect(report.passed == 1)
    #expect(report.failed == 1)
    #expect(report.damaged == 2)
  }

  @Test(
    arguments: [
      ("{", "the text ends early"), ("{ \"format\": 3 }", "a text expected"),
      ("{ \"format\": \"apus-state-test/9\" }", "this program knows"),
      ("{ \"name\": \"x\" }", "no \"format\""),
      ("{ \"format\": \"apus-state-test/1\", \"mode\": \"long\" }", "mode 'long'"),
      ("{ \"format\": \"apus-state-test/1\", \"code\": \"9\" }", "odd number"),
      ("{ \"format\": \"apus-state-test/1\", \"code\": \"90\" }", "need a \"mode\""),
      ("{ \"format\": \"apus-state-test/1\", \"colour\": 1 }", "unknown key 'colour'"),
      ("{ \"format\": \"apus-state-test/1\", \"initial\": { \"rax\": 1 } }", "no register 'rax'"),
      (
        "{ \"format\": \"apus-state-test/1\", \"initial\": { \"eax\": \"123456789\" } }",
        "up to 8 hexadecimal digits"
      ),
      ("{ \"format\": \"apus-state-test/1\", \"initial\": { \"st8\": 1 } }", "no register 'st8'"),
      (
        "{ \"format\": \"apus-state-test/1\", \"expected\": { \"memory\": [ { \"bytes\": \"00\" } ] } }",
        "without \"address\""
      ),
      ("{ \"format\": \"apus-state-test/1\" } x", "something after"),
    ])
  func damagedTestsAreToldWithPlaceAndReason(json: String, reason: String) {
    do {
      _ = try StateTest(bytes: Array(json.utf8), path: "some.json")
      Issue.record("read: \(json)")
    } catch {
      #expect(error.description.hasPrefix("some.json: at offset "))
      #expect(error.reason.contains(reason), "\(error.reason)")
      #expect(error.offset <= json.utf8.count)
    }
  }

  @Test func everyCutAndTurnedByteIsReadWithoutHarm() throws {
    let whole = Array(realAddition.utf8)
    for count in 0..<whole.count - 1 {
      #expect(throws: VectorFileError.self) {
        _ = try StateTest(bytes: Array(whole.prefix(count)), path: "cut")
      }
    }
    for at in whole.indices {
      var bytes = whole
      bytes[at] ^= 0x15
      if let test = try? StateTest(bytes: bytes, path: "turned") {
        _ = try? StateTestRunner(test, model: nil).run()
      }
    }
  }

  @Test func whatIsWrittenIsReadAgain() throws {
    let test = try StateTest(bytes: Array(realAddition.utf8), path: "test.json")
    let again = try StateTest(bytes: Array(test.json().utf8), path: "test.json")
    #expect(again.json() == test.json())
    #expect(try StateTestRunner(again, model: nil).run() == [])
  }
}
