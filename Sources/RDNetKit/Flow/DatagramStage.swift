/// Datagrams of one sender to one receiver, put one behind the other so that they go on together.
///
/// Only equal lengths can (UDP_SEGMENT, USO), but for the last. One that does not fit waits for
/// nothing: what is staged goes before it, so the order stays.
struct DatagramStage<Way>: ~Copyable {
    /// The kernel's UDP_MAX_SEGMENTS before Linux 6.9.
    private let maximumDatagrams = 64
    private let maximumOctets = 65_507

    private let buffer: UnsafeMutableRawBufferPointer
    private var count = 0
    private var datagrams = 0
    private var segmentSize = 0
    /// A shorter one was the last: nothing may follow.
    private var isClosed = false
    /// From whom to whom; nil while nothing is staged.
    private(set) var way: Way?

    init() {
        buffer = .allocate(byteCount: 1 << 16, alignment: 64)
    }

    deinit {
        buffer.deallocate()
    }

    /// Whether a datagram of the same way may join what is staged.
    @inline(__always)
    func accepts(_ length: Int) -> Bool {
        guard length > 0, length <= maximumOctets else { return false }
        if datagrams == 0 { return true }
        return !isClosed && length <= segmentSize && datagrams < maximumDatagrams
            && count + length <= maximumOctets
    }

    /// Copies a datagram behind what is staged.
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

    /// Hands over what is staged, with the length of each but the last, and is empty.
    mutating func flush(_ send: (Way, UnsafeRawBufferPointer, Int) -> Void) {
        guard let way else { return }
        let octets = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        (self.way, count, datagrams) = (nil, 0, 0)
        send(way, octets, segmentSize)
    }
}
