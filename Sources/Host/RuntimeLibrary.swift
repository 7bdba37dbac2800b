// Libraries that are loaded when what they do is asked for the first time, and not before.
//
// Owns: looking them up by their names, their functions by theirs. Must not know: what they are for.
// After: dlopen(3), dlsym(3).

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A library of the host's. It stays loaded.
public struct RuntimeLibrary: Sendable {
  /// Its address as a number.
  private let handle: UInt

  /// The first of some names that the host has; nil: none.
  public init?(_ names: [String]) {
    for name in names {
      if let found = dlopen(name, RTLD_NOW | RTLD_LOCAL) {
        handle = UInt(bitPattern: found)
        return
      }
    }
    return nil
  }

  /// A function by its name; nil: it has none of that name.
  public func function<Function>(_ name: String, _: Function.Type = Function.self) -> Function? {
    guard let symbol = dlsym(UnsafeMutableRawPointer(bitPattern: handle), name) else { return nil }
    return unsafeBitCast(symbol, to: Function.self)
  }

  /// A function of the system's own library, for those that Swift does not call because their number of arguments varies.
  public static func system<Function>(_ name: String, _: Function.Type = Function.self) -> Function?
  {
    guard let program = dlopen(nil, RTLD_NOW), let symbol = dlsym(program, name) else { return nil }
    return unsafeBitCast(symbol, to: Function.self)
  }
}
