// The sources of kernels and runtimes as data, so that the program alone is enough to build them.
//
// Owns: their names. Must not know: what they do. The members are generated at build time from `TestROMs/bench`.

/// The files of `TestROMs/bench`.
enum BenchmarkSources {}
