// What a rule about processors is, and a case's differences as rules look at them.
//
// Owns: the shape of a rule, which processors it is for, joining what several rules explain. Must not know: single rules, how a case runs.

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import CPU
  import Host

  /// A named difference between processors: the manual rules in Apus, and what a host does otherwise is counted, not failed.
  public struct HostRule: Sendable {
    /// Which processors do it.
    enum Processors: Sendable {
      /// The manual leaves it open, and any may.
      case any
      /// A maker's, of these families; all of them when there are none.
      case intel([Int])
      case amd([Int])
      /// Those whose CPUID says so.
      case feature(String, @Sendable (HostIdentity) -> Bool)

      func include(_ host: HostIdentity) -> Bool {
        switch self {
        case .any: true
        case .intel(let families):
          host.maker == .intel && (families.isEmpty || families.contains(host.family))
        case .amd(let families):
          host.maker == .amd && (families.isEmpty || families.contains(host.family))
        case .feature(_, let has): has(host)
        }
      }

      var text: String {
        func list(_ maker: String, _ families: [Int]) -> String {
          families.isEmpty
            ? maker
            : "\(maker) family "
              + families.map { String($0, radix: 16, uppercase: true) + "h" }.joined(
                separator: ", ")
        }
        return switch self {
        case .any: "any"
        case .intel(let families): list("Intel", families)
        case .amd(let families): list("AMD", families)
        case .feature(let name, _): name
        }
      }
    }

    /// What the report calls it.
    public let name: String
    let processors: Processors
    /// What the host does.
    public let what: String
    /// What Apus does, and why.
    public let manual: String
    /// The differences, by their places in the list, that it explains; nil for what is undefined and never compared.
    let explains: (@Sendable (HostDifferences) -> Set<Int>)?

    init(
      _ name: String, _ processors: Processors, _ what: String, manual: String,
      _ explains: (@Sendable (HostDifferences) -> Set<Int>)?
    ) {
      self.name = name
      self.processors = processors
      self.what = what
      self.manual = manual
      self.explains = explains
    }

    /// Which processors it is about, in words.
    public var processorText: String { processors.text }

    /// Whether it explains something, and does not only tell what is left out.
    public var isCompared: Bool { explains != nil }

    /// Whether it is for this processor.
    public func applies(to host: HostIdentity) -> Bool { processors.include(host) }
  }

  /// A case that differs.
  struct HostDifferences {
    let test: HostCase
    let line: OpcodeEntry
    let op: Op
    let kind: HostCase.Kind
    let apus: HostProcessor.State
    let host: HostProcessor.State
    let apusFPU: FPUState
    let hostFPU: FPUState
    /// In words, as reported.
    let list: [String]
    /// What each is about: a register, "vector", "CR2", or "memory".
    let names: [String]

    init(
      _ test: HostCase, _ apus: HostProcessor.State, _ host: HostProcessor.State,
      _ apusFPU: FPUState, _ hostFPU: FPUState, _ list: [String]
    ) {
      self.test = test
      self.apus = apus
      self.host = host
      self.apusFPU = apusFPU
      self.hostFPU = hostFPU
      self.list = list
      line = OpcodeTable.shared.entries[test.entry]
      op = line.op
      kind = HostCase.Kind(line)
      names = list.map { $0.hasPrefix("[") ? "memory" : String($0.prefix { $0 != ":" }) }
    }

    var all: Set<Int> { Set(list.indices) }
    var set: Set<String> { Set(names) }
    /// The differences of a kind.
    func named(_ wanted: String...) -> Set<Int> {
      Set(names.indices.filter { wanted.contains(names[$0]) })
    }
    /// Those in memory, at offsets of the region that fulfil a condition.
    func memory(_ isWanted: (Int) -> Bool) -> Set<Int> {
      Set(list.indices.filter { names[$0] == "memory" && isWanted(offset($0) ?? -1) })
    }
    /// The offset in the region of a difference in memory.
    private func offset(_ n: Int) -> Int? {
      Int(list[n].drop { $0 != "x" }.dropFirst().prefix { $0 != "]" }, radix: 16)
    }
    /// All of them, if.
    func all(if condition: Bool) -> Set<Int> { condition ? all : [] }

    /// Both or one of the two came to a fault of the memory's.
    static let memoryFaults: ClosedRange<UInt8> = 12...14
    var bothFault: Bool {
      Self.memoryFaults.contains(apus.vector) && Self.memoryFaults.contains(host.vector)
    }
    /// Apus stands before the instruction with a fault of the memory's.
    var apusFaults: Bool {
      Self.memoryFaults.contains(apus.vector) && apus.eip == test.state.eip
    }
    var modrm: UInt8 {
      test.fixed > 0 && test.fixed <= test.bytes.count ? test.bytes[test.fixed - 1] : 0
    }
    var hasMemory: Bool { line.usesModRM && modrm < 0xC0 }
    /// Bits of the status word that differ.
    var status: UInt16 { apusFPU.statusWord ^ hostFPU.statusWord }

    /// Where the region holds the operand.
    var operandOffset: Int? {
      test.effectiveAddress(test.address32).flatMap { test.regionOffset($0) }
    }

    /// Whether an operand of so many bytes goes over the end of its segment, of 64 KiB or 4 GiB.
    func wraps(_ size: UInt32) -> Bool {
      guard let address = test.effectiveAddress(test.address32) else { return false }
      if test.address32 && test.mode == .flat { return address > 0 &- size }
      return address & 0xFFFF > 0x10000 - size
    }

    /// An instruction's own image of the x87 and that of the FNSTENV behind it: where, and whether in the 32-bit form.
    private var environments: [(offset: Int, isWide: Bool)] {
      var list: [(offset: Int, isWide: Bool)] = []
      if test.tail.count > 2 { list.append((0x7000, test.mode != .small)) }
      if op == .fnstenv || op == .fnsave, let at = operandOffset {
        list.append((at, test.operand32))
      }
      return list
    }
    /// Differences in parts of that image, by offsets in the 32-bit and in the 16-bit form.
    func environment(wide: ClosedRange<Int>, narrow: ClosedRange<Int>) -> Set<Int> {
      environments.reduce(into: []) { found, image in
        found.formUnion(
          memory { (image.isWide ? wide : narrow).contains($0 - image.offset) })
      }
    }
  }

  /// All rules together.
  public enum HostRules {
    /// Every rule, those about what is never compared included.
    public static let all: [HostRule] = hostRulesFPU + hostRulesInteger + hostRulesUndefined

    /// For what does not differ when it is run again.
    static let lostPointers =
      "Not repeatable: the host's kernel switched tasks and dropped the x87's pointers"

    /// The rules by which a case may differ on a host; empty where something stays unexplained.
    static func explain(_ case: HostDifferences, on host: HostIdentity) -> [HostRule] {
      var open = `case`.all
      var used: [HostRule] = []
      for rule in all where rule.applies(to: host) {
        guard let explained = rule.explains?(`case`), !explained.isDisjoint(with: open) else {
          continue
        }
        used.append(rule)
        open.subtract(explained)
        if open.isEmpty { return used }
      }
      return []
    }
  }
#endif
