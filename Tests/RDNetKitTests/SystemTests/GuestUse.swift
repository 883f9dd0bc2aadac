import Testing

@testable import RDNetKit

/// What a guest does with its network.
extension GuestMachine {
    /// Waits for the guest and gets it an address.
    func join(_ interface: String) throws {
        try waitUntilReady()
        try run("udhcpc -n -q -f -t 10 -T 1 -i \(interface) -s /etc/udhcpc.sh")
    }

    /// Waits for the guest, gets it an address, and tries names, ping, download and upload.
    func use(_ interface: String, in network: GuestNetwork) throws {
        try join(interface)
        let names = try run("nslookup host.docker.internal")
        #expect(names.contains("192.168.127.254"), "\(names)")
        for address in ["192.168.127.1", "192.168.127.254"] {
            try run("ping -c 1 -W 5 \(address)")
        }
        let url = "http://192.168.127.254"
        try run("wget -q -O /tmp/file \(url)/file")
        #expect(try run("sha256sum /tmp/file").hasPrefix(network.checksum))
        // busybox sends texts only.
        let sum = try run("base64 /tmp/file >/tmp/text; sha256sum </tmp/text")
        #expect(try run("wget -q -O - --post-file=/tmp/text \(url)/cgi-bin/sum") == sum)
    }

    /// The interface's addresses, as ip(8) shows them.
    func address(_ interface: String) throws -> String {
        try run("ip -o -4 address show \(interface)")
    }

    /// Begins to serve a file of its own, `own`, on a port; the file's sum.
    func serveOwnFile(port: Int = 80) throws -> String {
        try run("dd if=/dev/urandom of=/tmp/own bs=1k count=500 2>/dev/null")
        return try run("sha256sum </tmp/own; httpd -p \(port) -h /tmp")
    }

    /// Fetches a file of another guest's.
    func fetch(from server: GuestMachine, _ address: String) throws {
        let expected = try server.serveOwnFile()
        #expect(try run("wget -q -O - http://\(address)/own | sha256sum") == expected)
    }
}
