/// Transport checksums of whole frames.
enum FrameChecksum {
    /// Completes a partial checksum in place, from `checksumStart` to the end of the frame.
    ///
    /// - Parameters:
    /// - frame: The frame; its checksum field holds the pseudo-header's sum.
    /// - header: The offsets of the transport header and its checksum.
    /// - Returns: Whether the header's offsets are inside the frame.
    static func complete(
        _ frame: UnsafeMutableRawBufferPointer,
        _ header: VirtioNetHeader
    ) -> Bool {
        let start = Int(header.checksumStart)
        let field = start + Int(header.checksumOffset)
        guard field + 2 <= frame.count else { return false }
        var sum = InternetChecksum.checksum(UnsafeRawBufferPointer(rebasing: frame[start...]))
        // RFC 768: a UDP checksum of zero is sent as all ones.
        if sum == 0, header.checksumOffset == 6 { sum = 0xffff }
        frame.storeBytes(of: sum.bigEndian, toByteOffset: field, as: UInt16.self)
        return true
    }
}
