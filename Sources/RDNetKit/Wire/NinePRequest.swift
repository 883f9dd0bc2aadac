/// A request of a 9P2000 or 9P2000.u client (intro(5) and the following manual pages of Plan 9;
/// the fields of 9P2000.u are those of Linux, `net/9p/client.c`).
///
///     size[4] type[1] tag[2] …
struct NinePRequest: Equatable {
    /// The length of the fields that every message has.
    static let headerLength = 7
    /// The tag of a version message.
    static let noTag: UInt16 = 0xffff
    /// Limit on the names of one walk.
    static let maximumNames = 16

    var tag: UInt16
    /// Nil for a message that cannot be decoded, or of a type that is not in the protocol.
    var call: Call?

    /// What the client asks for.
    enum Call: Equatable {
        case version(maximumLength: UInt32, dialect: String)
        case authenticate
        case attach(fid: UInt32)
        case flush(tag: UInt16)
        case walk(fid: UInt32, newFid: UInt32, names: [String])
        case open(fid: UInt32, mode: UInt8)
        case create(fid: UInt32, name: String, permissions: UInt32)
        case read(fid: UInt32, offset: UInt64, count: UInt32)
        case write(fid: UInt32, offset: UInt64, octets: [UInt8])
        case clunk(fid: UInt32)
        case remove(fid: UInt32)
        case stat(fid: UInt32)
        case setStat(fid: UInt32, NinePStatChange)
    }

    /// The types of requests; each answer's type is one higher.
    enum Kind: UInt8 {
        case version = 100
        case authenticate = 102
        case attach = 104
        case flush = 108
        case walk = 110
        case open = 112
        case create = 114
        case read = 116
        case write = 118
        case clunk = 120
        case remove = 122
        case stat = 124
        case setStat = 126
    }

    /// Reads one whole message.
    ///
    /// - Parameters:
    ///   - message: From its size field on; at least `headerLength` octets.
    ///   - dialect: The session's; it decides which fields a message has.
    init(_ message: [UInt8], in dialect: NinePDialect) {
        tag = UInt16(message[5]) | UInt16(message[6]) << 8
        var fields = NinePFields(message.dropFirst(Self.headerLength))
        do throws(PacketError) {
            call = try Kind(rawValue: message[4]).map { kind throws(PacketError) in
                try Self.call(kind, &fields, dialect)
            }
        } catch {
            call = nil
        }
    }

    private static func call(
        _ kind: Kind,
        _ fields: inout NinePFields,
        _ dialect: NinePDialect
    ) throws(PacketError) -> Call {
        switch kind {
        case .version:
            return .version(maximumLength: try fields.integer(), dialect: try fields.text())
        case .authenticate: return .authenticate
        case .flush: return .flush(tag: try fields.integer())
        default: break
        }
        let fid = try fields.integer(UInt32.self)
        switch kind {
        case .attach: return .attach(fid: fid)
        case .walk: return try walk(fid, &fields)
        case .open: return .open(fid: fid, mode: try fields.integer())
        case .create:
            return .create(fid: fid, name: try fields.text(), permissions: try fields.integer())
        case .read:
            return .read(fid: fid, offset: try fields.integer(), count: try fields.integer())
        case .write:
            let offset = try fields.integer(UInt64.self)
            let count = try fields.integer(UInt32.self)
            return .write(fid: fid, offset: offset, octets: Array(try fields.take(Int(count))))
        case .clunk: return .clunk(fid: fid)
        case .remove: return .remove(fid: fid)
        case .stat: return .stat(fid: fid)
        case .setStat:
            _ = try fields.integer(UInt16.self)
            return .setStat(fid: fid, try NinePStatChange(&fields))
        case .version, .authenticate, .flush: throw .notThisFormat
        }
    }

    private static func walk(
        _ fid: UInt32,
        _ fields: inout NinePFields
    ) throws(PacketError) -> Call {
        let newFid = try fields.integer(UInt32.self)
        let count = Int(try fields.integer(UInt16.self))
        guard count <= maximumNames else {
            throw .badLength(field: count, available: maximumNames)
        }
        var names: [String] = []
        for _ in 0..<count { names.append(try fields.text()) }
        return .walk(fid: fid, newFid: newFid, names: names)
    }
}

/// A variant of the protocol.
enum NinePDialect: String {
    case plain = "9P2000"
    /// With numbers of errors and users.
    case unix = "9P2000.u"

    /// The variant to offer a client that asks for another one; nil if it speaks another protocol.
    init?(for asked: String) {
        guard asked.hasPrefix("9P") else { return nil }
        self = NinePDialect(rawValue: asked) ?? .plain
    }
}

/// What a client wants to change about a file: the fields of wstat(5) that matter here.
struct NinePStatChange: Equatable {
    /// Whether it changes nothing but the length, to 0, and the time of the last change.
    ///
    /// A shell does this before it writes.
    var onlyTruncates: Bool
}

extension NinePStatChange {
    /// Reads a stat record, from its own size field on; fields with all bits set mean no change.
    fileprivate init(_ fields: inout NinePFields) throws(PacketError) {
        _ = try fields.integer(UInt16.self)
        let type = try fields.integer(UInt16.self)
        let device = try fields.integer(UInt32.self)
        let identity = try fields.take(13)
        let mode = try fields.integer(UInt32.self)
        // The times of the last access and the last change.
        _ = try fields.take(8)
        let length = try fields.integer(UInt64.self)
        var names = ""
        for _ in 0..<4 { names += try fields.text() }
        onlyTruncates =
            type == .max && device == .max && identity.allSatisfy { $0 == .max } && mode == .max
            && (length == 0 || length == .max) && names.isEmpty
    }
}
