// Places that remember where code for one linear address is.
//
// Owns: pairs of a tag (`CPUState.codeTag` and linear address) and host code, one for each transfer that cannot be a plain jump because
// the linear address may come to mean something else: transfers into other pages under paging, and returns.
// Must not know: who jumps. A place is right as long as its tag fits: epochs are never used twice, and code that is dropped stays
// enterable until all code goes.

import Host

/// The places of one translator.
package final class CodePlaces {
  struct Place {
    var tag: UInt64 = 0
    var code: UInt64 = 0
  }
  private static let capacity = 1 << 17
  private let region: HostMemory
  private let places: UnsafeMutablePointer<Place>
  private var used = 1

  init() throws(HostError) {
    region = try HostMemory(count: CodePlaces.capacity * MemoryLayout<Place>.stride)
    places = region.base.bindMemory(to: Place.self, capacity: CodePlaces.capacity)
  }

  var base: UnsafeRawPointer { UnsafeRawPointer(places) }

  /// Whether a block with as many transfers as it can have finds room.
  var hasRoom: Bool { used + 256 <= CodePlaces.capacity }

  /// A new place that fits nothing; its number is not 0.
  package func make() -> Int {
    places[used] = Place()
    used += 1
    return used - 1
  }

  func address(_ number: Int) -> UInt64 { UInt64(UInt(bitPattern: places + number)) }

  func set(_ number: Int, tag: UInt64, code: UnsafeRawPointer) {
    places[number] = Place(tag: tag, code: UInt64(UInt(bitPattern: code)))
  }

  /// No place fits anything any more.
  func forget() {
    for n in 0..<used { places[n].tag = 0 }
  }

  func removeAll() {
    forget()
    used = 1
  }
}
