/// What a front end has told about its virtual machine: features, memory and two rings.
///
/// It answers the front end's messages, and does nothing with the rings themselves. Whoever uses
/// the rings stops all of them before each message, stores where they stopped (`setBase`), and then
/// takes up again those that are ready.
final class VhostDevice {
    /// A ring as the front end has set it up so far.
    final class Ring {
        fileprivate(set) var size = 0
        fileprivate(set) var addresses: VhostRingAddresses?
        fileprivate(set) var base: UInt16 = 0
        fileprivate(set) var isEnabled = false
        fileprivate(set) var kick: EventDescriptor?
        fileprivate(set) var call: EventDescriptor?

        var hasKick: Bool { kick != nil }

        /// Notifies the guest, if it gave a descriptor for that.
        func callGuest() { call?.signal() }

        /// Makes this end look at the ring in its next turn.
        func kickSelf() { kick?.signal() }

        /// Watches the guest's kicks, and reports one at once.
        ///
        /// - Returns: The watch, to be forgotten before the ring stops; nil without a descriptor.
        /// - Throws: `SystemError` when the kernel accepts no such watch.
        func watchKick(
            on loop: EventLoop,
            _ observer: any ReadinessObserver
        ) throws(SystemError) -> EventLoop.Watch? {
            guard let number = kick?.number else { return nil }
            let watch = try loop.watch(number, for: [.readable, .onChange], observer: observer)
            kickSelf()
            return watch
        }
    }

    static let ringCount = 2

    private(set) var features: VirtioFeatures = []
    private(set) var memory: GuestMemory?
    let rings = [Ring(), Ring()]
    private var acknowledges = false

    /// Carries out a message.
    ///
    /// - Parameters:
    ///   - request: The message.
    ///   - header: Its head.
    ///   - descriptors: Those that came with it; the used ones are taken.
    /// - Returns: An answer, if the message requests one.
    /// - Throws: `VhostFault` for a message that breaks the protocol.
    func receive(
        _ request: VhostRequest,
        _ header: VhostHeader,
        _ descriptors: inout ReceivedDescriptors
    ) throws(VhostFault) -> VhostReply? {
        switch request {
        case .getFeatures:
            return VhostReply(to: header, VirtioFeatures.offered.rawValue)
        case .getProtocolFeatures:
            return VhostReply(to: header, VhostProtocolFeatures.offered.rawValue)
        case .getRingBase(let number):
            let ring = try ring(number)
            // The ring stops until a new kick descriptor comes.
            ring.kick = nil
            return VhostReply(to: header, ring: number, index: ring.base)
        case .getConfiguration:
            return VhostReply(refusing: header)
        case .other:
            return acknowledgment(of: header, succeeded: false)
        case .setFeatures, .setOwner, .setMemory, .setRingSize, .setRingAddresses, .setRingBase,
            .setKick, .setCall, .setError, .setProtocolFeatures, .setRingEnabled:
            try change(request, &descriptors)
            return acknowledgment(of: header, succeeded: true)
        }
    }

    private func acknowledgment(of header: VhostHeader, succeeded: Bool) -> VhostReply? {
        guard acknowledges, header.wantsReply else { return nil }
        return VhostReply(to: header, succeeded ? 0 : 1)
    }

    private func change(
        _ request: VhostRequest,
        _ descriptors: inout ReceivedDescriptors
    ) throws(VhostFault) {
        switch request {
        case .setFeatures(let features):
            try setFeatures(features)
        case .setProtocolFeatures(let features):
            acknowledges = features.contains(.replyAcknowledgment)
        case .setMemory(let regions):
            do throws(SystemError) {
                memory = try GuestMemory(regions, &descriptors)
            } catch {
                throw .system(error)
            }
        case .setRingSize(let number, let size):
            guard VirtioRingLayout.isValid(size: size) else {
                throw .unexpected("ring \(number): size \(size) is no power of two up to 32768")
            }
            try ring(number).size = size
        case .setRingAddresses(let number, let addresses):
            try ring(number).addresses = addresses
        case .setRingBase(let number, let index):
            try ring(number).base = index
        case .setRingEnabled(let number, let isEnabled):
            try ring(number).isEnabled = isEnabled
        case .setKick(let number, let hasDescriptor):
            let ring = try ring(number)
            guard hasDescriptor else {
                throw .unexpected(
                    "ring \(number): polling without a kick descriptor is not offered"
                )
            }
            ring.kick = try takeEvent(&descriptors)
        case .setCall(let number, let hasDescriptor):
            let ring = try ring(number)
            ring.call = hasDescriptor ? try takeEvent(&descriptors) : nil
        case .setOwner, .setError, .getFeatures, .getProtocolFeatures, .getRingBase,
            .getConfiguration,
            .other:
            break
        }
    }

    private func setFeatures(_ features: VirtioFeatures) throws(VhostFault) {
        guard VirtioFeatures.offered.isSuperset(of: features) else {
            let bits = String(features.subtracting(.offered).rawValue, radix: 16)
            throw .unexpected("the front end set features that were not offered: 0x\(bits)")
        }
        self.features = features
        // Without the protocol's features, nothing enables a ring but its kick descriptor.
        if !features.contains(.protocolFeatures) { for ring in rings { ring.isEnabled = true } }
    }

    private func ring(_ number: Int) throws(VhostFault) -> Ring {
        guard rings.indices.contains(number) else {
            throw .unexpected("ring \(number): this device has \(Self.ringCount) rings")
        }
        return rings[number]
    }

    private func takeEvent(
        _ descriptors: inout ReceivedDescriptors
    ) throws(VhostFault) -> EventDescriptor {
        guard let descriptor = descriptors.takeFirst() else {
            throw .unexpected("a message came without its descriptor")
        }
        do throws(SystemError) {
            return try EventDescriptor(checking: descriptor)
        } catch {
            throw .system(error)
        }
    }

    // MARK: Taking up rings

    /// Whether a ring can be used now.
    func isReady(_ number: Int) -> Bool {
        let ring = rings[number]
        return ring.isEnabled && ring.hasKick && ring.size > 0 && ring.addresses != nil
            && memory != nil
    }

    /// Takes up a ring that is ready.
    ///
    /// - Returns: The ring.
    /// - Throws: `VhostFault` if it is not in the guest's memory.
    func makeRing(_ number: Int) throws(VhostFault) -> VirtioRing {
        let ring = rings[number]
        let size = ring.size
        guard let memory, let addresses = ring.addresses,
            let descriptors = memory.piece(
                atFrontEnd: addresses.descriptors,
                VirtioRingLayout.tableLength(size),
                alignment: 16
            ),
            let available = memory.piece(
                atFrontEnd: addresses.available,
                VirtioRingLayout.availableLength(size),
                alignment: 2
            ),
            let used = memory.piece(
                atFrontEnd: addresses.used,
                VirtioRingLayout.usedLength(size),
                alignment: 4
            )
        else { throw .unexpected("ring \(number) is outside the guest's memory, or not aligned") }
        let place = VirtioRing.Place(
            size: size,
            descriptors: descriptors,
            available: available,
            used: used
        )
        return VirtioRing(place, base: ring.base, features)
    }

    /// Stores where a ring that stops will continue.
    func setBase(of number: Int, to index: UInt16) {
        rings[number].base = index
    }

    /// Forgets the guest's memory and all descriptors.
    func release() {
        for ring in rings {
            ring.kick = nil
            ring.call = nil
        }
        memory = nil
    }
}
