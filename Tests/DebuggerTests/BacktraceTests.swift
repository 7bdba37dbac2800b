// At every instruction of a program the chain of callers is the one that its CALLs and returns made.
//
// The programs (nasm, org 7C00h):
//
//   start: xor ax,ax
//    mov ds,ax
//    mov ss,ax
//    mov sp,7c00h
//    mov bp,1111h
//   main: call framed
//   after_framed: call bare
//   after_bare: call word [pointer]
//   after_indirect: call 0:farproc
//   after_far: int 40h
//   after_int: hlt
//   framed: push bp
//   framed1: mov bp,sp
//   framed2: sub sp,4
//   framed3: push si
//   framed4: call bare
//   framed5: pop si
//   framed6: mov sp,bp
//   framed7: pop bp
//   framed8: ret
//   bare: push ax
//   bare1: push cx
//   bare2: test ax,ax
//    jz bare3
//    nop
//   bare3: pop cx
//   bare4: pop ax
//   bare5: ret
//   indirect: push bp
//   indirect1: mov bp,sp
//   indirect2: pop bp
//   indirect3: ret
//   farproc: push dx
//   farproc1: pop dx
//   farproc2: retf
//   handler: push ax
//   handler1: pop ax
//   handler2: iret
//   pointer: dw indirect
//
//   cli
//    lgdt [gdtr]
//    mov eax,cr0
//    or al,1
//    mov cr0,eax
//    jmp 8:start
//   bits 32
//   start: mov ax,10h
//    mov ds,ax
//    mov ss,ax
//    mov esp,9000h
//    mov ebp,8ff0h
//   main: call framed
//    call bare
//    call [pointer]
//    call 8:farproc
//    hlt
//   framed: push ebp
//    mov ebp,esp
//    sub esp,123
//    push esi
//    call bare
//    pop esi
//    leave
//    ret
//   bare: push eax
//    push ecx
//    push ebp
//    xor ebp,ebp
//    test eax,eax
//    jz bare3
//    nop
//   bare3: pop ebp
//    pop ecx
//    add esp,4
//    ret
//   indirect: push ebp
//    mov ebp,esp
//    pop ebp
//    ret
//   farproc: push edx
//    pop edx
//    retf
//   align 4
//   pointer: dd indirect
//   gdt: dq 0
//    dq 0x00cf9a000000ffff
//    dq 0x00cf92000000ffff
//   gdtr: dw 23
//    dd gdt

import CPU
import TestSupport
import Testing

@testable import Debugger

@Suite struct BacktraceTests {
  private static let program16 = bytes(
    """
    31c08ed88ed0bc007cbd1111e80f00e81b00ff16427c9a3c7c0000cd40f45589e583ec0456e805005e89ec5dc3505185c074
    01905958c35589e55dc3525acb5058cf377c
    """)
  private static let program32 = bytes(
    """
    fa0f0116807c0f20c00c010f22c0ea137c080066b810008ed88ed0bc00900000bdf08f0000e813000000e81d000000ff1564
    7c00009a617c00000800f45589e583ec7b56e8030000005ec9c350515531ed85c07401905d5983c404c35589e55dc3525acb
    5c7c00000000000000000000ffff0000009acf00ffff00000092cf001700687c0000
    """)

  /// Steps to the HLT and compares the chain with what CALL, INT and the returns did.
  private func walk(_ c: Console, to end: UInt32) {
    var callers: [UInt32] = []
    var deepest = 0
    for _ in 0..<200 where c.pc != end {
      guard let i = c.debugger.instruction(at: c.pc) else { return }
      let next = c.pc + UInt32(i.length)
      c.run("s")
      switch i.flow {
      case .call, .interrupt: callers.append(next)
      case .return: callers.removeLast()
      default: break
      }
      deepest = max(deepest, callers.count)
      let found = StackWalker(c.debugger).levels(callers.count + 1).map(\.linear)
      #expect(found == [c.pc] + callers.reversed(), "at \(hexDigits(c.pc, 4))")
    }
    #expect(c.pc == end)
    #expect(deepest == 2)
  }

  @Test func sixteenBit() throws {
    let c = try Console(code: BacktraceTests.program16)
    c.run("tb 7c0c", "c", "setmem 100 h = 7c3f, 0")
    walk(c, to: 0x7C1D)
  }

  @Test func thirtyTwoBit() throws {
    let c = try Console(code: BacktraceTests.program32)
    c.run("tb 7c00", "c", "set ds = 0", "tb 7c25", "c")
    walk(c, to: 0x7C3C)
  }

  @Test func theTextNamesTheCaller() throws {
    let c = try Console()
    c.run("tb inner", "c")
    let text = c.run("bt")
    #expect(text.contains("#0   7c49 <inner>"))
    #expect(text.contains("#1   7c47 <work+a>"))
    #expect(text.contains("#2   7c1c <start+10>"))
    c.run("finish", "s")
    // At the RET of `work`.
    #expect(c.run("bt").contains("#1   7c1c <start+10>"))
  }

  /// Where no CALL is to be found nothing is invented, and nonsense ends.
  @Test func nonsenseEnds() throws {
    let c = try Console()
    c.run("c start")
    for value in ["0", "0ffff", "7c00", "1", "0fffe"] {
      c.run("set sp = \(value)", "set bp = \(value)")
      #expect(!c.run("bt").isEmpty)
    }
  }
}
