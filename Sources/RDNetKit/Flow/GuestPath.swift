/// The network that flows' guests are on, as flows see it.
///
/// A packet to a guest is built in place: `reserve` lends room in the queue of the guest's link,
/// the flow writes the payload there, and `commit` writes the headers in front of it. The gateway
/// implements this; flows know neither Ethernet nor the engine.
protocol GuestPath: AnyObject {
    /// The largest IP packet, in bytes.
    var mtu: Int { get }
    /// Incremented with every change of a route.
    var epoch: UInt64 { get }
    /// Limit on the flows of each kind that the guests of one link may have; nil for none.
    var flowsPerLink: Int? { get }

    // MARK: Guests

    /// Finds a guest, or the one in front of an address; nil if its Ethernet address is unknown or
    /// its link has closed.
    func route(to guest: IPAddress) -> GuestRoute?
    /// Whether a route is still current.
    func isCurrent(_ route: GuestRoute) -> Bool
    /// Asks for the Ethernet address of a guest.
    func askFor(_ guest: IPAddress)
    /// Whether the gateway can connect to an address: a guest's, or one behind a guest.
    func leads(to guest: IPAddress) -> Bool
    /// The number of the port on which a guest is; -1 if it is on none.
    func port(of guest: IPAddress) -> Int

    // MARK: Decisions

    /// Decides where a new flow of a guest leads.
    ///
    /// - Parameters:
    ///   - transport: TCP, UDP or ICMP, which means echo.
    ///   - guest: The sender.
    ///   - remote: The destination as the guest sees it; port 0 for echo.
    ///   - server: What `identity` said of it; nil if nobody asked.
    /// - Returns: Where it leads, or why it leads nowhere.
    func admit(
        _ transport: UInt8,
        from guest: IPAddress,
        to remote: Endpoint,
        _ server: ServerIdentity?
    ) -> Verdict
    /// What a policy knows of the server at an address, as a flow to it begins; nil without a
    /// policy.
    func identity(of remote: IPAddress, for guest: IPAddress) -> ServerIdentity?
    /// Whether a flow may go on whose first bytes have named its server.
    ///
    /// - Parameters:
    ///   - flow: Its two ends, as the guest sees them.
    ///   - host: The server on the host's network.
    ///   - identity: What is known of the server.
    ///   - hidesName: Whether the bytes that name the server are said to be not all of it.
    /// - Returns: True without a policy.
    func stillAdmits(
        _ flow: FlowKey,
        to host: Endpoint,
        _ identity: ServerIdentity,
        hidesName: Bool
    ) -> Bool
    /// Whether somebody keeps records of the flows that end.
    var recordsFlows: Bool { get }
    /// Records a flow that is over.
    func ended(_ flow: FlowRecord)
    /// Whether somebody watches flows begin and end at the moment.
    var watchesFlows: Bool { get }
    /// Reports a flow that has begun or is over.
    func changed(_ flow: FlowRecord, isOver: Bool)
    /// The address under which guests know an address of the host's network.
    func seenByGuests(_ host: IPAddress) -> IPAddress
    /// The address that a guest sees as the client of a forward.
    func client(seenBy guest: IPAddress) -> IPAddress

    // MARK: Packets to guests

    /// Lends room for one packet in the queue of a guest's link.
    ///
    /// - Parameters:
    ///   - count: Bytes of transport header and payload.
    ///   - source: The sender that the guest sees.
    ///   - guest: The receiver.
    ///   - route: The way to it.
    ///   - priority: How much of the queue the packet may use.
    /// - Returns: Nil when the queue is full.
    func reserve(
        _ count: Int,
        from source: IPAddress,
        to guest: IPAddress,
        over route: GuestRoute,
        _ priority: FramePriority
    ) -> OutboundPacket?

    /// Sends a TCP segment whose payload is in place behind its header.
    ///
    /// - Parameters:
    ///   - packet: Where the payload is.
    ///   - header: Written in front of it.
    ///   - payload: Bytes of payload.
    ///   - segmentSize: The most payload in one packet; a longer segment leaves as several.
    func commit(_ packet: OutboundPacket, _ header: TCPHeader, payload: Int, segmentSize: Int)

    /// Sends datagrams whose payload is in place behind one UDP header.
    ///
    /// - Parameters:
    ///   - packet: Where the payload is.
    ///   - header: Of the first datagram; its length and checksum are set here.
    ///   - payload: Bytes of payload.
    ///   - segmentSize: The length of each datagram's payload but the last.
    func commit(_ packet: OutboundPacket, _ header: UDPHeader, payload: Int, segmentSize: Int)

    /// Sends one datagram with a complete checksum, in fragments if it exceeds the MTU.
    func send(
        _ payload: UnsafeRawBufferPointer,
        from source: Endpoint,
        to guest: Endpoint,
        over route: GuestRoute
    )

    /// Sends an ICMP message, in fragments if it exceeds the MTU.
    ///
    /// - Parameters:
    ///   - message: The header; its checksum is computed here.
    ///   - data: What follows the header.
    ///   - source: The sender that the guest sees.
    ///   - guest: The receiver.
    ///   - hopLimit: The hop limit that arrives.
    ///   - route: The way to it.
    func send(
        _ message: ICMPMessage,
        _ data: UnsafeRawBufferPointer,
        from source: IPAddress,
        to guest: IPAddress,
        hopLimit: UInt8,
        over route: GuestRoute
    )

    /// Reports to a guest that its packet led nowhere, if ICMP allows it and the rate is not
    /// exceeded.
    func report(_ error: GuestError)
    /// Counts a packet that is not passed on.
    func drop(_ reason: DropReason)
    /// Records a connection, datagram or ping that did not reach its destination.
    func failed(_ flow: FailedFlow)
}

extension GuestPath {
    /// The most payload of a TCP segment without options that reaches a guest (RFC 9293, 3.7.1).
    @inline(__always)
    func maximumSegmentSize(to guest: IPAddress) -> Int {
        mtu - IPHeader.length(for: guest) - TCPHeader.length
    }
}

/// The route to a guest: its link and its MAC address.
struct GuestRoute {
    let link: any FrameLink
    let mac: MACAddress
    /// Detects stale routes.
    let epoch: UInt64
}

/// Room in a link's queue for one packet to a guest.
struct OutboundPacket {
    let route: GuestRoute
    let source: IPAddress
    let destination: IPAddress
    /// From the Ethernet header to the end of the payload.
    let frame: UnsafeMutableRawBufferPointer

    /// The offset of the transport header in the frame.
    @inline(__always)
    static func transportStart(for guest: IPAddress) -> Int {
        EthernetHeader.length + IPHeader.length(for: guest)
    }

    /// The most bytes of transport header and payload in one frame.
    @inline(__always)
    static func capacity(for guest: IPAddress) -> Int {
        Frame.maximumLength - transportStart(for: guest)
    }

    /// The offset of the transport header in the frame.
    @inline(__always)
    var transportStart: Int { Self.transportStart(for: destination) }

    /// The room behind a transport header.
    ///
    /// - Parameter header: The length of the transport header.
    /// - Returns: The payload's room.
    @inline(__always)
    func payload(behind header: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: frame[(transportStart + header)...])
    }
}
