// The architectural state and the few words the interpreter's loop needs beside it.
//
// Owns: the layout. General registers are at offset 0 and segment caches at offset 64, because decoded instructions address both by
// byte offset. Must not know: any behaviour.
// Follows: Intel SDM volume 3, chapter 2 (system architecture overview).

/// A segment register with its hidden part, 32 bytes.
public struct SegmentCache {
  /// The visible selector.
  public var selector: UInt16 = 0
  /// Access byte in bits 0-7 (type, S, DPL, P); AVL, L, D/B, G in bits 12-15: the descriptor's second dword, bits 8-23.
  public var attributes: UInt16 = 0
  /// Linear base address.
  public var base: UInt32 = 0
  /// Limit in bytes, inclusive, granularity applied.
  public var limit: UInt32 = 0
  /// Highest offset (inclusive) that reads reach without further checks, or -1. See `CPU.updateSegmentLimits`.
  public var readLimit: Int64 = -1
  /// The same for writes.
  public var writeLimit: Int64 = -1

  public init() {}

  /// Descriptor type, 4 bits.
  @inline(__always) public var type: UInt16 { attributes & 0xF }
  /// Code or data (true) or system (false).
  @inline(__always) public var isCodeOrData: Bool { attributes & 0x10 != 0 }
  @inline(__always) public var isCode: Bool { attributes & 0x18 == 0x18 }
  @inline(__always) public var dpl: Int { Int(attributes >> 5 & 3) }
  @inline(__always) public var isPresent: Bool { attributes & 0x80 != 0 }
  /// D/B: 32-bit default size or stack.
  @inline(__always) public var isBig: Bool { attributes & 0x4000 != 0 }
  /// How code in the segment is read.
  @inline(__always) public var decodeMode: DecodeMode { DecodeMode(big: isBig) }
}

/// Numbers of the segment registers in `CPUState` and in encodings; TR and LDTR follow the six of the encodings.
public enum SegmentRegister {
  public static let es = 0
  public static let cs = 1
  public static let ss = 2
  public static let ds = 3
  public static let fs = 4
  public static let gs = 5
  public static let tr = 6
  public static let ldtr = 7
}

/// Numbers of the general registers.
public enum Register {
  public static let eax = 0
  public static let ecx = 1
  public static let edx = 2
  public static let ebx = 3
  public static let esp = 4
  public static let ebp = 5
  public static let esi = 6
  public static let edi = 7
}

/// Bits of EFLAGS.
public enum EFLAGS {
  public static let cf: UInt32 = 1 << 0
  public static let pf: UInt32 = 1 << 2
  public static let af: UInt32 = 1 << 4
  public static let zf: UInt32 = 1 << 6
  public static let sf: UInt32 = 1 << 7
  public static let tf: UInt32 = 1 << 8
  public static let `if`: UInt32 = 1 << 9
  public static let df: UInt32 = 1 << 10
  public static let of: UInt32 = 1 << 11
  public static let iopl: UInt32 = 3 << 12
  public static let nt: UInt32 = 1 << 14
  public static let rf: UInt32 = 1 << 16
  public static let vm: UInt32 = 1 << 17
  public static let ac: UInt32 = 1 << 18
  public static let vif: UInt32 = 1 << 19
  public static let vip: UInt32 = 1 << 20
  public static let id: UInt32 = 1 << 21
  /// The six arithmetic flags, which live in `flagResult` and `flagAux`.
  public static let arithmetic: UInt32 = cf | pf | af | zf | sf | of
}

/// Bits of CR0.
public enum CR0 {
  public static let pe: UInt32 = 1 << 0
  public static let mp: UInt32 = 1 << 1
  public static let em: UInt32 = 1 << 2
  public static let ts: UInt32 = 1 << 3
  public static let et: UInt32 = 1 << 4
  public static let ne: UInt32 = 1 << 5
  public static let wp: UInt32 = 1 << 16
  public static let am: UInt32 = 1 << 18
  public static let nw: UInt32 = 1 << 29
  public static let cd: UInt32 = 1 << 30
  public static let pg: UInt32 = 1 << 31
}

