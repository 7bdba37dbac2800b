// Saving and restoring a whole machine.
//
// Owns: the file's header, the fingerprint of the configuration, memory, the order of the sections. Must not know: any device's state.
// A state is only ever restored into a fresh machine of the same configuration; when it is refused, that machine is thrown away.
//
//   "APUSSTAT", version (u32), length of the rest (u64), checksum of the rest (u64), then:
//   fingerprint (pairs of strings), media (which images: MachineMedia.swift), sections clock, cpu, for several processors
//   one for each other and turns, one for each device, what images hold in memory; memory; what each processor has translated

import Bus
import CPU
import Chipset
import State
import Storage

/// A 64-bit hash for comparing states (FNV-1a over 64-bit words). It guards against accidents, not against intent.
public struct StateHash: Sendable {
  /// The hash so far.
  public private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

  public init() {}

  /// Adds bytes.
  public mutating func add(_ bytes: UnsafeRawBufferPointer) {
    var hash = value
    var offset = 0
    while offset + 8 <= bytes.count {
      hash = (hash ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self).littleEndian)
      hash = hash &* 0x100_0000_01B3
      hash ^= hash >> 29
      offset += 8
    }
    while offset < bytes.count {
      hash = (hash ^ UInt64(bytes[offset])) &* 0x100_0000_01B3
      offset += 1
    }
    value = hash
  }

  /// Adds a number.
  public mutating func add(_ number: UInt64) {
    withUnsafeBytes(of: number.littleEndian) { add($0) }
  }
}

extension Machine {
  private static let magic = Array("APUSSTAT".utf8)
  /// 2: which images the state belongs to, with hashes of what they hold. 3: what the processors have translated.
  private static let formatVersion: UInt32 = 3
  /// Those that are read: Sources/apus/Documentation.docc/Using/SavedStates.md has what each lacks.
  private static let knownVersions: ClosedRange<UInt32> = 2...3
  private static let pageSize = 4096

  /// The complete state.
  public func saveState() -> [UInt8] {
    var body = StateWriter()
    let fingerprint = self.fingerprint
    body.write(UInt32(fingerprint.count))
    for (key, value) in fingerprint {
      body.write(key)
      body.write(value)
    }
    saveMedia(to: &body)
    saveSections(to: &body)
    saveMemory(to: &body)
    saveTranslations(to: &body)

    var hash = StateHash()
    body.bytes.withUnsafeBytes { hash.add($0) }
    var header = StateWriter()
    for byte in Machine.magic { header.write(byte) }
    header.write(Machine.formatVersion)
    header.write(UInt64(body.bytes.count))
    header.write(hash.value)
    return header.bytes + body.bytes
  }

  /// A number that is equal for equal states.
  public func stateHash() -> UInt64 {
    var hash = StateHash()
    var body = StateWriter()
    saveSections(to: &body)
    body.bytes.withUnsafeBytes { hash.add($0) }
    forEachUsedPage { page, bytes in
      hash.add(UInt64(page))
      hash.add(bytes)
    }
    return hash.value
  }

  /// Like `stateHash`, for each part: clock, processor, every device, what images hold in memory, RAM, by the names of saved states.
  public func partHashes() -> [(name: String, hash: UInt64)] {
    var parts = sectionBytes().map { (name, bytes) in
      var hash = StateHash()
      bytes.withUnsafeBytes { hash.add($0) }
      return (name: name, hash: hash.value)
    }
    var hash = StateHash()
    forEachUsedPage { page, bytes in
      hash.add(UInt64(page))
      hash.add(bytes)
    }
    parts.append((name: "memory", hash: hash.value))
    return parts
  }

