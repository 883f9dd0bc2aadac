/// A flow's key: the guest's endpoint and the remote endpoint as the guest sees it.
struct FlowKey: Equatable {
    var guest: Endpoint
    var remote: Endpoint
}

/// Flows by their two endpoints: open addressing with linear probing, at most half full.
///
/// The hash is keyed because guests choose the keys: a guest that could aim at one slot would slow
/// down every lookup. Deletion shifts entries back, so there are no tombstones and lookups never
/// become slower.
struct FlowTable<Flow: AnyObject> {
    private struct Slot {
        var key: FlowKey
        var flow: Flow?
    }

    private static var empty: Slot {
        let nowhere = Endpoint(address: .anyIPv4, port: 0)
        return Slot(key: FlowKey(guest: nowhere, remote: nowhere), flow: nil)
    }

    private var slots = [Slot](repeating: empty, count: 64)
    private let seed: UInt64
    private(set) var count = 0

    /// Creates an empty table.
    ///
    /// - Parameter seed: Random and secret from guests.
    init(seed: UInt64) {
        self.seed = seed
    }

    subscript(key: FlowKey) -> Flow? {
        var index = home(of: key)
        while let flow = slots[index].flow {
            if slots[index].key == key { return flow }
            index = (index + 1) & (slots.count - 1)
        }
        return nil
    }

    /// Adds a flow whose key is not in the table.
    mutating func insert(_ flow: Flow, for key: FlowKey) {
        if 2 * (count + 1) > slots.count { grow() }
        place(Slot(key: key, flow: flow))
        count += 1
    }

    /// Removes a flow; does nothing if its key belongs to another flow by now.
    mutating func remove(_ flow: Flow, for key: FlowKey) {
        let mask = slots.count - 1
        var hole = home(of: key)
        while let other = slots[hole].flow {
            if slots[hole].key == key {
                guard other === flow else { return }
                break
            }
            hole = (hole + 1) & mask
        }
        guard slots[hole].flow != nil else { return }
        count -= 1
        var index = hole
        while true {
            index = (index + 1) & mask
            guard slots[index].flow != nil else { break }
            // An entry may move into the hole unless its home slot is cyclically after the hole.
            let distance = (index &- home(of: slots[index].key)) & mask
            if distance >= (index &- hole) & mask {
                slots[hole] = slots[index]
                hole = index
            }
        }
        slots[hole].flow = nil
    }

    /// All flows, unordered.
    var all: [Flow] { slots.compactMap { $0.flow } }

    private mutating func grow() {
        let old = slots
        slots = [Slot](repeating: Self.empty, count: old.count * 2)
        for slot in old where slot.flow != nil { place(slot) }
    }

    private mutating func place(_ slot: Slot) {
        var index = home(of: slot.key)
        while slots[index].flow != nil { index = (index + 1) & (slots.count - 1) }
        slots[index] = slot
    }

    @inline(__always)
    private func home(of key: FlowKey) -> Int {
        let ports = UInt64(key.guest.port) << 16 | UInt64(key.remote.port)
        var hash = mix(
            key.guest.address.low ^ seed,
            key.remote.address.low ^ ports &* 0x9e37_79b9_7f4a_7c15
        )
        hash = mix(hash ^ key.guest.address.high, key.remote.address.high ^ ~seed)
        return Int(truncatingIfNeeded: hash) & (slots.count - 1)
    }

    /// Multiplies to 128 bits and folds: every input bit reaches every output bit.
    @inline(__always)
    private func mix(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = (left ^ 0xa076_1d64_78bd_642f).multipliedFullWidth(
            by: right ^ 0xe703_7ed1_a0b4_28db
        )
        return product.high ^ product.low
    }
}
