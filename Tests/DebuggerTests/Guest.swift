// A boot sector for the debugger to look at, and a console to drive.
//
// The program, assembled by nasm with org 7C00h:
//
//           mov word [0x40*4],handler
//           mov word [0x40*4+2],0
//   start:  cli
//           xor ax,ax
//           mov ds,ax
//           mov ss,ax
//           mov sp,0x7c00
//           mov cx,3
//   again:  call work
//           loop again
//           mov byte [flag],0x5a
//           mov dx,0xe9
//           mov al,'A'
//           out dx,al
//           int 0x40
//           lgdt [gdtr]
//           mov eax,cr0
//           or al,1
//           mov cr0,eax
//           jmp 8:protected
//   work:   inc word [count]
//           push bp
//           mov bp,sp
//           call inner
//           pop bp
//           ret
//   inner:  push bp
//           mov bp,sp
//           mov ax,[count]
//           pop bp
//           ret
//   handler: iret
//   count:  dw 0
//   flag:   db 0
//   bits 32
//   protected:
//           mov ax,0x10
//           mov ds,ax
//           mov es,ax
//           mov ss,ax
//           mov esp,0x9000
//           mov edi,0x20000
//           mov ecx,8
//           mov eax,0x11223344
//           cld
//           rep stosd
//           xchg bx,bx
//           fld1
//           hlt
//           align 8
//   gdt:    dq 0
//           dq 0x00cf9a000000ffff
//           dq 0x00cf92000000ffff
//   gdtr:   dw 23
//           dd gdt

import CPU
import Host
import Machine
import Storage
import TestSupport

@testable import Debugger

/// The boot sector's code.
let bootSector: [UInt8] = {
  bytes(
    """
    c7060001517cc70602010000fa31c08ed88ed0bc007cb90300e82100e2fbc606
    547c5abae900b041eecd400f0116987c0f20c00c010f22c0ea557c0800ff0652
    7c5589e5e802005dc35589e5a1527c5dc3cf00000066b810008ed88ec08ed0bc
    00900000bf00000200b908000000b844332211fcf3ab6687dbd9e8f490909090
    0000000000000000ffff0000009acf00ffff00000092cf001700807c0000
    """)
}()

/// Places in it.
enum Place {
  static let start: UInt32 = 0x7C0C
  static let again: UInt32 = 0x7C19
  static let work: UInt32 = 0x7C3D
  static let inner: UInt32 = 0x7C49
  static let count: UInt32 = 0x7C52
  static let flag: UInt32 = 0x7C54
  static let protected: UInt32 = 0x7C55
}

/// A machine with the boot sector in drive A, and its debugger.
final class Console {
  let port = ScriptedPort()
  let machine: Machine
  let debugger: Debugger

  init(engine: Engine = .interpreter, code: [UInt8] = bootSector) throws {
    let configuration = MachineConfiguration.small(floppy: bootFloppy(code), name: "boot") {
      $0.engine = engine
      $0.exitPort = nil
    }
    machine = try Machine(configuration)
    debugger = Debugger(machine: machine, console: port)
    debugger.instructionLimit = 50_000_000
    run("symbol start = 7c0c", "symbol work = 7c3d", "symbol inner = 7c49", "symbol count = 7c52")
  }

  /// Carries out commands; what they printed.
  @discardableResult
  func run(_ commands: String...) -> String {
    for command in commands {
      debugger.execute(command)
      debugger.runPending()
    }
    return port.take()
  }

  /// Linear address of the next instruction.
  var pc: UInt32 { machine.cpu.nextLinear }
}
