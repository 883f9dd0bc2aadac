/// The tree of VPNKit's control file system: a directory for each port, which all sessions share.
///
///     /README
///     /NAME        a directory until its port is open, then a file with the port in it
///     /NAME/ctl    takes the request once, and then returns its outcome
///
/// A port belongs to the open file through which it was requested: it ends when that file is
/// closed, which the client's kernel does even for a process that is killed. It also ends when
/// anybody removes it, and with its session. Other programs may open and close `ctl` without
/// harm.
final class PortFileSystem {
    /// Opens a port for a session of a guest; the handle keeps it open.
    typealias Opener =
        (PortFileRequest, _ client: IPAddress?) throws(PortFileError) -> OpenPortFile

    /// Limit on directories.
    static let maximumEntries = 8_192
    static let maximumNameLength = 255

    private let open: Opener
    private let log: Logger
    private let limits: LimitLog
    private var entries: [String: PortFileEntry] = [:] {
        didSet { listings = [:] }
    }
    private var listings: [NinePDialect: [[UInt8]]] = [:]
    /// Numbers are never used again.
    private var lastNumber: UInt64 = 0

    /// Creates a tree without ports.
    ///
    /// - Parameters:
    ///   - log: Receives one line, at level debug, for each port that opens, fails or ends: clients
    ///     decide how many there are.
    ///   - limits: Reports a full tree.
    ///   - open: Opens ports.
    init(log: Logger, limits: LimitLog = .discarding(), open: @escaping Opener) {
        self.log = log
        self.limits = limits
        self.open = open
    }

    /// The records of the root directory; made once for all who read it until something changes.
    func listing(in dialect: NinePDialect) -> [[UInt8]] {
        if let listing = listings[dialect] { return listing }
        let files = entries.values.map { PortFileNode.entry($0).file }
        let listing = (PortFileNode.rootFiles + files).map { $0.record(in: dialect) }
        listings[dialect] = listing
        return listing
    }

    subscript(name: String) -> PortFileEntry? { entries[name] }

    /// Makes a directory.
    ///
    /// One that has no request and no session may be taken over, because its maker may have been
    /// killed.
    ///
    /// - Parameters:
    ///   - name: Not empty, without a slash.
    ///   - session: The maker.
    /// - Returns: The directory.
    /// - Throws: `NinePError`.
    func make(
        _ name: String,
        for session: NinePSession
    ) throws(NinePError) -> PortFileEntry {
        guard !name.isEmpty, name.utf8.count <= Self.maximumNameLength, name != ".", name != "..",
            !name.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 == 0 })
        else { throw .invalid }
        guard name != PortFileNode.readmeName else { throw .exists }
        if let entry = entries[name] {
            guard entry.outcome == nil else { throw .exists }
            entry.session = session
            return entry
        }
        guard entries.count < Self.maximumEntries else {
            limits.reached(.portFiles, maximum: Self.maximumEntries)
            throw .tooMany
        }
        lastNumber += 1
        let entry = PortFileEntry(name, number: lastNumber, session)
        entries[name] = entry
        return entry
    }

    /// Takes a directory's request; its outcome can be read afterwards.
    ///
    /// - Parameters:
    ///   - text: The request.
    ///   - entry: The directory.
    ///   - file: The open file that will own the port.
    ///   - session: Whose file it is.
    /// - Throws: `NinePError.notPermitted` if there was a request before.
    func request(
        _ text: String,
        _ entry: PortFileEntry,
        by file: PortFileHandle,
        _ session: NinePSession
    ) throws(NinePError) {
        guard entry.outcome == nil, entries[entry.name] === entry else { throw .notPermitted }
        entry.owner = file
        entry.session = session
        do {
            let port = try open(PortFileRequest(text), session.client)
            port.handle.ended = { [weak self, weak entry] in
                if let self, let entry { remove(entry) }
            }
            entry.handle = port.handle
            entry.outcome = .open("\(port.request)")
            listings = [:]
            log.debug("port opened", ["port": "\(port.request)"])
        } catch {
            entry.outcome = .failed(error.text)
            log.debug("port not opened", ["cause": error.text])
        }
    }

    /// Closes and removes a port; does nothing if it has been removed.
    func remove(_ entry: PortFileEntry) {
        // A newer directory may have the same name.
        guard entries[entry.name] === entry else { return }
        entries[entry.name] = nil
        entry.owner = nil
        entry.handle?.close()
        entry.handle = nil
        if case .open(let port) = entry.outcome { log.debug("port closed", ["port": port]) }
    }

    /// Removes what an open file owns.
    func release(_ file: PortFileHandle) {
        guard let entry = file.node.entry, entry.owner === file else { return }
        remove(entry)
    }

    /// Removes what a session has made, when it ends.
    func end(_ session: NinePSession) {
        for entry in entries.values where entry.session === session { remove(entry) }
    }
}

/// A port that is open, and keeps open while the handle exists.
struct OpenPortFile {
    /// With the number of the port that the kernel chose.
    var request: PortFileRequest
    var handle: ForwardHandle
}

