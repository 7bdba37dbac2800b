// The environment of the tests' process, which one thread may not change while another one copies it for a child.
//
// Owns: the lock. Must not know: what is set or started.

import Foundation
import Synchronization

private let environmentLock = Mutex(())

/// Sets a variable unless there is one of that name.
public func setEnvironment(_ name: String, _ value: String) {
  environmentLock.withLock { _ in _ = setenv(name, value, 0) }
}

extension Process {
  /// `run()`, while nobody changes the environment.
  public func start() throws { try environmentLock.withLock { _ in try run() } }
}
