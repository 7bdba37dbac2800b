// The parts that the disk of a VMDK image is made of, and the simple ones of them.
//
// Owns: the interface, flat extents, extents of zeros. Must not know: descriptors. After: VMware Virtual Disk Format 5.0, "The Extents".

/// A part of a disk. Sectors are counted from its beginning.
protocol VMDKExtent: AnyObject {
  var store: any ByteStore { get }
  var sectorCount: UInt64 { get }
  /// Sectors that get room together; 1: that does not happen.
  var grainSize: UInt64 { get }
  var isWritable: Bool { get }

  func run(at sector: UInt64, limit: UInt64) throws(StorageError) -> MappedRun
  func unpack(_ sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError)
  /// Returns when all is with the host's stable storage, in its order.
  func commit() throws(StorageError)
  /// Brings on what waits, and returns whether something still does (`BlockMap.settle`).
  func settle() throws(StorageError) -> Bool
  func letGo()
  /// Another number of sectors; what is new reads as zeros.
  func resize(to sectorCount: UInt64) throws(StorageError)
}

extension VMDKExtent {
  var grainSize: UInt64 { 1 }
  func unpack(_ sector: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
    throw store.refusal("has no compressed grains")
  }
  func commit() throws(StorageError) { if store.isWritable { try store.flush() } }
  func settle() throws(StorageError) -> Bool { false }
  func letGo() {}
  func resize(to sectorCount: UInt64) throws(StorageError) {
    throw store.refusal("an extent of this kind cannot be given another size")
  }
}

/// Sectors one after the other in a file.
final class VMDKFlatExtent: VMDKExtent {
  let store: any ByteStore
  private(set) var sectorCount: UInt64
  let isWritable: Bool
  fileprivate let start: UInt64

  init(_ store: any ByteStore, sectorCount: UInt64, offset: UInt64, isWritable: Bool)
    throws(StorageError)
  {
    self.store = store
    self.sectorCount = sectorCount
    self.isWritable = isWritable && store.isWritable
    start = offset * 512
    guard start <= store.size, sectorCount * 512 <= store.size - start else {
      throw store.refusal(
        at: start, "an extent of \(sectorCount) sectors, but the file ends at \(store.size) bytes")
    }
  }

  func run(at sector: UInt64, limit: UInt64) -> MappedRun {
    MappedRun(
      kind: .data, count: min(limit, sectorCount - sector), offset: start + sector * 512,
      store: store)
  }
}

extension VMDKFlatExtent {
  func resize(to sectorCount: UInt64) throws(StorageError) {
    let end = start + sectorCount * 512
    if sectorCount > self.sectorCount {
      // Zeros are what a change of the size leaves that was cut off.
      if let place = try store.firstNonzero(from: start + self.sectorCount * 512) {
        throw store.refusal(
          at: place, "there is something behind the extent, which has to stay where it is")
      }
      try store.grow(to: end)
    } else if store.size == start + self.sectorCount * 512 {
      try store.setSize(end)
    }
    try store.flush()
    self.sectorCount = sectorCount
  }
}

/// Zeros that are kept nowhere.
final class VMDKZeroExtent: VMDKExtent {
  let store: any ByteStore
  let sectorCount: UInt64
  let isWritable = false

  init(_ store: any ByteStore, sectorCount: UInt64) {
    self.store = store
    self.sectorCount = sectorCount
  }

  func run(at sector: UInt64, limit: UInt64) -> MappedRun {
    MappedRun(kind: .zero, count: min(limit, sectorCount - sector))
  }

  func commit() {}
}
