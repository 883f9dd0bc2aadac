/// The TAP that a guest's namespace sees as its network interface.
enum GuestInterface {
    /// Frames that the kernel queues towards us: more than the windows of many flows.
    private static let queueLength = 16_384
    /// The longest segment that the kernel hands over, so that a frame fits a 16-bit length with
    /// its headers.
    private static let maximumSegment = 65_000

    /// Makes the interface in the calling thread's namespace, up, and the loopback interface with
    /// it.
    ///
    /// - Parameters:
    ///   - name: It must not exist yet, unless told otherwise.
    ///   - mac: Nil leaves the kernel's choice.
    ///   - mtu: Nil leaves the kernel's default until DHCP says.
    ///   - ownership: A borrowed interface is neither given an address nor brought up: that is its
    ///     owner's business.
    /// - Returns: The device.
    /// - Throws: `GuestInterfaceError`.
    static func make(
        named name: String,
        mac: MACAddress?,
        mtu: Int?,
        _ ownership: TAPDevice.Ownership = .exclusive
    ) throws(GuestInterfaceError) -> TAPDevice {
        let device: TAPDevice
        do {
            device = try TAPDevice(named: name, ownership)
        } catch {
            throw .tap(error)
        }
        do {
            try prepareQueue(name)
            if ownership != .borrowed { try configure(name, mac, mtu) }
        } catch {
            throw .configuration(name, error)
        }
        return device
    }

    /// Sizes what no address depends on.
    private static func prepareQueue(_ name: String) throws(SystemError) {
        var netlink = try Netlink()
        let link = try netlink.link(named: name)
        try netlink.setTransmitQueueLength(queueLength, ofLink: link.index)
        try netlink.setGSOMaxSize(maximumSegment, ofLink: link.index)
    }

    private static func configure(
        _ name: String,
        _ mac: MACAddress?,
        _ mtu: Int?
    ) throws(SystemError) {
        var netlink = try Netlink()
        let link = try netlink.link(named: name)
        if let mac { try netlink.setMAC(mac, ofLink: link.index) }
        if let mtu { try netlink.setMTU(mtu, ofLink: link.index) }
        try netlink.setLink(link.index, up: true)
        let loopback = try netlink.link(named: "lo")
        try netlink.setLink(loopback.index, up: true)
    }

    /// The interface's Ethernet address, whoever chose it.
    static func mac(of name: String) throws(SystemError) -> MACAddress {
        var netlink = try Netlink()
        guard let mac = try netlink.link(named: name).mac else {
            preconditionFailure("a TAP is an Ethernet interface")
        }
        return mac
    }
}

/// Why there is no guest interface.
enum GuestInterfaceError: Error, CustomStringConvertible {
    /// The TAP could not be made.
    case tap(TAPError)
    /// It could not be configured.
    case configuration(String, SystemError)

    var description: String {
        switch self {
        case .tap(let error): "\(error)"
        case .configuration(let name, let error): "\(name): \(error)"
        }
    }
}
