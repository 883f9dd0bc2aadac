import CLinux
import Foundation
import Glibc
import Testing

@testable import RDNetKit

@Suite("publishers of ports")
struct PortPublishersTests {
    private let clock = HandMovedClock()
    private let loop: EventLoop
    private let publishers: PortPublishers
    private let record = Record()

    private final class Record {
        var claimants: Set<PortPublisher> = []
        var replaced: [PortPublisher] = []
    }

    init() throws {
        let clock = clock
        loop = try EventLoop { clock.now }
        publishers = PortPublishers(loop: loop)
        let record = record
        publishers.isClaimant = { record.claimants.contains($0) }
        publishers.replaced = { record.replaced += $0.sorted { $0.number < $1.number } }
    }

    private func start(_ program: String = "sleep") throws -> RunningProgram {
        let running = try RunningProgram(program == "sleep" ? ["sleep", "1000"] : [program])
        // Waits until env(1) executes the program.
        let name = "/" + program
        let isThere = comesTrue {
            ProcessEnvironment.program(of: running.number)?.hasSuffix(name) == true
        }
        try #require(isThere)
        return running
    }

    /// Registers a message of a process and returns its publisher.
    private func message(_ program: RunningProgram) throws -> PortPublisher {
        let process = PeerProcess(running: program.number)
        try #require(process != nil)
        let publisher = publishers.publisher(process)
        record.claimants.insert(publisher)
        return publisher
    }

    private func pass(_ time: Duration) throws {
        clock.advance(time)
        for _ in 0..<3 { try loop.turn(waitingAtMost: .zero) }
    }

    @Test func `a process is one publisher until it ends`() throws {
        let program = try start()
        let publisher = try message(program)
        #expect(try message(program) == publisher)
        #expect(try message(start()) != publisher)
        #expect(!publishers.hasEnded(publisher))
        program.end(with: SIGKILL)
        #expect(publishers.hasEnded(publisher))
        #expect(publishers.publisher(nil) == .unknown && publishers.hasEnded(.unknown))
    }

    @Test func `an agent that runs again replaces the one that ended, after ten seconds`() throws {
        let first = try start()
        let predecessor = try message(first)
        first.end(with: SIGKILL)
        let second = try start()
        _ = try message(second)
        try pass(.seconds(9))
        #expect(record.replaced.isEmpty)
        try pass(.milliseconds(1_010))
        #expect(record.replaced == [predecessor])
    }

    @Test func `an agent replaces a predecessor that ends later, with its next message`() throws {
        let first = try start()
        let predecessor = try message(first)
        let second = try start()
        _ = try message(second)
        try pass(.seconds(11))
        #expect(record.replaced.isEmpty)
        first.end(with: SIGKILL)
        _ = try message(second)
        #expect(record.replaced == [predecessor])
    }

    @Test func `a process that ends soon replaces nobody`() throws {
        for _ in 0..<3 {
            let program = try start()
            _ = try message(program)
            program.end(with: SIGKILL)
        }
        try pass(.seconds(60))
        #expect(record.replaced.isEmpty)
    }

    @Test func `another program, a running process and a later one are not replaced`() throws {
        let (other, running) = (try start("cat"), try start())
        for program in [other, running] { _ = try message(program) }
        other.end(with: SIGKILL)
        let agent = try start()
        _ = try message(agent)
        let later = try start()
        _ = try message(later)
        later.end(with: SIGKILL)
        try pass(.seconds(60))
        _ = try message(agent)
        #expect(record.replaced.isEmpty)
    }

    @Test func `only so many processes are known at a time`() throws {
        let programs = try (0...PortPublishers.maximumRunning).map { _ in
            try RunningProgram(["sleep", "1000"])
        }
        let known = try programs.map { try message($0) }
        #expect(known.last == .unknown && Set(known).count == programs.count)
        programs.first?.end(with: SIGKILL)
        try loop.turn(waitingAtMost: .zero)
        #expect(try message(#require(programs.last)) != .unknown)
    }
}