  /// Continues from a state. This machine must be fresh and of the same configuration, and is of no use when this throws.
  /// - Parameter acceptingOtherDisks: images may hold something else than when the state was saved, if nothing is written to them.
  /// - Returns: what differs although it was accepted, a line each.
  @discardableResult
  public func restoreState(_ bytes: [UInt8], acceptingOtherDisks: Bool = false)
    throws(StateError) -> [String]
  {
    var reader = StateReader(bytes)
    if !bytes.starts(with: Machine.magic) { throw reader.error("not a saved state") }
    for _ in Machine.magic { _ = try reader.read(UInt8.self) }
    let version = try reader.read(UInt32.self)
    if !Machine.knownVersions.contains(version) {
      let known = Machine.knownVersions
      throw StateError(
        refusal: version < known.lowerBound
          ? "saved by an older Apus (format version \(version)), which did not note what was on the disks; this one reads "
            + "versions \(known.lowerBound) to \(known.upperBound): save the state again"
          : "format version \(version) is not supported (\(known.lowerBound) to \(known.upperBound) are)"
      )
    }
    let length = try reader.read(UInt64.self)
    let checksum = try reader.read(UInt64.self)
    if length != UInt64(reader.remaining) {
      throw reader.error("\(reader.remaining) bytes follow where \(length) should")
    }
    var hash = StateHash()
    let start = reader.offset
    bytes.withUnsafeBytes { hash.add(UnsafeRawBufferPointer(rebasing: $0[start...])) }
    if hash.value != checksum { throw reader.error("the checksum is wrong: the file is damaged") }
    return try restoreBody(&reader, version: version, acceptingOtherDisks: acceptingOtherDisks)
  }

  /// After `restoreState` in a run that users follow: lets go of keys and buttons that were held when the state was saved and that nobody
  /// holds now. It is input like any other, so that recordings have it. What a script was typing goes on by itself.
  public func releaseHeldInput() {
    guard typist.isIdle else { return }
    let keyboard = keyboardController.keyboard
    // Modifiers come last, as fingers do it.
    for usage in UInt16(0x04)...0xE7 {
      if let key = KeyUsage.key(usage), keyboard.isDown(key) {
        input.post(.key(usage: usage, down: false))
      }
    }
    input.post(.mouse(dx: 0, dy: 0, wheel: 0, buttons: 0))
  }

  /// Everything behind the header; separate so that tests reach it without a right checksum.
  @discardableResult
  func restoreBody(
    _ reader: inout StateReader, version: UInt32 = formatVersion, acceptingOtherDisks: Bool = false
  ) throws(StateError) -> [String] {
    let own = fingerprint
    let count = try reader.read(in: 0...UInt32(1000))
    var saved: [(String, String)] = []
    for _ in 0..<count { saved.append((try reader.readString(), try reader.readString())) }
    let words = IdentityWords(verb: "saved")
    for key in IdentityWords.keys(own.map(\.0), saved.map(\.0)) {
      let (theirs, ours) = (saved.first { $0.0 == key }?.1, own.first { $0.0 == key }?.1)
      if theirs != ours {
        throw StateError(refusal: words.difference(key, other: theirs, own: ours))
      }
    }
    let savedMedia = try restoreMedia(&reader, acceptingOthers: acceptingOtherDisks)
    try restoreSections(&reader, savedMedia.media)
    board.first(Flash.self)?.reload()
    board.first(FirmwareConfiguration.self)?.follow()
    try restoreMemory(&reader)
    board.resynchronizeLines()
    setPins()
    // Last: much of what is restored before drops translations.
    if version >= 3 { try restoreTranslations(&reader) }
    if reader.remaining != 0 { throw reader.error("\(reader.remaining) bytes too many") }
    return savedMedia.differences
  }

  // MARK: Sections

  private func saveSections(to writer: inout StateWriter) {
    writer.section("clock", version: 1) { clock.save(to: &$0) }
    writer.section("cpu", version: CPU.stateVersion) { cpu.save(to: &$0) }
    for (n, name) in furtherParts.enumerated() {
      writer.section(name, version: furtherVersion(n)) { saveFurther(n, to: &$0) }
    }
    for device in devices {
      writer.section(device.stateName, version: device.stateVersion) { device.save(to: &$0) }
    }
    for (name, disk) in media { writer.section(name, version: 1) { disk.saveContents(to: &$0) } }
  }

  /// The sections of the state by name, memory apart.
  func sectionBytes() -> [(String, [UInt8])] {
    var list: [(String, [UInt8])] = []
    func add(_ name: String, _ save: (inout StateWriter) -> Void) {
      var writer = StateWriter()
      save(&writer)
      list.append((name, writer.bytes))
    }
    add("clock") { clock.save(to: &$0) }
    add("cpu") { cpu.save(to: &$0) }
    for (n, name) in furtherParts.enumerated() { add(name) { saveFurther(n, to: &$0) } }
    for device in devices { add(device.stateName) { device.save(to: &$0) } }
    for (name, disk) in media { add(name) { disk.saveContents(to: &$0) } }
    return list
  }

