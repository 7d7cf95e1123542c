"""Files that outlive a process: model directories, tensors, atomic outputs."""
