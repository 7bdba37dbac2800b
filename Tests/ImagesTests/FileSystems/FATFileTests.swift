// Files on FAT file systems, held against mtools and fsck.fat where they are installed.

import Foundation
import Host
import Testing

@testable import Images
@testable import Storage

extension WorkOnImages {
  @Suite struct FATFileTests {
    private func disk(_ scratch: Scratch, _ size: UInt64, _ kind: FATKind? = nil) throws
      -> VolumeReference
    {
      var wish = CreateRequest(scratch.path("disk.img"))
      wish.byteCount = size
      _ = try ImageOperations.create(wish)
      let reference = VolumeReference(scratch.path("disk.img"))
      var format = FormatRequest(reference)
      format.kind = kind
      format.label = "APUS DISK"
      _ = try ImageOperations.format(format)
      return reference
    }

    /// What fsck.fat says of the file system at an offset; nothing where it is not installed.
    private func check(
      _ scratch: Scratch, _ reference: VolumeReference,
      sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      let image = try DiskImage(reference.image, .reading)
      let store = DeviceStore(image.device)
      var bytes = try store.bytes(at: 0, count: Int(store.size))
      if !FATLayout.isLikely(Array(bytes[0..<512])) {
        let part = try #require(try PartitionTable(store)?.partitions.first)
        bytes = Array(bytes[Int(part.start) * 512..<Int(part.start + part.count) * 512])
      }
      scratch.file("part.img", bytes)
      if let (code, text) = tool("fsck.fat", ["-n", "-v", scratch.path("part.img")]) {
        #expect(code == 0, "\(text)", sourceLocation: sourceLocation)
      }
    }

    private func mtools(_ name: String, _ scratch: Scratch, _ arguments: [String]) -> (
      code: Int32, text: String
    )? {
      let offset =
        (try? PartitionTable(DeviceStore(RawImage(path: scratch.path("disk.img"), readOnly: true)))?
          .partitions.first?.start) ?? 0
      return tool(name, ["-i", scratch.path("disk.img") + "@@\(offset * 512)"] + arguments)
    }

    @Test(arguments: [
      160 << 10, 180 << 10, 320 << 10, 360 << 10, 720 << 10, 1200 << 10, 1440 << 10, 1680 << 10,
      2880 << 10,
    ])
    func floppies(size: Int) throws {
      let scratch = Scratch()
      let reference = try disk(scratch, UInt64(size))
      try check(scratch, reference)
      let bytes = randomDisk(70_000, seed: UInt64(size))
      let file = scratch.file("Some long name.txt", bytes)
      _ = try ImageOperations.put(reference, [file])
      try check(scratch, reference)
      if let (code, text) = mtools(
        "mcopy", scratch, ["::Some long name.txt", scratch.path("back")])
      {
        #expect(code == 0, "\(text)")
        #expect(same(scratch.contents("back"), bytes))
      }
      // The drive that the size stands for.
      #expect(
        FloppyFormat.ofSize(UInt64(size))?.mediaDescriptor == scratch.contents("disk.img")[21])
    }

    @Test(arguments: [240, 251]) func namesMayBeAsLongAsTheHostAllows(length: Int) throws {
      let scratch = Scratch()
      let reference = try disk(scratch, 1440 << 10)
      let name = String(repeating: "n", count: length) + ".txt"
      let bytes = randomDisk(3000, seed: 4)
      _ = try ImageOperations.put(reference, [scratch.file(name, bytes)])
      try FileManager.default.removeItem(atPath: scratch.path(name))
      _ = try ImageOperations.get(reference, [name], to: scratch.directory)
      #expect(same(scratch.contents(name), bytes))
    }

