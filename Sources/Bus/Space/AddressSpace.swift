// What answers where, for any kind of address.
//
// Owns: mappings with priorities, that come, move, switch off and go while the machine runs, and which of them is seen at an address.
// Must not know: what is mapped, how an access gets there. Who dispatches accesses keeps a table of its own and renews the part that
// `changed` names.

/// The mapping of one thing into an `AddressSpace`; obtained from `AddressSpace.map`.
public struct MappingID: Hashable, Sendable {
  let number: UInt64
}

/// A bus's map from addresses to targets, which may overlap: the highest priority is seen, among equal ones the latest.
public final class AddressSpace<Address: BusAddress, Target> {
  /// A thing at a range of addresses.
  public struct Mapping {
    public let id: MappingID
    /// All addresses that lead to it, where nothing stands above it.
    public internal(set) var addresses: ClosedRange<Address>
    public internal(set) var priority: Int
    /// Whether it answers at present.
    public internal(set) var isEnabled: Bool
    public let target: Target
  }

  /// All mappings, whether they are seen or not, in the order they came.
  public private(set) var mappings: [Mapping] = []
  private var next: UInt64 = 0
  /// What was taken away and may still be at work: a device can unmap itself in the middle of an access to it, and dispatchers hold
  /// no references.
  @usableFromInline var gone: [Target] = []

  /// Told of addresses at which something else may be seen from now on.
  public var changed: (ClosedRange<Address>) -> Void = { _ in }

  public init() {}

  /// Maps `target`.
  /// - Parameters:
  ///   - addresses: all that lead to it.
  ///   - priority: who is seen where mappings overlap; 0 is usual.
  ///   - isEnabled: no: it does not answer yet.
  @discardableResult
  public func map(
    _ target: Target, at addresses: ClosedRange<Address>, priority: Int = 0, isEnabled: Bool = true
  ) -> MappingID {
    let id = MappingID(number: next)
    next += 1
    mappings.append(
      Mapping(
        id: id, addresses: addresses, priority: priority, isEnabled: isEnabled, target: target))
    if isEnabled { changed(addresses) }
    return id
  }

  /// Takes a mapping away. What is gone already stays gone. The target is kept until `releaseUnmapped`.
  public func unmap(_ id: MappingID) {
    guard let n = index(id) else { return }
    let old = mappings.remove(at: n)
    gone.append(old.target)
    if old.isEnabled { changed(old.addresses) }
  }

  /// Lets go of what was unmapped; to be called where no access is under way.
  @inlinable
  public func releaseUnmapped() { if !gone.isEmpty { gone.removeAll() } }

  /// Moves a mapping, say a base address register was written. Its length stays; it must fit.
  public func move(_ id: MappingID, to first: Address) {
    guard let n = index(id), mappings[n].addresses.lowerBound != first else { return }
    let old = mappings[n].addresses
    let length = old.upperBound.value - old.lowerBound.value
    precondition(first.value <= Address.Value.max - length, "a mapping beyond the last address")
    mappings[n].addresses = first...Address(first.value + length)
    if mappings[n].isEnabled {
      changed(old)
      changed(mappings[n].addresses)
    }
  }

  /// Lets a mapping answer or not, say a command register was written.
  public func setEnabled(_ id: MappingID, _ isEnabled: Bool) {
    guard let n = index(id), mappings[n].isEnabled != isEnabled else { return }
    mappings[n].isEnabled = isEnabled
    changed(mappings[n].addresses)
  }

  /// What would be seen at an address if nothing of a priority or above were there, or nil.
  public func seen(at address: Address, below priority: Int) -> Mapping? {
    var best: Mapping?
    for mapping in mappings
    where mapping.isEnabled && mapping.priority < priority && mapping.addresses.contains(address) {
      if let best, best.priority > mapping.priority { continue }
      best = mapping
    }
    return best
  }

  /// The mapping of an id, or nil.
  public subscript(id: MappingID) -> Mapping? { index(id).map { mappings[$0] } }

  /// What is seen at an address, or nil.
  public func seen(at address: Address) -> Mapping? {
    var best: Mapping?
    for mapping in mappings where mapping.isEnabled && mapping.addresses.contains(address) {
      if let best, best.priority > mapping.priority { continue }
      best = mapping
    }
    return best
  }

  /// Calls `body` with ascending pieces of a range, each with what is seen in all of it.
  public func forEachPiece(
    of range: ClosedRange<Address>, _ body: (ClosedRange<Address>, Mapping?) -> Void
  ) {
    // Something can change only where a mapping begins, or behind where one ends.
    var starts: Set<Address> = [range.lowerBound]
    for mapping in mappings where mapping.isEnabled && mapping.addresses.overlaps(range) {
      starts.insert(max(mapping.addresses.lowerBound, range.lowerBound))
      if mapping.addresses.upperBound < range.upperBound {
        starts.insert(Address(mapping.addresses.upperBound.value + 1))
      }
    }
    let ordered = starts.sorted()
    for (n, start) in ordered.enumerated() {
      let end = n + 1 < ordered.count ? Address(ordered[n + 1].value - 1) : range.upperBound
      body(start...end, seen(at: start))
    }
  }

  private func index(_ id: MappingID) -> Int? { mappings.firstIndex { $0.id == id } }
}
