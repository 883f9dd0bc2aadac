/// The TAP that is the network interface of a guest's namespace.
enum GuestInterface {
    /// Frames that the kernel queues for this process: more than the windows of many flows.
    private static let queueLength = 16_384
    /// Limit on segments from the kernel, so that a frame with its headers fits a 16-bit length.
    private static let maximumSegment = 65_000

    /// Creates the interface in the calling thread's namespace, and brings it and the loopback
    /// interface up.
    ///
    /// - Parameters:
    ///   - name: The interface's name; it must not exist yet, except as `ownership` permits.
    ///   - mac: Nil keeps the kernel's choice.
    ///   - mtu: Nil keeps the kernel's default until DHCP sets it.
    ///   - ownership: A borrowed interface is neither configured nor brought up, because its owner
    ///     does that.
    ///   - isConfigured: Whether to set the address and the MTU and to bring the interface up.
    ///   - leavesIPv6: Whether IPv6 is left to the kernel or another program, because this one does
    ///     not configure the interface.
    /// - Returns: The device.
    /// - Throws: `GuestInterfaceError`.
    static func make(
        named name: String,
        mac: MACAddress?,
        mtu: Int?,
        _ ownership: TAPDevice.Ownership = .exclusive,
        isConfigured: Bool = true,
        leavesIPv6: Bool = false
    ) throws(GuestInterfaceError) -> TAPDevice {
        let device: TAPDevice
        do {
            device = try TAPDevice(named: name, ownership)
        } catch {
            throw .tap(error)
        }
        do {
            try prepareQueue(name)
            if isConfigured, ownership != .borrowed {
                if !leavesIPv6 { KernelAutoconfiguration.disable(on: name) }
                try configure(name, mac, mtu)
            }
        } catch {
            throw .configuration(name, error)
        }
        return device
    }

    /// Sets the queue and segment sizes, which do not depend on an address.
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
        try enableLoopback()
    }

    /// Brings the loopback interface up.
    static func enableLoopback() throws(SystemError) {
        var netlink = try Netlink()
        let loopback = try netlink.link(named: "lo")
        try netlink.setLink(loopback.index, up: true)
    }

    /// Returns the interface's MAC address.
    static func mac(of name: String) throws(SystemError) -> MACAddress {
        var netlink = try Netlink()
        guard let mac = try netlink.link(named: name).mac else {
            preconditionFailure("a TAP is an Ethernet interface")
        }
        return mac
    }
}

/// Why the guest interface could not be created.
enum GuestInterfaceError: Error, CustomStringConvertible {
    /// The TAP could not be created.
    case tap(TAPError)
    /// The interface could not be configured.
    case configuration(String, SystemError)

    var description: String {
        switch self {
        case .tap(let error): "\(error)"
        case .configuration(let name, let error): "\(name): \(error)"
        }
    }
}
