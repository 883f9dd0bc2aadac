/// The domain search list of option 119 (RFC 3397): names as RFC 1035 labels, one after another.
///
/// Written without compression, because some clients cannot read it; read with it. Names that
/// `resolv.conf` cannot hold are omitted in both directions.
enum DHCPDomainSearch {
    /// Limit on the list; glibc used six names for decades.
    static let maximumDomains = 32

    /// The option's value; empty when no name is usable.
    static func octets(_ domains: [String]) -> [UInt8] {
        domains.filter(isDomain).flatMap { domain in
            domain.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
        }
    }

    /// The names in an option's value; a wrong length or pointer ends the list.
    static func domains(reading octets: [UInt8]) -> [String] {
        var domains: [String] = []
        var offset = 0
        while offset < octets.count, domains.count < maximumDomains {
            guard let (name, next) = name(octets, at: offset) else { break }
            if isDomain(name) { domains.append(name) }
            offset = next
        }
        return domains
    }

    /// Reads one name and the offset of the next.
    ///
    /// Pointers must point strictly backwards (RFC 1035, 4.1.4), so reading terminates.
    private static func name(_ octets: [UInt8], at start: Int) -> (name: String, next: Int)? {
        var labels: [String] = []
        var (offset, lowest) = (start, start)
        var next: Int?
        while offset < octets.count {
            let length = Int(octets[offset])
            if length == 0 { return (labels.joined(separator: "."), next ?? offset + 1) }
            switch length >> 6 {
            case 0:
                guard offset + 1 + length <= octets.count, labels.count < 128 else { return nil }
                let label = octets[(offset + 1)..<(offset + 1 + length)]
                labels.append(String(decoding: label, as: UTF8.self))
                offset += 1 + length
            case 3:
                guard offset + 1 < octets.count else { return nil }
                let target = (length & 0x3f) << 8 | Int(octets[offset + 1])
                guard target < lowest else { return nil }
                next = next ?? offset + 2
                (offset, lowest) = (target, target)
            default:
                return nil
            }
        }
        return nil
    }

    /// Whether a text is a domain name of letters, digits, hyphens and underscores.
    ///
    /// RFC 1035, 2.3.4: labels of 1 to 63 bytes, 255 in all. Names from a server end up in files
    /// and in a script's environment, so spaces and newlines are rejected.
    static func isDomain(_ text: String) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.utf8.count)
                && label.utf8.allSatisfy { octet in
                    (0x61...0x7a).contains(octet | 0x20) || (0x30...0x39).contains(octet)
                        || octet == 0x2d || octet == 0x5f
                }
        }
    }
}
