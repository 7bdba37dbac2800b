// The line protocol of device tests, on a whole machine. Expectations are those of the protocol's page (QEMU's docs/devel/testing/qtest) and
// of the data sheets named in the tests.

import Machine
import Testing

@testable import DeviceChecks

@Suite("Device tests by lines") struct DeviceSessionTests {
  /// What a machine answers to lines.
  private final class Conversation {
    let machine: Machine
    private var session: DeviceSession!
    private var heard: [UInt8] = []

    init(accessTime: UInt64 = 0, _ change: (inout MachineConfiguration) -> Void = { _ in }) throws {
      var configuration = MachineConfiguration()
      configuration.memoryMegabytes = 4
      change(&configuration)
      machine = try Machine(configuration)
      session = DeviceSession(machine, accessTime: accessTime) { [unowned self] in heard += $0 }
    }

    /// The lines that answer a line.
    func say(_ line: String) -> [String] {
      session.take(Array(line.utf8))
      defer { heard = [] }
      return String(decoding: heard, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    func all(_ lines: String) -> [String] {
      lines.split(separator: "\n").flatMap { say(String($0)) }
    }
  }

  @Test func portsAnswerAsTheirDataSheetsSay() throws {
    let talk = try Conversation()
    #expect(talk.say("endianness") == ["OK little"])
    // Configuration mechanism 1, 82441FX data sheet 3.2.1 and 3.2.2; PIIX3 (290550) at device 1.
    #expect(talk.say("outl 0xcf8 0x80000000") == ["OK"])
    #expect(talk.say("inl 0xcfc") == ["OK 0x12378086"])
    #expect(talk.say("inw 0xcfe") == ["OK 0x1237"])
    #expect(talk.say("outl 3320 2147485696") == ["OK"])
    #expect(talk.say("inl 0xcfc") == ["OK 0x70008086"])
    // MC146818: register D, VRT. Numbers are as strtoul reads them: octal here.
    #expect(talk.say("outb 0160 015") == ["OK"])
    #expect(talk.say("inb 0161") == ["OK 0x0080"])
    // Nobody answers.
    #expect(talk.say("inb 0x999") == ["OK 0x00ff"])
    #expect(talk.say("inl 0xffff") == ["OK 0xffffffff"])
  }

  /// 82441FX data sheet (290549), 3.2: what its registers hold after a reset, whether or not somebody has written them before.
  @Test func theHostBridgeResetsToItsDataSheet() throws {
    let talk = try Conversation()
    func byte(_ register: Int, _ value: Int? = nil) -> [String] {
      _ = talk.say("outl 0xcf8 \(0x8000_0000 | register & 0xFC)")
      let port = 0xCFC + (register & 3)
      return talk.say(value.map { "outb \(port) \($0)" } ?? "inb \(port)")
    }
    let expected: [(Int, Int)] =
      [
        (0x04, 0x06), (0x05, 0), (0x07, 0x02), (0x09, 0), (0x0A, 0), (0x0B, 0x06), (0x0D, 0),
        (0x0E, 0), (0x0F, 0), (0x52, 0), (0x54, 0), (0x55, 0), (0x56, 0), (0x57, 0x01),
        (0x58, 0x10), (0x68, 0), (0x70, 0), (0x71, 0x10), (0x72, 0x02), (0x90, 0), (0x91, 0),
        (0x93, 0),
      ] + (0x59...0x5F).map { ($0, 0) }
    for _ in 0..<2 {
      for (register, value) in expected {
        let digits = String(value, radix: 16)
        #expect(
          byte(register) == ["OK 0x" + String(repeating: "0", count: 4 - digits.count) + digits],
          "register \(String(register, radix: 16))")
      }
      for register in [0x52, 0x57, 0x59, 0x5C, 0x70, 0x71, 0x90] { _ = byte(register, 0x33) }
      _ = talk.all("outb 0xcf9 2\noutb 0xcf9 6")
    }
  }

