/// Texts that people, agents and other programs write: files, arguments, JSON and expressions.
enum TextFuzz {
    static func run(_ input: FuzzInput) {
        runFuzzCase(
            input,
            [
                yaml, gvproxyFile, configurationFile, arguments, json, portMessage, hosts,
                resolvers, pattern, zone,
            ]
        )
    }

    private static func yaml(_ input: inout FuzzInput) throws {
        _ = try YAMLParser.parse(input.text())
    }

    /// gvproxy's file, and every check that follows it.
    private static func gvproxyFile(_ input: inout FuzzInput) throws {
        let file = try GVProxyFile(input.text())
        let machine = GVProxyConfiguration.Machine(
            exists: { !$0.hasSuffix("-") },
            isOccupied: { $0.hasSuffix("+") }
        )
        let configuration = try GVProxyConfiguration(GVProxySettings(), file, machine)
        _ = try (configuration.machineEndpoints, configuration.dnsZones())
    }

    private static let roles = RoleRegistry.standard.roles

    /// The configuration file of any role; what is printed is valid and prints the same.
    private static func configurationFile(_ input: inout FuzzInput) {
        let role = roles[input.number(below: roles.count)]
        let text = input.text()
        guard let printed = printedConfiguration(role, file: text) else { return }
        let again = printedConfiguration(role, file: text)
        mustHold(again == printed, "the same file means something else the second time")
    }

    /// Arguments of any role, separated by zero bytes.
    private static func arguments(_ input: inout FuzzInput) {
        let role = roles[input.number(below: roles.count)]
        var words: [String] = []
        while !input.isEmpty { words.append(input.textUpToZero()) }
        _ = printedConfiguration(role, words)
    }

    /// What `--print-config` prints; nil if the settings are refused, with a sentence.
    private static func printedConfiguration(
        _ role: Role,
        _ arguments: [String] = [],
        file: String? = nil
    ) -> String? {
        var (output, complaint) = ("", "")
        let surroundings = ProcessSurroundings(
            environment: { _ in nil },
            environmentNames: { [] },
            readFile: { _ in file.map { .text($0) } ?? .absent },
            exists: { _ in false },
            isOccupied: { _ in false },
            printOutput: { output += $0 },
            printError: { complaint += $0 },
            makeLogger: { _ in .discarding() },
            commit: "",
            executablePath: { "/proc/self/exe" }
        )
        // First, because a later value of the same option could switch it off; then nothing runs.
        var arguments = arguments
        arguments.removeAll { $0.hasPrefix("-print-config") || $0.hasPrefix("--print-config") }
        let status = role.run(["--print-config"] + arguments, .standard, surroundings)
        mustHold(status == .success || !complaint.isEmpty, "refused without a sentence")
        return status == .success ? output : nil
    }

    /// A value that was read, written and read again is the same.
    private static func json(_ input: inout FuzzInput) throws {
        let value = try JSONParser.parse(input.rest())
        let again = try JSONParser.parse(value.octets)
        mustHold(again == value, "\(value) became \(again)")
    }

    /// An agent's message; its end does not depend on the cuts.
    private static func portMessage(_ input: inout FuzzInput) throws {
        let (whole, pieces) = input.pieces()
        var (one, many) = (PortMessageReader(), PortMessageReader())
        let isComplete = whole.withUnsafeBytes { one.append($0) }
        let becomesComplete = pieces.contains { piece in
            piece.withUnsafeBytes { many.append($0) }
        }
        mustHold(isComplete == becomesComplete, "the cuts change the message's end")
        mustHold(!isComplete || one.octets == many.octets, "the cuts change the message")
        _ = try PortMessage(decoding: one.octets)
    }

    private static func hosts(_ input: inout FuzzInput) throws {
        let table = HostsTable(parsing: input.rest(), hostAlias: IPAddress(ipv4: 0xc0a8_7ffe))
        mustHold(!table.isCut, "a cut after so few names")
    }

    private static func resolvers(_ input: inout FuzzInput) {
        let configuration = ResolverConfiguration(parsing: input.rest())
        mustHold(configuration.servers.count <= ResolverConfiguration.serverLimit)
        mustHold((1...5).contains(configuration.attempts), "\(configuration.attempts)")
        mustHold(configuration.timeout >= .seconds(1), "\(configuration.timeout)")
    }

    /// An expression on a name: the work is bounded.
    private static func pattern(_ input: inout FuzzInput) throws {
        let pattern = try NamePattern(input.textUpToZero())
        _ = pattern.matches(input.rest().prefix(255))
    }

    private static func zone(_ input: inout FuzzInput) throws {
        let zone = try DNSZone(reading: try JSONParser.parse(input.rest()))
        let again = try DNSZone(reading: zone.json)
        mustHold(again == zone, "\(zone) became \(again)")
    }
}
