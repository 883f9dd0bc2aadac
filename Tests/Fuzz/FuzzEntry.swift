internal import Glibc

/// Runs one target on libFuzzer's bytes; the variable `RDNET_FUZZ_TARGET` names the target.
///
/// The files here are compiled together with RDNetKit (see fuzz.sh). An error is as good a result
/// as a value. Findings are traps, hangs, memory without bound, and broken properties (`mustHold`).
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ octets: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    // Sound: libFuzzer's memory is valid for this call, and nothing keeps the pointer.
    FuzzTarget.chosen.run(FuzzInput(Array(UnsafeBufferPointer(start: octets, count: count))))
    return 0
}

/// A group of parsers, or a machine of several parts, that reads outside bytes.
private enum FuzzTarget: String {
    case packets, messages, text, http, names, streams, multiplexer, engine

    /// The target of this process.
    static let chosen: FuzzTarget = {
        let name = getenv("RDNET_FUZZ_TARGET").map { String(cString: $0) } ?? ""
        guard let target = FuzzTarget(rawValue: name) else {
            preconditionFailure("RDNET_FUZZ_TARGET is \"\(name)\"; fuzz.sh has the list")
        }
        return target
    }()

    func run(_ input: FuzzInput) {
        switch self {
        case .packets: PacketFuzz.run(input)
        case .messages: MessageFuzz.run(input)
        case .text: TextFuzz.run(input)
        case .http: HTTPFuzz.run(input)
        case .names: NameFuzz.run(input)
        case .streams: StreamFuzz.run(input)
        case .multiplexer: MultiplexFuzz.run(input)
        case .engine: EngineFuzz.run(input)
        }
    }
}

/// One parser or property: any error is fine, a trap is not.
typealias FuzzCase = (inout FuzzInput) throws -> Void

/// Runs the case that the first byte selects: `a` is the first one, so that seeds are readable.
func runFuzzCase(_ input: FuzzInput, _ cases: [FuzzCase]) {
    var input = input
    let choice = Int(input.octet() &- UInt8(ascii: "a")) % cases.count
    do {
        try cases[choice](&input)
    } catch {
        // Hostile input is refused with an error whose text must be printable at any time.
        mustHold(!"\(error)".isEmpty, "an error without a text")
    }
}

/// Ends the process with a sentence unless a property holds; `precondition` is mute with -O.
func mustHold(
    _ condition: @autoclosure () throws -> Bool,
    _ sentence: @autoclosure () -> String = "a property does not hold"
) rethrows {
    if try !condition() { fatalError(sentence()) }
}
