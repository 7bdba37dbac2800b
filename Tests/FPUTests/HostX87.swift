// The host's own x87 as an oracle: runs one instruction on a given FXSAVE image.
//
// Owns: the few bytes of machine code this takes. Must not know: what is being compared.
// Follows: System V AMD64 ABI, Intel SDM volume 2 (FXSAVE, FXRSTOR).

#if os(Linux) && arch(x86_64)
  import Glibc

  /// Executes x87 instructions on the host.
  final class HostX87 {
    private typealias Function =
      @convention(c) (
        UnsafeMutableRawPointer, UnsafeMutableRawPointer, UnsafeMutableRawPointer,
        UnsafeMutablePointer<UInt64>
      ) -> Void

    private let code: UnsafeMutableRawPointer
    private var used = 0
    private var functions: [UInt32: Function] = [:]
    /// 512-byte image loaded before the instruction.
    let input: UnsafeMutableRawPointer
    /// 512-byte image stored after it.
    let output: UnsafeMutableRawPointer
    /// Memory operand.
    let memory: UnsafeMutableRawPointer
    /// RFLAGS before and after.
    var flags: UInt64 = 0x202

    /// nil where the host gives no executable memory.
    init?() {
      let size = 1 << 16
      guard
        let page = mmap(
          nil, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        page != MAP_FAILED
      else { return nil }
      code = page
      input = .allocate(byteCount: 512, alignment: 64)
      output = .allocate(byteCount: 512, alignment: 64)
      memory = .allocate(byteCount: 256, alignment: 64)
      input.initializeMemory(as: UInt8.self, repeating: 0, count: 512)
      output.initializeMemory(as: UInt8.self, repeating: 0, count: 512)
      memory.initializeMemory(as: UInt8.self, repeating: 0, count: 256)
      input.storeBytes(of: 0x1F80, toByteOffset: 24, as: UInt32.self)
    }

    deinit {
      munmap(code, 1 << 16)
      input.deallocate()
      output.deallocate()
      memory.deallocate()
    }

    /// Runs the instruction of two bytes; a memory form gets its operand at `memory`.
    func run(_ opcode: UInt8, _ modrm: UInt8) {
      let key = UInt32(opcode) << 8 | UInt32(modrm)
      let function: Function
      if let known = functions[key] {
        function = known
      } else {
        // pushes [rcx] to RFLAGS, fxrstor [rdi], the instruction with [rdx], fxsave [rsi], RFLAGS to [rcx], fninit, ret
        let form = modrm < 0xC0 ? modrm & 0x38 | 2 : modrm
        let bytes: [UInt8] = [
          0xFF, 0x31, 0x9D, 0x0F, 0xAE, 0x0F, opcode, form, 0x0F, 0xAE, 0x06, 0x9C, 0x8F, 0x01,
          0xDB, 0xE3, 0xC3,
        ]
        precondition(used + 32 <= 1 << 16)
        (code + used).copyMemory(from: bytes, byteCount: bytes.count)
        function = unsafeBitCast(code + used, to: Function.self)
        functions[key] = function
        used += 32
      }
      function(input, output, memory, &flags)
    }
  }
#endif
