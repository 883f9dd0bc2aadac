/// The HTTP API: it has gvproxy's paths, methods, codes and texts, and some additional paths.
///
/// The choice of routes determines the permissions: a guest may only list and change forwards.
struct API {
    /// Prefixes of gvproxy's paths that are not paths themselves.
    private static let directories = [
        "/services", "/services/forwarder", "/services/dns", "/services/dhcp",
    ]

    let forwarding: ForwardingAPI
    let names: NameAPI
    let observation: ObservationAPI
    let access: GuestAccessAPI

    /// The routes for guests on the gateway's port 80.
    var guestRoutes: [HTTPRoute] { forwarding.routes }

    /// The routes for the host: all except `/connect`, as at gvproxy's `-services`.
    var serviceRoutes: [HTTPRoute] {
        let redirections = Self.directories.map { path in
            HTTPRoute(path) { request, _ in request.head.redirect(to: path + "/") }
        }
        return redirections + forwarding.routes + names.routes + observation.routes
            + observation.ownRoutes + [access.tunnel]
    }

    /// All routes, as at gvproxy's `-listen`.
    var hostRoutes: [HTTPRoute] { serviceRoutes + [access.connect] }
}
