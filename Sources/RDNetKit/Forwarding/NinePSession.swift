/// One client's session with the control file system: its fids, and the answer to every request.
///
/// Requests are answered at once and in order, so a flush finds nothing to cancel.
final class NinePSession {
    /// Limit on the length of a message, and the one before the first message.
    static let maximumLength = 16_384
    /// A shorter limit would leave no room for the answers.
    private static let minimumLength = 512
    /// A mounted file system uses three for each open file.
    private static let maximumFids = 16_384

    /// The guest that the session belongs to; nil if that is not known.
    let client: IPAddress?
    private let system: PortFileSystem
    private var phase = Phase.version
    private var fids: [UInt32: PortFileHandle] = [:]
    private var dialect = NinePDialect.plain
    private(set) var lengthLimit = maximumLength

    private enum Phase {
        /// Before the first message.
        case version
        /// Before the second message.
        case attach
        case open
        case over
    }

    init(_ system: PortFileSystem, client: IPAddress?) {
        self.system = system
        self.client = client
    }

    /// Whether the client has attached to the tree.
    var hasBegun: Bool { phase == .open }

    /// Whether the connection must be closed.
    var isOver: Bool { phase == .over }

    /// Answers a request.
    ///
    /// - Parameter message: The whole message, at least a header long.
    /// - Returns: The answer; nil for a client of another protocol.
    func answer(_ message: [UInt8]) -> [UInt8]? {
        let request = NinePRequest(message, in: dialect)
        let reply: NinePReply?
        do throws(NinePError) {
            reply = try answer(request)
        } catch {
            reply = .error(error)
        }
        return reply?.octets(tag: request.tag, in: dialect)
    }

    /// Closes every file.
    func end() {
        phase = .over
        fids = [:]
        system.end(self)
    }

    private func answer(_ request: NinePRequest) throws(NinePError) -> NinePReply? {
        switch (phase, request.call) {
        case (.version, .version(let length, let asked)): return negotiate(length, asked)
        case (.version, _):
            phase = .over
            throw .versionExpected
        case (.attach, .attach): phase = .open
        case (.attach, _):
            phase = .over
            throw .attachExpected
        case (.open, _): break
        case (.over, _): return nil
        }
        guard let call = request.call else { throw .invalid }
        return try answer(call)
    }

    private func negotiate(_ length: UInt32, _ asked: String) -> NinePReply? {
        guard let dialect = NinePDialect(for: asked), length >= Self.minimumLength else {
            phase = .over
            return nil
        }
        self.dialect = dialect
        lengthLimit = min(Int(length), Self.maximumLength)
        phase = .attach
        return .version(
            maximumLength: UInt32(truncatingIfNeeded: lengthLimit),
            dialect: dialect.rawValue
        )
    }

    private func answer(_ call: NinePRequest.Call) throws(NinePError) -> NinePReply {
        switch call {
        case .version, .authenticate: throw .notImplemented
        case .attach(let fid):
            try bind(fid, to: .root)
            return .attach(PortFileNode.root.file)
        case .flush: return .flush
        case .walk(let fid, let newFid, let names): return try walk(fid, newFid, names)
        case .open(let fid, _):
            return .open(try handle(fid).node.file, unit: unit)
        case .create(let fid, let name, let permissions):
            return try create(fid, name, permissions)
        case .read(let fid, let offset, let count):
            return .read(try read(handle(fid), offset, count))
        case .write(let fid, _, let octets): return try write(handle(fid), octets)
        case .clunk(let fid):
            if let file = fids.removeValue(forKey: fid) { system.release(file) }
            return .clunk
        case .remove(let fid): return try remove(fid)
        case .stat(let fid): return .stat(try handle(fid).node.file)
        case .setStat(let fid, let change):
            _ = try handle(fid)
            guard change.onlyTruncates else { throw .notPermitted }
            return .setStat
        }
    }

    /// The most that one read or write can carry.
    private var unit: UInt32 {
        UInt32(truncatingIfNeeded: lengthLimit - NinePReply.writeOverhead)
    }

    private func handle(_ fid: UInt32) throws(NinePError) -> PortFileHandle {
        guard let file = fids[fid] else { throw .unknownFid }
        return file
    }

    /// Gives a fid a new meaning; what it meant before is closed.
    private func bind(_ fid: UInt32, to node: PortFileNode) throws(NinePError) {
        guard fid != .max else { throw .unknownFid }
        let earlier = fids[fid]
        guard earlier != nil || fids.count < Self.maximumFids else { throw .tooMany }
        fids[fid] = PortFileHandle(node)
        if let earlier { system.release(earlier) }
    }

    private func walk(
        _ fid: UInt32,
        _ newFid: UInt32,
        _ names: [String]
    ) throws(NinePError) -> NinePReply {
        var node = try handle(fid).node
        var files: [NinePFile] = []
        for name in names {
            node = try node.child(name, in: system)
            files.append(node.file)
        }
        if fid != newFid || !names.isEmpty { try bind(newFid, to: node) }
        return .walk(files)
    }

    private func create(
        _ fid: UInt32,
        _ name: String,
        _ permissions: UInt32
    ) throws(NinePError) -> NinePReply {
        let directoryBit: UInt32 = 0x8000_0000
        guard case .root = try handle(fid).node, permissions & directoryBit != 0 else {
            throw .notPermitted
        }
        let node = PortFileNode.entry(try system.make(name, for: self))
        try bind(fid, to: node)
        return .create(node.file, unit: unit)
    }

    private func write(
        _ file: PortFileHandle,
        _ octets: [UInt8]
    ) throws(NinePError) -> NinePReply {
        guard case .control(let entry) = file.node else { throw .notPermitted }
        let text = String(decoding: octets, as: UTF8.self)
        try system.request(text, entry, by: file, self)
        return .write(count: UInt32(truncatingIfNeeded: octets.count))
    }

    private func remove(_ fid: UInt32) throws(NinePError) -> NinePReply {
        let file = try handle(fid)
        fids[fid] = nil
        guard let entry = file.node.entry else { throw .notPermitted }
        system.remove(entry)
        return .remove
    }

    private func read(
        _ file: PortFileHandle,
        _ offset: UInt64,
        _ count: UInt32
    ) throws(NinePError) -> [UInt8] {
        let limit = min(Int(count), lengthLimit - NinePReply.readOverhead)
        if let text = file.node.text {
            return Array(Array(text.utf8).dropFirst(Int(clamping: offset)).prefix(limit))
        }
        if offset == 0 {
            file.listing = file.node.listing(in: system, dialect)
            file.next = (0, 0)
        }
        // A directory is read from its start or from where the last read ended (read(5)).
        guard offset == file.next.offset else { throw .invalid }
        var records: [UInt8] = []
        for record in file.listing[file.next.record...] {
            guard records.count + record.count <= limit else { break }
            records += record
            file.next.record += 1
        }
        file.next.offset += UInt64(records.count)
        return records
    }
}
