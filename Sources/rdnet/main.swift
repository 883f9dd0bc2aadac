import Glibc
import RDNetKit

exit(RDNet.run(CommandLine.arguments))
