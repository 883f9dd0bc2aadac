/// One line of `ctl doctor`: what was looked at, what was found, and what to do about it.
struct Finding: Equatable {
    enum Verdict: String {
        case ok
        case warning
        /// Something cannot work as it is.
        case failure
    }

    var verdict: Verdict
    /// What was looked at, in a word or two.
    var subject: String
    /// The state, or the cause of the problem.
    var text: String
    /// The next step; nil if nothing is wrong.
    var next: String?

    static func ok(_ subject: String, _ text: String) -> Finding {
        Finding(verdict: .ok, subject: subject, text: text)
    }

    static func warning(_ subject: String, _ text: String, next: String) -> Finding {
        Finding(verdict: .warning, subject: subject, text: text, next: next)
    }

    static func failure(_ subject: String, _ text: String, next: String) -> Finding {
        Finding(verdict: .failure, subject: subject, text: text, next: next)
    }

    var json: JSON {
        .object(
            [
                JSON.Member("verdict", .string(verdict.rawValue)),
                JSON.Member("subject", .string(subject)), JSON.Member("text", .string(text)),
            ] + (next.map { [JSON.Member("next", .string($0))] } ?? [])
        )
    }

    /// The findings as lines, for people.
    static func lines(_ findings: [Finding]) -> String {
        let width = findings.map(\.subject.count).max() ?? 0
        return findings.map { finding in
            let verdict = finding.verdict.rawValue
            let gaps = [9 - verdict.count, width + 2 - finding.subject.count].map {
                String(repeating: " ", count: max($0, 1))
            }
            let next = finding.next.map { "; next: \($0)" } ?? ""
            return (verdict + gaps[0] + finding.subject + gaps[1] + finding.text + next).printable
                + "\n"
        }.joined()
    }
}

/// The command `ctl doctor`: asks a running network for its state, and its resolvers for an answer.
struct Doctor {
    /// How long a resolver has to answer.
    private static let patience: Duration = .seconds(1)

    let session: CtlSession

    /// Prints a line for everything that was looked at.
    ///
    /// - Returns: Failure if something cannot work.
    func run() -> ExitCode {
        let findings = examine()
        session.printOutput(
            session.settings.printsJSON
                ? String(decoding: JSON.array(findings.map(\.json)).octets, as: UTF8.self) + "\n"
                : Finding.lines(findings)
        )
        return findings.contains { $0.verdict == .failure } ? .failure : .success
    }

    private func examine() -> [Finding] {
        let health: JSON
        do {
            health = try document("/health")
        } catch {
            return [DoctorReport.unreachable(error)]
        }
        let address = "\(session.client.address)"
        var findings = [DoctorReport.hostEnd(health, at: address)]
        findings += DoctorReport.routes(health)
        let isLocal = isLocal(health)
        findings.append(DoctorReport.mtu(health, uplink: isLocal ? uplink : nil))
        var links = JSON.null
        findings += look("/links") {
            links = $0
            return DoctorReport.links($0)
        }
        findings += look("/leases?details=true") {
            DoctorReport.leases($0, on: links, hasIPv6: health.member("ipv6") != nil)
        }
        findings += look("/dns") { servers in
            DoctorReport.resolvers(servers) { isLocal ? probe($0) : nil }
        }
        findings += look("/services/forwarder/all?details=true") { DoctorReport.forwards($0) }
        findings += look("/flows/failed") { DoctorReport.failures($0) }
        findings += look("/stats") { DoctorReport.limits($0) }
        return findings
    }

    private func document(_ path: String) throws(APIFailure) -> JSON {
        try session.parse(try session.client.ask(path), path)
    }

    private func look(_ path: String, _ findings: (JSON) -> [Finding]) -> [Finding] {
        do {
            return findings(try document(path))
        } catch {
            return [.warning("API", "\(path): \(error)", next: "update the host end")]
        }
    }

    /// Whether the network's host sockets are in this program's namespace, so that what this
    /// program sees is what they see.
    private func isLocal(_ health: JSON) -> Bool {
        guard case .unix = session.client.address else { return false }
        return health.text("namespace") == Namespace.currentNetworkIdentity
    }

    /// The interface of the default route, with its MTU; nil if there is none.
    private var uplink: (name: String, mtu: Int)? {
        do {
            guard let uplink = try HostUplink(.ipv4),
                let octets = try TextFile.read("/sys/class/net/\(uplink.interface)/mtu"),
                let mtu = Int(String(decoding: octets.prefix { $0 != 0x0a }, as: UTF8.self))
            else { return nil }
            return (uplink.interface, mtu)
        } catch {
            return nil
        }
    }

    /// Asks a resolver for the root's name servers, which every resolver knows.
    ///
    /// - Parameter text: The resolver's endpoint.
    /// - Returns: How long the answer took, or why there is none; nil if that was not tried.
    private func probe(_ text: String) -> DoctorReport.Probe? {
        guard let server = ZonedEndpoint(text) else { return nil }
        let start = session.client.clock()
        do throws(SystemError) {
            let socket = WaitingSocket(try Socket.connectedDatagram(to: server.resolved()))
            try socket.send(DNSQuery.rootServers, within: Self.patience)
            _ = try socket.receive(upTo: 4_096, within: Self.patience)
            return .answered(session.client.clock() - start)
        } catch {
            return .failed(error.isTimeout ? "no answer in 1 s" : "\(error)")
        }
    }
}
