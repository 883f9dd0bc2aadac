/// The statistics of a host end in `/stats` and `/metrics`.
enum NetworkStatistics {
    /// Collects all counters.
    ///
    /// - Parameters:
    ///   - engine: Links, drops and flows.
    ///   - dns: The DNS service's counters.
    /// - Returns: The tree; counters that gvproxy also has are at the top, with gvproxy's names.
    static func tree(_ engine: PacketEngine, _ dns: DNSCounters) -> Statistics {
        let link = engine.ethernet.counters
        let drops = engine.drops.all.map { reason, count in
            Statistics.Entry.counter(
                reason.rawValue,
                "Packets from guests and hosts that were not passed on: \(reason.rawValue).",
                count
            )
        }
        let limits = Limit.allCases.map { limit in
            Statistics.Entry.counter(
                limit.rawValue,
                "Times that this limit was reached: \(limit.effect).",
                engine.limits.count(of: limit)
            )
        }
        let ignored = IgnoreReason.allCases.map { reason in
            Statistics.Entry.counter(
                reason.rawValue,
                "Valid packets to a group that need no answer: \(reason.rawValue).",
                engine.ignored[reason] ?? 0
            )
        }
        return Statistics([
            .counter("BytesSent", "Octets of frames sent to guests.", link.octetsSent),
            .counter(
                "BytesReceived",
                "Octets of frames received from guests.",
                link.octetsReceived
            ),
            .counter("FramesSent", "Frames sent to guests.", link.framesSent),
            .counter("FramesReceived", "Frames received from guests.", link.framesReceived),
            .counter(
                "DroppedPackets",
                "Packets and frames dropped for any reason.",
                engine.drops.total &+ link.dropped &+ link.malformed
            ),
            .counter(
                "UnknownProtocolRcvdPackets",
                "Packets of an unsupported protocol.",
                engine.drops.count(of: .unknownProtocol)
            ),
            .counter(
                "MalformedRcvdPackets",
                "Packets whose headers contradict themselves.",
                engine.drops.count(of: .malformed)
            ),
            .counter("MalformedFrames", "Frames of an impossible length.", link.malformed),
            .counter("DroppedFrames", "Frames dropped because a link was full.", link.dropped),
            .group("Drops", drops),
            .group("Limits", limits),
            .group("Ignored", ignored),
            .group("TCP", entries(engine.tcp)),
            .group("DNS", entries(dns)),
            .gauge("UDPFlows", "Guest ports with a host socket.", UInt64(engine.udp.count)),
            .gauge("EchoFlows", "Guests' pings with a host socket.", UInt64(engine.echo.count)),
            .gauge("Links", "Links attached.", UInt64(engine.ethernet.attached.count)),
        ])
    }

    private static func entries(_ flows: TCPFlows) -> [Statistics.Entry] {
        let tcp = flows.counters
        return [
            .gauge("Flows", "Connections in the table.", UInt64(flows.count)),
            .counter("Opened", "Connections begun.", tcp.opened),
            .counter("Established", "Connections established.", tcp.established),
            .counter("Closed", "Connections closed.", tcp.closed),
            .counter("Refused", "Connections that the host refused.", tcp.refused),
            .counter("Resets", "Connections cut off by either side.", tcp.resets),
            .counter("Retransmits", "Segments sent again.", tcp.retransmits),
            .counter("Timeouts", "Retransmission timeouts.", tcp.timeouts),
            .counter("Challenges", "Challenge ACKs sent.", tcp.challenges),
            .counter(
                "Outdated",
                "Segments with an older timestamp than the guest's latest.",
                tcp.outdated
            ),
            .counter("Strays", "Segments without a connection.", tcp.strays),
            .counter("BytesToHost", "Payload passed to host sockets.", tcp.octetsToHost),
            .counter("BytesToGuest", "Payload sent to guests.", tcp.octetsToGuest),
        ]
    }

    private static func entries(_ dns: DNSCounters) -> [Statistics.Entry] {
        [
            .counter("Queries", "Queries from guests.", UInt64(dns.queries)),
            .counter("Local", "Queries answered locally.", UInt64(dns.local)),
            .counter("Refused", "Messages answered with an error.", UInt64(dns.refused)),
            .counter(
                "MulticastLookups",
                "Names queried on the host's links.",
                UInt64(dns.multicast.lookups)
            ),
            .counter(
                "MulticastAnswers",
                "Queries answered from the host's links.",
                UInt64(dns.multicast.answered)
            ),
            .gauge("InFlight", "Queries that wait for a resolver.", UInt64(dns.inFlight)),
        ]
    }
}
