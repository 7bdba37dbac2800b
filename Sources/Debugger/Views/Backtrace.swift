// The chain of callers.
//
// Owns: how a caller is found: by what the code between a procedure's first instruction and the present one did to the stack, else by the
// frame pointer. Must not know: consoles.
//
// The frame pointer alone misses the caller of a procedure that has not set it up yet (its first instructions), has put it back already
// (at its RET), or never uses it. So the code is followed from the procedure's start: that is where the CALL before a return
// address leads, or a symbol. Where that fails (code that was jumped into, stack pointers that are computed) the frame pointer counts.

import CPU
import Machine

/// One procedure of a backtrace.
struct StackLevel: Equatable {
  var eip: UInt32
  var csBase: UInt32
  /// The code segment where it is another than the innermost's.
  var selector: UInt16?
  /// The frame pointer and the stack pointer as offsets in SS.
  var bp: UInt32
  var sp: UInt32
  /// A CALL (or INT) precedes the address, or it is where the processor is.
  var isSure = true
  /// An interrupt lies between this and the procedure before it.
  var isInterrupted = false

  var linear: UInt32 { csBase &+ eip }
}

/// Follows the stack of a machine that stands.
struct StackWalker {
  private let debugger: Debugger
  private let cpu: CPU
  private let isBig: Bool
  private let size: UInt32
  private let ssBase: UInt32
  private let mask: UInt32

  init(_ debugger: Debugger) {
    self.debugger = debugger
    cpu = debugger.cpu
    isBig = cpu.isCode32
    size = isBig ? 4 : 2
    let ss = cpu[segment: SegmentRegister.ss]
    ssBase = ss.base
    mask = ss.isBig ? UInt32.max : 0xFFFF
  }

  /// The chain, the present procedure first.
  func levels(_ most: Int) -> [StackLevel] {
    var list = [
      StackLevel(
        eip: cpu.currentEIP, csBase: cpu[segment: SegmentRegister.cs].base,
        bp: cpu[Register.ebp] & mask, sp: cpu[Register.esp] & mask)
    ]
    while list.count < most, let last = list.last, let next = caller(of: last, list.count == 1) {
      // Stacks lie ever higher; anything else is no chain.
      if list.count > 1, next.sp <= last.sp || next.sp &- last.sp > 0x10_0000 { break }
      list.append(next)
    }
    return list
  }

  // MARK: One level

  private func slot(_ offset: UInt32) -> UInt32? {
    debugger.memory.number(ssBase &+ (offset & mask), size: Int(size), physical: false).map {
      UInt32($0)
    }
  }

  private func caller(of level: StackLevel, _ isInnermost: Bool) -> StackLevel? {
    if let found = byCode(level) { return found }
    if isInnermost, let found = byInstruction(level) { return found }
    return byFramePointer(level)
  }

  /// A return to a place in the stack: the caller as it will be after that.
  private func returning(
    _ level: StackLevel, at place: UInt32, bp: UInt32, csBase: UInt32, selector: UInt16?,
    bytes: UInt32, isInterrupted: Bool = false
  ) -> StackLevel? {
    slot(place).map {
      StackLevel(
        eip: $0, csBase: csBase, selector: selector, bp: bp & mask, sp: (place &+ bytes) & mask,
        isInterrupted: isInterrupted)
    }
  }