  private func restoreSections(_ reader: inout StateReader, _ saved: [SavedMedium])
    throws(StateError)
  {
    try reader.section("clock", versions: 1...1) { (reader, _) throws(StateError) in
      try clock.restore(from: &reader)
      rateChanged()
    }
    try reader.section("cpu", versions: 1...CPU.stateVersion) {
      (reader, version) throws(StateError) in
      try cpu.restore(from: &reader, version: version)
    }
    for (n, name) in furtherParts.enumerated() {
      try reader.section(name, versions: 1...furtherVersion(n)) {
        (reader, version) throws(StateError) in
        try restoreFurther(n, from: &reader, version: version)
      }
    }
    // Devices read the clock from here on.
    if !clock.isSound(atInstruction: instructionCount) {
      throw reader.error("the clock and the number of instructions contradict each other")
    }
    for device in devices {
      try reader.section(device.stateName, versions: 1...device.stateVersion) {
        (reader, version) throws(StateError) in
        try device.restore(from: &reader, version: version)
      }
    }
    for ((name, disk), medium) in zip(media, saved) {
      try reader.section(name, versions: 1...1) { (reader, _) throws(StateError) in
        try disk.restoreContents(from: &reader, kind: medium.kind)
      }
      disk.generation = medium.generation
    }
  }

  /// What the machine is built on, where that is not the usual.
  var boardIdentity: [(String, String)] {
    var list: [(String, String)] = []
    if let text = configuration.boardText {
      var hash = StateHash()
      Array(text.utf8).withUnsafeBytes { hash.add($0) }
      list.append(("board", "described by text of hash \(String(hash.value, radix: 16))"))
    } else if configuration.boardName != "isa" {
      list.append(("board", configuration.boardName))
    }
    if board.first(PIIX4PM.self) != nil {
      list.append(("acpi", configuration.acpiRevision.rawValue))
    }
    list.append(
      (
        "display",
        configuration.display.rawValue
          + (configuration.videoMegabytes.map { ", \($0) MB" } ?? "")
      ))
    if let file = configuration.vgaBIOS {
      var hash = StateHash()
      file.bytes.withUnsafeBytes { hash.add($0) }
      list.append(
        ("video BIOS", "\(file.bytes.count) bytes, hash \(String(hash.value, radix: 16))"))
    }
    if configuration.diskLatency != IDEDrive.defaultLatency {
      list.append(("disk latency", "\(configuration.diskLatency) ns"))
    }
    if processors.count > 1 {
      list.append(("processors", processors.map(\.model.name).joined(separator: ", ")))
    }
    return list
  }

  /// What firmware is told beyond what the machine is.
  var firmwareFileIdentity: [(String, String)] {
    configuration.firmwareFiles.map {
      var hash = StateHash()
      $0.bytes.withUnsafeBytes { hash.add($0) }
      return (
        IdentityWords.firmwareFile + StateError.printable($0.name),
        "\($0.bytes.count) bytes, hash \(String(hash.value, radix: 16))"
      )
    }
  }

  /// What a capture depends on: what a state does.
  var captureIdentity: [(key: String, value: String)] {
    fingerprint.map { (key: $0.0, value: $0.1) }
  }

  /// What a state depends on.
  private var fingerprint: [(String, String)] {
    func identity(_ file: LoadFile) -> String {
      var hash = StateHash()
      file.bytes.withUnsafeBytes { hash.add($0) }
      return "\(file.bytes.count) bytes, hash \(String(hash.value, radix: 16))"
    }
    var list: [(String, String)] = [
      ("memory", "\(configuration.memoryMegabytes) MB"),
      ("cpu", cpu.model.name),
      ("serial ports", "\(serial.count)"),
    ]
    if let bios = configuration.bios { list.append(("bios", identity(bios))) }
    list += boardIdentity
    if let places = cdPlaces { list.append(("cd drives", places)) }
    for (index, rom) in configuration.roms.enumerated() {
      list.append(("rom \(index + 1)", "\(identity(rom.file)) at \(hexText(UInt64(rom.address)))"))
    }
    list += firmwareFileIdentity
    if let kernel = configuration.kernel { list.append(("kernel", identity(kernel.kernel))) }
    if let port = configuration.exitPort { list.append(("exit port", hexText(UInt64(port)))) }
    for (n, addition) in board.additions.enumerated() {
      list.append(
        (
          "device \(n + 1)",
          addition.options.isEmpty ? addition.name : "\(addition.name),\(addition.options)"
        ))
    }
    return list
  }

