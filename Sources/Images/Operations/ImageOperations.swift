// What can be done with images.
//
// Owns: nothing; each operation is in a file beside this one. Must not know: the command line.

/// Operations on images. Each one opens what it needs, locks it, and lets go of it.
public enum ImageOperations {}
