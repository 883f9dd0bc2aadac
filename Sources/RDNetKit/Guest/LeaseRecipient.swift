/// A change that a DHCP client reports to its interface.
enum LeaseChange: Equatable {
    /// The interface has no address, or has lost it.
    case lost
    case bound(DHCPLease)
    /// The same address as before; parameters may have changed.
    case renewed(DHCPLease)
    /// No server answers; the client keeps trying.
    case silence
    /// A server refused.
    case refused(DHCPMessage)
}

/// Applies leases, to the kernel's interface or through a script.
protocol LeaseRecipient: AnyObject {
    /// Applies a change.
    ///
    /// - Parameters:
    ///   - change: Changes are applied in the order of the calls.
    ///   - done: Called when the change is applied, or has failed and was logged.
    func apply(_ change: LeaseChange, done: @escaping () -> Void)
}
