// Indexes of compressed files that were read once are kept, as the same file is opened several times.
//
// Owns: the last few indexes. Must not know: codecs.

import Synchronization

enum CompressedIndexes {
  private static let known = Mutex<[(mark: FileMark, name: String, index: CompressedIndex)]>([])
  private static let most = 4

  static func index(of store: any ByteStore, _ codec: any CompressedCodec) throws(StorageError)
    -> CompressedIndex
  {
    let mark = store.mark()
    let isFile = mark.stamps.contains { $0 != nil }
    if isFile,
      let found = known.withLock({ list in
        list.first { $0.mark == mark && $0.name == store.name }?.index
      })
    {
      return found
    }
    let index = try codec.index(store)
    if isFile {
      known.withLock { list in
        list.removeAll { $0.name == store.name }
        list.append((mark, store.name, index))
        if list.count > most { list.removeFirst() }
      }
    }
    return index
  }
}
