// What is fuzzed: everything of a machine that has ports, memory or configuration space.
//
// Owns: finding it out from a machine that was built. Must not know: what any of it does.

import Bus
import CPU
import Chipset
import Machine

/// A device, or several that are one to the guest, and where it is.
struct FuzzTarget {
  var name: String
  var ports: [ClosedRange<UInt32>] = []
  /// Physical addresses below 4 GiB.
  var memory: [ClosedRange<UInt32>] = []
  /// Slot and function, `slot << 3 | function`.
  var functions: [UInt32] = []

  /// All that belongs to a display adapter in one.
  static func adapter(_ targets: [FuzzTarget], name: String) -> FuzzTarget {
    var whole = FuzzTarget(name: name)
    for part in targets where part.name == "vga" || part.name.hasPrefix(name) {
      whole.ports += part.ports
      whole.memory += part.memory
      whole.functions += part.functions
    }
    return whole
  }

  /// The kinds of parts that a name stands for, where these are called otherwise: drives answer at their controller's ports, cards where
  /// the bus puts them.
  static func kinds(of name: String) -> [String] {
    switch name {
    case "com1", "com2", "com3", "com4": ["uart"]
    case "lpt1": ["lpt"]
    case "port-e9", "port-402": ["debug-console"]
    case "fdc": ["fdc", "floppy-drive"]
    case "ide0", "ide1": ["ide", "disk-drive", "cd-drive"]
    case "isapnp": ["isapnp", "pnp-uart"]
    case "vga", "vga-pci": ["vga-std"]
    default: PartCatalogue.all[name] == nil ? [] : [name]
    }
  }

  /// Of all that a machine has, by name.
  static func all(_ machine: Machine) -> [FuzzTarget] {
    var targets: [String: FuzzTarget] = [:]
    for mapping in machine.ports.space.mappings {
      let owner = mapping.target.owner.isEmpty ? "unnamed" : mapping.target.owner
      targets[owner, default: FuzzTarget(name: owner)].ports.append(
        UInt32(mapping.addresses.lowerBound.value)...UInt32(mapping.addresses.upperBound.value))
    }
    var map = FuzzTarget(name: "memory-map")
    for mapping in machine.memory.space.mappings
    where mapping.addresses.upperBound.value <= UInt64(UInt32.max) {
      let range =
        UInt32(mapping.addresses.lowerBound.value)...UInt32(mapping.addresses.upperBound.value)
      if case .ram = mapping.target {
        // The program is in it.
        continue
      }
      map.memory.append(range)
      let owner: String? =
        switch range.lowerBound {
        case 0xA0000...0xBFFFF: "vga"
        case 0xFEE0_0000: "local-apic"
        case 0xFEC0_0000: "io-apic"
        default: nil
        }
      if let owner { targets[owner, default: FuzzTarget(name: owner)].memory.append(range) }
    }
    // What the host bridge switches, and what is no RAM.
    map.memory += [0xC0000...0xFFFFF, 0xA0000...0xBFFFF, 0x7F_F000...0x80_0FFF]
    targets[map.name] = map
    targets["nobody"] = FuzzTarget(name: "nobody", ports: [0...0xFFFF], memory: [0...0xF_FFFF])
    if let bus = machine.board.offered(PCIBus.self) {
      for function in bus.all {
        let name = function.stateName
        targets[name, default: FuzzTarget(name: name)].functions.append(
          UInt32(function.configuration.position))
        targets[name]?.ports.append(0xCF8...0xCFF)
      }
    }
    return targets.values.sorted { $0.name < $1.name }
  }
}
