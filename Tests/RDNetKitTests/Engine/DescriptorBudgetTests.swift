import CLinux
import Glibc
import Testing

@testable import RDNetKit

@Suite("descriptors that flows share")
struct DescriptorBudgetTests {
    /// Above the descriptor numbers of tests that run in parallel.
    private static let limit = 4_096
    private let limits = LimitLog.discarding()
    private let budget: DescriptorBudget
    private let world = World()

    private final class World {
        var datagramFlows = 0
        var closed = 0
    }

    init() {
        ProcessLimits.raiseDescriptors()
        budget = DescriptorBudget(limit: Self.limit, limits: limits)
        let world = world
        budget.datagramFlows = { world.datagramFlows }
        budget.closeIdlest = {
            world.datagramFlows -= 1
            world.closed += 1
        }
    }

    /// Opens a descriptor numbered `number` or higher, as if all lower numbers were taken.
    ///
    /// - Returns: Whether the budget moved the flow to a lower number.
    @discardableResult
    private func open(
        _ purpose: DescriptorBudget.Purpose,
        above number: Int
    ) throws(SystemError) -> Bool {
        let descriptor = try budget.open(for: purpose) { () throws(SystemError) in
            let pair = try Socket.pair()
            let source = pair.one.number
            return OwnedDescriptor(
                adopting: try systemCall("fcntl") { fcntl(source, F_DUPFD_CLOEXEC, Int32(number)) }
            )
        }
        return descriptor.number < number
    }

    @Test func `UDP leaves TCP a reserve, and TCP leaves one to everything else`() throws {
        world.datagramFlows = 1_000
        #expect(try open(.datagrams, above: Self.limit * 3 / 4))
        #expect(world.closed == 1)
        #expect(try !open(.connection, above: Self.limit * 3 / 4))
        #expect(world.closed == 1)
        #expect(try open(.connection, above: Self.limit * 7 / 8))
        #expect(world.closed == 2)
        #expect(limits.count(of: .descriptors) == 2)
    }

    @Test func `TCP displaces no more UDP flows than it may`() {
        world.datagramFlows = Self.limit / 32
        #expect(throws: SystemError.outOfDescriptors) {
            try open(.connection, above: Self.limit * 7 / 8)
        }
        #expect(throws: Never.self) { try open(.datagrams, above: Self.limit * 7 / 8) }
        #expect(world.closed == 0)
    }

    @Test func `without a descriptor an idle flow gives way, and the attempt is repeated`() throws {
        world.datagramFlows = 1_000
        var attempts = 0
        _ = try budget.open(for: .connection) { () throws(SystemError) in
            attempts += 1
            if attempts == 1 { throw .outOfDescriptors }
            return try Socket.makeUnix()
        }
        #expect(attempts == 2)
        #expect(world.closed == 1)
    }

    @Test func `any other error is passed on, and no flow gives way`() {
        world.datagramFlows = 1_000
        #expect(throws: SystemError.invalid("socket")) {
            _ = try budget.open(for: .datagrams) { () throws(SystemError) in
                throw .invalid("socket")
            }
        }
        #expect(world.closed == 0)
    }
}
