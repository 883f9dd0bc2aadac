/// A server's answer to a 9P request.
enum NinePReply: Equatable {
    case version(maximumLength: UInt32, dialect: String)
    case attach(NinePFile)
    case error(NinePError)
    case flush
    case walk([NinePFile])
    case open(NinePFile, unit: UInt32)
    case create(NinePFile, unit: UInt32)
    case read([UInt8])
    case write(count: UInt32)
    case clunk
    case remove
    case stat(NinePFile)
    case setStat

    private static let errorType: UInt8 = 107
    /// The octets of a message without its data: `size[4] type[1] tag[2] count[4]`.
    static let readOverhead = 11
    /// The same for a write: with fid and offset.
    static let writeOverhead = 23

    /// The whole message.
    ///
    /// - Parameters:
    ///   - tag: The request's.
    ///   - dialect: The session's.
    /// - Returns: The octets, from the size on.
    func octets(tag: UInt16, in dialect: NinePDialect) -> [UInt8] {
        var octets: [UInt8] = [0, 0, 0, 0, type]
        octets.append9P(tag)
        append(to: &octets, dialect)
        let length = UInt32(truncatingIfNeeded: octets.count)
        octets.replaceSubrange(0..<4, with: length.littleEndianOctets)
        return octets
    }

    private var type: UInt8 {
        let kind: NinePRequest.Kind? =
            switch self {
            case .version: .version
            case .attach: .attach
            case .error: nil
            case .flush: .flush
            case .walk: .walk
            case .open: .open
            case .create: .create
            case .read: .read
            case .write: .write
            case .clunk: .clunk
            case .remove: .remove
            case .stat: .stat
            case .setStat: .setStat
            }
        return kind.map { $0.rawValue + 1 } ?? Self.errorType
    }

    private func append(to octets: inout [UInt8], _ dialect: NinePDialect) {
        switch self {
        case .version(let maximumLength, let name):
            octets.append9P(maximumLength)
            octets.append9P(name)
        case .attach(let file): file.appendIdentity(to: &octets)
        case .error(let error):
            octets.append9P(error.text)
            if dialect == .unix { octets.append9P(error.number) }
        case .walk(let files):
            octets.append9P(UInt16(truncatingIfNeeded: files.count))
            for file in files { file.appendIdentity(to: &octets) }
        case .open(let file, let unit), .create(let file, let unit):
            file.appendIdentity(to: &octets)
            octets.append9P(unit)
        case .read(let data):
            octets.append9P(UInt32(truncatingIfNeeded: data.count))
            octets += data
        case .write(let count): octets.append9P(count)
        case .stat(let file):
            let record = file.record(in: dialect)
            octets.append9P(UInt16(truncatingIfNeeded: record.count))
            octets += record
        case .flush, .clunk, .remove, .setStat: break
        }
    }
}

/// A file as the protocol describes it.
struct NinePFile: Equatable {
    /// 2006-04-28: files of a made-up file system have no time of their own.
    private static let time: UInt32 = 1_146_711_721
    private static let directoryBit: UInt32 = 0x8000_0000

    var name: String
    /// Different for every file of the server.
    var number: UInt64
    var isDirectory = false
    /// The permission bits.
    var permissions: UInt32

    /// The same file under another name.
    func named(_ name: String) -> NinePFile {
        var file = self
        file.name = name
        return file
    }

    /// Appends `qid[13]`: type, version and number.
    func appendIdentity(to octets: inout [UInt8]) {
        octets.append(isDirectory ? 0x80 : 0)
        octets.append9P(UInt32(0))
        octets.append9P(number)
    }

    /// The stat record, as in a directory (stat(5)); its length is 0 because the text of a file
    /// is made when it is read.
    func record(in dialect: NinePDialect) -> [UInt8] {
        var body: [UInt8] = []
        body.append9P(UInt16.max)
        body.append9P(UInt32.max)
        appendIdentity(to: &body)
        body.append9P(permissions | (isDirectory ? Self.directoryBit : 0))
        body.append9P(Self.time)
        body.append9P(Self.time)
        body.append9P(UInt64(0))
        for text in [name, "uid", "gid", "muid"] { body.append9P(text) }
        if dialect == .unix {
            // Linux lets nobody write to a file whose owner has no number.
            body.append9P("")
            for _ in 0..<3 { body.append9P(UInt32(0)) }
        }
        var record: [UInt8] = []
        record.append9P(UInt16(truncatingIfNeeded: body.count))
        return record + body
    }
}

/// Why a request failed: texts that Linux translates into its own error numbers
/// (`net/9p/error.c`), and those numbers for 9P2000.u.
enum NinePError: Error {
    case notFound
    case notPermitted
    case exists
    case unknownFid
    case invalid
    case notImplemented
    case tooMany
    /// The first message of a session is no version.
    case versionExpected
    /// The second message of a session is no attach.
    case attachExpected

    var text: String {
        switch self {
        case .notFound: "file not found"
        case .notPermitted: "permission denied"
        case .exists: "file already exists"
        case .unknownFid: "fid unknown or out of range"
        case .invalid: "Invalid argument"
        case .notImplemented: "Function not implemented"
        case .tooMany: "Too many open files"
        case .versionExpected: "Expected Version message"
        case .attachExpected: "Expected Attach message"
        }
    }

    /// The errno of Linux.
    var number: UInt32 {
        switch self {
        case .notFound: 2
        case .notPermitted: 13
        case .exists: 17
        case .unknownFid: 9
        case .invalid, .versionExpected, .attachExpected: 22
        case .notImplemented: 38
        case .tooMany: 24
        }
    }
}
