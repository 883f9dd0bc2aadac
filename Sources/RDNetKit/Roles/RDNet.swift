/// The program's entry point for its executable.
public enum RDNet {
    /// Runs the role that the arguments select.
    ///
    /// - Parameter arguments: The arguments of main, starting with the program's own name.
    /// - Returns: The exit status.
    public static func run(_ arguments: [String]) -> Int32 {
        StandardStream.openMissing()
        SignalDisposition.prepare()
        // The runtime finds no arguments without /proc; then they are read from where the kernel
        // put them.
        let arguments = arguments.isEmpty ? ProcessEnvironment.arguments : arguments
        return InitProcess.run { RoleRegistry.standard.run(arguments, .system).rawValue }
    }
}
