/// Small payloads of one flow, put together: one `send` of 64 KiB costs a third of 45 small pieces.
///
/// A payload of 16 KiB or more is cheaper to send from where it lies.
struct UploadStage: ~Copyable {
    private static let capacity = 1 << 18
    private static let largePayload = 1 << 14

    private let buffer: UnsafeMutableRawBufferPointer
    private var count = 0
    private var flow: TCPFlow?

    init() {
        buffer = .allocate(byteCount: Self.capacity, alignment: 64)
    }

    deinit {
        buffer.deallocate()
    }

    /// Whether a payload may join what is staged.
    @inline(__always)
    func accepts(_ payloadCount: Int, of candidate: TCPFlow) -> Bool {
        guard payloadCount < Self.largePayload else { return false }
        return count == 0 || flow === candidate && count + payloadCount <= Self.capacity
    }

    /// Copies a payload behind what is staged.
    @inline(__always)
    mutating func append(_ payload: UnsafeRawBufferPointer, of owner: TCPFlow) {
        UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(from: payload)
        count += payload.count
        flow = owner
    }

    /// Hands everything over and is empty.
    mutating func flush(_ pass: (TCPFlow, UnsafeRawBufferPointer) -> Void) {
        guard let owner = flow else { return }
        let octets = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        count = 0
        flow = nil
        pass(owner, octets)
    }
}
