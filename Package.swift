// swift-tools-version: 6.1
import PackageDescription

// Modules point one way; Sources/apus/Documentation.docc/Inside/Architecture.md has the picture.
let gnu: [CSetting] = [.define("_GNU_SOURCE")]

// Checks of exclusive access at run time cost a quarter of the time where translated code calls the interpreter or a device.
let fast: [SwiftSetting] = [
  .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))
]

// Options, help and reports run once: optimised they would take as long to compile as a device takes, and nobody would see the difference.
let once: [SwiftSetting] = [.unsafeFlags(["-Onone"], .when(configuration: .release))]

// Elsewhere the header is on the compiler's path, and sdl2.pc has flags that SwiftPM warns about.
#if os(macOS)
  let sdl2PkgConfig: String? = "sdl2"
#else
  let sdl2PkgConfig: String? = nil
#endif

// Half of a short run's time would go into loading Swift's libraries: the executable has them inside. A toolchain that lacks the static
// ones builds with APUS_SHARED_LIBRARIES=1 in the environment.
let staticLibraries = [
  "-use-ld=lld", "-static-stdlib", "-l_FoundationCShims", "-l_FoundationCollections",
  "-Xlinker", "--no-export-dynamic",
]
let selfContained: [LinkerSetting] =
  Context.environment["APUS_SHARED_LIBRARIES"] == nil
  ? [.unsafeFlags(staticLibraries, .when(platforms: [.linux], configuration: .release))] : []

