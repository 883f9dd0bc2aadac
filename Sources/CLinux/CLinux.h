// Linux declarations that Swift's Glibc module does not export.
//
// The header contains declarations and a few inline functions. It leaves _GNU_SOURCE
// undefined, because defining it here would give fd_set and others a second, different layout. The
// header declares functions that glibc declares only under _GNU_SOURCE. Macros that contain a
// sizeof, which Swift cannot import, become enum constants.
#ifndef RDNET_CLINUX_H
#define RDNET_CLINUX_H

#include <fcntl.h>
#include <malloc.h>
#include <time.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/virtio_net.h>
#include <linux/vm_sockets.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>

enum {
    CLINUX_TUNSETIFF = (int)TUNSETIFF,
    CLINUX_TUNSETOFFLOAD = (int)TUNSETOFFLOAD,
    CLINUX_TUNSETVNETHDRSZ = (int)TUNSETVNETHDRSZ,
    CLINUX_TUNSETVNETLE = (int)TUNSETVNETLE,
    // Since Linux 6.2; Debian 12's headers are older.
    CLINUX_TUN_F_USO4 = 0x20,
    CLINUX_TUN_F_USO6 = 0x40,
    CLINUX_CLONE_NEWNET = 0x40000000,
    CLINUX_CLONE_NEWUSER = 0x10000000,
    CLINUX_CLONE_NEWNS = 0x00020000,
    // CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | SIGCHLD, as glibc's fork passes them to clone.
    CLINUX_FORK_FLAGS = 0x01200011,
    CLINUX_MNT_DETACH = 2,
    CLINUX_UMOUNT_NOFOLLOW = 8,
    CLINUX_OPEN_TREE_CLONE = 1,
    CLINUX_OPEN_TREE_CLOEXEC = O_CLOEXEC,
    CLINUX_MOVE_MOUNT_F_EMPTY_PATH = 4,
    CLINUX_O_PATH = 010000000,
    CLINUX_AT_EMPTY_PATH = 0x1000,
    CLINUX_STATX_ATTR_MOUNT_ROOT = 0x2000,
    CLINUX_POLLRDHUP = 0x2000,
    CLINUX_F_SETPIPE_SZ = 1031,
    CLINUX_F_GETPIPE_SZ = 1032,
    CLINUX_SPLICE_F_MOVE = 1,
    CLINUX_SPLICE_F_NONBLOCK = 2,
    CLINUX_AT_EXECFN = 31,
    CLINUX_UDP_SEGMENT = 103,
    CLINUX_UDP_GRO = 104,
    // Since Linux 6.5.
    CLINUX_SO_PEERPIDFD = 77,
    CLINUX_F_GET_SEALS = 1034,
    CLINUX_MSG_CTRUNC = 8,
};

/// A message of recvmmsg(2) and sendmmsg(2): glibc's `struct mmsghdr`.
struct clinux_mmsghdr {
    struct msghdr msg_hdr;
    unsigned int msg_len;
};

/// The kernel's `struct statx` (256 bytes); only the first fields have names.
struct clinux_statx {
    unsigned int mask;
    unsigned int block_size;
    unsigned long long attributes;
    unsigned long long rest[30];
};

/// The value of SO_PEERCRED: glibc's `struct ucred`.
struct clinux_ucred {
    pid_t pid;
    uid_t uid;
    gid_t gid;
};

int unshare(int flags);
int setns(int descriptor, int kind);
int accept4(int descriptor, struct sockaddr *address, socklen_t *length, int flags);
int pidfd_open(pid_t process, unsigned int flags);
int pidfd_send_signal(int process, int signal, void *origin, unsigned int flags);
int pidfd_getfd(int process, int descriptor, unsigned int flags);
int pipe2(int descriptors[2], int flags);
ssize_t splice(int from, off_t *from_offset, int to, off_t *to_offset, size_t length, unsigned int flags);
int recvmmsg(int descriptor, struct clinux_mmsghdr *messages, unsigned int count, int flags, void *timeout);
int sendmmsg(int descriptor, struct clinux_mmsghdr *messages, unsigned int count, int flags);

int open_tree(int directory, const char *path, unsigned int flags);
int move_mount(int from, const char *from_path, int to, const char *to_path, unsigned int flags);

/// statx(2), declared with a structure that Swift can import.
int clinux_statx(int directory, const char *path, int flags, unsigned int mask, struct clinux_statx *status)
    __asm__("statx");

/// environ(7); constant here, because nothing in the process changes it.
extern char **const clinux_environ __asm__("environ");

/// prctl(2), which glibc declares with variable arguments.
int clinux_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) __asm__("prctl");

/// syscall(2), which glibc declares with variable arguments.
long clinux_syscall(long number, long a, long b, long c, long d) __asm__("syscall");

int setresuid(uid_t real, uid_t effective, uid_t saved);
int setresgid(gid_t real, gid_t effective, gid_t saved);
int close_range(unsigned int first, unsigned int last, int flags);

/// getauxval(3): reads the auxiliary vector, which the kernel stores after the environment.
unsigned long clinux_getauxval(unsigned long kind) __asm__("getauxval");

/// The commit that the program was built from: zeros until `make` replaces the section in the
/// finished file.
///
/// The `used` attribute keeps the compiler from assuming the zeros.
static inline const char *clinux_commit(void) {
    static char text[64] __attribute__((used, section("rdnet_commit")));
    return text;
}

/// Where the program's code begins and ends, and where its variables begin. See end(3).
static inline char *clinux_code_start(void) {
    extern char __executable_start[];
    return __executable_start;
}
static inline char *clinux_code_end(void) {
    extern char etext[];
    return etext;
}
static inline char *clinux_variables_start(void) {
    extern char __data_start[];
    return __data_start;
}

/// Loads and stores in memory that another program reads and writes at the same time, such as the
/// rings of a virtual machine. Each load happens exactly once, so what was checked is what is used.
/// An acquiring load comes before all later accesses, a releasing store after all earlier ones.
static inline unsigned short clinux_load_16(const void *address) {
    return __atomic_load_n((const unsigned short *)address, __ATOMIC_RELAXED);
}
static inline unsigned long clinux_load_64(const void *address) {
    return __atomic_load_n((const unsigned long *)address, __ATOMIC_RELAXED);
}
static inline unsigned short clinux_load_acquire_16(const void *address) {
    return __atomic_load_n((const unsigned short *)address, __ATOMIC_ACQUIRE);
}
static inline void clinux_store_16(void *address, unsigned short value) {
    __atomic_store_n((unsigned short *)address, value, __ATOMIC_RELAXED);
}
static inline void clinux_store_32(void *address, unsigned int value) {
    __atomic_store_n((unsigned int *)address, value, __ATOMIC_RELAXED);
}
static inline void clinux_store_release_16(void *address, unsigned short value) {
    __atomic_store_n((unsigned short *)address, value, __ATOMIC_RELEASE);
}
/// Orders all earlier stores before all later loads.
static inline void clinux_fence(void) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/// fork(2), which Swift marks unavailable. It is sound here because the process has one thread.
pid_t clinux_fork(void) __asm__("fork");

#endif
