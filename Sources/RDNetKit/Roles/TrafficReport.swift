extension HostNetwork {
    /// Interval between two log lines about the traffic.
    private static let reportInterval: Duration = .seconds(5)

    /// Starts logging the traffic counters at level debug.
    func reportTraffic() {
        engine.loop.after(Self.reportInterval) { [weak self] _ in
            guard let self else { return }
            let counters = engine.ethernet.counters
            let sent = OctetCount(counters.octetsSent)
            let received = OctetCount(counters.octetsReceived)
            engine.log.debug("\(sent) sent to the VM, \(received) received from the VM")
            reportTraffic()
        }
    }
}
