"""Files that are copied up while they are read and written."""
