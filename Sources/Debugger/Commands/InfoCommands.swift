// `info`: everything that can be looked at.
//
// Owns: the topics. Must not know: how tables (TableViews.swift) and devices (DeviceViews.swift) are shown.

import Bus
import CPU
import Machine

extension Debugger {
  static let infoTopics = [
    "apic", "b", "cd", "cpu", "cr", "dma", "events", "fdc", "fpu", "gdt", "ide", "idt", "ioapic",
    "kbd", "ldt",
    "memory",
    "cpus", "pci", "pic", "pit", "pnp", "ports", "r", "rtc", "serial", "stats", "symbols", "tab",
    "time",
    "tss",
    "vga", "device", "devices", "branches", "reverse", "display", "eflags", "frame",
  ]

  /// Those that have no parts to choose from.
  private static let wholeTopics: Set<String> = [
    "cpu", "cpus", "cr", "dma", "eflags", "events", "fdc", "fpu", "kbd", "memory", "pic", "pit",
    "pnp",
    "ports", "rtc", "stats", "time", "vga", "devices", "branches", "reverse",
  ]

  static var infoCommands: [Command] {
    [
      Command(
        "info i", "TOPIC", "views",
        """
        Show a part of the machine. Nothing is changed by looking.
        b breakpoints, cpu, cpus, r registers (info r eax ebx), eflags, cr, fpu, gdt|idt|ldt [FIRST [LAST]], tss [SELECTOR], tab [START [END]] page tables,
        memory map, pic, apic [CPU], ioapic, pit, rtc, dma, kbd, ide [CHANNEL], cd [DRIVE], fdc, vga, serial [PORT], pci [SLOT[.FUNCTION]|NAME], pnp cards, ports used, events pending, time, stats, symbols, branches,
        symbol ADDRESS, line ADDRESS, frame, display; devices: the list; device NAME shows everything in one; reverse.
        """
      ) { d, a in try d.info(a) }
    ]
  }

  private func info(_ arguments: String) throws -> View {
    let (given, rest) = Debugger.firstWord(arguments)
    let topic = try InfoTopics.find(given, machine.allDevices.map(\.stateName))
    if !rest.isEmpty, Debugger.wholeTopics.contains(topic) {
      throw DebuggerError("info \(topic) shows all of it and takes nothing else ('\(rest)')")
    }
    switch topic {
    case "": throw DebuggerError("info what? \(Debugger.infoTopics.joined(separator: " "))")
    case "b", "breakpoints", "watchpoints": return breakpointList()
    case "cpu":
      return View(
        cpu.report().split(separator: "\n").map(String.init),
        json: .object([
          ("model", .string(cpu.model.name)), ("mode", modeJSON(cpu.mode)),
          ("instructions", .number(machine.instructionCount)), ("registers", registersJSON()),
          ("halted", .bool(cpu.s.pointee.halted)),
          ("managementMode", .bool(cpu.isInManagementMode)),
          ("smbase", cpu.hasManagementMode ? .of(cpu.managementBase) : .null),
        ]))
    case "cpus": return processorsView()
    case "threads":
      if !hasSeveralProcessors { throw DebuggerError("there is one processor") }
      return processorsView()
    case "r", "registers", "all-registers": return try registersView(rest)
    case "eflags":
      return View(
        ["eflags=\(hexDigits(cpu.eflags, 8)) \(Debugger.flagText(cpu.eflags))"],
        json: .of(cpu.eflags))
    case "display": return displayList()
    case "symbol": return try symbolAt(rest)
    case "line": return try lineView(rest)
    case "frame", "stack": return backtrace(topic == "frame" ? 1 : 32)
    case "program", "target": return stopView()
    case "sse", "mmx", "msr", "dreg": return try CommandTable.shared.find(topic).run(self, "")
    case "cr": return try CommandTable.shared.find("creg").run(self, "")
    case "fpu": return try CommandTable.shared.find("fpu").run(self, "")
    case "gdt", "ldt": return try descriptorTable(topic, rest)
    case "idt": return try interruptTable(rest)
    case "tss": return try taskState(rest)
    case "tab": return try pageTables(rest)
    case "memory": return memoryMap()
    case "pic": return picView()
    case "apic", "lapic": return try localAPICView(rest)
    case "ioapic": return ioAPICView()
    case "pit": return pitView()
    case "rtc": return rtcView()
    case "dma": return dmaView()
    case "kbd": return keyboardView()
    case "ide": return try ideView(rest)
    case "cd": return try cdView(rest)
    case "pnp": return pnpView()
    case "fdc": return floppyView()
    case "device": return devicesView { rest.isEmpty || $0 == rest }
    case "vga": return vgaView()
    case "serial":
      let port = rest.hasPrefix("com") ? rest : "com" + rest
      return devicesView { rest.isEmpty ? $0.hasPrefix("com") : $0 == port }
    case "pci": return try pciView(rest)
    case "ports": return portsView()
    case "events": return eventsView()
    case "time": return timeView()
    case "stats": return statsView()
    case "symbols": return symbolsView(rest)
    case "branches": return branchesView()
    case "devices": return deviceList()
    case "reverse":
      guard let reverse else { throw DebuggerError("this run is not recorded for going back") }
      return View([reverse.status])
    default:
      return deviceView(topic)
    }
  }