let package = Package(
  name: "apus",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "apus", targets: ["apus"])
  ],
  traits: [
    .trait(name: "SDL", description: "The window, keyboard and sound, through SDL2."),
    .default(enabledTraits: ["SDL"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    // Only for `swift package generate-documentation`.
    .package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.4.0"),
  ],
  targets: [
    // An emitter of x86-64 code, for whatever runs such code.
    .target(name: "Assembler", swiftSettings: fast),
    // What differs between hosts.
    .target(name: "Host", dependencies: ["Assembler"], cSettings: gnu),
    // The format of saved states; every device and the CPU write through it.
    .target(name: "State"),
    // What devices are built on: address spaces, boards and their parts, lines, a PCI bus, virtual time with its events.
    .target(name: "Bus", dependencies: ["State"], swiftSettings: fast),
    // The instruction set: a table as text, what is made of it, decoder and disassembler.
    .executableTarget(name: "isatool", path: "Sources/X86ISA/Generator"),
    .plugin(
      name: "ISAPlugin", capability: .buildTool(), dependencies: ["isatool"],
      path: "Sources/X86ISA/Plugin"),
    .target(
      name: "X86ISA", exclude: ["Generator", "Plugin", "Table"], swiftSettings: fast,
      plugins: ["ISAPlugin"]),
    .target(
      name: "CPU", dependencies: ["Bus", "X86ISA", "Host", "State"], exclude: ["forms.txt"],
      cSettings: gnu, swiftSettings: fast, plugins: ["ISAPlugin"]),
    // Translated code: the books of blocks, which know no host, and what makes x86-64 code with Assembler.
    .target(name: "Translator", dependencies: ["CPU", "Host"], swiftSettings: fast),
    .target(
      name: "TranslatorX86_64", dependencies: ["CPU", "Translator", "Assembler", "Host"],
      swiftSettings: fast),
    .target(name: "Storage", dependencies: ["Host", "State", "CZlib", "CZstd"], cSettings: gnu),
    // What is done with images: convert, check, files in them.
    .target(name: "Images", dependencies: ["Storage", "State", "Host"]),
    // Contents by name in a folder: what snapshots, templates and backups of machines stand on.
    .target(name: "Store", dependencies: ["Storage", "Host", "CZstd"], cSettings: gnu),
    .target(name: "Chipset", dependencies: ["Bus", "State", "Storage"], swiftSettings: fast),
    // Sources of nasm and iasl to Swift: the plugin, the tool it runs, and the images as data.
    .executableTarget(name: "romtool", path: "Firmware/RomTool"),
    .plugin(
      name: "FirmwarePlugin", capability: .buildTool(), dependencies: ["romtool"],
      path: "Firmware/Plugin"),
    .target(name: "FirmwareImages", exclude: ["roms.txt"], plugins: ["FirmwarePlugin"]),
    .systemLibrary(
      name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),
    .systemLibrary(
      name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"]), .brew(["zstd"])]),
    .target(name: "Video", dependencies: ["Bus", "State", "Host", "CZlib"], swiftSettings: fast),
    .target(
      name: "Machine",
      dependencies: [
        "CPU", "Translator", "TranslatorX86_64", "Chipset", "Video", "Storage", "Bus", "State",
        "Host",
        "FirmwareImages",
      ],
      cSettings: gnu, swiftSettings: fast),
    // Snapshots of machines: the tree of them, taking, going back, deleting.
    .target(
      name: "Snapshots",
      dependencies: ["Machine", "Store", "Storage", "State", "Video", "Host"]),
    // Backups of machines and disks: points of any number of machines in a folder, made from snapshots.
    .target(
      name: "Backup", dependencies: ["Snapshots", "Images", "Store", "Storage", "State", "Host"]),
    // Moving a machine to another process while it runs.
    .target(name: "Migration", dependencies: ["Machine", "Storage", "State", "Host"]),
    // A machine run for somebody: pacing, script, typing, what front ends and consoles plug into. Nothing below knows time of day.
    .target(
      name: "Session",
      dependencies: [
        "Machine", "Migration", "Backup", "Images", "Snapshots", "CPU", "Chipset", "Video",
        "Storage", "Bus",
        "State",
        "Host", "FirmwareImages",
      ], swiftSettings: fast),
    .systemLibrary(
      name: "CSDL2", pkgConfig: sdl2PkgConfig, providers: [.apt(["libsdl2-dev"]), .brew(["sdl2"])]),
    .target(
      name: "SDLFrontend",
      dependencies: [
        "Session", "Video", "Host", "FirmwareImages",
        .target(name: "CSDL2", condition: .when(traits: ["SDL"])),
      ]),
    // Console, breakpoints, symbols, views.
    .target(
      name: "Debugger",
      dependencies: ["Machine", "CPU", "Chipset", "Video", "Bus", "State", "Host"]),
    // The debugger, and gdb, as what a session's machine is held by.
    .target(name: "DebuggerFrontend", dependencies: ["Debugger", "Session", "Machine", "Host"]),
    // The command line. The executable is apart from it, because what it is linked with must not reach the tests.
    .target(
      name: "ApusCommand",
      dependencies: [
        "Bus", "Session", "Machine", "Debugger", "SDLFrontend", "Host", "CPU", "Chipset", "Storage",
        "Images", "Video", "Snapshots", "Backup", "Store", "Migration",
        "FirmwareImages", "Conformance", "Translator", "TranslatorX86_64",
        "Benchmark", "DeviceChecks", "DebuggerFrontend",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: once),
    .executableTarget(
      name: "apus", dependencies: ["ApusCommand"], linkerSettings: selfContained),
    .target(
      name: "Conformance",
      dependencies: [
        "Bus", "CPU", "Host", "CZlib", "Translator", "TranslatorX86_64", "State",
      ],
      cSettings: gnu),
    // Devices without a guest: random accesses in both engines (apus conform fuzz), lines of others' device tests (apus conform devices).
    .target(
      name: "DeviceChecks", dependencies: ["Machine", "Bus", "CPU", "Chipset", "Storage", "Host"],
      exclude: ["roms.txt"], plugins: ["FirmwarePlugin"]),
    // Kernels and workloads for all emulators, and what they took (apus bench).
    .target(
      name: "Benchmark", dependencies: ["Host"], exclude: ["roms.txt"],
      plugins: ["FirmwarePlugin"]),
    // What several suites use.
    .target(name: "ToolSupport", path: "Tests/Support/Tools"),
    .target(
      name: "TestSupport", dependencies: ["Machine", "ToolSupport"], path: "Tests/Support",
      exclude: ["Tools"]),
    // The instruction set with a made-up instruction more: the same sources, another table.
    .target(
      name: "X86ISAFixture", path: "Tests/X86ISATests/Fixture", exclude: ["Table"],
      plugins: ["ISAPlugin"]),
    .testTarget(
      name: "X86ISATests", dependencies: ["X86ISAFixture"], exclude: ["Fixture"]),
    .testTarget(name: "HostTests", dependencies: ["Host", "TestSupport"]),
    .testTarget(name: "BenchmarkTests", dependencies: ["Benchmark", "Host"]),
    .testTarget(
      name: "ConformanceTests",
      dependencies: ["Conformance", "CPU", "Host", "Machine", "Translator", "TranslatorX86_64"]),
    .testTarget(
      name: "TranslatorTests",
      dependencies: [
        "Translator", "TranslatorX86_64", "Assembler", "Conformance", "CPU", "Host", "TestSupport",
      ],
      exclude: ["Golden"]),
    .testTarget(
      name: "AssemblerTests", dependencies: ["Assembler", "Host"], exclude: ["Encodings.txt"]),
    .testTarget(name: "FPUTests", dependencies: ["CPU", "TestSupport"]),
    .testTarget(name: "SIMDTests", dependencies: ["CPU", "TestSupport"]),
    .testTarget(
      name: "HostUnitTests",
      dependencies: ["CPU", "TestSupport", "Translator", "TranslatorX86_64"]),
    .testTarget(
      name: "MachineTests",
      dependencies: [
        "Bus", "Session", "Machine", "CPU", "Chipset", "Storage", "Host", "State",
        "FirmwareImages",
        "TestSupport",
      ],
      exclude: ["roms.txt", "States/Samples"], swiftSettings: once, plugins: ["FirmwarePlugin"]),
    .testTarget(
      name: "SessionTests",
      dependencies: ["Session", "Machine", "Bus", "CPU", "Chipset", "Host", "TestSupport"],
      exclude: ["roms.txt"], swiftSettings: once, plugins: ["FirmwarePlugin"]),
    .testTarget(
      name: "ApusTests",
      dependencies: ["ApusCommand", "Benchmark", "Session", "Machine", "Host", "TestSupport"],
      swiftSettings: once),
    .testTarget(
      name: "CPUTests",
      dependencies: [
        "Bus", "CPU", "X86ISA", "Host", "State", "TestSupport", "Translator", "TranslatorX86_64",
      ],
      exclude: ["roms.txt"],
      plugins: ["FirmwarePlugin"]),
    .testTarget(
      name: "DeviceROMTests",
      dependencies: [
        "CPU", "Chipset", "Machine", "State", "Storage", "Translator", "TranslatorX86_64",
        "TestSupport",
      ],
      exclude: ["roms.txt"], swiftSettings: once, plugins: ["FirmwarePlugin"]),
    .testTarget(
      name: "DebuggerTests",
      dependencies: [
        "Bus", "Debugger", "Machine", "CPU", "Chipset", "Storage", "Host", "TestSupport",
      ], swiftSettings: once),
    .testTarget(
      name: "DeviceChecksTests",
      dependencies: [
        "DeviceChecks", "Machine", "Host", "TestSupport", "Chipset", "Storage", "Bus",
      ], swiftSettings: once),
    .testTarget(name: "BusTests", dependencies: ["Bus", "State"]),
    .testTarget(
      name: "FirmwareTests", dependencies: ["FirmwareImages", "Machine", "Storage", "TestSupport"],
      exclude: ["roms.txt"], swiftSettings: once,
      plugins: ["FirmwarePlugin"]),
    .testTarget(
      name: "ChipsetTests", dependencies: ["Chipset", "Bus", "State", "TestSupport"],
      swiftSettings: once),
    .testTarget(
      name: "SDLFrontendTests",
      dependencies: [
        "SDLFrontend", "Session", "Machine", "Chipset", "Video",
        .target(name: "CSDL2", condition: .when(traits: ["SDL"])), "TestSupport",
      ], swiftSettings: once, linkerSettings: [.linkedLibrary("SDL2", .when(traits: ["SDL"]))]),
    .testTarget(
      name: "WindowTests",
      dependencies: ["ApusCommand", "Session", "Machine", "Chipset", "Video", "TestSupport"],
      swiftSettings: once),
    .testTarget(
      name: "VideoTests", dependencies: ["Video", "Bus", "State", "CZlib", "TestSupport"]),
    .testTarget(
      name: "ImagesTests", dependencies: ["Images", "Storage", "State", "Host", "ToolSupport"]),
    .testTarget(name: "StorageTests", dependencies: ["Storage", "State", "Host", "ToolSupport"]),
    .testTarget(
      name: "SnapshotsTests",
      dependencies: [
        "Snapshots", "Migration", "Session", "Machine", "CPU", "Storage", "Images", "Host",
        "TestSupport",
      ],
      exclude: ["roms.txt"], swiftSettings: once, plugins: ["FirmwarePlugin"]),
    .testTarget(
      name: "BackupTests",
      dependencies: [
        "Backup", "Snapshots", "Session", "Machine", "CPU", "Store", "Storage", "Images", "State",
        "Host", "TestSupport",
      ],
      exclude: ["roms.txt"], swiftSettings: once, plugins: ["FirmwarePlugin"]),
    .testTarget(name: "StoreTests", dependencies: ["Store", "Storage", "Host"]),
    .testTarget(
      name: "DiskControllerTests", dependencies: ["Chipset", "Bus", "State", "Storage"],
      swiftSettings: once),
  ],
  swiftLanguageModes: [.v6]
)
