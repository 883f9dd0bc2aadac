import Testing

@testable import RDNetKit

@Suite(
    "a service of the host that listens on ::1 only",
    .serialized,
    .enabled(if: canMakeNamespaces, "needs root to make network namespaces")
)
struct HostLoopbackTests {
    @Test func `is reached through the host alias`() throws {
        let scene = try UpGuest()
        let directory = TemporaryDirectory()
        try run("sh", "-c", "echo over IPv6 >\(directory.file("page"))")
        try scene.serve(
            "busybox",
            "httpd",
            "-f",
            "-p",
            "[::1]:5173",
            "-h",
            directory.path,
            in: scene.host
        )
        try scene.waitForListener(5173, in: scene.host)
        let page = try scene.guest.run("curl", "-sS", "http://192.168.127.254:5173/page")
        #expect(page == "over IPv6\n")
    }
}
