#!/usr/bin/env python3
"""store_kill.py [ROUNDS]: a writer of the store is killed (-9) at a random moment, ROUNDS times on a disk and ROUNDS times
on a tiny file system that is full at random moments. No acknowledged write may be lost, what was refused for certain may
not be there, and the files must be sound."""

import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

WRITER = os.path.join(os.environ["BUILD"], "test", "blackbox", "store_writer")
SLOTS, OUTSTANDING = 1000, 32


class Wrong(Exception):
    pass


class Story:
    """What the writers have said so far, and what a look into the store must therefore find."""

    def __init__(self, folder):
        self.folder, self.next = folder, 1
        self.held = {}     # slot: the last number that was acknowledged
        self.doubt = {}    # slot: numbers that may be there, newer than that
        self.acknowledged = self.refused = self.doubtful = 0

    def write(self, seconds, meanwhile=lambda: None):
        """Runs a writer for that long, then kills it."""
        p = subprocess.Popen([WRITER, "write", self.folder, str(self.next)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # a thread reads, so that a full pipe never holds the writer up
        with subprocess.Popen(["cat"], stdin=p.stdout, stdout=subprocess.PIPE) as reader:
            p.stdout.close()
            with tempfile.TemporaryFile() as said:
                t = threading.Thread(target=shutil.copyfileobj, args=(reader.stdout, said))
                t.start()
                time.sleep(seconds / 2)
                meanwhile()
                time.sleep(seconds / 2)
                early = p.poll()
                p.kill()
                p.wait()
                t.join()
                said.seek(0)
                text = said.read().decode()
        err = p.stderr.read().decode()
        p.stderr.close()
        if early is not None and "full" not in err and "I/O" not in err and "disk" not in err:
            raise Wrong("the writer ended by itself with %s: %s" % (early, err))
        self.read(text)

    def read(self, text):
        answered, last = set(), self.next - 1
        for line in text.splitlines():
            kind, n = re.match(r"([-?] )?(\d+)", line).groups()
            n = int(n)
            answered.add(n)
            last = max(last, n)
            if kind is None:
                self.held[n % SLOTS] = max(n, self.held.get(n % SLOTS, 0))
                self.acknowledged += 1
            elif kind == "? ":
                self.doubt.setdefault(n % SLOTS, set()).add(n)
                self.doubtful += 1
            else:
                self.refused += 1
        # those under way when it was killed
        for n in range(self.next, last + OUTSTANDING + 1):
            if n not in answered:
                self.doubt.setdefault(n % SLOTS, set()).add(n)
        self.next = last + OUTSTANDING + 1

    def look(self):
        p = subprocess.run([WRITER, "look", self.folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        if p.returncode or not p.stdout.endswith("sound\n"):
            raise Wrong("it cannot be opened again, or is not sound: " + p.stderr)
        found = {int(slot): int(n) for slot, n in map(str.split, p.stdout.splitlines()[:-1])}
        for slot, n in self.held.items():
            if slot not in found:
                raise Wrong("slot %d: %d was acknowledged, nothing is there" % (slot, n))
            if found[slot] != n and found[slot] not in self.doubt.get(slot, ()):
                raise Wrong("slot %d: %d was acknowledged, %d is there" % (slot, n, found[slot]))
            if found[slot] < n and n not in self.doubt.get(slot, ()):
                raise Wrong("slot %d went back from %d to %d" % (slot, n, found[slot]))
        for slot, n in found.items():
            if slot not in self.held and n not in self.doubt.get(slot, ()):
                raise Wrong("slot %d holds %d, which was refused" % (slot, n))
            self.held[slot] = n  # what was in doubt is decided, and must stay
        self.doubt = {}

    def told(self, rounds):
        return "%d rounds, %d writes acknowledged, %d refused, %d in doubt" % (
            rounds, self.acknowledged, self.refused, self.doubtful)


def on_a_disk(rounds):
    with tempfile.TemporaryDirectory(prefix="sallyport-kill-") as top:
        story = Story(os.path.join(top, "store"))
        for _ in range(rounds):
            story.write(random.choice((0.01, 0.03, 0.1, 0.3)) * random.uniform(0.5, 1.5))
            story.look()
        if not story.acknowledged:
            raise Wrong("nothing was acknowledged in %d rounds" % rounds)
        return story.told(rounds)


@contextlib.contextmanager
def tiny_disk():
    with tempfile.TemporaryDirectory(prefix="sallyport-tiny-") as top:
        p = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M,mode=0700", "tmpfs", top], stderr=subprocess.PIPE,
                           text=True, check=False)
        if p.returncode:
            yield None, p.stderr.strip()
            return
        try:
            yield top, ""
        finally:
            subprocess.run(["umount", top], check=True)


def on_a_full_disk(rounds):
    with tiny_disk() as (top, why):
        if not top:
            print("skip store_full_disk a tmpfs cannot be mounted here: " + why)
            return None
        story, filler = Story(os.path.join(top, "store")), os.path.join(top, "filler")

        def fill():
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as f:
                left = random.choice((0, 0, 4096, 20000, 100000, 1 << 23))
                size = max(0, os.statvfs(top).f_bavail * os.statvfs(top).f_bsize - left)
                for _ in range(0, size, 4096):
                    f.write(bytes(4096))

        for _ in range(rounds):
            story.write(random.choice((0.02, 0.05, 0.2)) * random.uniform(0.5, 1.5), fill)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(filler)
            story.look()
            before = story.acknowledged
            story.write(0.1)  # with room again it goes on
            story.look()
            if story.acknowledged == before:
                story.write(2)
                story.look()
                if story.acknowledged == before:
                    raise Wrong("with room again, nothing is acknowledged")
        if not story.refused:
            raise Wrong("the disk was never full: this has proved nothing")
        return story.told(rounds)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(os.environ.get("STORE_KILL_SEED", random.randrange(1 << 32)))
    random.seed(seed)
    print("STORE_KILL_SEED=%d" % seed)
    wrong = 0
    for name, part in (("store_kill", on_a_disk), ("store_full_disk", on_a_full_disk)):
        try:
            told = part(rounds)
            if told:
                print("ok %s %s" % (name, told))
        except Wrong as why:
            wrong += 1
            print("not ok %s %s" % (name, why))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
