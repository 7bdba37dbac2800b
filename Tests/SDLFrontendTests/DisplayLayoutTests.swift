import Testing

@testable import SDLFrontend

@Suite struct DisplayLayoutTests {
  private func place(_ fw: Int, _ fh: Int, in ww: Int, _ wh: Int, integer: Bool = false)
    -> DisplayRectangle
  {
    DisplayLayout.place(
      frameWidth: fw, frameHeight: fh, aspectWidth: 4, aspectHeight: 3, windowWidth: ww,
      windowHeight: wh, integer: integer)
  }

  @Test func thePictureIsFourByThreeAndCentred() {
    #expect(place(320, 200, in: 640, 480) == .init(x: 0, y: 0, width: 640, height: 480))
    #expect(place(720, 400, in: 1920, 1080) == .init(x: 240, y: 0, width: 1440, height: 1080))
    #expect(place(720, 400, in: 600, 900) == .init(x: 0, y: 225, width: 600, height: 450))
  }

  @Test func largePicturesGetAWindowOfTheirSize() {
    func size(_ w: Int, _ h: Int, isSquare: Bool = true, in usual: (Int, Int), _ room: (Int, Int))
      -> [Int]
    {
      let size = DisplayLayout.windowSize(
        frameWidth: w, frameHeight: h, isSquare: isSquare, usual: usual, room: room)
      return [size.width, size.height]
    }
    let (usual, room) = ((1280, 960), (1920, 1040))
    #expect(size(1024, 768, in: usual, room) == [1024, 768])
    #expect(size(1600, 900, in: usual, room) == [1600, 900])
    // Too small, too large, or of another shape: it is scaled.
    #expect(size(640, 480, in: usual, room) == [1280, 960])
    #expect(size(800, 600, in: usual, room) == [1280, 960])
    #expect(size(1600, 1200, in: usual, room) == [1280, 960])
    #expect(size(1280, 1024, in: usual, room) == [1280, 960])
    #expect(size(720, 400, isSquare: false, in: (640, 480), (800, 600)) == [640, 480])
    #expect(size(800, 600, in: (960, 720), (1280, 1024)) == [800, 600])
  }

  @Test func wholeMultiplesApproachTheShape() {
    // 320x200 has pixels of 5:6.
    #expect(
      place(320, 200, in: 1700, 1250, integer: true)
        == .init(x: 50, y: 25, width: 1600, height: 1200))
    #expect(
      place(640, 480, in: 1500, 1000, integer: true)
        == .init(x: 110, y: 20, width: 1280, height: 960))
    // Too small a window for one: fall back to filling it.
    #expect(
      place(640, 480, in: 320, 240, integer: true) == .init(x: 0, y: 0, width: 320, height: 240))
  }

  /// A pixel of 720x400 on a screen of 4 to 3 is 0.74 as wide as high: 1 to 1 is 35 % off, 1 to 2 is 32 %, 2 to 3 is 10 %.
  @Test func wholeMultiplesKeepOneShapeWhereNoneIsNear() {
    #expect(
      place(720, 400, in: 1280, 1024, integer: true)
        == .init(x: 280, y: 312, width: 720, height: 400))
    #expect(
      place(720, 400, in: 1920, 1080, integer: true)
        == .init(x: 240, y: 140, width: 1440, height: 800))
    #expect(
      place(720, 400, in: 1920, 1200, integer: true)
        == .init(x: 240, y: 0, width: 1440, height: 1200))
  }

  @Test func oddSizesNeverFail() {
    for (w, h) in [(1, 1), (1, 5000), (5000, 1), (0, 0)] {
      for integer in [false, true] {
        let r = place(2304, 2048, in: w, h, integer: integer)
        #expect(r.width >= 1 && r.height >= 1)
      }
    }
  }
}

@Suite struct KeyTrackerTests {
  @Test func keysReachTheGuestOnceEachWay() {
    var keys = KeyTracker()
    #expect(keys.key(0x04, down: true, isRepeat: false) == .post(0x04, down: true))
    #expect(keys.key(0x04, down: true, isRepeat: true) == .ignore)
    #expect(keys.key(0x04, down: false, isRepeat: false) == .post(0x04, down: false))
    #expect(keys.key(0x04, down: false, isRepeat: false) == .ignore)
    #expect(keys.key(0x103, down: true, isRepeat: false) == .ignore)
    #expect(keys.key(0xE6, down: true, isRepeat: false) == .post(0xE6, down: true))
  }

  @Test func theWindowsOwnCombinationsStayHere() {
    var keys = KeyTracker()
    _ = keys.key(0xE2, down: true, isRepeat: false)
    #expect(keys.key(0x28, down: true, isRepeat: false) == .command(.fullScreen))
    #expect(keys.key(0x28, down: false, isRepeat: false) == .ignore)
    _ = keys.key(0xE0, down: true, isRepeat: false)
    #expect(keys.key(0x0A, down: true, isRepeat: false) == .command(.grab))
    #expect(keys.key(0x28, down: true, isRepeat: false) == .post(0x28, down: true))
    #expect(keys.releaseAll() == [0x28, 0xE0, 0xE2])
    #expect(keys.key(0xE0, down: false, isRepeat: false) == .ignore)
    keys.forgetHeld()
    // AltGr is not Alt.
    _ = keys.key(0xE6, down: true, isRepeat: false)
    #expect(keys.key(0x28, down: true, isRepeat: false) == .post(0x28, down: true))
  }
}
