import CPU
import Conformance
import Foundation
import Testing

@Suite("Conformance runs") struct RunTests {
  private func run(
    _ paths: [String], filter: String = "", exclude: [String] = [], shard: (Int, Int) = (1, 1),
    jobs: Int = 2, seed: UInt64 = 0
  ) throws -> (ConformanceReport, [String]) {
    let selection = SuiteFiles(paths: paths, exclude: exclude, filter: filter)
    var options = ConformanceOptions()
    options.shard = (shard.0, shard.1)
    options.jobs = jobs
    options.seed = seed
    var report = try ConformanceRun(files: selection.files, options: options).run()
    report.seconds = 0
    return (report, selection.problems)
  }

  @Test func correctTestsPassAndWrongOnesAreShownWithTheirDifference() throws {
    let folder = try Folder()
    try folder.write("01.MOO", additions(40, wrong: [7, 30]))
    let (report, problems) = try run([folder.path])
    #expect(problems.isEmpty)
    #expect(report.passed == 38)
    #expect(report.failed == 2)
    let failures = report.files[0].failures
    #expect(failures.map(\.index) == [7, 30])
    #expect(
      failures[0].differences == ["ax: 0x0108, expected 0x0109, differs in 0x0001"])
  }

  @Test func registersThatNoTestMentionsKeepTheirUpperHalves() throws {
    let folder = try Folder()
    try folder.write("01.MOO", additions(8))
    let (report, _) = try run([folder.path], seed: 77)
    #expect(report.passed == 8)
    // MOV EAX,1 changes the upper half, which the test's 16-bit registers cannot show.
    try folder.write(
      "66.MOO",
      header("C286", count: 1)
        + test16(
          0, code: [0x66, 0xB8, 1, 0, 0, 0, 0xF4], before: registers(ax: 1, bx: 1),
          after: [12: 0x17]))
    #expect(try run([folder.path], filter: "66").0.passed == 1)
    #expect(try run([folder.path], filter: "66", seed: 77).0.failed == 1)
  }

  @Test func shardsJoinToTheWhole() throws {
    let folder = try Folder()
    try folder.write("01.MOO", additions(50, wrong: [3, 4, 5, 48]))
    try folder.write("02.MOO", additions(11, wrong: [10]))
    let (whole, _) = try run([folder.path], jobs: 1)
    var parts: [ConformanceReport] = []
    for k in 1...4 {
      let (part, _) = try run([folder.path], shard: (k, 4))
      parts.append(try ConformanceReport(json: part.json(), path: "part"))
    }
    #expect(ConformanceReport.merged(parts.reversed()) == whole)
    #expect(parts.map { $0.passed + $0.failed }.reduce(0, +) == 61)
  }

  @Test func damagedFilesAreToldWithTheirOffsetAndTheOthersRun() throws {
    let folder = try Folder()
    try folder.write("01.MOO", additions(5))
    try folder.write("02.MOO", Array(additions(5).dropLast(30)))
    try folder.write("03.MOO", header("C286", count: 9) + additions(2).dropFirst(20))
    try folder.write("04.MOO", Array("MOO ".utf8) + le(UInt32.max))
    try folder.write("05.MOO", [])
    try folder.write("06.MOO", header("V20 ", count: 0))
    try folder.write("07.MOO.gz", [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 0xFF, 0xFF, 0xFF])
    try folder.write("08.json", Array("[{\"name\": \"x\", \"initial\": [}]".utf8))
    try folder.write("09.json", Array("[{\"name\": \"6502\", \"initial\": {\"pc\": 1}}]".utf8))
    try folder.write("10.json", Array(String(repeating: "[", count: 5000).utf8))
    try folder.write("extF80_add.near_even.p80.txt", Array("0 1 2\n".utf8))
    try folder.write("extF80_what.near_even.p80.txt", Array("0 1 2\n".utf8))
    let (report, _) = try run([folder.path])
    #expect(report.passed == 5)
    #expect(report.failed == 0)
    #expect(report.damaged == 11)
    for file in report.files where file.name != "01" {
      #expect(file.damage?.contains("at offset") == true, "\(file.name)")
    }
  }

  @Test func everyCutOfAFileIsReadWithoutHarm() throws {
    let whole = additions(2)
    for count in 0..<whole.count {
      #expect(throws: VectorFileError.self) {
        _ = try MOOFile(bytes: Array(whole.prefix(count)), path: "cut")
      }
    }
    // Bytes turned over may read as something else, but never stop the program.
    for at in 0..<whole.count {
      var bytes = whole
      bytes[at] ^= 0xFF
      _ = try? MOOFile(bytes: bytes, path: "turned")
    }
  }

  @Test func exclusionsAreNamed() throws {
    let folder = try Folder()
    try folder.write("01.MOO", additions(6, wrong: [2, 4]))
    let hash = String(repeating: "04", count: 20)
    try folder.write("revocation_list.txt", Array("\(hash)\n".utf8))
    let list = try folder.write("known.tsv", Array("01\t2\t-\tax is off by one\n".utf8))
    let (report, problems) = try run([folder.path], exclude: [list])
    #expect(problems.isEmpty)
    #expect(report.passed == 4)
    #expect(report.failed == 0)
    #expect(
      report.files[0].excluded == [
        "ax is off by one (known.tsv)": 1, "revoked (revocation_list.txt)": 1,
      ])
  }

  @Test func jsonTestsOfThe8086Run() throws {
    let folder = try Folder()
    // PUSH SP: an 8086 stores the decremented value; named as a rule.
    let regs =
      "\"ax\":0,\"bx\":0,\"cx\":0,\"dx\":0,\"cs\":256,\"ss\":512,\"ds\":0,\"es\":0,\"sp\":16,"
      + "\"bp\":0,\"si\":0,\"di\":0,\"ip\":0,\"flags\":61442"
    let text = """
      [{"name": "push sp", "bytes": [84], "initial": {"regs": {\(regs)},
        "ram": [[4096, 84]], "queue": []},
        "final": {"regs": {"sp": 14, "ip": 1}, "ram": [[8206, 14], [8207, 0]], "queue": []},
        "cycles": [[0, null, \"--\", true]], "hash": "ab"}]
      """
    try folder.write("54.json", Array(text.utf8))
    let (report, problems) = try run([folder.path])
    #expect(problems.isEmpty)
    #expect(report.passed == 1)
    #expect(report.files[0].byRule == ["PUSH SP pushes SP as it was, not decremented": 1])
  }

  @Test func testsOfThe386UseWideRegistersAndTheFilesMasks() throws {
    let folder = try Folder()
    // cr0 cr3 eax ebx ecx edx esi edi ebp esp cs ds es fs gs ss eip eflags dr6 dr7
    let before: [UInt32] = [
      0x7FFE_FFF0, 0, 0xFFFF_FFFF, 1, 0, 0, 0, 0, 0, 0x100, 0x1000, 0, 0, 0, 0, 0x2000, 0x20,
      0xFFFC_0002, 0xFFFF_1FF0, 0,
    ]
    let code: [UInt8] = [0x66, 0x01, 0xD8, 0xF4]
    func ram() -> [UInt8] {
      chunk(
        "RAM ",
        le(UInt32(4)) + code.enumerated().flatMap { le(0x10020 + UInt32($0.offset)) + [$0.element] }
      )
    }
    // ADD EAX,EBX: zero with CF, ZF, AF, PF; the expected flags have OF wrong, which the mask covers.
    let after: [UInt8] =
      le(UInt32(1 << 2 | 1 << 16 | 1 << 17)) + le(UInt32(0)) + le(UInt32(0x24))
      + le(UInt32(0xFFFC_0857))
    let mask = chunk("RM32", le(UInt32(1 << 17)) + le(UInt32(0xFFFF_F7FF)))
    let body = { (masks: [UInt8]) -> [UInt8] in
      header("386E", count: 1, minor: 1) + masks
        + chunk(
          "TEST",
          le(UInt32(0)) + chunk("BYTS", le(UInt32(4)) + code)
            + chunk(
              "INIT", chunk("RG32", le(UInt32(0xFFFFF)) + before.flatMap { le($0) }) + ram())
            + chunk("FINA", chunk("RG32", after) + chunk("RAM ", le(UInt32(0)))))
    }
    try folder.write("6601.MOO", body(mask))
    try folder.write("6602.MOO", body([]))
    let (report, _) = try run([folder.path])
    #expect(report.files[0].passed == 1)
    #expect(report.files[1].failures.first?.differences.count == 1)
  }

  @Test func testFloatLinesAreComparedWithFlags() throws {
    let folder = try Folder()
    let one = "3FFF8000000000000000"
    let two = "40008000000000000000"
    try folder.write(
      "extF80_add.near_even.p80.txt",
      Array("\(one) \(one) \(two) 00\n\(one) \(one) \(two) 01\n".utf8)
    )
    let (report, _) = try run([folder.path])
    #expect(report.passed == 1)
    #expect(report.files[0].failures.first?.differences == ["flags: 00, expected 01"])
  }

  @Test func filtersMatchOpcodesAndSuites() throws {
    let folder = try Folder()
    try folder.write("01.MOO", additions(1))
    try folder.write("81.0.MOO", additions(1))
    #expect(SuiteFiles(paths: [folder.path], filter: "81.*").files.map(\.name) == ["81.0"])
    #expect(SuiteFiles(paths: [folder.path], filter: "*/01,??").files.map(\.name) == ["01"])
    #expect(SuiteFiles(paths: [folder.path + "/nothing"]).problems.count == 1)
  }

  @Test func junitNamesSuitesAndOpcodes() throws {
    let folder = try Folder()
    try folder.write("01.MOO", additions(2, wrong: [1]))
    let text = try run([folder.path]).0.junit()
    #expect(text.contains("failures=\"1\""))
    #expect(text.contains("name=\"01\""))
  }

  @Test(
    arguments: [
      ([0x01, 0xD8], false, "add ax,bx"), ([0x66, 0x01, 0xD8], false, "add eax,ebx"),
      ([0x80, 0x47, 0xFE, 0x12], false, "add byte [bx-2],0x12"),
      ([0x36, 0x8B, 0x84, 0x8D, 0, 1, 0, 0], true, "mov eax,dword [ebp+ecx*4+0x100]"),
      ([0x2E, 0xA1, 0x34, 0x12], false, "mov ax,word [cs:0x1234]"),
      ([0xEB, 0xFE], true, "jmp 0x1000"), ([0xF3, 0xA5], false, "rep movsw"),
      ([0xEA, 0, 0, 0, 0xF0], false, "jmp far 0xf000:0"), ([0x8E, 0xD8], false, "mov ds,ax"),
      ([0x0F, 0xA4, 0xC3, 5], true, "shld ebx,eax,5"), ([0x98], true, "cwde"),
      ([0x0F, 0x0A], true, "(bad)"),
    ] as [([UInt8], Bool, String)])
  func instructionsAreShownInIntelsNotation(bytes: [UInt8], big: Bool, text: String) {
    let shown = Disassembler(model: .pentium2).text(bytes, mode: DecodeMode(big: big), eip: 0x1000)
    #expect(shown?.text == text)
    #expect(text == "(bad)" || shown?.length == bytes.count)
  }
}
