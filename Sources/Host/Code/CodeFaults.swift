// Memory faults of code made at run time, led to a place in that code.
//
// Owns: the signal handler, the list of regions it knows, and for each a table from instructions to the places they lead to.
// Must not know: what the code does. Nothing in the handler allocates or takes a lock.
// Follows: sigaction(2), System V AMD64 ABI.

#if os(Linux) && arch(x86_64) && canImport(Glibc)
  import Glibc
  import Synchronization

  /// Instructions of one code region that may fault, and where to go on when one does.
  public final class CodeFaults {
    private struct Region: ~Copyable {
      /// 0 while the place is free. It is the last that is set and the first that is cleared: a handler on another thread may look
      /// at any time.
      let size = Atomic<UInt>(0)
      var base: UInt = 0
      var entries = UnsafeMutablePointer<UInt64>(bitPattern: 8)!
      var count = 0
    }
    private static let maximumRegions = 1024
    /// Never freed, since a handler may look at any of them.
    private nonisolated(unsafe) static let regions: UnsafeMutablePointer<Region> = {
      let p = UnsafeMutablePointer<Region>.allocate(capacity: maximumRegions)
      for n in 0..<maximumRegions { (p + n).initialize(to: Region()) }
      return p
    }()
    private nonisolated(unsafe) static var previous = sigaction()
    private nonisolated(unsafe) static var installed = false
    private static let lock = Mutex(())
    private let region: UnsafeMutablePointer<Region>
    private var capacity: Int
    /// Unmapped only when the list does not name it any more: its addresses may be another's at once.
    private let memory: CodeMemory

    /// - Throws: `HostError` when too many regions are in use.
    public init(_ memory: CodeMemory) throws(HostError) {
      let first = 1 << 12
      let found: Int? = CodeFaults.lock.withLock { _ in
        CodeFaults.install()
        for n in 0..<CodeFaults.maximumRegions
        where CodeFaults.regions[n].size.load(ordering: .relaxed) == 0 {
          CodeFaults.regions[n].base = UInt(bitPattern: memory.executable)
          CodeFaults.regions[n].entries = .allocate(capacity: first)
          CodeFaults.regions[n].count = 0
          CodeFaults.regions[n].size.store(UInt(memory.count), ordering: .releasing)
          return n
        }
        return nil
      }
      guard let found else { throw HostError("too many regions of code") }
      capacity = first
      self.memory = memory
      region = CodeFaults.regions + found
    }

    deinit {
      CodeFaults.lock.withLock { _ in
        region.pointee.size.store(0, ordering: .sequentiallyConsistent)
        region.pointee.entries.deallocate()
      }
    }

    /// The instruction at an offset goes on at another one when it faults. Offsets come in ascending order.
    public func add(_ offset: Int, leadsTo target: Int) {
      if region.pointee.count == capacity {
        let new = UnsafeMutablePointer<UInt64>.allocate(capacity: capacity * 2)
        new.update(from: region.pointee.entries, count: capacity)
        region.pointee.entries.deallocate()
        region.pointee.entries = new
        capacity *= 2
      }
      region.pointee.entries[region.pointee.count] = UInt64(offset) << 32 | UInt64(target)
      region.pointee.count += 1
    }

    /// Forgets all instructions.
    public func removeAll() { region.pointee.count = 0 }

    /// Makes sure that the handler stands, so that others can put theirs before it.
    static func prepare() { lock.withLock { _ in install() } }

    private static func install() {
      if installed { return }
      installed = true
      var action = sigaction()
      action.sa_flags = SA_SIGINFO | Int32(SA_NODEFER)
      action.__sigaction_handler.sa_sigaction = { number, info, raw in
        // The address lies behind number, errno and code.
        if let info {
          let address = UnsafeRawPointer(info).load(fromByteOffset: 16, as: UInt.self)
          if WindowGuard.handle(address) || CodeCopies.handle(address) { return }
          if number == SIGBUS { MappedFiles.handle(address) }
        }
        if CodeFaults.redirect(raw.unsafelyUnwrapped) { return }
        let old = CodeFaults.previous
        if old.sa_flags & SA_SIGINFO != 0, let handler = old.__sigaction_handler.sa_sigaction {
          handler(number, info, raw)
        } else {
          // Not ours: the default action when it happens again.
          signal(number, SIG_DFL)
        }
      }
      sigaction(SIGSEGV, &action, &previous)
      sigaction(SIGBUS, &action, nil)
    }

    /// Changes where a signal's context goes on, if it comes from a known instruction.
    static func redirect(_ raw: UnsafeMutableRawPointer) -> Bool {
      // General registers begin behind uc_flags, uc_link and uc_stack; RIP is the 17th.
      let registers = (raw + 40).assumingMemoryBound(to: UInt64.self)
      let rip = UInt(registers[16])
      for n in 0..<maximumRegions {
        let region = regions + n
        let size = region.pointee.size.load(ordering: .acquiring)
        if rip &- region.pointee.base >= size { continue }
        let offset = UInt64(rip &- region.pointee.base)
        var low = 0
        var high = region.pointee.count
        while low < high {
          let middle = (low &+ high) >> 1
          if region.pointee.entries[middle] >> 32 < offset {
            low = middle &+ 1
          } else {
            high = middle
          }
        }
        if low < region.pointee.count, region.pointee.entries[low] >> 32 == offset {
          registers[16] =
            UInt64(region.pointee.base) &+ region.pointee.entries[low] & 0xFFFF_FFFF
          return true
        }
      }
      return false
    }
  }
#else
  /// There are no faults to lead anywhere on this host.
  public final class CodeFaults {
    public init(_ memory: CodeMemory) throws(HostError) {
      throw HostError("no translated code on this host")
    }
    public func add(_ offset: Int, leadsTo target: Int) {}
    public func removeAll() {}
    static func prepare() {}
  }
#endif
