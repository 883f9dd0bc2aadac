/// The bytes of a capture, as a hexadecimal dump shows them: `85 00 d0 5f`.
func octets(_ dump: String) -> [UInt8] {
    dump.split { $0 == " " || $0 == "\n" }.map { pair in
        guard pair.utf8.count == 2, let octet = UInt8(pair, radix: 16) else {
            preconditionFailure("\(pair) is not a byte")
        }
        return octet
    }
}
