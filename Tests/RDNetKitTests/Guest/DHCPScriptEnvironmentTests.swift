import Testing

@testable import RDNetKit

@Suite("DHCP script environment")
struct DHCPScriptEnvironmentTests {
    @Test func `names a lease as udhcpc does`() throws {
        var message = try DHCPLeaseTests.acknowledgment()
        message.options[.domainName] = Array("lan".utf8)
        message.options[DHCPOptionCode(rawValue: 224)] = [0xca, 0xfe]
        message.options[.classlessStaticRoutes] = [
            16, 10, 1, 192, 168, 127, 1, 0, 192, 168, 127, 1,
        ]
        message.nextServer = try #require(IPAddress("192.168.127.9"))
        message.bootFile = Array("boot.img".utf8)
        let lease = try #require(DHCPLease(acknowledgedBy: message))
        let environment = DHCPScriptEnvironment(.bound(lease), interface: "eth0")
        #expect(environment.event == "bound")
        let expected = [
            "interface=eth0", "ip=192.168.127.2", "mask=24", "siaddr=192.168.127.9",
            "boot_file=boot.img", "subnet=255.255.255.0", "router=192.168.127.1",
            "dns=192.168.127.1 9.9.9.9", "domain=lan", "mtu=1500", "lease=3600", "opt53=05",
            "serverid=192.168.127.1", "search=lan corp.example",
            "staticroutes=10.1.0.0/16 192.168.127.1 0.0.0.0/0 192.168.127.1", "opt224=cafe",
        ]
        #expect(environment.variables(inheriting: []) == expected)
    }

    @Test func `keeps what is inherited, but for the contract's own names`() {
        let environment = DHCPScriptEnvironment(.lost, interface: "eth0")
        let inherited = ["NOTIFY_SOCKET=/run/systemd/notify", "interface=wrong", "PATH=/bin"]
        #expect(environment.event == "deconfig")
        #expect(
            environment.variables(inheriting: inherited)
                == ["interface=eth0", "NOTIFY_SOCKET=/run/systemd/notify", "PATH=/bin"]
        )
    }

    @Test func `every change has udhcpc's event`() throws {
        let message = try DHCPLeaseTests.acknowledgment()
        let lease = try #require(DHCPLease(acknowledgedBy: message))
        let changes: [LeaseChange] = [
            .lost, .bound(lease), .renewed(lease), .silence, .refused(message),
        ]
        let events = changes.map { DHCPScriptEnvironment($0, interface: "eth0").event }
        #expect(events == ["deconfig", "bound", "renew", "leasefail", "nak"])
    }

    @Test func `a lease without a mask still has subnet and mask`() throws {
        var message = try DHCPLeaseTests.acknowledgment()
        message.options[.subnetMask] = nil
        message.options[.leaseTime] = nil
        let lease = try #require(DHCPLease(acknowledgedBy: message))
        let variables = DHCPScriptEnvironment(.bound(lease), interface: "eth0")
            .variables(inheriting: [])
        for expected in ["subnet=255.255.255.0", "mask=24", "lease=3600"] {
            #expect(variables.contains(expected))
        }
    }

    @Test func `texts that would break a script are made harmless`() throws {
        var message = try DHCPLeaseTests.acknowledgment()
        message.options[.hostName] = Array("$(reboot)".utf8)
        message.options[.message] = Array("two\nlines\0rest".utf8)
        let lease = try #require(DHCPLease(acknowledgedBy: message))
        let variables = DHCPScriptEnvironment(.bound(lease), interface: "eth0")
            .variables(inheriting: [])
        #expect(variables.contains("hostname=bad"))
        #expect(variables.contains("message=two?lines"))
    }

    @Test(
        "any message a server sends gives one line a variable",
        arguments: 0..<20 as Range<UInt64>
    )
    func anyMessageIsSafe(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        for _ in 0..<50 {
            var message = try DHCPLeaseTests.acknowledgment()
            for _ in 0..<8 {
                let code = DHCPOptionCode(rawValue: UInt8.random(in: 1...254, using: &random))
                let length = Int.random(in: 0...40, using: &random)
                message.options[code] = (0..<length).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
            }
            guard let lease = DHCPLease(acknowledgedBy: message) else { continue }
            let variables = DHCPScriptEnvironment(.bound(lease), interface: "eth0")
                .variables(inheriting: [])
            let isSafe = variables.allSatisfy { !$0.contains("\n") && !$0.contains("\0") }
            #expect(isSafe, "seed \(seed)")
            let lines = lease.resolverText.split(separator: "\n")
            let isResolverFile = lines.allSatisfy {
                $0.hasPrefix("search ") || $0.hasPrefix("nameserver ")
            }
            #expect(isResolverFile, "seed \(seed)")
        }
    }
}
