import Testing

/// A guest's first frame: an ARP request for the gateway's MAC address, and checks of its answer.
enum ARPQuestion {
    static let guest: [UInt8] = [0x52, 0x54, 0, 0x12, 0x34, 0x56]

    static let frame: [UInt8] =
        [255, 255, 255, 255, 255, 255] + guest + [0x08, 0x06]  // to all, ARP
        + [0, 1, 0x08, 0, 6, 4, 0, 1]  // Ethernet, IPv4, request
        + guest + [192, 168, 127, 2] + [0, 0, 0, 0, 0, 0] + [192, 168, 127, 1]

    /// The frame of another guest, 192.168.127.3.
    static let other: [UInt8] = {
        var question = frame
        for index in [11, 27, 31] { question[index] += 1 }
        return question
    }()

    /// The frame after its length, as Rancher Desktop's tools send it.
    static let framed = [UInt8(frame.count), 0] + frame

    /// Checks the gateway's answer.
    static func expectAnswer(_ answer: [UInt8], to question: [UInt8] = frame) {
        #expect(answer.count >= 42)
        guard answer.count >= 42 else { return }
        #expect(answer[0..<6] == question[6..<12])
        #expect(Array(answer[12..<14]) == [0x08, 0x06])
        #expect(Array(answer[20..<22]) == [0, 2])
        #expect(Array(answer[22..<28]) == [0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xdd])
        #expect(Array(answer[28..<32]) == [192, 168, 127, 1])
    }
}
