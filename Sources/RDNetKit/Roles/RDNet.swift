/// The program, as its executable sees it.
public enum RDNet {
    /// Runs the role that the arguments name.
    public static func run(_ arguments: [String]) -> Int32 {
        0
    }
}
