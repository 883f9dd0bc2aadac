@testable import RDNetKit

/// Connects nobody.
final class IdleConnector: GuestConnector {
    func connect(to guest: Endpoint, joining stream: consuming OwnedDescriptor) {}

    func openDatagramPort(
        to guest: Endpoint,
        receiver: any GuestDatagramReceiver
    ) -> (any GuestDatagramPort)? { nil }
}