/// Bits of CR4.
public enum CR4 {
  public static let vme: UInt32 = 1 << 0
  public static let pvi: UInt32 = 1 << 1
  public static let tsd: UInt32 = 1 << 2
  public static let de: UInt32 = 1 << 3
  public static let pse: UInt32 = 1 << 4
  public static let pae: UInt32 = 1 << 5
  public static let mce: UInt32 = 1 << 6
  public static let pge: UInt32 = 1 << 7
  public static let pce: UInt32 = 1 << 8
  public static let osfxsr: UInt32 = 1 << 9
  public static let osxmmexcpt: UInt32 = 1 << 10
}

/// Bits of `CPUState.attention`: reasons to look up before the next block.
public enum Attention {
  /// The interrupt controller's INTR line is high.
  public static let intr: UInt32 = 1
  /// An NMI edge is latched.
  public static let nmi: UInt32 = 2
  /// EFLAGS.TF is set, or a debug trap is pending in `pendingDebug`.
  public static let trap: UInt32 = 4
  /// The next instruction runs before interrupts are looked at (after STI; MOV SS and POP SS also hold back debug traps).
  public static let shadow: UInt32 = 8
  /// Instruction breakpoints are armed in DR7: single-stepping run loop.
  public static let breakpoints: UInt32 = 16
  /// The machine asked for control back.
  public static let stop: UInt32 = 32
  /// A debugger's breakpoints or step requests.
  public static let debugger: UInt32 = 64
  /// HLT was executed (`halted`): looked at before the next block.
  public static let halted: UInt32 = 128
  /// An SMI is latched; in system management mode another place keeps it (`ManagementState.isRequested`).
  public static let smi: UInt32 = 256
}

/// Everything the processor keeps, as plain data.
public struct CPUState {
  /// EAX ECX EDX EBX ESP EBP ESI EDI, then a zero that is never written, then padding to 64 bytes.
  public var gpr:
    (
      UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32,
      UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32
    ) = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  /// ES CS SS DS FS GS TR LDTR, at byte offset 64.
  public var segments:
    (
      SegmentCache, SegmentCache, SegmentCache, SegmentCache,
      SegmentCache, SegmentCache, SegmentCache, SegmentCache
    ) = (
      SegmentCache(), SegmentCache(), SegmentCache(), SegmentCache(),
      SegmentCache(), SegmentCache(), SegmentCache(), SegmentCache()
    )

  /// Between blocks: EIP of the next instruction. While a block runs: EIP after the block's last instruction; an instruction that ends
  /// a block therefore finds its own next EIP here and writes a branch target here.
  public var eip: UInt32 = 0
  /// Linear-independent EIP of the running block's first instruction.
  public var blockEIP: UInt32 = 0
  /// Lazy arithmetic flags, see Flags.swift.
  public var flagResult: UInt32 = 1
  public var flagAux: UInt32 = 0
  /// EFLAGS without the six arithmetic flags; bit 1 is always set.
  public var eflags: UInt32 = 2
  /// `Attention` bits.
  public var attention: UInt32 = 0

  /// The record being executed and the record at which the loop must stop (lowered to stop early).
  public var current: UnsafePointer<Instruction>
  public var end: UnsafePointer<Instruction>
  /// The running block's first record.
  public var blockStart: UnsafePointer<Instruction>
  /// Instructions retired up to the start of the running block (REP iterations counted, idle time included).
  public var retired: UInt64 = 0
  /// The loop returns to the machine when `retired` reaches this.
  public var deadline: UInt64 = 0

  /// Page tables of the fast path for the current privilege: host address minus linear address, or 0; see MMU.swift.
  public var readTable: UnsafeMutablePointer<Int>
  public var writeTable: UnsafeMutablePointer<Int>

  /// High part of lookups of code: epoch of the translation and number of the context (`CodeTag`); 0: to be made anew.
  public var codeTag: UInt64 = 0