  /// What the code from the procedure's start to here has pushed lies between the stack pointer and the return address.
  private func byCode(_ level: StackLevel) -> StackLevel? {
    for k in 0..<UInt32(32) {
      let place = level.sp &+ k * size
      guard let back = slot(place) else { return nil }
      var starts: [(start: UInt32, isFar: Bool)] = []
      if let call = call(before: level.csBase &+ back, level.csBase), !call.isFar {
        starts.append((call.target ?? symbolStart(level.linear) ?? level.linear &+ 1, false))
      }
      if let cs = slot(place &+ size),
        let base = cpu.segmentBase(ofSelector: UInt16(truncatingIfNeeded: cs)),
        let call = call(before: base &+ back, base), call.isFar
      {
        starts.append((call.target ?? symbolStart(level.linear) ?? level.linear &+ 1, true))
      }
      for (start, isFar) in starts where start <= level.linear {
        guard let done = follow(from: start, to: level.linear, level.csBase) else { continue }
        // It has a frame pointer: that is surer.
        if done.frame != nil {
          return byFramePointer(level)
        }
        guard done.depth == Int(k * size) else { continue }
        let bp = done.savedBP.flatMap { slot(place &- UInt32($0)) } ?? level.bp
        if !isFar {
          return returning(
            level, at: place, bp: bp, csBase: level.csBase, selector: level.selector, bytes: size)
        }
        return far(level, place, bp, extra: 0)
      }
    }
    return byHandler(level)
  }

  private func far(_ level: StackLevel, _ place: UInt32, _ bp: UInt32, extra: UInt32)
    -> StackLevel?
  {
    guard let cs = slot(place &+ size) else { return nil }
    let selector = UInt16(truncatingIfNeeded: cs)
    guard let base = cpu.segmentBase(ofSelector: selector) else { return nil }
    return returning(
      level, at: place, bp: bp, csBase: base, selector: selector, bytes: 2 * size + extra,
      isInterrupted: extra > 0)
  }

  /// The first instructions of an interrupt's handler in real and V86 mode: the table tells where it starts.
  private func byHandler(_ level: StackLevel) -> StackLevel? {
    if cpu.mode.contains(.protected) && !cpu.mode.contains(.v86) { return nil }
    var start: UInt32?
    for vector in UInt32(0)..<256 {
      guard let entry = debugger.memory.number(vector * 4, size: 4, physical: true) else {
        continue
      }
      let linear = (UInt32(entry) >> 16) << 4 &+ UInt32(entry) & 0xFFFF
      if entry != 0, linear <= level.linear, level.linear - linear < 0x200, linear >= start ?? 0 {
        start = linear
      }
    }
    guard let start, let done = follow(from: start, to: level.linear, level.csBase),
      done.frame == nil
    else { return nil }
    let place = level.sp &+ UInt32(done.depth)
    guard let cs = slot(place &+ size), let eip = slot(place),
      let base = cpu.segmentBase(ofSelector: UInt16(truncatingIfNeeded: cs)),
      cs != 0 || eip != 0, debugger.memory.linear(base &+ eip) != nil
    else { return nil }
    let bp = done.savedBP.flatMap { slot(place &- UInt32($0)) } ?? level.bp
    return far(level, place, bp, extra: size)
  }

  /// Instructions that tell by themselves where the return address is.
  private func byInstruction(_ level: StackLevel) -> StackLevel? {
    guard let i = instruction(level.linear, level.csBase) else { return nil }
    func near(_ place: UInt32, _ bp: UInt32) -> StackLevel? {
      guard let back = slot(place), let call = call(before: level.csBase &+ back, level.csBase),
        !call.isFar
      else { return nil }
      return returning(
        level, at: place, bp: bp, csBase: level.csBase, selector: level.selector, bytes: size)
    }
    if i.flow == .return {
      if i.text.hasPrefix("iret") { return far(level, level.sp, level.bp, extra: size) }
      if i.text.hasPrefix("retf") { return far(level, level.sp, level.bp, extra: 0) }
      return near(level.sp, level.bp)
    }
    if i.text == "push bp" || i.text == "push ebp" || i.text.hasPrefix("enter") {
      return near(level.sp, level.bp)
    }
    if i.text == "mov bp,sp" || i.text == "mov ebp,esp",
      debugger.memory.linear(level.linear &- 1) == 0x55
    {
      return near(level.sp &+ size, slot(level.sp) ?? level.bp)
    }
    return nil
  }

