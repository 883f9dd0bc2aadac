/// The creation of `gvproxy`'s configuration from its start parameters.
extension GVProxyConfiguration {
    /// Merges the command line and the file, and checks them against the machine.
    ///
    /// - Throws: `RoleFailure` with gvproxy's messages.
    init(_ start: RoleStart<GVProxySettings>) throws(RoleFailure) {
        let file = try Self.file(start.settings.file, start.surroundings)
        do {
            self = try Self(start.settings, file, Machine(start.surroundings))
        } catch {
            throw RoleFailure(error)
        }
    }

    private static func file(
        _ path: String,
        _ surroundings: ProcessSurroundings
    ) throws(RoleFailure) -> GVProxyFile? {
        if path.isEmpty { return nil }
        switch surroundings.readFile(path) {
        case .absent:
            let reason = "open \(path): no such file or directory"
            throw RoleFailure("failed to read config file: \(reason)")
        case .unreadable(let reason):
            throw RoleFailure("failed to read config file: \(reason)")
        case .text(let text):
            do {
                return try GVProxyFile(text)
            } catch {
                throw RoleFailure("failed to parse configuration: \(error)")
            }
        }
    }

    /// Returns the configured logger: the file may name a different log file than the command line.
    func logger(_ start: RoleStart<GVProxySettings>) throws(RoleFailure) -> Logger {
        var common = start.settings.common
        guard logFile != common.logFile else {
            start.logger.level = logLevel
            return start.logger
        }
        common.logFile = logFile
        common.leastLogLevel = logLevel
        do {
            return try start.surroundings.makeLogger(common)
        } catch {
            throw RoleFailure("unable to open log file \(logFile): \(error.reason)")
        }
    }

    /// Returns the zones in the form that the gateway's DNS service uses.
    func dnsZones() throws(RoleFailure) -> DNSZones {
        var zones: [DNSZone] = []
        for zone in self.zones {
            do {
                zones.append(try DNSZone(zone))
            } catch {
                throw RoleFailure("failed to parse configuration: dns \"\(zone.name)\": \(error)")
            }
        }
        return DNSZones(zones)
    }
}

extension DNSZone {
    /// Creates a zone from gvproxy's file, with parsed addresses and patterns.
    fileprivate init(_ zone: GVProxyFile.Zone) throws {
        var records: [Record] = []
        for record in zone.records {
            let pattern = try record.pattern.isEmpty ? nil : NamePattern(record.pattern)
            let address = try Self.address(record.address)
            records.append(Record(name: record.name, address: address, pattern: pattern))
        }
        self.init(
            name: zone.name,
            records: records,
            defaultAddress: try Self.address(zone.defaultAddress)
        )
    }
}

extension GVProxyConfiguration.Machine {
    fileprivate init(_ surroundings: ProcessSurroundings) {
        self.init(exists: surroundings.exists, isOccupied: surroundings.isOccupied)
    }
}
