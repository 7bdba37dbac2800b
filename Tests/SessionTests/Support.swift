// What tests of sessions share: configurations of small machines, files that go away.

import Chipset
import Foundation
import Host
import Machine
import Session
import Synchronization
import TestSupport

/// The demo disk in a small machine.
func demo(_ change: (inout SessionConfiguration) -> Void = { _ in }) -> SessionConfiguration {
  var configuration = SessionConfiguration()
  configuration.machine.memoryMegabytes = 4
  configuration.drives[.floppy(0)] = .demoDisk
  change(&configuration)
  return configuration
}

/// A floppy that boots code at 7C00h (nasm, org 7C00h, 16 bits).
func floppy(_ hex: String) -> SessionImage {
  .floppy(bootFloppy(bytes(hex)), name: "test")
}

enum Guest {
  /// sti; l: jmp l
  static let busy = "fbebfe"
  /// ud2 with an IDT of nothing (cli; lidt [zero]; ud2).
  static let tripleFault = "fa 0f011e 107c 0f0b 00000000000000 000000000000"
  /// Sends 'A' through COM1 (mov ax,0e41h...: mov dx,3f8h; mov al,41h; out dx,al), waits until it has left (LSR bit 6), then what comes in
  /// plus one (LSR bit 0), for ever.
  ///   mov dx,3fdh / w: in al,dx / test al,1 / jz w / mov dl,0f8h / in al,dx / inc ax / out dx,al / mov dl,0fdh / jmp w
  static let serial = "bafd03 eca801 74fb b2f8 ec 40 ee b2fd ebf2"
}

/// A folder that goes away.
final class Scratch {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
    "apus-session-\(UUID().uuidString)")
  init() throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(at: folder) }
  func path(_ name: String) -> String { folder.appendingPathComponent(name).path }
}

/// What other threads gather.
final class Gathered<T: Sendable>: Sendable {
  private let list = Mutex<[T]>([])
  func add(_ item: T) { list.withLock { $0.append(item) } }
  var all: [T] { list.withLock { $0 } }
}

/// Waits until something is so, at most half a minute of the host.
func eventually(_ isSo: () -> Bool) -> Bool {
  let alarm = HostCondition()
  for _ in 0..<3000 {
    if isSo() { return true }
    alarm.locked { alarm.wait(nanoseconds: 10_000_000) }
  }
  return isSo()
}