  /// Current privilege level, 0 to 3 (0 in real mode, 3 in V86 mode).
  public var cpl: Int = 0
  public var cr0: UInt32 = 0
  public var cr2: UInt32 = 0
  public var cr3: UInt32 = 0
  public var cr4: UInt32 = 0
  public var dr: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
  public var dr6: UInt32 = 0xFFFF_0FF0
  public var dr7: UInt32 = 0x400
  /// DR6 bits of data breakpoints hit by the running instruction (delivered as a trap after it).
  public var pendingDebug: UInt32 = 0
  public var gdtBase: UInt32 = 0
  public var gdtLimit: UInt32 = 0xFFFF
  public var idtBase: UInt32 = 0
  public var idtLimit: UInt32 = 0x3FF
  /// HLT was executed; an interrupt resumes.
  public var halted: Bool = false
  /// Triple fault: only a reset resumes.
  public var shutdown: Bool = false
  /// The shadow comes from MOV SS or POP SS and holds back debug traps too.
  public var shadowHoldsTraps: Bool = false
  /// NMI is blocked until the next IRET.
  public var nmiBlocked: Bool = false
  /// PAE: the four page-directory pointers, loaded with CR3.
  public var pdpte: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
  /// The TSC when `retired` was `tscBaseCount`, and what was added by time that passed without instructions since.
  public var tscBase: UInt64 = 0
  public var tscBaseCount: UInt64 = 0
  /// Clocks of the processor for each retired instruction, in 1/2^32.
  public var tscScale: UInt64 = 1 << 32
  /// SYSENTER MSRs 174h-176h.
  public var sysenterCS: UInt32 = 0
  public var sysenterESP: UInt32 = 0
  public var sysenterEIP: UInt32 = 0

  // What translated code works with; see Translation.swift.

  /// Instructions that may still be retired before the run loop must look; counted down by whole blocks.
  package var budget: Int64 = 0
  /// The value of `retired` at which `budget` is 0.
  package var runEnd: UInt64 = 0
  /// Arithmetic flags between translated blocks, as LAHF and SETO AL leave them in AX.
  package var rawFlags: UInt16 = 0
  /// Keeps a register inside of one instruction.
  package var scratch: UInt64 = 0
  /// The same for the thunk that looks at writes to pages with code.
  package var scratchPair: (UInt64, UInt64) = (0, 0)
  /// Where a far transfer of translated code is about to go, and the number of the context it leads to.
  package var farSelector: UInt32 = 0
  package var farOffset: UInt32 = 0
  package var farContext: UInt32 = 0
  /// `CPU.debugEvents` is not empty.
  package var hasEvents = false
  /// PAUSE gives the processor's turn away; who makes the turns sets it.
  package var givesWay = false
  /// STI that sets IF does, too.
  package var givesWayAtSTI = false
  /// Written pages are being kept track of (`CPU.tracksWrites`).
  package var tracksWrites = false
  /// Units of the host that hold guest registers while translated code runs: `HostUnits` bits.
  package var hostUnits: UInt32 = 0
  /// The `CPU` that the functions below are given.
  package var context = UnsafeRawPointer(bitPattern: 1)!
  /// `BlockCache.lookaside`.
  package var lookaside = UnsafeRawPointer(bitPattern: 1)!
  /// `TranslationTables.notes` of the present tables.
  package var pageNotes = UnsafePointer<UInt8>(bitPattern: 1)!
  /// `BlockCache.noCode`.
  package var noCode = UnsafeRawPointer(bitPattern: 1)!
  /// The translator's code places.
  package var places = UnsafeRawPointer(bitPattern: 1)!
  /// `CPU.interpretOne`.
  package var interpretOne: CPU.InterpretOne
  /// `CPU.loadSegmentQuickly`.
  package var loadSegment: CPU.LoadSegment = CPU.loadSegmentFunction
  /// Short paths instead of `interpretOne`: far transfers, ports, moves that miss the tables.
  package var transfer: CPU.InterpretOne = CPU.transferFunction
  package var port: CPU.InterpretOne = CPU.portFunction
  package var moveDevice: CPU.InterpretOne = CPU.moveFunction
  /// What a device that is no more than memory gave for the read at hand.
  package var deviceData: UInt32 = 0
  /// `CPU.updateCodeTag`.
  package var updateContext: CPU.UpdateContext = CPU.updateContextFunction
  /// `CPU.fillEntry`.
  package var fillEntry: CPU.FillEntry = CPU.fillFunction
  /// A window access of translated code has faulted: block number << 8 | instruction, plus 1 << 40; or 0.
  package var windowFault: UInt64 = 0
  /// What the machine is doing, an `ExecutionPlace`; for whoever looks from another thread.
  public var place: UInt8 = 0
  /// Other MSRs with plain storage: APIC base, MTRRs and the like are in `CPU.msrs`.
}

/// The state as handlers take it: what they read through it needs no look at the `CPU` object, which stores might have changed.
typealias StatePointer = UnsafeMutablePointer<CPUState>
