/// What a DHCP client tells the interface it works for.
enum LeaseChange: Equatable {
    /// There is no address, or no more.
    case lost
    case bound(DHCPLease)
    /// The same address as before; parameters may have changed.
    case renewed(DHCPLease)
    /// Nobody answers; the client goes on asking.
    case silence
    /// A server refused.
    case refused(DHCPMessage)
}

/// Who puts a lease into effect: the kernel's interface, or a script.
protocol LeaseRecipient: AnyObject {
    /// Takes a change into effect.
    ///
    /// - Parameters:
    ///   - change: Changes take effect in the order in which they are given.
    ///   - done: Called when it is in effect, or has failed and was logged.
    func apply(_ change: LeaseChange, done: @escaping () -> Void)
}
