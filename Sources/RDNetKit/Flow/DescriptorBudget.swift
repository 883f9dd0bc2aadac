/// The process's descriptors, and who may use how many of them.
///
/// How it works: the kernel always hands out the lowest free number, and every number below the
/// limit exists once. Each purpose may use the numbers below a bound of its own, so the numbers
/// above stay free for the others. Nothing is counted, and descriptors of any origin (links,
/// listeners, clients of the API) take part. From the top down: a reserve for everything that is no
/// flow (API, DNS, listeners, children); another one for TCP; below both, all flows compete. A flow
/// whose new descriptor is beyond its bound closes the longest-idle UDP or echo flow and moves to
/// the number that this frees. TCP leaves UDP and echo a few flows. See getrlimit(2),
/// RLIMIT_NOFILE.
final class DescriptorBudget {
    /// What a descriptor is for.
    enum Purpose {
        /// UDP and echo flows.
        case datagrams
        case connection
    }

    /// Descriptors that the process may have.
    let limit: Int
    /// Descriptors kept for everything that is no flow.
    private let reserve: Int
    private let limits: LimitLog
    /// The number of the latest flow's descriptor: about as many are open.
    private var latestNumber = 0
    /// UDP and echo flows; set by the engine.
    var datagramFlows: () -> Int = { 0 }
    /// Closes the longest-idle UDP or echo flow; set by the engine.
    var closeIdlest: () -> Void = {}

    /// Divides descriptors.
    ///
    /// - Parameters:
    ///   - limit: How many the process may have.
    ///   - limits: Counts and reports each flow that gives way.
    init(limit: Int, limits: LimitLog) {
        self.limit = limit
        self.limits = limits
        reserve = min(limit / 4, max(16, min(limit / 8, 1_024)))
    }

    /// UDP and echo flows that TCP never displaces.
    private var guaranteedDatagramFlows: Int { reserve / 4 }

    /// Opens a flow's descriptor, if need be at the cost of an idle UDP or echo flow.
    ///
    /// - Parameters:
    ///   - purpose: What kind of flow.
    ///   - open: Makes the descriptor.
    /// - Returns: The descriptor.
    /// - Throws: `SystemError`: EMFILE when no flow can give way, or what `open` throws.
    func open(
        for purpose: Purpose,
        _ open: () throws(SystemError) -> OwnedDescriptor
    ) throws(SystemError) -> OwnedDescriptor {
        let descriptor: OwnedDescriptor
        do throws(SystemError) {
            descriptor = try open()
        } catch {
            guard error.isOutOfDescriptors, closeIdle() else { throw error }
            return try open()
        }
        return try admit(descriptor, for: purpose)
    }

    /// Whether descriptors for one more connection can be opened; closes idle flows to make that
    /// so.
    ///
    /// - Parameter count: How many the connection takes, one or two.
    /// - Returns: False when no flow can give way.
    func hasRoom(for count: Int) -> Bool {
        // The exact answer costs two system calls a descriptor, so it is for a process that has
        // many.
        guard 2 * latestNumber >= limit else { return true }
        do throws(SystemError) {
            // Both at once, so that they are two numbers.
            let first = try open(for: .connection, Socket.makeUnix)
            if count > 1 { _ = try open(for: .connection, Socket.makeUnix) }
            _ = consume first
            return true
        } catch {
            return !error.isOutOfDescriptors
        }
    }

    /// Takes note of a flow's descriptor that somebody else opened.
    func note(_ number: Int32) {
        latestNumber = Int(number)
    }

    /// Lets a descriptor pass, or closes an idle flow and takes its number.
    private func admit(
        _ descriptor: consuming OwnedDescriptor,
        for purpose: Purpose
    ) throws(SystemError) -> OwnedDescriptor {
        let number = Int(descriptor.number)
        latestNumber = number
        let isWithin =
            switch purpose {
            case .datagrams: number < limit - 2 * reserve
            case .connection: number < limit - reserve
            }
        if isWithin { return descriptor }
        if closeIdle() { return try descriptor.duplicate() }
        // The guaranteed datagram flows may use the reserve for TCP, and half of the other.
        if purpose == .datagrams, number < limit - reserve / 2 { return descriptor }
        throw .outOfDescriptors
    }

    private func closeIdle() -> Bool {
        limits.reached(.descriptors, maximum: limit)
        guard datagramFlows() > guaranteedDatagramFlows else { return false }
        closeIdlest()
        return true
    }
}
