/// Receives a copy of every frame that crosses the gateway's port, such as a live capture.
protocol FrameTap: AnyObject {
    /// Copies a frame.
    ///
    /// - Parameters:
    ///   - frame: Borrowed for the call.
    ///   - link: The guest's link.
    ///   - number: The link's number.
    ///   - direction: Where the frame came from.
    func record(
        _ frame: Frame,
        on link: any FrameLink,
        numbered number: Int,
        _ direction: CaptureBlocks.Direction
    )
    /// The frame of a guest that was recorded last has been dropped.
    func dropped(_ reason: DropReason)
    /// The frame of a guest that was recorded last has been dealt with.
    func finished()
    /// Passes on what was recorded, at the end of a turn.
    func flush()
}

extension VirtualEthernet {
    /// Copies a frame to all taps; the caller has checked that there are some.
    func tap(_ frame: Frame, on link: any FrameLink, _ direction: CaptureBlocks.Direction) {
        let number = links.firstIndex { $0 === link }.map { numbers[$0] } ?? 0
        for tap in taps { tap.record(frame, on: link, numbered: number, direction) }
    }

    /// The frame that was copied last has been dealt with.
    func finishTapping() {
        for tap in taps { tap.finished() }
    }
}
