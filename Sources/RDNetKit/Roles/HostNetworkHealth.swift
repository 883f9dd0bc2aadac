/// What `ctl doctor` needs to know and only the network itself knows.
extension HostNetwork {
    /// The document of `/health`.
    var health: JSON {
        let plan = engine.plan
        var members = [
            JSON.Member("version", .string(RoleRegistry.version)),
            JSON.Member("commit", .string(ProcessEnvironment.commit)),
            JSON.Member("pid", .integer(UInt64(max(ProcessEnvironment.process, 0)))),
            JSON.Member("logLevel", .string(log.level.name)),
            JSON.Member("mtu", .integer(UInt64(plan.mtu))),
            JSON.Member("subnet", .string("\(plan.subnet)")),
            JSON.Member("gateway", .string("\(plan.gateway)")),
            JSON.Member("hasRouteIPv4", .bool(HostRouteWatch.canReachInternet(isIPv4: true))),
            JSON.Member("hasRouteIPv6", .bool(HostRouteWatch.canReachInternet(isIPv4: false))),
            JSON.Member("descriptors", .integer(UInt64(ProcessLimits.descriptors))),
            JSON.Member("policy", .bool(policy.current != nil)),
        ]
        if let ipv6 = plan.ipv6 { members.append(JSON.Member("ipv6", .string("\(ipv6.prefix)"))) }
        if let namespace { members.append(JSON.Member("namespace", .string(namespace))) }
        return .object(members)
    }
}
