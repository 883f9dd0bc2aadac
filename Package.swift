// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
    // Tests run with the checks at run time; on the data path they would cost 1 to 2 % of all time.
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]

let package = Package(
    name: "rdnet",
    targets: [
        // Names of the kernel's interface that `import Glibc` hides; a header, no code.
        .systemLibrary(name: "CLinux"),
        .target(name: "RDNetKit", dependencies: ["CLinux"], swiftSettings: strict),
        .executableTarget(name: "rdnet", dependencies: ["RDNetKit"], swiftSettings: strict),
        // The load that tests and benchmarks put on a network; no part of the product.
        .executableTarget(
            name: "rdnet-load",
            dependencies: ["CLinux"],
            path: "Tests/Load",
            swiftSettings: strict
        ),
        // The program with a count of its heap allocations, for the tests.
        .executableTarget(
            name: "rdnet-counting",
            dependencies: ["RDNetKit"],
            path: "Tests/Counting",
            swiftSettings: strict,
            linkerSettings: [
                .unsafeFlags(
                    ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"].flatMap {
                        ["-Xlinker", "--wrap=\($0)"]
                    }
                )
            ]
        ),
        .testTarget(
            name: "RDNetKitTests",
            dependencies: ["RDNetKit", "CLinux"],
            swiftSettings: strict
        ),
    ],
    swiftLanguageModes: [.v6]
)
