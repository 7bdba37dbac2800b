// What has to be so before the program opens anything.
//
// Owns: the three standard descriptors, the signal of a file that grows beyond its limit. Must not know: what the program does.
// A program may be started with standard input, output or error closed. The first file it opens then gets that number, and what is said
// to the user goes into it: a disk image, or the guest's memory.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The beginning of the process.
public enum HostStart {
  /// To be called first. Puts the null device where a standard descriptor is closed: standard input has ended then, standard error
  /// swallows everything, and writes to standard output fail, so that output which was asked for counts as lost. Writes beyond the
  /// limit of a file's size become ordinary errors.
  public static func prepare() {
    for wanted in Int32(0)...2 where fcntl(wanted, F_GETFD) < 0 && errno == EBADF {
      // The lowest free number is taken, and all below it are in use by now. Open for reading alone, output is refused.
      let found = open("/dev/null", wanted == 2 ? O_RDWR : O_RDONLY)
      if found == wanted { continue }
      if found < 0 || dup2(found, wanted) < 0 { _exit(74) }
      close(found)
    }
    signal(SIGXFSZ, SIG_IGN)
  }
}