  @Test func memoryIsSeenAsTheProcessorSeesIt() throws {
    let talk = try Conversation()
    #expect(talk.say("write 0x1000 4 0x0102ff") == ["OK"])
    #expect(talk.say("readl 0x1000") == ["OK 0x0000000000ff0201"])
    #expect(talk.say("read 0x1000 4") == ["OK 0x0102ff00"])
    #expect(talk.say("b64write 0x1001 3 AQID") == ["OK"])
    #expect(talk.say("b64read 0x1000 4") == ["OK AQECAw=="])
    #expect(talk.say("memset 0x1ffe 5 0x5a") == ["OK"])
    #expect(talk.say("memset 0x1000 0 1") == ["OK"])
    #expect(talk.say("readq 0x1ffd") == ["OK 0x00005a5a5a5a5a00"])
    #expect(talk.say("writeq 0x1ffc 0x8877665544332211") == ["OK"])
    #expect(talk.say("read 0x1ffc 8") == ["OK 0x1122334455667788"])
    #expect(talk.say("writew 0x1fff 0xbeef") == ["OK"])
    #expect(talk.say("readb 0x2000") == ["OK 0x00000000000000be"])
    // A20, by bit 1 of port 92h: with it low, 1 MiB is 0.
    _ = talk.say("outb 0x92 0x02")
    #expect(talk.say("writel 0 0x11111111") == ["OK"])
    #expect(talk.say("writel 0x100000 0x22222222") == ["OK"])
    #expect(talk.say("readl 0x100000") == ["OK 0x0000000022222222"])
    _ = talk.say("outb 0x92 0x00")
    #expect(talk.say("readl 0x100000") == ["OK 0x0000000011111111"])
    // Neither RAM nor a device, and more than 36 bits.
    #expect(talk.say("readl 0x40000000") == ["OK 0x00000000ffffffff"])
    #expect(talk.say("readq 0xffffffffffffffff") == ["OK 0xffffffffffffffff"])
    #expect(talk.say("writeq 0xffffffffffffffff 0") == ["OK"])
  }

  /// 8254 data sheet, mode 0: OUT is low from the control word on and high N + 1 clocks after the count N was written, here 1194 of
  /// 1.193182 MHz: a millisecond.
  @Test func interruptLinesAreToldAndTimeIsTheClients() throws {
    let talk = try Conversation()
    #expect(talk.say("irq_intercept_in ioapic") == ["OK"])
    #expect(talk.say("irq_intercept_in /machine/unattached/ioapic") == ["OK"])
    #expect(talk.say("irq_intercept_in nosuch") == ["FAIL Unknown device 'nosuch'"])
    for line in ["outb 0x43 0x30", "outb 0x40 0xa9", "outb 0x40 0x04"] {
      #expect(talk.say(line) == ["OK"])
    }
    #expect(talk.say("clock_step 990000") == ["OK 990000"])
    #expect(talk.say("clock_step 20000") == ["IRQ raise 0", "OK 1010000"])
    // What is past stays.
    #expect(talk.say("clock_set 5") == ["OK 1010000"])
    #expect(talk.say("clock_set 2000000") == ["OK 2000000"])
    #expect(talk.say("outb 0x43 0x30") == ["IRQ lower 0", "OK"])
    // Forced from outside.
    #expect(talk.say("set_irq_in ioapic unnamed-gpio-in 5 1") == ["IRQ raise 5", "OK"])
    #expect(talk.say("set_irq_in ioapic unnamed-gpio-in 5 0") == ["IRQ lower 5", "OK"])
    #expect(talk.say("set_irq_in ioapic unnamed-gpio-in 16 1") == ["FAIL inputs are 0 to 15"])
  }

  /// MC146818 data sheet: the update-ended interrupt comes once a second and stands until register C is read, whose UF, PF and IRQF tell of
  /// it (register A has a rate from power-on, so PF is there, too).
  @Test func aStepWithoutTimeGoesToTheNextEvent() throws {
    let talk = try Conversation()
    _ = talk.all("irq_intercept_in pic\noutb 0x70 0x0b\noutb 0x71 0x12\noutb 0x70 0x0c\ninb 0x71")
    var heard: [String] = []
    for _ in 0..<100 where !heard.contains("IRQ raise 8") { heard = talk.say("clock_step") }
    #expect(heard == ["IRQ raise 8", "OK 1000000000"])
    #expect(talk.say("inb 0x71") == ["IRQ lower 8", "OK 0x00d0"])
  }

  /// Drives are a, b and cd, as in --change.
  @Test func linesNameCDDrives() throws {
    #expect(try DeviceLine(Array("apus_insert cd x.iso".utf8)) == .cd(drive: 0, file: "x.iso"))
    #expect(try DeviceLine(Array("apus_eject cd2".utf8)) == .cd(drive: 1, file: nil))
    #expect(try DeviceLine(Array("apus_eject b".utf8)) == .floppy(drive: 1, file: nil))
    let talk = try Conversation()
    #expect(talk.say("apus_eject cd3")[0].hasPrefix("FAIL "))
  }

