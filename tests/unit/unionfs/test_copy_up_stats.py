"""Statistics of copy-up that another process goes on with."""

import pickle

from unionfs.copy_up_stats import CopyUpCause, CopyUpRecord, CopyUpStats


def record(path, copied):
    return CopyUpRecord(path, CopyUpCause(7, "sh"), 2 * copied, copied, is_lazy=False)


def test_next_server_goes_on_with_the_statistics_of_the_last():
    before = CopyUpStats()
    before.add(record(b"a", 10))
    before.add_completed(5)
    stats = CopyUpStats()
    stats.go_on_from(pickle.loads(pickle.dumps(before)))
    stats.add(record(b"b", 100))
    assert (stats.files, stats.copied, stats.size) == (2, 115, 220)
    assert [each.path for each in stats] == [b"a", b"b"]
    assert next(iter(stats)).document() == {
        "path": "a",
        "pid": 7,
        "process": "sh",
        "size": 20,
        "copied": 10,
        "changed": 0,
        "lazy": False,
    }
    assert [each.path for each in before] == [b"a"]
