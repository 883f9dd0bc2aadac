/// An object that a timer notifies at its deadline.
protocol TimerObserver: AnyObject {
    func timerFired(now: Instant)
}

/// Deadlines of any number of owners, with insertion, removal, and expiry in constant time.
///
/// How it works: this is a hierarchical wheel. It has four levels of 64 slots; a tick is 2^20 ns
/// (1.05 ms). A deadline less than 64 ticks away lies in the level 0 slot of its tick, one less
/// than 64² away in the level 1 slot of its 64-tick span, and so on. A deadline beyond the reach of
/// the top level waits in its last slot and is placed again when the wheel reaches that slot. When
/// time reaches the start of a slot's span, the slot's deadlines move to lower levels. One 64-bit
/// word per level records which slots are occupied, so an idle wheel skips time without stepping.
/// Nodes live in one array and are linked by index. A token carries a generation, so a stale token
/// is harmless. A timer fires at its deadline or up to one tick later, never earlier.
struct TimerWheel {
    /// Identifies an inserted deadline until it fires or is removed.
    struct Token: Equatable {
        fileprivate var index: Int32
        fileprivate var generation: UInt32
    }

    private struct Node {
        var tick: UInt64
        var observer: (any TimerObserver)?
        var previous: Int32
        var next: Int32
        var list: Int32
        var generation: UInt32
    }

    private static let levels = 4
    private static let slotBits: UInt64 = 6
    private static let slots = 64
    private static let tickShift: UInt64 = 20
    /// The list of expired nodes; the lists before it are the slots, level by level.
    private static let expired = Int32(levels * slots)
    private static let none: Int32 = -1

    private var nodes: [Node] = []
    private var free: [Int32] = []
    private var heads = [Int32](repeating: none, count: levels * slots + 1)
    private var occupied = [UInt64](repeating: 0, count: levels)
    private var current: UInt64
    /// The number of pending deadlines.
    private(set) var count = 0

    init(now: Instant) {
        current = UInt64(now.nanoseconds) >> Self.tickShift
    }

    /// Adds a deadline; the wheel retains the observer until the timer fires or is removed.
    mutating func insert(_ deadline: Instant, observer: any TimerObserver) -> Token {
        // Rounded up: a timer must not fire early.
        let nanoseconds = UInt64(max(deadline.nanoseconds, 0)) &+ (1 << Self.tickShift) &- 1
        let tick = max(nanoseconds >> Self.tickShift, current + 1)
        let index: Int32
        if let reused = free.popLast() {
            index = reused
            nodes[Int(index)].tick = tick
            nodes[Int(index)].observer = observer
        } else {
            index = Int32(nodes.count)
            nodes.append(
                Node(
                    tick: tick,
                    observer: observer,
                    previous: -1,
                    next: -1,
                    list: -1,
                    generation: 0
                )
            )
        }
        count += 1
        place(index)
        return Token(index: index, generation: nodes[Int(index)].generation)
    }

    /// Removes a deadline; does nothing if it has already fired.
    mutating func remove(_ token: Token) {
        guard nodes[Int(token.index)].generation == token.generation else { return }
        unlink(token.index)
        release(token.index)
    }

    /// The earliest time at which `popExpired` may return an observer; nil without deadlines.
    var nextDeadline: Instant? {
        if heads[Int(Self.expired)] != Self.none { return Instant(nanoseconds: 0) }
        guard let tick = nextTick() else { return nil }
        return Instant(nanoseconds: Int64(tick << Self.tickShift))
    }

    /// Removes one expired deadline and returns its observer; call until nil.
    mutating func popExpired(now: Instant) -> (any TimerObserver)? {
        advance(to: UInt64(now.nanoseconds) >> Self.tickShift)
        let index = heads[Int(Self.expired)]
        guard index != Self.none else { return nil }
        let observer = nodes[Int(index)].observer
        unlink(index)
        release(index)
        return observer
    }

    private mutating func advance(to tick: UInt64) {
        while let next = nextTick(), next <= tick {
            current = next
            for level in stride(from: Self.levels - 1, through: 0, by: -1) {
                let shift = Self.slotBits * UInt64(level)
                guard current & ((1 << shift) - 1) == 0 else { continue }
                dealOut(Int32(level * Self.slots) + Int32((current >> shift) & 63))
            }
        }
        current = max(current, tick)
    }

    private mutating func dealOut(_ list: Int32) {
        var index = heads[Int(list)]
        heads[Int(list)] = Self.none
        occupied[Int(list) / Self.slots] &= ~(1 << UInt64(Int(list) % Self.slots))
        while index != Self.none {
            let next = nodes[Int(index)].next
            place(index)
            index = next
        }
    }

    private func nextTick() -> UInt64? {
        var earliest: UInt64?
        for level in 0..<Self.levels where occupied[level] != 0 {
            let shift = Self.slotBits * UInt64(level)
            let position = (current >> shift) & 63
            // Bit 0 of the rotated word is the slot after the current one; bit 63 is the current
            // slot one full turn later.
            let turn = (position + 1) & 63
            let word = occupied[level]
            let rotated = turn == 0 ? word : (word >> turn) | (word << (64 - turn))
            let distance = UInt64(rotated.trailingZeroBitCount) + 1
            let tick = ((current >> shift) + distance) << shift
            earliest = min(earliest ?? tick, tick)
        }
        return earliest
    }

    private mutating func place(_ index: Int32) {
        let tick = nodes[Int(index)].tick
        guard tick > current else { return link(index, to: Self.expired) }
        // A deadline beyond the top level goes to its last slot and is dealt out again from there.
        let reach: UInt64 = 1 << (Self.slotBits * UInt64(Self.levels))
        let near = min(tick, current + reach - 1)
        var level: UInt64 = 0
        while near - current >= 1 << (Self.slotBits * (level + 1)) { level += 1 }
        let slot = (near >> (Self.slotBits * level)) & 63
        occupied[Int(level)] |= 1 << slot
        link(index, to: Int32(Int(level) * Self.slots) + Int32(slot))
    }

    private mutating func link(_ index: Int32, to list: Int32) {
        let head = heads[Int(list)]
        nodes[Int(index)].previous = Self.none
        nodes[Int(index)].next = head
        nodes[Int(index)].list = list
        if head != Self.none { nodes[Int(head)].previous = index }
        heads[Int(list)] = index
    }

    private mutating func unlink(_ index: Int32) {
        let node = nodes[Int(index)]
        if node.next != Self.none { nodes[Int(node.next)].previous = node.previous }
        if node.previous != Self.none {
            nodes[Int(node.previous)].next = node.next
            return
        }
        heads[Int(node.list)] = node.next
        if node.next == Self.none, node.list != Self.expired {
            occupied[Int(node.list) / Self.slots] &= ~(1 << UInt64(Int(node.list) % Self.slots))
        }
    }

    private mutating func release(_ index: Int32) {
        nodes[Int(index)].observer = nil
        nodes[Int(index)].generation &+= 1
        free.append(index)
        count -= 1
    }
}
