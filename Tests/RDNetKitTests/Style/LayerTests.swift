import Foundation
import Testing

@testable import RDNetKit

/// A folder of RDNetKit and the folders that it may depend on.
struct Layer: CustomTestStringConvertible, Sendable {
    let folder: String
    let below: [String]

    var testDescription: String { folder }

    private static let foundation = [
        "Wire", "Log", "Policy", "Config", "Handshake", "System", "Link",
    ]
    private static let engine = foundation + ["Flow", "Gateway"]

    /// The permitted dependencies.
    ///
    /// Any other dependency is an error. Roles is not listed: it may depend on every folder.
    static let all = [
        Layer(folder: "Wire", below: []),
        // A line is escaped as every other text for a terminal is.
        Layer(folder: "Log", below: ["Wire"]),
        Layer(folder: "Policy", below: ["Wire"]),
        Layer(folder: "Config", below: ["Wire", "Log", "Policy"]),
        Layer(folder: "Handshake", below: ["Wire", "Log", "Policy", "Config"]),
        Layer(folder: "System", below: ["Wire", "Log"]),
        Layer(folder: "Link", below: ["Wire", "Log", "Policy", "Config", "Handshake", "System"]),
        Layer(folder: "Flow", below: foundation),
        Layer(folder: "Gateway", below: foundation + ["Flow"]),
        Layer(folder: "Forwarding", below: engine),
        Layer(folder: "Services", below: engine + ["Forwarding"]),
        Layer(folder: "Guest", below: foundation),
    ]

    /// Folders that handle only bytes, values and `now`, and no descriptors.
    static let pure = ["Wire", "Log", "Policy", "Config", "Handshake"]
}

@Suite("layers")
struct LayerTests {
    @Test("a folder can be type-checked with those below it alone", arguments: Layer.all)
    func isCompleteWithThoseBelow(layer: Layer) throws {
        var arguments = [
            "swiftc", "-frontend", "-typecheck", "-swift-version", "6", "-module-name", "RDNetKit",
            "-Xcc", "-fmodule-map-file=\(SourceTree.root.path)/Sources/CLinux/module.modulemap",
        ]
        for feature in ["MemberImportVisibility", "ExistentialAny", "InternalImportsByDefault"] {
            arguments += ["-enable-upcoming-feature", feature]
        }
        for file in try files(of: layer.folder) { arguments += ["-primary-file", file] }
        for folder in layer.below { arguments += try files(of: folder) }
        #expect(throws: Never.self) { try run(arguments) }
    }

    private func files(of folder: String) throws -> [String] {
        try SourceTree.files(in: "Sources/RDNetKit/\(folder)").map {
            SourceTree.root.appendingPathComponent($0).path
        }
    }

    @Test func `every folder is in the table, or is Roles`() throws {
        let parent = SourceTree.root.appendingPathComponent("Sources/RDNetKit").path
        let folders = try FileManager.default.contentsOfDirectory(atPath: parent)
        #expect(Set(folders) == Set(Layer.all.map(\.folder) + ["Roles"]))
    }

    @Test func `what a layer knows of stands above it in the table`() {
        for (index, layer) in Layer.all.enumerated() {
            #expect(Set(Layer.all[..<index].map(\.folder)).isSuperset(of: layer.below))
        }
    }

    @Test func `the pure folders know of no impure one`() {
        for layer in Layer.all where Layer.pure.contains(layer.folder) {
            #expect(Set(layer.below).isSubset(of: Layer.pure))
        }
    }

    @Test func `only System imports anything, and that is the C library`() throws {
        for path in try SourceTree.files(in: "Sources/RDNetKit") {
            let isSystem = path.hasPrefix("Sources/RDNetKit/System/")
            let allowed = isSystem ? ["internal import Glibc", "internal import CLinux"] : []
            let imports = try SourceTree.lines(of: path).filter { line in
                line.split(separator: " ").prefix(2).contains("import")
            }
            for line in imports { #expect(allowed.contains(String(line)), "\(path): \(line)") }
        }
    }
}
