/// Consecutive datagrams from one sender to one receiver, combined so that one system call sends
/// them.
///
/// All but the last must have the same length (UDP_SEGMENT, USO). Before a datagram that does not
/// fit, the staged ones are sent, so the order stays.
struct DatagramStage<Way>: ~Copyable {
    /// The kernel's UDP_MAX_SEGMENTS before Linux 6.9.
    private let maximumDatagrams = 64
    private let maximumOctets = 65_507

    private let buffer: UnsafeMutableRawBufferPointer
    private var count = 0
    private var datagrams = 0
    private var segmentSize = 0
    /// Whether a shorter datagram ended the batch.
    private var isClosed = false
    /// Sender and receiver; nil while nothing is staged.
    private(set) var way: Way?

    init() {
        buffer = .allocate(byteCount: 1 << 16, alignment: 64)
    }

    deinit {
        buffer.deallocate()
    }

    /// Whether a datagram with the same sender and receiver fits.
    @inline(__always)
    func accepts(_ length: Int) -> Bool {
        guard length > 0, length <= maximumOctets else { return false }
        if datagrams == 0 { return true }
        return !isClosed && length <= segmentSize && datagrams < maximumDatagrams
            && count + length <= maximumOctets
    }

    /// Appends a datagram.
    @inline(__always)
    mutating func append(_ payload: UnsafeRawBufferPointer, _ way: @autoclosure () -> Way) {
        if datagrams == 0 {
            (segmentSize, isClosed) = (payload.count, false)
            self.way = way()
        }
        if payload.count < segmentSize { isClosed = true }
        UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(from: payload)
        count += payload.count
        datagrams += 1
    }

    /// Passes on the staged datagrams with the length of each but the last, and empties the stage.
    mutating func flush(_ send: (Way, UnsafeRawBufferPointer, Int) -> Void) {
        guard let way else { return }
        let octets = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        (self.way, count, datagrams) = (nil, 0, 0)
        send(way, octets, segmentSize)
    }
}