/// A directory of the tree, and its port.
final class PortFileEntry {
    let name: String
    let number: UInt64
    /// Nil until there is a request.
    fileprivate(set) var outcome: Outcome?
    fileprivate weak var session: NinePSession?
    fileprivate weak var owner: PortFileHandle?
    fileprivate var handle: ForwardHandle?

    /// What became of the request.
    enum Outcome: Equatable {
        /// The port, with the number that the kernel chose.
        case open(String)
        case failed(String)
    }

    fileprivate init(_ name: String, number: UInt64, _ session: NinePSession) {
        self.name = name
        self.number = number
        self.session = session
    }

    /// The text of `ctl`.
    var status: String {
        switch outcome {
        case nil: "ERROR no request received. Please read the README.\n"
        case .open(let port): "OK \(port)\n"
        case .failed(let reason): Self.shortened("ERROR \(reason)") + "\n"
        }
    }

    /// VPNKit's clients read at most 100 octets, with the line's end.
    private static func shortened(_ text: String) -> String {
        String(decoding: text.utf8.prefix(99), as: UTF8.self)
    }
}

/// A place in the tree.
enum PortFileNode {
    static let readmeName = "README"
    static let controlName = "ctl"

    case root
    case readme
    case entry(PortFileEntry)
    case control(PortFileEntry)

    /// The directory that it is, or is in; nil for the root and the manual.
    var entry: PortFileEntry? {
        switch self {
        case .root, .readme: nil
        case .entry(let entry), .control(let entry): entry
        }
    }

    /// The file as the protocol describes it.
    var file: NinePFile {
        switch self {
        case .root: NinePFile(name: "", number: 0, isDirectory: true, permissions: 0o777)
        case .readme: NinePFile(name: Self.readmeName, number: 1, permissions: 0o444)
        case .entry(let entry):
            if case .open = entry.outcome {
                NinePFile(name: entry.name, number: entry.number * 4 + 1, permissions: 0o444)
            } else {
                NinePFile(
                    name: entry.name,
                    number: entry.number * 4,
                    isDirectory: true,
                    permissions: 0o555
                )
            }
        case .control(let entry):
            NinePFile(name: Self.controlName, number: entry.number * 4 + 2, permissions: 0o666)
        }
    }

    /// The records of a directory.
    func listing(in system: PortFileSystem, _ dialect: NinePDialect) -> [[UInt8]] {
        guard case .entry(let entry) = self else { return system.listing(in: dialect) }
        let files = [file.named("."), Self.root.file.named(".."), Self.control(entry).file]
        return files.map { $0.record(in: dialect) }
    }

    /// The files of the root directory that are always there.
    fileprivate static var rootFiles: [NinePFile] {
        [root.file.named("."), root.file.named(".."), readme.file]
    }

    /// The text of a file; nil for a directory.
    var text: String? {
        switch self {
        case .root: return nil
        case .readme: return Self.manual
        case .control(let entry): return entry.status
        case .entry(let entry):
            guard case .open(let port) = entry.outcome else { return nil }
            return port + "\n"
        }
    }

    /// Where a name leads.
    ///
    /// - Throws: `NinePError.notFound`.
    func child(_ name: String, in system: PortFileSystem) throws(NinePError) -> PortFileNode {
        switch (self, name) {
        case (_, ".."), (.root, "."): return .root
        case (.root, Self.readmeName): return .readme
        case (.root, _):
            guard let entry = system[name] else { throw .notFound }
            return .entry(entry)
        // Also below a port that is open and therefore shows as a file.
        case (.entry(let entry), Self.controlName): return .control(entry)
        default: throw .notFound
        }
    }

    private static let manual = """
        Every file here is a port of the host that leads into the virtual machine. Remove the file
        to close the port.

        To open a port, make a directory with a name of its own, open the file ctl in it for reading
        and writing, write one request in a single write, and read the answer from the beginning:
        "OK" with the port, or "ERROR" with the reason. The port stays open for as long as ctl stays
        open in the process that wrote the request.

        A request is one of:

            tcp:ADDRESS:PORT:tcp:ADDRESS:PORT
            udp:ADDRESS:PORT:udp:ADDRESS:PORT
            unix:PATH:unix:PATH
            unix:PATH:tcp:ADDRESS:PORT

        The first half is the host's, the other the container's. IPv6 addresses are in brackets, and
        paths in base64. With the host's port 0 any free port is opened, and the answer says which.
        An example in a shell:

            mkdir /port/web
            exec 7<>/port/web/ctl
            printf %s tcp:127.0.0.1:8080:tcp:172.17.0.2:80 >&7

        """
}

/// A place that a session has found, and perhaps opened: a fid.
final class PortFileHandle {
    let node: PortFileNode
    /// The records of a directory that is being read.
    var listing: [[UInt8]] = []
    /// The next record to read, and where it starts.
    var next = (record: 0, offset: UInt64(0))

    init(_ node: PortFileNode) {
        self.node = node
    }
}
