/// The contents of gvproxy's YAML file; empty where the file has no value.
///
/// Unknown keys are ignored, because different versions share files.
struct GVProxyFile: Equatable {
    /// A DNS zone in the file's form.
    struct Zone: Equatable {
        var name = ""
        var defaultAddress = ""
        var records: [Record] = []
    }

    /// A record of a zone.
    struct Record: Equatable {
        var name = ""
        var address = ""
        var pattern = ""
    }

    var listen: [String] = []
    var services = ""
    var links = GVProxyLinks()
    var pidFile = ""
    /// A key that gvproxy does not have.
    var stateDirectory = ""
    var logFile = ""
    var logLevel = ""
    /// A path, unlike the address on the command line.
    var notification = ""
    var socketForwards: [SocketForward] = []
    var isDebugging = false
    var captureFile = ""
    var mtu = 0
    var subnet = ""
    var gateway = ""
    var device = ""
    var host = ""
    var gatewayMAC = ""
    var zones: [Zone] = []
    var searchDomains: [String] = []
    /// Keyed by the host's side, such as `udp:127.0.0.1:53`.
    var forwards: [TextPair] = []
    /// From the guests' address to the host's.
    var translations: [TextPair] = []
    var virtualAddresses: [String] = []
    /// IP address to MAC address.
    var staticLeases: [TextPair] = []
    /// UUID to MAC address.
    var vpnkitMACs: [TextPair] = []
    var allowsMetadata = false

    init() {}

    /// Parses a file's text.
    ///
    /// - Throws: `YAMLError`.
    init(_ text: String) throws(YAMLError) {
        for entry in try YAMLParser.parse(text).map("the file") {
            let value = entry.value
            switch entry.key {
            case "listen": listen = try value.texts(entry.key)
            case "services": services = try value.text(entry.key)
            case "log-level": logLevel = try value.text(entry.key)
            case "log-file": logFile = try value.text(entry.key)
            case "pid-file": pidFile = try value.text(entry.key)
            case "state": stateDirectory = try value.text(entry.key)
            case "notification": notification = try value.text(entry.key)
            case "ec2-metadata-access":
                allowsMetadata = try value.boolean(entry.key) || allowsMetadata
            case "interfaces": links = try Self.links(value)
            case "forwards": socketForwards = try Self.socketForwards(value)
            case "stack": try readStack(value)
            default: continue
            }
        }
    }

    private static func links(_ node: YAMLNode) throws(YAMLError) -> GVProxyLinks {
        var links = GVProxyLinks()
        for entry in try node.map("interfaces") {
            switch entry.key {
            case "vpnkit": links.vpnkit = try entry.value.text(entry.key)
            case "qemu": links.qemu = try entry.value.text(entry.key)
            case "bess": links.bess = try entry.value.text(entry.key)
            case "vfkit": links.vfkit = try entry.value.text(entry.key)
            case "vhost": links.vhost = try entry.value.text(entry.key)
            case "stdio": links.stdio = try entry.value.text(entry.key)
            default: continue
            }
        }
        return links
    }

    private static func socketForwards(_ node: YAMLNode) throws(YAMLError) -> [SocketForward] {
        var forwards: [SocketForward] = []
        for member in try node.list("forwards") {
            var forward = SocketForward()
            for entry in try member.map("forwards") {
                switch entry.key {
                case "socket": forward.socket = try entry.value.text(entry.key)
                case "dest": forward.destination = try entry.value.text(entry.key)
                case "user": forward.user = try entry.value.text(entry.key)
                case "identity": forward.identity = try entry.value.text(entry.key)
                default: continue
                }
            }
            forwards.append(forward)
        }
        return forwards
    }

    private mutating func readStack(_ node: YAMLNode) throws(YAMLError) {
        for entry in try node.map("stack") {
            let value = entry.value
            switch entry.key {
            case "debug": isDebugging = try value.boolean(entry.key)
            case "capture-file": captureFile = try value.text(entry.key)
            case "mtu": mtu = try value.integer(entry.key) ?? 0
            case "subnet": subnet = try value.text(entry.key)
            case "gatewayIP": gateway = try value.text(entry.key)
            case "deviceIP": device = try value.text(entry.key)
            case "hostIP": host = try value.text(entry.key)
            case "gatewayMacAddress": gatewayMAC = try value.text(entry.key)
            case "dns": zones = try Self.zones(value)
            case "dnsSearchDomains": searchDomains = try value.texts(entry.key)
            case "forwards": forwards = try value.pairs(entry.key)
            case "nat": translations = try value.pairs(entry.key)
            case "gatewayVirtualIPs": virtualAddresses = try value.texts(entry.key)
            case "dhcpStaticLeases": staticLeases = try value.pairs(entry.key)
            case "vpnKitUUIDMacAddresses": vpnkitMACs = try value.pairs(entry.key)
            case "ec2MetadataAccess":
                allowsMetadata = try value.boolean(entry.key) || allowsMetadata
            default: continue
            }
        }
    }

    private static func zones(_ node: YAMLNode) throws(YAMLError) -> [Zone] {
        var zones: [Zone] = []
        for member in try node.list("dns") {
            var zone = Zone()
            for entry in try member.map("dns") {
                switch entry.key {
                case "name": zone.name = try entry.value.text(entry.key)
                case "defaultIP": zone.defaultAddress = try entry.value.text(entry.key)
                case "records": zone.records = try records(entry.value)
                default: continue
                }
            }
            zones.append(zone)
        }
        return zones
    }

    private static func records(_ node: YAMLNode) throws(YAMLError) -> [Record] {
        var records: [Record] = []
        for member in try node.list("records") {
            var record = Record()
            for entry in try member.map("records") {
                switch entry.key {
                case "name": record.name = try entry.value.text(entry.key)
                case "ip": record.address = try entry.value.text(entry.key)
                case "regexp": record.pattern = try entry.value.text(entry.key)
                default: continue
                }
            }
            records.append(record)
        }
        return records
    }
}

/// A unix socket on the host, forwarded to one in the guest over SSH.
struct SocketForward: Equatable, Sendable {
    /// The host's socket: a path, optionally with `unix://`.
    var socket = ""
    /// The guest's socket: a path.
    var destination = ""
    var user = ""
    /// The private key file.
    var identity = ""
}

/// A pair of texts.
struct TextPair: Equatable, Sendable {
    var key: String
    var value: String
}

extension YAMLNode {
    fileprivate func texts(_ name: String) throws(YAMLError) -> [String] {
        var texts: [String] = []
        for member in try list(name) { texts.append(try member.text(name)) }
        return texts
    }

    fileprivate func pairs(_ name: String) throws(YAMLError) -> [TextPair] {
        var pairs: [TextPair] = []
        for entry in try map(name) {
            pairs.append(TextPair(key: entry.key, value: try entry.value.text(name)))
        }
        return pairs
    }
}
