/// Transport checksums of whole frames.
enum FrameChecksum {
    /// Completes a partial checksum in place: sums from `checksumStart` to the frame's end.
    ///
    /// - Parameters:
    ///   - frame: The frame; its checksum field holds the pseudo-header's sum.
    ///   - header: Says where transport header and checksum are.
    /// - Returns: Whether the header's offsets lay inside the frame.
    static func complete(
        _ frame: UnsafeMutableRawBufferPointer,
        _ header: VirtioNetHeader
    ) -> Bool {
        let start = Int(header.checksumStart)
        let field = start + Int(header.checksumOffset)
        guard field + 2 <= frame.count else { return false }
        var sum = InternetChecksum.checksum(UnsafeRawBufferPointer(rebasing: frame[start...]))
        // RFC 768: a UDP checksum that comes out as zero is sent as ones.
        if sum == 0, header.checksumOffset == 6 { sum = 0xffff }
        frame.storeBytes(of: sum.bigEndian, toByteOffset: field, as: UInt16.self)
        return true
    }
}