  // MARK: Memory

  /// Calls `body` with every page that holds anything but zeros.
  private func forEachUsedPage(_ body: (Int, UnsafeRawBufferPointer) -> Void) {
    memory.forEachUsedPage { page in
      let bytes = memory.page(page)
      var any: UInt64 = 0
      for offset in stride(from: 0, to: Machine.pageSize, by: 64) {
        for word in stride(from: offset, to: offset + 64, by: 8) {
          any |= bytes.load(fromByteOffset: word, as: UInt64.self)
        }
        if any != 0 { break }
      }
      if any != 0 { body(page, bytes) }
    }
  }

  private func saveMemory(to writer: inout StateWriter) {
    writer.write("memory")
    forEachUsedPage { page, bytes in
      writer.write(UInt32(page))
      let packed = RunLength.pack(bytes)
      writer.write(bytes: packed)
    }
    writer.write(UInt32.max)
  }

  private func saveTranslations(to writer: inout StateWriter) {
    for cpu in processors {
      writer.section("translations", version: 1) { cpu.saveTranslations(to: &$0) }
    }
  }

  private func restoreTranslations(_ reader: inout StateReader) throws(StateError) {
    var saved: [SavedTranslations] = []
    for cpu in processors {
      try reader.section("translations", versions: 1...1) { (reader, _) throws(StateError) in
        saved.append(try cpu.readTranslations(from: &reader))
      }
    }
    for (cpu, saved) in zip(processors, saved) { cpu.restoreTranslations(saved) }
  }

  private func restoreMemory(_ reader: inout StateReader) throws(StateError) {
    if try reader.readString() != "memory" { throw reader.error("the memory is missing") }
    // What a fresh machine has in its memory, its firmware among it, the guest may have made zeros of: such pages are not in the state.
    var filled: Set<Int> = []
    forEachUsedPage { page, _ in filled.insert(page) }
    defer { for page in filled { memory.setPage(page, nil) } }
    var next: UInt32 = 0
    while true {
      let page = try reader.read(UInt32.self)
      if page == UInt32.max { break }
      filled.remove(Int(page))
      if page < next || !memory.hasPage(Int(page)) {
        throw reader.error("page \(page) is out of order or beyond the memory")
      }
      let packed = try reader.readBytes()
      guard let bytes = RunLength.unpack(packed, count: Machine.pageSize) else {
        throw reader.error("the contents of page \(page) are damaged")
      }
      bytes.withUnsafeBytes {
        memory.setPage(Int(page), $0.baseAddress!)
      }
      next = page + 1
    }
  }
}

/// Runs of equal bytes: a control byte below 80h is followed by that many + 1 bytes as they are; from 80h on by one byte that is
/// repeated control - 80h + 3 times.
enum RunLength {
  static func pack(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var packed: [UInt8] = []
    packed.reserveCapacity(bytes.count + bytes.count / 64)
    var literal = 0
    var i = 0
    func flush(_ end: Int) {
      var start = literal
      while start < end {
        let count = min(end - start, 128)
        packed.append(UInt8(count - 1))
        packed.append(contentsOf: bytes[start..<start + count])
        start += count
      }
    }
    while i < bytes.count {
      var run = 1
      while i + run < bytes.count, run < 130, bytes[i + run] == bytes[i] { run += 1 }
      if run >= 3 {
        flush(i)
        packed.append(UInt8(0x80 + run - 3))
        packed.append(bytes[i])
        i += run
        literal = i
      } else {
        i += run
      }
    }
    flush(bytes.count)
    return packed
  }

  /// - Returns: nil unless exactly `count` bytes come out.
  static func unpack(_ packed: [UInt8], count: Int) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    var i = 0
    while i < packed.count {
      let control = packed[i]
      i += 1
      if control < 0x80 {
        let length = Int(control) + 1
        if i + length > packed.count || bytes.count + length > count { return nil }
        bytes.append(contentsOf: packed[i..<i + length])
        i += length
      } else {
        let length = Int(control) - 0x80 + 3
        if i >= packed.count || bytes.count + length > count { return nil }
        bytes.append(contentsOf: repeatElement(packed[i], count: length))
        i += 1
      }
    }
    return bytes.count == count ? bytes : nil
  }
}