  @Test func linesTakeTheTimeThatWasAskedFor() throws {
    let talk = try Conversation(accessTime: 1000)
    _ = talk.all("inb 0x80\nwriteb 0 0\nread 0 16")
    #expect(talk.say("clock_step 0") == ["OK 3000"])
    #expect(talk.say("# a comment").isEmpty && talk.say("").isEmpty)
    #expect(talk.say("clock_step 0") == ["OK 3000"])
  }

  @Test(arguments: [
    "outb", "outb 1", "outb 1 2 3", "inb 0x10000", "inb -1", "inb 0x", "inb x", "inb 08",
    "inb 0x+1",
    "outb 1 0x1ffffffffffffffff", "read 0 0", "read 0 0x4000001", "write 0 1 00", "write 0 1 0x",
    "write 0 1 0xzz", "write 0 0 0x00", "b64write 0 1 !", "memset 0 0x4000001 0",
    "clock_step 0x8000000000000000", "clock_set 0xffffffffffffffff", "clock_step -1",
    "irq_intercept_out ioapic", "set_irq_in ioapic x 0", "nonsense", "rtas x", "\u{1}\u{2}\r",
    "apus_eject a", "apus_eject c", "apus_insert a", "apus_insert a /nonexistent/file",
  ]) func whatCannotBeDoneFails(_ line: String) throws {
    let talk = try Conversation()
    let answer = talk.say(line)
    #expect(answer.count == 1 && answer.allSatisfy { $0.hasPrefix("FAIL ") })
    #expect(talk.say("clock_step 0") == ["OK 0"])
  }

  @Test func resetsAndPowerOffAreObeyed() throws {
    let talk = try Conversation()
    // PIIX3: CF9h, hard reset. The 8259A's mask is lost with it, memory is not.
    _ = talk.all("outl 0xcf8 0x80000070\noutb 0xcfc 0x5c\nwriteb 0x500 0x77")
    #expect(talk.say("inb 0xcfc") == ["OK 0x005c"])
    _ = talk.all("outb 0xcf9 0x02\noutb 0xcf9 0x06\noutl 0xcf8 0x80000070")
    #expect(talk.say("inb 0xcfc") == ["OK 0x0000"])
    #expect(talk.say("readb 0x500") == ["OK 0x0000000000000077"])
    for letter in "Shutdown".utf8 { #expect(talk.say("outb 0x8900 \(letter)") == ["OK"]) }
    #expect(talk.say("inb 0x71") == ["FAIL the machine is off"])
    #expect(talk.say("clock_step 1") == ["FAIL the machine is off"])
  }

  /// A hundred thousand random lines over all ports and some memory: an answer to each, and the same ones again.
  @Test(arguments: ["pc", "isa"]) func randomLinesAreAnsweredAlike(_ board: String) throws {
    func run() throws -> UInt64 {
      let talk = try Conversation(accessTime: 1000) { $0.board = board }
      _ = talk.say("irq_intercept_in pic")
      var state: UInt64 = 0x9E37_79B9_7F4A_7C15
      func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
      }
      let areas: [UInt64] = [0, 0xA0000, 0xC0000, 0xFEC0_0000, 0xFEE0_0000, 0xFFFF_0000]
      var hash: UInt64 = 14_695_981_039_346_656_037
      for _ in 0..<50_000 {
        let value = String(next() & 0xFFFF_FFFF, radix: 16)
        let width = ["b", "w", "l"][Int(next() % 3)]
        // Not the port that turns the machine off.
        let port = next() & 1 == 0 ? next() & 0x7FF : [0xCF8, 0xCFC, 0xCF9, 0x4D0][Int(next() % 4)]
        let address = areas[Int(next() % 6)] &+ next() & 0xFFFF
        let line =
          switch next() % 6 {
          case 0: "in\(width) 0x\(String(port, radix: 16))"
          case 1, 2: "out\(width) 0x\(String(port, radix: 16)) 0x\(value)"
          case 3: "read\(width) 0x\(String(address, radix: 16))"
          case 4: "write\(width) 0x\(String(address, radix: 16)) 0x\(value)"
          default: "clock_step \(next() & 0xFFFFF)"
          }
        let answer = talk.say(line)
        if answer.last?.hasPrefix("OK") != true {
          Issue.record("\(line): \(answer)")
          break
        }
        for byte in answer.joined().utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
      }
      return hash
    }
    #expect(try run() == run())
  }
}
