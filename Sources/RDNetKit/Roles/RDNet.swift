/// The program, as its executable sees it.
public enum RDNet {
    /// Runs the role that the arguments name.
    ///
    /// - Parameter arguments: The program's own name first, as main has them.
    /// - Returns: What the process is to exit with.
    public static func run(_ arguments: [String]) -> Int32 {
        StandardStream.openMissing()
        SignalDisposition.prepare()
        // Without /proc there are none: then they are where the kernel put them.
        let arguments = arguments.isEmpty ? ProcessEnvironment.arguments : arguments
        return RoleRegistry.standard.run(arguments, .system).rawValue
    }
}
