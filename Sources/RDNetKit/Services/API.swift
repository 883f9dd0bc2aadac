/// The HTTP API: it has gvproxy's paths, methods, codes and texts, and some additional paths.
///
/// The choice of routes determines the permissions. Guests get only a `ForwardingAPI`,
/// usually with `GuestForwards` behind it.
struct API {
    /// Prefixes of gvproxy's paths that are not paths themselves.
    private static let directories = [
        "/services", "/services/forwarder", "/services/dns", "/services/dhcp",
    ]

    let forwarding: ForwardingAPI
    let names: NameAPI
    let observation: ObservationAPI
    let access: GuestAccessAPI
    let policy: PolicyAPI
    let logLevel: LogLevelAPI
    let events: EventAPI

    /// The routes for the host: all except `/connect`, as at gvproxy's `-services`.
    var serviceRoutes: [HTTPRoute] {
        let redirections = Self.directories.map { path in
            HTTPRoute(path) { request, _ in request.head.redirect(to: path + "/") }
        }
        return redirections + forwarding.routes + names.routes + observation.routes
            + observation.ownRoutes + names.ownRoutes + policy.routes + logLevel.routes + [
                access.tunnel, events.route,
            ]
    }

    /// All routes, as at gvproxy's `-listen`.
    var hostRoutes: [HTTPRoute] { serviceRoutes + [access.connect] }
}
