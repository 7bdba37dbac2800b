// A display of its own for a test, and what stands on it.
//
// Owns: Xvfb, xdotool and the program under test as processes; reading Xvfb's memory as a picture.
// Follows: the X11 window dump format (XWDFile.h), in which Xvfb keeps its screen.

import Foundation
import TestSupport
import Testing

/// Looks again and again until a condition holds or the time is over; never a fixed wait.
func eventually(_ seconds: Double = 40, _ condition: () throws -> Bool) rethrows -> Bool {
  let end = Date().addingTimeInterval(seconds)
  while Date() < end {
    if try condition() { return true }
    usleep(50_000)
  }
  return try condition()
}

enum Tools {
  /// The program beside the tests, or nil where it was not built.
  static let apus: String? = {
    let folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    for candidate in [folder, folder.deletingLastPathComponent()] {
      let path = candidate.appendingPathComponent("apus").path
      if FileManager.default.isExecutableFile(atPath: path) { return path }
    }
    return nil
  }()

  static func find(_ name: String) -> String? {
    let folders = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
    return folders.split(separator: ":").map { "\($0)/\(name)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// Whether this build has a window at all.
  static let hasWindow: Bool = {
    #if SDL
      return apus != nil
    #else
      return false
    #endif
  }()

  /// Whether windows can be tested, else a line saying why not.
  static let canTestWindows: Bool = {
    let missing = ["Xvfb", "xdotool"].filter { find($0) == nil }
    if hasWindow, missing.isEmpty { return true }
    print("Window tests are skipped:", missing.isEmpty ? "no window" : "no \(missing)")
    return false
  }()
}

/// A picture of 32-bit pixels.
struct Picture {
  var width: Int
  var height: Int
  var pixels: [UInt32]
  subscript(x: Int, y: Int) -> UInt32 { pixels[y * width + x] }

  func part(_ x: Int, _ y: Int, _ width: Int, _ height: Int) -> Picture? {
    guard x >= 0, y >= 0, x + width <= self.width, y + height <= self.height else { return nil }
    var result = Picture(width: width, height: height, pixels: [])
    for row in y..<y + height {
      result.pixels += pixels[row * self.width + x..<row * self.width + x + width]
    }
    return result
  }

  /// The mean difference of a channel, 0 to 255.
  func difference(_ other: Picture) -> Double {
    guard width == other.width, height == other.height else { return 255 }
    var sum = 0
    for (a, b) in zip(pixels, other.pixels) where (a ^ b) & 0xFFFFFF != 0 {
      for shift: UInt32 in [0, 8, 16] {
        sum += abs(Int(a >> shift & 0xFF) - Int(b >> shift & 0xFF))
      }
    }
    return Double(sum) / Double(3 * max(1, pixels.count))
  }

  /// Enlarged by averaging what lies beneath each pixel of the result.
  func scaled(to newWidth: Int, _ newHeight: Int) -> Picture {
    func shares(_ from: Int, _ to: Int) -> [[(Int, Double)]] {
      let step = Double(from) / Double(to)
      return (0..<to).map { i in
        let (start, end) = (Double(i) * step, Double(i + 1) * step)
        return (Int(start)...min(from - 1, Int(end))).compactMap { source in
          let share = (min(end, Double(source + 1)) - max(start, Double(source))) / step
          return share > 1e-9 ? (source, share) : nil
        }
      }
    }
    let (across, down) = (shares(width, newWidth), shares(height, newHeight))
    var result = Picture(width: newWidth, height: newHeight, pixels: [])
    result.pixels.reserveCapacity(newWidth * newHeight)
    for rows in down {
      for columns in across {
        var (red, green, blue) = (0.0, 0.0, 0.0)
        for (y, shareY) in rows {
          for (x, shareX) in columns {
            let pixel = self[x, y]
            red += Double(pixel >> 16 & 0xFF) * shareX * shareY
            green += Double(pixel >> 8 & 0xFF) * shareX * shareY
            blue += Double(pixel & 0xFF) * shareX * shareY
          }
        }
        result.pixels.append(
          UInt32(red.rounded()) << 16 | UInt32(green.rounded()) << 8 | UInt32(blue.rounded()))
      }
    }
    return result
  }
}

/// A virtual display; it ends with this.
final class Display {
  let name: String
  private let server = Process()
  private let folder: URL

  init() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "apus-display-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    server.executableURL = URL(fileURLWithPath: try #require(Tools.find("Xvfb")))
    // The server finds a free number itself and writes it to standard output.
    server.arguments = [
      "-displayfd", "1", "-screen", "0", "1280x1024x24", "-fbdir", folder.path, "-nolisten", "tcp",
      "-noreset",
    ]
    let output = Pipe()
    server.standardOutput = output
    server.standardError = FileHandle.nullDevice
    try server.start()
    var text = ""
    while !text.hasSuffix("\n") {
      let data = output.something()
      if data.isEmpty { break }
      text += String(decoding: data, as: UTF8.self)
    }
    name = ":" + text.trimmingCharacters(in: .whitespacesAndNewlines)
    try #require(name.count > 1, "Xvfb does not start")
  }

  deinit {
    // Not SIGTERM: a child of a dispatch thread inherits that as blocked.
    kill(server.processIdentifier, SIGKILL)
    server.waitUntilExit()
    try? FileManager.default.removeItem(at: folder)
  }

  /// What the whole screen shows now.
  func picture() throws -> Picture {
    let data = try [UInt8](
      Data(contentsOf: folder.appendingPathComponent("Xvfb_screen0")))
    func field(_ index: Int) -> Int {
      data[index * 4..<index * 4 + 4].reduce(0) { $0 << 8 | Int($1) }
    }
    try #require(data.count > 100 && field(1) == 7 && field(11) == 32, "not a known dump")
    let (width, height, pitch) = (field(4), field(5), field(12))
    let start = field(0) + field(19) * 12
    try #require(data.count >= start + pitch * height)
    var picture = Picture(width: width, height: height, pixels: [])
    picture.pixels.reserveCapacity(width * height)
    let lowFirst = field(7) == 0
    for y in 0..<height {
      for x in 0..<width {
        let at = start + y * pitch + x * 4
        let bytes = lowFirst ? [2, 1, 0] : [1, 2, 3]
        picture.pixels.append(bytes.reduce(0) { $0 << 8 | UInt32(data[at + $1]) })
      }
    }
    return picture
  }

  /// Runs xdotool and gives its output.
  @discardableResult
  func xdotool(_ arguments: String...) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(Tools.find("xdotool")))
    process.arguments = arguments
    process.environment = environment
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.start()
    let text = output.everything()
    process.waitUntilExit()
    return String(decoding: text, as: UTF8.self)
  }

  var environment: [String: String] {
    var environment = ProcessInfo.processInfo.environment
    environment["DISPLAY"] = name
    environment["SDL_VIDEODRIVER"] = "x11"
    environment["SDL_AUDIODRIVER"] = "dummy"
    return environment
  }
}