    @Test(arguments: [(FATKind.fat12, 2 << 20), (.fat16, 40 << 20), (.fat32, 64 << 20)])
    func filesComeBackAsTheyWere(kind: FATKind, size: Int) throws {
      let scratch = Scratch()
      let reference = try disk(scratch, UInt64(size), kind)
      try check(scratch, reference)
      var model: [String: [UInt8]] = [:]
      var numbers = Numbers(state: 77)
      let names = [
        "A.TXT", "lower.txt", "Mixed Case Name.text", "ünïcödé.txt", "no extension", "x.y.z",
        "a very long name that needs more than one entry of a directory, by far.document",
        "AUTOEXEC.BAT", "name with 漢字.md", ".hidden",
      ]
      _ = try ImageOperations.makeFolders(reference, ["docs/inner"], makesParents: true)
      for turn in 0..<60 {
        let folder = ["", "docs/", "docs/inner/"][Int(numbers.next() % 3)]
        let path = folder + names[Int(numbers.next() % UInt64(names.count))]
        if model[path] != nil, numbers.next() % 3 == 0 {
          _ = try ImageOperations.remove(reference, [path])
          model[path] = nil
          continue
        }
        let bytes = randomDisk(Int(numbers.next() % 20000), seed: UInt64(turn))
        let file = scratch.file("source", bytes)
        _ = try ImageOperations.put(reference, [file], to: path, replaces: true)
        model[path] = bytes
      }
      try check(scratch, reference)
      let listed = try ImageOperations.list(reference, isRecursive: true)
      #expect(listed.volume == "APUS DISK")
      #expect(Set(listed.entries.filter { $0.kind == "file" }.map(\.path)) == Set(model.keys))
      for (path, bytes) in model {
        _ = try ImageOperations.get(reference, [path], to: scratch.path("out"), replaces: true)
        #expect(same(scratch.contents("out"), bytes), "\(path)")
        if let (code, text) = mtools(
          "mcopy", scratch, ["-n", "-o", "::" + path, scratch.path("m")]),
          path.allSatisfy(\.isASCII)
        {
          #expect(code == 0, "\(path): \(text)")
          #expect(same(scratch.contents("m"), bytes), "\(path)")
        }
      }
      // Everything away leaves as much room as there was.
      for entry in try ImageOperations.list(reference).entries {
        _ = try ImageOperations.remove(reference, [entry.path], isRecursive: true)
      }
      try check(scratch, reference)
      let (image, volume) = try reference.open(.reading)
      defer { image.close() }
      // Folders never become smaller: the root of FAT32 has grown.
      let used =
        kind == .fat32
        ? try volume.pieces(of: volume.root, path: "/").reduce(0) { $0 + $1.count }
          / volume.layout.clusterSize : 0
      #expect(
        try volume.freeByteCount()
          == UInt64(Int(volume.layout.clusterCount) - used) * UInt64(volume.layout.clusterSize))
    }

    @Test func datesAreThoseOfTheCalendar() {
      // 1994-05-31 06:22:08, 2000-02-29, the first and the last there are.
      for (seconds, text) in [
        (770_365_328, "1994-05-31 06:22:08"), (951_868_798, "2000-02-29 23:59:58"),
        (0, "1980-01-01 00:00:00"), (9_999_999_999, "2107-12-31 23:59:58"),
      ] as [(Int64, String)] {
        let time = FATTime(localSeconds: seconds)
        #expect(time.description == text)
        #expect(time.localSeconds == min(max(seconds, 315_532_800), 4_354_819_198))
      }
      #expect(FATTime(date: 0, time: 0).localSeconds == nil)
    }

    @Test func whatMtoolsMadeIsRead() throws {
      let scratch = Scratch()
      let image = scratch.path("disk.img")
      scratch.file("disk.img", [UInt8](repeating: 0, count: 1_474_560))
      guard let (code, text) = tool("mkfs.fat", ["-n", "FROMOTHER", image]) else { return }
      #expect(code == 0, "\(text)")
      let file = scratch.file("Readme for everybody.txt", Array("hello".utf8))
      #expect(tool("mmd", ["-i", image, "::Folder", "::Folder/deeper"])?.code == 0)
      #expect(tool("mcopy", ["-i", image, file, "::Folder/deeper"])?.code == 0)
      let reference = VolumeReference(image)
      let listed = try ImageOperations.list(reference, isRecursive: true)
      #expect(listed.volume == "FROMOTHER")
      #expect(
        listed.entries.map(\.path) == [
          "Folder", "Folder/deeper", "Folder/deeper/Readme for everybody.txt",
        ])
      _ = try ImageOperations.get(reference, ["folder"], to: scratch.directory, isRecursive: true)
      #expect(scratch.contents("Folder/deeper/Readme for everybody.txt") == Array("hello".utf8))
      #expect(
        try ImageOperations.list(reference, ["FOLDER/*/read*.TXT"]).entries.map(\.size) == [5])
      #expect(throws: StorageError.self) { try ImageOperations.list(reference, ["nothing"]) }
    }

    @Test func foldersGrowAndFill() throws {
      let scratch = Scratch()
      let reference = try disk(scratch, 1440 << 10)
      let file = scratch.file("e", [])
      _ = try ImageOperations.makeFolders(reference, ["many"])
      let (image, volume) = try reference.open(.writing)
      for n in 0..<200 {
        try volume.write("many/a file with number \(n)", size: 1, time: FATTime(date: 33, time: 0))
        {
          $0[0] = UInt8(n)
        }
      }
      try volume.finish()
      image.close()
      try check(scratch, reference)
      #expect(try ImageOperations.list(reference, ["many"]).entries.count == 200)
      // The root has 224 entries, of which the label and the folder are two.
      var refused: (any Error)?
      for n in 0..<230 where refused == nil {
        do { _ = try ImageOperations.put(reference, [file], to: "F\(n)") } catch { refused = error }
      }
      #expect("\(try #require(refused))".contains("root directory is full"))
      try check(scratch, reference)
      let large = scratch.file("large", [UInt8](repeating: 1, count: 1_500_000))
      #expect(throws: StorageError.self) {
        try ImageOperations.put(reference, [large], to: "many/x")
      }
      try check(scratch, reference)
    }

    @Test func logicalPartitionsAreFound() throws {
      let scratch = Scratch()
      var bytes = [UInt8](repeating: 0, count: 8 << 20)
      func entry(_ at: Int, _ type: UInt8, _ start: UInt32, _ count: UInt32) {
        bytes[at + 4] = type
        for n in 0..<4 {
          bytes[at + 8 + n] = UInt8(truncatingIfNeeded: start >> (8 * UInt32(n)))
          bytes[at + 12 + n] = UInt8(truncatingIfNeeded: count >> (8 * UInt32(n)))
        }
      }
      func sign(_ sector: Int) {
        bytes.replaceSubrange(sector * 512 + 510..<sector * 512 + 512, with: [0x55, 0xAA])
      }
      entry(446, 0x01, 63, 2000)
      entry(462, 0x05, 3000, 13000)
      sign(0)
      entry(3000 * 512 + 446, 0x01, 63, 4000)
      entry(3000 * 512 + 462, 0x05, 5000, 5000)
      sign(3000)
      entry(8000 * 512 + 446, 0x01, 63, 4000)
      sign(8000)
      let path = scratch.file("disk.img", bytes)
      for number in [1, 5, 6] {
        let reference = VolumeReference("\(path):\(number)")
        #expect(reference.partition == number)
        _ = try ImageOperations.format(FormatRequest(reference))
        let file = scratch.file("n", [UInt8(number)])
        _ = try ImageOperations.put(reference, [file], to: "N\(number)")
      }
      for number in [1, 5, 6] {
        #expect(
          try ImageOperations.list(VolumeReference("\(path):\(number)")).entries.map(\.path)
            == ["N\(number)"])
      }
      // In a circle.
      bytes = scratch.contents("disk.img")
      entry(8000 * 512 + 462, 0x05, 5000, 5000)
      scratch.file("disk.img", bytes)
      #expect(throws: StorageError.self) { try ImageOperations.list(VolumeReference(path + ":5")) }
    }

    @Test func damagedFileSystemsAreRefusedInWords() throws {
      let scratch = Scratch()
      let reference = try disk(scratch, 1440 << 10)
      let a = scratch.file("A", [UInt8](repeating: 1, count: 5000))
      _ = try ImageOperations.put(reference, [a], to: "A")
      _ = try ImageOperations.put(reference, [a], to: "B")
      let good = scratch.contents("disk.img")
      func damaged(_ change: (inout [UInt8]) -> Void) {
        var bytes = good
        change(&bytes)
        scratch.file("disk.img", bytes)
      }
      /// The FAT12 entry of a cluster.
      func set(_ bytes: inout [UInt8], _ cluster: Int, _ value: Int) {
        let at = 512 + cluster * 3 / 2
        if cluster % 2 == 1 {
          bytes[at] = bytes[at] & 0x0F | UInt8(value << 4 & 0xF0)
          bytes[at + 1] = UInt8(value >> 4)
        } else {
          bytes[at] = UInt8(value & 0xFF)
          bytes[at + 1] = bytes[at + 1] & 0xF0 | UInt8(value >> 8)
        }
      }
      // A circle, a common cluster, a free one, one that there is not.
      for (cluster, value) in [(3, 2), (3, 13), (3, 0), (3, 0xFF0)] {
        damaged { set(&$0, cluster, value) }
        #expect(throws: StorageError.self, "\(value)") {
          try ImageOperations.put(reference, [a], to: "C")
        }
        #expect(scratch.contents("disk.img").count == good.count)
        #expect(try ImageOperations.list(reference).entries.count == 2)
      }
      damaged { set(&$0, 3, 2) }
      #expect(throws: StorageError.self) {
        try ImageOperations.get(reference, ["A"], to: scratch.path("out"))
      }
      // Fields of the boot sector at their extremes: an error or a file system, never more.
      for offset in 11..<62 {
        for value: UInt8 in [0, 1, 0x7F, 0xFF] {
          damaged { $0[offset] = value }
          _ = try? ImageOperations.list(reference, isRecursive: true)
        }
      }
      // A folder that contains itself.
      scratch.file("disk.img", good)
      _ = try ImageOperations.makeFolders(reference, ["F/G"], makesParents: true)
      var bytes = scratch.contents("disk.img")
      let (image, volume) = try reference.open(.reading)
      defer { image.close() }
      let f = try #require(try volume.entry(at: "F"))
      let g = try #require(try volume.entry(at: "F/G"))
      let place = Int(g.places[0])
      bytes[place + 26] = UInt8(f.firstCluster & 0xFF)
      bytes[place + 27] = UInt8(f.firstCluster >> 8)
      scratch.file("disk.img", bytes)
      #expect(throws: StorageError.self) { try ImageOperations.list(reference, isRecursive: true) }
      #expect(throws: StorageError.self) {
        try ImageOperations.remove(reference, ["F"], isRecursive: true)
      }
    }

    @Test func namesOfTheImageStayInTheFolder() {
      #expect(ImageOperations.hostName("..") == "_")
      #expect(ImageOperations.hostName("a/b\\c\u{1}") == "a_b_c_")
    }
  }
}
