import Storage

public enum FolderDisk {
  public static func open(_ path: String, isWritable: Bool) throws(StorageError) -> any BlockDevice
  {
    throw StorageError(path: path, reason: "not yet")
  }
}