/// The program in a window; ends with this.
final class Window {
  let process = Process()
  let display: Display
  let errors = Pipe()
  private(set) var id = ""

  init(_ display: Display, _ arguments: [String]) throws {
    self.display = display
    process.executableURL = URL(fileURLWithPath: try #require(Tools.apus))
    process.arguments = arguments
    process.environment = display.environment
    process.standardError = errors
    try process.start()
    let number = String(process.processIdentifier)
    var found = ""
    let appeared = try eventually {
      found =
        try display.xdotool("search", "--onlyvisible", "--pid", number)
        .split(separator: "\n").last.map(String.init) ?? ""
      return !found.isEmpty || !process.isRunning
    }
    try #require(appeared && !found.isEmpty, "no window")
    id = found
    try focus()
  }

  deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

  /// There is no window manager that would do it.
  func focus() throws {
    let id = id
    let focused = try eventually {
      try display.xdotool("windowfocus", id)
      return try display.xdotool("getwindowfocus", "-f").hasPrefix(id)
    }
    try #require(focused, "the window does not get the focus")
  }

  /// Place and size: x, y, width, height.
  func geometry() throws -> [String: Int] {
    var result: [String: Int] = [:]
    for line in try display.xdotool("getwindowgeometry", "--shell", id).split(separator: "\n") {
      let parts = line.split(separator: "=")
      if parts.count == 2 { result[String(parts[0])] = Int(parts[1]) }
    }
    return result
  }

  func title() throws -> String { try display.xdotool("getwindowname", id) }

  func picture() throws -> Picture? {
    let place = try geometry()
    guard let x = place["X"], let y = place["Y"], let w = place["WIDTH"], let h = place["HEIGHT"]
    else { return nil }
    return try display.picture().part(x, y, w, h)
  }

  /// Waits for the end; nil when it does not come.
  func end() -> Int32? {
    eventually { !process.isRunning } ? process.terminationStatus : nil
  }
}
