// Translated code on this host: whether it can run, and giving a processor a translator.
//
// Owns: the question, asked once: executable memory and the instructions the emitter uses. Must not know: blocks.
// Follows: Intel SDM volume 2, CPUID (leaf 7, EBX bit 8: BMI2).

import Assembler
import CPU
import Host
import Translator

extension Translator {
  /// Makes a translator for this host and gives it to the processor.
  /// - Parameter options: what it may do.
  /// - Throws: `HostError` when the host forbids executable memory.
  public static func attach(to cpu: CPU, options: TranslatorOptions = .all) throws(HostError) {
    _ = try X86Backend.makeTranslator(for: cpu, options: options)
  }

  /// Why translated code cannot run on this host, or nil.
  public static let obstacle: String? = {
    #if os(Linux) && arch(x86_64)
      do throws(HostError) {
        let memory = try CodeMemory(count: 4096)
        let a = Assembler(buffer: memory.writable, capacity: 4096)
        a.push(.rbx)
        a.mov(.rax, 7)
        a.xor(.rcx, .rcx)
        a.cpuid()
        a.mov(.rax, .rbx)
        a.pop(.rbx)
        a.ret()
        typealias Leaf7 = @convention(c) () -> UInt32
        let leaf7 = unsafeBitCast(memory.executable, to: Leaf7.self)
        return withExtendedLifetime(memory) { leaf7() } & 1 << 8 != 0
          ? nil : "the host's processor has no BMI2"
      } catch {
        return error.reason
      }
    #else
      return "the translator is for x86-64 Linux"
    #endif
  }()
}
