import Testing

@testable import RDNetKit

@Suite("options of the handshake")
struct HandshakeOptionsTests {
    @Test(
        "a machine is written in one of these ways, and printed so that it can be read again",
        arguments: [
            ("3", "vsock://3"), ("vsock://3", "vsock://3"), ("vsock://3-66", "vsock://3-66"),
            ("1", "vsock://1"), ("3-3", "vsock://3"), ("4294967294", "vsock://4294967294"),
            ("3-258", "vsock://3-258"), ("unix:///a", "unix:///a"), ("unix:///a/", "unix:///a/"),
            ("firecracker+unix:///a/v.sock", "firecracker+unix:///a/v.sock"),
            ("firecracker+unix:///", "firecracker+unix:///"),
        ]
    )
    func goodMachine(text: String, printed: String) throws {
        let address = try #require(VMAddress(text))
        #expect(address.description == printed)
        #expect(VMAddress(printed) == address)
    }

    @Test(
        "anything else is refused",
        arguments: [
            "", "0", "0-3", "4294967295", "-3", "3-", "5-4", "3-259", "1-2-3", "vsock://", "x",
            "vsock://3:6669", "unix://a", "unix://", "tcp://127.0.0.1:1", "unix:///a\0",
            "unix:///" + String(repeating: "a", count: 96), "0x3", "3 ",
        ]
    )
    func badMachine(text: String) {
        #expect(VMAddress(text) == nil)
    }

    @Test func `a machine's calls and its stream have addresses of their own`() {
        let context = VirtualMachine.context(3)
        #expect("\(context.handshakeAddress(port: 6669))" == "vsock://3:6669")
        #expect("\(context.dataAddress(port: 6656))" == "vsock://:6656")
        #expect(context.askedPort(6669) == nil)
        let socket = VirtualMachine.socket("/v", .asked)
        #expect("\(socket.handshakeAddress(port: 6669))" == "unix:///v")
        #expect("\(socket.dataAddress(port: 6656))" == "unix:///v_6656")
        #expect(socket.askedPort(6669) == 6669)
        #expect(VirtualMachine.socket("/v", .direct).askedPort(6669) == nil)
    }

    @Test func `the profile says everything, and a single option is stronger`() {
        var settings = HandshakeSettings()
        #expect(String(decoding: settings.phrase, as: UTF8.self).hasSuffix("/src/go/networking"))
        #expect(settings.phrase.count == 60)
        #expect((settings.handshakePort, settings.dataPort) == (6669, 6656))
        settings.profile = .opensuse
        #expect((settings.handshakePort, settings.dataPort) == (6670, 6657))
        #expect(settings.phrase.count == 69)
        settings.ownDataPort = 7000
        settings.ownPhrase = "me"
        #expect((settings.handshakePort, settings.dataPort) == (6670, 7000))
        #expect(settings.phrase == Array("me".utf8))
    }

    @Test(
        "a vsock port is a number as Go reads it",
        arguments: [("0x1a0d", 6669), ("6_669", 6669), ("1", 1), ("4294967294", 4_294_967_294)]
    )
    func port(text: String, number: UInt32) {
        #expect(ValueSyntax<UInt32?>.optionalVsockPort.parse(text) == .some(number))
    }

    @Test("and nothing else", arguments: ["0", "-1", "4294967295", "x", " "])
    func badPort(text: String) {
        #expect(ValueSyntax<UInt32?>.optionalVsockPort.parse(text) == nil)
    }

    @Test func `without a link there is a machine to look for, with one only if it is named`() {
        var settings = HostSwitchSettings()
        #expect(settings.looksForMachine)
        settings.links = [.descriptor(3)]
        #expect(!settings.looksForMachine)
        settings.machines = [.contexts(3...3)]
        #expect(settings.looksForMachine)
    }

    @Test func `-debug captures, as the original does, unless another file is named`() {
        var settings = HostSwitchSettings()
        #expect(settings.effectiveNetwork.captureFile.isEmpty)
        settings.common.isDebugging = true
        #expect(settings.effectiveNetwork.captureFile == "capture.pcap")
        settings.network.captureFile = "/other"
        #expect(settings.effectiveNetwork.captureFile == "/other")
    }

    @Test(
        "octets are said as gvproxy says them",
        arguments: [
            (0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (1_549, "1.5 kB"), (9_950, "10 kB"),
            (9_949, "9.9 kB"), (82_854_982, "83 MB"), (UInt64.max, "18 EB"),
        ] as [(UInt64, String)]
    )
    func octets(count: UInt64, text: String) {
        #expect(OctetCount(count).description == text)
    }
}
