internal import Glibc

/// What an errno of `connect` or `send` means for the one who wants to reach something.
enum ConnectFault {
    /// Nothing listens there.
    case refused
    /// There is no route, or the destination is not there.
    case unreachable
    case timedOut
    /// This machine has no address or no free port for it.
    case noAddress
    case outOfDescriptors
    /// A firewall of this machine, or of its network.
    case denied
    case other

    /// Classifies an errno.
    init(errno code: Int32) {
        switch code {
        case ECONNREFUSED: self = .refused
        case ENETUNREACH, ENETDOWN, EHOSTUNREACH, EHOSTDOWN, EAFNOSUPPORT: self = .unreachable
        case ETIMEDOUT: self = .timedOut
        case EADDRNOTAVAIL: self = .noAddress
        case EMFILE, ENFILE: self = .outOfDescriptors
        case EACCES, EPERM: self = .denied
        default: self = .other
        }
    }
}
