"""The commands `snapshot`, `snapshots`, `rollback` and `branch`."""
