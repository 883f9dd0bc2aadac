/// The addresses and parameters in the answers of the DHCPv6 server.
extension DHCPv6Server {
    /// The largest answer that needs no fragments on any link.
    private static let maximumLength =
        IPHeader.minimumMTUIPv6 - IPHeader.lengthIPv6 - UDPHeader.length

    /// The address with a number, which is written as the IPv4 address that has it.
    func address(with number: IPAddress) -> IPAddress? {
        if let only = configuration.onlyAddress {
            return number == only.number ? only.address : nil
        }
        return configuration.prefix.address(matching: number, in: configuration.subnet)
    }

    /// The number of an address; nil if it has none, as an autoconfigured one.
    func number(of address: IPAddress) -> IPAddress? {
        if let only = configuration.onlyAddress {
            return address == only.address ? only.number : nil
        }
        return configuration.prefix.ipv4(matching: address, in: configuration.subnet)
    }

    /// The first number that a client asks for or has.
    func requestedNumber(in message: DHCPv6Message) -> IPAddress? {
        message.associations.lazy.filter { $0.kind == .addresses }.flatMap(\.addresses)
            .compactMap { number(of: $0.address) }.first
    }

    func areAllOnLink(_ message: DHCPv6Message) -> Bool {
        message.associations.flatMap(\.addresses).allSatisfy {
            configuration.prefix.contains($0.address)
        }
    }

    // MARK: Replies

    func head(_ type: DHCPv6MessageType, to message: DHCPv6Message) -> DHCPv6Message {
        var reply = DHCPv6Message(type, transaction: message.transaction)
        if let client = message.clientIdentifier { reply.options.append(.clientIdentifier, client) }
        reply.options.append(.serverIdentifier, identifier)
        return reply
    }

    /// Answers each identity association of a client.
    ///
    /// - Parameters:
    ///   - message: The client's message.
    ///   - number: The number of the client's address; nil if there is none for it.
    /// - Returns: One for each of the message.
    func associations(
        for message: DHCPv6Message,
        number: IPAddress?
    ) -> [DHCPv6Association] {
        let isNew = message.type == .solicit || message.type == .request
        var address = number.flatMap(address(with:))
        return message.associations.map { association in
            switch association.kind {
            case .addresses:
                defer { address = nil }
                if let address { return grant(address, to: association, in: message) }
                return isNew
                    ? association.answer(.noAddressAvailable, "no address is available")
                    : association.answer(.noBinding, "no such lease")
            case .temporaryAddresses:
                return isNew
                    ? association.answer(.noAddressAvailable, "there are no temporary addresses")
                    : association.answer(.noBinding, "no such lease")
            case .prefixes:
                return isNew
                    ? association.answer(.noPrefixAvailable, "there are no prefixes")
                    : association.answer(.noBinding, "no such lease")
            }
        }
    }

    private func grant(
        _ address: IPAddress,
        to association: DHCPv6Association,
        in message: DHCPv6Message
    ) -> DHCPv6Association {
        let seconds = UInt32(clamping: configuration.leaseTime.components.seconds)
        var granted = DHCPv6Association(.addresses, identifier: association.identifier)
        // RFC 8415, 21.4: 0.5 and 0.8 times the preferred lifetime.
        granted.renewalTime = seconds / 2
        granted.rebindingTime = seconds / 5 * 4
        granted.addresses = [
            .init(address: address, preferredLifetime: seconds, validLifetime: seconds)
        ]
        // 18.3.4 and 18.3.5: a lifetime of 0 takes an address back.
        guard message.type == .renew || message.type == .rebind else { return granted }
        for other in association.addresses where other.address != address {
            granted.addresses.append(
                .init(address: other.address, preferredLifetime: 0, validLifetime: 0)
            )
        }
        return granted
    }

    /// Adds name servers and domains, if the client asks for them or for nothing in particular.
    func addParameters(_ reply: inout DHCPv6Message, for message: DHCPv6Message) {
        let requested = message.options.requestedCodes ?? [.nameServers, .domainSearch]
        if requested.contains(.nameServers), !configuration.resolvers.isEmpty {
            reply.options.append(.nameServers, configuration.resolvers.flatMap(\.ipv6Octets))
        }
        guard requested.contains(.domainSearch) else { return }
        var domains = configuration.domainSearch
        while true {
            let list = DHCPDomainSearch.octets(domains)
            if list.isEmpty { return }
            if reply.octets.count + list.count < Self.maximumLength {
                return reply.options.append(.domainSearch, list)
            }
            domains.removeLast()
        }
    }
}

extension DHCPv6Association {
    /// The same association without addresses, and why.
    func answer(_ code: DHCPv6Status.Code, _ message: String) -> DHCPv6Association {
        var answer = DHCPv6Association(kind, identifier: identifier)
        answer.status = DHCPv6Status(code: code, message: message)
        return answer
    }
}