  private func byFramePointer(_ level: StackLevel) -> StackLevel? {
    // A frame lies on the stack, not below it.
    guard level.bp >= level.sp, let next = slot(level.bp), let back = slot(level.bp &+ size) else {
      return nil
    }
    let place = level.bp &+ size
    if let call = call(before: level.csBase &+ back, level.csBase), !call.isFar {
      return returning(
        level, at: place, bp: next, csBase: level.csBase, selector: level.selector, bytes: size)
    }
    if let cs = slot(place &+ size),
      let base = cpu.segmentBase(ofSelector: UInt16(truncatingIfNeeded: cs)), cs != 0
    {
      if let call = call(before: base &+ back, base), call.isFar {
        return far(level, place, next, extra: 0)
      }
      let code = debugger.memory.code(base &+ back &- 2, count: 2)
      if code.count == 2, code[0] == 0xCD { return far(level, place, next, extra: size) }
    }
    if back == 0 || next & mask <= level.bp
      || debugger.memory.linear(level.csBase &+ back) == nil
    {
      return nil
    }
    var unsure = returning(
      level, at: place, bp: next, csBase: level.csBase, selector: level.selector, bytes: size)
    unsure?.isSure = false
    return unsure
  }

  // MARK: Code

  private func instruction(_ linear: UInt32, _ csBase: UInt32) -> DisassembledInstruction? {
    debugger.disassembler.instruction(
      debugger.memory.code(linear), mode: DecodeMode(big: isBig), eip: linear &- csBase,
      syntax: .intel)
  }

  private func symbolStart(_ linear: UInt32) -> UInt32? {
    debugger.symbols.nearest(linear)?.symbol.address
  }

  /// The CALL that ends at a linear address, and where it leads if it says so.
  private func call(before linear: UInt32, _ csBase: UInt32) -> (isFar: Bool, target: UInt32?)? {
    // The direct ones first: their bytes are rarely something else.
    for length in [isBig ? 5 : 3, isBig ? 7 : 5, 2, 3, 4, 6, 7, 5] as [UInt32] {
      guard let i = instruction(linear &- length, csBase), i.flow == .call, i.isValid,
        i.length == Int(length)
      else { continue }
      if let selector = i.farSelector {
        return (
          true,
          cpu.segmentBase(ofSelector: selector).flatMap { base in i.target.map { base &+ $0 } }
        )
      }
      return (i.text.contains("far"), i.target.map { csBase &+ $0 })
    }
    return nil
  }

  /// What a procedure has done to the stack.
  private struct StackUse {
    /// Bytes between the return address and the stack pointer.
    var depth = 0
    /// How deep the caller's frame pointer was pushed, and how deep the own frame pointer points.
    var savedBP: Int?
    var frame: Int?
  }

  /// Follows code from a procedure's start to an address.
  /// - Returns: nil when it does not lead there, or does what cannot be followed.
  private func follow(from start: UInt32, to end: UInt32, _ csBase: UInt32) -> StackUse? {
    if end &- start > 0x1000 { return nil }
    var use: StackUse? = StackUse()
    var ahead: [UInt32: StackUse] = [:]
    var at = start
    for _ in 0..<1000 {
      if use == nil { use = ahead[at] }
      if at == end { return use }
      if at > end { return nil }
      guard let i = instruction(at, csBase), i.isValid else { return nil }
      if var now = use {
        use = apply(i, &now) ? now : nil
        if let target = i.target, i.farSelector == nil, i.flow == .jump || i.flow == .conditional,
          csBase &+ target > at
        {
          ahead[csBase &+ target] = use
        }
        if i.flow == .return || i.flow == .jump { use = nil }
      }
      at = at &+ UInt32(i.length)
    }
    return nil
  }

