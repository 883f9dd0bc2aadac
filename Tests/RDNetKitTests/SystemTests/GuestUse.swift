import Testing

@testable import RDNetKit

/// Uses of a guest's network.
extension GuestMachine {
    /// Waits for the guest and obtains an address.
    func join(_ interface: String) throws {
        try waitUntilReady()
        try requestAddress(interface)
    }

    /// Obtains an address.
    func requestAddress(_ interface: String) throws {
        try run("udhcpc -n -q -f -t 10 -T 1 -i \(interface) -s /etc/udhcpc.sh")
    }

    /// Waits for the guest, obtains an address, and tries names, ping, download and upload.
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
        // busybox's wget posts only text.
        let sum = try run("base64 /tmp/file >/tmp/text; sha256sum </tmp/text")
        #expect(try run("wget -q -O - --post-file=/tmp/text \(url)/cgi-bin/sum") == sum)
    }

    /// Returns the interface's addresses, as ip(8) shows them.
    func address(_ interface: String) throws -> String {
        try run("ip -o -4 address show \(interface)")
    }

    /// Creates a file `own` and serves it on a port; returns its checksum.
    func serveOwnFile(port: Int = 80) throws -> String {
        try run("dd if=/dev/urandom of=/tmp/own bs=1k count=500 2>/dev/null")
        return try run("sha256sum </tmp/own; httpd -p \(port) -h /tmp")
    }

    /// Fetches a file from another guest.
    func fetch(from server: GuestMachine, _ address: String) throws {
        let expected = try server.serveOwnFile()
        #expect(try run("wget -q -O - http://\(address)/own | sha256sum") == expected)
    }
}
