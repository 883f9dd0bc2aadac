/// The HTTP API: paths, methods, codes and texts are gvproxy's, and some paths are added to them.
///
/// Who may ask what is a choice of routes: a guest may list and change forwards alone.
struct API {
    /// What has paths of gvproxy's below it, and none itself.
    private static let directories = [
        "/services", "/services/forwarder", "/services/dns", "/services/dhcp",
    ]

    let forwarding: ForwardingAPI
    let names: NameAPI
    let observation: ObservationAPI
    let access: GuestAccessAPI

    /// What guests may ask on the gateway's port 80.
    var guestRoutes: [HTTPRoute] { forwarding.routes }

    /// What the host may ask: all but `/connect`, as at gvproxy's `-services`.
    var serviceRoutes: [HTTPRoute] {
        let redirections = Self.directories.map { path in
            HTTPRoute(path) { request, _ in request.head.redirect(to: path + "/") }
        }
        return redirections + forwarding.routes + names.routes + observation.routes
            + observation.ownRoutes + [access.tunnel]
    }

    /// All there is, as at gvproxy's `-listen`.
    var hostRoutes: [HTTPRoute] { serviceRoutes + [access.connect] }
}
