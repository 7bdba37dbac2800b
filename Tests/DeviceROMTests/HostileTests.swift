// Random code in whole machines, with devices, interrupts and every mode: no crash, and both engines do the same.
//
// TestROMs/hostile/world.asm is what the code runs in. APUS_HOSTILE=N runs N guests, APUS_HOSTILE_SEED=S others than the usual ones; a
// guest that differs is told by its number.

#if os(Linux) && arch(x86_64)
  import CPU
  import Foundation
  import Machine
  import TestSupport
  import Testing

  enum HostileROMs {}

  /// The same numbers from the same seed.
  private struct Numbers {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0xD134_2543_DE82_EF95 &+ 1 }
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
    mutating func below(_ n: Int) -> Int { Int(next() >> 33) % n }
    mutating func oneIn(_ n: Int) -> Bool { below(n) == 0 }
    mutating func byte() -> UInt8 { UInt8(truncatingIfNeeded: next() >> 24) }
    mutating func pick<T>(_ list: [T]) -> T { list[below(list.count)] }
  }

  /// A ROM with parameters and random code; see world.asm.
  private struct HostileGuest {
    var rom: [UInt8]
    var megabytes: Int
    var model: CPUModel
    private var r: Numbers
    private var mode = 0
    private var to: UInt32 = 0

    init(_ number: UInt64, world: [UInt8]) {
      rom = world
      r = Numbers(number)
      megabytes = r.pick([1, 2, 2, 3, 8])
      model = r.pick([.i386, .i486, .pentium2, .pentium4])
      mode = r.below(6)
      let end = UInt32(megabytes) << 20
      let high: [UInt32] = [
        0x9000, 0x20FF0 - 0x40, 0x9FFE0, 0xA0000, 0xB8000 - 0x30, 0x100000, end - 0x60,
        0x200000 - 0x30,
      ]
      to = r.pick(high) + UInt32(r.below(32))
      var segment = to >> 4
      if mode == 0 || mode == 5 {
        // Within 1 MiB and 64 KiB, what wraps at 1 MiB included.
        if to >= 0x110000 - 0x200 { to = 0x100000 + UInt32(r.below(0x400)) }
        segment = min(0xFFFF, (to - UInt32(r.below(min(Int(to), 0xFF00)))) >> 4)
        if to - segment << 4 > 0xFFF0 { segment = min(0xFFFF, to >> 4) }
        if to > 0xFFFF0 { segment = 0xFFFF }
      }
      func put(_ value: UInt32, at offset: Int, _ count: Int = 4) {
        for n in 0..<count { rom[offset + n] = UInt8(truncatingIfNeeded: value >> UInt32(8 * n)) }
      }
      let code = program()
      put(UInt32(mode), at: 0x1000, 1)
      put(to, at: 0x1004)
      put(UInt32(code.count), at: 0x1008)
      put(0x2000, at: 0x100C)
      for n in 0..<8 { put(address(), at: 0x1010 + 4 * n) }
      put(UInt32(truncatingIfNeeded: r.next()), at: 0x1030)
      put(UInt32(20 + r.below(2000)), at: 0x1034, 2)
      put(segment, at: 0x1036, 2)
      put(r.pick([0, 0x1000, 0xA000, 0xFFFF, segment, 0x2000, 0xB800]), at: 0x1038, 2)
      for n in 0..<24 {
        var index = UInt32.max
        if r.oneIn(2) {
          index = r.oneIn(2) ? UInt32(r.below(1024)) : to >> 12 + UInt32(r.below(3)) & 1023
        }
        let page = r.oneIn(2) ? UInt32(r.below(0x300)) << 12 : to & 0xFFFF_F000
        put(index, at: 0x1040 + 8 * n)
        put(page | r.pick([7, 7, 5, 3, 1, 0, 0x67]), at: 0x1044 + 8 * n)
      }
      rom.replaceSubrange(0x2000..<0x2000 + code.count, with: code)
    }

    /// A number that is often an address of something.
    private mutating func address() -> UInt32 {
      let end = UInt32(megabytes) << 20
      switch r.below(8) {
      case 0: return to &+ UInt32(r.below(0x200))
      case 1: return end &- UInt32(r.below(16))
      case 2:
        return r.pick([0xA0000, 0xB8000, 0xC0000, 0xF2000, 0x100000, 0xFFFF_FFF8])
          &+ UInt32(r.below(16)) &- 8
      case 3: return UInt32(r.below(0x10000))
      case 4: return 0x5000 &+ UInt32(r.below(0x800))
      case 5: return UInt32(truncatingIfNeeded: r.next())
      default: return 0x30000 &+ UInt32(r.below(0x60000))
      }
    }

    private mutating func program() -> [UInt8] {
      var code: [UInt8] = []
      let big = mode >= 1 && mode <= 3
      let count = 8 + r.below(r.oneIn(3) ? 150 : 40)
      func long(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
      }
      func word(_ value: UInt32) -> [UInt8] { Array(long(value).prefix(big ? 4 : 2)) }
      for _ in 0..<count {
        if r.oneIn(8) { code.append(r.pick([0x66, 0x67, 0x26, 0x2E, 0x36, 0x64, 0x65, 0xF0])) }
        switch r.below(26) {
        case 0...4: code += [UInt8(r.below(8)) << 3 | UInt8(r.below(6))] + operand(big)
        case 5, 6:
          code += [r.pick([0x88, 0x89, 0x8A, 0x8B, 0x86, 0x87, 0x84, 0x85])] + operand(big)
        case 7: code += [0x81] + operand(big) + word(address())
        case 8: code += [0x83] + operand(big) + [r.byte()]
        case 9: code.append(0x40 | r.byte() & 0x1F)
        case 10: code += [0x70 | r.byte() & 15, UInt8(bitPattern: Int8(r.below(40) - 24))]
        case 11: code += [0xE2, UInt8(bitPattern: Int8(-r.below(30)))]
        case 12: code += [0xE8] + word(UInt32(bitPattern: Int32(r.below(60) - 40)))
        case 13: code += [r.pick([0xC3, 0xC9, 0x9C, 0x9D, 0x60, 0x61, 0xFA, 0xFB, 0xCF, 0xF4])]
        case 14: code += [0xB8 | r.byte() & 7] + word(address())
        case 15:
          code += [r.pick([0xF2, 0xF3]), r.pick([0xA4, 0xA5, 0xAA, 0xAB, 0xA6, 0xAE, 0xAC])]
        case 16:
          // Into the code: mov byte [place], n; in 16-bit code relative to CS.
          let place = UInt32(r.below(code.count + 60))
          if big {
            code += [0xC6, 0x05] + long(to &+ place) + [r.byte()]
          } else {
            code += [0x2E, 0xC6, 0x06] + word(mode == 4 ? place : to &+ place) + [r.byte()]
          }
        case 17: code += [0xC1] + operand(big) + [r.byte()]
        case 18: code += [0x0F, r.byte()] + operand(big)
        case 19: code += [0xE4, r.pick([0x92, 0x40, 0x61, 0x20, 0x21, 0x64])]
        case 20:
          // A20, the timer, video registers
          code += [0xB0, r.byte(), 0xE6, r.pick([0x92, 0x40, 0x43, 0x20, 0x80])]
          if r.oneIn(2) {
            code +=
              [0xBA] + word(r.pick([0x3C4, 0x3CE, 0x3D4])) + [0xB8]
              + word(UInt32(r.below(0x1_0000))) + [0x66, 0xEF]
          }
        case 21: code += [0x8E, 0xC0 | r.pick([0, 3, 4, 5]) << 3 | r.byte() & 7]
        case 22 where mode == 2:
          // A page table entry; mov eax, cr3; mov cr3, eax
          code +=
            [0xC7, 0x05] + long(0x5000 + UInt32(r.below(0x300)) * 4)
            + long(address() & 0xFFFF_F000 | 7)
          if r.oneIn(2) { code += [0x0F, 0x20, 0xD8, 0x0F, 0x22, 0xD8] }
        case 23: code += [0xD8 | r.byte() & 7] + operand(big)
        case 24: code += [0xCD, r.byte()]
        default: for _ in 0..<1 + r.below(3) { code.append(r.byte()) }
        }
      }
      // Back to the beginning, mostly.
      code += [0xE9] + word(UInt32(bitPattern: Int32(-code.count - (big ? 5 : 3))))
      return code
    }

    private mutating func operand(_ big: Bool) -> [UInt8] {
      let modrm = r.byte()
      if r.oneIn(3) { return [modrm | 0xC0] }
      var bytes = [modrm]
      let (mod, rm) = (modrm >> 6, modrm & 7)
      func long(_ value: UInt32, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
      }
      if mod == 3 { return bytes }
      if big {
        if rm == 4 { bytes.append(r.byte()) }
        if mod == 0 && rm == 5 { bytes += long(address(), 4) }
        if mod == 2 { bytes += long(r.oneIn(2) ? UInt32(r.below(0x1000)) : address(), 4) }
      } else if mod == 2 || mod == 0 && rm == 6 {
        bytes += long(address(), 2)
      }
      if mod == 1 { bytes.append(r.byte()) }
      return bytes
    }
  }

  @Suite struct HostileTests {
    private func number(_ name: String, _ usual: UInt64) -> UInt64 {
      ProcessInfo.processInfo.environment[name].flatMap(UInt64.init) ?? usual
    }

    @Test func randomCodeInWholeMachinesRunsAlike() throws {
      let make = try #require(HostileROMs.all["world"])
      let world = make()
      let first = number("APUS_HOSTILE_SEED", 1) &* 1_000_000
      var ends: [String: Int] = [:]
      var failures = 0
      for n in 0..<number("APUS_HOSTILE", 150) {
        let guest = HostileGuest(first &+ n, world: world)
        var configuration = MachineConfiguration()
        configuration.memoryMegabytes = guest.megabytes
        configuration.cpu = guest.model
        configuration.bios = LoadFile(path: "hostile", bytes: guest.rom)
        let lockstep = try Lockstep(configuration)
        lockstep.slice = n % 4 == 0 ? 997 : 25_013
        lockstep.thoroughEvery = n % 4 == 0 ? 16 : 1
        lockstep.translated.cpu.translationThreshold = [1, 2, 24][Int(n % 3)]
        switch lockstep.run(untilInstruction: 150_000) {
        case .stopped(let stop): ends["\(stop)", default: 0] += 1
        case .differs(let difference):
          Issue.record("guest \(first &+ n): \(difference.text)")
          failures += 1
        }
        if failures == 3 { break }
      }
      if ProcessInfo.processInfo.environment["APUS_HOSTILE"] != nil { print("ends: \(ends)") }
    }
  }
#endif
