// Watchpoints and breakpoints under paging: who writes beside instructions, what counts as arriving, and that none of it shows in the
// guest.

import CPU
import Machine
import TestSupport
import Testing

@testable import Debugger

/// A boot sector that switches paging on, hides an accessed bit behind the TLB and has a page fault, assembled by nasm with org 7C00h:
///
///           cli
///           xor ax,ax
///           mov ds,ax
///           mov ss,ax
///           mov sp,0x7c00
///           lgdt [gdtr]
///           lidt [idtr]
///           mov eax,cr0
///           or al,1
///           mov cr0,eax
///           jmp 8:start
///   bits 32
///   start:  mov ax,0x10
///           mov ds,ax
///           mov es,ax
///           mov ss,ax
///           mov esp,0x7000
///           mov dword [0x10000],0x11003     ; directory
///           mov edi,0x11000
///           mov eax,3
///           mov ecx,0x400
///   fill:   stosd
///           add eax,0x1000
///           loop fill
///           and byte [0x11084],0xfe         ; page 21000h is not present
///           mov eax,0x10000
///           mov cr3,eax
///           mov eax,cr0
///           or eax,0x80000000
///           mov cr0,eax
///           mov eax,[0x20000]
///           and byte [0x11080],0xdf         ; accessed: cleared behind the TLB's back
///           mov ebx,[0x20004]               ; no walk: stays clear
///   access: mov ecx,[0x21000]
///           mov dword [0x20008],0x1234
///   done:   hlt
///           jmp done
///   fault:  push eax
///           or byte [0x11084],1
///           pop eax
///           add esp,4
///           iret
///           align 8
///   gdt:    dq 0
///           dq 0x00cf9a000000ffff
///           dq 0x00cf92000000ffff
///   gdtr:   dw 23
///           dd gdt
///           align 8
///   idt:    times 14 dq 0
///           dw fault, 8, 0x8e00, 0
///   idtr:   dw 119
///           dd idt
private let pagingSector: [UInt8] = {
  let head = bytes(
    """
    fa31c08ed88ed0bc007c0f0116b87c0f011e387d0f20c00c010f22c0ea217c08
    0066b810008ed88ec08ed0bc00700000c7050000010003100100bf00100100b8
    03000000b900040000ab0500100000e2f8802584100100feb8000001000f22d8
    0f20c00d000000800f22c0a100000200802580100100df8b1d040002008b0d00
    100200c7050800020034120000f4ebfd50800d84100100015883c404cf909090
    0000000000000000ffff0000009acf00ffff00000092cf001700a07c00009090
    """)
  let tail: [UInt8] = [0x90, 0x7C, 0x08, 0, 0, 0x8E, 0, 0, 0x77, 0, 0xC0, 0x7C, 0, 0]
  return head + [UInt8](repeating: 0, count: 14 * 8) + tail
}()

private enum PagingPlace {
  static let start = "7c21"
  static let access: UInt32 = 0x7C7D
  static let done: UInt32 = 0x7C8D
}

@Suite struct WatchTests {
  private func console(_ engine: Engine) throws -> Console {
    try Console(engine: engine, code: pagingSector)
  }

  @Test(arguments: [Engine.interpreter, .translator])
  func anInstructionThatFaultedAndRunsAgainIsOneArrival(engine: Engine) throws {
    let c = try console(engine)
    c.run("b 7c7d", "b 7c8d", "c")
    #expect(c.pc == PagingPlace.access)
    c.run("c")
    #expect(c.pc == PagingPlace.done)
    #expect(c.run("info b").split(separator: "\n")[0].hasSuffix("hits 1"))
    // It did fault: the handler made the page present.
    #expect(c.run("? [d 11084] & 21").contains("21h"))
  }

  @Test(arguments: [Engine.interpreter, .translator])
  func theStopBeforeAFaultIsFoundBackwardsOnce(engine: Engine) throws {
    let c = try console(engine)
    c.debugger.keepHistory(megabytes: 32)
    c.run("c 7c8d", "b 7c7d", "rc")
    #expect(c.pc == PagingPlace.access)
    #expect(c.run("? [d 11084] & 1").contains("0h"))
    c.run("rc")
    #expect(c.machine.cpu.instructionCount == 0)
  }

  @Test(arguments: [Engine.interpreter, .translator])
  func watchpointsDoNotShowInTheGuest(engine: Engine) throws {
    let plain = try console(engine)
    plain.run("c \(PagingPlace.start)", "c 7c8d", "s")
    let end = plain.machine.cpu.instructionCount
    #expect(plain.run("? [d 11080] & 20").contains("0h"))
    let watched = try console(engine)
    watched.run(
      "c \(PagingPlace.start)", "awatch 20000, 1000", "watch 10000, 2000", "b 7c7d if 0")
    for _ in 0..<10000 where watched.machine.cpu.instructionCount < end {
      watched.run("icount \(end)")
    }
    #expect(watched.machine.cpu.instructionCount == end)
    #expect(watched.machine.stateHash() == plain.machine.stateHash())
    // Set late, they find translations that are there already.
    let late = try console(engine)
    late.run("c \(PagingPlace.start)", "modebp paging", "c", "delete", "s 2", "awatch 20004, 4")
    #expect(late.run("c").contains("read of 4 at 00020004"))
    late.run("delete", "icount \(end)")
    #expect(late.machine.stateHash() == plain.machine.stateHash())
  }

  @Test(arguments: [Engine.interpreter, .translator])
  func thePageWalkIsSeenWriting(engine: Engine) throws {
    let c = try console(engine)
    c.run("c \(PagingPlace.start)", "modebp paging", "c", "delete", "watch 11080, 4")
    let text = c.run("c")
    #expect(
      text.contains("write of 4 by the page walk at 00011080: 00020003 -> 00020023"), "\(text)")
    // Then the instruction that clears it, which is an instruction.
    #expect(c.run("c").contains("write of 1 at 00011080: 23 -> 03"))
    // The dirty bit, by physical address too.
    c.run("delete", "watch p:11080, 4")
    #expect(c.run("c").contains("by the page walk at 00011080: 00020003 -> 00020063"))
  }

  @Test(arguments: [Engine.interpreter, .translator])
  func devicesAreSeenWriting(engine: Engine) throws {
    let c = try console(engine)
    // The BIOS has the floppy controller bring the boot sector.
    c.run("watch 7c00, 2 if value==0x31fa || value==0xfa")
    let text = c.run("c")
    #expect(text.contains("by a device (DMA) at 00007c00"), "\(text)")
    let count = c.machine.cpu.instructionCount
    #expect(c.run("? [w 7c00]").contains("31fah"))
    // What a debugger writes is no device's.
    c.run("e 7c00 fa")
    c.run("delete", "b 7c00")
    #expect(c.run("c").contains("Stopped: breakpoint"))
    #expect(c.machine.cpu.instructionCount > count)
  }
}
