// The host's own processor as an oracle: runs one instruction of 16 or 32 bit code and tells what became of it.
//
// Owns: a 64 KiB region below 4 GiB, segments in the LDT, the machine code that leads there, the signal handlers that lead back.
// Must not know: what is compared. x86-64 Linux only; elsewhere there is none.
// The instruction runs with TF set, so that exactly one is executed (of a repetition, one iteration at a time). Nothing but one page of
// the region is executable, and that page is read-only.
// Follows: System V AMD64 ABI, modify_ldt(2), sigaction(2), Intel SDM volume 2 (IRET).

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import Assembler
  import Glibc

  /// The host's processor at work on a small region of memory.
  public final class HostProcessor {
    /// The region, writable throughout.
    public let memory: UnsafeMutableRawPointer
    private let region: UnsafeMutableRawPointer
    private let thunk: UnsafeMutableRawPointer
    private let context: UnsafeMutablePointer<UInt64>
    /// The FXSAVE image, 32-bit form, that the next run starts from.
    public let before: UnsafeMutableRawPointer
    /// The image after it, in the 64-bit form of signal frames: 8 bytes each for FIP and FDP, no selectors.
    public let after: UnsafeMutableRawPointer
    /// Of the one thread that this object is for: handlers of two threads on one stack would destroy each other's frames.
    private let alternateStack: UnsafeMutableRawPointer
    private let thread = pthread_self()
    private static let alternateSize = 1 << 16
    private static let exitOffset = 256
    private static let handlerOffset = 768
    private static let systemCallOffset = 512
    private static let baseCallOffset = 640

    /// Code and context are made once and kept: a handler may be reached long after the last use.
    private nonisolated(unsafe) static var shared:
      (thunk: UnsafeMutableRawPointer, context: UnsafeMutableRawPointer)?

    /// What the signal handler finds: one host processor at a time.
    private nonisolated(unsafe) static var active: UnsafeMutablePointer<UInt64>?

    /// Places in `context`, in words.
    private enum Slot {
      static let hostStack = 0
      static let data = 1
      static let ss = 2
      static let esp = 3
      static let eflags = 4
      static let cs = 5
      static let eip = 6
      static let registers = 7
      static let running = 16
      static let exit = 17
      /// Steps that a repetition may still make.
      static let repeats = 18
      /// A stack below 4 GiB to leave from.
      static let lowStack = 19
      static let result = 20
      /// DS, ES, FS and GS as the handler found them.
      static let ds = 40
      static let es = 41
      static let fs = 42
      static let gs = 43
      static let count = 64
      /// The two FXSAVE images.
      static let before = 64
      static let after = 128
      static let all = 192
    }

    /// - Throws: `HostError` when the host refuses low memory or LDT segments.
    public init() throws(HostError) {
      let size = HostProcessor.size
      let file = memfd_create("apus-region", 0)
      guard file >= 0, ftruncate(file, size) == 0 else {
        throw HostError("no memory file: \(String(cString: strerror(errno)))")
      }
      defer { close(file) }
      let wanted = UnsafeMutableRawPointer(bitPattern: Int(HostProcessor.base))
      guard let alias = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
        alias != MAP_FAILED,
        let low = mmap(
          wanted, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE | 0x100000, file, 0),
        low != MAP_FAILED, low == wanted,
        mprotect(low + HostProcessor.codeOffset, 4096, PROT_READ | PROT_EXEC) == 0
      else {
        throw HostError("the host gives no memory at \(String(HostProcessor.base, radix: 16))")
      }
      memory = alias
      region = low
      let stackAt = UnsafeMutableRawPointer(bitPattern: Int(HostProcessor.stackBase))
      guard
        mmap(
          stackAt, 0x10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | 0x100000, -1, 0)
          == stackAt
      else { throw HostError("the host gives no low memory for a stack") }
      if HostProcessor.shared == nil {
        guard
          let page = mmap(
            nil, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
          page != MAP_FAILED
        else { throw HostError("the host gives no executable memory") }
        HostProcessor.shared = (
          page, .allocate(byteCount: Slot.all * 8, alignment: 64)
        )
      }
      let raw: UnsafeMutableRawPointer
      (thunk, raw) = HostProcessor.shared.unsafelyUnwrapped
      alternateStack = .allocate(byteCount: HostProcessor.alternateSize, alignment: 4096)
      context = raw.bindMemory(to: UInt64.self, capacity: Slot.all)
      context.initialize(repeating: 0, count: Slot.all)
      before = raw + Slot.before * 8
      after = raw + Slot.after * 8
      before.storeBytes(of: 0x037F, as: UInt16.self)
      before.storeBytes(of: 0x1F80, toByteOffset: 24, as: UInt32.self)
      writeThunks()
      try setSegments()
      installHandlers()
    }

    deinit {
      HostProcessor.active = nil
      // On another thread it has to stay: the one it serves may still get signals.
      if pthread_equal(thread, pthread_self()) != 0 {
        var stack = stack_t()
        stack.ss_flags = Int32(SS_DISABLE)
        sigaltstack(&stack, nil)
        alternateStack.deallocate()
      }
      munmap(memory, HostProcessor.size)
      munmap(region, HostProcessor.size)
      munmap(UnsafeMutableRawPointer(bitPattern: Int(HostProcessor.stackBase)), 0x10000)
    }

    private func writeThunks() {
      let a = Assembler(buffer: thunk, capacity: 4096)
      let saved: [HostRegister] = [.rbx, .rbp, .r12, .r13, .r14, .r15]
      func word(_ slot: Int) -> MemoryOperand {
        MemoryOperand(base: .rdi, displacement: Int32(slot * 8))
      }
      // Enter, with the context in RDI.
      for r in saved { a.push(r) }
      a.mov(word(Slot.hostStack), .rsp, .quad)
      a.mov(.rsp, word(Slot.lowStack), .quad)
      a.fxrstor(word(Slot.before))
      a.mov(.rax, word(Slot.data))
      for segment in [HostSegment.ds, .es, .fs, .gs] { a.mov(segment, .rax) }
      for slot in [Slot.ss, Slot.esp, Slot.eflags, Slot.cs, Slot.eip] { a.push(word(slot)) }
      for n in [0, 1, 2, 3, 5, 6, 7] { a.mov(HostRegister(n), word(Slot.registers + n)) }
      a.iretq()

      a.position = HostProcessor.exitOffset
      // Sigreturn does not restore NT, with which IRET would fault, and has loaded the guest's x87 and MXCSR.
      a.push(0x202)
      a.popfq()
      a.fninit()
      a.push(0x1F80)
      a.ldmxcsr(MemoryOperand(base: .rsp))
      a.pop(.rax)
      a.xor(.rax, .rax)
      a.mov(.ds, .rax)
      a.mov(.es, .rax)
      for r in saved.reversed() { a.pop(r) }
      a.cld()
      a.ret()

      for (offset, call) in [
        (HostProcessor.systemCallOffset, SystemCall.modifyLDT),
        (HostProcessor.baseCallOffset, SystemCall.archPrctl),
      ] {
        a.position = offset
        a.mov(.rax, call)
        a.syscall()
        a.ret()
      }
      context[Slot.lowStack] = UInt64(HostProcessor.stackBase) + 0xF000
      context[Slot.exit] = UInt64(UInt(bitPattern: thunk + HostProcessor.exitOffset))
    }

    /// Numbers of x86-64 Linux.
    private enum SystemCall {
      static let modifyLDT: UInt32 = 154
      static let archPrctl: UInt32 = 158
    }

    private func setSegments() throws(HostError) {
      typealias Call = @convention(c) (Int, UnsafeRawPointer, Int) -> Int
      let modify = unsafeBitCast(thunk + HostProcessor.systemCallOffset, to: Call.self)
      // Bit 0: 32 bit; bits 1-2: contents (2: code); bit 6: useable.
      for (entry, flags) in [(0, 0x44), (1, 0x40), (2, 0x45), (3, 0x41)] as [(UInt32, UInt32)] {
        let descriptor = [entry, HostProcessor.base, 0xFFFF, flags]
        let result = descriptor.withUnsafeBytes { modify(0x11, $0.baseAddress!, 16) }
        if result != 0 {
          throw HostError(
            "the host allows no LDT segments: \(String(cString: strerror(Int32(-result))))")
        }
      }
    }

    /// The FS base of this thread, on which thread-local variables hang; LDT segments take its place while a guest runs.
    private func threadBase() -> UInt64 {
      typealias Call = @convention(c) (Int, UnsafeMutablePointer<UInt64>) -> Int
      let call = unsafeBitCast(thunk + HostProcessor.baseCallOffset, to: Call.self)
      var base: UInt64 = 0
      // ARCH_GET_FS
      _ = call(0x1003, &base)
      return base
    }

    private func installHandlers() {
      var stack = stack_t()
      stack.ss_sp = alternateStack
      stack.ss_size = HostProcessor.alternateSize
      sigaltstack(&stack, nil)
      var action = sigaction()
      action.sa_flags = SA_SIGINFO | SA_ONSTACK | Int32(SA_NODEFER)
      typealias Handler =
        @convention(c) (Int32, UnsafeMutablePointer<siginfo_t>?, UnsafeMutableRawPointer?) -> Void
      let handler: Handler = { number, _, raw in
        HostProcessor.handle(number, raw.unsafelyUnwrapped)
      }
      let pass: Handler = { number, info, raw in HostProcessor.pass(number, info, raw) }
      writeHandler(
        handler: UInt(bitPattern: unsafeBitCast(handler, to: Int.self)),
        pass: UInt(bitPattern: unsafeBitCast(pass, to: Int.self)))
      action.__sigaction_handler.sa_sigaction = unsafeBitCast(
        thunk + HostProcessor.handlerOffset, to: Handler.self)
      // Ours come first: they alone can do without the thread's FS.
      CodeFaults.prepare()
      for number in [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP] {
        sigaction(number, &action, nil)
      }
      HostProcessor.active = context
    }

    /// The code that the kernel calls: around the handler in Swift it sees to what Swift relies on.
    private func writeHandler(handler: UInt, pass: UInt) {
      let a = Assembler(buffer: thunk, capacity: 4096)
      a.position = HostProcessor.handlerOffset
      let running = UInt64(UInt(bitPattern: context + Slot.running))
      func address(_ slot: Int) -> UInt64 { UInt64(UInt(bitPattern: context + slot)) }
      // Only a guest's faults are ours, those of this thread while one runs.
      a.mov(.rax, .rsp, .quad)
      a.mov64(.rcx, UInt64(UInt(bitPattern: alternateStack)))
      a.sub(.rax, .rcx, .quad)
      a.cmp(.rax, Int32(HostProcessor.alternateSize), .quad)
      let other = a.jShort(.ae)
      a.movRAX(fromAddress: running)
      a.test(.rax, .rax, .quad)
      let ours = a.jShort(.ne)
      a.bind(other)
      a.mov64(.rax, UInt64(pass))
      a.jmp(.rax)
      a.bind(ours)
      for (slot, segment) in [
        (Slot.ds, HostSegment.ds), (Slot.es, .es), (Slot.fs, .fs), (Slot.gs, .gs),
      ] {
        a.mov(.rax, segment)
        a.movRAX(toAddress: address(slot))
      }
      // The thread's own FS base: arch_prctl(ARCH_SET_FS).
      a.xor(.rax, .rax)
      a.mov(.fs, .rax)
      a.mov(.gs, .rax)
      a.push(.rdi)
      a.push(.rsi)
      a.mov(.rdi, 0x1002)
      a.mov64(.rsi, threadBase())
      a.mov(.rax, SystemCall.archPrctl)
      a.syscall()
      a.pop(.rsi)
      a.pop(.rdi)
      // The kernel leaves AC and NT as they were; with AC set the handler's own accesses would fault.
      a.pushfq()
      a.and(MemoryOperand(base: .rsp), ~0x44000, .quad)
      a.popfq()
      a.sub(.rsp, 8, .quad)
      a.mov64(.rax, UInt64(handler))
      a.call(.rax)
      // When the guest goes on, it gets its FS and GS.
      a.movRAX(fromAddress: running)
      a.test(.rax, .rax, .quad)
      let ended = a.jShort(.e)
      for (slot, segment) in [(Slot.fs, HostSegment.fs), (Slot.gs, .gs)] {
        a.movRAX(fromAddress: address(slot))
        a.mov(segment, .rax)
      }
      a.bind(ended)
      a.add(.rsp, 8, .quad)
      a.ret()
    }

    /// A fault that is not a guest's: to the handler that was there before.
    private static func pass(
      _ number: Int32, _ info: UnsafeMutablePointer<siginfo_t>?, _ raw: UnsafeMutableRawPointer?
    ) {
      // Handlers of earlier objects of this kind may lie beneath: not to them, but straight to that of translated code.
      if let raw, number == SIGSEGV || number == SIGBUS, CodeFaults.redirect(raw) { return }
      // The default action when it happens again.
      signal(number, SIG_DFL)
    }

    /// Takes the registers, or lets a repetition go on; then leads back to `run`. Nothing here may allocate.
    private static func handle(_ number: Int32, _ raw: UnsafeMutableRawPointer) {
      guard let context = active, context[Slot.running] != 0 else {
        if number == SIGSEGV || number == SIGBUS, CodeFaults.redirect(raw) { return }
        // Not ours: the default action when it happens again.
        signal(number, SIG_DFL)
        return
      }
      // General registers begin behind uc_flags, uc_link and uc_stack.
      let registers = (raw + 40).assumingMemoryBound(to: UInt64.self)
      let vector = registers[20]
      if vector == 1, registers[16] & 0xFFFF_FFFF == context[Slot.eip], context[Slot.repeats] > 0 {
        context[Slot.repeats] -= 1
        return
      }
      let result = context + Slot.result
      result[0] = registers[13]
      result[1] = registers[14]
      result[2] = registers[12]
      result[3] = registers[11]
      result[4] = registers[15]
      result[5] = registers[10]
      result[6] = registers[9]
      result[7] = registers[8]
      result[8] = registers[16]
      result[9] = registers[17]
      result[10] = vector
      result[11] = registers[19]
      result[12] = registers[22]
      result[13] = registers[18]
      // The FXSAVE part of the frame's state.
      if let frame = UnsafeRawPointer(bitPattern: UInt(registers[23])) {
        (UnsafeMutableRawPointer(context) + Slot.after * 8).copyMemory(from: frame, byteCount: 512)
      }
      context[Slot.running] = 0
      registers[15] = context[Slot.hostStack]
      registers[16] = context[Slot.exit]
      registers[17] = 0x202
      registers[18] = 0x33 | 0x2B << 48 | registers[18] & 0x0000_FFFF_FFFF_0000
    }

    /// Runs the instruction at `state.eip` in the code page, on the registers in `before`; on the thread that made this object.
    /// - Parameter repeats: further iterations that a repetition at that address makes.
    public func run(_ mode: Mode, _ state: State, repeats: Int) -> State {
      typealias Enter = @convention(c) (UnsafeMutablePointer<UInt64>) -> Void
      let enter = unsafeBitCast(thunk, to: Enter.self)
      let selectors = mode.selectors
      context[Slot.data] = UInt64(selectors.data)
      context[Slot.ss] = UInt64(selectors.data)
      context[Slot.esp] = UInt64(state.registers[4])
      context[Slot.eflags] = UInt64(state.eflags)
      context[Slot.cs] = UInt64(selectors.code)
      context[Slot.eip] = UInt64(state.eip)
      for n in 0..<8 { context[Slot.registers + n] = UInt64(state.registers[n]) }
      context[Slot.repeats] = UInt64(repeats)
      context[Slot.running] = 1
      enter(context)
      var after = State()
      let result = context + Slot.result
      for n in 0..<8 { after.registers[n] = UInt32(truncatingIfNeeded: result[n]) }
      after.eip = UInt32(truncatingIfNeeded: result[8])
      after.eflags = UInt32(truncatingIfNeeded: result[9])
      after.vector = UInt8(truncatingIfNeeded: result[10])
      after.errorCode = UInt32(truncatingIfNeeded: result[11])
      after.cr2 = UInt32(truncatingIfNeeded: result[12])
      after.ds = UInt16(truncatingIfNeeded: context[Slot.ds])
      after.es = UInt16(truncatingIfNeeded: context[Slot.es])
      after.fs = UInt16(truncatingIfNeeded: context[Slot.fs])
      after.gs = UInt16(truncatingIfNeeded: context[Slot.gs])
      after.cs = UInt16(truncatingIfNeeded: result[13])
      after.ss = UInt16(truncatingIfNeeded: result[13] >> 48)
      return after
    }
  }
#endif