  private func eventsView() -> View {
    let now = machine.clock.now
    let list = machine.clock.pendingEvents
    return View(
      list.isEmpty
        ? ["nothing is pending"]
        : list.map { event in
          let left = event.deadline > now ? event.deadline - now : 0
          return
            "\(padded(event.name, 24)) in \(left) ns, at #\(machine.clock.instruction(atNanoseconds: event.deadline))"
        },
      json: .array(
        list.map {
          .object([("name", .string($0.name)), ("nanoseconds", .number($0.deadline))])
        }))
  }

  private func timeView() -> View {
    View(
      [
        "\(machine.instructionCount) instructions, \(timeText()) of virtual time",
        "\(machine.clock.instructionsPerSecond) instructions per virtual second",
      ],
      json: .object([
        ("instructions", .number(machine.instructionCount)),
        ("nanoseconds", .number(machine.clock.now)),
        ("rate", .number(machine.clock.instructionsPerSecond)),
      ]))
  }

  private func statsView() -> View {
    let s = cpu.codeStatistics
    return View(
      [
        "instructions        \(machine.instructionCount)",
        "blocks decoded      \(s.decoded)",
        "blocks invalidated  \(s.invalidated)",
        "code flushes        \(s.flushes)",
        "port accesses       \(machine.ports.accessCount)",
      ],
      json: .object([
        ("instructions", .number(machine.instructionCount)), ("blocksDecoded", .of(s.decoded)),
        ("blocksInvalidated", .of(s.invalidated)), ("codeFlushes", .of(s.flushes)),
        ("portAccesses", .number(machine.ports.accessCount)),
      ]))
  }

  private func symbolsView(_ filter: String) -> View {
    let found = symbols.symbols.filter { filter.isEmpty || $0.name.contains(filter) }
    var lines = found.prefix(200).map { "\(hexDigits($0.address, 8)) \($0.name)" }
    if found.count > 200 { lines.append("... \(found.count) in all") }
    if found.isEmpty { lines = ["no symbols"] }
    return View(
      lines,
      json: .array(
        found.map { .object([("name", .string($0.name)), ("address", .of($0.address))]) }))
  }

  private func branchesView() -> View {
    let list = cpu.recentBranches
    return View(
      list.map { "\(address($0.from)) -> \(address($0.to))" },
      json: .array(list.map { .object([("from", .of($0.from)), ("to", .of($0.to))]) }))
  }

  /// Ranges of physical memory by what answers there.
  private func memoryMap() -> View {
    var lines: [String] = []
    var items: [JSONValue] = []
    var start: UInt64 = 0
    let memory = memory
    var kind = memory.kind(0).rawValue
    var page: UInt64 = 1
    let end = max(UInt64(machine.memory.pageCount), 0x10_0000)
    while page <= end {
      let next = page < end ? memory.kind(page << 12).rawValue : ""
      if next != kind {
        if kind != "unmapped" {
          lines.append("\(hexDigits(start << 12, 8))-\(hexDigits(page << 12 - 1, 8)) \(kind)")
          items.append(
            .object([
              ("start", .number(start << 12)), ("end", .number(page << 12 - 1)),
              ("kind", .string(kind)),
            ]))
        }
        start = page
        kind = next
      }
      page += 1
    }
    return View(lines, json: .array(items))
  }

  /// Ports at which nobody answered, and the last accesses.
  private func portsView() -> View {
    let recent = machine.ports.recentAccesses
    let unknown = machine.ports.unknownPorts
    var lines = recent.map {
      "\($0.isWrite ? "OUT" : "IN ") \(hexDigits($0.port, 4)) \(hexDigits($0.value, Int($0.width) * 2))"
    }
    lines += unknown.map {
      "nobody at \(hexDigits($0.port, 4)): \($0.count) \($0.isWrite ? "writes" : "reads")"
    }
    return View(
      lines,
      json: .object([
        (
          "recent",
          .array(
            recent.map {
              .object([
                ("port", .of($0.port)), ("write", .bool($0.isWrite)), ("size", .of($0.width)),
                ("value", .of($0.value)),
              ])
            })
        ),
        (
          "unknown",
          .array(
            unknown.map {
              .object([
                ("port", .of($0.port)), ("write", .bool($0.isWrite)), ("count", .number($0.count)),
              ])
            })
        ),
      ]))
  }
}
