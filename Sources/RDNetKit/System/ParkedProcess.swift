internal import CLinux
internal import Glibc

/// The rest of a process's life, spent waiting for one event with hardly any memory.
///
/// A machine with a thousand published ports runs a thousand processes that only wait. Such a
/// process returns its memory to the kernel: the heap, all variables, and the pages of the program,
/// which the kernel reads again from the file when they are needed. What stays is the top of the
/// stack and the code of one system call. From then on, nothing may run that needs a variable, in
/// Swift or in the C library: the process exits, or starts its program again (execve(2)).
enum ParkedProcess {
    /// Bytes of the stack, below the caller's frame, that stay.
    private static let stackReserve = 8_192
    /// In nanoseconds.
    private static let restartPause = 100_000_000
    /// Bytes of the stack that may have been used; the kernel ignores what does not exist.
    private static let stackLength = 1 << 20

    /// Waits until a signal arrives or one of the peers closes its connection.
    ///
    /// - Parameters:
    ///   - signals: From `SignalWatch.descriptor`; after a signal, the process exits with status 0.
    ///   - peer: A socket on which nothing is ever received.
    ///   - other: The same for another peer; -1 for none.
    ///   - kept: A descriptor for the program when it starts again because the peer has closed.
    ///   - number: The number of the kept descriptor, below 10.
    ///   - words: The program's arguments then.
    static func wait(
        for signals: Int32,
        or peer: Int32,
        _ other: Int32 = -1,
        keeping kept: Int32,
        as number: Int32,
        thenRun words: [String]
    ) -> Never {
        let command = Command(words)
        let environment = clinux_environ
        // Their own numbers may be the one that the kept descriptor needs.
        let first = fcntl(signals, F_DUPFD_CLOEXEC, 10)
        let second = fcntl(peer, F_DUPFD_CLOEXEC, 10)
        // poll(2) ignores a negative number.
        let third = other < 0 ? -1 : fcntl(other, F_DUPFD_CLOEXEC, 10)
        if kept == number { _ = fcntl(number, F_SETFD, 0) } else { dup2(kept, number) }
        withUnsafeTemporaryAllocation(of: pollfd.self, capacity: 3) { requests in
            requests[0] = pollfd(fd: first, events: Int16(POLLIN), revents: 0)
            requests[1] = pollfd(fd: second, events: Int16(POLLIN), revents: 0)
            requests[2] = pollfd(fd: third, events: Int16(POLLIN), revents: 0)
            let address = Int(bitPattern: requests.baseAddress)
            withUnsafeTemporaryAllocation(of: timespec.self, capacity: 1) { pause in
                pause[0] = timespec(tv_sec: 0, tv_nsec: restartPause)
                let pauseAddress = Int(bitPattern: pause.baseAddress)
                releaseMemory(below: min(address, pauseAddress))
                // syscall(2) uses no variable of the C library; ppoll(3) does.
                while requests[1].revents == 0, requests[2].revents == 0 {
                    _ = clinux_syscall(Int(SYS_ppoll), address, 3, 0, 0)
                    if requests[0].revents != 0 { _exit(0) }
                }
                // A peer that fails at once must not keep the processor busy.
                _ = clinux_syscall(Int(SYS_ppoll), address, 1, pauseAddress, 0)
                if requests[0].revents != 0 { _exit(0) }
                execve(command.path, command.arguments, environment)
            }
        }
        _exit(1)
    }

    /// A program and its arguments, in memory that stays.
    private struct Command {
        let path: UnsafeMutablePointer<CChar>
        let arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

        init(_ words: [String]) {
            let texts = (["/proc/self/exe"] + words).map { $0.utf8CString }
            let pointers = (words.count + 1) * MemoryLayout<UnsafeMutablePointer<CChar>?>.stride
            let length = texts.reduce(pointers) { $0 + $1.count }
            // Sound: the mapping is long enough for the pointers and the texts behind them.
            guard
                let memory = mmap(
                    nil,
                    length,
                    PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | Int32(MAP_ANONYMOUS),
                    -1,
                    0
                ), memory != MAP_FAILED
            else { _exit(1) }
            arguments = memory.bindMemory(
                to: UnsafeMutablePointer<CChar>?.self,
                capacity: words.count + 1
            )
            var next = (memory + pointers).bindMemory(to: CChar.self, capacity: length - pointers)
            path = next
            for (index, text) in texts.enumerated() {
                for (offset, byte) in text.enumerated() { next[offset] = byte }
                if index > 0 { arguments[index - 1] = next }
                next += text.count
            }
            arguments[words.count] = nil
        }
    }

    /// Returns everything but the stack's top to the kernel.
    ///
    /// See madvise(2), MADV_DONTNEED: variables read as they were in the file, the heap as zeros.
    private static func releaseMemory(below stack: Int) {
        #if !DEBUG
        let page = Int(getpagesize())
        // The page with the first variables may also hold the addresses of C functions.
        let variables = (Int(bitPattern: clinux_variables_start()) + page - 1) & -page
        // The heap begins with the C library's record of this thread. The compiler compares a
        // value in it when a function ends.
        let thread = Int(bitPattern: UInt(pthread_self())) & -page
        let heap = thread + 2 * page
        let heapEnd = Int(bitPattern: sbrk(0))
        let code = Int(bitPattern: clinux_code_start()) & -page
        let codeEnd = Int(bitPattern: clinux_code_end())
        let stackEnd = (stack - stackReserve) & -page
        let number = Int(SYS_madvise)
        let advice = Int(MADV_DONTNEED)
        _ = clinux_syscall(number, stackEnd - stackLength, stackLength, advice, 0)
        _ = clinux_syscall(number, code, (codeEnd - code) & -page, advice, 0)
        _ = clinux_syscall(number, heap, max(heapEnd - heap, 0), advice, 0)
        _ = clinux_syscall(number, variables, thread - variables, advice, 0)
        #endif
    }
}
