import CLinux
import Glibc

private let usage = """
    Usage: rdnet-load echo PORT
           rdnet-load udp-server PORT
           rdnet-load rr HOST PORT SECONDS
           rdnet-load crr HOST PORT SECONDS [AT-ONCE [COUNT]]
           rdnet-load hold HOST PORT COUNT
           rdnet-load bulk-server PORT
           rdnet-load bulk-up|bulk-down HOST PORT CONNECTIONS OCTETS
           rdnet-load echo-many HOST PORT [COUNT [OCTETS]]
           rdnet-load udp-up|udp-down HOST PORT SECONDS [MEGABITS [OCTETS [AT-ONCE]]]
           rdnet-load udp-echo PORT
           rdnet-load udp-rr HOST PORT SECONDS
           rdnet-load udp-clients HOST PORT COUNT
           rdnet-load udp-lossless-up|udp-lossless-down HOST PORT SECONDS [OCTETS [AT-ONCE]]
           rdnet-load ready exit|output|unix:PATH|address:ADDRESS COUNT COMMAND...
           rdnet-load relay PATH INTERFACE
           rdnet-load without-ipv6 COMMAND...
           rdnet-load headerless short|qemu|bess|vfkit PATH INTERFACE

    The load that tests and benchmarks put on a network; results are JSON on standard output.

    """

private func misuse() -> Never {
    say(usage, to: STDERR_FILENO)
    exit(2)
}

/// Returns a numeric operand; an absent one has the default, if any.
private func number(_ index: Int, default value: Double? = nil) -> Double {
    guard CommandLine.arguments.count > index else {
        guard let value else { misuse() }
        return value
    }
    guard let number = Double(CommandLine.arguments[index]), number >= 0 else { misuse() }
    return number
}

private func port(_ index: Int) -> UInt16 { UInt16(clamping: Int(number(index))) }

private var peer: Peer {
    guard CommandLine.arguments.count > 3 else { misuse() }
    return Peer(host: CommandLine.arguments[2], port: port(3))
}

raiseDescriptorLimit()
switch CommandLine.arguments.dropFirst().first {
case "echo":
    var server = EchoServer(port: port(2))
    server.run()
case "udp-server":
    DatagramLoad.serve(port: port(2))
case "rr":
    RequestResponse.run(peer, seconds: number(4))
case "crr":
    var rate = ConnectionRate(peer)
    rate.most = Int(number(6, default: 1e9))
    rate.run(seconds: number(4), atOnce: Int(number(5, default: 1)))
case "hold":
    ConnectionSet.hold(peer, count: Int(number(4)))
case "bulk-server":
    var server = BulkServer(port: port(2))
    server.run()
case "bulk-up", "bulk-down":
    var transfer = BulkTransfer()
    transfer.run(
        peer,
        isUpload: CommandLine.arguments[1] == "bulk-up",
        connections: max(Int(number(4)), 1),
        octets: Int(number(5))
    )
case "echo-many":
    var echoed = EchoedConnections(octets: Int(number(5, default: 300_000)))
    echoed.run(peer, count: Int(number(4, default: 200)))
case "udp-echo":
    DatagramEchoServer.run(port: port(2))
case "udp-rr":
    RequestResponse.runDatagrams(peer, seconds: number(4))
case "udp-clients":
    var clients = DatagramClients()
    clients.run(peer, count: Int(number(4)))
case "udp-up", "udp-down", "udp-lossless-up", "udp-lossless-down":
    let name = CommandLine.arguments[1]
    var load = DatagramLoad(peer: peer, isUpload: name.hasSuffix("up"), seconds: number(4))
    let isSearch = name.contains("lossless")
    let shape = isSearch ? 5 : 6
    load.shape = (Int(number(shape, default: 1_400)), Int(number(shape + 1, default: 1)))
    if isSearch { load.searchLossless() } else { load.run(megabits: UInt64(number(5, default: 0))) }
case "ready":
    guard CommandLine.arguments.count > 4 else { misuse() }
    let sign = StartTime.Sign(CommandLine.arguments[2])
    let command = Array(CommandLine.arguments.dropFirst(4))
    StartTime.run(sign, count: Int(number(3)), command: command)
case "without-ipv6":
    guard CommandLine.arguments.count > 2 else { misuse() }
    KernelWithoutIPv6.run(Array(CommandLine.arguments.dropFirst(2)))
case "relay":
    guard CommandLine.arguments.count > 3 else { misuse() }
    PlainRelay(path: CommandLine.arguments[2], interface: CommandLine.arguments[3]).run()
case "headerless":
    guard CommandLine.arguments.count > 4,
        let transport = HeaderlessRelay.Transport(rawValue: CommandLine.arguments[2])
    else { misuse() }
    let (path, interface) = (CommandLine.arguments[3], CommandLine.arguments[4])
    HeaderlessRelay(transport, path: path, interface: interface).run()
default:
    misuse()
}
