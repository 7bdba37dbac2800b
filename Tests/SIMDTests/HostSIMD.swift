// The host's own MMX and SSE as an oracle: runs one instruction on a given FXSAVE image.
//
// Owns: the few bytes of machine code this takes. Must not know: what is being compared.
// Follows: System V AMD64 ABI, Intel SDM volume 2 (FXSAVE, FXRSTOR).

#if os(Linux) && arch(x86_64)
  import Glibc

  /// Executes one instruction on the host; it may use EAX and memory at [RDX] and [RDI].
  final class HostSIMD {
    private typealias Function =
      @convention(c) (
        UnsafeMutableRawPointer, UnsafeMutableRawPointer, UnsafeMutableRawPointer,
        UnsafeMutablePointer<UInt64>
      ) -> Void

    private let code: UnsafeMutableRawPointer
    private let function: Function
    /// 512-byte image loaded before the instruction.
    let input: UnsafeMutableRawPointer
    /// 512-byte image stored after it.
    let output: UnsafeMutableRawPointer
    /// Memory operand.
    let memory: UnsafeMutableRawPointer
    /// RFLAGS and EAX before and after, then the MXCSR that Swift code expects.
    let registers: UnsafeMutablePointer<UInt64>

    /// nil where the host gives no executable memory.
    init?() {
      guard
        let page = mmap(
          nil, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        page != MAP_FAILED
      else { return nil }
      code = page
      function = unsafeBitCast(page, to: Function.self)
      input = .allocate(byteCount: 512, alignment: 64)
      output = .allocate(byteCount: 512, alignment: 64)
      memory = .allocate(byteCount: 256, alignment: 64)
      input.initializeMemory(as: UInt8.self, repeating: 0, count: 512)
      output.initializeMemory(as: UInt8.self, repeating: 0, count: 512)
      memory.initializeMemory(as: UInt8.self, repeating: 0, count: 256)
      registers = .allocate(capacity: 3)
      registers.initialize(repeating: 0, count: 3)
      registers[2] = 0x1F80
    }

    deinit {
      munmap(code, 4096)
      input.deallocate()
      output.deallocate()
      memory.deallocate()
      registers.deallocate()
    }

    /// Runs the instruction.
    func run(_ instruction: [UInt8]) {
      // push [rcx]; popfq; mov eax, [rcx+8]; fxrstor [rdi]; mov rdi, rdx
      var bytes: [UInt8] = [
        0xFF, 0x31, 0x9D, 0x8B, 0x41, 0x08, 0x0F, 0xAE, 0x0F, 0x48, 0x89, 0xD7,
      ]
      bytes += instruction
      // fxsave [rsi]; mov [rcx+8], eax; pushfq; pop [rcx]; fninit; ldmxcsr [rcx+16]; ret
      bytes += [
        0x0F, 0xAE, 0x06, 0x89, 0x41, 0x08, 0x9C, 0x8F, 0x01, 0xDB, 0xE3, 0x0F, 0xAE, 0x51, 0x10,
        0xC3,
      ]
      code.copyMemory(from: bytes, byteCount: bytes.count)
      function(input, output, memory, registers)
    }
  }
#endif
