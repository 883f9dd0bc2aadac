/// The command `ctl top`: asks a running network once a second, and shows the answers.
struct CtlTop: ~Copyable {
    private static let interval: Duration = .seconds(1)
    private static let escape: UInt8 = 0x1b
    private static let interrupt: UInt8 = 0x03

    private let session: CtlSession
    private let terminal: ScreenTerminal
    private var screen: TopScreen
    private var sample: TopSample
    private var next: Instant

    /// Shows the network until somebody ends it.
    ///
    /// - Throws: `RoleFailure` if the API does not answer, with status 2 if there is no terminal.
    static func run(_ session: CtlSession) throws(RoleFailure) -> ExitCode {
        guard ScreenTerminal.isAvailable else {
            throw RoleFailure(
                "top: the standard input and output must be a terminal; expected one, or use "
                    + "flows, links and events, which print to a pipe",
                status: .misuse
            )
        }
        do {
            // The first answer comes before the screen changes, so that its failure stays visible.
            let sample = try sample(session, since: nil)
            let signal = try CtlTop(session, sample).run()
            if let signal { ScreenTerminal.die(of: signal) }
            return .success
        } catch let failure as APIFailure {
            throw RoleFailure(failure)
        } catch {
            throw RoleFailure("top: \(error)")
        }
    }

    private init(_ session: CtlSession, _ sample: TopSample) throws(SystemError) {
        self.session = session
        self.sample = sample
        next = session.client.clock() + Self.interval
        screen = TopScreen(network: "\(session.client.address)".printable)
        terminal = try ScreenTerminal()
    }

    private static func sample(
        _ session: CtlSession,
        since previous: TopSample?
    ) throws(APIFailure) -> TopSample {
        func ask(_ path: String) throws(APIFailure) -> JSON {
            try session.parse(try session.client.ask(path), path)
        }
        return TopSample(
            flows: try ask("/flows?details=true"),
            links: try ask("/links"),
            statistics: try ask("/stats"),
            questions: try ask("/policy/pending"),
            time: session.client.clock(),
            since: previous
        )
    }

    /// Shows samples and follows keys.
    ///
    /// - Returns: The signal that has ended it; nil if a key has.
    private consuming func run() throws -> Int32? {
        while true {
            let size = terminal.size
            terminal.show(screen.lines(sample, rows: size.rows, columns: size.columns))
            switch try terminal.wait(atMost: next - session.client.clock()) {
            case .end(let signal): return signal
            case .redraw: continue
            case .nothing: try refresh()
            case .keys(let octets):
                if try !follow(octets) { return nil }
            }
        }
    }

    private mutating func refresh() throws(APIFailure) {
        let now = session.client.clock()
        next = now + Self.interval
        guard !screen.isPaused else { return }
        sample = try Self.sample(session, since: sample)
        screen.message = ""
    }

    // MARK: Keys

    /// Follows keys; returns false if one of them ends the program.
    private mutating func follow(_ octets: [UInt8]) throws -> Bool {
        if octets.count > 1, octets[0] == Self.escape {
            move(octets.last ?? 0)
            return true
        }
        for octet in octets {
            if octet == Self.interrupt { return false }
            if screen.typed != nil {
                type(octet)
            } else if try !follow(octet) {
                return false
            }
        }
        return true
    }

    private mutating func follow(_ octet: UInt8) throws -> Bool {
        switch octet {
        case UInt8(ascii: "q"): return false
        case UInt8(ascii: "s"): screen.order = screen.order.next
        case UInt8(ascii: "/"): screen.typed = ""
        case UInt8(ascii: "p"), UInt8(ascii: " "): screen.isPaused.toggle()
        case UInt8(ascii: "j"): scroll(1)
        case UInt8(ascii: "k"): scroll(-1)
        case UInt8(ascii: "a"): try answer(isAllowed: true, isAlways: false)
        case UInt8(ascii: "d"): try answer(isAllowed: false, isAlways: false)
        case UInt8(ascii: "A"): try answer(isAllowed: true, isAlways: true)
        case UInt8(ascii: "D"): try answer(isAllowed: false, isAlways: true)
        default: break
        }
        return true
    }

    /// Follows a cursor key, by the last byte of its sequence.
    private mutating func move(_ octet: UInt8) {
        let step = octet == UInt8(ascii: "A") ? -1 : octet == UInt8(ascii: "B") ? 1 : 0
        guard !sample.questions.isEmpty else { return scroll(step) }
        screen.selected = min(max(screen.selected + step, 0), sample.questions.count - 1)
    }

    private mutating func scroll(_ step: Int) {
        screen.offset = min(max(screen.offset + step, 0), max(sample.flows.count - 1, 0))
    }

    private mutating func type(_ octet: UInt8) {
        switch octet {
        case 0x0d, 0x0a:
            screen.filter = screen.typed ?? ""
            screen.typed = nil
        case Self.escape:
            screen.filter = ""
            screen.typed = nil
        case 0x08, 0x7f: _ = screen.typed?.popLast()
        case 0x20..<0x7f: screen.typed?.unicodeScalars.append(Unicode.Scalar(octet))
        default: break
        }
    }

    /// Answers the selected question.
    private mutating func answer(isAllowed: Bool, isAlways: Bool) throws {
        guard !sample.questions.isEmpty else { return }
        let question = sample.questions[min(screen.selected, sample.questions.count - 1)]
        guard let number = Int(question.text("number")) else { return }
        do {
            try session.answer(number, isAllowed: isAllowed, isAlways: isAlways)
            sample = try Self.sample(session, since: sample)
            screen.message = "question \(number): \(isAllowed ? "allowed" : "denied")"
        } catch APIFailure.refused(let text) {
            screen.message = text.printable
        } catch APIFailure.unknownPath {
            screen.message = "question \(number) is no longer open"
        }
    }
}