  /// - Returns: no when the stack pointer is not known any more.
  private func apply(_ i: DisassembledInstruction, _ use: inout StackUse) -> Bool {
    let word = i.text.prefix { $0 != " " }
    let operands = i.text.dropFirst(word.count + 1)
    let unit = Int(size)
    // With a prefix the other size.
    func width(_ operand: Substring) -> Int {
      if operand.hasPrefix("dword") || (operand.count == 3 && operand.hasPrefix("e")) { return 4 }
      let isWord = RegisterFile.words.contains(String(operand)) || operand.hasPrefix("word")
      return isWord ? 2 : unit
    }
    switch word {
    case "push":
      use.depth += width(operands)
      if operands == "bp" || operands == "ebp", use.savedBP == nil { use.savedBP = use.depth }
    case "pop":
      if operands == "bp" || operands == "ebp" {
        if use.savedBP == use.depth { use.savedBP = nil }
        use.frame = nil
      }
      if operands == "sp" || operands == "esp" { return false }
      use.depth -= width(operands)
    case "pusha", "pushaw": use.depth += word == "pusha" ? 8 * unit : 16
    case "pushad": use.depth += 32
    case "popa", "popaw": use.depth -= word == "popa" ? 8 * unit : 16
    case "popad": use.depth -= 32
    case "pushf": use.depth += unit
    case "pushfd": use.depth += 4
    case "popf": use.depth -= unit
    case "popfd": use.depth -= 4
    case "enter":
      use.depth += unit
      use.savedBP = use.depth
      use.frame = use.depth
      guard let bytes = number(operands.prefix { $0 != "," }) else { return false }
      use.depth += bytes
    case "leave":
      guard let frame = use.frame else { return false }
      use.depth = frame - unit
      use.savedBP = nil
      use.frame = nil
    case "mov" where operands == "bp,sp" || operands == "ebp,esp": use.frame = use.depth
    case "mov" where operands == "sp,bp" || operands == "esp,ebp":
      guard let frame = use.frame else { return false }
      use.depth = frame
    case "sub", "add":
      for register in ["sp,", "esp,"] where operands.hasPrefix(register) {
        guard let bytes = number(operands.dropFirst(register.count)) else {
          return use.frame != nil
        }
        use.depth += word == "sub" ? bytes : -bytes
      }
    default:
      if ["sp,", "esp,"].contains(where: { operands.hasPrefix($0) }),
        !["cmp", "test"].contains(String(word))
      {
        return use.frame != nil
      }
    }
    return use.frame != nil || use.depth >= 0
  }

  /// An immediate of the disassembler; bytes are extended by their sign there.
  private func number(_ text: Substring) -> Int? {
    var text = text
    let isNegative = text.hasPrefix("-")
    if isNegative || text.hasPrefix("+") { text = text.dropFirst() }
    guard text.first?.isNumber == true, let value = ExpressionParser.number(String(text)) else {
      return nil
    }
    let signed = Int(Int32(truncatingIfNeeded: value))
    guard (-0x10_0000...0x10_0000).contains(signed) else { return nil }
    return isNegative ? -signed : signed
  }
}

extension Debugger {
  func backtrace(_ most: Int) -> View {
    let digits = cpu.isCode32 ? 8 : 4
    var lines: [String] = []
    var items: [JSONValue] = []
    for (n, level) in StackWalker(self).levels(min(max(most, 1), 1000)).enumerated() {
      lines.append(
        "#\(padded("\(n)", 3))\(level.isSure ? " " : "?")"
          + (level.selector.map { "\(hexDigits($0, 4)):" } ?? "") + hexDigits(level.eip, digits)
          + (symbols.text(level.linear).map { " <\($0)>" } ?? "")
          + "  frame \(hexDigits(level.bp, digits))"
          + (level.isInterrupted ? "  (interrupted)" : ""))
      items.append(
        .object([
          ("eip", .of(level.eip)), ("linear", .of(level.linear)), ("frame", .of(level.bp)),
          ("symbol", symbols.text(level.linear).map { .string($0) } ?? .null),
          ("afterCall", .bool(level.isSure)), ("interrupted", .bool(level.isInterrupted)),
        ]))
    }
    return View(lines, json: .array(items))
  }
}
