/// The addresses on which `gvproxy` listens.
extension GVProxyConfiguration {
    /// A listening address for VMs.
    struct MachineEndpoint: Equatable {
        /// gvproxy's name for the protocol.
        let name: String
        let address: LinkAddress
        /// Whether the program exits when the last VM here disconnects.
        let endsWithMachine: Bool
    }

    private static let streams =
        "expected unix:///PATH of at most 107 bytes, tcp://ADDRESS:PORT or vsock://[CID]:PORT"

    /// The API with `/connect`.
    var apiAddresses: [StreamAddress] {
        get throws(Fault) {
            var addresses: [StreamAddress] = []
            for text in listen { addresses.append(try Self.apiAddress(text)) }
            return addresses
        }
    }

    /// The API without `/connect`: at most one.
    var serviceAddresses: [StreamAddress] {
        get throws(Fault) { services.isEmpty ? [] : [try Self.apiAddress(services)] }
    }

    /// The listening addresses for VMs, in opening order.
    var machineEndpoints: [MachineEndpoint] {
        get throws(Fault) {
            var endpoints: [MachineEndpoint] = []
            func add(_ name: String, _ address: LinkAddress, endsWithMachine: Bool = true) {
                endpoints.append(
                    MachineEndpoint(
                        name: name,
                        address: address,
                        endsWithMachine: endsWithMachine
                    )
                )
            }
            if !links.vpnkit.isEmpty {
                let address = try Self.machineAddress(links.vpnkit, "vpnkit")
                add("vpnkit", .stream(address, .vpnkit), endsWithMachine: false)
            }
            if !links.qemu.isEmpty {
                add("qemu", .stream(try Self.machineAddress(links.qemu, "qemu"), .bigEndian32))
            }
            if !links.bess.isEmpty {
                add("bess", .packets(try Self.path(links.bess, "bess", "unixpacket")))
            }
            if !links.vfkit.isEmpty {
                add("vfkit", .datagrams(try Self.path(links.vfkit, "vfkit", "unixgram")))
            }
            if !links.vhost.isEmpty {
                add("vhost", .vhost(try Self.path(links.vhost, "vhost", "unix")))
            }
            if !links.stdio.isEmpty { add("stdio", .standardStreams) }
            return endpoints
        }
    }

    private static func apiAddress(_ text: String) throws(Fault) -> StreamAddress {
        guard let address = streamAddress(text) else {
            throw Fault("cannot listen: unexpected scheme or address: \"\(text)\": \(streams)")
        }
        return address
    }

    private static func machineAddress(
        _ text: String,
        _ name: String
    ) throws(Fault) -> StreamAddress {
        guard let address = streamAddress(text) else {
            throw Fault("invalid value for \(name) listen address: \"\(text)\": \(streams)")
        }
        return address
    }

    /// The path after a scheme that was already checked.
    private static func path(
        _ text: String,
        _ name: String,
        _ scheme: String
    ) throws(Fault) -> String {
        guard let path = text.removingPrefix("\(scheme)://"), StreamAddress.isPath(path) else {
            throw Fault(
                "invalid value for \(name) listen address: \"\(text)\": "
                    + "expected \(scheme):///PATH of at most 107 bytes"
            )
        }
        return String(path)
    }

    /// Forms that Go's listeners accept in addition: an empty host for any address, `localhost`,
    /// and vsock's number for any context.
    private static func streamAddress(_ text: String) -> StreamAddress? {
        if let port = text.removingPrefix("tcp://:") ?? text.removingPrefix("tcp://localhost:") {
            let host: IPAddress = text.hasPrefix("tcp://:") ? .anyIPv4 : .loopbackIPv4
            return port.decimal(upTo: 65_535).map { number in
                .tcp(
                    ZonedEndpoint(
                        Endpoint(address: host, port: UInt16(truncatingIfNeeded: number))
                    )
                )
            }
        }
        // VMADDR_CID_ANY, see vsock(7).
        if let port = text.removingPrefix("vsock://4294967295:") {
            return StreamAddress(vsock: ":\(port)")
        }
        return StreamAddress(text)
    }
}
