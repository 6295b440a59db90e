"""Reads what libcount.so (count.c) counts inside a running process."""

import mmap
import os
import struct

KINDS = ["alloc", "free", "lock", "cond", "sem", "signature", "recv", "send", "wait"]
SLOT = 17  # tid and 16 counters
PLANT = {"malloc": 1, "mutex": 2, "signature": 4, "futex": 8}


class Counters:
    """The environment to start the process with, and its counters."""

    def __init__(self, build, path):
        self.path = path
        self.library = os.path.join(os.path.abspath(build), "test", "libcount.so")
        self.env = {"LD_PRELOAD": self.library, "COUNT_FILE": path}

    def available(self):
        return os.path.exists(self.library)

    def read(self):
        """{tid: {kind: count}}"""
        with open(self.path, "rb") as f:
            data = f.read()
        threads = struct.unpack_from("<Q", data, 0)[0]
        found = {}
        for i in range(threads):
            row = struct.unpack_from("<%dQ" % SLOT, data, 16 + i * SLOT * 8)
            found[row[0]] = dict(zip(KINDS, row[1:]))
        return found

    def plant(self, *what):
        """From now on each receive does that as well; nothing: back to normal."""
        with open(self.path, "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
            struct.pack_into("<Q", m, 8, sum(PLANT[w] for w in what))

    @staticmethod
    def since(before, after):
        nothing = dict.fromkeys(KINDS, 0)
        return {tid: {kind: n - before.get(tid, nothing)[kind] for kind, n in counts.items()}
                for tid, counts in after.items()}
