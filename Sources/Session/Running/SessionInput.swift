// What reaches a session from outside, from any thread.
//
// Owns: the ways in. Must not know: threads of the machine: everything goes through its input queue, the one gate, where it is logged with
// the instruction it was taken at.

import Chipset
import Machine

extension Session {
  // MARK: The run

  /// Holds the machine still, its time too. The guest cannot notice it, and a recording has nothing of it.
  public func pause() { machine.input.setPaused(true) }

  /// Lets the machine go on.
  public func resume() { machine.input.setPaused(false) }

  /// Ends the session's runs; the first reason counts. What was left before comes first.
  public func stop(_ reason: HostStop = .user) { machine.input.requestStop(reason) }

  /// Ends the present run, or the next, with `interrupted`; the session can go on.
  public func interrupt() { machine.input.requestBreak() }

  // MARK: Keyboard and mouse

  /// Types keys written as in scripts: `dir<enter>`, `<ctrl-alt-del>`, `<wait 500>`.
  /// - Throws: `KeyScriptError` when it does not mean keys.
  public func type(_ keys: String) throws(KeyScriptError) {
    machine.input.post(.strokes(try KeyScript.parse(keys)))
  }

  /// Types a text as it is. What no key types is left out and told by a notice.
  public func paste(_ text: String) { machine.input.post(.text(text)) }

  /// A key goes down or up.
  /// - Parameter usage: the USB HID usage on the keyboard page (04h is A, E0h left Ctrl, ...).
  public func key(_ usage: UInt16, down: Bool) {
    machine.input.post(.key(usage: usage, down: down))
  }

  /// The mouse moves or its wheels or buttons do, as windows count: right, down and away from the user are positive.
  /// - Parameter buttons: those held now: bit 0 left, 1 right, 2 middle, 3 back, 4 forward.
  public func mouse(
    right: Int = 0, down: Int = 0, wheelAway: Int = 0, wheelRight: Int = 0, buttons: UInt8 = 0
  ) {
    machine.input.post(
      .pointer(
        right: right, down: down, wheelAway: wheelAway, wheelRight: wheelRight, buttons: buttons))
  }

  // MARK: Other things a user does

  /// Presses the reset button.
  public func reset() { machine.input.post(.reset(.system)) }

  /// Presses the power button: a guest with ACPI is asked to turn the machine off, without one it is turned off.
  public func pressPowerButton() { machine.input.post(.powerButton) }

  /// Puts an image file into a floppy drive (0: A). What cannot be put in is told by a notice.
  public func insert(_ path: String, drive: Int = 0, protected: Bool = false) {
    machine.input.post(
      .floppy(drive: drive, disk: FloppyChoice(path: path, isProtected: protected)))
  }

  /// Takes the disk out of a floppy drive.
  public func eject(drive: Int = 0) { machine.input.post(.floppy(drive: drive, disk: nil)) }

  /// Puts a CD image into a CD drive (0: the first). What cannot be put in is told by a notice.
  /// - Parameter forced: also where the guest has locked the tray, else it is only asked to let go of the disc that is there.
  public func insertCD(_ path: String, drive: Int = 0, forced: Bool = false) {
    machine.input.post(
      .cd(drive: drive, disc: FloppyChoice(path: path, isProtected: true), forced: forced))
  }

  /// Presses the button of a CD drive: the disc comes out, unless the guest has locked the tray and is only asked for it.
  /// - Parameter forced: it comes out all the same.
  public func ejectCD(drive: Int = 0, forced: Bool = false) {
    machine.input.post(.cd(drive: drive, disc: nil, forced: forced))
  }

  /// Sends bytes to a serial port, counted from 0. Waits while many wait there already.
  public func send(_ bytes: [UInt8], toSerialPort port: Int = 0) {
    machine.input.post(.serial(port: port, bytes: bytes))
  }

  /// Something exists that may bring input yet: a guest that halts with interrupts enabled is not at its end.
  public func addInputSource() { machine.input.addSource() }

  /// It does not exist any more.
  public func removeInputSource() { machine.input.removeSource() }
}
