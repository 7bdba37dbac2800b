// Threads, clocks and child processes.

import Foundation
import Testing

@testable import Host

@Suite struct ProcessTests {
  @Test func theClockNeverGoesBack() {
    var last = HostClock.nanoseconds()
    for _ in 0..<10_000 {
      let now = HostClock.nanoseconds()
      #expect(now >= last)
      last = now
    }
  }

  @Test func aWaitEndsWhenSomebodyCalls() throws {
    final class Box: @unchecked Sendable { var ready = false }
    let (condition, box) = (HostCondition(), Box())
    let thread = try HostThread {
      condition.locked {
        box.ready = true
        condition.broadcast()
      }
    }
    condition.locked { while !box.ready { condition.wait() } }
    thread.join()
    #expect(box.ready)
  }

  @Test func aWaitWithALimitEndsByItself() {
    let condition = HostCondition()
    let before = HostClock.nanoseconds()
    condition.locked { condition.wait(nanoseconds: 20_000_000) }
    #expect(HostClock.nanoseconds() - before >= 10_000_000)
  }

  @Test func childrenGiveTheirOutputAndTheirEnd() throws {
    let said = try HostProcess.run(["sh", "-c", "echo out; echo error >&2; exit 3"])
    #expect(String(decoding: said.output, as: UTF8.self) == "out\n")
    #expect(said.code == 3)
    #expect(throws: HostError.self) { try HostProcess.run(["no-such-program-anywhere"]) }
  }

  @Test func aChildThatDoesNotEndIsEnded() throws {
    let before = HostClock.nanoseconds()
    let result = try HostProcess.run(["sleep", "60"], timeout: 0.3)
    #expect(result.timedOut)
    #expect(HostClock.nanoseconds() - before < 20_000_000_000)
  }
}
