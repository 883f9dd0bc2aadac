import Testing

@testable import RDNetKit

@Suite("URL query")
struct URLQueryTests {
    @Test(
        "gives the first value of a name as Go does",
        arguments: [
            ("ip=192.168.127.2&port=22", "192.168.127.2"), ("port=22&ip=a&ip=b", "a"),
            ("ip=a+b%2Bc%3d", "a b+c="), ("i%70=x", "x"), ("ip", ""), ("ip=", ""),
            ("ip=a=b", "a=b"),
            ("ip=%zz&ip=good", "good"), ("ip=a;b&ip=good", "good"), ("&&ip=x", "x"),
            ("IP=x", nil), ("", nil), ("xip=1", nil),
        ] as [(String, String?)]
    )
    func value(query: String, value: String?) {
        #expect(URLQuery(query)["ip"] == value)
    }
}
